package filter

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"cordon/policy/filter/tables"
)

// gen makes random Specs.
type gen struct{ *rand.Rand }

func pick[T any](g gen, s []T) T { return s[g.IntN(len(s))] }

var someCalls = strings.Fields(`openat open socket socketcall ioctl clone clone3 prctl mmap mmap2 mprotect fcntl fcntl64 personality kill
	setuid setuid32 chmod lseek pread64 execveat keyctl unshare read write futex semop ipc ptrace sendto recvmsg fallocate waitid mq_open _llseek select`)

func (g gen) item() Item {
	if g.IntN(3) == 0 {
		return Item{Name: pick(g, tables.GroupNames[:])}
	}
	if g.IntN(2) == 0 {
		return Item{Name: pick(g, someCalls)}
	}
	return Item{Name: pick(g, tables.CallNames[:])}
}

func (g gen) action() Action {
	return pick(g, []Action{{}, {Kind: Allow}, {Errno, 1}, {Errno, 38}, {Errno, 4095}, {Kind: Kill}, {Kind: Log}, {Trap, 7}, {Trace, 9}, {Kind: Notify}, {Kind: KillThread}})
}

func (g gen) spec(native Arch) Spec {
	s := Spec{Default: g.action(), Unknown: g.action()}
	for range g.IntN(6) {
		s.Allow = append(s.Allow, g.item())
	}
	for range g.IntN(3) {
		s.Deny = append(s.Deny, g.item())
	}
	for _, a := range []Arch{I386, ARM, X32} {
		if native.Hosts(a) && g.IntN(2) == 0 {
			s.Foreign = append(s.Foreign, a)
		}
	}
	for range g.IntN(6) {
		r := Rule{Call: pick(g, someCalls)}
		if g.IntN(5) == 0 {
			r.Call = pick(g, tables.CallNames[:])
		}
		if g.IntN(4) == 0 {
			r.Expr = pick(g, []string{"allow", "errno(ENOSYS)", "errno(7)", "kill", "log", "trap", "notify"})
		} else {
			r.Expr, r.Else = g.expr(r.Call, 3), g.action()
		}
		s.Rules = append(s.Rules, r)
	}
	return s
}

func (g gen) number() string {
	v := pick(g, []uint64{0, 1, 2, 3, 7, 8, 0x10, 0xff, 0x1000, 0x7fff, 0x8000, 0xffff, 0x10000, 0x5412, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
		0x100000000, 0x100000001, 0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffffe, 0xffffffffffffffff})
	switch g.IntN(8) {
	case 0:
		v = g.Uint64() >> g.IntN(64)
	case 1:
		return "-" + strconv.FormatUint(v>>33, 10)
	case 2:
		return pick(g, []string{"AF_UNIX", "AT_FDCWD", "O_CREAT", "O_DIRECTORY", "CLONE_NEW_ANY", "TIOCSTI", "^0", "PROT_EXEC|PROT_WRITE", "1<<31", "-1"})
	case 3, 4, 5:
		v = uint64(g.IntN(64))
	}
	return "0x" + strconv.FormatUint(v, 16)
}

func (g gen) term(args []string) string {
	t := "reg" + strconv.Itoa(g.IntN(6))
	if len(args) > 0 && g.IntN(5) > 0 {
		t = pick(g, args)
	}
	for range g.IntN(3) {
		switch g.IntN(7) {
		case 0, 1, 2:
			t = fmt.Sprintf("(%s %s %s)", t, pick(g, []string{"&", "|", "^", "&^"}), g.number())
		case 3:
			t = fmt.Sprintf("(%s %s %d)", t, pick(g, []string{"<<", ">>"}), g.IntN(20))
		case 4:
			t = fmt.Sprintf("(%s %s %s)", t, pick(g, []string{"+", "-"}), g.number())
		case 5:
			t = fmt.Sprintf("%s(%s)", pick(g, []string{"uint8", "uint16", "uint32", "uint64", "int32", "int64"}), t)
		case 6:
			t = fmt.Sprintf("(%s %s %s)", t, pick(g, []string{"/", "%", "*"}), pick(g, []string{"2", "8", "0x1000"}))
		}
	}
	return t
}

// text returns an expression that may or may not be valid.
func (g gen) text(args []string, depth int) string {
	if depth > 0 {
		switch g.IntN(4) {
		case 0:
			return "(" + g.text(args, depth-1) + ") && (" + g.text(args, depth-1) + ")"
		case 1:
			return "(" + g.text(args, depth-1) + ") || (" + g.text(args, depth-1) + ")"
		case 2:
			return "!(" + g.text(args, depth-1) + ")"
		}
	}
	if g.IntN(4) == 0 {
		s := "in(" + g.term(args)
		for range 1 + g.IntN(9) {
			s += ", " + g.number()
		}
		return s + ")"
	}
	with := g.number()
	if g.IntN(6) == 0 {
		with = g.term(args)
	}
	return g.term(args) + " " + pick(g, []string{"==", "!=", "<", "<=", ">", ">="}) + " " + with
}

// expr returns an expression that is valid for call on every ABI.
func (g gen) expr(call string, depth int) string {
	for range 200 {
		e := g.text(Args(call), g.IntN(depth+1))
		ok := true
		for a := AMD64; a <= X32 && ok; a++ {
			_, err := parseExpr(&conds{}, e, callID(call), a)
			ok = err == nil
		}
		if ok {
			return e
		}
	}
	return "true"
}

var edges = []uint64{0, 1, 2, 7, 16, 40, 262, 0x5412, 0x541c, 0x7fff, 0x8000, 0xffff, 0x10000, 0x10001, 0x20000, 0x7fffffff, 0x80000000, 0xffffff9c, 0xfffffffe, 0xffffffff,
	0x100000000, 0x100000001, 0x100005412, 0x10000541c, 0x7e020000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000000, 0xfffffffffffffffe, 0xffffffffffffffff}

func (g gen) args() (a [6]uint64) {
	same := pick(g, edges)
	for i := range a {
		switch g.IntN(5) {
		case 4:
			a[i] = same
		case 0:
			a[i] = g.Uint64() >> g.IntN(64)
		case 1:
			a[i] = pick(g, edges) + uint64(g.IntN(3)) - 1
		default:
			a[i] = pick(g, edges)
		}
	}
	return a
}

// compare compares the program with the naive reading of s. It tries every architecture, every number up to 1023,
// numbers of x32 and some others. For calls that have rules it tries several arguments.
func compare(t *testing.T, g gen, s *Spec, native Arch, rounds int) {
	t.Helper()
	p, err := Compile(*s, native)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	c, _ := newCompiler(s, native)
	check := func(audit uint32, nr uint32, n int) {
		for range n {
			d := Data{Nr: int32(nr), Arch: audit, Args: g.args()}
			want, got := naive(s, native, &d), p.Action(&d)
			if got != want {
				t.Fatalf("%+v\n%s on %s: %+v: %v, want %v\n%s", s, mustName(audit, nr), native, d, got, want, p.Asm(nil))
			}
			if v := c.explain(&d); v.Action != want {
				t.Fatalf("%+v\nexplain %+v: %+v, want %v", s, d, v, want)
			}
		}
	}
	for _, audit := range []uint32{AMD64.Audit(), ARM64.Audit(), RISCV64.Audit(), I386.Audit(), ARM.Audit(), 0, 0xc0000016} {
		runs := audit == native.Audit() || containsAudit(s.Foreign, audit)
		for nr := range uint32(1024) {
			if !runs && nr%64 != 0 {
				continue
			}
			for _, bit := range []uint32{0, X32Bit} {
				n := 1
				if audit == native.Audit() && c.interesting(audit, nr|bit) {
					n = rounds
				} else if runs && c.interesting(audit, nr|bit) {
					n = rounds / 2
				} else if nr > 600 && nr%16 != 0 {
					continue
				}
				check(audit, nr|bit, n)
			}
		}
		for _, nr := range []uint32{0xf0000, 0xf0001, 0xf0005, 0xf0006, 0xf0007, 0x3fffffff, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff} {
			check(audit, nr, 1)
		}
	}
}

func mustName(audit, nr uint32) string {
	for a := AMD64; a <= ARM; a++ {
		if a.Audit() == audit {
			n, _ := Name(a, nr&^X32Bit)
			return n + "/" + a.String()
		}
	}
	return strconv.Itoa(int(nr))
}

func containsAudit(as []Arch, audit uint32) bool {
	for _, a := range as {
		if a.Audit() == audit {
			return true
		}
	}
	return false
}

// interesting reports whether the call has rules, so that its arguments matter.
func (c *compiler) interesting(audit, nr uint32) bool {
	for a := AMD64; a <= X32; a++ {
		if a.Audit() == audit {
			if id := numberID(a, nr&^X32Bit); id != noCall && c.ruled.Has(id) {
				return true
			}
		}
	}
	return false
}

func TestRandomSpecs(t *testing.T) {
	n := 60
	if testing.Short() {
		n = 10
	}
	for _, native := range []Arch{AMD64, ARM64, RISCV64, I386, ARM} {
		t.Run(native.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(n) {
				g := gen{rand.New(rand.NewPCG(seed, uint64(native)))}
				s := g.spec(native)
				compare(t, g, &s, native, 40)
			}
		})
	}
}

func FuzzCompile(f *testing.F) {
	for i := range uint64(8) {
		f.Add(i, uint8(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, arch uint8) {
		native := AMD64 + Arch(arch%5)
		g := gen{rand.New(rand.NewPCG(seed, 1))}
		s := g.spec(native)
		compare(t, g, &s, native, 8)
	})
}

// TestRandomExprs compares conditions with an evaluation by go/parser and big integers, on many arguments each.
func TestRandomExprs(t *testing.T) {
	n, valid := 20000, 0
	if testing.Short() {
		n = 3000
	}
	g := gen{rand.New(rand.NewPCG(1, 2))}
	for range n {
		call := pick(g, someCalls)
		if holdExpr(t, g, call, g.text(Args(call), 2), AMD64+Arch(g.IntN(6))) {
			valid++
		}
	}
	if valid < n/10 {
		t.Errorf("only %d of %d expressions were valid", valid, n)
	}
}

// holdExpr compares an expression with naiveExpr, if the parser accepts the expression.
func holdExpr(t *testing.T, g gen, call, src string, abi Arch) bool {
	t.Helper()
	c := &conds{}
	r, err := parseExpr(c, src, callID(call), abi)
	if err != nil {
		if err.Col < 0 || err.Col > len(src)+1 || err.Msg == "" {
			t.Fatalf("%q: error %+v", src, err)
		}
		return false
	}
	p, number := onlyRule(t, call, src, abi)
	for range 60 {
		d := Data{Nr: number, Arch: abi.Audit(), Args: g.args()}
		want, err := naiveExpr(src, call, abi, &d)
		if err != nil {
			t.Fatalf("%s: %q on %v is taken, but: %v", call, src, abi, err)
		}
		if got := c.eval(r, &d); got != want {
			t.Fatalf("%s: %q on %v: %#x: %v, want %v", call, src, abi, d.Args, got, want)
		}
		if got := p != nil && p.Action(&d).Kind == Allow; p != nil && got != want {
			t.Fatalf("%s: %q on %v: %#x: the program says %v, want %v\n%s", call, src, abi, d.Args, got, want, p.Asm(nil))
		}
	}
	return true
}

// onlyRule returns a program that allows one call under one condition. It returns nil if the ABI has no filters of its
// own or lacks the call, or if the program denies the call whatever the condition is.
func onlyRule(t *testing.T, call, src string, abi Arch) (*Program, int32) {
	t.Helper()
	n, ok := Number(abi, call)
	if !ok || abi == X32 || call == "socketcall" || call == "ipc" || abi == I386 && hasStruct(callID(call)) {
		return nil, 0
	}
	p, err := Compile(Spec{Rules: []Rule{{Call: call, Expr: src}}}, abi)
	if err != nil && !strings.Contains(err.Error(), "instructions") {
		t.Fatalf("%s: %q on %v: %v", call, src, abi, err)
	}
	return p, int32(n)
}

// TestJumpDistances compiles conditional jumps of every length around the longest that an instruction can make.
func TestJumpDistances(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(5, 6))}
	expr := "reg0 != 1"
	for i := range 330 {
		expr += " && reg" + strconv.Itoa(1+i%5) + " != " + strconv.Itoa(i)
		s := Spec{Allow: items("getpid"), Rules: []Rule{{Call: "ioctl", Expr: expr, Else: killed}, {Call: "read", Expr: expr}, {Call: "kill", Expr: "reg0 == 2 || !(" + expr + ")"}}}
		p := mustCompile(t, s, AMD64)
		for range 40 {
			d := Data{Nr: pick(g, []int32{0, 16, 62, 39, 400, 1}), Arch: AMD64.Audit()}
			for j := range d.Args {
				d.Args[j] = uint64(g.IntN(400))
			}
			if got, want := p.Action(&d), naive(&s, AMD64, &d); got != want {
				t.Fatalf("%d terms: %+v: %v, want %v\n%s", i+2, d, got, want, p.Asm(nil))
			}
		}
	}
}

func FuzzExpr(f *testing.F) {
	for _, s := range []string{
		"in(family, AF_UNIX, AF_INET) && protocol != IPPROTO_MPTCP", "uint32(cmd) != TIOCSTI", "flags & CLONE_NEW_ANY == 0",
		"!(a < -1) || mask(reg2, 0xf0) == ^0x10", "(reg0 >> 3) % 8 + 1 >= 0x7fffffffffffffff", "true", "((((", "1 == 1", "x = 1", "\xff", "in(reg1,)", "reg0 <- 1", "08 == 8",
	} {
		f.Add(s, uint8(3), uint64(1))
	}
	f.Fuzz(func(t *testing.T, src string, call uint8, seed uint64) {
		if strings.Contains(src, "//") || strings.Contains(src, "/*") { // only go/parser accepts comments
			return
		}
		g := gen{rand.New(rand.NewPCG(seed, 1))}
		holdExpr(t, g, someCalls[int(call)%len(someCalls)], src, AMD64+Arch(seed%6))
	})
}
