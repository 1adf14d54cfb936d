//go:build amd64 || arm64

package child

// If a limit leaves a process of Go too little memory or too few threads, the runtime ends the process with a trace, or
// a signal ends it. That happens before the first line of main. So the launcher's binary begins at entry (entry_*.s),
// which looks at the limits before there is a runtime: getrlimit(2), mmap(2), clone(2).

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entryTLS is used as thread-local storage until the runtime makes its own.
var entryTLS [2]uintptr //nolint:unused // by entry_amd64.s

// entry is the program's entry point. It is never called.
func entry() //nolint:unused // by the linker

// These constants say how much the launcher needs in addition to what it has. Each is about twice what a launch was
// seen to use.
const (
	roomAddresses = 2 << 30
	roomData      = 256 << 20
	roomThreads   = 16
	roomFiles     = 64

	// If a limit allows more threads than manyThreads, the limit is not tried, because that takes longer than a launch.
	manyThreads = 1024

	unlimited = ^uint64(0)
	exitEarly = 125
)

// These are the messages. They are constants because there is no memory yet in which a message could be put together.
const (
	saidAddresses = "cordon: error: limits: RLIMIT_AS leaves less than 2 GiB of addresses, which the launcher reserves and hardly uses\n" +
		"cordon: hint: ulimit -v unlimited; the program can have a limit of its own: --rlimit as=SIZE\n"
	saidData = "cordon: error: limits: RLIMIT_DATA leaves less than 256 MiB, which the launcher may need\n" +
		"cordon: hint: ulimit -d unlimited; the program can have a limit of its own: --memory SIZE, or --rlimit data=SIZE\n"
	saidThreads = "cordon: error: limits: RLIMIT_NPROC, or pids.max of a cgroup, leaves fewer than 16 processes, which the launcher and its threads may need\n" +
		"cordon: hint: ulimit -u 4096; the program can have a limit of its own: --pids N\n"
	saidFiles = "cordon: error: limits: RLIMIT_NOFILE is below 64, and the launcher opens files for each mount\n" +
		"cordon: hint: ulimit -n 1024; the program can have a limit of its own: --rlimit nofile=N\n"
)

var _ = checkRoom // entry_*.s calls it

// checkRoom ends the process with a message if a limit leaves too little for the runtime and a launch. It runs without a
// runtime: it may call only functions that are inlined or marked nosplit, and nothing that allocates or panics.
//
//go:nosplit
//go:norace
//go:nocheckptr
func checkRoom() {
	if limitOf(unix.RLIMIT_NOFILE, true) < roomFiles { // the runtime raises the soft limit to the hard one
		endEarly(saidFiles)
	}
	if limitOf(unix.RLIMIT_AS, false) != unlimited && !maps(roomAddresses, unix.PROT_NONE) {
		endEarly(saidAddresses)
	}
	if limitOf(unix.RLIMIT_DATA, false) != unlimited && !maps(roomData, unix.PROT_READ|unix.PROT_WRITE) {
		endEarly(saidData)
	}
	if limitOf(unix.RLIMIT_NPROC, false) < manyThreads && !forks(roomThreads) {
		endEarly(saidThreads)
	}
}

// limitOf returns a limit of the process: the hard limit if hard is set, otherwise the soft one.
//
//go:nosplit
func limitOf(resource uintptr, hard bool) uint64 {
	var l [2]uint64
	_, _, e := syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, resource, 0, uintptr(unsafe.Pointer(&l)), 0, 0)
	if e != 0 {
		return unlimited
	}
	if hard {
		return l[1]
	}
	return l[0]
}

// maps reports whether the process can map so many more bytes. It maps and unmaps them.
//
//go:nosplit
func maps(size, how uintptr) bool {
	at, _, e := syscall.RawSyscall6(unix.SYS_MMAP, 0, size, how, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, ^uintptr(0), 0)
	if e != 0 {
		return false
	}
	syscall.RawSyscall6(unix.SYS_MUNMAP, at, size, 0, 0, 0, 0)
	return true
}

// forks reports whether so many processes can exist in addition to this one. It makes them, and ends them. For this
// limit a thread counts as a process: setrlimit(2). If this process is killed meanwhile, the kernel ends the others
// too.
//
//go:nosplit
func forks(most int) bool {
	var pids [roomThreads]uintptr
	var n int
	for n = 0; n < most && n < len(pids); n++ {
		pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			break
		}
		if pid == 0 {
			syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
			for {
				syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
			}
		}
		pids[n] = pid
	}
	for i := 0; i < n && i < len(pids); i++ {
		syscall.RawSyscall6(unix.SYS_KILL, pids[i], uintptr(unix.SIGKILL), 0, 0, 0, 0)
		for {
			_, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, pids[i], 0, unix.WALL, 0, 0, 0)
			if e != unix.EINTR {
				break
			}
		}
	}
	return n == most
}

// endEarly writes a message to stderr and ends the process.
//
//go:nosplit
func endEarly(text string) {
	syscall.RawSyscall6(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0, 0, 0)
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, exitEarly, 0, 0, 0, 0, 0)
	}
}
