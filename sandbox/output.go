package sandbox

// The task's stdout and stderr where the launcher has to be in between: with limits.output, to count and to cut; to keep a
// terminal from the task, which then sees a pipe; and to keep the caller's pipe from it. A file is the task's own, and nothing
// is copied. splice(2), pipe(7), eventfd(2).
//
// The copying is done on goroutines, because a reader that is slow blocks whoever writes to it. The loop only hears of the
// end: signals and limits work whatever the reader does.

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/loop"
	"cordon/sandbox/report"
)

// meter counts what the sandbox says on stdout and stderr, together, against limits.output. It is used on any goroutine;
// nil counts nothing and lets everything pass.
type meter struct {
	left   atomic.Int64 // bytes that may still pass
	passed atomic.Int64
	over   int // eventfd: readable once a byte was held back
}

func newMeter(limit int64) (*meter, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, &Error{Op: "eventfd", Err: err}
	}
	m := &meter{over: fd}
	m.left.Store(limit)
	return m, nil
}

// take says how many of n bytes that are there may be passed on. Fewer than n means that the limit is reached: the sandbox
// is then ended for it.
func (m *meter) take(n int) int {
	if m == nil {
		return n
	}
	for {
		left := m.left.Load()
		k := min(int64(n), left)
		if !m.left.CompareAndSwap(left, left-k) {
			continue
		}
		m.passed.Add(k)
		if k < int64(n) {
			loop.Tell(m.over)
		}
		return int(k)
	}
}

// giveBack returns what was taken and could not be passed on.
func (m *meter) giveBack(n int) {
	if m != nil {
		m.passed.Add(int64(-n))
		m.left.Add(int64(n))
	}
}

// keepOutputLimit prepares to count. It comes before anything is copied. Until the launch is over nothing is ended for the
// limit: a program may have reached it before the launcher has read back what is enforced.
func (p *process) keepOutputLimit() error {
	limit := p.comp.profile.Limits.Output
	if !limit.Set {
		return nil
	}
	err := p.beginCopying()
	if err == nil {
		p.output, err = newMeter(limit.V)
	}
	if err != nil {
		return err
	}
	p.copying.meter = p.output
	return nil
}

// watchOutput ends the sandbox when the limit is reached, or has been.
func (p *process) watchOutput() {
	if p.output == nil {
		return
	}
	p.Watch(p.output.over, unix.POLLIN, func(int16) {
		p.Unwatch(p.output.over)
		p.exceeded(report.LimitOutput)
	})
}

// copying is what the relays of a sandbox share.
type copying struct {
	relays []*relay
	meter  *meter
	ended  int          // eventfd: readable once nobody in the sandbox writes any more
	quit   int          // eventfd: readable once what is left is given up
	done   int          // eventfd, a semaphore: each relay that has ended adds one
	users  atomic.Int32 // of the three, and of the meter's
}

// beginCopying makes what relays share, the first time.
func (p *process) beginCopying() error {
	if p.copying != nil {
		return nil
	}
	c := &copying{ended: -1, quit: -1, done: -1}
	c.users.Store(1)
	for _, fd := range [...]*int{&c.ended, &c.quit, &c.done} {
		flags := unix.EFD_CLOEXEC | unix.EFD_NONBLOCK
		if fd == &c.done {
			flags |= unix.EFD_SEMAPHORE
		}
		var err error
		if *fd, err = unix.Eventfd(0, flags); err != nil {
			c.leave()
			return &Error{Op: "eventfd", Err: err}
		}
	}
	p.copying = c
	return nil
}

// use adds a user of the descriptors; nil has none.
func (c *copying) use() {
	if c != nil {
		c.users.Add(1)
	}
}

// leave closes the descriptors behind the last who uses them: a relay may still wait for its reader when the launcher has
// given up.
func (c *copying) leave() {
	if c == nil || c.users.Add(-1) > 0 {
		return
	}
	for _, fd := range [...]int{c.ended, c.quit, c.done} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if c.meter != nil {
		unix.Close(c.meter.over)
	}
}

// relay copies from a pipe, whose other end the task has, to where the caller wants it.
type relay struct {
	name  string
	in    int // the end for the task; -1 once the launcher's copy is closed
	out   int
	to    int
	meter *meter

	over   bool   // the limit is reached
	copies bool   // splice does not do it
	buf    []byte // then
	held   []byte // of buf, read and not yet written
	err    error  // why the copy ended early; to be read when it is done
}

// relayPipe is how much the pipe holds, in bytes. More than pipe(7)'s 64 KiB lets a task that writes much, and the launcher,
// take turns less often, which is what others on the machine notice of it. What is in it counts as the task's memory.
const relayPipe = 256 << 10

// relayTo makes a pipe for the task, and begins to copy what is written to it.
func (p *process) relayTo(name string, f *os.File) (*relay, error) {
	if err := p.beginCopying(); err != nil {
		return nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, &Error{Op: "pipe", Err: err}
	}
	r := &relay{name: name, in: ends[1], out: ends[0], meter: p.output}
	_, _ = unix.FcntlInt(uintptr(r.out), unix.F_SETPIPE_SZ, relayPipe) // EPERM: the user has many large pipes
	err := unix.SetNonblock(r.out, true)
	if err == nil {
		r.to, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3) // the caller's may be closed while this one still waits
	}
	if err != nil {
		unix.Close(r.in)
		unix.Close(r.out)
		return nil, &Error{Op: name, Err: err}
	}
	c := p.copying
	c.relays = append(c.relays, r)
	c.users.Add(1)
	go r.run(c)
	return r, nil
}

// relayStdio gives the task one pipe for both where stdout and stderr are the same, so that what it writes to them stays
// in order.
func (p *process) relayStdio(i int, f *os.File) error {
	if i == 2 && sameFile(p.cmd.Stdio[1], f) && p.copying != nil && len(p.copying.relays) > 0 {
		return p.files.dup(stdioNames[i], p.copying.relays[0].in)
	}
	r, err := p.relayTo(stdioNames[i], f)
	if err != nil {
		return err
	}
	p.ownPipe(r.in)
	return p.files.dup(stdioNames[i], r.in)
}

// sameFile reports whether two files are one: the same pipe, socket or device, or the same opened file; a regular file
// that is opened twice is two, each with its position. kcmp(2).
func sameFile(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	var x, y unix.Stat_t
	if unix.Fstat(int(a.Fd()), &x) != nil || unix.Fstat(int(b.Fd()), &y) != nil || x.Dev != y.Dev || x.Ino != y.Ino {
		return false
	}
	if x.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	const kcmpFile = 0
	self := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, self, self, kcmpFile, a.Fd(), b.Fd(), 0)
	return errno == 0 && order == 0
}

func (r *relay) run(c *copying) {
	for r.step(c) {
	}
	if r.over { // the sandbox is being killed for it, and is not to end by SIGPIPE instead
		loop.Await(c.ended)
	}
	unix.Close(r.out) // the task's next write fails with EPIPE, as it would without the relay
	unix.Close(r.to)
	loop.Tell(c.done)
	c.leave()
}

// step copies what is there, and reports whether more may come.
func (r *relay) step(c *copying) bool {
	n, last := r.wait(c)
	k := r.meter.take(n)
	r.over = k < n
	return r.pass(c, k) && !r.over && !last
}

// wait waits for bytes and says how many there are. They are the last where the sandbox has ended: a process that has
// escaped from it may hold the pipe, and is not waited for.
func (r *relay) wait(c *copying) (n int, last bool) {
	fds := []unix.PollFd{{Fd: int32(r.out), Events: unix.POLLIN}, {Fd: int32(c.ended), Events: unix.POLLIN}}
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
func (r *relay) waiting() int {
	n, err := unix.IoctlGetInt(r.out, unix.TIOCINQ) // FIONREAD
	if err != nil {
		return 0
	}
	return n
}

// pass copies n bytes that are there, and reports whether it could.
func (r *relay) pass(c *copying, n int) bool {
	for n > 0 {
		k, err := r.move(c, n)
		switch {
		case k > 0:
			n -= k
		case err == unix.EINTR:
		case err == nil, err == unix.EAGAIN && len(r.held) == 0 && r.waiting() == 0: // the task has read it itself
			r.meter.giveBack(n)
			return true
		case err == unix.EAGAIN && r.ready(c):
		case err == unix.EINVAL && !r.copies: // a file opened for appending, a terminal
			r.copies, r.buf = true, make([]byte, 64<<10)
		default:
			r.err = err
			r.meter.giveBack(n)
			return false
		}
	}
	return true
}

// move copies some of n bytes.
func (r *relay) move(c *copying, n int) (int, error) {
	if !r.copies {
		k, err := unix.Splice(r.out, nil, r.to, nil, n, unix.SPLICE_F_NONBLOCK)
		return int(k), err
	}
	if len(r.held) == 0 {
		k, err := unix.Read(r.out, r.buf[:min(n, len(r.buf))])
		if k <= 0 {
			return 0, err
		}
		r.held = r.buf[:k]
	}
	if !r.ready(c) {
		return 0, unix.EAGAIN
	}
	k, err := unix.Write(r.to, r.held)
	if k > 0 {
		r.held = r.held[k:]
	}
	return k, err
}

// ready waits until something can be written; false means that what is left is given up.
func (r *relay) ready(c *copying) bool {
	fds := []unix.PollFd{{Fd: int32(r.to), Events: unix.POLLOUT}, {Fd: int32(c.quit), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return err == nil && fds[1].Revents == 0
		}
	}
}

// drain passes on what the sandbox has left in the pipes, for as long as the readers take: as the task would have waited
// for them. Where a limit has ended it, or SIGKILL all of it, they get the grace period; a signal that would end the task, or
// the wall-clock limit, ends the wait.
func (p *process) drain() {
	c := p.copying
	if c == nil {
		return
	}
	p.mu.Lock()
	p.draining = true
	p.mu.Unlock()
	c.closeIn()
	loop.Tell(c.ended)
	if p.limit != "" || p.status.Signal() == unix.SIGKILL {
		p.At(time.Now().Add(p.grace()), func() { loop.Tell(c.quit) })
	}
	for range c.relays {
		if err := p.await(c.done, c.quit); err != nil || loop.Readable(c.quit) {
			p.report.Hints = append(p.report.Hints, report.Hint{Text: "nobody took the last of what it wrote, and that is lost"})
			return
		}
		_, _ = unix.Read(c.done, make([]byte, 8)) // takes one
	}
	for _, r := range c.relays {
		if r.err != nil && r.err != unix.EPIPE {
			p.report.Hints = append(p.report.Hints, report.Hint{Text: r.name + ": " + r.err.Error() + ": what it wrote behind that is lost"})
		}
	}
}

// closeIn closes the launcher's copies of the task's ends.
func (c *copying) closeIn() {
	for _, r := range c.relays {
		if r.in >= 0 {
			unix.Close(r.in)
			r.in = -1
		}
	}
}

// stopCopying ends the relays, whatever they have left.
func (p *process) stopCopying() {
	if p.output != nil {
		p.Unwatch(p.output.over)
	}
	if c := p.copying; c != nil {
		p.mu.Lock()
		p.copying = nil
		p.mu.Unlock()
		c.closeIn()
		loop.Tell(c.ended)
		loop.Tell(c.quit)
		c.leave()
	}
}

// giveUp ends the wait for readers where a signal is meant to end the program. p.mu is held.
func (p *process) giveUp(sig syscall.Signal) {
	if p.copying != nil && ends(sig) {
		loop.Tell(p.copying.quit)
	}
}
