package learn

import (
	"slices"
	"strings"

	"cordon/policy/filter"
)

// floor lists calls that every program makes. The first line has the calls that libc makes at start and exit, and that
// the kernel makes on behalf of a program; the launcher makes the execve. With the calls on the second line, ld.so and
// libc set up threads and memory, whatever the program does. The third line has the calls that wait for a signal,
// because chance decides whether a program has to wait.
const floor = `exit exit_group rt_sigreturn sigreturn restart_syscall execve
	brk arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom
	pause rt_sigsuspend sigsuspend`

// troubles lists calls with which libc and the runtimes of languages print, report an error, abort and exit. Among them
// are write(2), the calls of stdio for printf and perror (which duplicates the descriptor), the flush at exit, raise
// and abort, and the memory for a message. A run without errors makes few of these calls. If a profile denied them, a
// later error would be silent or end in another signal. None of them opens a file, reaches another process, or gives
// more than an open descriptor gives. The list does not depend on the back end.
const troubles = `write writev read readv lseek _llseek close dup fstat fstat64 newfstatat fcntl fcntl64 ioctl getcwd
	mmap mmap2 munmap mprotect mremap madvise futex futex_time64 poll ppoll ppoll_time64
	rt_sigaction rt_sigprocmask sigaction sigprocmask sigaltstack getpid getppid gettid tgkill tkill
	sched_yield clock_gettime clock_gettime64 gettimeofday time`

// threads lists calls that a program with threads makes only sometimes, as chance decides: to wait for a lock or for
// work, to preempt another thread, to give memory back.
const threads = `futex futex_time64 sched_yield nanosleep clock_nanosleep clock_nanosleep_time64 tgkill getpid gettid madvise munmap
	rt_sigprocmask sigaltstack epoll_pwait`

// families lists calls that do the same work, one family on each line. libc chooses one call of a line, by its own
// version and the kernel's. No call gives more than the other calls of its line.
var families = [...]string{
	"open openat openat2",
	"stat lstat fstat newfstatat statx stat64 lstat64 fstat64 fstatat64",
	"access faccessat faccessat2",
	"readlink readlinkat",
	"getdents getdents64",
	"mkdir mkdirat",
	"unlink unlinkat rmdir",
	"rename renameat renameat2",
	"link linkat",
	"symlink symlinkat",
	"chmod fchmod fchmodat fchmodat2",
	"chown fchown lchown fchownat chown32 fchown32 lchown32",
	"mknod mknodat",
	"utime utimes futimesat utimensat utimensat_time64",
	"truncate ftruncate truncate64 ftruncate64",
	"statfs fstatfs statfs64 fstatfs64",
	"read readv pread64 preadv preadv2",
	"write writev pwrite64 pwritev pwritev2",
	"lseek _llseek",
	"sendfile sendfile64 copy_file_range",
	"close close_range",
	"dup dup2 dup3",
	"pipe pipe2",
	"fcntl fcntl64",
	"mmap mmap2",
	"mprotect pkey_mprotect",
	"poll ppoll select _newselect pselect6 ppoll_time64 pselect6_time64",
	"epoll_create epoll_create1",
	"epoll_wait epoll_pwait epoll_pwait2",
	"eventfd eventfd2",
	"signalfd signalfd4",
	"inotify_init inotify_init1",
	"accept accept4",
	"send sendto sendmsg sendmmsg",
	"recv recvfrom recvmsg recvmmsg recvmmsg_time64",
	"fork vfork clone clone3",
	"wait4 waitid waitpid",
	"execve execveat",
	"getrlimit setrlimit prlimit64 ugetrlimit",
	"time gettimeofday clock_gettime clock_gettime64",
	"nanosleep clock_nanosleep clock_nanosleep_time64",
	"clock_getres clock_getres_time64",
	"futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue",
	"getuid geteuid getgid getegid getresuid getresgid getuid32 geteuid32 getgid32 getegid32",
	"getpid getppid gettid",
	"rt_sigaction rt_sigprocmask sigaction sigprocmask sigaltstack",
	"rt_sigtimedwait rt_sigtimedwait_time64",
	"fsync fdatasync",
	"timer_settime timer_settime64",
	"timerfd_settime timerfd_settime64",
	"tgkill tkill",
}

// instead lists calls for which a filter may return ENOSYS. Every libc then uses the other call, or does without.
var instead = [...]struct{ call, other string }{
	{"clone3", "clone"}, {"openat2", "openat"}, {"faccessat2", "faccessat"}, {"statx", "newfstatat"}, {"close_range", "close"},
	{"epoll_pwait2", "epoll_pwait"}, {"fchmodat2", "fchmodat"}, {"rseq", ""}, {"futex_waitv", "futex"}, {"preadv2", "preadv"},
	{"pwritev2", "pwritev"}, {"copy_file_range", "sendfile"},
}

// isMPTCP reports whether the call makes a socket of multipath TCP. If that fails, programs use TCP. For example, Go's
// listeners first try multipath TCP, which many kernels lack.
func isMPTCP(c *Call) bool {
	const mptcp = 262
	v, ok := c.arg("protocol")
	return c.Name == "socket" && ok && v == mptcp
}

// relatives returns the other calls in a call's families. It leaves out calls that the architecture lacks.
func relatives(call string, arch filter.Arch) (others []string) {
	for _, line := range families {
		members := strings.Fields(line)
		if !slices.Contains(members, call) {
			continue
		}
		for _, m := range members {
			if _, ok := filter.Number(arch, m); ok && m != call {
				others = append(others, m)
			}
		}
	}
	return others
}
