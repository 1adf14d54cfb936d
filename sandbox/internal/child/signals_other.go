//go:build !amd64 && !arm64

package child

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// CatchSignals makes every signal of list arrive at the returned descriptor as a byte, which is the signal's number.
// The descriptor does not block. A signal that the process was started to ignore stays ignored, as nohup(1) requires.
// The process must be a dedicated launcher, because the handlers are never removed.
func CatchSignals(list ...syscall.Signal) (fd int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, err
	}
	for _, sig := range list {
		if !signal.Ignored(sig) {
			signal.Notify(caught, sig)
		}
	}
	go func() {
		for sig := range caught {
			_, _ = unix.Write(p[1], []byte{byte(sig.(syscall.Signal))}) // the pipe is full only after 65536 signals
		}
	}()
	return p[0], nil
}

// Suspend stops the process as Ctrl-Z does, and returns when the process is continued. If group is true, it also stops
// the other processes of the process group. If the process ignores SIGTSTP, Suspend does nothing. The kernel does not
// stop a process of an orphaned group, because nobody would continue it. The signal to the group reaches this process
// too. This process ignores that copy: if it caught the copy, it would look like a new request to stop after it is
// continued.
func Suspend(group bool) {
	if signal.Ignored(unix.SIGTSTP) {
		return
	}
	if group {
		signal.Ignore(unix.SIGTSTP)
		_ = unix.Kill(0, unix.SIGTSTP)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signal.Reset(unix.SIGTSTP)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
	signal.Notify(caught, unix.SIGTSTP)
}

// DieOf ends the process by a signal whose standard action ends it, as if the process had never caught the signal. If
// group is true, the other processes of the process group get the signal first. DieOf returns if the process was
// started to ignore the signal.
func DieOf(sig syscall.Signal, group bool) {
	if signal.Ignored(sig) {
		return
	}
	if group {
		signal.Notify(caught, sig)
		_ = unix.Kill(0, sig)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signal.Reset(sig)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
}

// caught receives the signals from os/signal.
var caught = make(chan os.Signal, 16)

// ReapNothing makes the kernel reap the process's children when they end, even if the process is stopped: sigaction(2),
// SIG_IGN for SIGCHLD. wait4(2) still waits for a child, and then fails with ECHILD.
func ReapNothing() { signal.Ignore(unix.SIGCHLD) }
