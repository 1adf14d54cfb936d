package learn

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/lint"
	"cordon/policy/phrase"
)

// noise lists capability checks that a program does not need to pass: the result changes an accounting value, a
// priority or nothing, and the call works without the capability. by is the kernel function or the call that makes the
// check; "" means any. The list comes from the kernel's sources: mm/util.c, kernel/fork.c, kernel/sys.c, fs/pipe.c,
// kernel/ptrace.c, fs/exec.c, net/core/sock.c.
var noise = [...]struct{ cap, by, why string }{
	{"SYS_ADMIN", "cap_vm_enough_memory", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "security_vm_enough_memory_mm", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "__vm_enough_memory", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "mmap", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "mmap2", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "brk", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "mremap", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "mprotect", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "execve", "the kernel keeps a reserve for it when memory is mapped"},
	{"SYS_ADMIN", "clone", "the kernel keeps a reserve for it, and lifts the limit of processes"},
	{"SYS_ADMIN", "clone3", "the kernel keeps a reserve for it, and lifts the limit of processes"},
	{"SYS_ADMIN", "fork", "the kernel keeps a reserve for it, and lifts the limit of processes"},
	{"SYS_ADMIN", "vfork", "the kernel keeps a reserve for it, and lifts the limit of processes"},
	{"SYS_ADMIN", "copy_process", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "clone", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "clone3", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "fork", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "copy_process", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "execve", "it lifts the limit of processes"},
	{"SYS_RESOURCE", "pipe", "it lifts the limit of pipes"},
	{"SYS_RESOURCE", "pipe2", "it lifts the limit of pipes"},
	{"SYS_RESOURCE", "alloc_pipe_info", "it lifts the limit of pipes"},
	{"SYS_ADMIN", "pipe", "it lifts the limit of pipes"},
	{"SYS_ADMIN", "pipe2", "it lifts the limit of pipes"},
	{"SYS_ADMIN", "alloc_pipe_info", "it lifts the limit of pipes"},
	{"IPC_LOCK", "mmap", "it lifts the limit of locked memory"},
	{"IPC_LOCK", "mlock", "it lifts the limit of locked memory"},
	{"IPC_LOCK", "can_do_mlock", "it lifts the limit of locked memory"},
	{"SYS_PTRACE", "ptrace_may_access", "reading /proc of processes of the same user needs none"},
	{"SYS_PTRACE", "__ptrace_may_access", "reading /proc of processes of the same user needs none"},
	{"SETUID", "execve", "it is asked whether a setuid program may be traced"},
	{"FSETID", "", "without it a change of owner or a write drops the setuid bit, as it should"},
}

// noiseOf returns the reason why the program does not need a capability to pass this check, or "" if it may need the
// capability.
func noiseOf(c *Cap) string {
	for _, n := range noise {
		if n.cap == c.Cap && (n.by == "" || n.by == c.By) {
			return n.why
		}
	}
	return ""
}

// capabilities keeps the capabilities that the program requested and had, and without which a call would have failed.
// For each other capability, it returns the reason why it was not kept.
func (l *learner) capabilities() (without []string) {
	var kept []Cap
	for i := range l.f.Caps {
		c := &l.f.Caps[i]
		_, known := policy.CapabilityNumber(c.Cap)
		why := noiseOf(c)
		switch {
		case !known:
			why = "it is no capability that is known"
		case c.Errno != "":
			why = "the program went without: the check ended with " + c.Errno
		case why == "":
			why = l.f.unneeded(c)
		}
		if why != "" {
			without = append(without, c.Cap+phrase.Prefixed(" for ", c.By)+": "+why)
			l.note(Note{Kind: Left, What: "the capability " + c.Cap + phrase.Prefixed(" for ", c.By), Why: why, At: c.At})
			continue
		}
		if !slices.ContainsFunc(kept, func(k Cap) bool { return k.Cap == c.Cap }) {
			kept = append(kept, *c)
		}
	}
	slices.SortFunc(kept, func(a, b Cap) int { return cmp.Compare(a.Cap, b.Cap) })
	s := &l.own.Capabilities
	for _, c := range kept {
		if lint.LeadsToRoot(c.Cap) {
			l.comment("capabilities.keep["+strconv.Itoa(len(s.Keep))+"]", "lint:ignore CL013 the recorded program used it"+phrase.Prefixed(": ", c.By))
		}
		s.Keep = append(s.Keep, policy.Capability{Name: c.Cap, Pos: c.At})
		if l.f.user() {
			s.Ambient = append(s.Ambient, policy.Capability{Name: c.Cap, Pos: c.At})
		}
		l.note(Note{Kind: Granted, What: "the capability " + c.Cap, Why: strings.TrimPrefix(phrase.Prefixed(" it was used by ", c.By), " "), At: c.At})
	}
	return without
}

// user reports whether the task of a recorded run was not root inside. Such a task can use only ambient capabilities.
func (f *Facts) user() bool {
	return slices.ContainsFunc(f.Header.Runs, func(r runOf) bool { return r.UID != 0 })
}
