package child

// This file waits for the launcher's children: wait4(2), pidfd_open(2). A tracer outside (ptrace(2)) can stop a child
// in a way that SIGCONT does not undo, and can keep a dead child from being reaped. So AwaitHelper kills a helper that
// does not end in time, and Reap gives up on a dead child after ReapTime.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// ReapTime is how long the launcher waits for a dead child that a tracer keeps from being reaped.
const ReapTime = 5 * time.Second

// Reap waits for a child to end and returns the child's status. If pidfd is -1, the child must be about to end. If the
// kernel has reaped the child (see ReapNothing), or a tracer keeps the child from being reaped, Reap returns the status
// of a process that SIGKILL has ended.
func Reap(pid, pidfd int, usage *unix.Rusage) (status unix.WaitStatus) {
	if pidfd >= 0 {
		awaitEnd(pidfd)
	}
	for began := time.Now(); ; {
		switch found, err := unix.Wait4(pid, &status, unix.WNOHANG|unix.WALL, usage); {
		case err == unix.EINTR:
		case err != nil:
			return unix.WaitStatus(unix.SIGKILL)
		case found != 0:
			return status
		case time.Since(began) > ReapTime:
			go reapLater(pid)
			return unix.WaitStatus(unix.SIGKILL)
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// awaitEnd waits until a pidfd reports that its process has ended.
func awaitEnd(pidfd int) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return
		}
	}
}

// reapLater reaps the child as soon as its tracer permits that, so that the process of a library's user does not
// collect zombies.
func reapLater(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != unix.EINTR {
			return
		}
	}
}

// helperTime is how long a helper process may take for its few system calls.
const helperTime = 10 * time.Second // the text of ErrHeld has this number, too

// ErrHeld is the error for a helper process that did not end in time.
var ErrHeld = errors.New("the helper process did not end within 10s: does a tracer (ptrace, gdb) outside hold it?")

// AwaitHelper waits for a helper process, and kills it after helperTime.
func AwaitHelper(pid, pidfd int) (unix.WaitStatus, error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for ends := time.Now().Add(helperTime); ; {
		switch n, err := unix.Poll(fds, int(max(0, time.Until(ends).Milliseconds()))); {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n > 0:
			return Reap(pid, pidfd, nil), nil
		default:
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) // the helper may have ended just now
			_ = Reap(pid, pidfd, nil)
			return 0, ErrHeld
		}
	}
}
