package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Message is a message from a socket with SO_PASSCRED: the kernel fills in the sender's pid. To send a message under
// another pid, a process needs CAP_SYS_ADMIN. Besides, only steps of the plan send messages at this socket.
type Message struct {
	Byte   byte // 0 at the end: every other end of the socket is closed
	Sender int  // the sender's pid in the receiver's pid namespace
	File   int  // a descriptor that was sent with it, close-on-exec; -1 if there is none
}

// Receive receives a message: unix(7), SCM_CREDENTIALS, and at most one descriptor as SCM_RIGHTS.
func Receive(fd int) (m Message, errno syscall.Errno) {
	var control struct { // the kernel writes credentials before rights: net/core/scm.c
		unix.Cmsghdr
		unix.Ucred
		_      int32 // CMSG_ALIGN
		rights unix.Cmsghdr
		file   int32
		_      int32
	}
	m.File = -1
	iov := unix.Iovec{Base: &m.Byte}
	iov.SetLen(1)
	hdr := unix.Msghdr{Iov: &iov, Control: (*byte)(unsafe.Pointer(&control))}
	hdr.SetIovlen(1)
	// MSG_CMSG_CLOEXEC is needed because a program that uses cordon as a library may start other programs at the same
	// time. Such a program would otherwise inherit the descriptor.
	for {
		hdr.SetControllen(int(unsafe.Sizeof(control)))
		n, _, errno := syscall.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdr)), unix.MSG_CMSG_CLOEXEC)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.ECONNRESET: // the other end was closed before all was read: this is the end too
			return Message{File: -1}, 0
		case errno != 0:
			return Message{File: -1}, errno
		case n == 0:
			return Message{File: -1}, 0
		}
		if control.Level == unix.SOL_SOCKET && control.Type == unix.SCM_CREDENTIALS {
			m.Sender = int(control.Pid)
		}
		if control.rights.Level == unix.SOL_SOCKET && control.rights.Type == unix.SCM_RIGHTS {
			m.File = int(control.file)
		}
		return m, 0
	}
}
