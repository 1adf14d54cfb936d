package filter

import (
	"slices"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	d := &Data{Nr: 7, Arch: 9, IP: 0x1122334455667788, Args: [6]uint64{0x0102030405060708, 0, 0, 0, 0, 0xaabbccddeeff0011}}
	for _, c := range []struct {
		name  string
		insns []Insn
		want  uint32
	}{
		{"nr", []Insn{{Code: opLoad, K: 0}, {Code: 0x16}}, 7},
		{"arch", []Insn{{Code: opLoad, K: 4}, {Code: 0x16}}, 9},
		{"ip, low", []Insn{{Code: opLoad, K: 8}, {Code: 0x16}}, 0x55667788},
		{"ip, high", []Insn{{Code: opLoad, K: 12}, {Code: 0x16}}, 0x11223344},
		{"arg0, high", []Insn{{Code: opLoad, K: 20}, {Code: 0x16}}, 0x01020304},
		{"arg5, low", []Insn{{Code: opLoad, K: 56}, {Code: 0x16}}, 0xeeff0011},
		{"out of range", []Insn{{Code: opLoad, K: 64}, {Code: 0x16}}, retKill},
		{"unaligned", []Insn{{Code: opLoad, K: 2}, {Code: 0x16}}, retKill},
		{"jump beyond the end", []Insn{{Code: opJump, K: 5}}, retKill},
		{"a far jump beyond the end", []Insn{{Code: opJump, K: 1<<32 - 1}}, retKill},
		{"no ret", []Insn{{Code: opLoad}}, retKill},
		{"nothing", nil, retKill},
		{"an unknown instruction", []Insn{{Code: 0xffff}}, retKill},
		{"arithmetic", []Insn{{Code: 0x00, K: 6}, {Code: 0x24, K: 7}, {Code: 0x14, K: 2}, {Code: 0x34, K: 4}, {Code: 0x64, K: 3}, {Code: 0x44, K: 1}, {Code: 0x16}}, 81},
		{"registers", []Insn{{Code: 0x00, K: 5}, {Code: 0x02, K: 3}, {Code: 0x07}, {Code: 0x00, K: 4}, {Code: 0x0c}, {Code: 0x61, K: 3}, {Code: 0xac}, {Code: 0x16}}, 12},
		{"txa, neg, rsh", []Insn{{Code: 0x01, K: 8}, {Code: 0x87}, {Code: 0x84}, {Code: 0x74, K: 28}, {Code: 0x16}}, 15},
		{"division by zero", []Insn{{Code: 0x34, K: 0}, {Code: 0x16}}, retKill},
		{"scratch memory out of range", []Insn{{Code: 0x60, K: 16}, {Code: 0x16}}, retKill},
		{"length", []Insn{{Code: 0x80}, {Code: 0x16}}, 64},
		{"jeq x", []Insn{{Code: 0x01, K: 7}, {Code: opLoad}, {Code: 0x1d, Jt: 1}, {Code: opRet, K: 1}, {Code: opRet, K: 2}}, 2},
		{"jset", []Insn{{Code: opLoad}, {Code: opJset, K: 8, Jf: 1}, {Code: opRet, K: 1}, {Code: opRet, K: 2}}, 2},
		{"jgt", []Insn{{Code: opLoad}, {Code: opJgt, K: 7, Jt: 1}, {Code: opRet, K: 1}, {Code: opRet, K: 2}}, 1},
	} {
		if got := Run(c.insns, d, nil); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestPath(t *testing.T) {
	p := &Program{Insns: []Insn{{Code: opLoad}, {Code: opJeq, K: 7, Jt: 1}, {Code: opRet, K: retKill}, {Code: opRet, K: retAllow}}}
	var path []int
	if ret := p.Run(&Data{Nr: 7}, &path); ret != retAllow || !slices.Equal(path, []int{0, 1, 3}) {
		t.Errorf("%#x by %v", ret, path)
	}
}

func TestActions(t *testing.T) {
	for s, want := range map[string]Action{
		"allow": allowed, "log": {Kind: Log}, "kill": killed, "kill-thread": {Kind: KillThread}, "trap": {Kind: Trap}, "notify": {Kind: Notify},
		"errno(EPERM)": ePERM, "errno(ENOSYS)": eNOSYS, "errno(4095)": {Errno, 4095}, "errno(0)": {Errno, 0}, "trace(7)": {Trace, 7}, "trap(3)": {Trap, 3},
	} {
		a, err := ParseAction(s)
		if err != nil || a != want || a.String() != s {
			t.Errorf("%s: %+v %q %v", s, a, a, err)
		}
		if back := ActionOf(a.Ret()); back != a {
			t.Errorf("%s: %#x is %v", s, a.Ret(), back)
		}
	}
	for s, want := range map[string]string{
		"":              `unknown action "" (allow, log, kill, kill-thread, trap, notify, errno(NAME) or trace(NUMBER))`,
		"deny":          `unknown action "deny" (allow, log, kill, kill-thread, trap, notify, errno(NAME) or trace(NUMBER))`,
		"errno":         `errno needs a number or a name (errno(EPERM))`,
		"errno(4096)":   `errno(4096): error numbers end at 4095`,
		"errno(EPREM)":  `unknown error number "EPREM" (did you mean EPERM?)`,
		"errno(EPERM":   `action "errno(EPERM": missing )`,
		"errno(SIGHUP)": `unknown error number "SIGHUP"`,
		"allow(1)":      `allow takes no argument`,
		"trace(70000)":  `unknown error number "70000"`,
	} {
		if _, err := ParseAction(s); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
	if a, err := ParseAction(" errno( 38 ) "); err != nil || a != eNOSYS {
		t.Errorf("%v %v", a, err)
	}
	if (Action{}).Ret() != retKill || ActionOf(0x12340000) != killed || ActionOf(0) != (Action{Kind: KillThread}) {
		t.Error("what is unset or unknown does not kill")
	}
}

func TestArchNames(t *testing.T) {
	for name, want := range map[string]Arch{"amd64": AMD64, "x86_64": AMD64, "aarch64": ARM64, "386": I386, "i386": I386, "arm": ARM, "x32": X32, "riscv64": RISCV64} {
		if a, ok := ParseArch(name); !ok || a != want {
			t.Errorf("%s: %v %v", name, a, ok)
		}
	}
	if _, ok := ParseArch("mips"); ok {
		t.Error("mips has no table")
	}
	for a := AMD64; a <= X32; a++ {
		if b, ok := ParseArch(a.String()); !ok || b != a {
			t.Errorf("%v is not read back", a)
		}
	}
}

func TestAsm(t *testing.T) {
	p := mustCompile(t, Spec{Allow: items("read"), Rules: []Rule{{Call: "socket", Expr: "family == AF_UNIX && protocol & 0xf0 == 0x30"}}}, RISCV64)
	const want = `	ld [4]	; arch
	jeq #0xc00000f3, l3, l2	; riscv64
l2:	ret #0x80000000	; kill
l3:	ld [0]	; nr
`
	got := p.Asm(nil)
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "\tand #0xf0\n") || !strings.Contains(got, "ld [16]\t; arg0, low half") || strings.Count(got, "\n") != len(p.Insns) {
		t.Errorf("%s", got)
	}
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		if i := strings.Index(line, "ret #"); i >= 0 && !strings.Contains(line, "; ") {
			t.Errorf("%s: what does it return?", line)
		}
	}
}
