package child

// The ends of the launcher's children: wait4(2), pidfd_open(2). A tracer outside (ptrace(2)) can stop each of them, which no
// SIGCONT undoes, and keep the end of a dead one to itself. So none of these waits is without an end: a child that should
// have ended is killed, and one that is dead is left to its tracer.

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// ReapTime is how long a tracer may hold back the end of a child that is dead.
const ReapTime = 5 * time.Second

// Reap waits for a child to end, given its pidfd or -1. If the kernel itself reaps the child (see ReapNothing), or a
// tracer holds it, the status is that of a process that SIGKILL has ended.
func Reap(pid, pidfd int, usage *unix.Rusage) (status unix.WaitStatus) {
	flags := 0
	if pidfd >= 0 {
		awaitEnd(pidfd)
		flags = unix.WNOHANG
	}
	for began := time.Now(); ; {
		switch found, err := unix.Wait4(pid, &status, flags|unix.WALL, usage); {
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

// awaitEnd waits until a pidfd says that its process is gone.
func awaitEnd(pidfd int) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return
		}
	}
}

// reapLater keeps a library's process from collecting zombies.
func reapLater(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != unix.EINTR {
			return
		}
	}
}

// helperTime is how long a helper process may take for its few system calls.
const helperTime = 10 * time.Second // as ErrHeld says

// ErrHeld is the error for a helper process that did not end in time.
var ErrHeld = errors.New("the helper process did not end within 10s: does a tracer (ptrace, gdb) outside hold it?")

// AwaitHelper waits for a helper process, and kills it if it takes too long.
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
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) // gone already is as good
			_ = Reap(pid, pidfd, nil)
			return 0, ErrHeld
		}
	}
}
