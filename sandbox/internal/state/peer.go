package state

// Who is at the other end of a control socket: unix(7), user_namespaces(7), ioctl_pidfd(2), ioctl_nsfs(2).
//
// A task that a user's sandbox confines has the user's own id outside. If a profile shows it the state directory of another
// run (another XDG_RUNTIME_DIR), a check of the id lets it in. So both ends also show that they are in the same user
// namespace, which a task in a sandbox has left:
//
//   - The launcher asks the kernel about the process that connected, by pidfd, and answers no other.
//   - The launcher's replies carry a descriptor of its own user namespace. A process inside cannot open one: /proc/PID/ns
//     and ioctls lead only to its own namespace and to those below. The client takes no reply without it.

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

// Admit returns nil if the process that connected is of the launcher's own user, or root, and in its user namespace.
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

// sharesUserNamespace returns nil if a process is in the caller's own user namespace. pid is its number, 0 if the process
// has none in the caller's pid namespace.
func sharesUserNamespace(pidfd, pid int) error {
	its, err := unix.IoctlRetInt(pidfd, pidfdGetUserNamespace)
	if err != nil && pid > 0 {
		its, err = unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	switch err {
	case unix.EACCES, unix.EPERM: // not dumpable, or of another group: only its map can be read
		err = unmapped(pid)
	case nil:
		defer unix.Close(its)
		if !isOwnUserNamespace(its) {
			err = errForeignPeer
		}
	}
	if err == nil && loop.Readable(pidfd) { // its number may have become another's while it was looked at
		err = unix.ESRCH
	}
	return err
}

// unmapped returns nil if the caller and a process both see all ids as they are. Then both are in the initial namespace: the
// map of no other has all ids, unless root has written it so.
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

// isOwnUserNamespace reports whether a descriptor is of the user namespace that the caller is in.
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

// OpenUserNamespace opens the user namespace that the caller is in.
func OpenUserNamespace() (int, error) {
	return unix.Open("/proc/self/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
