package child

// This file sets a timer that continues this process while the process is stopped: timer_create(2), timer_settime(2). A
// stopped process can do nothing itself, but the kernel sends SIGCONT when the timer expires.

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigevent is the kernel's struct.
type sigevent struct {
	value  uint64
	signo  int32
	notify int32 // 0: SIGEV_SIGNAL
	_      [48]byte
}

// ContinueAfter makes the kernel continue this process after d, even if the process is stopped, unless cancel is called
// before. It does nothing if the kernel has no such timer.
func ContinueAfter(d time.Duration) (cancel func()) {
	event := sigevent{signo: int32(unix.SIGCONT)}
	var id int32
	_, _, errno := syscall.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return func() {}
	}
	when := [2]unix.Timespec{1: unix.NsecToTimespec(int64(max(d, 1)))}
	syscall.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&when)), 0, 0, 0)
	return func() { syscall.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(id), 0, 0) }
}
