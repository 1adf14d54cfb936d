package child

// This file makes the calls of seccomp_unotify(2), Linux 5.0; SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 6.6.

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Notification is struct seccomp_notif: a task's system call that waits for an answer. It is a copy that the kernel has
// made, so the task can change only the memory to which the arguments point.
type Notification struct {
	ID    uint64
	PID   uint32 // the thread's id in the reader's pid namespace
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// answer is struct seccomp_notif_resp. Only Continue sets flags.
type answer struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// These are ioctls of include/uapi/linux/seccomp.h. Their numbers are the same on every architecture that cordon
// supports.
const (
	notifRecv     = 0xc0502100
	notifSend     = 0xc0182101
	notifIDValid  = 0x40082102
	notifSetFlags = 0x40082104
	syncWakeUp    = 1
	flagContinue  = 1
)

// NextNotification receives a notification from a listener that poll(2) reports as readable. It returns ENOENT if the
// task has been killed meanwhile.
func NextNotification(listener int, n *Notification) syscall.Errno {
	*n = Notification{} // the kernel accepts only a zeroed structure
	return ioctl(listener, notifRecv, unsafe.Pointer(n))
}

// Deny makes the waiting call fail with an errno, which must not be 0. It returns ENOENT if the task has ended.
func Deny(listener int, id uint64, errno syscall.Errno) syscall.Errno {
	if errno == 0 {
		errno = syscall.EPERM
	}
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, errno: -int32(errno)}))
}

// Answer makes the waiting call return an errno. An errno of 0 means success: the launcher has made the call in the
// task's place. Answer returns ENOENT if the task has ended.
func Answer(listener int, id uint64, errno syscall.Errno) syscall.Errno {
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, errno: -int32(errno)}))
}

// SetGroups sets the supplementary groups of this thread only: setgroups(2). Go's own function sets them for all
// threads.
func SetGroups(ids []uint32) syscall.Errno {
	var list unsafe.Pointer
	if len(ids) > 0 {
		list = unsafe.Pointer(&ids[0])
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(ids)), uintptr(list), 0)
	return errno
}

// Continue lets the kernel execute the waiting call. The memory to which the arguments point may have changed since the
// launcher read it, so reading it has protected nothing. Continue returns ENOENT if the task has ended.
func Continue(listener int, id uint64) syscall.Errno {
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, flags: flagContinue}))
}

// Waits reports whether the task of a notification still waits for its answer. If it does, everything that the caller
// has read so far about the process with that pid was about this task.
func Waits(listener int, id uint64) bool {
	return ioctl(listener, notifIDValid, unsafe.Pointer(&id)) == 0
}

// IsListener reports whether a descriptor is a seccomp listener.
func IsListener(fd int) bool {
	var id uint64 // an id that no notification has
	return ioctl(fd, notifIDValid, unsafe.Pointer(&id)) == syscall.ENOENT
}

// SyncWakeUp asks the kernel to let task and launcher take turns on one processor, which is faster.
func SyncWakeUp(listener int) {
	// Before Linux 6.6 this fails, and an answer only takes longer.
	_, _, _ = syscall.RawSyscall(unix.SYS_IOCTL, uintptr(listener), notifSetFlags, syncWakeUp)
}

// ioctl makes a raw call, which cannot block here, because the listener is readable, or the request does not wait.
func ioctl(fd int, request uintptr, arg unsafe.Pointer) syscall.Errno {
	for {
		if _, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != syscall.EINTR {
			return errno
		}
	}
}

// AwaitNotification reports whether a listener gets a notification within d. It does not tell the Go runtime that it
// blocks, because that would take longer than the wait itself, which is very short.
func AwaitNotification(listener int, d time.Duration) bool {
	fd, ts := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}, unix.NsecToTimespec(int64(d))
	n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	return errno == 0 && n > 0 && fd.Revents&unix.POLLIN != 0
}

// ReadMemory reads the memory of a process, beginning at an address, as far as it is mapped: process_vm_readv(2). It
// returns the number of bytes.
func ReadMemory(pid int, addr uint64, buf []byte) int {
	if len(buf) == 0 {
		return 0
	}
	local := unix.Iovec{Base: &buf[0]}
	local.SetLen(len(buf))
	remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(buf)}
	n, _, errno := syscall.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// FilterFlags reports whether the kernel knows these flags of SECCOMP_SET_MODE_FILTER. It installs no filter, because
// the address 0 that it passes is no program.
func FilterFlags(flags uint) bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, 1, uintptr(flags), 0)
	return errno == syscall.EFAULT
}
