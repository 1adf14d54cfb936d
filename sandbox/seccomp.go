package sandbox

// seccomp(2): filters since Linux 3.5, SECCOMP_RET_KILL_PROCESS since 4.14.

import (
	"runtime"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/plan"
)

// seccomp installs the profile's filter. It is compiled for the architecture that the launcher runs on.
func (c *compilation) seccomp() error {
	spec, err := filterSpec(&c.profile.Syscalls)
	if err != nil {
		return err
	}
	prog, err := filter.Compile(spec, c.arch)
	if err != nil {
		return err
	}
	c.do(c.scalar("syscalls.default"), plan.SetFilter(0, encode(prog.Insns)))
	return nil
}

// findArch decides for which architecture the filters are.
func (c *compilation) findArch() error {
	var ok bool
	if c.arch, ok = filter.ParseArch(runtime.GOARCH); !ok {
		return &UnsupportedError{Layer: policy.LayerSeccomp, Why: "no system call table for " + runtime.GOARCH, Remedy: "amd64, arm64 and riscv64 have one"}
	}
	return nil
}

// filterSpec is the section as the filter's compiler reads it. Every item says where it comes from.
func filterSpec(s *policy.Syscalls) (spec filter.Spec, err error) {
	if spec.Default, err = action(s.Default); err != nil {
		return spec, err
	}
	if spec.Unknown, err = action(s.Unknown); err != nil {
		return spec, err
	}
	for _, name := range s.Arches {
		if arch, ok := filter.ParseArch(name); ok {
			spec.Foreign = append(spec.Foreign, arch)
		} else if name != "native" {
			return spec, &Error{Op: "syscalls.arches", Err: errText("unknown architecture " + name)}
		}
	}
	spec.Allow, spec.Deny = items(s.Allow), items(s.Deny)
	spec.Rules = make([]filter.Rule, len(s.Rules))
	for i := range s.Rules {
		r := &s.Rules[i]
		otherwise, err := action(r.Else)
		if err != nil {
			return spec, err
		}
		spec.Rules[i] = filter.Rule{Call: r.Call, Expr: r.Expr, Else: otherwise, From: posText(r.Pos)}
	}
	return spec, nil
}

func items(list []policy.SyscallItem) []filter.Item {
	out := make([]filter.Item, len(list))
	for i := range list {
		out[i] = filter.Item{Name: list[i].Name, From: posText(list[i].Pos)}
	}
	return out
}

func action(text string) (filter.Action, error) {
	if text == "" {
		return filter.Action{}, nil
	}
	return filter.ParseAction(text)
}

// encode lays instructions out as struct sock_filter.
func encode(insns []filter.Insn) string {
	b := make([]byte, 0, 8*len(insns))
	for _, in := range insns {
		b = append(b, byte(in.Code), byte(in.Code>>8), in.Jt, in.Jf, byte(in.K), byte(in.K>>8), byte(in.K>>16), byte(in.K>>24))
	}
	return string(b)
}

// initCalls are the calls of Plan.Init behind its filter, and of the loop.
var initCalls = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN}

// initFilter ends init at any call that its loop does not make. It is written by hand because it is init's alone and
// never changes.
func initFilter(arch filter.Arch) string {
	const (
		load  = 0x20 // BPF_LD | BPF_W | BPF_ABS
		equal = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		ret   = 0x06 // BPF_RET | BPF_K
	)
	kill, allow := filter.Insn{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, filter.Insn{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	insns := make([]filter.Insn, 0, 6+len(initCalls))
	insns = append(insns, filter.Insn{Code: load, K: 4}, filter.Insn{Code: equal, Jt: 1, K: arch.Audit()}, kill, filter.Insn{Code: load, K: 0})
	for i, nr := range initCalls {
		insns = append(insns, filter.Insn{Code: equal, Jt: uint8(len(initCalls) - i), K: nr})
	}
	return encode(append(insns, kill, allow))
}
