package launch

// The launcher enters namespaces that exist already, and takes over the child that is born there.

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

// openJoins opens the namespaces that the sandbox joins.
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

// enterJoined moves the launcher's thread into the joined namespaces, unless the child enters them itself.
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

// adopt takes over the process that the first child has left in its place. That process is init from here on.
func (p *Process) adopt() error {
	next := int(p.Image.Page().Next)
	if next == 0 || next == p.PID {
		return nil
	}
	fd, err := unix.PidfdOpen(next, 0)
	if err != nil {
		fd = -1
		_ = unix.Kill(next, unix.SIGKILL) // nobody has waited for it, so the number is still its own
		err = &fail.Error{Op: "pidfd_open of init", Err: err}
	}
	for again := true; again; { // the first child ends right after the clone
		_, waited := unix.Wait4(p.PID, nil, 0, nil)
		again = waited == unix.EINTR
	}
	p.Mu.Lock()
	defer p.Mu.Unlock()
	unix.Close(p.pidfd)
	p.PID, p.pidfd = next, fd
	// The signal may have reached only the first child.
	if p.killed && fd >= 0 {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may be gone already
	}
	return err
}

// born waits until the child is its final process, if the child enters namespaces itself.
func (p *Process) born() error {
	if !p.Comp.Staged() {
		return nil
	}
	// The launcher closes its copy of the child's end of the socket. Otherwise it could not notice that the child is
	// gone.
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

// word waits for a message of the child, before the child has children. It returns 0 if the child has closed its end.
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

// awaitWord waits for a message. If init is not pid 1 of the sandbox, init's end does not close the task's end of the
// socket. So awaitWord watches init as well.
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

// This part joins a running sandbox: see exec.go of internal/compile.

// openAttached duplicates the descriptors of what the child enters, and watches the sandbox.
func (p *Process) openAttached() (err error) {
	if p.Comp.Into == nil {
		return nil
	}
	// The launcher needs duplicates, because the caller may close its own descriptors when Start has returned.
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
		p.Kill() // if the sandbox has a pid namespace, the kernel does that, too
	})
	return nil
}

// joined is called when a program that joins a sandbox runs. The sandbox has its own limit on time, which does not
// begin anew. But only this launcher can count the output that it passes on.
//
// The end of the sandbox's init waits until every process in its pid namespace is reaped. The process that this
// launcher has put there is the launcher's own child. If the launcher is stopped, as by Ctrl-Z, it reaps nothing and
// would hold up the sandbox's end. So the kernel reaps the child.
func (p *Process) joined() {
	p.watchOutput()
	if p.Cmd.Exclusive {
		child.ReapNothing()
	}
}

// sandboxEnds reports whether the sandbox has ended or is about to end: its init ends after its processes.
func (p *Process) sandboxEnds() bool {
	if p.sandbox < 0 {
		return false
	}
	return state.EndsWithin(100*time.Millisecond, p.sandbox)
}

// killedWithin reports whether a program that joins a sandbox was run, or was about to be, and init was then killed
// together with the sandbox. It waits up to a second for each, and reaps init. Nobody can tell whether an execve that
// SIGKILL met was over. The program may have written already, so the launch did not fail.
func (p *Process) killedWithin() bool {
	if p.Comp.Into == nil || !p.atProgram() || !state.EndsWithin(time.Second, p.pidfd) {
		return false
	}
	return p.reap(nil).Signal() == unix.SIGKILL && state.EndsWithin(time.Second, p.sandbox)
}

// unread puts into the report what could not be read back because somebody killed the program before.
func (p *Process) unread() {
	for _, layer := range [...]policy.Layer{policy.LayerCaps, policy.LayerNoNewPriv, policy.LayerSeccomp} {
		p.missing = append(p.missing, report.Missing{Layer: layer, Why: "somebody killed the program before cordon could read this back"})
	}
}

// sandboxGone returns the error of a launch into a sandbox that has ended, or nil if it has not. If the child was lost,
// the sandbox may be just ending, because its init ends after that child.
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

// entered waits until the child has entered the sandbox, checks that it is there, and lets it continue.
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

// checkEntered compares what the child has entered with what the sandbox's task has.
func (p *Process) checkEntered(dir string) error {
	a := p.Comp.Into
	for i := range host.Kinds {
		k := &host.Kinds[i]
		s := a.Space(k.Name)
		if s == nil {
			continue
		}
		// The child enters a pid or time namespace for its children, so the link is pid_for_children or
		// time_for_children.
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
	// The child has some properties from this launcher, such as filters and groups. They must be no weaker than those
	// that the sandbox's task got from its own launcher.
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

// checkConfined looks at the waiting task before the task's filter is in place. The filter is then the last thing
// that the task lacks.
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
	// A status file that was opened inside shows the ids as they are inside.
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

// checkNested reads back, while the task waits, what checkStatus cannot read of a task that may make a user namespace of
// its own as soon as its program runs.
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

// checkSets compares the capability sets of a task that waits. With nest it also reports them: then it is the last time
// that they can be read.
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

// fourTimes returns an id as proc_pid_status(5) shows it: real, effective, saved, and of the file system.
func fourTimes(id int) string {
	text := strconv.Itoa(id)
	return text + "\t" + text + "\t" + text + "\t" + text
}

// checkFilters makes sure that the program runs under one filter more than before: Linux 5.9 and newer count them.
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
