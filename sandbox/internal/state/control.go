package state

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

// Call sends a request to the sandbox's launcher. If value is not nil, Call stores the value of the reply in it. The
// descriptors that come with the reply belong to the caller. If the launcher does not answer within seconds, Call
// returns an error.
func (e *Entry) Call(op string, args, value any) ([]int, error) {
	fds, err := e.call(op, args, value)
	if err == nil {
		return fds, nil
	}
	var its *fail.Error
	if errors.As(err, &its) {
		return nil, err
	}
	if err == unix.ECONNREFUSED || err == unix.ENOENT || err == unix.ECONNRESET || err == unix.EPIPE || err == errEnd {
		return nil, &fail.Error{Op: "sandbox " + e.State.ID, Err: errors.New("it has ended, or is about to end"), Hint: "cordon ps -a shows how it ended; if it still runs, use the user and the groups that started it, outside of other sandboxes"}
	}
	if err == errNotLauncher {
		return nil, &fail.Error{Op: "sandbox " + e.State.ID, Err: err, Hint: "a task may have made this entry: see who can write " + e.dir.path + "; or was the sandbox started by another version of cordon?"}
	}
	return nil, &fail.Error{Op: "sandbox " + e.State.ID + ": " + op, Err: err, Hint: "is its launcher, pid " + strconv.Itoa(e.State.Launcher.PID) + ", stopped?"}
}

func (e *Entry) call(op string, args, value any) ([]int, error) {
	fd, err := e.dial()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var q Request
	q.Op = op
	if q.Args, err = json.Marshal(args); err != nil {
		return nil, err
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if err := unix.Sendmsg(fd, b, nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, err
	}
	return ReceiveReply(fd, value)
}

// Dial connects to the launcher's socket. It sends nothing.
func Dial(e *Entry) (int, error) { return e.dial() }

// dial connects to the launcher's socket and sets a time limit for the launcher's answers.
func (e *Entry) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(int64(replyWithin))
	addr, done, err := ControlAddress(e.root)
	if err == nil {
		err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
		if err == nil {
			err = unix.Connect(fd, addr)
		}
		done()
	}
	if err == nil { // the user whose launcher listens must own the directory
		var peer *unix.Ucred
		if peer, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && peer.Uid != uint32(os.Getuid()) {
			err = errors.New("the socket is not the launcher's")
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// LogState says how many bytes of output could not be logged, and why.
type LogState struct {
	Lost  int64  `json:"lost_bytes"`
	Error string `json:"error,omitempty"`
}
