//go:build cgo && libseccomp

package reference

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"cordon/cmd/cordon-reference/reference"
	"cordon/policy/filter"

	libseccomp "github.com/seccomp/libseccomp-golang"
)

// arches maps our names of ABIs to libseccomp's.
var arches = reference.Arches

// compare is one comparison of a plain register, in both languages: (arg & mask) op value.
type compare struct {
	arg         uint
	op          string
	mask, value uint64
}

func (c compare) String() string {
	if c.op == "mask" {
		return fmt.Sprintf("reg%d & %#x == %#x", c.arg, c.mask, c.value)
	}
	return fmt.Sprintf("reg%d %s %#x", c.arg, c.op, c.value)
}

var ops = map[string]libseccomp.ScmpCompareOp{
	"==": libseccomp.CompareEqual, "!=": libseccomp.CompareNotEqual, "<": libseccomp.CompareLess, "<=": libseccomp.CompareLessOrEqual,
	">": libseccomp.CompareGreater, ">=": libseccomp.CompareGreaterEqual, "mask": libseccomp.CompareMaskedEqual,
}

func (c compare) condition(t testing.TB) libseccomp.ScmpCondition {
	values := []uint64{c.value}
	if c.op == "mask" {
		values = []uint64{c.mask, c.value}
	}
	cond, err := libseccomp.MakeCondition(c.arg, ops[c.op], values...)
	if err != nil {
		t.Fatal(err)
	}
	return cond
}

// rule allows a call if all comparisons of one of its lists are true. Without lists it has an action.
type rule struct {
	call   string
	any    [][]compare
	action filter.Action
}

func (r rule) expr() string {
	var or []string
	for _, all := range r.any {
		var and []string
		for _, c := range all {
			and = append(and, c.String())
		}
		or = append(or, "("+strings.Join(and, " && ")+")")
	}
	return strings.Join(or, " || ")
}

// rules is a filter that both compilers can express.
type rules struct {
	native  filter.Arch
	foreign []filter.Arch
	deflt   filter.Action
	allow   []string
	rules   []rule
}

// spec returns the filter for our compiler. For unknown numbers, libseccomp has only the default action.
func (r rules) spec() filter.Spec {
	s := filter.Spec{Default: r.deflt, Unknown: r.deflt, Foreign: r.foreign}
	for _, n := range r.allow {
		s.Allow = append(s.Allow, filter.Item{Name: n})
	}
	for _, x := range r.rules {
		fr := filter.Rule{Call: x.call, Expr: x.action.String()}
		if len(x.any) > 0 {
			fr.Expr = x.expr()
		}
		s.Rules = append(s.Rules, fr)
	}
	return s
}

func action(a filter.Action) libseccomp.ScmpAction {
	x, err := reference.Action(a)
	if err != nil {
		panic(err)
	}
	return x
}

// build gives the rules to libseccomp. missing contains the calls whose names libseccomp does not know.
func (r rules) build(t testing.TB, optimize int) (f *libseccomp.ScmpFilter, missing []string) {
	f, err := reference.NewFilter(r.deflt, r.native, optimize)
	must(t, err)
	for _, a := range r.foreign {
		must(t, f.AddArch(arches[a]))
	}
	add := func(name string, a filter.Action, conds []libseccomp.ScmpCondition) {
		nr, err := libseccomp.GetSyscallFromName(name)
		if err != nil {
			missing = append(missing, name)
			return
		}
		if len(conds) > 0 {
			err = f.AddRuleConditional(nr, action(a), conds)
		} else {
			err = f.AddRule(nr, action(a))
		}
		if err != nil {
			t.Fatalf("libseccomp: %s %v: %v", name, conds, err)
		}
	}
	ruled := map[string]bool{}
	for _, x := range r.rules {
		ruled[x.call] = true
		if len(x.any) == 0 && x.action != r.deflt {
			add(x.call, x.action, nil)
		}
		for _, all := range x.any {
			var conds []libseccomp.ScmpCondition
			for _, c := range all {
				conds = append(conds, c.condition(t))
			}
			add(x.call, filter.Action{Kind: filter.Allow}, conds)
		}
	}
	for _, n := range r.allow {
		if !ruled[n] {
			add(n, filter.Action{Kind: filter.Allow}, nil)
		}
	}
	return f, missing
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// export returns libseccomp's program for a filter.
func export(t testing.TB, f *libseccomp.ScmpFilter) []filter.Insn {
	insns, err := reference.Export(f)
	must(t, err)
	return insns
}

// differs returns the reason if a difference is intended, otherwise "".
func (r rules) differs(arch filter.Arch, nr uint32, call string, missing []string) string {
	switch {
	case slices.Contains(missing, call):
		return "libseccomp does not know the call"
	case call == "socketcall" || call == "ipc":
		return "closed where it would be a way round a rule; libseccomp opens it for what it can do"
	case arch == filter.I386 && (call == "mmap" || call == "select") && r.ruled(call):
		return "i386's old call has its arguments behind a pointer: a rule denies it; libseccomp compares other registers"
	case r.variant(call):
		return "a rule extends to the 32-bit variants of its call"
	}
	if call != "" {
		if nr2, err := libseccomp.GetSyscallFromNameByArch(call, arches[arch]); err != nil || int32(nr2) < 0 {
			return "libseccomp does not know the call on " + arch.String()
		}
	}
	return ""
}

// variant reports whether call gets the rules of another call in our compiler, but not in libseccomp.
func (r rules) variant(call string) bool {
	spec := r.spec()
	for _, x := range r.rules {
		if x.call == call {
			return false
		}
	}
	return slices.Contains(filter.Extended(spec), call)
}

// hold compares the two programs. It returns the intended differences, each with the number of calls.
func (r rules) hold(t *testing.T, g *rand.Rand, optimize int) map[string]int {
	t.Helper()
	p, err := filter.Compile(r.spec(), r.native)
	must(t, err)
	f, missing := r.build(t, optimize)
	defer f.Release()
	theirs := export(t, f)
	gaps := map[string]int{}
	for _, abi := range append([]filter.Arch{r.native}, r.foreign...) {
		bit := uint32(0)
		if abi == filter.X32 {
			bit = filter.X32Bit
		}
		for nr := range uint32(1024) {
			call, _ := filter.Name(abi, nr)
			n := 1
			if r.ruled(call) {
				n = 60
			}
			for range n {
				r.one(t, g, p, theirs, abi, nr, bit, call, missing, gaps)
			}
		}
	}
	r.strange(t, p, theirs)
	return gaps
}

func (r rules) ruled(call string) bool {
	return slices.ContainsFunc(r.rules, func(x rule) bool { return x.call == call })
}

func (r rules) one(t *testing.T, g *rand.Rand, p *filter.Program, theirs []filter.Insn, abi filter.Arch, nr, bit uint32, call string, missing []string, gaps map[string]int) {
	t.Helper()
	d := filter.Data{Nr: int32(nr | bit), Arch: abi.Audit(), Args: r.args(g, abi)}
	a, b := filter.ActionOf(p.Run(&d, nil)), filter.ActionOf(filter.Run(theirs, &d, nil))
	if a == b {
		return
	}
	if gap := r.differs(abi, nr, call, missing); gap != "" {
		gaps[gap+": "+call]++
		return
	}
	var of []string
	for _, x := range r.rules {
		if x.call == call {
			of = append(of, x.expr()+x.action.String())
		}
	}
	t.Fatalf("%s on %s (%d), arguments %#x: %v, libseccomp %v; rules %q, default %v", call, abi, nr, d.Args, a, b, of, r.deflt)
}

// strange compares calls that no table has: those of other architectures, x32's numbers if x32 is not allowed, and very
// large numbers.
func (r rules) strange(t *testing.T, p *filter.Program, theirs []filter.Insn) {
	t.Helper()
	for _, abi := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64, filter.I386, filter.ARM} {
		for _, nr := range []uint32{0, 1, 59, 511, 2000, 0x3fffffff, 0x40000000, 0x40000001, 0x40000200, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff} {
			if nr < 1024 && (abi == r.native || slices.Contains(r.foreign, abi)) {
				continue // these are compared by name
			}
			if nr >= filter.X32Bit && nr < filter.X32Bit+1024 && slices.Contains(r.foreign, filter.X32) {
				continue
			}
			d := filter.Data{Nr: int32(nr), Arch: abi.Audit()}
			if a, b := filter.ActionOf(p.Run(&d, nil)), filter.ActionOf(filter.Run(theirs, &d, nil)); a != b {
				t.Fatalf("%s, number %#x: %v, libseccomp %v", abi, nr, a, b)
			}
		}
	}
}

// args returns random values and boundary values. On x32, registers have 64 bits, and the kernel reads all of them for
// most calls. libseccomp compares 32 bits, so there the values have only 32 bits, as on the 32-bit ABIs.
func (r rules) args(g *rand.Rand, abi filter.Arch) (a [6]uint64) {
	edges := []uint64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, x := range r.rules {
		for _, all := range x.any {
			for _, c := range all {
				edges = append(edges, c.value-1, c.value, c.value+1, c.value|^c.mask, c.value|1<<32, c.value^c.mask)
			}
		}
	}
	for i := range a {
		a[i] = edges[g.IntN(len(edges))]
		if g.IntN(6) == 0 {
			a[i] = g.Uint64() >> g.IntN(64)
		}
		if abi == filter.X32 {
			a[i] = uint64(uint32(a[i]))
		}
	}
	return a
}

func report(t *testing.T, gaps map[string]int) {
	for _, k := range slices.Sorted(maps.Keys(gaps)) {
		t.Logf("differs as meant: %s", k)
	}
}
