package convert

import (
	"slices"
	"strings"

	"cordon/policy/filter"
)

// A container runtime installs the filter in its own process, and then executes the program. The filter must also allow
// the calls that the runtime makes in between. cordon's launcher calls only execve under the filter.

// A runtimeCall is a call that runc or crun makes after it has installed the filter. A profile may decide by argument
// arg, whose value is value. arg is -1 if no argument matters.
type runtimeCall struct {
	name  string
	arg   int
	value uint64
}

// runtimeCalls lists the calls that runc (1.1, 1.2) and crun (1.8) make. They were seen with strace(1), with and
// without noNewPrivileges, and read in the source of runc's init and of Go's runtime. Go may make a thread at any time.
var runtimeCalls = [...]runtimeCall{
	{"execve", -1, 0}, {"futex", -1, 0}, {"nanosleep", -1, 0}, {"clock_gettime", -1, 0}, {"epoll_pwait", -1, 0}, {"epoll_ctl", -1, 0},
	{"epoll_create1", -1, 0}, {"eventfd2", -1, 0}, {"pipe2", -1, 0}, {"close", -1, 0}, {"close_range", -1, 0}, {"read", -1, 0}, {"write", -1, 0},
	{"openat", 2, 0o2000000}, {"openat", 2, 0o2000001}, // the directory of descriptors; the runtime's fifo
	{"getdents64", -1, 0}, {"fstat", -1, 0}, {"newfstatat", -1, 0}, {"fstatfs", -1, 0}, {"readlinkat", -1, 0}, {"faccessat", -1, 0}, {"faccessat2", -1, 0},
	{"fcntl", 1, 1}, {"fcntl", 1, 2}, {"fcntl", 1, 3},
	{"mmap", 2, 3}, {"munmap", -1, 0}, {"madvise", -1, 0}, {"mprotect", 2, 3}, {"brk", -1, 0},
	{"clone", 0, 0x50f00}, {"clone", 0, 0x3d0f00}, {"set_robust_list", -1, 0}, {"rseq", -1, 0}, {"gettid", -1, 0}, {"getpid", -1, 0}, {"getppid", -1, 0},
	{"tgkill", -1, 0}, {"rt_sigaction", -1, 0}, {"rt_sigprocmask", -1, 0}, {"rt_sigreturn", -1, 0}, {"sigaltstack", -1, 0}, {"sched_yield", -1, 0},
	{"sched_getaffinity", -1, 0}, {"exit", -1, 0}, {"exit_group", -1, 0}, {"sendto", -1, 0}, {"recvfrom", -1, 0},
	// Without noNewPrivileges the runtime installs the filter before it sets the ids and the capabilities.
	{"prctl", 0, 24}, {"prctl", 0, 8}, {"prctl", 0, 47}, {"prctl", 0, 38}, {"prctl", 0, 3}, {"capget", -1, 0}, {"capset", -1, 0}, {"setgroups", -1, 0},
	{"setuid", -1, 0}, {"setgid", -1, 0}, {"setresuid", -1, 0}, {"setresgid", -1, 0}, {"getuid", -1, 0}, {"geteuid", -1, 0}, {"getgid", -1, 0}, {"getegid", -1, 0},
	{"fchown", -1, 0}, {"chdir", -1, 0}, {"fchdir", -1, 0}, {"getcwd", -1, 0},
}

// runtime handles the calls of the runtime that the profile refuses. With the option Runtime it allows them. Without
// the option it adds a note that no runtime can start a program under the filter.
func (e *exporter) runtime() {
	if e.Format == Systemd { // systemd allows its own calls: @default
		return
	}
	var refused []string
	for i := range runtimeCalls {
		c := &runtimeCalls[i]
		d := e.decision(c.name)
		if d == nil || passes(d, c) {
			continue
		}
		if !slices.Contains(refused, c.name) {
			refused = append(refused, c.name)
		}
		if e.Runtime {
			e.admit(d, c)
		}
	}
	switch {
	case len(refused) == 0:
	case e.Runtime:
		e.note(Note{At: "syscalls", Rule: "calls of the runtime", Class: Approximated, How: "added as asked, so that runc and crun start: " + strings.Join(refused, " ")})
	default:
		const most = 6
		more := ""
		if len(refused) > most {
			more = ", …"
		}
		e.note(Note{At: "syscalls", Rule: "calls of the runtime", Class: Approximated, Effect: Tighter, How: "does not start under runc, which itself calls " +
			strings.Join(refused[:min(most, len(refused))], ", ") + more + " after it has installed the filter; --runtime adds these calls"})
	}
}

// matches reports whether a case holds for a call of the runtime. It ignores arguments that the case does not test.
func (c *runtimeCall) matches(k *filter.Case) bool {
	return c.arg < 0 || c.value&k.Args[c.arg].Mask == k.Args[c.arg].Value
}

// passes reports whether a runtime's call passes, whatever its other arguments.
func passes(d *filter.Decision, c *runtimeCall) bool {
	return !slices.ContainsFunc(d.Cases, func(k filter.Case) bool { return c.matches(&k) && !k.Action.Passes() })
}

// admit allows a call of the runtime. If only the default refuses the value of its argument, admit adds a case for this
// one value, because a case with the default action is not written. Otherwise it allows the call with all arguments.
func (e *exporter) admit(d *filter.Decision, c *runtimeCall) {
	allow := filter.Action{Kind: filter.Allow}
	byDefault := !slices.ContainsFunc(d.Cases, func(k filter.Case) bool { return c.matches(&k) && k.Action != e.deflt })
	if c.arg < 0 || !byDefault {
		d.Cases = []filter.Case{{Action: allow}}
		return
	}
	k := filter.Case{Action: allow}
	k.Args[c.arg] = filter.Masked{Mask: 1<<64 - 1, Value: c.value}
	d.Cases = append(d.Cases, k)
}
