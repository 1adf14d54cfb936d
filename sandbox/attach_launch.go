package sandbox

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/proc"
)

// keep opens what a later program needs, while the task waits before its execve.
func (p *process) keep() error {
	if !p.cmd.Keep {
		return nil
	}
	a := p.kept
	if a == nil { // there is a ruleset otherwise
		a = &Attached{}
		p.kept = a
	}
	if err := a.open("/proc/" + strconv.Itoa(p.task)); err != nil {
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
	ch := p.choice()
	if ch == nil {
		return nil
	}
	if ch.V2() || ch.Unit() {
		fd, err := p.cgroup.Open()
		if err != nil {
			return err
		}
		a.descriptors()[fileCgroup] = fd
	}
	for _, controller := range ch.V1() {
		fd, err := p.cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		a.descriptors()[fileTasks+controller] = fd
	}
	return nil
}

// keepFile takes over a descriptor that the child has sent.
func (p *process) keepFile(name string, fd int) error {
	if fd < 0 {
		return &Error{Op: "keep the sandbox for exec", Err: errors.New("the " + name + " did not arrive")}
	}
	if p.kept == nil {
		p.kept = &Attached{}
	}
	p.kept.descriptors()[name] = fd
	return nil
}

// attach completes what was kept. What it returns shares the launcher's descriptors.
func (p *process) attach() (*Attached, error) {
	if p.kept == nil {
		return nil, &Error{Op: "attach", Err: errors.New("the sandbox was not started to be joined"), Hint: "give it a name, as with cordon run --name"}
	}
	if p.exited() {
		return nil, errSandboxEnded
	}
	fds := maps.Clone(p.kept.descriptors())
	delete(fds, fileText)
	fds[fileInit] = p.pidfd
	a := p.kept.with(fds)
	for name := range fds {
		a.Files = append(a.Files, name)
	}
	slices.Sort(a.Files)
	prog, err := p.comp.plainFilter()
	if err != nil {
		return nil, err
	}
	a.Filter = prog
	return a, nil
}

// attachAsked is Attach for another process.
func (p *process) attachAsked(json.RawMessage) (any, []int, error) {
	if p.frozen() {
		return nil, nil, &Error{Op: "exec", Err: errors.New("the sandbox is paused"), Hint: "cordon resume lets it go on"}
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
	p.kept.descriptors()[fileText], p.answer = fds[0], fds
	return nil, fds, nil
}

// frozen reports whether the task is stopped, by its cgroup or by a signal.
func (p *process) frozen() bool {
	if p.cgroup != nil {
		if frozen, err := p.cgroup.Frozen(); err == nil && frozen {
			return true
		}
	}
	text, err := proc.ReadSome("/proc/"+strconv.Itoa(p.task)+"/stat", 512)
	_, state, found := strings.Cut(string(text), ") ")
	return err == nil && found && strings.HasPrefix(state, "T")
}

// share duplicates what is kept, for a caller of the library.
func (p *process) share() (*Attached, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return nil, errSandboxEnded
	}
	shared, err := p.attach()
	if err != nil {
		return nil, err
	}
	a := shared.with(nil)
	for name, fd := range shared.descriptors() {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			a.Close()
			return nil, &Error{Op: "attach: duplicate " + name, Err: err}
		}
		a.descriptors()[name] = own
	}
	return a, nil
}
