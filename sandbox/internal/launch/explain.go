package launch

// This file finds the reason why the host refused a launch. It runs only after a launch has failed.

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cause"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// explain adds the cause to the error of a failed launch, if the host is the cause. Otherwise it returns err. If a step
// of the child has failed, the error has its cause already: see because.
func (p *Process) explain(err error) error {
	var e *fail.Error
	switch h := cause.This(); {
	// These errors name their cause already.
	case errors.As(err, new(*fail.UnsupportedError)), errors.As(err, new(*fail.SignalError)), err == ErrEnded:
		return err
	// If a file below /proc is missing, the reason is mostly that /proc is not mounted, or shows another pid namespace.
	case errors.Is(err, unix.ENOENT) && strings.Contains(err.Error(), "/proc/"):
		if c, ok := h.Proc(); ok {
			return unsupported(policy.LayerMount, err, "", c)
		}
	case !errors.As(err, &e):
	// The launcher makes only calls that every supported kernel has. So ENOSYS comes from a filter, for example of a
	// container runtime. For a call that checks no rights, EPERM comes from a filter too.
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM) && (refusable(e.Op) || h.Filtered() && strings.HasPrefix(e.Op, "open_tree")):
		return unsupported(policy.LayerSeccomp, err, "", h.Denied(fail.Errno(err)))
	}
	return err
}

// refusable reports whether the kernel itself can refuse the call op. If the kernel cannot, and op was refused, a
// filter has refused it.
func refusable(op string) bool {
	for _, call := range [...]string{"pidfd_open", "setsockopt", "socketpair", "eventfd"} {
		if strings.HasPrefix(op, call) {
			return true
		}
	}
	return false
}

// unsupported returns the error for a layer that this host cannot provide. err is the error of the call that failed for
// that reason.
func unsupported(layer policy.Layer, err error, from string, c cause.Cause) *fail.UnsupportedError {
	return &fail.UnsupportedError{Layer: layer, Why: err.Error() + ": " + c.Why, Remedy: c.Remedy, From: from, Err: err}
}

// notMapped returns the error for an id map that the kernel has refused.
func (p *Process) notMapped(err error) error {
	why, remedy := p.Comp.MapCause()
	return unsupported(policy.LayerUser, err, "", cause.Cause{Why: why, Remedy: remedy})
}

// noDevice returns the error for a device node that cannot be used.
func noDevice(path string, err error) error {
	return unsupported(policy.LayerMount, &fail.Error{Op: path, Err: err}, "", cause.Device(path))
}

// CloneError returns the error of a failed clone3(2), with the cause.
func (p *Process) CloneError(err error) error {
	var flags uint64
	if p.Comp != nil { // nil only in a test
		flags = p.Comp.Plan.Clone
	}
	// With CLONE_INTO_CGROUP these errors mean that the child may not enter the group.
	if p.Cmd.Into != nil && flags&unix.CLONE_INTO_CGROUP != 0 && (err == unix.EACCES || err == unix.ENODEV || err == unix.EBUSY) {
		return &fail.Error{Op: "enter the sandbox's cgroup", Err: err, Hint: "run cordon exec where the sandbox was started: both must be below a group that is the caller's; under systemd: systemd-run --user --scope cordon exec …"}
	}
	h := cause.This()
	failed := &fail.Error{Op: "clone3", Err: err}
	switch err {
	case unix.EMFILE, unix.ENFILE:
		failed.Hint = "the limit of open files is too low: ulimit -n"
		return failed
	case unix.EAGAIN:
		failed.Hint = "the limit of processes is reached: ulimit -u, or pids.max of the cgroup"
		return failed
	// These errors come from the new namespaces or from a filter: a limit in /proc/sys/user is reached (ENOSPC), user
	// namespaces are forbidden (EPERM), or the kernel or a filter lacks clone3 (ENOSYS).
	case unix.ENOSPC, unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EINVAL:
	default:
		return failed
	}
	// If a limit in /proc/sys/user is zero, that is the cause for sure. The general cause is only likely, so it comes
	// last.
	if c, k := h.ZeroLimit(flags); k != nil {
		return unsupported(k.Layer, failed, "", c)
	}
	return unsupported(policy.LayerUser, failed, "", h.Namespace(&host.Kinds[0], fail.Errno(err)))
}

// because returns the error of a failed step. If the host lacks what the step needs, the error names the cause.
// Otherwise because returns e.
func (p *Process) because(s *plan.Step, e *fail.StepError) error {
	h := cause.This()
	lacking := func(layer policy.Layer, c cause.Cause) error {
		call, _, _ := strings.Cut(e.Step, " = ")
		u := unsupported(layer, &fail.Error{Op: call, Err: e.Errno}, e.From, c)
		u.Err = e
		return u
	}
	if c, none := h.Proc(); none && e.Errno == unix.ENOENT && strings.Contains(e.Step, "/proc/") {
		return lacking(policy.LayerMount, c)
	}
	// Any other errno is about the file that the step uses, such as a missing path, and the error of the step names the
	// file.
	denied := e.Errno == unix.EPERM || e.Errno == unix.EACCES || e.Errno == unix.ENOSYS
	switch {
	case s.Call == plan.Unshare:
		if k := kindOf(e.Step); k != nil {
			return lacking(k.Layer, h.Namespace(k, e.Errno))
		}
	case s.Call == plan.Fsmount && e.Errno == unix.EPERM && s.To == plan.Proc:
		return lacking(policy.LayerMount, h.NewProc(e.Errno))
	case !denied:
	case mounts(s.Call):
		if e.Errno != unix.ENOSYS && !h.Filtered() && h.UID == 0 && h.Confinement() == "" {
			return e // a mount of the host is the cause, and the step's hint names it
		}
		return lacking(policy.LayerMount, h.Denied(e.Errno))
	case s.Call == plan.Seccomp:
		return lacking(policy.LayerSeccomp, h.Denied(e.Errno))
	case s.Call == plan.Write && e.Errno == unix.EPERM && !p.Comp.MayMapRoot() && p.Comp.IDs.NewUser:
		return p.notMapped(e)
	case s.Call == plan.Write && strings.HasPrefix(s.From.Section, "user"), s.Call == plan.Openat && strings.Contains(e.Step, "/proc/self/setgroups"):
		return lacking(policy.LayerUser, h.Denied(e.Errno))
	case e.Errno == unix.ENOSYS:
		return lacking(policy.LayerSeccomp, h.Denied(e.Errno))
	}
	return e
}

// mounts reports whether a system call makes or changes mounts: mount_namespaces(7).
func mounts(call plan.Call) bool {
	switch call {
	case plan.OpenTree, plan.MoveMount, plan.Fsopen, plan.Fsconfig, plan.Fsmount, plan.MountSetattr, plan.PivotRoot, plan.Umount2:
		return true
	}
	return false
}

// kindOf returns the kind of namespace that an unshare(2) makes, or nil if the step makes none. step is the call as the
// plan prints it.
func kindOf(step string) *host.Kind {
	for i := range host.Kinds {
		k := &host.Kinds[i]
		name := strings.ToUpper(k.Name)
		if k.Name == "mnt" {
			name = "NS"
		}
		if strings.HasPrefix(step, "unshare(CLONE_NEW"+name+")") {
			return k
		}
	}
	return nil
}
