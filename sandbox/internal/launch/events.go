package launch

// What the launcher waits for besides the child. There is one loop, on the launcher's thread: a layer that wants to be
// told of something adds a watch or a timer, and what it is told with must not block. ppoll(2) on so few descriptors is
// one call where epoll(7) is three.

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

// await waits until fd is readable or its other end is closed, or the same of other. Meanwhile the watches and timers are
// served.
func (p *Process) await(fd, other int) error {
	return p.awaitEvent(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, other)
}

// awaitEvent is await for what poll(2) calls events of a descriptor.
func (p *Process) awaitEvent(fd unix.PollFd, other int) error {
	fds := [...]unix.PollFd{fd, {Fd: int32(other), Events: unix.POLLIN}}
	for fds[0].Revents == 0 && fds[1].Revents == 0 {
		if err := p.Poll(fds[:]); err != nil {
			return &fail.Error{Op: "ppoll", Err: err}
		}
	}
	return nil
}
