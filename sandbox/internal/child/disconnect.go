package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disconnect resets a connected TCP socket, so that the socket can connect again, from the same network namespace:
// connect(2), AF_UNSPEC. The other end sees a reset.
func Disconnect(fd int) error {
	nowhere := unix.RawSockaddrInet4{Family: unix.AF_UNSPEC}
	_, _, errno := syscall.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unsafe.Sizeof(nowhere))
	if errno != 0 {
		return errno
	}
	return nil
}
