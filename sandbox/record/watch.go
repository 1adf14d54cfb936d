package record

// This file decides for which calls the filter of the notify back end notifies. A filter has no memory: it cannot
// notify for a call once and allow the same call later, and a second filter can only forbid more. So for a call with
// given arguments the filter either always notifies, or never.

import (
	"slices"

	"cordon/policy/filter"
)

// hot lists calls that a program makes all the time, on what the program already has: open descriptors, memory, clocks,
// its own pid. The filter of the notify back end notifies for them only if the caller asks for all calls.
var hot = [...]string{
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek", "_llseek",
	"close", "fstat", "fstat64", "getdents64", "getdents", "dup", "dup2", "dup3", "copy_file_range", "sendfile", "sendfile64",
	"splice", "fadvise64", "fadvise64_64",
	"brk", "munmap", "mremap", "madvise",
	"poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl",
	"futex", "futex_time64", "futex_waitv", "sched_yield", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64",
	"clock_gettime", "clock_gettime64", "gettimeofday", "time", "getrandom",
	"rt_sigprocmask", "rt_sigaction", "rt_sigreturn", "sigreturn", "sigaltstack", "tgkill", "restart_syscall",
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getuid32", "geteuid32", "getgid32", "getegid32",
	"recvmsg", "recvmmsg", "recv", "send", "sendmsg", "sendmmsg",
	"wait4", "waitpid", "waitid", "set_robust_list", "rseq", "set_tid_address", "exit", "exit_group",
}

// gates lists conditions on arguments. If such a condition holds, the filter does not notify for the call, because the
// call then concerns only what the program already has.
var gates = [...]struct{ call, silent, why string }{
	{"mmap", "prot & PROT_EXEC == 0", "mmap without PROT_EXEC"},
	{"mprotect", "prot & PROT_EXEC == 0", "mprotect without PROT_EXEC"},
	{"fcntl", "in(cmd, F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL)", "fcntl F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL"},
	{"sendto", "reg4 == 0", "sendto without an address"},
	// The resolvers of libc and c-ares pass an address when they receive answers of name servers.
	{"recvfrom", "reg4 == 0", "recvfrom without an address"},
	// find, tar and git stat each file in a directory that they have open; the recording contains the directory.
	{"newfstatat", "uint32(dirfd) != 0xffffff9c", "newfstatat below an open directory"},
	{"statx", "uint32(dirfd) != 0xffffff9c", "statx below an open directory"},
}

// Quiet returns rules for the calls with a path or an address that concern only what the program already has.
func Quiet() []filter.Rule {
	var out []filter.Rule
	for _, g := range gates {
		if slices.Contains(PathCalls(), g.call) || slices.Contains(AddressCalls(), g.call) {
			out = append(out, filter.Rule{Call: g.call, Expr: g.silent})
		}
	}
	return out
}

// watching returns the filter's rules. If all is set, the filter notifies for every call. Otherwise it notifies for the
// calls that are not in hot and for which no condition of gates holds.
func watching(all bool, foreign []filter.Arch) *filter.Spec {
	notify := filter.Action{Kind: filter.Notify}
	s := &filter.Spec{Default: notify, Unknown: notify, Foreign: foreign}
	if all {
		return s
	}
	for _, name := range hot {
		if filter.Known(name) {
			s.Allow = append(s.Allow, filter.Item{Name: name})
		}
	}
	for _, g := range gates {
		s.Rules = append(s.Rules, filter.Rule{Call: g.call, Expr: g.silent, Else: notify})
	}
	return s
}
