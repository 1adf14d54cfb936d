package output

// This file copies the task's stdout and stderr if the task must not write to the caller's files directly: to count and
// limit the output (limits.output), to withhold a terminal, or to keep the task from the caller's pipe. Other files are
// given to the task, and nothing is copied. splice(2), pipe(7), eventfd(2).
//
// Goroutines copy, because a slow reader blocks the writer. The launcher's loop only learns when the copying has ended,
// so signals and limits work whatever the reader does.

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
)

// Meter counts the bytes of the sandbox's stdout and stderr together, and enforces limits.output. Any goroutine may
// use it. A nil Meter counts nothing and lets everything pass.
type Meter struct {
	left   atomic.Int64 // number of bytes that may still be copied
	Passed atomic.Int64
	Over   int // eventfd: readable once the limit has stopped a byte
}

// NewMeter returns a meter with a limit in bytes.
func NewMeter(limit int64) (*Meter, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, &fail.Error{Op: "eventfd", Err: err}
	}
	m := &Meter{Over: fd}
	m.left.Store(limit)
	return m, nil
}

// Take returns how many of n bytes may be copied. If fewer than n may, the limit is reached, and the launcher ends the
// sandbox.
func (m *Meter) Take(n int) int {
	if m == nil {
		return n
	}
	for {
		left := m.left.Load()
		k := min(int64(n), left)
		if !m.left.CompareAndSwap(left, left-k) {
			continue
		}
		m.Passed.Add(k)
		if k < int64(n) {
			loop.Tell(m.Over)
		}
		return int(k)
	}
}

// giveBack uncounts n bytes that Take has counted but that could not be copied.
func (m *Meter) giveBack(n int) {
	if m != nil {
		m.Passed.Add(int64(-n))
		m.left.Add(int64(n))
	}
}

// Copying is the state that all relays of a sandbox share.
type Copying struct {
	Relays []*Relay
	Meter  *Meter
	Ended  int          // eventfd: readable once no process in the sandbox writes any more
	Quit   int          // eventfd: readable once the launcher discards the remaining output
	Done   int          // eventfd, a semaphore: each relay adds one when it ends
	Users  atomic.Int32 // number of users of these three descriptors and the meter's
}

// Use adds a user of the descriptors. It does nothing if c is nil.
func (c *Copying) Use() {
	if c != nil {
		c.Users.Add(1)
	}
}

// Leave removes one user; the last one closes the descriptors. A relay may still wait for its reader after the launcher
// has stopped waiting.
func (c *Copying) Leave() {
	if c == nil || c.Users.Add(-1) > 0 {
		return
	}
	for _, fd := range [...]int{c.Ended, c.Quit, c.Done} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if c.Meter != nil {
		unix.Close(c.Meter.Over)
	}
}

// Relay copies from a pipe, to which the task writes, to the caller's file.
type Relay struct {
	Name  string
	In    int // the task's end of the pipe; -1 once the launcher has closed its copy
	Out   int
	To    int
	Meter *Meter
	Keep  bool // remember the end of what is copied: see Last

	mu   sync.Mutex
	last []byte // mu must be held

	over   bool   // the output limit is reached
	copies bool   // copy through a buffer, because splice does not work for this file
	buf    []byte // the buffer, if copies is true
	held   []byte // bytes of buf that remain to be written
	Err    error  // why copying ended early; read it only after the relay has ended
}

// RelayPipe is the capacity of a relay's pipe in bytes. It is larger than pipe(7)'s 64 KiB, so that a task that writes
// much and the launcher alternate less often, which disturbs other programs less. The content of the pipe counts as the
// task's memory.
const RelayPipe = 256 << 10

// Run copies until no more output can come, and then closes its ends of the pipe.
func (r *Relay) Run(c *Copying) {
	for r.step(c) {
	}
	if r.over { // the launcher kills the sandbox for this; SIGPIPE must not end the task first
		loop.Await(c.Ended)
	}
	unix.Close(r.Out) // the task's next write fails with EPIPE, as it would without the relay
	unix.Close(r.To)
	loop.Tell(c.Done)
	c.Leave()
}

// step copies the bytes that are available, and reports whether more may come.
func (r *Relay) step(c *Copying) bool {
	n, last := r.wait(c)
	k := r.Meter.Take(n)
	r.over = k < n
	return r.pass(c, k) && !r.over && !last
}

// wait waits for bytes and returns how many are available. last is true if none will follow because the sandbox has
// ended. It does not wait for a process that has left the sandbox and still holds the pipe.
func (r *Relay) wait(c *Copying) (n int, last bool) {
	fds := []unix.PollFd{{Fd: int32(r.Out), Events: unix.POLLIN}, {Fd: int32(c.Ended), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == unix.EINTR {
			continue
		}
		last = err != nil || fds[1].Revents != 0 || fds[0].Revents&unix.POLLIN == 0
		return r.waiting(), last
	}
}

// waiting returns how many bytes are in the pipe.
func (r *Relay) waiting() int {
	n, err := unix.IoctlGetInt(r.Out, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return 0
	}
	return n
}

// pass copies n available bytes, and reports whether it could.
func (r *Relay) pass(c *Copying, n int) bool {
	for n > 0 {
		k, err := r.move(c, n)
		switch {
		case k > 0:
			n -= k
		case err == unix.EINTR:
		case err == nil, err == unix.EAGAIN && len(r.held) == 0 && r.waiting() == 0: // the task has read them
			r.Meter.giveBack(n)
			return true
		case err == unix.EAGAIN && r.ready(c):
		case err == unix.EINVAL && !r.copies: // splice cannot write to a file opened for appending, or to a terminal
			r.copies, r.buf = true, make([]byte, 64<<10)
		default:
			r.Err = err
			r.Meter.giveBack(n)
			return false
		}
	}
	return true
}

// move copies at most n bytes once, and returns how many it copied.
func (r *Relay) move(c *Copying, n int) (int, error) {
	if !r.copies && !r.reads(n) {
		k, err := unix.Splice(r.Out, nil, r.To, nil, n, unix.SPLICE_F_NONBLOCK)
		return int(k), err
	}
	if len(r.held) == 0 {
		k, err := unix.Read(r.Out, r.buf[:min(n, len(r.buf))])
		if k <= 0 {
			return 0, err
		}
		r.held = r.buf[:k]
		r.remember(r.held)
	}
	if !r.ready(c) {
		return 0, unix.EAGAIN
	}
	k, err := unix.Write(r.To, r.held)
	if k > 0 {
		r.held = r.held[k:]
	}
	return k, err
}

// maxMessage is how many bytes a program's message has at most, to be looked at. More at once is no message, and splice
// passes it on without a copy.
const maxMessage = 4 << 10

// reads reports whether n available bytes are read and written, and not spliced, because they may be a message. Bytes
// that are read already come first.
func (r *Relay) reads(n int) bool {
	if len(r.held) > 0 {
		return true
	}
	if !r.Keep || n > maxMessage {
		return false
	}
	if r.buf == nil {
		r.buf = make([]byte, maxMessage)
	}
	return true
}

// remember keeps the last maxMessage bytes.
func (r *Relay) remember(text []byte) {
	if !r.Keep {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = append(r.last, text...)
	if more := len(r.last) - maxMessage; more > 0 {
		r.last = append(r.last[:0], r.last[more:]...)
	}
}

// Last returns the end of what was copied in small pieces, at most 4 KiB; nil without Keep.
func (r *Relay) Last() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.last...)
}

// ready waits until the caller's file can be written. It returns false if the launcher gives up the remaining output.
func (r *Relay) ready(c *Copying) bool {
	fds := []unix.PollFd{{Fd: int32(r.To), Events: unix.POLLOUT}, {Fd: int32(c.Quit), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err == nil && fds[1].Revents == 0
		}
	}
}

// CloseIn closes the launcher's copies of the task's ends of the pipes.
func (c *Copying) CloseIn() {
	for _, r := range c.Relays {
		if r.In >= 0 {
			unix.Close(r.In)
			r.In = -1
		}
	}
}
