package launch

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// keep opens the descriptors through which other programs can join the sandbox later (cordon exec). It is called while
// the task waits before its execve. If Cmd.Keep is not set, it does nothing.
func (p *Process) keep() error {
	if !p.Cmd.Keep {
		return nil
	}
	a := p.kept
	if a == nil { // nil if the child has sent no Landlock ruleset; otherwise keepFile has made it
		a = &attach.Attached{}
		p.kept = a
	}
	// The task waits, so its namespaces and its root are final, and the launcher can open them. Later the task may have
	// ended.
	if err := a.Open("/proc/" + strconv.Itoa(p.Task)); err != nil {
		return &fail.Error{Op: "keep the sandbox for exec", Err: err}
	}
	if err := p.keepGroupFiles(a); err != nil {
		return err
	}
	c := p.Comp
	// A joining launcher needs these values too: it compiles its own plan from the profile, the ids and the environment
	// of this sandbox.
	a.Caller, a.Profile, a.Cwd, a.Home = c.Host.UID, c.Profile, c.Host.Cwd, c.Host.Home
	a.Workdir, a.Env = c.Workdir, c.Program.Env
	a.NewUser, a.UID, a.GID = c.IDs.NewUser, c.IDs.InUID, c.IDs.InGID
	return nil
}

// keepGroupFiles opens the files through which a joining program enters the sandbox's control groups: see openGroup.
func (p *Process) keepGroupFiles(a *attach.Attached) error {
	ch := p.choice()
	if ch == nil {
		return nil
	}
	if ch.V2() || ch.Unit() {
		fd, err := p.Cgroup.Open()
		if err != nil {
			return err
		}
		a.Descriptors()[compile.FileCgroup] = fd
	}
	for _, controller := range ch.V1() {
		fd, err := p.Cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		a.Descriptors()[compile.FileTasks+controller] = fd
	}
	return nil
}

// keepFile keeps a descriptor that the child has sent, for programs that join later. If the child's message had no
// descriptor, fd is negative, and keepFile returns an error, which ends the launch.
func (p *Process) keepFile(name string, fd int) error {
	if fd < 0 {
		return &fail.Error{Op: "keep the sandbox for exec", Err: errors.New("the " + name + " did not arrive")}
	}
	if p.kept == nil {
		p.kept = &attach.Attached{}
	}
	p.kept.Descriptors()[name] = fd
	return nil
}

// Attach returns the data that a launcher needs to join this sandbox. The data share the descriptors of the sandbox's
// own launcher. The error is ErrSandboxEnded if init has ended.
func (p *Process) Attach() (*attach.Attached, error) {
	if p.kept == nil {
		return nil, &fail.Error{Op: "attach", Err: errors.New("the sandbox was not started with a name"), Hint: "start it with cordon run --name NAME"}
	}
	if p.exited() {
		return nil, attach.ErrSandboxEnded
	}
	fds := maps.Clone(p.kept.Descriptors())
	// Each answer encodes the other fields of Attached anew, so the text of an earlier answer is left out.
	delete(fds, attach.FileText)
	// Through the pidfd of init, a launcher that joins the sandbox notices the sandbox's end.
	fds[attach.FileInit] = p.pidfd
	a := p.kept.With(fds)
	for name := range fds {
		a.Files = append(a.Files, name)
	}
	slices.Sort(a.Files)
	// The program that joins must get exactly this filter. The joining launcher compiles the filter too, and refuses if
	// the two differ: another version of cordon may compile another filter.
	prog, err := p.Comp.PlainFilter()
	if err != nil {
		return nil, err
	}
	a.Filter = prog
	return a, nil
}

// attachAsked answers another process that asks over the control socket for the data of Attach.
func (p *Process) attachAsked(json.RawMessage) (any, []int, error) {
	// A program that joins a frozen cgroup would be frozen in the middle of its launch, and its launcher would wait.
	if p.frozen() {
		return nil, nil, &fail.Error{Op: "exec", Err: errors.New("the sandbox is paused"), Hint: "to continue it: cordon resume"}
	}
	if p.exited() {
		return nil, nil, attach.ErrSandboxEnded
	}
	// The file that contains the data is sealed, so nobody can change it, and every client can get the same file.
	if p.answer != nil {
		return nil, p.answer, nil
	}
	a, err := p.Attach()
	if err != nil {
		return nil, nil, err
	}
	fds, err := a.Send()
	if err != nil {
		return nil, nil, err
	}
	p.kept.Descriptors()[attach.FileText], p.answer = fds[0], fds
	return nil, fds, nil
}

// frozen reports whether the task is stopped, by its cgroup or by a signal.
func (p *Process) frozen() bool {
	if p.Cgroup != nil {
		if frozen, err := p.Cgroup.Frozen(); err == nil && frozen {
			return true
		}
	}
	// Without a freezer, cordon pause has sent SIGSTOP, and the task's state is T: proc_pid_stat(5).
	text, err := proc.ReadSome("/proc/"+strconv.Itoa(p.Task)+"/stat", 512)
	name := strings.LastIndex(string(text), ") ") // the task's name in parentheses may itself contain one
	return err == nil && name >= 0 && strings.HasPrefix(string(text)[name+2:], "T")
}

// Share returns a copy of the data and its descriptors, for a caller of the library. It may be called on any thread.
// The caller closes the copy.
func (p *Process) Share() (*attach.Attached, error) {
	p.Mu.Lock()
	// The lock keeps release from closing the descriptors meanwhile.
	defer p.Mu.Unlock()
	if p.pidfd < 0 {
		return nil, attach.ErrSandboxEnded
	}
	shared, err := p.Attach()
	if err != nil {
		return nil, err
	}
	a := shared.With(nil)
	// The copy gets duplicates, because the launcher closes its own descriptors when the sandbox ends, and the caller
	// cannot know when that is.
	for name, fd := range shared.Descriptors() {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			a.Close()
			return nil, &fail.Error{Op: "attach: duplicate " + name, Err: err}
		}
		a.Descriptors()[name] = own
	}
	return a, nil
}
