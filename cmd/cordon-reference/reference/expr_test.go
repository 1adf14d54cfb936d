package reference

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"

	"cordon/policy/filter"
)

// edgeWords are values at which the result of a condition is likely to change.
var edgeWords = []uint64{0, 1, 2, 7, 9, 16, 0x80, 0xff, 0x1000, 0x5412, 0x7fff, 0xffff, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<63 - 1, 1 << 63, 1<<64 - 1, 0x10000000, 1000}

func randomArgs(g *rand.Rand) (a [6]uint64) {
	for i := range a {
		a[i] = edgeWords[g.IntN(len(edgeWords))] + uint64(g.IntN(3)) - 1
		if g.IntN(4) == 0 {
			a[i] = g.Uint64() >> g.IntN(64)
		}
	}
	return a
}

// TestConditions checks that the diagram of a condition decides as the compiled program does. The two share nothing but
// the tables.
func TestConditions(t *testing.T) {
	g := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct{ call, expr string }{
		{"socket", "in(family, AF_UNIX, AF_INET, AF_INET6) && protocol != IPPROTO_MPTCP || family == AF_NETLINK && protocol == NETLINK_ROUTE"},
		{"ioctl", "uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX"},
		{"clone", "flags & CLONE_NEW_ANY == 0"},
		{"personality", "in(uint32(persona), 0x0, 0x8, 0x20000, 0x20008, 0xffffffff)"},
		{"kill", "pid == -1 || pid < -7 && sig >= 2"},
		{"kill", "pid > 0"},
		{"lseek", "offset >= -5 && offset <= 1<<40"},
		{"mmap", "length / 4096 < 256 && length % 4096 == 0"},
		{"mmap", "length + 4096 < 8192"},
		{"mmap", "length - 7 == 9"},
		{"mmap", "length << 3 == 128 || length >> 12 > 5"},
		{"mmap", "length * 16 == 32"},
		{"openat", "!(flags & O_CREAT != 0) || mode &^ 0777 == 0"},
		{"openat", "flags ^ O_RDWR == 5 || flags | 1 == 3"},
		{"prctl", "mask(op, 0xff) == 7 || ^op == 3 || ~op == 9"},
		{"prctl", "uint8(arg2) == 255 && uint16(arg3) < 7 && int32(arg4) < 0 || int64(arg5) < -1"},
		{"prctl", "uint64(uint32(arg2)) == 7"},
		{"prctl", "1 == 1 && 7 / 2 == 3 && -7 % 3 == -1 && 1 << 4 == 16 && 6 &^ 2 == 4"},
		{"prctl", "false || true && op == 3"},
		{"kcmp", "type == 0 && in(pid1, 1, 2, 3,)"},
		{"chmod", "mode & 07000 == 0"},
		{"setuid", "uid >= 1000"},
	} {
		for _, abi := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
			nr, ok := filter.Number(abi, c.call)
			if !ok {
				continue
			}
			d := newDiagrams(maxTerminals)
			root, err := (&reader{diagrams: d, call: c.call, abi: abi}).condition(c.expr)
			if err != nil {
				t.Errorf("%s: %s: %v", c.call, c.expr, err)
				continue
			}
			p, err := filter.Compile(filter.Spec{Rules: []filter.Rule{{Call: c.call, Expr: c.expr}}}, abi)
			if err != nil {
				t.Fatal(err)
			}
			for range 3000 {
				data := filter.Data{Nr: int32(nr), Arch: abi.Audit(), Args: randomArgs(g)}
				if got, want := d.eval(root, &data.Args) == always, p.Action(&data).Kind == filter.Allow; got != want {
					t.Fatalf("%s on %s: %s with %#x: %v, the program says %v", c.call, abi, c.expr, data.Args, got, want)
				}
			}
		}
	}
}

func TestNotConditions(t *testing.T) {
	for _, c := range []struct {
		call, expr string
		want       error
	}{
		{"openat", "pathname == 0", errLanguage},
		{"socket", "nonsense == 0", errLanguage},
		{"socket", "family", errLanguage},
		{"socket", "family == type", errTwoArgs},
		{"socket", "family * 3 == 6", errLanguage},
		{"socket", "foo(family) == 6", errLanguage},
		{"socket", "1 / 0 == 1", errLanguage},
	} {
		d := newDiagrams(maxTerminals)
		if _, err := (&reader{diagrams: d, call: c.call, abi: filter.AMD64}).condition(c.expr); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.expr, err, c.want)
		}
	}
	if _, err := (&reader{diagrams: newDiagrams(8), call: "socket", abi: filter.AMD64}).condition("family ="); err == nil {
		t.Error("half an expression was read")
	}
}

// TestPaths checks that the paths of a diagram are disjoint, cover all values, and lead to the terminal that eval
// finds.
func TestPaths(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 5))
	d := newDiagrams(maxTerminals)
	root, err := (&reader{diagrams: d, call: "socket", abi: filter.AMD64}).condition("family < 7 && type & 3 != 1 || protocol == 9")
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		args, hits := randomArgs(g), 0
		d.paths(root, func(c *cube, to node) bool {
			for i := range args {
				if args[i]&c.mask[i] != c.value[i] {
					return true
				}
			}
			hits++
			if to != d.eval(root, &args) {
				t.Fatalf("%#x: a path leads to %d", args, to)
			}
			return true
		})
		if hits != 1 {
			t.Fatalf("%#x lies on %d paths", args, hits)
		}
	}
}

// TestTooLarge checks that a condition without a small diagram ends with errTooLarge, and does not run on.
func TestTooLarge(t *testing.T) {
	// At the bits of reg1 the diagram has to remember all bits of reg0, so it is large.
	expr := "true"
	for i := range 30 {
		bit := "0x" + strconv.FormatUint(1<<i, 16)
		expr += " && (reg0 & " + bit + " != 0 || reg1 & " + bit + " == 0)"
	}
	d := &decision{diagrams: newDiagrams(maxTerminals)}
	p := newPolicy(filter.Spec{Rules: []filter.Rule{{Call: "read", Expr: expr}}})
	p.rules(d, filter.AMD64, "read")
	if !errors.As(d.err, new(errTooLarge)) {
		t.Errorf("%v", d.err)
	}
}

// TestDecide compares decide, which implements the documentation of Spec, with the compiled program. It needs no
// libseccomp.
func TestDecide(t *testing.T) {
	s := filter.Spec{
		Allow: []filter.Item{{Name: "@system-service"}, {Name: "socketcall"}}, Deny: []filter.Item{{Name: "@keyring"}, {Name: "setuid"}},
		Foreign: []filter.Arch{filter.I386, filter.X32},
		Rules: []filter.Rule{
			{Call: "socket", Expr: "family == AF_UNIX"},
			{Call: "socket", Expr: "type != SOCK_RAW", Else: filter.Action{Kind: filter.Kill}},
			{Call: "mmap", Expr: "prot & PROT_EXEC == 0"},
			{Call: "clone3", Expr: "errno(ENOSYS)"},
			{Call: "@clock", Expr: "errno(EACCES)"},
		},
	}
	p, err := filter.Compile(s, filter.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	g, pol := rand.New(rand.NewPCG(6, 6)), newPolicy(s)
	for _, abi := range []filter.Arch{filter.AMD64, filter.I386, filter.X32} {
		for nr := range uint32(600) {
			call, ok := filter.Name(abi, nr)
			if !ok {
				continue
			}
			d := pol.decide(abi, call)
			for range 20 {
				args := randomArgs(g)
				if abi == filter.X32 {
					for i := range args {
						args[i] = uint64(uint32(args[i]))
					}
				}
				data := filter.Data{Nr: int32(nr), Arch: abi.Audit(), Args: args}
				if abi == filter.X32 {
					data.Nr |= filter.X32Bit
				}
				if got, want := d.of(&args), p.Action(&data); got != want {
					t.Fatalf("%s on %s with %#x: %s, the program says %s", call, abi, args, got, want)
				}
			}
		}
	}
}
