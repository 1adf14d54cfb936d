package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Random draws a number from the kernel: getrandom(2). It makes the system call itself. The Go runtime uses the vDSO,
// which first maps memory for a state that serves many numbers, and a launch draws only one or two.
func Random() (uint64, error) {
	var v uint64
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_GETRANDOM, uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
		switch {
		case e == 0 && n == unsafe.Sizeof(v):
			return v, nil
		case e != 0 && e != syscall.EINTR:
			return 0, e
		}
	}
}
