package sandbox

// What the launcher waits for besides the child. There is one loop, on the launcher's thread: a layer that wants to be
// told of something adds a watch or a timer, and what it is told with must not block. ppoll(2) on so few descriptors is
// one call where epoll(7) is three. pidfd_send_signal(2), Linux 5.1.

import (
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// events are what the loop waits for, for as long as the sandbox lives.
type events struct {
	watches []watch
	timers  []timer // a few, in no order
	fds     []unix.PollFd
}

// watch is a descriptor and what to do when poll(2) reports events of it.
type watch struct {
	fd     int
	events int16
	do     func(revents int16)
}

// timer is done once, when its time has come.
type timer struct {
	at time.Time
	do func()
}

// watch begins to call do when poll(2) reports one of the events of fd, or that its other end is gone. do may watch and
// unwatch.
func (e *events) watch(fd int, events int16, do func(revents int16)) {
	e.watches = append(e.watches, watch{fd, events, do})
}

// unwatch ends that; to be called before the descriptor is closed. A descriptor that nobody watches is no mistake.
func (e *events) unwatch(fd int) {
	e.watches = slices.DeleteFunc(e.watches, func(w watch) bool { return w.fd == fd })
}

// at does something at a time, in the loop: not before, and not while nobody waits.
func (e *events) at(t time.Time, do func()) {
	e.timers = append(e.timers, timer{t, do})
}

// next is the time to the next timer; nil if there is none.
func (e *events) next(now time.Time) *unix.Timespec {
	if len(e.timers) == 0 {
		return nil
	}
	first := slices.MinFunc(e.timers, func(a, b timer) int { return a.at.Compare(b.at) })
	ts := unix.NsecToTimespec(int64(max(0, first.at.Sub(now))))
	return &ts
}

// expire does what is due. It may add timers.
func (e *events) expire(now time.Time) {
	for i := 0; i < len(e.timers); i++ {
		if t := e.timers[i]; !now.Before(t.at) {
			e.timers = slices.Delete(e.timers, i, i+1)
			i--
			t.do()
		}
	}
}

// poll waits for the given descriptors, the watches and the timers, and serves the latter two. The given are left with
// what was reported of them.
func (e *events) poll(fds []unix.PollFd) error {
	given := len(fds)
	e.fds = append(e.fds[:0], fds...)
	for _, w := range e.watches {
		e.fds = append(e.fds, unix.PollFd{Fd: int32(w.fd), Events: w.events})
	}
	if _, err := unix.Ppoll(e.fds, e.next(time.Now()), nil); err != nil {
		if err == unix.EINTR {
			err = nil
		}
		return err
	}
	copy(fds, e.fds)
	for _, f := range e.fds[given:] {
		if f.Revents == 0 {
			continue
		}
		if i := slices.IndexFunc(e.watches, func(w watch) bool { return w.fd == int(f.Fd) && w.events == f.Events }); i >= 0 { // not unwatched since
			e.watches[i].do(f.Revents)
		}
	}
	e.expire(time.Now())
	return nil
}

// await waits until fd is readable or its other end is closed, or the same of other. Meanwhile the watches and timers are
// served.
func (p *process) await(fd, other int) error {
	return p.awaitEvent(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, other)
}

// awaitEvent is await for what poll(2) calls events of a descriptor.
func (p *process) awaitEvent(fd unix.PollFd, other int) error {
	fds := [...]unix.PollFd{fd, {Fd: int32(other), Events: unix.POLLIN}}
	for fds[0].Revents == 0 && fds[1].Revents == 0 {
		if err := p.poll(fds[:]); err != nil {
			return &Error{Op: "ppoll", Err: err}
		}
	}
	return nil
}

// forwarded are the signals that the task gets in the launcher's place; onTerminal those that job control needs besides.
var (
	forwarded  = []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}
	onTerminal = []syscall.Signal{unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT}
)

// catchSignals begins to keep signals for the task. Until then they do to the launcher what they do to any process.
func (p *process) catchSignals() (err error) {
	if !p.cmd.Exclusive {
		return nil
	}
	list := forwarded
	if isTerminal(p.cmd.Stdin) {
		list = append(list[:len(list):len(list)], onTerminal...)
	}
	if p.signals, err = child.CatchSignals(list...); err != nil {
		return &Error{Op: "catch signals", Err: err}
	}
	p.watch(p.signals, unix.POLLIN, func(int16) { p.forward() })
	return nil
}

// forward passes on what has arrived. A stop is the launcher's too, so that its shell sees it.
func (p *process) forward() {
	var buf [64]byte
	n, _ := unix.Read(p.signals, buf[:]) // there is something, or there will be
	for _, b := range buf[:max(n, 0)] {
		sig := syscall.Signal(b)
		if sig == unix.SIGTSTP {
			_ = p.signal(unix.SIGSTOP) // a task that is gone needs no stopping
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			sig = unix.SIGCONT
		}
		_ = p.signal(sig)
	}
}

// signal reaches the task from the step on that runs the program; before that, one that is meant to end it ends the
// sandbox.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.draining:
		p.giveUp(sig)
		return unix.ESRCH
	case p.pidfd < 0:
		return unix.ESRCH
	case p.running:
		return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
	case p.taskfd >= 0 && p.last != 0 && int(p.image.Page().Task.Step) == p.last: // it runs, or is about to
		p.early = sig
		return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
	}
	if ends(sig) {
		p.early, p.killed = sig, true
		return unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	return nil
}

// ends reports whether a signal is meant to end a program.
func ends(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL:
		return true
	}
	return false
}

// interrupted is the error of a launch that a signal has ended; nil if none has.
func (p *process) interrupted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.early == 0 {
		return nil
	}
	return &SignalError{p.early}
}
