package filter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	allowed = Action{Kind: Allow}
	killed  = Action{Kind: Kill}
	ePERM   = Action{Errno, 1}
	eNOSYS  = Action{Errno, 38}
)

func mustCompile(t *testing.T, s Spec, arch Arch) *Program {
	t.Helper()
	p, err := Compile(s, arch)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nr(t *testing.T, a Arch, call string) int32 {
	t.Helper()
	n, ok := Number(a, call)
	if !ok {
		t.Fatalf("%s has no %s", a, call)
	}
	return int32(n)
}

// want fails the test unless the program gives the action for a call.
func want(t *testing.T, p *Program, abi Arch, call string, a Action, args ...uint64) {
	t.Helper()
	n := nr(t, abi, call)
	if abi == X32 {
		n |= X32Bit
	}
	wantNr(t, p, abi, n, a, args...)
}

func wantNr(t *testing.T, p *Program, abi Arch, nr int32, a Action, args ...uint64) {
	t.Helper()
	d := Data{Nr: nr, Arch: abi.Audit()}
	copy(d.Args[:], args)
	if got := p.Action(&d); got != a {
		t.Errorf("%s, number %d, %#x: %v, want %v", abi, nr, args, got, a)
	}
}

func items(names ...string) (is []Item) {
	for i, n := range names {
		is = append(is, Item{n, fmt.Sprintf("p.yaml:%d", i+1)})
	}
	return is
}

func TestZeroSpec(t *testing.T) {
	p := mustCompile(t, Spec{}, AMD64)
	want(t, p, AMD64, "read", ePERM)
	want(t, p, AMD64, "exit_group", ePERM)
	wantNr(t, p, AMD64, 400, eNOSYS)
	wantNr(t, p, AMD64, 100000, eNOSYS)
	wantNr(t, p, AMD64, -1, eNOSYS)
	wantNr(t, p, I386, 1, killed)
}

// TestForeign is row 22 of the threat model. It makes denied calls by the numbers of another architecture, and calls
// that do the same work there.
func TestForeign(t *testing.T) {
	s := Spec{Allow: items("@system-service", "socketcall"), Rules: []Rule{{Call: "socket", Expr: "in(family, AF_UNIX, AF_INET)", From: "p.yaml:9"}}}
	for _, native := range []Arch{AMD64, ARM64, RISCV64} {
		p := mustCompile(t, s, native)
		for _, abi := range []Arch{AMD64, ARM64, RISCV64, I386, ARM} {
			if abi != native {
				for nr := range int32(600) {
					wantNr(t, p, abi, nr, killed)
				}
			}
		}
	}
	p := mustCompile(t, s, AMD64)
	for nr := range int32(1024) {
		wantNr(t, p, AMD64, nr|X32Bit, killed)
	}
	wantNr(t, p, AMD64, -1, eNOSYS) // a tracer uses -1 to skip a call; it is not an x32 number
	wantNr(t, p, AMD64, -2, killed)

	s.Foreign = []Arch{I386, X32}
	p = mustCompile(t, s, AMD64)
	want(t, p, I386, "socket", allowed, 1)
	want(t, p, I386, "socket", ePERM, 40)
	want(t, p, I386, "socketcall", ePERM, 1)
	want(t, p, I386, "getpid", allowed)
	want(t, p, X32, "socket", ePERM, 40)
	want(t, p, X32, "readv", allowed)
	wantNr(t, p, X32, 19|X32Bit, eNOSYS) // readv's number on amd64; x32 has a different one
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Msg, "socketcall is denied") || !reflect.DeepEqual(p.Warnings[0].From, []string{"p.yaml:2"}) {
		t.Errorf("warnings %+v", p.Warnings)
	}
	s.Foreign = []Arch{ARM}
	want(t, mustCompile(t, s, ARM64), ARM, "getpid", allowed)
}

// TestMultiplexers checks that the filter allows a multiplexer (socketcall, ipc) only if it allows, without conditions,
// every call that the multiplexer can make.
func TestMultiplexers(t *testing.T) {
	all := Spec{Foreign: []Arch{I386}, Allow: items("@network-io", "@ipc")}
	p := mustCompile(t, all, AMD64)
	want(t, p, I386, "socketcall", allowed, 1)
	want(t, p, I386, "ipc", allowed)
	for _, c := range []struct {
		name string
		mod  func(*Spec)
		mux  string
	}{
		{"a rule", func(s *Spec) { s.Rules = []Rule{{Call: "socket", Expr: "family == AF_UNIX"}} }, "socketcall"},
		{"an action", func(s *Spec) { s.Rules = []Rule{{Call: "connect", Expr: "errno(EACCES)"}} }, "socketcall"},
		{"a denial", func(s *Spec) { s.Deny = items("bind") }, "socketcall"},
		{"a rule of its own", func(s *Spec) {
			s.Rules = []Rule{{Call: "socket", Expr: "family == AF_UNIX"}, {Call: "socketcall", Expr: "call == 1"}}
		}, "socketcall"},
		{"not all allowed", func(s *Spec) { s.Allow = items("@network-io", "ipc", "semop") }, "ipc"},
	} {
		s := all
		c.mod(&s)
		p := mustCompile(t, s, AMD64)
		for call := range uint64(25) {
			want(t, p, I386, c.mux, ePERM, call)
		}
	}
}

// TestVariants checks that a denial and a rule also apply to the 32-bit variants of their call.
func TestVariants(t *testing.T) {
	s := Spec{Foreign: []Arch{I386}, Allow: items("@known"), Deny: items("setuid"), Rules: []Rule{
		{Call: "fcntl", Expr: "cmd != F_SETLEASE"}, {Call: "mmap", Expr: "prot & PROT_EXEC == 0"}, {Call: "chown", Expr: "owner == 1000"},
	}}
	p := mustCompile(t, s, AMD64)
	want(t, p, I386, "setuid", ePERM)
	want(t, p, I386, "setuid32", ePERM)
	want(t, p, I386, "setgid32", allowed)
	want(t, p, I386, "fcntl64", ePERM, 0, 1024)
	want(t, p, I386, "fcntl64", allowed, 0, 1)
	want(t, p, I386, "mmap2", ePERM, 0, 4096, 4)
	want(t, p, I386, "mmap2", allowed, 0, 4096, 3)
	want(t, p, I386, "mmap", ePERM, 0, 4096, 3) // its arguments are behind a pointer
	want(t, p, AMD64, "mmap", allowed, 0, 4096, 3)
	want(t, p, I386, "chown", allowed, 0, 0x10000|1000) // the kernel reads only 16 bits of it
	want(t, p, I386, "chown32", ePERM, 0, 0x10000|1000)
	if len(p.Warnings) != 1 || p.Warnings[0].Msg != "on i386 mmap is denied: its arguments stand behind a pointer" {
		t.Errorf("warnings %+v", p.Warnings)
	}
}

// TestUnknown is row 24 of the threat model. Numbers in holes of the table or beyond its end get Unknown; known calls
// get Default.
func TestUnknown(t *testing.T) {
	for _, native := range []Arch{AMD64, ARM64, RISCV64, I386, ARM} {
		p := mustCompile(t, Spec{Allow: items("read"), Default: killed, Unknown: Action{Errno, 99}}, native)
		for n := range uint32(2000) {
			a := Action{Errno, 99}
			if name, ok := Name(native, n); ok {
				a = killed
				if name == "read" {
					a = allowed
				}
			}
			wantNr(t, p, native, int32(n), a)
		}
	}
	_, err := Compile(Spec{Allow: items("read", "opennat", "@files-system", "process", strings.Repeat("x", 1000))}, AMD64)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 4 {
		t.Fatalf("error %v", err)
	}
	for i, w := range []string{
		`p.yaml:2: unknown system call "opennat" (did you mean openat?)`,
		`p.yaml:3: unknown group "@files-system" (did you mean @file-system?)`,
		`p.yaml:4: unknown system call "process" (did you mean @process?)`,
	} {
		if errs[i].Error() != w {
			t.Errorf("%q, want %q", errs[i], w)
		}
	}
}

// TestTruncation is row 26 of the threat model. A rule must not compare bits that the kernel does not read
// (CVE-2017-5226, CVE-2019-10063).
func TestTruncation(t *testing.T) {
	s := Spec{Allow: items("@system-service"), Foreign: []Arch{I386}, Rules: []Rule{
		{Call: "ioctl", Expr: "cmd != TIOCSTI && cmd != TIOCLINUX"},
		{Call: "socket", Expr: "family != AF_VSOCK"},
		{Call: "chmod", Expr: "mode & 06000 == 0 && mode != 0777"},
		{Call: "fchownat", Expr: "dirfd == AT_FDCWD"},
		{Call: "kill", Expr: "pid > 0"},
		{Call: "mprotect", Expr: "prot == PROT_READ"},
		{Call: "clone", Expr: "flags != CLONE_NEWUSER"},
	}}
	p := mustCompile(t, s, AMD64)
	for _, high := range []uint64{0, 1, 1 << 31, 1<<32 - 1} {
		h := high << 32
		want(t, p, AMD64, "ioctl", ePERM, 0, 0x5412|h)
		want(t, p, AMD64, "ioctl", ePERM, 0, 0x541c|h)
		want(t, p, AMD64, "ioctl", allowed, 0, 0x5401|h)
		want(t, p, I386, "ioctl", ePERM, 0, 0x5412|h)
		want(t, p, AMD64, "socket", ePERM, 40|h)
		want(t, p, AMD64, "chmod", ePERM, 0, 04755|h)
		want(t, p, AMD64, "chmod", ePERM, 0, 0777|h)
		want(t, p, AMD64, "chmod", ePERM, 0, 0777|0x10000) // umode_t has 16 bits
		want(t, p, AMD64, "fchownat", allowed, 0xffffff9c|h)
		want(t, p, AMD64, "kill", allowed, 7|h)
		want(t, p, AMD64, "kill", ePERM, 0xffffffff|h)
		want(t, p, AMD64, "kill", ePERM, 0|h)
		want(t, p, AMD64, "clone", ePERM, 0x10000000|h)
		want(t, p, I386, "mprotect", allowed, 0, 0, 1|h) // 64-bit code may leave anything there before int 0x80
	}
	want(t, p, AMD64, "mprotect", allowed, 0, 0, 1)
	want(t, p, AMD64, "mprotect", ePERM, 0, 0, 1|1<<32) // an unsigned long, of which the kernel reads all bits
	_, err := Compile(Spec{Rules: []Rule{{Call: "openat", Expr: `flags == 0 && pathname == 0`, From: "p.yaml:3"}}}, AMD64)
	if w := "p.yaml:3: column 15: argument pathname of openat is a pointer: what it points to can change after the check (reg1 is the address itself)"; err == nil || err.Error() != w {
		t.Errorf("%v, want %s", err, w)
	}
}

// TestSystemService is row 25 of the threat model, for groups: a call that no ordinary program needs must not be in a
// group for ordinary programs.
func TestSystemService(t *testing.T) {
	p := mustCompile(t, Spec{Allow: items("@system-service")}, AMD64)
	for _, n := range strings.Fields(`io_uring_setup io_uring_enter io_uring_register userfaultfd add_key keyctl request_key process_vm_readv process_vm_writev
		name_to_handle_at open_by_handle_at bpf perf_event_open ptrace kcmp pidfd_getfd process_madvise unshare setns mount umount2 pivot_root chroot
		open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr kexec_load kexec_file_load init_module finit_module delete_module reboot
		swapon swapoff settimeofday clock_settime adjtimex modify_ldt iopl ioperm acct quotactl syslog sethostname setdomainname vhangup lookup_dcookie uselib`) {
		want(t, p, AMD64, n, ePERM)
	}
	for _, n := range strings.Fields(`read write openat execve exit_group clone clone3 socket mmap futex statx rt_sigaction epoll_wait getrandom wait4 setuid`) {
		want(t, p, AMD64, n, allowed)
	}
}

func TestDenyBeatsAll(t *testing.T) {
	s := Spec{Allow: items("@known", "ptrace"), Deny: items("@debug", "read"), Rules: []Rule{
		{Call: "ptrace", Expr: "true", From: "p.yaml:7"}, {Call: "kcmp", Expr: "allow", From: "p.yaml:8"}, {Call: "read", Expr: "fd == 0", From: "p.yaml:9"},
	}}
	p := mustCompile(t, s, AMD64)
	for _, n := range []string{"ptrace", "kcmp", "read", "perf_event_open"} {
		want(t, p, AMD64, n, ePERM)
	}
	s.Default = allowed
	p = mustCompile(t, s, AMD64)
	want(t, p, AMD64, "ptrace", ePERM) // a default that allows calls does not undo a denial
	want(t, p, AMD64, "write", allowed)
	if len(p.Warnings) != 3 || !strings.Contains(p.Warnings[0].Msg, "the rule for ptrace has no effect") {
		t.Errorf("%+v", p.Warnings)
	}
	p = mustCompile(t, Spec{Allow: items("read"), Deny: []Item{{"read", "q.yaml:2"}}}, AMD64)
	if !reflect.DeepEqual(p.Warnings, []Warning{{[]string{"p.yaml:1", "q.yaml:2"}, "read is allowed and denied: it is denied", ""}}) {
		t.Errorf("%+v", p.Warnings)
	}
}

func TestRules(t *testing.T) {
	s := Spec{Allow: items("kill"), Default: killed, Rules: []Rule{
		{Call: "kill", Expr: "sig == 0"}, {Call: "kill", Expr: "pid == 1", Else: ePERM},
		{Call: "socket", Expr: "family == 1"}, // not in Allow
		{Call: "clone3", Expr: "errno(ENOSYS)"}, {Call: "clone3", Expr: "true"},
		{Call: "@clock", Expr: "errno(EACCES)"},
		{Call: "prctl", Expr: "log"}, {Call: "prctl", Expr: "op == 1"},
		{Call: "read", Expr: "errno(5)"}, {Call: "read", Expr: "errno(6)"}, {Call: "read", Expr: "allow"},
	}}
	p := mustCompile(t, s, AMD64)
	want(t, p, AMD64, "kill", allowed, 1, 0)
	want(t, p, AMD64, "kill", ePERM, 2, 0)
	want(t, p, AMD64, "kill", killed, 1, 1)
	want(t, p, AMD64, "kill", killed, 2, 1) // two rules decide; the more severe action holds
	want(t, p, AMD64, "socket", allowed, 1)
	want(t, p, AMD64, "socket", killed, 2)
	want(t, p, AMD64, "clone3", eNOSYS)
	want(t, p, AMD64, "settimeofday", Action{Errno, 13})
	want(t, p, AMD64, "prctl", Action{Kind: Log}, 1)
	want(t, p, AMD64, "prctl", killed, 2)
	want(t, p, AMD64, "read", Action{Errno, 6}) // two rules decide; the later one holds
	var msgs []string
	for _, w := range p.Warnings {
		msgs = append(msgs, w.Msg)
	}
	if !slices.Equal(msgs, []string{"the condition on clone3 always holds", "two actions for read: errno(EIO) and errno(ENXIO)", "two actions for read: errno(EIO) and allow", "two actions for read: errno(ENXIO) and allow"}) {
		t.Errorf("%q", msgs)
	}
}

// TestDetours checks that Compile warns of a rule that another call can evade, until the profile also decides about
// that other call.
func TestDetours(t *testing.T) {
	s := Spec{Allow: items("@process"), Rules: []Rule{{Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0", From: "p.yaml:5"}}}
	p := mustCompile(t, s, AMD64)
	if !reflect.DeepEqual(p.Warnings, []Warning{{[]string{"p.yaml:5"}, "clone3 leads round the rule for clone: its arguments stand behind a pointer", ""}}) {
		t.Errorf("%+v", p.Warnings)
	}
	s.Rules = append(s.Rules, Rule{Call: "clone3", Expr: "errno(ENOSYS)"})
	if p := mustCompile(t, s, AMD64); p.Warnings != nil {
		t.Errorf("%+v", p.Warnings)
	}
}

// TestNonce checks a profile that denies execve to the program. The launcher's own call must pass, because it has the
// nonce in the unused sixth argument.
func TestNonce(t *testing.T) {
	p := mustCompile(t, Spec{Rules: []Rule{{Call: "execveat", Expr: "nonce == 0xfedcba9876543210"}}}, AMD64)
	want(t, p, AMD64, "execveat", allowed, 0, 0, 0, 0, 0, 0xfedcba9876543210)
	want(t, p, AMD64, "execveat", ePERM, 0, 0, 0, 0, 0, 0xfedcba9876543211)
	want(t, p, AMD64, "execveat", ePERM, 0, 0, 0, 0, 0, 0x76543210)
	want(t, p, AMD64, "execve", ePERM)
}

func TestSpecErrors(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		arch Arch
		want string
	}{
		{Spec{}, X32, `no filter can be made for architecture "x32"`},
		{Spec{}, NoArch, `no filter can be made for architecture "none"`},
		{Spec{Foreign: []Arch{ARM}}, AMD64, `amd64 kernels run no arm calls`},
		{Spec{Default: Action{Errno, 5000}}, AMD64, `impossible default action errno(5000)`},
		{Spec{Unknown: Action{Kind: 77}}, AMD64, `impossible action for unknown calls kind(77)`},
		{Spec{Rules: []Rule{{Call: "@debug", Expr: "pid == 1", From: "f:1"}}}, AMD64, `f:1: a condition is about one call's arguments; @debug is a group (a group can be given an action, such as errno(ENOSYS))`},
		{Spec{Rules: []Rule{{Call: "@debgu", Expr: "kill", From: "f:1"}}}, AMD64, `f:1: unknown group "@debgu" (did you mean @debug?)`},
		{Spec{Rules: []Rule{{Call: "read", Expr: "errno(EPREM)", From: "f:1"}}}, AMD64, `f:1: unknown error number "EPREM" (did you mean EPERM?)`},
		{Spec{Rules: []Rule{{Call: "read", Expr: "kill", Else: killed}}}, AMD64, `an action has no other case (leave out the one or the other)`},
		{Spec{Rules: []Rule{{Call: "read", Expr: "fd == 1", Else: Action{Allow, 3}}}}, AMD64, `impossible action allow(3)`},
		{Spec{Rules: []Rule{{Call: "", Expr: "fd == 1"}}}, AMD64, `unknown system call ""`},
		{Spec{Foreign: []Arch{I386}, Rules: []Rule{{Call: "pread64", Expr: "fd == 0 && offset == 0", From: "f:1"}}}, AMD64,
			`f:1: column 12: on i386: argument offset of pread64 is not in a register of its own on i386`},
	} {
		if _, err := Compile(c.spec, c.arch); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// bigExpr returns a condition that needs at least n instructions.
func bigExpr(n int) string {
	s := "reg0 != 0xdead"
	for i := range n {
		s += " && (reg1 & " + strconv.Itoa(1<<(i%20)|1<<(i/20)) + " != " + strconv.Itoa(1<<(i%20)) + " || reg2 > " + strconv.Itoa(i*3+1) + ")"
	}
	return s
}

// TestTooLong checks that the error for a filter above the kernel's limit names the rule with the most instructions.
func TestTooLong(t *testing.T) {
	s := Spec{Rules: []Rule{{Call: "ioctl", Expr: bigExpr(700), From: "p.yaml:4"}, {Call: "prctl", Expr: bigExpr(900), From: "p.yaml:5"}}}
	_, err := Compile(s, AMD64)
	if err == nil || !strings.Contains(err.Error(), "p.yaml:5: the filter has ") || !strings.Contains(err.Error(), "instructions, the kernel takes 4096 (") || !strings.Contains(err.Error(), "are the rules for prctl)") {
		t.Errorf("%v", err)
	}
}

// TestLongJumps compiles many checks that are longer than the reach of a conditional jump.
func TestLongJumps(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(3, 4))}
	s := Spec{Allow: items("@system-service")}
	for _, n := range []string{"read", "ioctl", "prctl", "socket", "kill", "mmap", "openat", "statx"} {
		s.Rules = append(s.Rules, Rule{Call: n, Expr: bigExpr(60), Else: Action{Errno, uint16(2 + len(s.Rules))}})
		s.Rules = append(s.Rules, Rule{Call: n, Expr: fmt.Sprintf("reg1 != %d", len(s.Rules)), Else: killed})
	}
	p := mustCompile(t, s, AMD64)
	if len(p.Insns) < 1000 {
		t.Errorf("%d instructions: the checks are too short to need long jumps", len(p.Insns))
	}
	if !slices.ContainsFunc(p.Insns, func(in Insn) bool { return in.Code == opJump }) {
		t.Error("no long jump")
	}
	compare(t, g, &s, AMD64, 60)
}

// TestCondReach checks a jump whose far target moves further away because the near target needs its own RET.
func TestCondReach(t *testing.T) {
	for pad := 240; pad < 270; pad++ {
		for k, want := range map[uint32]Action{7: {Errno, 3}, 8: ePERM} {
			e := &emitter{}
			far := e.emit(opRet, Action{Errno, 3}.Ret())
			for range pad {
				e.emit(opLoad, offArch)
			}
			e.before(e.cond(opJeq, k, far, e.actionLabel(ePERM)))
			e.emit(opLoad, offNr)
			if got := ActionOf(Run(e.program(), &Data{Nr: 7}, nil)); got != want {
				t.Errorf("over %d instructions: %v, want %v", pad, got, want)
			}
		}
	}
}

// TestShared checks calls whose conditions differ only in the argument. They share the test, but not the load of the
// argument.
func TestShared(t *testing.T) {
	s := Spec{Rules: []Rule{{Call: "read", Expr: "reg0 == 5 || reg3 == 6"}, {Call: "write", Expr: "reg1 == 5 || reg3 == 6"}, {Call: "open", Expr: "reg2 == 5 && reg3 == 6"}, {Call: "close", Expr: "reg0 & 0xf == 5"}}}
	p := mustCompile(t, s, AMD64)
	g := gen{rand.New(rand.NewPCG(8, 9))}
	for range 4000 {
		d := Data{Nr: int32(g.IntN(4)), Arch: AMD64.Audit()}
		for i := range d.Args {
			d.Args[i] = pick(g, []uint64{5, 6, 0x15, 1<<32 | 5})
		}
		if got, want := p.Action(&d), naive(&s, AMD64, &d); got != want {
			t.Fatalf("%+v: %v, want %v\n%s", d, got, want, p.Asm(nil))
		}
	}
}

// TestWellFormed checks that the kernel would accept every program: it has only known instructions and jumps within the
// program, and ends with a RET.
func TestWellFormed(t *testing.T) {
	for seed := range uint64(40) {
		g := gen{rand.New(rand.NewPCG(seed, 11))}
		native := AMD64 + Arch(seed%5)
		p := mustCompile(t, g.spec(native), native)
		n := len(p.Insns)
		if p.Insns[n-1].Code != opRet {
			t.Fatalf("ends in %+v", p.Insns[n-1])
		}
		reached := make([]bool, n+256)
		reached[0] = true
		for i, in := range p.Insns {
			switch in.Code {
			case opRet:
			case opJump:
				reached[i+1+int(in.K)] = true
			case opJeq, opJgt, opJge, opJset, opJeq | fromX, opJgt | fromX, opJge | fromX:
				reached[i+1+int(in.Jt)], reached[i+1+int(in.Jf)] = true, true
			case opLoad, opAnd, opXor, opTax:
				reached[i+1] = true
			default:
				t.Fatalf("instruction %d: %+v", i, in)
			}
		}
		for i := range n {
			if !reached[i] {
				t.Errorf("instruction %d is never reached\n%s", i, p.Asm(nil))
			}
		}
		if slices.Contains(reached[n:], true) {
			t.Errorf("a jump goes beyond the end\n%s", p.Asm(nil))
		}
	}
}

// TestConstAllow checks what the kernel evaluates when it loads a filter (kernel/seccomp.c, seccomp_is_const_allow). On
// the path to a verdict that depends only on the number, the kernel must find only instructions that it can evaluate.
// Otherwise it could not put the call into its bitmap of allowed calls.
func TestConstAllow(t *testing.T) {
	p := mustCompile(t, dockerSpec(), AMD64)
	for n := range int32(472) {
		d := Data{Nr: n, Arch: AMD64.Audit()}
		name, ok := Name(AMD64, uint32(n))
		if !ok || slices.Contains([]string{"socket", "clone", "personality"}, name) {
			continue
		}
		var path []int
		p.Run(&d, &path)
		for _, i := range path {
			switch in := p.Insns[i]; {
			case in.Code == opLoad && in.K <= offArch, in.Code == opJump, in.Code == opJeq, in.Code == opJge, in.Code == opJgt, in.Code == opJset, in.Code == opRet:
			default:
				t.Errorf("%s: %s", name, in.asm(i))
			}
		}
		if len(path) > 14 {
			t.Errorf("%s: %d instructions", name, len(path))
		}
	}
}

func TestExplain(t *testing.T) {
	s := Spec{Allow: items("@system-service", "read"), Deny: []Item{{"@keyring", "d.yaml:41"}}, Foreign: []Arch{I386}, Rules: []Rule{
		{Call: "socket", Expr: "family == AF_UNIX", From: "d.yaml:50"}, {Call: "clone3", Expr: "errno(ENOSYS)", From: "d.yaml:51"},
	}}
	for _, c := range []struct {
		d    Data
		want Verdict
	}{
		{Data{Nr: 250, Arch: AMD64.Audit()}, Verdict{ePERM, "keyctl", []string{"d.yaml:41"}, "denied by @keyring", ByDeny, nil}},
		{Data{Nr: 0, Arch: AMD64.Audit()}, Verdict{allowed, "read", []string{"p.yaml:1", "p.yaml:2"}, "allowed by @system-service, read", ByAllow, nil}},
		{Data{Nr: 41, Arch: AMD64.Audit(), Args: [6]uint64{2}}, Verdict{ePERM, "socket", []string{"d.yaml:50"}, "not family == AF_UNIX", ByRule, []int{0}}},
		{Data{Nr: 41, Arch: AMD64.Audit(), Args: [6]uint64{1}}, Verdict{allowed, "socket", []string{"d.yaml:50"}, "the rules hold", ByRule, []int{0}}},
		{Data{Nr: 435, Arch: AMD64.Audit()}, Verdict{eNOSYS, "clone3", []string{"d.yaml:51"}, "the rule is errno(ENOSYS)", ByRule, []int{1}}},
		{Data{Nr: 165, Arch: AMD64.Audit()}, Verdict{ePERM, "mount", nil, "not allowed", ByDefault, nil}},
		{Data{Nr: 400, Arch: AMD64.Audit()}, Verdict{eNOSYS, "", nil, "number 400 is in no table", ByUnknown, nil}},
		{Data{Nr: 102, Arch: I386.Audit()}, Verdict{ePERM, "socketcall", []string{"p.yaml:1"}, "would be a way round the decision on the calls that it stands for", ByMultiplexer, nil}},
		{Data{Nr: X32Bit, Arch: AMD64.Audit()}, Verdict{killed, "", nil, "a call of the x32 ABI", ByArch, nil}},
		{Data{Nr: 1, Arch: ARM64.Audit()}, Verdict{killed, "", nil, "a call of another architecture", ByArch, nil}},
	} {
		if got, err := Explain(s, AMD64, c.d); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v %v, want %+v", c.d, got, err, c.want)
		}
	}
	if _, err := Explain(Spec{Allow: items("opem")}, AMD64, Data{}); err == nil {
		t.Error("a wrong Spec was explained")
	}
}
