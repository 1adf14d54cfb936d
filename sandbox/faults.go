package sandbox

// What went wrong in a launch, by the step at which the child ended.

import (
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/plan"
)

func (p *process) cloneError(err error) error {
	e := &UnsupportedError{Layer: "namespaces", Why: "clone3: " + err.Error(), Remedy: "cordon doctor says what this host lacks"}
	if p.cmd.Into != nil && p.comp.plan.Clone&unix.CLONE_INTO_CGROUP != 0 && (err == unix.EACCES || err == unix.ENODEV || err == unix.EBUSY) {
		return &Error{Op: "enter the sandbox's cgroup", Err: err, Hint: "run cordon exec where the sandbox was started: both must be below a group that is the caller's; under systemd: systemd-run --user --scope cordon exec …"}
	}
	switch err {
	case unix.EMFILE, unix.ENFILE:
		return &Error{Op: "clone3", Err: err, Hint: "the limit of open files is too low: ulimit -n"}
	case unix.ENOSYS:
		e.Why = "clone3: not implemented: a sandbox of cordon or a container runtime's filter around this, or an old kernel (5.3 has it)"
	case unix.EPERM:
		e.Why = "clone3: operation not permitted: user namespaces are not allowed to this user here"
	case unix.ENOSPC:
		e.Why = "clone3: no space left: user.max_user_namespaces or another limit on namespaces is reached, or 32 levels of nesting"
	}
	return e
}

// fault is the step at which the child ended: one that failed, or one that its filter ended it for.
func (p *process) fault() error {
	if p.image == nil {
		return nil
	}
	page := p.image.Page()
	switch init, task := page.Init, page.Task; { // init first: without it the task has nobody to talk to
	case init.Errno != 0:
		return p.stepError(int(init.Step)-1, syscall.Errno(init.Errno), 0)
	case init.Step != 0 && p.reaped && p.status.Signal() == unix.SIGSYS:
		return p.stepError(int(init.Step)-1, 0, unix.SIGSYS)
	case task.Errno != 0:
		return p.stepError(int(task.Step)-1, syscall.Errno(task.Errno), 0)
	}
	return nil
}

func (p *process) stepError(i int, errno syscall.Errno, sig syscall.Signal) error {
	steps, n := p.comp.plan.Steps, i
	if i >= child.InitBase {
		steps, n = p.comp.plan.Init, i-child.InitBase
		i = len(p.comp.plan.Steps) + n
	}
	s := &steps[n]
	if s.Call == plan.Execve || s.Call == plan.Execveat || s.To == plan.Program {
		e := &LookupError{Name: p.cmd.Args[0], Why: errno.Error(), Code: execCode(errno), Hint: stepHint("execve", errno)}
		if text := p.comp.execHint(); text != "" {
			e.Hint = text
			return e
		}
		if text := execDenial(p.comp, p.cmd.Args[0]); errno == unix.EACCES && text != "" {
			e.Hint = text
		}
		if p.comp.profile.Root.Kind == policy.RootEmpty && !p.comp.tree.showsHost() {
			e.Hint = "the root is empty, and no directory of the host is bound; name a root file system with --root DIR"
		}
		return e
	}
	hint := stepHint(s.Call.String(), errno)
	if errno == unix.EACCES && p.comp.ids.own && !p.comp.ids.idmapped {
		hint = "root without CAP_SYS_ADMIN gives the task an id of its own, which may not go there; " + p.comp.orRoot()
	}
	if errno == unix.EPERM && s.Call == plan.Write && !p.comp.mayMapRoot() && p.comp.ids.newUser {
		hint = p.comp.mapHint(unix.EPERM)
	}
	return &StepError{Index: i, Step: s.String(), From: s.From.String(), Errno: errno, Signal: sig, Hint: hint}
}

// execCode is the exit code of env(1): 127 for what is not there, 126 for what cannot be executed.
func execCode(errno syscall.Errno) int {
	if errno == unix.ENOENT {
		return 127
	}
	return 126
}
