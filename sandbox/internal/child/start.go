package child

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// beforeFork and afterFork are hooks of the standard library's own fork. They block signals around the fork, and keep
// the child's stack from growing. The standard library has a third hook, for the child, which is not used here: it
// resets the runtime's signal handlers one by one, and clone3 resets all of them at once (CLONE_CLEAR_SIGHAND, Linux
// 5.5). The child's signals stay blocked until a step of the plan unblocks the task's.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// cloneArgs is struct clone_args of clone3(2). The last field belongs to version 2 (Linux 5.7). Older kernels do not
// know that field, so it is passed only with CLONE_INTO_CGROUP.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64

	// plain is no field of the kernel's struct. If it is set, clone(2) is called instead of clone3(2), which a
	// container's filter refuses. clone(2) cannot reset the signal handlers, so the child resets them.
	plain bool
}

func (a *cloneArgs) size() uintptr {
	if a.flags&unix.CLONE_INTO_CGROUP == 0 {
		return unsafe.Offsetof(a.cgroup)
	}
	return unsafe.Offsetof(a.plain)
}

// plainFlags are the flags that clone(2) has too. CLONE_INTO_CGROUP is not one of them: the child joins its group
// itself.
const plainFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET |
	unix.CLONE_NEWCGROUP

// These constants are for rt_sigaction(2): SIG_IGN, the size of a set of signals in bytes, and the last signal.
const ignoredSignal, signalSetSize, lastSignal = 1, 8, 64

// Start clones the child and returns its pid and pidfd. The calling thread must outlive the sandbox, because the kernel
// kills the child when that thread ends (PR_SET_PDEATHSIG).
func (im *Image) Start() (pid, pidfd int, err error) {
	// The kernel gets the address of fd as a number, so fd must not lie on a stack, which the runtime may move.
	fd := new(int32)
	var pin runtime.Pinner
	pin.Pin(fd)
	defer pin.Unpin()
	*fd = -1
	args := &cloneArgs{flags: im.clone | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND, pidfd: uint64(uintptr(unsafe.Pointer(fd))), exitSignal: uint64(unix.SIGCHLD)}
	if im.clone&unix.CLONE_INTO_CGROUP != 0 {
		args.cgroup = uint64(im.group)
	}
	// Only one fork at a time may decide which parts of the heap its new process gets.
	syscall.ForkLock.Lock()
	n, errno := run(im, args)
	if (errno == unix.ENOSYS || errno == unix.EPERM) && im.clone&^plainFlags == 0 {
		args.plain = true
		n, errno = run(im, args)
	}
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(im)
	runtime.KeepAlive(args)
	if errno != 0 {
		return 0, -1, errno
	}
	return int(n), int(*fd), nil
}

// sysinfoEHDR is AT_SYSINFO_EHDR of getauxval(3): the address of the vDSO. The kernel's own data lies right before
// the vDSO, and has fewer pages than vvarPages.
const (
	sysinfoEHDR = 33
	vvarPages   = 16
)

// Alone declares that this process is a dedicated launcher. Then the mappings that the kernel made before the image
// belong to the Go runtime, unless libc is in the process, and the child gets none of them. In any other process these
// mappings may belong to other code, and MADV_DOFORK might change a setting of that code.
func (im *Image) Alone() { im.alone = true }

// aboveEnd returns the end of the mappings that begin at above and that the child does not need, or 0 if there are no
// such mappings. They end below the vDSO, or below the arguments if the kernel has put the vDSO above the arguments.
func (im *Image) aboveEnd(above, pageSize uintptr) uintptr {
	if withC || !im.alone || len(os.Args) == 0 {
		return 0
	}
	const stackRoom = 16 << 20
	end := uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))&^(pageSize-1) - stackRoom
	aux, _ := unix.Auxv()
	for _, kv := range aux {
		if kv[0] == sysinfoEHDR {
			end = min(end, kv[1]-vvarPages*pageSize)
		}
	}
	if end < above {
		return 0
	}
	return end
}

// run clones the child. In the child it never returns. It may call only functions that are inlined or marked nosplit.
// Of the launcher's heap, the child gets only a window around its stack. There are three reasons: the child needs no
// more, it must not hold secrets of the launcher, and without shared pages the launcher has nothing to copy when it
// writes to its heap. In a dedicated launcher (see Alone), the child does not get the runtime's own memory either.
//
//go:noinline
//go:norace
//go:nocheckptr
func run(im *Image, args *cloneArgs) (pid uintptr, e syscall.Errno) {
	var (
		regs [plan.NumRegs]uintptr
		a    [6]uintptr
		r    uintptr

		argSize  = args.size()
		pageSize = uintptr(os.Getpagesize())
		window   = max(windowSize, 2*pageSize)
		heap     uintptr // the beginning of the arenas
		keep     uintptr // the beginning of the window
		memory   = uintptr(unsafe.Pointer(im.page))
		above    = memory + imageSize // the beginning of the mappings that the kernel made before the image
		kept     = im.aboveEnd(above, pageSize)
		plain    = args.plain // in the child args may lie outside of the window

		old, standard [4]uintptr // struct sigaction of the kernel, which begins with the handler

		page  = im.page
		fault = &page.Init
		o     = (*op)(unsafe.Add(unsafe.Pointer(page), opsStart))
		n     uint32 // number of steps so far, including the present one
		j     int
	)
	beforeFork()
	// From here on the stack does not move. madvise(2) returns ENOMEM if some parts are not mapped, but still handles
	// the other parts. The image can lie among the arenas only if the kernel has chosen the heap's address.
	heap = uintptr(unsafe.Pointer(&a))&^(arenaSize-1) - arenaSize
	keep = (uintptr(unsafe.Pointer(&a)) - windowSize/2) &^ (pageSize - 1)
	syscall.RawSyscall6(unix.SYS_MADVISE, heap, keep-heap, unix.MADV_DONTFORK, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_MADVISE, keep+window, heap+3*arenaSize-keep-window, unix.MADV_DONTFORK, 0, 0, 0)
	if keep+window > above && keep < kept { // the kernel has chosen the heap's address
		kept = 0
	}
	if kept > above {
		syscall.RawSyscall6(unix.SYS_MADVISE, above, kept-above, unix.MADV_DONTFORK, 0, 0, 0)
	}
	if memory+imageSize > heap && memory < heap+3*arenaSize {
		syscall.RawSyscall6(unix.SYS_MADVISE, memory, imageSize, unix.MADV_DOFORK, 0, 0, 0)
	}
	// Without CLONE_VM the child has copies of the pages that are not shared. So what the child writes changes nothing
	// in the launcher's memory except the image.
	if plain {
		pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(args.flags)&plainFlags|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), 0, uintptr(args.pidfd), 0, 0, 0)
	} else {
		pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), argSize, 0, 0, 0, 0)
	}
	if pid != 0 || e != 0 {
		syscall.RawSyscall6(unix.SYS_MADVISE, heap, 3*arenaSize, unix.MADV_DOFORK, 0, 0, 0)
		if kept > above {
			syscall.RawSyscall6(unix.SYS_MADVISE, above, kept-above, unix.MADV_DOFORK, 0, 0, 0)
		}
		afterFork()
		return pid, e
	}
	// This is the child. Signals are blocked until a step unblocks them. What the caller ignores stays ignored.
	for j = 1; plain && j <= lastSignal; j++ {
		_, _, e = syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(j), 0, uintptr(unsafe.Pointer(&old)), signalSetSize, 0, 0)
		if e == 0 && old[0] > ignoredSignal {
			syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(j), uintptr(unsafe.Pointer(&standard)), 0, signalSetSize, 0, 0)
		}
	}
	// An operation that has not been written yet is zero, which is opEnd. The child never reaches such an operation too
	// early, because the step before it waits for the launcher's byte.
	for o.kind != opEnd {
		// The number is stored before the call, so that the launcher finds the step even if the filter kills the
		// process in the call.
		n++
		fault.Step = n
		for j = 0; j < 6; j++ {
			a[j] = o.args[j]
			if o.regs[j] != 0 {
				a[j] = regs[o.regs[j]]
			}
		}
		if o.put != nil {
			*o.put = int32(regs[o.from])
		}
		// syscall.Syscall would call the Go scheduler, which does not exist in the child.
		r, _, e = syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if r == 0 && o.some {
			e = syscall.EPIPE
		}
		if e != 0 && uint16(e) != o.or&0xff && uint16(e) != o.or>>8 {
			goto failed
		}
		// The new process is the task, and continues with the plan. Its faults are stored apart from init's, because
		// both run at the same time. The old process is init from here on.
		if o.kind == opFork && r == 0 {
			fault = &page.Task
		} else if o.kind == opFork {
			pid = r // the task's pid
			o = (*op)(unsafe.Add(unsafe.Pointer(page), initStart))
			n = InitBase
			continue
		} else if o.kind == opAgain && r != 0 {
			goto done
		}
		if o.load != nil {
			r = uintptr(*o.load)
		}
		regs[o.to] = r
		o = (*op)(unsafe.Add(unsafe.Pointer(o), unsafe.Sizeof(*o)))
	}
	// Only init, and a child that does not fork, reach this line: the last step of the task is execve, which does not
	// return.
	fault.Step = 0
	if pid != 0 && page.Guard != 0 {
		guard(page, pid)
		goto done
	}
	for pid != 0 { // init reaps until the task has ended; other processes die with init
		r, _, e = syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&page.scratch)), unix.WALL,
			uintptr(unsafe.Pointer(&page.scratchUse)), 0, 0)
		if r == pid {
			page.Status, page.Usage = page.scratch, page.scratchUse
			page.Done = 1
			if page.Linger != 0 { // if the launcher dies, the kernel kills init
				syscall.RawSyscall6(unix.SYS_READ, 0, uintptr(unsafe.Pointer(&page.scratchUse)), 8, 0, 0, 0)
			}
			break
		}
		if e != 0 && e != syscall.EINTR {
			goto failed
		}
	}
done:
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
	}
failed:
	// The error is stored in the shared memory, because the filter could refuse to send a message. The launcher finds
	// the error even if the child is killed right after this.
	fault.Step = n
	fault.Errno = uint32(e)
	syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	// The filter may forbid even exit_group. So the child ends by a page fault, for which it has no handler.
	page = nil
	for {
		page.Done = 0
	}
}
