package terminal

// This file copies the task's output to the caller.

import (
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/loop"
)

// copier copies the task's output until the sandbox has ended and nothing is left to copy. If the reader of the output
// is slow, copier waits, and so the task waits too.
func (t *Terminal) copier() {
	defer func() { _, _ = unix.Write(t.done, loop.One[:]) }()
	ended := false
	defer func() {
		if !ended { // in a panic
			t.Restore()
		}
	}()
	buf, out, over := make([]byte, 64<<10), t.out, false
	looks := 0 // how often to check the terminal's mode once more: bash disables the echo after its prompt
	for {
		wait := -1
		if looks > 0 && !t.ending.Load() {
			looks, wait = looks-1, 20 // milliseconds
			t.follow()
		}
		n, more := t.gather(buf, wait)
		if n > 0 && t.shared {
			looks = 10
		}
		if k := t.meter.Take(n); k < n { // the output limit is reached, and the meter ends the sandbox
			n, over = k, true
		}
		if n > 0 {
			t.written.Add(int64(n))
			t.cast.output(buf[:n])
			t.last = lastOf(t.last, buf[:n])
			if t.shared && !t.ending.Load() {
				t.follow() // change the mode before the prompt that belongs to it appears
			}
			if !loop.WriteAll(out, t.withoutEcho(buf[:n])) {
				out = -1
				_ = t.sandbox.SignalGroup(unix.SIGHUP)
			}
		}
		if over {
			out = -1
		}
		if !more {
			ended = true // Finish puts the unread keys back, and then restores the terminal
			return
		}
	}
}

// tailSize is how many bytes at the end of the task's output the launcher keeps.
const tailSize = 4096

// lastOf returns the last tailSize bytes of kept and more together.
func lastOf(kept, more []byte) []byte {
	if len(more) >= tailSize {
		return append(kept[:0], more[len(more)-tailSize:]...)
	}
	if over := len(kept) + len(more) - tailSize; over > 0 {
		kept = append(kept[:0], kept[over:]...)
	}
	return append(kept, more...)
}

// Last returns the end of the task's output, at most 4 KiB. For a nil Terminal it returns nil. It must be called after
// Finish.
func (t *Terminal) Last() []byte {
	if t == nil {
		return nil
	}
	return t.last
}

// gather waits for output of the task, and reads what has arrived. wait is the longest wait in milliseconds; -1 means
// no limit. It reads several times, because one read of a terminal returns at most 4 KiB. more is false if no further
// output can come.
func (t *Terminal) gather(buf []byte, wait int) (n int, more bool) {
	ending := t.ending.Load()
	if !ending {
		fds := [...]unix.PollFd{{Fd: int32(t.Master), Events: unix.POLLIN}, {Fd: int32(t.wake), Events: unix.POLLIN}}
		t.idle.Store(true)
		_, err := unix.Poll(fds[:], wait)
		t.idle.Store(false)
		if err != nil && err != unix.EINTR {
			return 0, false
		}
	}
	for n < len(buf) {
		got, err := unix.Read(t.Master, buf[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return n, !ending
		case err != nil || got == 0:
			return n, false
		}
		n += got
		if got < 1024 && !ending { // the task writes little at a time
			break
		}
	}
	return n, true
}

// settle waits until copier has written the output of a stopped task. It waits at most half a second, because the
// caller's terminal may be stopped too. The kernel delivers a terminal's output a moment later, so a single check does
// not suffice.
func (t *Terminal) settle() {
	const step, most, enough = 2 * time.Millisecond, 250, 2
	for i, quiet := 0, 0; t.Copying && i < most && quiet < enough; i++ {
		time.Sleep(step)
		// The order matters: when output has left the terminal, copier is busy until it has written the output.
		if quiet++; loop.Readable(t.Master) || !t.idle.Load() {
			quiet = 0
		}
	}
}

// patience is how long the launcher waits for a reader that has stopped reading, once the run has been told to end.
// Otherwise it waits until a signal arrives.
const patience = time.Second

// Finish copies the remaining output after the sandbox has ended, and restores the caller's terminal.
func (t *Terminal) Finish() {
	if t == nil {
		return
	}
	t.ending.Store(true)
	t.loop.Unwatch(t.in)
	t.loop.Unwatch(t.Master)
	if t.Copying {
		_, _ = unix.Write(t.wake, loop.One[:])
		if t.sandbox.IsTold() {
			t.loop.At(time.Now().Add(patience), t.sandbox.HurryUp)
		}
		fds := [...]unix.PollFd{{Fd: int32(t.done), Events: unix.POLLIN}}
		for fds[0].Revents == 0 && !t.sandbox.IsHurried() {
			if t.loop.Poll(fds[:]) != nil {
				break
			}
		}
		t.cast.close()
		if fds[0].Revents == 0 {
			t.Restore()
			return // copier still uses the descriptors
		}
		_, _ = unix.Read(t.done, make([]byte, len(loop.One))) // copier must finish before the rest
	}
	t.lateKeys()
	t.giveBack()
	t.Restore()
	for _, fd := range [...]*int{&t.Master, &t.slave, &t.wake, &t.done, &t.in, &t.out} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
