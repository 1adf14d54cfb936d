package host

// This file lists the bound sockets of the launcher's network namespace by inode: sock_diag(7), NETLINK_SOCK_DIAG,
// Linux 3.3. /proc/net/unix shows only the name that was given to bind(2). sock_diag identifies the socket's file, even
// if the file has moved.

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// BoundSocket is a socket that is bound to a path.
type BoundSocket struct {
	Name string // the name given to bind(2); it may be relative to an unknown directory, or contain links
	Dev  uint32 // the file system's device in the kernel's own form: 12 bits of major, 20 of minor
	Ino  uint32 // the low 32 bits of the inode number; 0 if it is not known
}

// The kernel's numbers: linux/sock_diag.h, linux/unix_diag.h.
const (
	diagByFamily = 20
	diagShowName = 1 << 0
	diagShowVFS  = 1 << 1
	diagName     = 0
	diagVFS      = 1
	diagHeader   = unix.SizeofNlMsghdr + 16 // struct unix_diag_msg
)

var errDiag = errors.New("the answer of sock_diag ends early")

// Sockets asks the kernel for all bound sockets.
func (OSFiles) Sockets() ([]BoundSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var ask [unix.SizeofNlMsghdr + 24]byte
	order := binary.NativeEndian
	order.PutUint32(ask[0:], uint32(len(ask)))
	order.PutUint16(ask[4:], diagByFamily)
	order.PutUint16(ask[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	ask[16] = unix.AF_UNIX
	order.PutUint32(ask[20:], 1<<7|1<<10) // states TCP_CLOSE (bound datagram sockets) and TCP_LISTEN
	order.PutUint32(ask[28:], diagShowName|diagShowVFS)
	if err := unix.Sendto(fd, ask[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var list []BoundSocket
	buf := make([]byte, 32<<10) // the kernel puts at most this much into one answer
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, err
		}
		done, err := diagAnswer(buf[:n], &list)
		if done || err != nil {
			return list, err
		}
	}
}

// diagAnswer parses one message of the kernel and appends the sockets in it to list. done is true for the last message.
func diagAnswer(b []byte, list *[]BoundSocket) (done bool, err error) {
	order := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(order.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return false, errDiag
		}
		switch order.Uint16(b[4:]) {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if size < unix.SizeofNlMsghdr+4 {
				return false, errDiag
			}
			return true, unix.Errno(-int32(order.Uint32(b[unix.SizeofNlMsghdr:])))
		case diagByFamily:
			if size < diagHeader {
				return false, errDiag
			}
			if s, ok := diagSocket(b[diagHeader:size]); ok {
				*list = append(*list, s)
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

// diagSocket parses the attributes of a socket; ok is false if the socket has no file.
func diagSocket(b []byte) (s BoundSocket, ok bool) {
	order := binary.NativeEndian
	for len(b) >= unix.SizeofNlAttr {
		size := int(order.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			break
		}
		value := b[unix.SizeofNlAttr:size]
		switch order.Uint16(b[2:]) {
		case diagName:
			s.Name = unix.ByteSliceToString(value)
		case diagVFS:
			if len(value) >= 8 {
				s.Ino, s.Dev, ok = order.Uint32(value), order.Uint32(value[4:]), true
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return s, ok
}
