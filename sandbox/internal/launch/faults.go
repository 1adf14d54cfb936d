package launch

// What went wrong in a launch, by the step at which the child ended.

import (
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/plan"
)

func (p *Process) CloneError(err error) error {
	e := &fail.UnsupportedError{Layer: "namespaces", Why: "clone3: " + err.Error(), Remedy: "cordon doctor says what this host lacks"}
	if p.Cmd.Into != nil && p.Comp.Plan.Clone&unix.CLONE_INTO_CGROUP != 0 && (err == unix.EACCES || err == unix.ENODEV || err == unix.EBUSY) {
		return &fail.Error{Op: "enter the sandbox's cgroup", Err: err, Hint: "run cordon exec where the sandbox was started: both must be below a group that is the caller's; under systemd: systemd-run --user --scope cordon exec …"}
	}
	switch err {
	case unix.EMFILE, unix.ENFILE:
		return &fail.Error{Op: "clone3", Err: err, Hint: "the limit of open files is too low: ulimit -n"}
	case unix.ENOSYS:
		e.Why = "clone3: not implemented: a sandbox of cordon or a container runtime's filter around this, or an old kernel (5.3 has it)"
	case unix.EPERM:
		e.Why = "clone3: operation not permitted: user namespaces are not allowed to this user here"
	case unix.ENOSPC:
		e.Why = "clone3: no space left: user.max_user_namespaces or another limit on namespaces is reached, or 32 levels of nesting"
	}
	return e
}

// Fault is the step at which the child ended: one that failed, or one that its filter ended it for.
func (p *Process) Fault() error {
	if p.Image == nil {
		return nil
	}
	page := p.Image.Page()
	switch init, task := page.Init, page.Task; { // init first: without it the task has nobody to talk to
	case init.Errno != 0:
		return p.stepError(int(init.Step)-1, syscall.Errno(init.Errno), 0)
	case init.Step != 0 && p.Reaped && p.Status.Signal() == unix.SIGSYS:
		return p.stepError(int(init.Step)-1, 0, unix.SIGSYS)
	case task.Errno != 0:
		return p.stepError(int(task.Step)-1, syscall.Errno(task.Errno), 0)
	}
	return nil
}

func (p *Process) stepError(i int, errno syscall.Errno, sig syscall.Signal) error {
	steps, n := p.Comp.Plan.Steps, i
	if i >= child.InitBase {
		steps, n = p.Comp.Plan.Init, i-child.InitBase
		i = len(p.Comp.Plan.Steps) + n
	}
	s := &steps[n]
	if s.Call == plan.Execve || s.Call == plan.Execveat || s.To == plan.Program {
		e := &fail.LookupError{Name: p.Cmd.Args[0], Why: errno.Error(), Code: execCode(errno), Hint: stepHint("execve", errno)}
		if text := p.Comp.ExecHint(); text != "" {
			e.Hint = text
			return e
		}
		if text := why.ExecDenial(p.Comp, p.Cmd.Args[0]); errno == unix.EACCES && text != "" {
			e.Hint = text
		}
		if p.Comp.Profile.Root.Kind == policy.RootEmpty && !p.Comp.Tree.ShowsHost() {
			e.Hint = "the root is empty, and no directory of the host is bound; name a root file system with --root DIR"
		}
		return e
	}
	hint := stepHint(s.Call.String(), errno)
	if errno == unix.EACCES && p.Comp.IDs.Own && !p.Comp.IDs.Idmapped {
		hint = "root without CAP_SYS_ADMIN gives the task an id of its own, which may not go there; " + p.Comp.OrRoot()
	}
	if errno == unix.EPERM && s.Call == plan.Write && !p.Comp.MayMapRoot() && p.Comp.IDs.NewUser {
		hint = p.Comp.MapHint(unix.EPERM)
	}
	return &fail.StepError{Index: i, Step: s.String(), From: s.From.String(), Errno: errno, Signal: sig, Hint: hint}
}

// execCode is the exit code of env(1): 127 for what is not there, 126 for what cannot be executed.
func execCode(errno syscall.Errno) int {
	if errno == unix.ENOENT {
		return 127
	}
	return 126
}
