package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Random returns a random number from the kernel: getrandom(2). It makes the system call directly. The Go runtime would
// use the vDSO, which first maps memory that pays off only for many numbers.
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
