package filter

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// holdDecisions compares the cases of every call with the naive reading of the Spec. No two cases may hold for the same
// arguments. The case that holds must decide as the Spec does; if Narrowed is set, it may be more severe.
func holdDecisions(t *testing.T, g gen, s *Spec, native Arch, rounds int) {
	t.Helper()
	all, err := Decisions(*s, native)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	for i := range all {
		d := &all[i]
		n := 2
		if len(d.Cases) > 1 {
			n = rounds
		}
		for _, abi := range append([]Arch{native}, s.Foreign...) {
			nr, ok := Number(abi, d.Call)
			if !ok || abi != native && !native.Hosts(abi) {
				continue
			}
			if abi == X32 {
				nr |= X32Bit
			}
			for range n {
				holdDecision(t, g, s, native, d, Data{Nr: int32(nr), Arch: abi.Audit(), Args: g.args()}, abi)
			}
		}
	}
}

func holdDecision(t *testing.T, g gen, s *Spec, native Arch, d *Decision, data Data, abi Arch) {
	t.Helper()
	if abi.is32() {
		for i := range data.Args {
			data.Args[i] &= 1<<32 - 1
		}
	}
	if g.IntN(2) == 0 { // choose arguments near the cases
		k := pick(g, d.Cases)
		for i := range data.Args {
			data.Args[i] = data.Args[i]&^k.Args[i].Mask | k.Args[i].Value
		}
		if abi.is32() {
			for i := range data.Args {
				data.Args[i] &= 1<<32 - 1
			}
		}
	}
	var got []Action
	for i := range d.Cases {
		if holds(&d.Cases[i], &data.Args) {
			got = append(got, d.Cases[i].Action)
		}
	}
	want := naive(s, native, &data)
	if len(got) != 1 || got[0] != want && (d.Narrowed == "" || got[0].Kind < want.Kind) {
		t.Fatalf("%+v\n%s on %v, %#x: %v, want %v\n%+v", s, d.Call, abi, data.Args, got, want, *d)
	}
}

func TestDecisions(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 10
	}
	for _, native := range []Arch{AMD64, ARM64, RISCV64} {
		for seed := range n {
			g := gen{rand.New(rand.NewPCG(seed, 100+uint64(native)))}
			s := g.spec(native)
			holdDecisions(t, g, &s, native, 40)
		}
	}
}

func FuzzDecisions(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := gen{rand.New(rand.NewPCG(seed, 3))}
		s := g.spec(AMD64)
		holdDecisions(t, g, &s, AMD64, 10)
	})
}

func TestDecisionOfRule(t *testing.T) {
	s := Spec{Rules: []Rule{{Call: "socket", Expr: "in(reg0, 1, 2)"}, {Call: "ioctl", Expr: "reg1 != 5"}, {Call: "clone3", Expr: "errno(ENOSYS)"}, {Call: "kill", Expr: "reg0 == reg1"}}}
	all, err := Decisions(s, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	of := func(call string) Decision {
		i := slices.IndexFunc(all, func(d Decision) bool { return d.Call == call })
		return all[i]
	}
	if d := of("clone3"); len(d.Cases) != 1 || d.Cases[0].Action != (Action{Errno, 38}) || d.Narrowed != "" {
		t.Errorf("%+v", d)
	}
	if d := of("kill"); len(d.Cases) != 1 || d.Cases[0].Action != (Action{Errno, 1}) || d.Narrowed == "" {
		t.Errorf("%+v", d)
	}
	allowed := 0
	for _, k := range of("ioctl").Cases {
		if k.Action.Kind == Allow {
			allowed++
		}
	}
	if allowed != 64 { // one bit differs in each of them
		t.Errorf("%d cases allow ioctl", allowed)
	}
}

// TestMultiplexerOfOpenDefault checks multiplexers (calls that do the work of other calls) if the default allows calls.
// A program must not be able to use them to get around a denial.
func TestMultiplexerOfOpenDefault(t *testing.T) {
	s := Spec{Default: Action{Kind: Allow}, Deny: []Item{{Name: "socket"}}, Foreign: []Arch{I386}}
	p, err := Compile(s, AMD64)
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]Action{"socketcall": {Errno, 1}, "socket": {Errno, 1}, "ipc": {Kind: Allow}, "bind": {Kind: Allow}} {
		nr, _ := Number(I386, call)
		if got := p.Action(&Data{Nr: int32(nr), Arch: I386.Audit(), Args: [6]uint64{1}}); got != want {
			t.Errorf("%s: %v, want %v", call, got, want)
		}
	}
}

// holds reports whether the case applies to the arguments.
func holds(k *Case, args *[6]uint64) bool {
	for i := range args {
		if args[i]&k.Args[i].Mask != k.Args[i].Value {
			return false
		}
	}
	return true
}
