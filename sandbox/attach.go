package sandbox

// What a launcher keeps of its sandbox for a program that is to join it later: setns(2), namespaces(7), ioctl_nsfs(2)
// (NS_GET_NSTYPE, Linux 4.11), landlock_restrict_self(2), pidfd_open(2).
//
// Everything is a descriptor that was opened while the task waited before its execve: no number of a process and no path
// is resolved again, when the task may be another program or may have moved what a path leads to. Landlock's ruleset is
// kept too, since a domain cannot be joined, and rules that were made anew would follow the directories that the task has
// put in the place of others.

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/plan"
)

// Attached is a running sandbox that another program can be started in: see Cmd.Into. It holds descriptors of the
// sandbox's namespaces and root, which keep these alive until Close.
type Attached struct {
	Caller  int             // the user id that started the sandbox, and who alone may join it
	Profile *policy.Profile // effective
	Cwd     string          // of the caller: what "." in the profile meant
	Home    string          // of the caller: what "~" in the profile meant
	Workdir string          // of the task
	Env     []string        // of the task
	NewUser bool
	UID     int // of the task, inside
	GID     int
	Spaces  []Space
	Limits  []ResourceLimit
	Umask   uint32
	Filter  []byte // the profile's filter without reports, as struct sock_filter[], its nonce 0

	// Of the waiting task, as /proc/PID has them: the lines of status, setgroups, cgroup and attr/current.
	UIDs      string
	GIDs      string
	Groups    string
	Filters   string // of seccomp, the profile's own not yet among them
	SetGroups string
	Cgroups   string // in which its launcher is not
	Label     string // of a security module; "" for none

	Files []string // what the descriptors are, in their order
	fds   map[string]int
}

// Space is a namespace of the task.
type Space struct {
	Kind string // as in /proc/PID/ns
	ID   string // what the link there says: "net:[4026531840]"
	Host bool   // the launcher is in it, too
}

// ResourceLimit is a limit of getrlimit(2).
type ResourceLimit struct {
	Resource int
	Soft     uint64
	Hard     uint64
}

// The descriptors, besides those of the sandbox's groups: see cgroup.go.
const (
	fileSpace   = "ns/"     // a namespace; its kind stands behind
	fileRoot    = "root"    // the task's root directory, O_PATH
	fileInit    = "init"    // a pidfd of init
	fileRuleset = "ruleset" // Landlock's
	fileText    = "text"    // an Attached, packed
)

// spaceKinds are the kinds of namespaces that a task is in.
var spaceKinds = [...]struct {
	name     string
	flag     int
	children string // the link that says what a process has entered for its children
	layer    policy.Layer
}{
	{"user", unix.CLONE_NEWUSER, "user", policy.LayerUser},
	{"mnt", unix.CLONE_NEWNS, "mnt", policy.LayerMount},
	{"pid", unix.CLONE_NEWPID, "pid_for_children", policy.LayerPID},
	{"ipc", unix.CLONE_NEWIPC, "ipc", policy.LayerIPC},
	{"uts", unix.CLONE_NEWUTS, "uts", policy.LayerUTS},
	{"cgroup", unix.CLONE_NEWCGROUP, "cgroup", policy.LayerCgroupNS},
	{"net", unix.CLONE_NEWNET, "net", policy.LayerNet},
	{"time", unix.CLONE_NEWTIME, "time_for_children", policy.LayerTime}, // since Linux 5.6
}

// keepRuleset hands Landlock's ruleset to the launcher, where it is to be kept.
func (c *compilation) keepRuleset() {
	if !c.cmd.attachable() {
		return
	}
	c.do(c.scalar("landlock"),
		plan.Dup(plan.R(plan.Ruleset), plan.F(fileBeneath), unix.O_CLOEXEC),
		plan.SendNamedFile(plan.F(fileSync), msgRules, fileBeneath))
}

// keep opens what a later program needs, while the task waits before its execve.
func (p *process) keep() error {
	if !p.cmd.attachable() {
		return nil
	}
	a := p.kept
	if a == nil { // there is a ruleset otherwise
		a = &Attached{fds: map[string]int{}}
		p.kept = a
	}
	if err := a.open("/proc/" + itoa(p.task)); err != nil {
		return &Error{Op: "keep the sandbox for exec", Err: err}
	}
	if err := p.keepGroupFiles(a); err != nil {
		return err
	}
	c := p.comp
	a.Caller, a.Profile, a.Cwd, a.Home = c.host.UID, c.profile, c.host.Cwd, c.host.Home
	a.Workdir, a.Env = c.workdir, c.program.env
	a.NewUser, a.UID, a.GID = c.ids.newUser, c.ids.inUID, c.ids.inGID
	return nil
}

// keepGroupFiles opens what the sandbox's groups are entered by: see openGroup.
func (p *process) keepGroupFiles(a *Attached) error {
	ch := p.comp.groups.choice
	if ch == nil {
		return nil
	}
	if ch.V2() || ch.Unit() {
		fd, err := p.cgroup.Open()
		if err != nil {
			return err
		}
		a.fds[fileCgroup] = fd
	}
	for _, controller := range ch.V1() {
		fd, err := p.cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		a.fds[fileTasks+controller] = fd
	}
	return nil
}

// keepFile takes over a descriptor that the child has sent.
func (p *process) keepFile(name string, fd int) error {
	if fd < 0 {
		return &Error{Op: "keep the sandbox for exec", Err: errText("the " + name + " did not arrive")}
	}
	if p.kept == nil {
		p.kept = &Attached{fds: map[string]int{}}
	}
	p.kept.fds[name] = fd
	return nil
}

// open opens what is below /proc/PID.
func (a *Attached) open(dir string) error {
	for i := range spaceKinds {
		name := spaceKinds[i].name
		id, err := readlink(dir + "/ns/" + name)
		if err != nil && name == "time" {
			continue // before Linux 5.6
		}
		if err != nil {
			return err
		}
		own, err := readlink("/proc/self/ns/" + name)
		if err != nil {
			return err
		}
		fd, err := unix.Open(dir+"/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &pathError{dir + "/ns/" + name, err}
		}
		a.fds[fileSpace+name] = fd
		a.Spaces = append(a.Spaces, Space{name, id, id == own})
	}
	root, err := unix.Open(dir+"/root", openDir, 0)
	if err != nil {
		return &pathError{dir + "/root", err}
	}
	a.fds[fileRoot] = root
	limits, err := readAll(dir + "/limits") // prlimit(2) takes a capability where the task is another user
	if err != nil {
		return err
	}
	if a.Limits, err = resourceLimits(limits); err != nil {
		return err
	}
	status, err := readAll(dir + "/status")
	if err != nil {
		return err
	}
	a.UIDs, a.GIDs, a.Groups = statusField(status, "Uid"), statusField(status, "Gid"), statusField(status, "Groups")
	a.Filters = statusField(status, "Seccomp_filters")
	umask, err := strconv.ParseUint(statusField(status, "Umask"), 8, 32) // since Linux 4.7
	if err != nil {
		return err
	}
	a.Umask = uint32(umask)
	if a.Cgroups, err = distinctGroups(dir + "/cgroup"); err != nil {
		return err
	}
	a.SetGroups, a.Label = line(dir+"/setgroups"), line(dir+"/attr/current")
	return nil
}

// distinctGroups are the lines of /proc/PID/cgroup in which a process differs from the launcher.
func distinctGroups(path string) (string, error) {
	its, err := readAll(path)
	if err != nil {
		return "", err
	}
	launchers, err := readAll("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own := ""
	for line := range strings.Lines(string(its)) {
		if !strings.Contains("\n"+string(launchers), "\n"+line) {
			own += line
		}
	}
	return own, nil
}

// resourceLimits reads a table of limits (proc_pid_limits(5)), which the kernel writes in the order of their numbers,
// behind a head, with a name of 26 bytes.
func resourceLimits(text []byte) ([]ResourceLimit, error) {
	const count, name = 16, 26 // RLIM_NLIMITS
	list := make([]ResourceLimit, 0, count)
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("Limit ")) {
			continue
		}
		var f []string
		if len(line) > name {
			f = strings.Fields(string(line[name:]))
		}
		if len(f) < 2 {
			return nil, errText("unexpected line " + strconv.Quote(string(line)))
		}
		l := ResourceLimit{Resource: len(list)}
		for i, to := range [...]*uint64{&l.Soft, &l.Hard} {
			var err error
			if *to, err = strconv.ParseUint(f[i], 10, 64); f[i] == "unlimited" {
				*to = policy.Unlimited
			} else if err != nil {
				return nil, errText("unexpected limit " + strconv.Quote(f[i]))
			}
		}
		list = append(list, l)
	}
	if len(list) != count {
		return nil, errText("a table of " + itoa(len(list)) + " limits, not of " + itoa(count))
	}
	return list, nil
}

// attachable reports whether the sandbox can be joined: where other commands find it, it can.
func (c *Cmd) attachable() bool { return c.Attachable || c.State != nil }

// line is the text of a file of one line; "" where there is none.
func line(path string) string {
	text, err := readSome(path, 4096)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\x00\n")
}

// attach completes what was kept. What it returns shares the launcher's descriptors.
func (p *process) attach() (*Attached, error) {
	if p.kept == nil {
		return nil, &Error{Op: "attach", Err: errText("the sandbox was not started to be joined"), Hint: "give it a name, as with cordon run --name"}
	}
	if p.exited() {
		return nil, errSandboxEnded
	}
	a := *p.kept
	a.fds = make(map[string]int, len(p.kept.fds)+1)
	for name, fd := range p.kept.fds {
		if name != fileText {
			a.fds[name] = fd
		}
	}
	a.fds[fileInit] = p.pidfd
	for name := range a.fds {
		a.Files = append(a.Files, name)
	}
	slices.Sort(a.Files)
	prog, err := p.comp.plainFilter()
	if err != nil {
		return nil, err
	}
	a.Filter = prog
	return &a, nil
}

// plainFilter is the profile's filter without what is of one launch: reports, and a nonce.
func (c *compilation) plainFilter() ([]byte, error) {
	spec, err := c.profile.FilterOnce(0)
	if err != nil {
		return nil, err
	}
	prog, err := filter.Compile(spec, c.arch)
	if err != nil {
		return nil, err
	}
	return []byte(encode(prog.Insns)), nil
}

// Attach gives what it takes to start another program in the sandbox, for Cmd.Into. The sandbox must have been started with
// Attachable. What it gives is to be closed.
func (c *Cmd) Attach() (*Attached, error) {
	if c.proc == nil {
		return nil, &Error{Op: "attach", Err: errText("not started")}
	}
	c.proc.mu.Lock()
	defer c.proc.mu.Unlock()
	if c.proc.pidfd < 0 {
		return nil, errSandboxEnded
	}
	shared, err := c.proc.attach()
	if err != nil {
		return nil, err
	}
	a := *shared
	a.fds = make(map[string]int, len(shared.fds))
	for name, fd := range shared.fds {
		if a.fds[name], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			delete(a.fds, name)
			a.Close()
			return nil, &Error{Op: "attach: duplicate " + name, Err: err}
		}
	}
	return &a, nil
}

// attachAsked is Attach for another process.
func (p *process) attachAsked(json.RawMessage) (any, []int, error) {
	if p.frozen() {
		return nil, nil, &Error{Op: "exec", Err: errText("the sandbox is paused"), Hint: "cordon resume lets it go on"}
	}
	if p.exited() {
		return nil, nil, errSandboxEnded
	}
	if p.answer != nil { // it is the same for all who ask
		return nil, p.answer, nil
	}
	a, err := p.attach()
	if err != nil {
		return nil, nil, err
	}
	fds, err := a.send()
	if err != nil {
		return nil, nil, err
	}
	p.kept.fds[fileText], p.answer = fds[0], fds
	return nil, fds, nil
}

// frozen reports whether the task is stopped, by its cgroup or by a signal.
func (p *process) frozen() bool {
	if p.cgroup != nil {
		if frozen, err := p.cgroup.Frozen(); err == nil && frozen {
			return true
		}
	}
	text, err := readSome("/proc/"+itoa(p.task)+"/stat", 512)
	_, state, found := strings.Cut(string(text), ") ")
	return err == nil && found && strings.HasPrefix(state, "T")
}

// Attach asks a sandbox's launcher for what it takes to start another program in it: see Cmd.Into. It is to be closed.
func (e *Entry) Attach() (*Attached, error) {
	if err := e.running(); err != nil {
		return nil, err
	}
	fds, err := e.Call("attach", nil, nil)
	if err != nil {
		return nil, err
	}
	return receiveAttached(fds)
}

// Close closes the descriptors.
func (a *Attached) Close() {
	if a == nil {
		return
	}
	for name, fd := range a.fds {
		unix.Close(fd)
		delete(a.fds, name)
	}
}

// send is the sandbox for another process: descriptors that go with a message by SCM_RIGHTS (unix(7)), of which the first
// is a file with what it says besides, which nobody can change any more. The others stay a's.
func (a *Attached) send() ([]int, error) {
	text := pack(a)
	file, err := unix.MemfdCreate("attach", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, &Error{Op: "attach: memfd_create", Err: err}
	}
	_, err = unix.Pwrite(file, text, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(file), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(file)
		return nil, &Error{Op: "attach: write", Err: err}
	}
	fds := []int{file}
	for _, name := range a.Files {
		fds = append(fds, a.fds[name])
	}
	return fds, nil
}

// receiveAttached makes an Attached of what send gave in another process. It takes the descriptors over, whatever becomes
// of it.
func receiveAttached(fds []int) (*Attached, error) {
	if len(fds) == 0 {
		return nil, &Error{Op: "attach", Err: errText("no descriptor arrived")}
	}
	text, err := readAll("/proc/self/fd/" + itoa(fds[0]))
	unix.Close(fds[0])
	if err != nil {
		text = nil
	}
	return newAttached(text, fds[1:])
}

// newAttached makes sure that each descriptor is what the text says.
func newAttached(text []byte, fds []int) (*Attached, error) {
	a := &Attached{fds: map[string]int{}}
	err := unpack(text, a)
	if err == nil && len(a.Files) != len(fds) {
		err = errText(strconv.Itoa(len(fds)) + " descriptors arrived for " + strconv.Itoa(len(a.Files)) + " files")
	}
	for i, fd := range fds {
		name := "unknown" + itoa(i)
		if err == nil {
			name = a.Files[i]
		}
		if _, twice := a.fds[name]; twice {
			err = errText(name + " arrived twice")
			unix.Close(fd)
			continue
		}
		a.fds[name] = fd
	}
	if err == nil {
		err = a.check()
	}
	if err != nil {
		a.Close()
		return nil, &Error{Op: "attach", Err: err, Hint: "is the sandbox of another version of cordon?"}
	}
	return a, nil
}

// check holds the descriptors against what they are said to be.
func (a *Attached) check() error {
	if a.Profile == nil {
		return errText("there is no profile")
	}
	for i := range spaceKinds {
		k := &spaceKinds[i]
		s := a.space(k.name)
		if s == nil && k.name == "time" {
			continue
		}
		fd, ok := a.fds[fileSpace+k.name]
		if s == nil || !ok {
			return errText("there is no " + k.name + " namespace")
		}
		kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err != nil || kind != k.flag || s.ID != k.name+":["+strconv.FormatUint(st.Ino, 10)+"]" {
			return errText("what arrived as the " + k.name + " namespace is another thing")
		}
	}
	var st unix.Stat_t
	if fd, ok := a.fds[fileRoot]; !ok || unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return errText("the root is no directory")
	}
	if fd, ok := a.fds[fileInit]; !ok || unix.PidfdSendSignal(fd, 0, nil, 0) == unix.EBADF {
		return errText("there is no pidfd of init")
	}
	return nil
}

// space is the namespace of a kind; nil for none.
func (a *Attached) space(kind string) *Space {
	for i := range a.Spaces {
		if a.Spaces[i].Kind == kind {
			return &a.Spaces[i]
		}
	}
	return nil
}

// ended reports whether init is gone, and the sandbox with it.
func (a *Attached) ended() bool {
	fd, ok := a.fds[fileInit]
	return ok && readable(fd)
}

var errSandboxEnded = &Error{Op: "exec", Err: errText("the sandbox has ended")}
