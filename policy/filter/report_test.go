package filter

import (
	"math/rand/v2"
	"testing"
)

// TestReport compares the filter with Report to the filter without. If the latter returns an errno, the former must
// notify or return the same errno. Everything else must be the same. The filter must never allow a call that was
// denied.
func TestReport(t *testing.T) {
	for seed := range uint64(300) {
		g := gen{rand.New(rand.NewPCG(seed, 14))}
		native := pick(g, []Arch{AMD64, ARM64, RISCV64})
		holdReport(t, g, g.spec(native), native, seed)
	}
}

func holdReport(t *testing.T, g gen, spec Spec, native Arch, seed uint64) {
	t.Helper()
	plain, err := Compile(spec, native)
	if err != nil {
		return // TestRandomSpecs checks errors
	}
	spec.Report = true
	report, err := Compile(spec, native)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	arches := append([]Arch{native}, spec.Foreign...)
	for range 400 {
		abi := pick(g, arches)
		d := Data{Nr: int32(g.IntN(480)), Arch: abi.Audit(), Args: g.args()}
		if abi == X32 {
			d.Nr |= X32Bit
		}
		want, got := plain.Action(&d), report.Action(&d)
		if got == (Action{Kind: Notify}) && want.Kind == Errno {
			continue
		}
		if got != want {
			t.Fatalf("seed %d: %+v: %v, without reports %v", seed, d, got, want)
		}
	}
}

func TestReported(t *testing.T) {
	errno := func(n uint16) Action { return Action{Errno, n} }
	notify := Action{Kind: Notify}
	rules := []Rule{{Call: "clone3", Expr: "errno(ENOSYS)"}, {Call: "socket", Expr: "family == AF_UNIX", Else: errno(97)}, {Call: "ioctl", Expr: "cmd == 1"}}
	tests := []struct {
		name string
		spec Spec
		call string
		want Action
	}{
		{"not allowed", Spec{}, "mount", notify},
		{"denied", Spec{Deny: []Item{{Name: "@mount"}}}, "mount", notify},
		{"denied where the rest is allowed", Spec{Default: Action{Kind: Allow}, Deny: []Item{{Name: "mount"}}}, "mount", notify},
		{"a rule's own errno", Spec{Rules: rules}, "socket", notify},
		{"a rule without one", Spec{Rules: rules}, "ioctl", notify},
		{"not there", Spec{Rules: rules}, "clone3", errno(38)},
		{"not there by default", Spec{Default: errno(38), Rules: rules}, "mount", notify},
		{"the launcher's own, not allowed", Spec{Own: "execve"}, "execve", errno(1)},
		{"the launcher's own, denied", Spec{Own: "execve", Deny: []Item{{Name: "execve"}}}, "execve", errno(1)},
		{"the launcher's own, by a rule", Spec{Own: "execveat", Rules: []Rule{{Call: "execveat", Expr: "nonce == 1"}}}, "execveat", errno(1)},
		{"beside the launcher's own", Spec{Own: "execveat"}, "execve", notify},
		{"killed", Spec{Default: Action{Kind: Kill}}, "mount", Action{Kind: Kill}},
		{"allowed", Spec{Allow: []Item{{Name: "mount"}}}, "mount", Action{Kind: Allow}},
		{"logged", Spec{Default: Action{Kind: Log}}, "mount", Action{Kind: Log}},
	}
	for _, tt := range tests {
		tt.spec.Report = true
		p, err := Compile(tt.spec, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		nr, _ := Number(AMD64, tt.call)
		if got := p.Action(&Data{Nr: int32(nr), Arch: AMD64.Audit(), Args: [6]uint64{9, 9, 9, 9, 9, 9}}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if got := p.Action(&Data{Nr: 9999, Arch: AMD64.Audit()}); got != errno(38) {
			t.Errorf("%s: an unknown number: %v", tt.name, got)
		}
	}
}

// TestAudited checks the filter of an audit. It must allow what the profile's filter allows, notify the auditor of
// everything else, and deny nothing.
func TestAudited(t *testing.T) {
	for _, spec := range []Spec{
		{},
		{Default: Action{Kind: Kill}, Allow: []Item{{Name: "read"}}},
		{Default: Action{Errno, enosys}, Unknown: Action{Kind: Trap}, Allow: []Item{{Name: "@file-system"}}},
		{Default: Action{Kind: Allow}, Deny: []Item{{Name: "@mount"}}, Foreign: []Arch{I386}},
		{Rules: []Rule{{Call: "clone3", Expr: "errno(ENOSYS)"}, {Call: "socket", Expr: "family == AF_UNIX", Else: Action{Errno, 97}}, {Call: "ioctl", Expr: "kill"}}},
	} {
		plain, err := Compile(spec, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		spec.Audit = true
		audit, err := Compile(spec, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		for _, abi := range []Arch{AMD64, I386, ARM64} {
			for nr := range int32(600) {
				for _, arg := range []uint64{0, 1, 2} {
					d := Data{Nr: nr, Arch: abi.Audit(), Args: [6]uint64{arg}}
					want := plain.Action(&d)
					if !want.Passes() && (want != Action{Errno, enosys} || spec.Default == want) {
						want = Action{Kind: Notify}
					}
					if got := audit.Action(&d); got != want {
						t.Fatalf("%+v: call %d(%d) of %v: %v, want %v", spec, nr, arg, abi, got, want)
					}
				}
			}
		}
	}
}
