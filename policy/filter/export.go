package filter

import (
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// Bytes returns the program as an array of struct sock_filter. seccomp(2) takes the array in a struct sock_fprog, and
// bubblewrap reads it from --seccomp FD. All architectures with tables are little-endian.
func (p *Program) Bytes() []byte {
	b := make([]byte, 0, 8*len(p.Insns))
	for _, in := range p.Insns {
		b = append(b, byte(in.Code), byte(in.Code>>8), in.Jt, in.Jf, byte(in.K), byte(in.K>>8), byte(in.K>>16), byte(in.K>>24))
	}
	return b
}

// AsmAt returns the instruction at an index, in the syntax of Program.Asm. A jump names its target: l and its index.
func (p *Program) AsmAt(i int) string { return p.Insns[i].asm(i) }

// C returns the program as a C source file: an array called name, and a struct sock_fprog called name_prog that
// points to it. notes are the result of Notes.
func (p *Program) C(name string, notes []string) string {
	var b strings.Builder
	b.WriteString("/* A seccomp filter for " + p.Arch.String() + ": " + strconv.Itoa(len(p.Insns)) + " instructions.\n" +
		" *\n" +
		" *\tprctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);\n" +
		" *\tsyscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &" + name + "_prog);\n" +
		" */\n#include <linux/filter.h>\n\nstatic struct sock_filter " + name + "[] = {\n")
	for i, in := range p.Insns {
		b.WriteString("\t/* " + strconv.Itoa(i) + " */ { " + hex(uint32(in.Code)) + ", " + strconv.Itoa(int(in.Jt)) + ", " + strconv.Itoa(int(in.Jf)) + ", " + hex(in.K) + " },")
		b.WriteString(" /* " + comment(in.asm(i)))
		if notes[i] != "" {
			b.WriteString("; " + comment(notes[i]))
		}
		b.WriteString(" */\n")
	}
	b.WriteString("};\n\nstatic const struct sock_fprog " + name + "_prog = {\n\tsizeof " + name + " / sizeof *" + name + ",\n\t" + name + ",\n};\n")
	return b.String()
}

// comment makes text safe for a comment of C, because a profile's path may contain any characters.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.ReplaceAll(strings.ReplaceAll(s, "*/", "* /"), "\\", "/"))
}

// PFC returns the Spec in the style of libseccomp's pseudo filter code. It says what happens to each call, in the
// order of the numbers, but not how the program decides it. $a0 to $a5 are the registers; .hi32 and .lo32 are their
// halves.
func PFC(spec Spec, arch Arch) (string, error) {
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("#\n# pseudo filter code start\n#\n")
	for _, abi := range c.abis() {
		c.abi = abi
		c.pfc(&b)
	}
	b.WriteString("# any other architecture\naction " + pfcAction(Action{Kind: Kill}) + ";\n#\n# pseudo filter code end\n#\n")
	if len(c.errs) > 0 {
		return "", c.errs
	}
	return b.String(), nil
}

// pfc writes the calls of the current ABI.
func (c *compiler) pfc(b *strings.Builder) {
	bit := uint32(0)
	if c.abi == X32 {
		bit = X32Bit
	}
	b.WriteString("# filter for arch " + c.abi.String() + " (" + strconv.FormatUint(uint64(c.abi.Audit()), 10) + ")\n" +
		"if ($arch == " + strconv.FormatUint(uint64(c.abi.Audit()), 10) + ")\n")
	for _, n := range table(c.abi) {
		b.WriteString("  # filter for syscall \"" + tables.CallNames[n.Call] + "\" (" + strconv.Itoa(int(n.Nr)) + ")\n" +
			"  if ($syscall == " + strconv.FormatUint(uint64(n.Nr|bit), 10) + ")\n")
		c.pfcCall(b, n.Call)
	}
	if c.abi == AMD64 && !c.x32 {
		b.WriteString("  # x32's numbers\n  if ($syscall >= " + strconv.Itoa(X32Bit) + " && $syscall != 4294967295)\n    action " + pfcAction(Action{Kind: Kill}) + ";\n")
	}
	b.WriteString("  # any other number\n  action " + pfcAction(c.unknown) + ";\n")
}

func (c *compiler) pfcCall(b *strings.Builder, call uint16) {
	if l := c.leaf(call); l > checkLabel {
		b.WriteString("    action " + pfcAction(ActionOf(c.actions[-1-l].ret)) + ";\n")
		return
	}
	for _, p := range c.parts(call) {
		b.WriteString("    if (!(" + c.pfcCond(p.cond) + "))\n      action " + pfcAction(p.other) + ";\n")
	}
	b.WriteString("    action ALLOW;\n")
}

func pfcAction(a Action) string {
	names := [...]string{Allow: "ALLOW", Log: "LOG", Trace: "TRACE", Notify: "NOTIFY", Errno: "ERRNO", Trap: "TRAP", KillThread: "KILL", Kill: "KILL_PROCESS"}
	s := names[a.Kind]
	if a.Kind == Errno || a.Kind == Trace || a.Errno != 0 {
		s += "(" + strconv.Itoa(int(a.Errno)) + ")"
	}
	return s
}

// pfcCond writes a condition over the halves of the registers.
func (c *conds) pfcCond(r ref) string {
	if r < refNodes {
		return [...]string{"false", "true"}[r]
	}
	n := c.at(r)
	switch n.kind {
	case nodeAnd:
		return "(" + c.pfcCond(n.a) + " && " + c.pfcCond(n.b) + ")"
	case nodeOr:
		return "(" + c.pfcCond(n.a) + " || " + c.pfcCond(n.b) + ")"
	case nodePair:
		op := map[uint16]string{opJeq: " == ", opJgt: " > ", opJge: " >= "}[n.code]
		is := n.v.pfc() + op + n.w.pfc()
		return either([]string{both(is, c.pfcCond(n.a)), both("!("+is+")", c.pfcCond(n.b))})
	}
	var ways []string
	cases := c.casesOf(n)
	for i, k := range cases {
		hi := uint32(1<<32 - 1)
		if i+1 < len(cases) {
			hi = cases[i+1].lo - 1
		}
		ways = append(ways, both(n.v.pfcRange(k.lo, hi), c.pfcCond(k.to)))
	}
	return either(ways)
}

func both(a, b string) string {
	switch {
	case a == "false" || b == "false":
		return "false"
	case b == "true":
		return a
	}
	return "(" + a + " && " + b + ")"
}

func either(ways []string) string {
	s, n := "", 0
	for _, w := range ways {
		if w == "false" {
			continue
		}
		if n > 0 {
			s += " || "
		}
		s += w
		n++
	}
	switch n {
	case 0:
		return "false"
	case 1:
		return s
	}
	return "(" + s + ")"
}

// pfc returns the view in pseudo filter code.
func (v view) pfc() string {
	s := "$a" + strconv.Itoa(int(v.word-1)/2) + [...]string{".lo32", ".hi32"}[(v.word-1)%2]
	if v.and != 1<<32-1 {
		s = "(" + s + " & " + hex(v.and) + ")"
	}
	if v.xor != 0 {
		s = "(" + s + " ^ " + hex(v.xor) + ")"
	}
	return s
}

func (v view) pfcRange(lo, hi uint32) string {
	s := v.pfc()
	switch {
	case lo == hi:
		return s + " == " + hex(lo)
	case lo == 0 && hi < 1<<32-1:
		return s + " <= " + hex(hi)
	case lo > 0 && hi == 1<<32-1:
		return s + " >= " + hex(lo)
	}
	return "(" + s + " >= " + hex(lo) + " && " + s + " <= " + hex(hi) + ")"
}
