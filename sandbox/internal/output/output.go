package output

// The task's stdout and stderr where the launcher has to be in between: with limits.output, to count and to cut; to
// keep a terminal from the task, which then sees a pipe; and to keep the caller's pipe from it. A file is the task's
// own, and nothing is copied. splice(2), pipe(7), eventfd(2).
//
// The copying is done on goroutines, because a reader that is slow blocks whoever writes to it. The loop only hears of
// the end: signals and limits work whatever the reader does.

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
)

// Meter counts what the sandbox says on stdout and stderr, together, against limits.output. It is used on any
// goroutine; nil counts nothing and lets everything pass.
type Meter struct {
	left   atomic.Int64 // bytes that may still pass
	Passed atomic.Int64
	Over   int // eventfd: readable once a byte was held back
}

// NewMeter counts against a limit in bytes.
func NewMeter(limit int64) (*Meter, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, &fail.Error{Op: "eventfd", Err: err}
	}
	m := &Meter{Over: fd}
	m.left.Store(limit)
	return m, nil
}

// Take returns how many of n available bytes may be passed on. Fewer than n means that the limit is reached; the
// sandbox is then ended.
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

// giveBack returns what was taken and could not be passed on.
func (m *Meter) giveBack(n int) {
	if m != nil {
		m.Passed.Add(int64(-n))
		m.left.Add(int64(n))
	}
}

// Copying is the state that the relays of a sandbox share.
type Copying struct {
	Relays []*Relay
	Meter  *Meter
	Ended  int          // eventfd: readable once nobody in the sandbox writes any more
	Quit   int          // eventfd: readable once what is left is given up
	Done   int          // eventfd, a semaphore: each relay that has ended adds one
	Users  atomic.Int32 // of the three, and of the meter's
}

// Use adds a user of the descriptors; nil has none.
func (c *Copying) Use() {
	if c != nil {
		c.Users.Add(1)
	}
}

// Leave drops one user; the last one closes the descriptors. A relay may still wait for its reader after the launcher
// has given up.
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

// Relay copies from a pipe, whose other end the task has, to the caller's file.
type Relay struct {
	Name  string
	In    int // the end for the task; -1 once the launcher's copy is closed
	Out   int
	To    int
	Meter *Meter

	over   bool   // the limit is reached
	copies bool   // splice does not do it
	buf    []byte // then
	held   []byte // of buf, read and not yet written
	Err    error  // why the copy ended early; to be read when it is done
}

// RelayPipe is the capacity of the pipe in bytes. With more than pipe(7)'s 64 KiB, a task that writes much and the
// launcher take turns less often, which disturbs other programs on the machine less. The content of the pipe counts as
// the task's memory.
const RelayPipe = 256 << 10

// Run copies until nothing more comes, and closes its ends of the pipes.
func (r *Relay) Run(c *Copying) {
	for r.step(c) {
	}
	if r.over { // the sandbox is being killed for it, and is not to end by SIGPIPE instead
		loop.Await(c.Ended)
	}
	unix.Close(r.Out) // the task's next write fails with EPIPE, as it would without the relay
	unix.Close(r.To)
	loop.Tell(c.Done)
	c.Leave()
}

// step copies what is there, and reports whether more may come.
func (r *Relay) step(c *Copying) bool {
	n, last := r.wait(c)
	k := r.Meter.Take(n)
	r.over = k < n
	return r.pass(c, k) && !r.over && !last
}

// wait waits for bytes and says how many there are. They are the last where the sandbox has ended: a process that has
// escaped from it may hold the pipe, and is not waited for.
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

// waiting is how many bytes are in the pipe.
func (r *Relay) waiting() int {
	n, err := unix.IoctlGetInt(r.Out, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return 0
	}
	return n
}

// pass copies n bytes that are there, and reports whether it could.
func (r *Relay) pass(c *Copying, n int) bool {
	for n > 0 {
		k, err := r.move(c, n)
		switch {
		case k > 0:
			n -= k
		case err == unix.EINTR:
		case err == nil, err == unix.EAGAIN && len(r.held) == 0 && r.waiting() == 0: // the task has read it itself
			r.Meter.giveBack(n)
			return true
		case err == unix.EAGAIN && r.ready(c):
		case err == unix.EINVAL && !r.copies: // a file opened for appending, a terminal
			r.copies, r.buf = true, make([]byte, 64<<10)
		default:
			r.Err = err
			r.Meter.giveBack(n)
			return false
		}
	}
	return true
}

// move copies some of n bytes.
func (r *Relay) move(c *Copying, n int) (int, error) {
	if !r.copies {
		k, err := unix.Splice(r.Out, nil, r.To, nil, n, unix.SPLICE_F_NONBLOCK)
		return int(k), err
	}
	if len(r.held) == 0 {
		k, err := unix.Read(r.Out, r.buf[:min(n, len(r.buf))])
		if k <= 0 {
			return 0, err
		}
		r.held = r.buf[:k]
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

// ready waits until something can be written; false means that what is left is given up.
func (r *Relay) ready(c *Copying) bool {
	fds := []unix.PollFd{{Fd: int32(r.To), Events: unix.POLLOUT}, {Fd: int32(c.Quit), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err == nil && fds[1].Revents == 0
		}
	}
}

// CloseIn closes the launcher's copies of the task's ends.
func (c *Copying) CloseIn() {
	for _, r := range c.Relays {
		if r.In >= 0 {
			unix.Close(r.In)
			r.In = -1
		}
	}
}
