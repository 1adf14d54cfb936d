package record

// This file records programs that already run: proc(5), pidfd_open(2). A process can install a seccomp filter only on
// itself, so only the bpf back end can record these programs. Its own programs in the kernel get the ids of the
// threads, and follow them from there. The recorder stops no process and changes nothing in it.

import (
	"bytes"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/statedir"
)

// Running says which programs are recorded: a process and its descendants, or a sandbox.
type Running struct {
	pid     int // the first process: paths start in its root directory, and its end ends the recording
	name    string
	end     int                 // the pidfd of the first process
	first   []*statedir.Process // the processes when Tree or Sandbox was called
	list    func() ([]*statedir.Process, error)
	entry   *statedir.Entry // the sandbox; nil if a process is recorded
	entered bool            // processes from outside may enter the sandbox
	args    string          // the arguments of the first process, each with a NUL at its end
	cut     bool            // args is cut off at maxCommand
}

// Tree returns a process and its descendants. The caller needs the right to look into the process.
func Tree(pid int) (*Running, error) {
	name := "pid " + strconv.Itoa(pid)
	t, err := statedir.Processes()
	if err != nil {
		return nil, err
	}
	p := t[pid]
	if p == nil {
		return nil, notThere(name, pid)
	}
	for above := t[os.Getpid()]; above != nil; above = t[above.PPID] {
		if above.PID == pid {
			return nil, cannot(name, "this command descends from it, and would record itself", "name a process that is not above this one; of a shell, start record in another")
		}
	}
	exe, err := os.Readlink(procPath(pid, "exe"))
	switch {
	case p.State == "Z" || p.State == "X":
		return nil, cannot(name, "has ended, and its parent has not asked how", "")
	case errors.Is(err, os.ErrNotExist):
		return nil, cannot(name, "is a thread of the kernel", "name a program's process")
	case errors.Is(err, os.ErrPermission):
		return nil, cannot(name, "is another user's, or gives up none of its secrets", "run cordon record as root")
	case err != nil:
		return nil, err
	case launcher(pid):
		return nil, cannot(name, "is a launcher of sandboxes, or their first process", "cordon record --of SANDBOX records what runs in one; cordon ps lists them")
	}
	r := &Running{pid: pid, name: name + " (" + path.Base(exe) + ")", first: descendants(t, pid)}
	r.list = func() ([]*statedir.Process, error) {
		t, err := statedir.Processes()
		if err != nil || t[pid] == nil || t[pid].Start != p.Start {
			return nil, err
		}
		return descendants(t, pid), nil
	}
	return r, r.hold(p.Start)
}

// Sandbox returns the processes of a running sandbox, except its first process, which is cordon's init.
func Sandbox(e *statedir.Entry) (*Running, error) {
	t, err := statedir.Processes()
	if err != nil {
		return nil, err
	}
	if _, err := e.Sample(t); err != nil { // the sandbox has ended, or is in another pid namespace
		return nil, err
	}
	task := e.State.Task
	if task == nil {
		return nil, cannot("sandbox "+e.State.ID, "has no program yet", "")
	}
	r := &Running{pid: task.PID, name: "sandbox " + e.State.ID, entry: e, entered: true, first: inSandbox(t, e)}
	r.list = func() ([]*statedir.Process, error) {
		t, err := statedir.Processes()
		return inSandbox(t, e), err
	}
	return r, r.hold(task.Start)
}

// inSandbox returns the processes of a sandbox, except its first process and processes that have not executed a program
// yet.
func inSandbox(t statedir.ProcTable, e *statedir.Entry) (in []*statedir.Process) {
	for _, p := range t.Of(e) {
		if p.PID != e.State.Init.PID && !launcher(p.PID) {
			in = append(in, p)
		}
	}
	return in
}

// hold opens a pidfd of the first process, and compares the process's start time, so that the pidfd cannot belong to a
// later process with the same pid. It also reads the process's arguments.
func (r *Running) hold(start uint64) (err error) {
	if r.end, err = unix.PidfdOpen(r.pid, 0); err == nil {
		if startOf(procPath(r.pid, "stat")) == start {
			args, whole, err := proc.Head(procPath(r.pid, "cmdline"), maxCommand)
			r.args, r.cut = string(args), err == nil && !whole
			return nil
		}
		unix.Close(r.end)
		err = unix.ESRCH
	}
	if err == unix.ESRCH {
		return cannot(r.name, "has ended", "")
	}
	return cannot(r.name, "pidfd_open: "+err.Error(), "")
}

// These constants limit what the recorder reads of a process. A process can, at no cost, make its arguments and
// environment as long as its address space (prctl(2), PR_SET_MM_MAP). It can have as many mappings and open files as
// its rlimits allow.
const (
	maxCommand   = 32 << 10
	maxEnviron   = 1 << 20
	maxMaps      = 8 << 20
	maxOpenFiles = 1 << 14
)

// Name returns a name for the process or sandbox, for messages.
func (r *Running) Name() string { return r.name }

// Wait waits until the first process has ended or stop is closed. It returns true if the process has ended.
func (r *Running) Wait(stop <-chan struct{}) bool {
	for {
		fds := []unix.PollFd{{Fd: int32(r.end), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, 50); n > 0 {
			return true
		}
		select {
		case <-stop:
			return false
		default:
		}
	}
}

// Close closes the pidfd. The processes go on running.
func (r *Running) Close() { unix.Close(r.end) }

// Run returns the header of a recording: command, profile, home directory, user.
func (r *Running) Run() recording.Run {
	env, _, _ := proc.Head(procPath(r.pid, "environ"), maxEnviron)
	run := recording.Run{
		Command: strings.Split(strings.TrimSuffix(r.args, "\x00"), "\x00"),
		Home:    variable(env, "HOME"), Runtime: variable(env, "XDG_RUNTIME_DIR"), UID: uidInside(r.pid),
	}
	if r.entry != nil {
		s := &r.entry.State
		run.Command, run.Profile = s.Args, s.Profile
	}
	return run
}

// Attach begins to record programs that already run. The recorder must have the back end bpf.
func (r *Recorder) Attach(to *Running) error {
	b, ok := r.backend.(*bpf)
	if !ok {
		return cannot(to.name, "the back end "+r.name+" cannot watch a program that runs already: a filter is taken by a program itself",
			"record it as root, or from its start: cordon record -o FILE -- CMD")
	}
	r.started = time.Now()
	r.workdir, _ = link(procPath(to.pid, "cwd"))
	b.left = append(b.left, "began in the middle: what was done before is not known, but for the programs that ran, and the code and the files that they had open")
	if to.cut {
		b.left = append(b.left, "of the command's arguments the first "+strconv.Itoa(maxCommand>>10)+" KiB were read")
	}
	if to.entered {
		b.left = append(b.left, "what enters the sandbox later, by cordon exec, is seen after a second at most")
	}
	switch err := b.attach(to); err {
	case nil:
		return nil
	case unix.ENOENT, unix.ESRCH:
		return cannot(to.name, "has ended", "")
	default:
		return cannot(to.name, err.Error(), "")
	}
}

func cannot(what, why, hint string) error {
	return &sandbox.Error{Op: "record " + what, Err: errors.New(why), Hint: hint}
}

// notThere returns the error for a pid that no process has.
func notThere(name string, pid int) error {
	if group := status(pid, "Tgid")[0]; group != "" && group != strconv.Itoa(pid) {
		return cannot(name, "is a thread of process "+group, "cordon record --pid "+group)
	}
	return cannot(name, "there is no such process", "ps lists those that are there")
}

// launcher reports whether a process runs the same executable as this process.
func launcher(pid int) bool {
	var own, other unix.Stat_t
	return unix.Stat("/proc/self/exe", &own) == nil && unix.Stat(procPath(pid, "exe"), &other) == nil && own.Dev == other.Dev && own.Ino == other.Ino
}

// descendants returns a process and all its descendants.
func descendants(t statedir.ProcTable, pid int) (in []*statedir.Process) {
	children := map[int][]*statedir.Process{}
	for _, p := range t {
		children[p.PPID] = append(children[p.PPID], p)
	}
	in = append(in, t[pid])
	for i := 0; i < len(in); i++ {
		in = append(in, children[in[i].PID]...)
	}
	return in
}

// attach starts the programs in the kernel and gives them the ids of all threads. It does so repeatedly, until every
// thread is known. The programs themselves follow the threads that known threads create.
func (b *bpf) attach(to *Running) error {
	if err := b.open(to.pid); err != nil {
		return err
	}
	threads, pids := 0, []int{}
	for _, p := range to.first {
		threads, pids = threads+p.Threads, append(pids, p.PID)
		b.running(p.PID) // gives the executable a number
	}
	err := errors.Join(b.setCounters(uint64(threads), alive, mostAlive), b.setCounters(uint64(len(b.numbers)), lastExe), b.setCounters(1<<32, inHash))
	if err != nil {
		return err
	}
	b.begun = true
	if err := b.begin(pids...); err != nil {
		return err
	}
	for _, p := range to.first {
		b.join(p)
	}
	for range maxRounds {
		added, err := b.joinAll(to)
		if err == nil && added > 0 {
			continue
		}
		if err == nil && to.entered {
			b.drained.Add(1)
			go b.welcome(to)
		}
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost["tasks"]++ // processes fork faster than they can be listed
	return nil
}

// startOf returns the start time in a stat file of /proc. If the process or thread no longer exists, it returns 0.
func startOf(stat string) uint64 {
	n, _ := proc.StartTime(stat)
	return n
}

// variable returns the value of a variable in an environment in the form of /proc, or "" if there is no such variable.
func variable(env []byte, name string) string {
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if v, ok := bytes.CutPrefix(entry, []byte(name+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// uidInside returns the effective user id of a process in the process's own user namespace: user_namespaces(7). If the
// namespace does not map the id, it returns the id that the kernel shows in its place.
func uidInside(pid int) uint32 {
	f := strings.Fields(status(pid, "Uid")[0])
	if len(f) < 2 {
		return 0
	}
	uid, _ := strconv.ParseUint(f[1], 10, 32)
	text, _, _ := proc.Head(procPath(pid, "uid_map"), 64<<10)
	for line := range strings.Lines(string(text)) {
		var m [3]uint64
		for i, s := range strings.Fields(line) {
			m[min(i, 2)], _ = strconv.ParseUint(s, 10, 32)
		}
		if uid >= m[1] && uid-m[1] < m[2] {
			return uint32(m[0] + uid - m[1])
		}
	}
	return uint32(uid)
}
