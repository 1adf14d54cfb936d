package terminal

// This file reads what the user types at the caller's terminal, and passes it to the task.

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/proc"
)

// typed reads what the user has typed, if that is meant for the task.
func (t *Terminal) typed(revents int16) {
	if revents&unix.POLLIN == 0 {
		t.HangUp()
		return
	}
	if !t.Foreground() || t.shared && !t.mine() {
		t.loop.Unwatch(t.in)
		t.again(100 * time.Millisecond)
		return
	}
	var buf [4096]byte
	n, err := unix.Read(t.in, buf[:])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return
	case err != nil || n == 0 && (t.isRaw() || revents&unix.POLLHUP != 0):
		t.HangUp()
		return
	case n == 0: // Ctrl-D in line mode
		n = copy(buf[:], t.began.Cc[unix.VEOF:unix.VEOF+1])
	}
	t.remember(buf[:n])
	t.expectEcho(buf[:n])
	t.countInterrupts(buf[:n]) // just before the task gets the key: a task that ends because of it ends after this look
	t.pending = append(t.pending, buf[:n]...)
	t.feed()
	t.Expect(time.Now())
}

// Expect starts to check whether the task has stopped, because something that may stop it happened at the given time.
func (t *Terminal) Expect(at time.Time) {
	t.LastKey = at
	t.look(20 * time.Millisecond)
}

// On a busy machine a task may stop long after the key that stops it was typed. So the launcher goes on checking for a
// long time, at growing intervals.
const (
	lookStep = 50 * time.Millisecond
	lookMost = 15 * time.Second
)

// look checks whether the task has stopped. It does so repeatedly, for a while after the last key.
func (t *Terminal) look(d time.Duration) {
	now := time.Now()
	if !t.nextLook.IsZero() && t.nextLook.Before(now.Add(lookStep)) {
		return
	}
	at := now.Add(d)
	t.nextLook = at
	t.loop.At(at, func() {
		if !t.nextLook.Equal(at) { // a later key has caused an earlier check
			return
		}
		t.nextLook = time.Time{}
		t.sandbox.FollowStop()
		if t.shared {
			t.follow()
		}
		if since := time.Since(t.LastKey); since < lookMost {
			t.look(max(lookStep, since/4))
		}
	})
}

// isRaw reports whether the launcher has made the caller's terminal raw.
func (t *Terminal) isRaw() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.raw && t.set.Lflag&unix.ICANON == 0
}

// feed passes the typed bytes to the task. If the task's terminal is full, the launcher reads no more.
func (t *Terminal) feed() {
	for len(t.pending) > 0 {
		n, err := unix.Write(t.Master, t.pending)
		switch {
		case err == unix.EAGAIN || err == nil && n == 0:
			t.loop.Unwatch(t.in)
			t.loop.Unwatch(t.Master)
			t.loop.Watch(t.Master, unix.POLLOUT, func(int16) {
				t.loop.Unwatch(t.Master)
				t.feed()
				t.attend()
			})
			return
		case err == unix.EINTR:
		case err != nil:
			t.pending = nil // no process has the task's terminal open
		default:
			t.pending = t.pending[n:]
		}
	}
	t.pending = nil
}

// A Break says whether Ctrl-C was typed and the launcher has read it as a key. If the task had no terminal of its own,
// this Ctrl-C would have been a signal to the launcher's process group.
type Break struct {
	Typed bool // Ctrl-C was typed
	Late  bool // it was typed after the task had ended, so the task did not get it
}

// TypedBreak returns the Break of the time before Finish was called.
func (t *Terminal) TypedBreak() Break {
	if t == nil || t.interrupted.IsZero() && !t.late {
		return Break{}
	}
	return Break{true, t.late}
}

// lateKeys looks for Ctrl-C among typed bytes that nobody has read yet. giveBack puts the other bytes back, together
// with the bytes that the task has not read. If the kernel does not allow putting bytes back, lateKeys reads nothing,
// and the bytes stay for the next program.
func (t *Terminal) lateKeys() {
	waiting, err := unix.IoctlGetInt(t.in, unix.TIOCINQ)
	if err != nil || waiting == 0 || !t.isRaw() || !t.ownsGroup() {
		return
	}
	if allowed, err := proc.ReadSome("/proc/sys/dev/tty/legacy_tiocsti", 8); err == nil && allowed[0] == '0' {
		return
	}
	buf := make([]byte, min(waiting, maxAhead))
	n, _ := unix.Read(t.in, buf)
	t.countInterrupts(buf[:max(n, 0)])
	t.unread = append(t.unread, bytes.ReplaceAll(buf[:max(n, 0)], t.began.Cc[unix.VINTR:unix.VINTR+1], nil)...)
}

// ownsGroup reports whether the launcher's process group is in the foreground of the caller's terminal, and the
// terminal controls the launcher's session.
func (t *Terminal) ownsGroup() bool {
	group, err := unix.IoctlGetInt(t.in, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// countInterrupts kills the sandbox if its task ignores Ctrl-C. It takes that to be so under three conditions. Ctrl-C
// causes a signal in the task's terminal. Ctrl-C is typed a second time within the limits of IsSecond. And since the
// first time the task has written nothing but the echo. A program that handles Ctrl-C writes at least a prompt, and a
// program that reads Ctrl-C as a key has disabled the signal.
func (t *Terminal) countInterrupts(b []byte) {
	mode, ended := &t.began, t.sandbox.HasEnded() || t.leaderless()
	if !ended {
		var err error
		if mode, err = unix.IoctlGetTermios(t.Master, unix.TCGETS); err != nil {
			return
		}
	}
	if mode.Lflag&unix.ISIG == 0 || bytes.IndexByte(b, mode.Cc[unix.VINTR]) < 0 {
		return
	}
	if ended {
		t.late = t.ownsGroup()
		return
	}
	const echo = int64(len("^C\r\n"))
	now := time.Now()
	if IsSecond(t.interrupted, now) && t.written.Load() <= echo {
		t.sandbox.EndNow()
	}
	t.interrupted = now
	t.written.Store(0)
}

// leaderless reports whether no process group gets the signals of the task's terminal. A task that exits gives up its
// terminal a moment before the launcher sees the task's end. From then on TIOCGPGRP returns 0: ioctl_tty(2).
func (t *Terminal) leaderless() bool {
	group, err := unix.IoctlGetInt(t.Master, unix.TIOCGPGRP)
	return err == nil && group == 0
}
