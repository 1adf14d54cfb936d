package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// atSecure is AT_SECURE of getauxval(3): the kernel has given this process rights that its caller lacks.
const atSecure = 23

// refusePrivilege returns an error if the launcher is setuid, setgid or has file capabilities. A sandbox launcher that
// lends its own rights to every caller is the classic way from user to root.
func refusePrivilege() error {
	return privileged(syscall.Getuid() != syscall.Geteuid(), syscall.Getgid() != syscall.Getegid(), secureExec())
}

func privileged(setuid, setgid, secure bool) error {
	e := &cliError{hint: "cordon needs no privilege; remove it from the cordon binary with chmod u-s,g-s and setcap -r"}
	switch {
	case setuid:
		e.err = errors.New("cordon is installed setuid, and refuses to run with rights that its caller does not have")
	case setgid:
		e.err = errors.New("cordon is installed setgid, and refuses to run with rights that its caller does not have")
	case secure:
		e.err = errors.New("cordon was started with file capabilities, or across a security transition (AT_SECURE), and refuses to run with rights that its caller does not have")
	default:
		return nil
	}
	return e
}

func secureExec() bool {
	aux, _ := unix.Auxv()
	for _, kv := range aux {
		if kv[0] == atSecure {
			return kv[1] != 0
		}
	}
	return false
}
