package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Guard makes init the guard of a program that runs in place: rt_sigtimedwait(2), prctl(2) (PR_SET_CHILD_SUBREAPER,
// Linux 3.4), /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN). Such a program has no pid namespace, so the kernel
// kills no processes when init ends. So the guard adopts the processes that the task leaves behind, and kills all of
// them when the task or the launcher has ended. The kernel sends the guard SIGTERM when the launcher ends
// (PR_SET_PDEATHSIG). The launcher sends it SIGTERM to end the sandbox.
func (im *Image) Guard() {
	im.page.Guard = 1
	im.page.signals = 1<<(unix.SIGCHLD-1) | 1<<(unix.SIGTERM-1)
	im.page.pause[1] = int64(1e6) // nanoseconds
}

// Guards reports whether init is such a guard.
func (im *Image) Guards() bool { return im.page.Guard != 0 }

// guard waits for the end of the task or of the launcher. Descriptor 0 is the gate, and 2 the list of the guard's
// children. Every signal is blocked. It runs in the child: see run.
//
//go:nosplit
//go:norace
//go:nocheckptr
func guard(page *Page, task uintptr) {
	for {
		r, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&page.scratch)), unix.WALL|unix.WNOHANG,
			uintptr(unsafe.Pointer(&page.scratchUse)), 0, 0)
		if e == 0 && r == task {
			page.Status, page.Usage = page.scratch, page.scratchUse
			page.Done = 1
			break
		}
		if e == 0 && r != 0 {
			continue
		}
		if e != 0 && e != syscall.EINTR {
			break
		}
		r, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&page.signals)), 0, 0, 8, 0, 0)
		if r == uintptr(unix.SIGTERM) {
			break
		}
	}
	killAll(page, task)
	if page.Done != 0 && page.Linger != 0 { // if the launcher dies, its end of the gate is closed
		syscall.RawSyscall6(unix.SYS_READ, 0, uintptr(unsafe.Pointer(&page.scratchUse)), 8, 0, 0, 0)
	}
}

// killAll kills every child. The orphans of a killed child then become children of the guard, and are killed in turn,
// until no child is left. The children may make no more processes (RLIMIT_NPROC), so they cannot fork before they die,
// and a storm of forks ends after a few rounds. A child keeps its pid until it is waited for, so its pid cannot belong
// to another process.
//
//go:nosplit
//go:norace
//go:nocheckptr
func killAll(page *Page, task uintptr) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_PREAD64, 2, uintptr(unsafe.Pointer(&page.children)), unsafe.Sizeof(page.children), 0, 0, 0)
		if e != 0 {
			n = 0
		}
		pid := uintptr(0)
		for i := uintptr(0); i < n && i < unsafe.Sizeof(page.children); i++ {
			// The kernel ends each number with a space. If the buffer cuts off a number, it is in the list of the next
			// round.
			if c := page.children[i]; c != ' ' {
				pid = pid*10 + uintptr(c-'0')
				continue
			}
			syscall.RawSyscall6(unix.SYS_PRLIMIT64, pid, unix.RLIMIT_NPROC, uintptr(unsafe.Pointer(&page.noneMore)), 0, 0, 0)
			syscall.RawSyscall6(unix.SYS_KILL, pid, uintptr(unix.SIGKILL), 0, 0, 0, 0)
			pid = 0
		}
		for {
			var r uintptr
			r, _, e = syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&page.scratch)), unix.WALL|unix.WNOHANG,
				uintptr(unsafe.Pointer(&page.scratchUse)), 0, 0)
			if e != 0 || r == 0 {
				break
			}
			if r == task {
				page.Status, page.Usage = page.scratch, page.scratchUse
				page.Done = 1
			}
		}
		if e == syscall.ECHILD {
			return
		}
		// The remaining children are about to end. The pause is over as soon as one of them ends.
		syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&page.signals)), 0, uintptr(unsafe.Pointer(&page.pause)), 8, 0, 0)
	}
}
