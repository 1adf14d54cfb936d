package loop

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// One is the number 1 in the form that an eventfd accepts.
var One = [8]byte{1}

// WriteAll writes all of b. It returns false if that fails, for example because nobody reads the file any more. If fd
// is below 0, it writes nothing and returns true.
func WriteAll(fd int, b []byte) bool {
	for fd >= 0 && len(b) > 0 {
		n, err := unix.Write(fd, b)
		switch {
		case err == unix.EAGAIN: // somebody has made the shared terminal non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err == unix.EINTR:
		case err != nil:
			return false
		default:
			b = b[n:]
		}
	}
	return true
}

// Loop holds the descriptors and timers that a launcher serves while its sandbox lives.
type Loop struct {
	watches []watch
	timers  []timer // few timers, in no particular order
	fds     []unix.PollFd
}

// watch is a descriptor, and the function to call when poll(2) reports events for it.
type watch struct {
	fd     int
	events int16
	do     func(revents int16)
}

// timer is a function to call once, at a given time.
type timer struct {
	at time.Time
	do func()
}

// Watch makes Poll call do whenever poll(2) reports one of the events for fd, or that its other end is closed. do may
// call Watch and Unwatch.
func (e *Loop) Watch(fd int, events int16, do func(revents int16)) {
	e.watches = append(e.watches, watch{fd, events, do})
}

// Unwatch ends a watch. Call it before you close the descriptor. It does nothing if the descriptor has no watch.
func (e *Loop) Unwatch(fd int) {
	e.watches = slices.DeleteFunc(e.watches, func(w watch) bool { return w.fd == fd })
}

// At makes Poll call a function once, at the given time or later.
func (e *Loop) At(t time.Time, do func()) {
	e.timers = append(e.timers, timer{t, do})
}

// next returns the time until the next timer, or nil if there is none.
func (e *Loop) next(now time.Time) *unix.Timespec {
	if len(e.timers) == 0 {
		return nil
	}
	first := slices.MinFunc(e.timers, func(a, b timer) int { return a.at.Compare(b.at) })
	ts := unix.NsecToTimespec(int64(max(0, first.at.Sub(now))))
	return &ts
}

// expire calls the functions of the timers that are due. These may add timers.
func (e *Loop) expire(now time.Time) {
	for i := 0; i < len(e.timers); i++ {
		if t := e.timers[i]; !now.Before(t.at) {
			e.timers = slices.Delete(e.timers, i, i+1)
			i--
			t.do()
		}
	}
}

// Poll waits for the given descriptors, the watches and the timers, and serves the watches and timers. For the given
// descriptors it only reports the events.
func (e *Loop) Poll(fds []unix.PollFd) error {
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
		// The watch has not been removed meanwhile.
		same := func(w watch) bool { return w.fd == int(f.Fd) && w.events == f.Events }
		if i := slices.IndexFunc(e.watches, same); i >= 0 {
			e.watches[i].do(f.Revents)
		}
	}
	e.expire(time.Now())
	return nil
}

// Tell makes an eventfd readable.
func Tell(fd int) { _, _ = unix.Write(fd, []byte{0: 1, 7: 0}) } // EAGAIN means that it is already readable

// Await waits until a descriptor is readable.
func Await(fd int) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return
		}
	}
}

// Readable reports whether a descriptor can be read without waiting. For a pidfd this means that the process has
// ended.
func Readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}
