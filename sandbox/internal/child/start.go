package child

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// These are hooks that the standard library's own fork uses. They block signals around the fork, and see to it that
// the child's stack does not grow. The third hook, for the child, is not called: it resets the handlers that the
// runtime knows of, one by one, and clone3 resets all (CLONE_CLEAR_SIGHAND, Linux 5.5). The child's signals stay
// blocked; a plan unblocks the task's.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// cloneArgs is struct clone_args of clone3(2). The last field belongs to version 2 (Linux 5.7). Older kernels do not
// know it, so it is passed only with CLONE_INTO_CGROUP.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64

	// plain is not the kernel's: clone(2) is called instead, because a container's filter answers ENOSYS to clone3(2).
	// clone(2) cannot reset the signal handlers. In the child they never run, because every signal is blocked, and
	// execve resets them.
	plain bool
}

func (a *cloneArgs) size() uintptr {
	if a.flags&unix.CLONE_INTO_CGROUP == 0 {
		return unsafe.Offsetof(a.cgroup)
	}
	return unsafe.Offsetof(a.plain)
}

// Start clones and returns the child's pid and pidfd. The calling thread must outlive the sandbox: the child's
// parent-death signal is tied to it.
func (im *Image) Start() (pid, pidfd int, err error) {
	fd := int32(-1)
	args := &cloneArgs{flags: im.clone | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND, pidfd: uint64(uintptr(unsafe.Pointer(&fd))), exitSignal: uint64(unix.SIGCHLD)}
	if im.clone&unix.CLONE_INTO_CGROUP != 0 {
		args.cgroup = uint64(im.group)
	}
	// Only one fork at a time may say which parts of the heap the next process gets.
	syscall.ForkLock.Lock()
	n, errno := run(im, args)
	if errno == unix.ENOSYS && im.page.Guard != 0 && im.clone == 0 {
		args.plain = true
		n, errno = run(im, args)
	}
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(im)
	runtime.KeepAlive(args)
	if errno != 0 {
		return 0, -1, errno
	}
	return int(n), int(fd), nil
}

// sysinfoEHDR is AT_SYSINFO_EHDR of getauxval(3): the address of the vDSO. The kernel's own data lies right before
// the vDSO, and has fewer pages than vvarPages.
const (
	sysinfoEHDR = 33
	vvarPages   = 16
)

// Alone says that this process is a launcher and nothing else. Then the mappings that the kernel made before the
// image are the Go runtime's, unless libc is in the process. The child gets none of them either. In another process
// they may be somebody else's, which MADV_DOFORK may not give back.
func (im *Image) Alone() { im.alone = true }

// aboveEnd returns the end of the mappings that begin at above and that the child need not have; 0 if there are none.
// They end below the vDSO, or below the arguments if the kernel put the vDSO above the arguments.
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

// run clones. In the child it never returns. It may call nothing but what is inlined or marked nosplit. The child
// gets none of the launcher's heap but a window around its stack. It needs no more, it may hold no secret of the
// launcher, and the launcher has nothing of its heap to copy when it goes on. If the launcher is alone in its
// process, the child does not get the runtime's own memory either.
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
		heap     uintptr // where the arenas begin
		keep     uintptr // where the window begins
		memory   = uintptr(unsafe.Pointer(im.page))
		above    = memory + imageSize // where the mappings begin that the kernel made before the image
		kept     = im.aboveEnd(above, pageSize)

		page  = im.page
		fault = &page.Init
		o     = (*op)(unsafe.Add(unsafe.Pointer(page), opsStart))
		n     uint32 // the number of steps, this one included
		j     int
	)
	beforeFork()
	// From here on the stack stays where it is. If parts are not mapped, madvise(2) returns ENOMEM after it has done
	// the others. The image lies among the arenas only if the kernel chose the heap's place.
	heap = uintptr(unsafe.Pointer(&a))&^(arenaSize-1) - arenaSize
	keep = (uintptr(unsafe.Pointer(&a)) - windowSize/2) &^ (pageSize - 1)
	syscall.RawSyscall6(unix.SYS_MADVISE, heap, keep-heap, unix.MADV_DONTFORK, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_MADVISE, keep+window, heap+3*arenaSize-keep-window, unix.MADV_DONTFORK, 0, 0, 0)
	if keep+window > above && keep < kept { // the kernel chose the heap's place
		kept = 0
	}
	if kept > above {
		syscall.RawSyscall6(unix.SYS_MADVISE, above, kept-above, unix.MADV_DONTFORK, 0, 0, 0)
	}
	if memory+imageSize > heap && memory < heap+3*arenaSize {
		syscall.RawSyscall6(unix.SYS_MADVISE, memory, imageSize, unix.MADV_DOFORK, 0, 0, 0)
	}
	// There is no CLONE_VM: the child has copies of the pages that are not shared. So its writes reach nothing of the
	// launcher's but the image.
	if args.plain {
		pid, _, e = syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), 0, uintptr(args.pidfd), 0, 0, 0)
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
	// This is the child. An operation that nobody has written yet is zero, which is opEnd. The child never comes to
	// one too early, because the step before it waits for the launcher's byte.
	for o.kind != opEnd {
		// The number is written before the call. If the filter kills the process in the call, the launcher finds the
		// step here.
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
		// Syscall would tell the Go scheduler, and the child has none.
		r, _, e = syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if r == 0 && o.some {
			e = syscall.EPIPE
		}
		if e != 0 && uint16(e) != o.or&0xff && uint16(e) != o.or>>8 {
			goto failed
		}
		// The new process is the task, and goes on with the plan. Its faults stand apart from init's, because both
		// run at the same time. The old process is init from here on.
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
	// Only init, and a child without a fork, come here: the task's last step is execve, which does not return.
	fault.Step = 0
	if pid != 0 && page.Guard != 0 {
		guard(page, pid)
		goto done
	}
	for pid != 0 { // init reaps until the task is gone; what is left dies with init
		r, _, e = syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&page.scratch)), unix.WALL,
			uintptr(unsafe.Pointer(&page.scratchUse)), 0, 0)
		if r == pid {
			page.Status, page.Usage = page.scratch, page.scratchUse
			page.Done = 1
			if page.Linger != 0 { // if the launcher dies, the kernel ends init
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
	// The error goes into the shared memory, because the filter could refuse a message. The launcher finds the error
	// even if the child is killed right after this.
	fault.Step = n
	fault.Errno = uint32(e)
	syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	// The filter forbids even exit_group. So the child ends by a fault, whose handler is the default one.
	page = nil
	for {
		page.Done = 0
	}
}
