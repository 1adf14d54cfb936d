package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Message is what a process sent over a socket with SO_PASSCRED.
type Message struct {
	Byte   byte // 0 at the end: every other end of the socket is closed
	Sender int  // its pid in the receiver's pid namespace
}

// Receive takes a message: unix(7), SCM_CREDENTIALS.
func Receive(fd int) (m Message, errno syscall.Errno) {
	var control struct {
		unix.Cmsghdr
		unix.Ucred
	}
	iov := unix.Iovec{Base: &m.Byte}
	iov.SetLen(1)
	hdr := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&control))}
	hdr.SetIovlen(1)
	for {
		hdr.SetControllen(int(unsafe.Sizeof(control)))
		n, _, errno := syscall.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdr)), 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.ECONNRESET: // closed with something unread: the end as well
			return Message{}, 0
		case errno != 0:
			return Message{}, errno
		case n == 0:
			return Message{}, 0
		}
		if control.Level == unix.SOL_SOCKET && control.Type == unix.SCM_CREDENTIALS {
			m.Sender = int(control.Pid)
		}
		return m, 0
	}
}
