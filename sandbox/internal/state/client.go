package state

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
)

const (
	MaxPacket   = 64 << 10        // largest request or reply, in bytes
	MaxRights   = 32              // most descriptors in a reply
	replyWithin = 5 * time.Second // how long a client waits for a reply
)

// Request is the packet that a client sends to a launcher.
type Request struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// Reply is the packet with which the launcher answers.
type Reply struct {
	Error string          `json:"error,omitempty"`
	Hint  string          `json:"hint,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

// ControlAddress returns the address of the launcher's socket in a sandbox's directory. The caller must call done when
// it no longer needs the address.
func ControlAddress(dir *os.Root) (addr *unix.SockaddrUnix, done func(), err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, nil, phrase.Cause(err)
	}
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) + "/" + host.ControlFile}, func() { f.Close() }, nil
}

// SignalRequest holds the arguments of the request to send a signal.
type SignalRequest struct {
	Signal int `json:"signal"`
}

var (
	errEnd         = errors.New("no answer: the launcher is gone")
	errNotLauncher = errors.New("the answer does not come from a launcher in this user namespace")
)

// ReceiveReply waits for the reply to a request and decodes its value, unless value is nil. It returns the
// descriptors of the reply.
func ReceiveReply(fd int, value any) ([]int, error) {
	buf, oob := make([]byte, MaxPacket), make([]byte, unix.CmsgSpace(4*(MaxRights+1)))
	n, noob, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, noob, _, _, err = unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case err == unix.EAGAIN:
		return nil, unix.ETIMEDOUT
	case err != nil:
		return nil, err
	case n == 0:
		return nil, errEnd
	}
	fds, err := rights(oob[:noob])
	if err == nil {
		fds, err = proven(fds)
	}
	var r Reply
	if err == nil {
		err = json.Unmarshal(buf[:n], &r)
	}
	if err == nil && r.Error != "" {
		err = &fail.Error{Op: "the launcher", Err: errors.New(r.Error), Hint: r.Hint}
	}
	if err == nil && value != nil {
		err = json.Unmarshal(r.Value, value)
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, err
	}
	return fds, nil
}

// proven checks the first descriptor of a reply, and removes it from the list. This descriptor proves that the reply
// comes from the launcher's user namespace.
func proven(fds []int) ([]int, error) {
	if len(fds) == 0 || !isOwnUserNamespace(fds[0]) {
		return fds, errNotLauncher
	}
	unix.Close(fds[0])
	return fds[1:], nil
}

// rights returns the descriptors in a socket's control message.
func rights(oob []byte) (fds []int, err error) {
	all, err := unix.ParseSocketControlMessage(oob)
	for i := range all {
		if some, e := unix.ParseUnixRights(&all[i]); e == nil {
			fds = append(fds, some...)
		}
	}
	return fds, err
}
