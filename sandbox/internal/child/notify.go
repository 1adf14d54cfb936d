package child

// seccomp_unotify(2), Linux 5.0; SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 6.6.

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Notification is struct seccomp_notif: a call of a task that waits for an answer. It holds a copy that the kernel
// made. The task can change only what the arguments point to.
type Notification struct {
	ID    uint64
	PID   uint32 // of the thread, in the reader's pid namespace
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

// The ioctls of include/uapi/linux/seccomp.h, which are the same on every architecture here.
const (
	notifRecv     = 0xc0502100
	notifSend     = 0xc0182101
	notifIDValid  = 0x40082102
	notifSetFlags = 0x40082104
	syncWakeUp    = 1
	flagContinue  = 1
)

// NextNotification takes a notification from a listener that poll(2) reports as readable. ENOENT: the task has been
// killed meanwhile.
func NextNotification(listener int, n *Notification) syscall.Errno {
	*n = Notification{} // the kernel insists on zeros
	return ioctl(listener, notifRecv, unsafe.Pointer(n))
}

// Deny answers a notification with an error number, which must not be 0. ENOENT: the task is gone.
func Deny(listener int, id uint64, errno syscall.Errno) syscall.Errno {
	if errno == 0 {
		errno = syscall.EPERM
	}
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, errno: -int32(errno)}))
}

// Answer answers a notification with an error number. 0 means success, because somebody has made the call in the
// task's place. ENOENT: the task is gone.
func Answer(listener int, id uint64, errno syscall.Errno) syscall.Errno {
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, errno: -int32(errno)}))
}

// SetGroups sets the supplementary groups of this thread alone: setgroups(2). Go's own call sets those of all
// threads.
func SetGroups(ids []uint32) syscall.Errno {
	var list unsafe.Pointer
	if len(ids) > 0 {
		list = unsafe.Pointer(&ids[0])
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(ids)), uintptr(list), 0)
	return errno
}

// Continue lets the kernel make the call as if nobody had been asked. The memory that the arguments point to may have
// changed since, so a look at it has protected nothing. ENOENT: the task is gone.
func Continue(listener int, id uint64) syscall.Errno {
	return ioctl(listener, notifSend, unsafe.Pointer(&answer{id: id, flags: flagContinue}))
}

// Waits reports whether the task of a notification still waits for its answer. If it does, what was read about the
// process with its pid was read about that task.
func Waits(listener int, id uint64) bool {
	return ioctl(listener, notifIDValid, unsafe.Pointer(&id)) == 0
}

// IsListener reports whether a descriptor is a listener.
func IsListener(fd int) bool {
	var id uint64 // no notification has this one
	return ioctl(fd, notifIDValid, unsafe.Pointer(&id)) == syscall.ENOENT
}

// SyncWakeUp makes task and launcher take turns on one processor, if the kernel supports that.
func SyncWakeUp(listener int) {
	// Before Linux 6.6 this fails, and an answer only takes longer.
	_, _, _ = syscall.RawSyscall(unix.SYS_IOCTL, uintptr(listener), notifSetFlags, syncWakeUp)
}

// ioctl never blocks here, because the listener is readable or there is nothing to wait for.
func ioctl(fd int, request uintptr, arg unsafe.Pointer) syscall.Errno {
	for {
		if _, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != syscall.EINTR {
			return errno
		}
	}
}

// AwaitNotification reports whether a listener has a notification within a very short time. The wait is so short that
// the Go runtime need not know of it: telling the runtime, and finding a processor again, would take longer.
func AwaitNotification(listener int, d time.Duration) bool {
	fd, ts := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}, unix.NsecToTimespec(int64(d))
	n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	return errno == 0 && n > 0 && fd.Revents&unix.POLLIN != 0
}

// ReadMemory reads the memory of a process at an address, as far as it can be read: process_vm_readv(2). It returns
// the number of bytes.
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

// FilterFlags reports whether seccomp(2) knows the flags of SECCOMP_SET_MODE_FILTER. It installs nothing, because there
// is no program at address 0.
func FilterFlags(flags uint) bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, 1, uintptr(flags), 0)
	return errno == syscall.EFAULT
}
