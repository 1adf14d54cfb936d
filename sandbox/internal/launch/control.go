package launch

// This file serves the launcher's control socket, at which other commands make requests while the sandbox lives. A
// request is one packet in JSON, and so is its reply (unix(7), SOCK_SEQPACKET). The launcher's loop never waits for a
// client: it drops a client that cannot take a whole reply at once, and a client that sends nothing for a while.

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/state"
)

// MaxClients bounds how many clients may be connected at a time. A client that sends nothing for clientIdle is dropped.
const (
	MaxClients = 32
	clientIdle = 10 * time.Second
)

// Operation is a request that a client can send to the launcher. do gets the request's arguments, and returns the
// reply's value and descriptors. The descriptors stay the launcher's own. do must not block.
type Operation struct {
	Op string
	do func(p *Process, args json.RawMessage) (reply any, fds []int, err error)
}

// Operations lists the requests that other commands can send to the launcher.
var Operations = [...]Operation{
	{"signal", (*Process).signalAsked},
	{"log", (*Process).logAsked},
	{"attach", (*Process).attachAsked},
}

// control is the launcher's side of the control socket. It exists while the sandbox is listed by cordon ps.
type control struct {
	listener int
	proof    int // a descriptor of the launcher's user namespace, which proves who answers: see internal/state
	clients  []*controlClient
}

// controlClient is a command that has connected.
type controlClient struct {
	fd   int
	last time.Time // when the client last sent something
}

// ServeControl begins to listen at the control socket, in the sandbox's state directory. It reaches the directory
// through a descriptor, because the directory's path can be longer than a socket's address may be.
func (p *Process) ServeControl(dir *os.Root) error {
	// A sandbox that no command could reach is not started.
	fail := func(err error) error { return &fail.Error{Op: "control socket", Err: err} }
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	addr, done, err := state.ControlAddress(dir)
	if err == nil {
		err = unix.Bind(fd, addr)
		done()
	}
	if err == nil {
		err = unix.Listen(fd, MaxClients)
	}
	proof := -1
	if err == nil {
		proof, err = state.OpenUserNamespace()
	}
	if err != nil {
		unix.Close(fd)
		return fail(err)
	}
	p.control = &control{listener: fd, proof: proof}
	p.Watch(fd, unix.POLLIN, func(int16) { p.acceptClient() })
	return nil
}

// CloseControl disconnects the clients, and closes and removes the control socket.
func (p *Process) CloseControl() {
	if p.control == nil {
		return
	}
	for _, c := range slices.Clone(p.control.clients) {
		p.dropClient(c)
	}
	p.Unwatch(p.control.listener)
	unix.Close(p.control.listener)
	unix.Close(p.control.proof)
	_ = state.Root(p.Cmd.State).Remove(host.ControlFile) // the directory may already be removed
	p.control = nil
}

// acceptClient accepts a connection if state.Admit allows the client.
func (p *Process) acceptClient() {
	fd, _, err := unix.Accept4(p.control.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil { // the client has left, or no descriptor is free
		return
	}
	// Admit asks the kernel which process has connected. Its user id alone proves nothing, because a task may have the
	// same id. But a task is in another user namespace.
	if state.Admit(fd) != nil || len(p.control.clients) == MaxClients {
		unix.Close(fd)
		return
	}
	c := &controlClient{fd: fd, last: time.Now()}
	p.control.clients = append(p.control.clients, c)
	p.Watch(fd, unix.POLLIN, func(int16) { p.serveClient(c) })
	p.At(c.last.Add(clientIdle), func() { p.dropIdle(c) })
}

// dropIdle disconnects a client that has sent nothing for clientIdle.
func (p *Process) dropIdle(c *controlClient) {
	if p.control == nil || !slices.Contains(p.control.clients, c) {
		return
	}
	if due := c.last.Add(clientIdle); time.Now().Before(due) {
		p.At(due, func() { p.dropIdle(c) })
		return
	}
	p.dropClient(c)
}

// dropClient closes the connection to a client.
func (p *Process) dropClient(c *controlClient) {
	p.Unwatch(c.fd)
	unix.Close(c.fd)
	p.control.clients = slices.DeleteFunc(p.control.clients, func(other *controlClient) bool { return other == c })
}

// serveClient answers one request of a client.
func (p *Process) serveClient(c *controlClient) {
	buf := make([]byte, state.MaxPacket)
	// There is no buffer for descriptors, so the kernel closes those that the client sends.
	n, _, flags, _, err := unix.Recvmsg(c.fd, buf, nil, unix.MSG_DONTWAIT)
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
	// The packet was longer than buf, and the kernel has cut it off.
	if flags&unix.MSG_TRUNC != 0 {
		err = errors.New("the request is too long")
	} else {
		value, fds, err = p.Do(buf[:n])
	}
	if !Answer(c.fd, p.control.proof, value, fds, err) {
		p.dropClient(c)
	}
}

// Do runs the operation that a packet names. The packet comes from a process of the same user or of root, but may still
// be malformed. If there is an error, the error is the reply.
func (p *Process) Do(packet []byte) (value any, fds []int, err error) {
	var r state.Request
	if err := json.Unmarshal(packet, &r); err != nil {
		return nil, nil, errors.New("the launcher does not understand the request")
	}
	for i := range Operations {
		if Operations[i].Op == r.Op {
			return Operations[i].do(p, r.Args)
		}
	}
	return nil, nil, &fail.Error{Op: "request " + r.Op, Err: errors.New("this launcher does not know the request"), Hint: "was the sandbox started by another version of cordon?"}
}

// Answer sends a whole reply at once. In the message the descriptor proof comes before the reply's own descriptors.
// Answer returns false if it cannot send.
func Answer(fd, proof int, value any, fds []int, err error) bool {
	var r state.Reply
	if err != nil {
		var e *fail.Error
		r.Error = err.Error()
		if errors.As(err, &e) {
			r.Hint = e.Hint
		}
		fds = nil
	} else if r.Value, err = json.Marshal(value); err != nil {
		return false
	}
	b, err := json.Marshal(r)
	// The kernel would refuse a larger packet, or more descriptors: unix(7), SCM_MAX_FD.
	if err != nil || len(b) > state.MaxPacket || len(fds) > state.MaxRights {
		return false
	}
	rights := unix.UnixRights(append([]int{proof}, fds...)...)
	return unix.Sendmsg(fd, b, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) == nil
}

// signalAsked sends the task a signal for a client. If the signal is meant to end the task, the launcher also stops
// waiting for slow readers of the task's output.
func (p *Process) signalAsked(args json.RawMessage) (any, []int, error) {
	var r state.SignalRequest
	if err := json.Unmarshal(args, &r); err != nil || r.Signal < 0 || r.Signal > 64 {
		return nil, nil, errors.New("not a signal")
	}
	sig := syscall.Signal(r.Signal)
	if ends(sig) {
		p.told, p.hurry = true, p.gone
	}
	// SIGKILL is meant for the whole sandbox. EndNow first measures what the sandbox has used.
	if sig == unix.SIGKILL && !p.gone {
		p.EndNow()
		return nil, nil, nil
	}
	err := p.Signal(sig)
	// The task has already ended, as the sender of the signal wants. Only the wait for a slow reader had to be ended.
	if p.gone && ends(sig) {
		return nil, nil, nil
	}
	if sig == unix.SIGTERM {
		p.killLater()
	}
	return nil, nil, err
}

// logAsked tells a client how much of the output the log has lost. cordon inspect shows the answer.
func (p *Process) logAsked(json.RawMessage) (any, []int, error) {
	var s state.LogState
	if l := p.Cmd.State.Log(); l != nil {
		s.Lost, s.Error = l.Lost()
	}
	return s, nil, nil
}
