//go:build cgo && libseccomp

package reference

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cordon/cmd/cordon-reference/reference"
	"cordon/policy/filter"
	"cordon/profiles"
)

// natives lists the architectures for which filters are made.
var natives = []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64}

// ranBeside returns the architectures that a kernel for native can also run.
func ranBeside(native filter.Arch) []filter.Arch {
	switch native {
	case filter.AMD64:
		return []filter.Arch{filter.I386, filter.X32}
	case filter.ARM64:
		return []filter.Arch{filter.ARM}
	}
	return nil
}

// TestShipped compares the filter of every shipped profile on every architecture, alone and with all foreign
// architectures.
func TestShipped(t *testing.T) {
	search := profiles.Search{}
	gaps := map[string]bool{}
	for _, info := range search.List() {
		p, err := search.Load([]string{info.Name}, nil)
		must(t, err)
		spec, err := p.Filter()
		must(t, err)
		for _, native := range natives {
			for _, foreign := range [][]filter.Arch{nil, ranBeside(native)} {
				spec.Foreign = foreign
				for optimize := 1; optimize <= 2; optimize++ {
					r, err := reference.Compare(spec, native, optimize, 1)
					if err != nil {
						t.Errorf("%s on %s %v: %v", info.Name, native, foreign, err)
						continue
					}
					for _, d := range r.Differences {
						t.Errorf("%s on %s %v: %s", info.Name, native, foreign, d)
					}
					if r.Compared < 1000 {
						t.Errorf("%s on %s: only %d calls compared", info.Name, native, r.Compared)
					}
					for _, g := range r.Gaps {
						gaps[g.String()] = true
					}
				}
			}
		}
	}
	for g := range gaps {
		t.Logf("%s", g)
	}
}

// TestNotVacuous checks that Compare finds a rule that the two sides read differently. For this purpose it compares the
// program of one Spec with the decisions of another.
func TestNotVacuous(t *testing.T) {
	spec := filter.Spec{Allow: []filter.Item{{Name: "read"}}, Rules: []filter.Rule{{Call: "socket", Expr: "family == AF_UNIX"}}}
	wrong := spec
	wrong.Rules = []filter.Rule{{Call: "socket", Expr: "family == AF_UNIX || family == AF_INET && type == 77"}}
	p, err := filter.Compile(wrong, filter.AMD64)
	must(t, err)
	r, err := reference.CompareProgram(spec, p, 1, 1)
	must(t, err)
	if len(r.Differences) == 0 {
		t.Error("the wrong program passed")
	}
	r, err = reference.Compare(spec, filter.AMD64, 1, 1)
	must(t, err)
	if len(r.Differences) > 0 {
		t.Errorf("%v", r.Differences)
	}
}

// maker makes random Specs with conditions of all kinds.
type maker struct{ *rand.Rand }

func (g maker) of(list ...string) string { return list[g.IntN(len(list))] }

func (g maker) value() string {
	return g.of("0", "1", "2", "7", "0xff", "0x1000", "0x7fffffff", "1<<31", "0xffffffff", "1<<32", "1<<40", "-1", "AF_UNIX", "O_CREAT", "CLONE_NEW_ANY", strconv.Itoa(g.IntN(5000)))
}

func (g maker) term(call string) string {
	t := "reg" + strconv.Itoa(g.IntN(6))
	if args := filter.Args(call); len(args) > 0 && g.IntN(4) > 0 {
		t = args[g.IntN(len(args))]
	}
	switch g.IntN(8) {
	case 0, 1:
		return "(" + t + " & " + g.value() + ")"
	case 2:
		return "uint32(" + t + ")"
	case 3:
		return "(" + t + " " + g.of("|", "^", "&^", "+", "-") + " " + g.value() + ")"
	case 4:
		return "(" + t + " " + g.of(">>", "<<") + " " + g.of("1", "4", "12") + ")"
	case 5:
		return "(" + t + " " + g.of("/", "%") + " " + g.of("2", "4096") + ")"
	}
	return t
}

func (g maker) expr(call string, depth int) string {
	if depth > 0 && g.IntN(2) == 0 {
		return "(" + g.expr(call, depth-1) + g.of(" && ", " || ") + g.expr(call, depth-1) + ")"
	}
	switch g.IntN(6) {
	case 0:
		return "in(" + g.term(call) + ", " + g.value() + ", " + g.value() + ", " + g.value() + ")"
	case 1:
		return "!(" + g.expr(call, 0) + ")"
	}
	return g.term(call) + " " + g.of("==", "!=", "<", "<=", ">", ">=") + " " + g.value()
}

// valid returns an expression that is valid on every ABI.
func (g maker) valid(call string, spec filter.Spec, native filter.Arch) string {
	for range 200 {
		e := g.expr(call, g.IntN(3))
		spec.Rules = []filter.Rule{{Call: call, Expr: e}}
		if _, err := filter.Compile(spec, native); err == nil {
			return e
		}
	}
	return "true"
}

func (g maker) spec() (filter.Spec, filter.Arch) {
	native := natives[g.IntN(len(natives))]
	actions := []filter.Action{{}, {Kind: filter.Errno, Errno: 1}, {Kind: filter.Errno, Errno: 13}, {Kind: filter.Kill}, {Kind: filter.KillThread}, {Kind: filter.Log}, {Kind: filter.Trap}, {Kind: filter.Allow}}
	s := filter.Spec{Default: actions[g.IntN(len(actions))], Unknown: actions[g.IntN(5)]}
	if g.IntN(2) == 0 {
		s.Foreign = ranBeside(native)
	}
	calls, groups := filter.Calls(), filter.Groups()
	for range 1 + g.IntN(5) {
		s.Allow = append(s.Allow, filter.Item{Name: groups[g.IntN(len(groups))]}, filter.Item{Name: calls[g.IntN(len(calls))]})
	}
	for range g.IntN(4) {
		s.Deny = append(s.Deny, filter.Item{Name: calls[g.IntN(len(calls))]})
	}
	some := strings.Fields("socket clone ioctl prctl mmap mprotect openat kill setuid fcntl personality chmod lseek futex keyctl clone3 unshare mount chown pread64")
	for range g.IntN(6) {
		r := filter.Rule{Call: some[g.IntN(len(some))], From: fmt.Sprintf("p.yaml:%d", len(s.Rules)+1)}
		if g.IntN(5) == 0 {
			r.Expr = g.of("allow", "errno(ENOSYS)", "kill", "log")
		} else {
			r.Expr, r.Else = g.valid(r.Call, s, native), actions[g.IntN(len(actions))]
		}
		s.Rules = append(s.Rules, r)
	}
	return s, native
}

func holdRandom(t *testing.T, seed uint64) *reference.Report {
	t.Helper()
	g := maker{rand.New(rand.NewPCG(seed, 77))}
	spec, native := g.spec()
	r, err := reference.Compare(spec, native, 1+int(seed%2), seed)
	if err != nil {
		t.Fatalf("seed %d: %v\n%+v", seed, err, spec)
	}
	for _, d := range r.Differences {
		t.Errorf("seed %d: %s", seed, d)
	}
	if t.Failed() {
		t.Fatalf("%+v", spec)
	}
	return r
}

// TestRandomSpecs compares random rules in our whole language.
func TestRandomSpecs(t *testing.T) {
	n := uint64(120)
	if testing.Short() {
		n = 15
	}
	compared, gaps := 0, map[string]int{}
	for seed := range n {
		r := holdRandom(t, seed)
		compared += r.Compared
		for _, g := range r.Gaps {
			gaps[g.What]++
		}
	}
	var lines []string
	for g, k := range gaps {
		lines = append(lines, fmt.Sprintf("%s: in %d of %d", g, k, n))
	}
	slices.Sort(lines)
	t.Logf("%d calls compared; gaps:\n%s", compared, strings.Join(lines, "\n"))
}

func FuzzReference(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { holdRandom(t, seed) })
}
