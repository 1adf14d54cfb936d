package compile

// seccomp(2): filters since Linux 3.5, SECCOMP_RET_KILL_PROCESS since 4.14.

import (
	"runtime"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// seccomp installs the profile's filter. It is compiled for the architecture that the launcher runs on.
func (c *Compilation) seccomp() error {
	if c.Observed() {
		return c.watch()
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	spec.Report, spec.Own = c.Reports, c.execCall().String()
	prog, err := filter.Compile(spec, c.Arch)
	if err != nil {
		return err
	}
	from := c.scalar("syscalls.default")
	if c.Reports {
		c.listenWith(c.scalar("on-denial"), from, prog)
		return nil
	}
	c.do(from, plan.SetFilter(0, host.EncodeFilter(prog.Insns)))
	return nil
}

// Spec is what the profile says of system calls, and of the launcher's own.
func (c *Compilation) Spec() (filter.Spec, error) {
	spec, err := c.Profile.FilterOnce(c.Nonce)
	if err == nil && c.Into != nil {
		return c.letExec(spec)
	}
	return spec, err
}

// listenWith installs a filter that has a listener, at the number that is free for it.
func (c *Compilation) listenWith(why, from plan.From, prog *filter.Program) {
	c.do(why, plan.CloseStep(plan.Number(c.FirstFD()))) // the lowest free number now: the listener's
	c.do(from, plan.SetFilter(uint64(c.Host.NotifyFlags), host.EncodeFilter(prog.Insns)))
}

// FindArch decides for which architecture the filters are.
func (c *Compilation) FindArch() error {
	var ok bool
	if c.Arch, ok = filter.ParseArch(runtime.GOARCH); !ok {
		return &fail.UnsupportedError{Layer: policy.LayerSeccomp, Why: "no system call table for " + runtime.GOARCH, Remedy: "amd64, arm64 and riscv64 have one"}
	}
	return nil
}

// initCalls are the calls of Plan.Init behind its filter, and of the loop.
var initCalls = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN}

// initCallsBefore are those, and what init does between its word that it is confined and its loop: see sendListener.
var initCallsBefore = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN,
	unix.SYS_FUTEX, unix.SYS_SENDMSG, unix.SYS_DUP3, unix.SYS_CLOSE_RANGE, unix.SYS_SECCOMP}

// initFilter ends init at any call but these. It is written by hand because it is init's alone and
// never changes.
func initFilter(arch filter.Arch, calls []uint32) string {
	const (
		load  = 0x20 // BPF_LD | BPF_W | BPF_ABS
		equal = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		ret   = 0x06 // BPF_RET | BPF_K
	)
	kill, allow := filter.Insn{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, filter.Insn{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	insns := make([]filter.Insn, 0, 6+len(calls))
	insns = append(insns, filter.Insn{Code: load, K: 4}, filter.Insn{Code: equal, Jt: 1, K: arch.Audit()}, kill, filter.Insn{Code: load, K: 0})
	for i, nr := range calls {
		insns = append(insns, filter.Insn{Code: equal, Jt: uint8(len(calls) - i), K: nr})
	}
	return host.EncodeFilter(append(insns, kill, allow))
}
