//go:build amd64 || arm64

package child

// This file catches signals without the Go runtime: sigaction(2), pipe(7). With os/signal every signal passes between
// locked threads, which makes a launch 1 ms longer.

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalPipe is the descriptor to which the handler, in signals_*.s, writes a signal's number.
var signalPipe int32 //nolint:unused // by Go

// handlers returns the addresses of the handler and of the code that the handler returns to, in signals_*.s.
func handlers() (handler, restorer uintptr)

// sigaction is the kernel's struct, which has a restorer on both architectures.
type sigaction struct{ handler, flags, restorer, mask uintptr }

// handlerFlags are flags of sigaction(2). The handler uses the signal stack of the runtime's threads, and interrupted calls are
// restarted.
const handlerFlags = 0x08000000 | 0x10000000 | 0x04000000 // SA_ONSTACK | SA_RESTART | SA_RESTORER

// CatchSignals makes every signal of list arrive at the returned descriptor as a byte, which is the signal's number.
// The descriptor does not block. A signal that the process was started to ignore stays ignored, as nohup(1) requires.
// The process must be a dedicated launcher, because the handlers are never removed.
func CatchSignals(list ...syscall.Signal) (fd int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, err
	}
	signalPipe = int32(p[1])
	act := sigaction{flags: handlerFlags, mask: ^uintptr(0)}
	act.handler, act.restorer = handlers()
	for _, sig := range list {
		var old sigaction
		_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(act.mask), 0, 0)
		if errno == 0 && old.handler != sigIgnore {
			_, _, errno = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
		}
		if errno != 0 {
			return -1, errno
		}
	}
	return p[0], nil
}

const sigIgnore = 1 // SIG_IGN

// Suspend stops the process as Ctrl-Z does, and returns when the process is continued. If group is true, it also stops
// the other processes of the process group. If the process ignores SIGTSTP, Suspend does nothing. The kernel does not
// stop a process of an orphaned group, because nobody would continue it. The signal to the group reaches this process
// too. This process ignores that copy: if it caught the copy, it would look like a new request to stop after it is
// continued.
func Suspend(group bool) {
	runtime.LockOSThread() // when tgkill returns, this thread has handled the signal
	defer runtime.UnlockOSThread()
	const tstp = uintptr(unix.SIGTSTP)
	var old, standard sigaction
	ignore := sigaction{handler: sigIgnore}
	set := func(act *sigaction) {
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, tstp, uintptr(unsafe.Pointer(act)), 0, unsafe.Sizeof(act.mask), 0, 0)
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, tstp, 0, uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	if errno != 0 || old.handler == sigIgnore {
		return
	}
	if group {
		set(&ignore)
		_ = unix.Kill(0, unix.SIGTSTP) // cannot fail: the group contains this process
	}
	set(&standard)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP) // cannot fail: to itself
	set(&old)
}

// DieOf ends the process by a signal whose default action ends it, as if the process had never caught the signal. If
// group is true, the other processes of the process group get the signal first. DieOf returns if the process was
// started to ignore the signal.
func DieOf(sig syscall.Signal, group bool) {
	runtime.LockOSThread() // when tgkill returns, this thread has handled the signal
	defer runtime.UnlockOSThread()
	var old, standard sigaction
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(old.mask), 0, 0)
	if errno != 0 || old.handler == sigIgnore {
		return
	}
	if group {
		_ = unix.Kill(0, sig) // cannot fail: the group contains this process, which still has a handler
	}
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&standard)), 0, unsafe.Sizeof(old.mask), 0, 0)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig) // cannot fail: to itself
}

// ReapNothing makes the kernel reap the process's children when they end, even if the process is stopped: sigaction(2),
// SA_NOCLDWAIT. wait4(2) still waits for a child, and then fails with ECHILD.
func ReapNothing() {
	const noChildWait = 2
	act := sigaction{flags: noChildWait}
	syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&act)), 0, unsafe.Sizeof(act.mask), 0, 0)
}
