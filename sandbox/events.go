package sandbox

// What the launcher waits for besides the child: signals to pass on, and the wall-clock limit. There is one loop, on
// the launcher's thread. ppoll(2) on so few descriptors is one call where epoll(7) is three. pidfd_send_signal(2),
// Linux 5.1.

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
)

// await waits until fd is readable or its other end is closed, or the same of other. Meanwhile it passes signals on and
// keeps the limit.
func (p *process) await(fd, other int) error {
	return p.awaitEvent(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, other)
}

// awaitEvent is await for what poll(2) calls events of a descriptor.
func (p *process) awaitEvent(fd unix.PollFd, other int) error {
	fds := [...]unix.PollFd{fd, {Fd: int32(p.signals), Events: unix.POLLIN}, {Fd: int32(other), Events: unix.POLLIN}, {Events: unix.POLLIN}}
	for {
		fds[3].Fd = int32(p.listener)
		_, err := unix.Ppoll(fds[:], p.clock.next(time.Now()), nil)
		if err != nil && err != unix.EINTR {
			return &Error{Op: "ppoll", Err: err}
		}
		if err != nil {
			continue
		}
		if fds[1].Revents != 0 {
			p.forward()
		}
		if fds[3].Revents != 0 {
			p.handleNotification(fds[3].Revents)
		}
		switch p.clock.expired(time.Now()) {
		case unix.SIGTERM:
			_ = p.signal(unix.SIGTERM) // a task that is gone has ended in time
		case unix.SIGKILL:
			p.kill()
		}
		if fds[0].Revents != 0 || fds[2].Revents != 0 {
			return nil
		}
	}
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
	case p.pidfd < 0:
		return unix.ESRCH
	case p.running:
		return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
	case p.taskfd >= 0 && p.last != 0 && int(p.image.Page().Task.Step) == p.last: // it runs, or is about to
		p.early = sig
		return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
	}
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL:
		p.early, p.killed = sig, true
		return unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	return nil
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

// deadlines is the wall-clock limit: SIGTERM, and after a grace period SIGKILL.
type deadlines struct {
	at     [2]time.Time // the zero time where there is no limit
	done   int          // how many have passed
	passed bool
}

// defaultGrace is the time between SIGTERM and SIGKILL unless Cmd.KillAfter says otherwise.
const defaultGrace = 2 * time.Second

func (c *compilation) deadlines(now time.Time) (d deadlines) {
	wall, grace := c.profile.Limits.Wall, c.cmd.KillAfter
	if grace == 0 {
		grace = defaultGrace
	}
	if wall.Set {
		d.at = [2]time.Time{now.Add(wall.V), now.Add(wall.V + grace)}
	}
	return d
}

// next is the time to the next deadline; nil if there is none.
func (d *deadlines) next(now time.Time) *unix.Timespec {
	if d.done == len(d.at) || d.at[d.done].IsZero() {
		return nil
	}
	ts := unix.NsecToTimespec(int64(max(0, d.at[d.done].Sub(now))))
	return &ts
}

// expired is the signal of a deadline that has passed, once; 0 if none has.
func (d *deadlines) expired(now time.Time) syscall.Signal {
	if d.done == len(d.at) || d.at[d.done].IsZero() || now.Before(d.at[d.done]) {
		return 0
	}
	d.passed = true
	d.done++
	return [...]syscall.Signal{unix.SIGTERM, unix.SIGKILL}[d.done-1]
}
