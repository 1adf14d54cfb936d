package launch

// This file enters existing namespaces, and finds the child that is forked there.

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/state"
	"cordon/sandbox/report"
)

// openJoins opens the namespaces that the sandbox joins. They stay open until the child has its own copies.
func (p *Process) openJoins() error {
	for i := range p.Comp.Joins {
		j := &p.Comp.Joins[i]
		fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fail.Error{Op: "namespace " + j.Path, Err: err, From: p.Comp.Where(j.Key), Hint: "to make one below /run/netns: ip netns add NAME"}
		}
		if err := p.files.Add(j.Kind, fd); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(p.files.Fds[j.Kind], &st); err != nil {
			return &fail.Error{Op: "namespace " + j.Path, Err: err, From: p.Comp.Where(j.Key)}
		}
		// The inode number is the number of the namespace that /proc/PID/ns shows.
		p.found[j.Kind] = st.Ino
	}
	return nil
}

// enterJoined moves the launcher's thread into the joined namespaces, unless the child enters them itself. The thread
// stays locked to this goroutine, so no other goroutine runs in these namespaces.
func (p *Process) enterJoined() error {
	if p.Comp.Staged() {
		return nil
	}
	for _, j := range p.Comp.Joins {
		if err := unix.Setns(p.files.Fds[j.Kind], j.Flag); err != nil {
			return &fail.Error{Op: "setns " + j.Path, Err: err, From: p.Comp.Where(j.Key)}
		}
	}
	return nil
}

// adopt finds the process that the first child has forked, and that goes on in the first child's place. That process is
// init from here on. If there was no second fork, adopt does nothing.
func (p *Process) adopt() error {
	next := int(p.Image.Page().Next)
	if next == 0 || next == p.PID {
		return nil
	}
	fd, err := unix.PidfdOpen(next, 0)
	if err != nil {
		fd = -1
		_ = unix.Kill(next, unix.SIGKILL) // nobody has waited for it, so no other process has its number
		err = &fail.Error{Op: "pidfd_open of init", Err: err}
	}
	for again := true; again; { // the first child ends right after the fork
		_, waited := unix.Wait4(p.PID, nil, 0, nil)
		again = waited == unix.EINTR
	}
	p.Mu.Lock()
	defer p.Mu.Unlock()
	unix.Close(p.pidfd)
	p.PID, p.pidfd = next, fd
	// A signal to end the run may have reached only the first child.
	if p.killed && fd >= 0 {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may have ended already
	}
	return err
}

// born waits for the fork if the child enters namespaces itself. The forked process is then the child.
func (p *Process) born() error {
	if !p.Comp.Staged() {
		return nil
	}
	// The launcher closes its copy of the child's end of the socket. Otherwise it could not notice that the child has
	// ended.
	p.files.CloseAll()
	if err := p.entered(); err != nil {
		return err
	}
	m, err := p.word()
	if err != nil {
		return err
	}
	if m != compile.MsgBorn {
		return p.ended()
	}
	return p.adopt()
}

// word waits for a message from the child, before the child has children. It returns 0 if the child has closed its end
// of the socket.
func (p *Process) word() (byte, error) {
	if err := p.await(p.Link, -1); err != nil {
		return 0, err
	}
	m, errno := child.Receive(p.Link)
	if errno != 0 {
		return 0, &fail.Error{Op: "receive from the child", Err: errno}
	}
	return m.Byte, nil
}

// awaitWord waits for a message. It watches init as well, because if init is not pid 1 of the sandbox, the task
// survives init's end and keeps the socket open.
func (p *Process) awaitWord() error {
	if p.Comp.OwnsPID() {
		return p.await(p.Link, -1)
	}
	if err := p.await(p.Link, p.pidfd); err != nil {
		return err
	}
	if !loop.Readable(p.Link) {
		return p.ended()
	}
	return nil
}

// The rest of this file joins a running sandbox: see exec.go of internal/compile.

// openAttached duplicates the descriptors of the sandbox that the child joins, and watches for the sandbox's end.
func (p *Process) openAttached() (err error) {
	if p.Comp.Into == nil {
		return nil
	}
	// The launcher needs duplicates, because the caller may close its own descriptors after Start has returned.
	for name, fd := range p.Comp.Into.Descriptors() {
		if err := p.files.Dup(name, fd); err != nil {
			return err
		}
	}
	if p.sandbox, err = unix.FcntlInt(uintptr(p.Comp.Into.Descriptors()[attach.FileInit]), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return &fail.Error{Op: "duplicate the pidfd of init", Err: err}
	}
	p.Watch(p.sandbox, unix.POLLIN, func(int16) {
		p.Unwatch(p.sandbox)
		p.Kill() // the kernel does this too if the sandbox has a pid namespace
	})
	return nil
}

// joined is called when a program that has joined a sandbox runs. It begins to count the output, because only this
// launcher can count the output that it copies. The limit on time is left to the sandbox's own launcher.
//
// When the sandbox's init ends, the kernel waits until every process in its pid namespace is reaped. The process that
// has joined is a child of this launcher. If this launcher is stopped, as by Ctrl-Z, it reaps nothing, and the sandbox
// could not end. So joined makes the kernel reap the child.
func (p *Process) joined() {
	p.watchOutput()
	if p.Cmd.Exclusive {
		child.ReapNothing()
	}
}

// sandboxEnds reports whether the joined sandbox has ended or is about to end: its init ends after all its other
// processes. If the program has not joined a sandbox, it returns false.
func (p *Process) sandboxEnds() bool {
	if p.sandbox < 0 {
		return false
	}
	return state.EndsWithin(100*time.Millisecond, p.sandbox)
}

// killedWithin reports whether the end of the sandbox killed a program that was joining the sandbox. It waits up to a
// second for each process, and reaps init. If SIGKILL arrives during an execve, nobody can tell whether the program has
// run. The program may have written something, so the launch is not reported as failed.
func (p *Process) killedWithin() bool {
	if p.Comp.Into == nil || !p.atProgram() || !state.EndsWithin(time.Second, p.pidfd) {
		return false
	}
	return p.reap(nil).Signal() == unix.SIGKILL && state.EndsWithin(time.Second, p.sandbox)
}

// unread records in the report what could not be read back because somebody killed the program too early.
func (p *Process) unread() {
	for _, layer := range [...]policy.Layer{policy.LayerCaps, policy.LayerNoNewPriv, policy.LayerSeccomp} {
		p.missing = append(p.missing, report.Missing{Layer: layer, Why: "somebody killed the program before cordon could read this back"})
	}
}

// sandboxGone returns the error of a launch into a sandbox that has ended, or nil if the sandbox has not ended. If the
// child has vanished, the sandbox may be about to end, because its init ends after that child.
func (p *Process) sandboxGone(err error) error {
	if p.Cmd.Into == nil {
		return nil
	}
	var patience time.Duration
	switch {
	case err == ErrEnded:
		patience = time.Second // the machine may be busy
	case p.Fault() != nil:
		patience = 100 * time.Millisecond
	}
	if state.EndsWithin(patience, p.Cmd.Into.Descriptors()[attach.FileInit]) {
		return attach.ErrSandboxEnded
	}
	return nil
}

// entered waits until the child has entered the sandbox, checks its namespaces, root and ids, and lets it continue.
func (p *Process) entered() error {
	if p.Comp.Into == nil {
		return nil
	}
	m, err := p.word()
	if err != nil {
		return err
	}
	if m != compile.MsgEntered {
		return p.ended()
	}
	if err := p.checkEntered("/proc/" + strconv.Itoa(p.PID)); err != nil {
		return err
	}
	return p.Send(nil)
}

// checkEntered compares the child's namespaces and root with those of the sandbox's task.
func (p *Process) checkEntered(dir string) error {
	a := p.Comp.Into
	for i := range host.Kinds {
		k := &host.Kinds[i]
		s := a.Space(k.Name)
		if s == nil {
			continue
		}
		// The child has chosen the pid and time namespaces of its future children, so the links are pid_for_children
		// and time_for_children. Equal numbers are proof: the kernel gives a number to no second namespace while the
		// first one lives, and the launcher's descriptors keep it alive.
		its, err := proc.Readlink(dir + "/ns/" + k.Children)
		if err != nil {
			return &fail.Error{Op: "read back the namespaces", Err: err}
		}
		if _, id, _ := strings.Cut(s.ID, ":"); !strings.HasSuffix(its, ":"+id) {
			return &fail.Error{Op: "read back the namespaces", Err: errors.New(k.Name + " is " + its + ", and the sandbox's is " + s.ID)}
		}
		if !s.Host {
			p.enforced(k.Layer, s.ID, "/proc/PID/ns/"+k.Children)
		}
	}
	if err := a.CheckRoot(dir + "/root"); err != nil {
		return err
	}
	p.enforced(policy.LayerMount, "the sandbox's root", "/proc/PID/root")
	// The child inherits some properties from this launcher, such as filters and groups. They must restrict it at least
	// as much as those that the sandbox's task inherited from its launcher.
	text, err := proc.ReadAll(dir + "/status")
	if err != nil {
		return &fail.Error{Op: "read back the ids", Err: err}
	}
	if err := a.CheckAround(text, dir); err != nil {
		return err
	}
	for line := range strings.Lines(a.Cgroups) {
		p.enforced(policy.LayerCgroup, "the sandbox's: "+strings.TrimSpace(line), "/proc/PID/cgroup")
	}
	return nil
}

// checkConfined checks the waiting task before its filter is installed. At this point the task has every layer except
// the filter.
func (p *Process) checkConfined() error {
	c := p.Comp
	switch {
	case c.Into != nil:
	case c.IDs.NewUser && !c.Profile.Nest: // checkNamespaces has checked the ids already
		return nil
	case !c.Profile.Nest:
		return p.checkIDs()
	default:
		return p.checkNested()
	}
	if p.Cmd.Hold != nil {
		p.Cmd.Hold()
	}
	text, err := p.taskStatus()
	if err != nil {
		return &fail.Error{Op: "read back the task's status", Err: err}
	}
	uids, gids := c.Into.UIDs, c.Into.GIDs
	// If the task opened the status file inside, the ids in the file are those inside.
	if c.HandsStatus() {
		uids, gids = fourTimes(c.Into.UID), fourTimes(c.Into.GID)
		if got := proc.StatusField(text, "Pid"); got != strconv.Itoa(p.Task) {
			return &fail.Error{Op: "read back the task's status", Err: errors.New("it is that of process " + got + ", not of " + strconv.Itoa(p.Task))}
		}
	}
	for _, x := range [...]struct{ key, want string }{
		{"Uid", uids}, {"Gid", gids}, {"NoNewPrivs", "1"},
	} {
		if got := proc.StatusField(text, x.key); got != x.want {
			return &fail.Error{Op: "read back the task's status", Err: errors.New(x.key + " is " + got + ", not " + x.want)}
		}
	}
	if err := p.checkSets(text); err != nil {
		return err
	}
	p.around = proc.Number(proc.StatusField(text, "Seccomp_filters"))
	return nil
}

// checkNested reads back, while the task waits, what checkStatus cannot read later. As soon as its program runs, such a
// task may make a user namespace of its own.
func (p *Process) checkNested() error {
	if !p.Comp.IDs.NewUser {
		if err := p.checkIDs(); err != nil {
			return err
		}
	}
	text, err := p.taskStatus()
	if err != nil {
		return &fail.Error{Op: "read back the task's status", Err: err}
	}
	return p.checkSets(text)
}

// checkSets compares the capability sets of a task that waits. With nest it also adds them to the report, because they
// cannot be read later.
func (p *Process) checkSets(text []byte) error {
	c := p.Comp
	for _, x := range [...]struct {
		key  string
		want uint64
	}{{"CapBnd", c.Keep}, {"CapPrm", c.Keep}, {"CapEff", c.Keep}, {"CapInh", c.Ambient}, {"CapAmb", c.Ambient}} {
		got := proc.StatusField(text, x.key)
		if got != proc.Hex16(x.want) {
			return &fail.Error{Op: "read back the task's status", Err: errors.New(x.key + " is " + got + ", not " + proc.Hex16(x.want))}
		}
		if c.Profile.Nest {
			p.enforced(policy.LayerCaps, x.key+"="+got, "/proc/PID/status before exec")
		}
	}
	return nil
}

// fourTimes formats an id as proc_pid_status(5) shows it: real, effective, saved, and of the file system.
func fourTimes(id int) string {
	text := strconv.Itoa(id)
	return text + "\t" + text + "\t" + text + "\t" + text
}

// checkFilters makes sure that the program has one filter more than the launcher: Linux 5.9 and newer count them. Only
// a program that joins a sandbox needs this check. It inherits the filters of its launcher, so Seccomp=2 alone would
// not prove that its own filter is in force.
func (p *Process) checkFilters(status []byte) error {
	got := proc.StatusField(status, "Seccomp_filters")
	if p.Comp.Into == nil || got == "absent" {
		return nil
	}
	if proc.Number(got) < p.around+1 {
		return &fail.Error{Op: "read back the task's status", Err: errors.New("Seccomp_filters is " + got + ", not " + strconv.Itoa(p.around+1))}
	}
	p.enforced(policy.LayerSeccomp, "Seccomp_filters="+got, "/proc/PID/status")
	return nil
}
