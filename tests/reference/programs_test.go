//go:build cgo && libseccomp

package reference

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"cordon/policy/filter"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var eperm = filter.Action{Kind: filter.Errno, Errno: 1}

// docker returns the rules of Docker's current default profile for a container without added capabilities.
func docker(t testing.TB) rules {
	p, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	must(t, err)
	r := rules{native: filter.AMD64, foreign: []filter.Arch{filter.I386, filter.X32}, deflt: eperm}
	conditions := map[string]int{}
	for _, s := range p.Syscalls {
		for _, name := range s.Names {
			switch {
			case !filter.Known(name):
				t.Logf("not on our architectures: %s", name)
			case s.Action == specs.ActErrno:
				r.rules = append(r.rules, rule{call: name, action: filter.Action{Kind: filter.Errno, Errno: uint16(*s.ErrnoRet)}})
			case s.Action != specs.ActAllow:
				t.Fatalf("%s: action %s", name, s.Action)
			case len(s.Args) == 0:
				r.allow = append(r.allow, name)
			default:
				i, ok := conditions[name]
				if !ok {
					i = len(r.rules)
					conditions[name] = i
					r.rules = append(r.rules, rule{call: name})
				}
				r.rules[i].any = append(r.rules[i].any, comparisons(t, s.Args))
			}
		}
	}
	return r
}

func comparisons(t testing.TB, args []specs.LinuxSeccompArg) (all []compare) {
	for _, a := range args {
		c := compare{arg: a.Index, value: a.Value}
		switch a.Op {
		case specs.OpEqualTo:
			c.op = "=="
		case specs.OpNotEqual:
			c.op = "!="
		case specs.OpLessThan:
			c.op = "<"
		case specs.OpLessEqual:
			c.op = "<="
		case specs.OpGreaterThan:
			c.op = ">"
		case specs.OpGreaterEqual:
			c.op = ">="
		case specs.OpMaskedEqual:
			c.op, c.mask, c.value = "mask", a.Value, a.ValueTwo
		default:
			t.Fatalf("operator %s", a.Op)
		}
		all = append(all, c)
	}
	return all
}

// service returns rules similar to those of our default profile.
func service() rules {
	r := rules{native: filter.AMD64, deflt: eperm, allow: filter.Members("@system-service")}
	r.rules = []rule{
		{call: "socket", any: [][]compare{
			{{arg: 0, op: "==", value: 1}, {arg: 2, op: "!=", value: 262}},
			{{arg: 0, op: "==", value: 2}, {arg: 2, op: "!=", value: 262}},
			{{arg: 0, op: "==", value: 10}, {arg: 2, op: "!=", value: 262}},
		}},
		{call: "clone", any: [][]compare{{{arg: 0, op: "mask", mask: 0x7e020080, value: 0}}}},
		{call: "personality", any: [][]compare{{{arg: 0, op: "==", value: 0}}}},
		{call: "ioctl", any: [][]compare{
			{{arg: 1, op: "mask", mask: 0xffffffff, value: 0x5401}},
			{{arg: 1, op: "<", value: 0x5400}},
		}},
		{call: "clone3", action: filter.Action{Kind: filter.Errno, Errno: 38}},
	}
	return r
}

func TestDocker(t *testing.T) {
	for optimize := 1; optimize <= 2; optimize++ {
		report(t, docker(t).hold(t, rand.New(rand.NewPCG(1, 2)), optimize))
	}
}

func TestService(t *testing.T) {
	for optimize := 1; optimize <= 2; optimize++ {
		report(t, service().hold(t, rand.New(rand.NewPCG(1, 2)), optimize))
	}
}

// TestContainerGroup checks that @container contains exactly what Docker allows without conditions.
func TestContainerGroup(t *testing.T) {
	for _, n := range docker(t).allow {
		if !contains(filter.Members("@container"), n) {
			t.Errorf("@container lacks %s", n)
		}
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// random returns rules that both languages can express. In a list libseccomp accepts one comparison of each argument.
func random(g *rand.Rand) rules {
	natives := []rules{{native: filter.AMD64}, {native: filter.AMD64, foreign: []filter.Arch{filter.I386, filter.X32}},
		{native: filter.ARM64}, {native: filter.ARM64, foreign: []filter.Arch{filter.ARM}}, {native: filter.RISCV64}}
	r := natives[g.IntN(len(natives))]
	r.deflt = []filter.Action{eperm, {Kind: filter.Kill}, {Kind: filter.Errno, Errno: 38}}[g.IntN(3)]
	calls := filter.Calls()
	for _, n := range calls {
		if g.IntN(3) > 0 {
			r.allow = append(r.allow, n)
		}
	}
	for range g.IntN(8) {
		x := rule{call: calls[g.IntN(len(calls))]}
		if r.ruled(x.call) || x.call == "socketcall" || x.call == "ipc" {
			continue
		}
		if g.IntN(4) == 0 {
			x.action = filter.Action{Kind: filter.Errno, Errno: uint16(1 + g.IntN(100))}
			r.rules = append(r.rules, x)
			continue
		}
		x.any = lists(g, len(r.foreign) > 0)
		r.rules = append(r.rules, x)
	}
	return r
}

// lists returns comparisons in the two forms that libseccomp 2.5 decides as documented: one list, or several lists that
// each have one equality of the same argument. If longer lists begin with the same argument, and the first list fails
// in a later comparison, libseccomp does not try the second (TestOverlap).
func lists(g *rand.Rand, narrow bool) (any [][]compare) {
	if g.IntN(2) == 0 {
		return [][]compare{list(g, narrow)}
	}
	arg := uint(g.IntN(6))
	for range 1 + g.IntN(8) {
		v := g.Uint64() >> (g.IntN(8) * 8)
		if narrow {
			v = uint64(uint32(v))
		}
		any = append(any, []compare{{arg: arg, op: "==", value: v}})
	}
	return any
}

// TestOverlap shows that libseccomp, and not our compiler, is wrong about the forms that lists avoids.
func TestOverlap(t *testing.T) {
	r := rules{native: filter.AMD64, deflt: eperm, rules: []rule{{call: "kill", any: [][]compare{
		{{arg: 0, op: "<", value: 100}, {arg: 1, op: "==", value: 1}},
		{{arg: 0, op: ">", value: 10}, {arg: 1, op: "==", value: 2}},
	}}}}
	p, err := filter.Compile(r.spec(), filter.AMD64)
	must(t, err)
	f, _ := r.build(t, 1)
	defer f.Release()
	d := filter.Data{Nr: 62, Arch: filter.AMD64.Audit(), Args: [6]uint64{50, 2}}
	if got := p.Action(&d); got.Kind != filter.Allow {
		t.Errorf("%v: 50 > 10 && 2 == 2 holds", got)
	}
	t.Logf("libseccomp: %v", filter.ActionOf(filter.Run(export(t, f), &d, nil)))
}

func list(g *rand.Rand, narrow bool) (all []compare) {
	for arg := range uint(6) {
		if len(all) > 0 && g.IntN(4) > 0 || len(all) == 0 && arg < 5 && g.IntN(3) > 0 {
			continue
		}
		c := compare{arg: arg, op: []string{"==", "!=", "<", "<=", ">", ">=", "mask"}[g.IntN(7)]}
		c.value = []uint64{0, 1, 2, 7, 0xff, 0x1000, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 5, 1<<63 - 1, 1 << 63, 1<<64 - 1, g.Uint64() >> g.IntN(64)}[g.IntN(15)]
		c.mask = []uint64{0xff, 1 << 31, 0x7e020000, 1<<32 - 1, 1 << 40, 0xff000000ff, 1<<64 - 1}[g.IntN(7)]
		if narrow {
			c.value, c.mask = uint64(uint32(c.value)), uint64(uint32(c.mask))
		}
		if c.op == "mask" {
			c.value &= c.mask
			if c.mask == 0 {
				c.mask, c.value = 1, 1
			}
		}
		// For comparisons that no value or every value satisfies, libseccomp differs from arithmetic.
		if c.op == "<" && c.value == 0 || c.op == ">=" && c.value == 0 {
			c.value = 1
		}
		if c.op == ">" || c.op == "<=" {
			c.value &= 0x7fffffff
		}
		all = append(all, c)
	}
	return all
}

func TestRandom(t *testing.T) {
	n := uint64(150)
	if testing.Short() {
		n = 20
	}
	gaps := map[string]int{}
	for seed := range n {
		g := rand.New(rand.NewPCG(seed, 7))
		for k, v := range random(g).hold(t, g, 1+int(seed%2)) {
			gaps[k] += v
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d kinds of differences, as meant: %v", len(gaps), short(gaps))
}

func short(gaps map[string]int) (s []string) {
	for k, v := range gaps {
		if s = append(s, fmt.Sprintf("%s ×%d", k, v)); len(s) == 12 {
			return append(s, "…")
		}
	}
	return s
}

func BenchmarkCompile(b *testing.B) {
	for _, x := range []struct {
		name  string
		rules rules
	}{{"docker", docker(b)}, {"service", service()}} {
		b.Run(x.name+"/cordon", func(b *testing.B) {
			spec := x.rules.spec()
			n := 0
			for b.Loop() {
				p, err := filter.Compile(spec, x.rules.native)
				must(b, err)
				n = len(p.Insns)
			}
			b.ReportMetric(float64(n), "insns")
		})
		for optimize := 1; optimize <= 2; optimize++ {
			b.Run(fmt.Sprintf("%s/libseccomp-%d", x.name, optimize), func(b *testing.B) {
				n := 0
				for b.Loop() {
					f, _ := x.rules.build(b, optimize)
					n = len(export(b, f))
					f.Release()
				}
				b.ReportMetric(float64(n), "insns")
			})
		}
	}
}
