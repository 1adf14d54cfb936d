package state

// This file checks which process is at the other end of a control socket: unix(7), user_namespaces(7), ioctl_pidfd(2),
// ioctl_nsfs(2).
//
// A task in one of the user's sandboxes has the user's own id on the host. Its profile may show it the state directory
// of another run, with another XDG_RUNTIME_DIR. If the launcher checked only the id, it would let such a task in. But
// the task is in another user namespace than the launcher. So each end also proves that it is in the same user
// namespace as the other end:
//
//   - The launcher asks the kernel, by pidfd, about the process that has connected. The launcher answers only a process
//     in its own user namespace.
//   - The launcher's replies carry a descriptor of its own user namespace. A process inside a sandbox cannot open such
//     a descriptor: /proc/PID/ns and ioctls lead only to the process's own namespace and to those below. The client
//     refuses a reply without that descriptor.

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
)

// pidfdGetUserNamespace is PIDFD_GET_USER_NAMESPACE, since Linux 6.11.
const pidfdGetUserNamespace = 0xff09

var errForeignPeer = errors.New("asked from another user namespace, as from inside a sandbox")

// Admit returns nil if the connected process belongs to the launcher's own user, or to root, and is in the launcher's
// user namespace.
func Admit(fd int) error {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if peer.Uid != uint32(os.Getuid()) && peer.Uid != 0 {
		return unix.EPERM
	}
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err == unix.ENOPROTOOPT { // before Linux 6.5
		pidfd, err = unix.PidfdOpen(int(peer.Pid), 0)
	}
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	return sharesUserNamespace(pidfd, int(peer.Pid))
}

// sharesUserNamespace returns nil if a process is in the caller's own user namespace. pid must be 0 if the process has
// no pid in the caller's pid namespace.
func sharesUserNamespace(pidfd, pid int) error {
	its, err := unix.IoctlRetInt(pidfd, pidfdGetUserNamespace)
	if err != nil && pid > 0 {
		its, err = unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	switch err {
	case unix.EACCES, unix.EPERM: // it is not dumpable, or has another group: only its uid_map can be read
		err = unmapped(pid)
	case nil:
		defer unix.Close(its)
		if !isOwnUserNamespace(its) {
			err = errForeignPeer
		}
	}
	if err == nil && loop.Readable(pidfd) { // the process has ended, so that /proc/PID may have shown another one
		err = unix.ESRCH
	}
	return err
}

// unmapped returns nil if the uid maps of the caller and of the process both map every id to itself. In that case both
// are in the initial user namespace, because no other user namespace has such a map unless root has written one.
func unmapped(pid int) error {
	for _, of := range [...]string{"self", strconv.Itoa(pid)} {
		text, err := proc.ReadSome("/proc/"+of+"/uid_map", 64)
		if err != nil {
			return err
		}
		if strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295" {
			return errForeignPeer
		}
	}
	return nil
}

// isOwnUserNamespace reports whether a descriptor refers to the user namespace of the caller.
func isOwnUserNamespace(fd int) bool {
	own, err := OpenUserNamespace()
	if err != nil {
		return false
	}
	defer unix.Close(own)
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	var a, b unix.Stat_t
	return err == nil && kind == unix.CLONE_NEWUSER && unix.Fstat(fd, &a) == nil && unix.Fstat(own, &b) == nil &&
		a.Dev == b.Dev && a.Ino == b.Ino
}

// OpenUserNamespace opens the caller's user namespace.
func OpenUserNamespace() (int, error) {
	return unix.Open("/proc/self/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
