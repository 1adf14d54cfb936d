package host

// This file finds out whether a seccomp filter can have a listener.

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/plan"
)

// ProbeListener finds out whether a filter can have a listener, and with which flags. The kernel permits only one
// listener in a chain of filters. Only an attempt in a child process shows whether a filter around the caller already
// has one. If the caller has no filter yet, no attempt is needed.
func ProbeListener() (flags uint32, why string) {
	flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	if !child.FilterFlags(uint(flags)) {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		if !child.FilterFlags(uint(flags)) {
			return 0, "seccomp listeners are not available: they need Linux 5.0, and a container runtime's filter may forbid them"
		}
	}
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil && mode == 0 {
		return flags, ""
	}
	switch err := TryListener(flags); err {
	case nil:
		return flags, ""
	case unix.EBUSY:
		return 0, "a filter of an outer sandbox already has a listener, and the kernel permits only one"
	default:
		return 0, "seccomp listener: " + err.Error()
	}
}

// TryListener makes a child process install a filter that allows everything, with the given flags, and returns the
// error.
func TryListener(flags uint32) error {
	allow := filter.Encode([]filter.Insn{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}})
	image, err := child.Link(&plan.Plan{Steps: []plan.Step{
		plan.PrctlStep(unix.PR_SET_NO_NEW_PRIVS, 1),
		plan.SetFilter(uint64(flags), allow),
	}}, nil)
	if err != nil {
		return err
	}
	defer image.Release()
	pid, pidfd, err := image.Start()
	if err != nil {
		return err
	}
	status, err := child.AwaitHelper(pid, pidfd)
	unix.Close(pidfd)
	switch errno := syscall.Errno(image.Page().Init.Errno); {
	case err != nil:
		return err
	case errno != 0:
		return errno
	case status != 0:
		return errors.New("the child that tried it was ended")
	}
	return nil
}
