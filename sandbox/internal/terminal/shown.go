package terminal

// What the task shows.

import (
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/loop"
)

// copier copies what the task writes until the sandbox is gone and nothing is left. It waits as long as who reads wants it to,
// and then so does the task.
func (t *Terminal) copier() {
	defer func() { _, _ = unix.Write(t.done, loop.One[:]) }()
	ended := false
	defer func() {
		if !ended { // a panic
			t.Restore()
		}
	}()
	buf, out, over := make([]byte, 64<<10), t.out, false
	looks := 0 // at the mode, behind a prompt: bash switches the echo off after it
	for {
		wait := -1
		if looks > 0 && !t.ending.Load() {
			looks, wait = looks-1, 20 // ms
			t.follow()
		}
		n, more := t.gather(buf, wait)
		if n > 0 && t.shared {
			looks = 10
		}
		if k := t.meter.Take(n); k < n { // the sandbox is ended for it
			n, over = k, true
		}
		if n > 0 {
			t.written.Add(int64(n))
			t.cast.output(buf[:n])
			t.last = lastOf(t.last, buf[:n])
			if t.shared && !t.ending.Load() {
				t.follow() // before the prompt that the mode is for
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
			ended = true // finish restores, behind what it has to give back
			return
		}
	}
}

// tailSize is how much of what the task has shown is kept.
const tailSize = 4096

// lastOf returns the last bytes of what was kept and what follows it.
func lastOf(kept, more []byte) []byte {
	if len(more) >= tailSize {
		return append(kept[:0], more[len(more)-tailSize:]...)
	}
	if over := len(kept) + len(more) - tailSize; over > 0 {
		kept = append(kept[:0], kept[over:]...)
	}
	return append(kept, more...)
}

// Last returns the end of what the task has shown, 4 KiB at most; nil for a nil Terminal. Call it after Finish.
func (t *Terminal) Last() []byte {
	if t == nil {
		return nil
	}
	return t.last
}

// gather waits for the task's output, at most the given number of milliseconds or, with -1, without end, and returns
// what has arrived. A read of a terminal returns at most 4 KiB. more is false if nothing will come any more.
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
		if got < 1024 && !ending { // not in a hurry
			break
		}
	}
	return n, true
}

// settle waits until the copier has written the output of a stopped task, at most half a second, because the caller's
// terminal may be stopped too. The kernel passes on a terminal's output a moment later, so one look is not enough.
func (t *Terminal) settle() {
	const step, most, enough = 2 * time.Millisecond, 250, 2
	for i, quiet := 0, 0; t.Copying && i < most && quiet < enough; i++ {
		time.Sleep(step)
		// The order matters: output that has left the terminal keeps the copier busy until it is written.
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
			return // the copier still has the descriptors
		}
		_, _ = unix.Read(t.done, make([]byte, len(loop.One))) // and what the copier did comes before what follows: a race detector knows
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
