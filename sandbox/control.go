package sandbox

// The launcher's control socket: what other commands ask of it while the sandbox lives. A request and its reply are one
// packet each (unix(7), SOCK_SEQPACKET), in JSON. The launcher's loop never waits for a client: what cannot be written
// at once is a client that is dropped, and a client that says nothing is dropped after a while.

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

const (
	maxClients  = 32
	maxPacket   = 64 << 10 // bytes, of a request and of a reply
	maxRights   = 32       // descriptors with a reply
	clientIdle  = 10 * time.Second
	replyWithin = 5 * time.Second // what a client waits
)

// operation is something that can be asked: it gets the arguments and gives the reply's value, and descriptors, which stay
// the launcher's. It must not block.
type operation struct {
	op string
	do func(p *process, args json.RawMessage) (reply any, fds []int, err error)
}

var operations = [...]operation{
	{"signal", (*process).signalAsked},
	{"log", (*process).logAsked},
	{"attach", (*process).attachAsked},
}

// request and reply are the packets.
type request struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

type reply struct {
	Error string          `json:"error,omitempty"`
	Hint  string          `json:"hint,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

// control is the launcher's side.
type control struct {
	listener int
	proof    int // of the launcher's user namespace: see peer.go
	clients  []*controlClient
}

type controlClient struct {
	fd   int
	last time.Time // when it was heard last
}

// serveControl begins to listen in the entry's directory. The path goes through the directory's descriptor: that of the
// directory itself may be longer than a socket's name can be.
func (p *process) serveControl(dir *os.Root) error {
	fail := func(err error) error { return &Error{Op: "control socket", Err: err} }
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	addr, done, err := controlAddress(dir)
	if err == nil {
		err = unix.Bind(fd, addr)
		done()
	}
	if err == nil {
		err = unix.Listen(fd, maxClients)
	}
	proof := -1
	if err == nil {
		proof, err = openUserNamespace()
	}
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	p.control = &control{listener: fd, proof: proof}
	p.Watch(fd, unix.POLLIN, func(int16) { p.acceptClient() })
	return nil
}

func controlAddress(dir *os.Root) (addr *unix.SockaddrUnix, done func(), err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, nil, fail.Cause(err)
	}
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) + "/" + controlFile}, func() { f.Close() }, nil
}

// closeControl ends it all.
func (p *process) closeControl() {
	if p.control == nil {
		return
	}
	for _, c := range slices.Clone(p.control.clients) {
		p.dropClient(c)
	}
	p.Unwatch(p.control.listener)
	unix.Close(p.control.listener)
	unix.Close(p.control.proof)
	_ = p.cmd.State.root.Remove(controlFile) // the directory may have gone
	p.control = nil
}

// acceptClient takes a client in that admit lets pass.
func (p *process) acceptClient() {
	fd, _, err := unix.Accept4(p.control.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil { // it has gone, or there is no descriptor for it
		return
	}
	if admit(fd) != nil || len(p.control.clients) == maxClients {
		unix.Close(fd)
		return
	}
	c := &controlClient{fd: fd, last: time.Now()}
	p.control.clients = append(p.control.clients, c)
	p.Watch(fd, unix.POLLIN, func(int16) { p.serveClient(c) })
	p.At(c.last.Add(clientIdle), func() { p.dropIdle(c) })
}

// dropIdle drops a client that has said nothing for a while.
func (p *process) dropIdle(c *controlClient) {
	if p.control == nil || !slices.Contains(p.control.clients, c) {
		return
	}
	if due := c.last.Add(clientIdle); time.Now().Before(due) {
		p.At(due, func() { p.dropIdle(c) })
		return
	}
	p.dropClient(c)
}

func (p *process) dropClient(c *controlClient) {
	p.Unwatch(c.fd)
	unix.Close(c.fd)
	p.control.clients = slices.DeleteFunc(p.control.clients, func(other *controlClient) bool { return other == c })
}

// serveClient answers one request.
func (p *process) serveClient(c *controlClient) {
	buf := make([]byte, maxPacket)
	n, _, flags, _, err := unix.Recvmsg(c.fd, buf, nil, unix.MSG_DONTWAIT) // descriptors that it sends are closed by the kernel
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || n == 0:
		p.dropClient(c)
		return
	}
	c.last = time.Now()
	var value any
	var fds []int
	if flags&unix.MSG_TRUNC != 0 {
		err = errors.New("the request is too long")
	} else {
		value, fds, err = p.do(buf[:n])
	}
	if !answer(c.fd, p.control.proof, value, fds, err) {
		p.dropClient(c)
	}
}

// do finds the operation that is asked for.
func (p *process) do(packet []byte) (value any, fds []int, err error) {
	var r request
	if err := json.Unmarshal(packet, &r); err != nil {
		return nil, nil, errors.New("the request is not understood")
	}
	for i := range operations {
		if operations[i].op == r.Op {
			return operations[i].do(p, r.Args)
		}
	}
	return nil, nil, &Error{Op: "request " + r.Op, Err: errors.New("not known to this launcher"), Hint: "was the sandbox started by another version of cordon?"}
}

// answer sends a reply, whole and at once, with the proof before its descriptors, or says that it could not.
func answer(fd, proof int, value any, fds []int, err error) bool {
	var r reply
	if err != nil {
		var e *Error
		r.Error = err.Error()
		if errors.As(err, &e) {
			r.Hint = e.Hint
		}
		fds = nil
	} else if r.Value, err = json.Marshal(value); err != nil {
		return false
	}
	b, err := json.Marshal(r)
	if err != nil || len(b) > maxPacket || len(fds) > maxRights {
		return false
	}
	rights := unix.UnixRights(append([]int{proof}, fds...)...)
	return unix.Sendmsg(fd, b, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) == nil
}

type signalRequest struct {
	Signal int `json:"signal"`
}

// signalAsked sends the task a signal. One that is meant to end it also ends the wait for who reads its output.
func (p *process) signalAsked(args json.RawMessage) (any, []int, error) {
	var r signalRequest
	if err := json.Unmarshal(args, &r); err != nil || r.Signal < 0 || r.Signal > 64 {
		return nil, nil, errors.New("not a signal")
	}
	sig := syscall.Signal(r.Signal)
	if ends(sig) {
		p.told, p.hurry = true, p.gone
	}
	if sig == unix.SIGKILL && !p.gone {
		p.endNow()
		return nil, nil, nil
	}
	err := p.signal(sig)
	if p.gone && ends(sig) {
		return nil, nil, nil
	}
	if sig == unix.SIGTERM {
		p.killLater()
	}
	return nil, nil, err
}

// LogState is what could not be logged.
type LogState struct {
	Lost  int64  `json:"lost_bytes"`
	Error string `json:"error,omitempty"`
}

func (p *process) logAsked(json.RawMessage) (any, []int, error) {
	var s LogState
	if l := p.cmd.State.log; l != nil {
		s.Lost, s.Error = l.Lost()
	}
	return s, nil, nil
}

// Call asks the sandbox's launcher for something: value, where it is not nil, gets the reply's value. The descriptors that
// come with it are the caller's. One that does not answer within seconds is an error.
func (e *Entry) Call(op string, args, value any) ([]int, error) {
	fds, err := e.call(op, args, value)
	if err == nil {
		return fds, nil
	}
	var its *Error
	if errors.As(err, &its) {
		return nil, err
	}
	if err == unix.ECONNREFUSED || err == unix.ENOENT || err == unix.ECONNRESET || err == unix.EPIPE || err == errEnd {
		return nil, &Error{Op: "sandbox " + e.State.ID, Err: errors.New("has ended, or is just about to"), Hint: "cordon ps -a shows how; if it still runs, ask outside of other sandboxes, with the user and the groups that started it"}
	}
	if err == errNotLauncher {
		return nil, &Error{Op: "sandbox " + e.State.ID, Err: err, Hint: "a task may have made this entry: see who can write " + e.dir.path + "; or was the sandbox started by another version of cordon?"}
	}
	return nil, &Error{Op: "sandbox " + e.State.ID + ": " + op, Err: err, Hint: "is its launcher, pid " + strconv.Itoa(e.State.Launcher.PID) + ", stopped?"}
}

var (
	errEnd         = errors.New("no answer: the launcher is gone")
	errNotLauncher = errors.New("who answers is not a launcher of this user namespace")
)

func (e *Entry) call(op string, args, value any) ([]int, error) {
	fd, err := e.dial()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var q request
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
	return receiveReply(fd, value)
}

// dial connects; the launcher's answers have a time limit.
func (e *Entry) dial() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(int64(replyWithin))
	addr, done, err := controlAddress(e.root)
	if err == nil {
		err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
		if err == nil {
			err = unix.Connect(fd, addr)
		}
		done()
	}
	if err == nil { // whoever listens there now must be whose directory this is
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

func receiveReply(fd int, value any) ([]int, error) {
	buf, oob := make([]byte, maxPacket), make([]byte, unix.CmsgSpace(4*(maxRights+1)))
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
	var r reply
	if err == nil {
		err = json.Unmarshal(buf[:n], &r)
	}
	if err == nil && r.Error != "" {
		err = &Error{Op: "the launcher", Err: errors.New(r.Error), Hint: r.Hint}
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

// proven checks and takes off the proof that comes before a reply's descriptors.
func proven(fds []int) ([]int, error) {
	if len(fds) == 0 || !isOwnUserNamespace(fds[0]) {
		return fds, errNotLauncher
	}
	unix.Close(fds[0])
	return fds[1:], nil
}

// rights are the descriptors of a control message.
func rights(oob []byte) (fds []int, err error) {
	all, err := unix.ParseSocketControlMessage(oob)
	for i := range all {
		if some, e := unix.ParseUnixRights(&all[i]); e == nil {
			fds = append(fds, some...)
		}
	}
	return fds, err
}
