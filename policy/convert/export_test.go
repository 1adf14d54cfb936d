package convert

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/profiles"
)

func shipped(t testing.TB, name string) *policy.Profile {
	p, err := profiles.Search{}.Load([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shippedNames() (names []string) {
	for _, i := range (profiles.Search{}).List() {
		names = append(names, i.Name)
	}
	return names
}

// noted reports whether the notes say anything about a call except that its rule is exact.
func noted(res *Result, call string) bool {
	return slices.ContainsFunc(res.Notes, func(n Note) bool {
		rule, _, _ := strings.Cut(n.Rule, ":")
		return n.Class != Exact && (canonical(rule) == call || slices.Contains(filter.Members(rule), call))
	})
}

// roundTrip exports a profile and imports the result. The two profiles must decide every call with all arguments alike,
// if the notes say that the rule is exact.
func roundTrip(t *testing.T, p *policy.Profile, arch filter.Arch, format Format) {
	t.Helper()
	res, err := Export(p, ExportOptions{Format: format, Arch: arch})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Import("f.json", res.Text, Target{Arch: arch, Kernel: Kernel{6, 18}}, ImportOptions{Bare: true})
	if err != nil {
		if strings.Contains(err.Error(), "the kernel takes") {
			return // the masks would need too many cases
		}
		t.Fatalf("%v\n%s", err, res.Text)
	}
	q, err := policy.Parse("back", back.Text)
	if err != nil {
		t.Fatal(err)
	}
	q.Capabilities = p.Capabilities // the capabilities decide on set-id bits, and the format does not contain them
	a, b := decisions(t, p, arch), decisions(t, q, arch)
	for i := range a {
		if !reflect.DeepEqual(a[i], b[i]) && !noted(res, a[i].Call) && !noted(back, a[i].Call) {
			t.Fatalf("%s: %+v\nback: %+v\n%v\n%s", arch, a[i], b[i], inexact(res), back.Text)
		}
		tighter(t, p, q, &a[i], &b[i], res, back)
	}
}

// tighter checks that the exported profile allows nothing more than the original, unless a note says wider.
func tighter(t *testing.T, p, q *policy.Profile, a, b *filter.Decision, res, back *Result) {
	t.Helper()
	if res.Lossy()+back.Lossy() > 0 || reflect.DeepEqual(a, b) {
		return
	}
	g := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var args [6]uint64
		k := b.Cases[g.IntN(len(b.Cases))]
		for i := range args {
			args[i] = g.Uint64()&^k.Args[i].Mask | k.Args[i].Value
		}
		if holding(b, &args).Passes() && !holding(a, &args).Passes() {
			t.Fatalf("%s passes for %#x and did not: %v", a.Call, args, inexact(res))
		}
	}
}

func holding(d *filter.Decision, args *[6]uint64) filter.Action {
	for i := range d.Cases {
		if holds(&d.Cases[i], args) {
			return d.Cases[i].Action
		}
	}
	panic("no case")
}

func TestRoundTripOfShipped(t *testing.T) {
	for _, name := range shippedNames() {
		for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
			p := shipped(t, name)
			p.Syscalls.Exec = policy.ExecAny // TestExportExec tests this key
			roundTrip(t, p, arch, OCI)
			roundTrip(t, p, arch, Docker)
			res, err := Export(p, ExportOptions{Format: Kubernetes, Arch: arch})
			if err != nil || res.Lossy() > 0 {
				t.Errorf("%s: %v, %v", name, err, inexact(res))
			}
			for _, r := range p.Syscalls.Rules { // the format can express all rules of the shipped profiles
				if noted(res, r.Call) {
					t.Errorf("%s: %s: %v", name, r.Call, inexact(res))
				}
			}
		}
	}
}

// random returns a profile with a random syscalls section.
func random(g *rand.Rand) (*policy.Profile, filter.Arch) {
	pick := func(s ...string) string { return s[g.IntN(len(s))] }
	calls, groups := filter.Calls(), filter.Groups()
	arch := []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64}[g.IntN(3)]
	p := &policy.Profile{}
	s := &p.Syscalls
	s.Default = pick("", "allow", "errno(EPERM)", "errno(ENOSYS)", "kill", "kill-thread", "log", "trap(3)")
	s.Unknown = pick("", "errno(ENOSYS)", "kill", "allow")
	for _, a := range []filter.Arch{filter.I386, filter.ARM, filter.X32} {
		if arch.Hosts(a) && g.IntN(2) == 0 {
			s.Arches = append(s.Arches, a.String())
		}
	}
	item := func() policy.SyscallItem {
		if g.IntN(3) == 0 {
			return policy.SyscallItem{Name: groups[g.IntN(len(groups))]}
		}
		return policy.SyscallItem{Name: calls[g.IntN(len(calls))]}
	}
	for range g.IntN(8) {
		s.Allow = append(s.Allow, item())
	}
	for range g.IntN(4) {
		s.Deny = append(s.Deny, item())
	}
	for range g.IntN(6) {
		r := policy.SyscallRule{Call: calls[g.IntN(len(calls))]}
		if g.IntN(3) == 0 {
			r.Expr = pick("allow", "errno(ENOSYS)", "kill", "log", "trap", "errno(7)")
		} else {
			r.Expr = expression(g, r.Call)
			r.Else = pick("", "", "errno(ENOSYS)", "kill", "log")
		}
		one := policy.Syscalls{Arches: s.Arches, Rules: []policy.SyscallRule{r}}
		if spec, err := one.Filter(); err == nil {
			if _, err := filter.Compile(spec, arch); err == nil {
				s.Rules = append(s.Rules, r)
			}
		}
	}
	return p, arch
}

func expression(g *rand.Rand, call string) string {
	name := fmt.Sprintf("reg%d", g.IntN(6))
	if args := filter.Args(call); len(args) > 0 && g.IntN(3) > 0 {
		name = args[g.IntN(len(args))]
	}
	v := []uint64{0, 1, 2, 8, 0x10, 0xff, 0x541b, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1<<32 + 7, 1 << 63, g.Uint64() >> g.IntN(64)}
	n := func() uint64 { return v[g.IntN(len(v))] }
	atom := []string{
		fmt.Sprintf("%s == %#x", name, n()), fmt.Sprintf("%s != %#x", name, n()), fmt.Sprintf("%s & %#x == 0", name, n()),
		fmt.Sprintf("uint32(%s) != %#x", name, uint32(n())), fmt.Sprintf("in(%s, %#x, %#x, 3)", name, n(), n()),
		fmt.Sprintf("reg1 < %#x", n()), fmt.Sprintf("reg0 >= %#x", n()), "reg0 == reg1", fmt.Sprintf("uint8(reg2) > %d", uint8(n())),
	}[g.IntN(9)]
	switch g.IntN(5) {
	case 0:
		return "(" + atom + ") && " + expression(g, call)
	case 1:
		return "!(" + atom + ") || " + expression(g, call)
	}
	return atom
}

func TestRoundTripOfRandom(t *testing.T) {
	n := uint64(150)
	if testing.Short() {
		n = 40
	}
	for seed := range n {
		g := rand.New(rand.NewPCG(seed, 5))
		p, arch := random(g)
		roundTrip(t, p, arch, OCI)
		unit(t, p, arch, g.IntN(2) == 0)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := rand.New(rand.NewPCG(seed, 6))
		p, arch := random(g)
		roundTrip(t, p, arch, Docker)
		unit(t, p, arch, g.IntN(2) == 0)
	})
}

// unit exports a profile, reads the lines as systemd.exec(5) describes them, and compares their effect with the
// profile.
func unit(t *testing.T, p *policy.Profile, arch filter.Arch, lossy bool) {
	t.Helper()
	res, err := Export(p, ExportOptions{Format: Systemd, Arch: arch, Lossy: lossy})
	if err != nil {
		t.Fatal(err)
	}
	killed := filter.Action{Kind: filter.Kill}
	number, open := killed, true
	of := map[string]filter.Action{}
	parse := func(s string) filter.Action {
		if s == "kill" {
			return killed
		}
		a, err := filter.ParseAction("errno(" + s + ")")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for l := range strings.Lines(string(res.Text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(l), "=")
		names, refused := strings.CutPrefix(value, "~")
		switch key {
		case "SystemCallErrorNumber":
			number = parse(value)
		case "SystemCallFilter":
			open = open && refused
			for n := range strings.FieldsSeq(names) {
				call, errno, _ := strings.Cut(n, ":")
				of[call] = filter.Action{Kind: filter.Allow}
				if refused {
					of[call] = parse(errno)
				}
			}
		}
	}
	for _, d := range decisions(t, p, arch) {
		got, said := of[d.Call]
		if !said && open {
			got = filter.Action{Kind: filter.Allow}
		} else if !said {
			got = number
		}
		for _, k := range d.Cases {
			was := k.Action
			same := got.Passes() == was.Passes() && (was.Passes() || got == was || !systemdExact(was))
			widened := got.Passes() && !was.Passes()
			if !same && !noted(res, d.Call) && !(p.Syscalls.Default == "log") || widened && res.Lossy() == 0 {
				t.Fatalf("%s: %v in the unit, %v in the profile\n%v\n%s", d.Call, got, was, inexact(res), res.Text)
			}
		}
	}
}

func TestExport(t *testing.T) {
	p := &policy.Profile{Syscalls: policy.Syscalls{
		Allow: []policy.SyscallItem{{Name: "read"}, {Name: "@keyring"}},
		Deny:  []policy.SyscallItem{{Name: "keyctl"}},
		Rules: []policy.SyscallRule{
			{Call: "ioctl", Expr: "reg1 != 0x5412", Pos: policy.Pos{File: "p.yaml", Line: 7}},
			{Call: "socket", Expr: "family == AF_UNIX"},
			{Call: "clone3", Expr: "errno(ENOSYS)"},
			{Call: "mmap", Expr: "prot & PROT_EXEC == 0", Else: "kill"},
		},
	}}
	res, err := Export(p, ExportOptions{Format: Docker, Arch: filter.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	var got ociProfile
	if err := json.Unmarshal(res.Text, &got); err != nil {
		t.Fatal(err)
	}
	num := func(n uint16) *uint16 { return &n }
	want := ociProfile{
		DefaultAction: "SCMP_ACT_ERRNO", DefaultErrnoRet: num(1), ArchMap: []ociHost{{"SCMP_ARCH_X86_64", []string{}}},
		Syscalls: []ociEntry{
			{Names: []string{"add_key", "read", "request_key"}, Action: "SCMP_ACT_ALLOW"},
			{Names: []string{"clone3"}, Action: "SCMP_ACT_ERRNO", ErrnoRet: num(38)},
			{Names: []string{"ioctl"}, Action: "SCMP_ACT_ALLOW", Args: []ociArg{{1, 0x5412, 0, "SCMP_CMP_NE"}}, Comment: "p.yaml:7"},
			{Names: []string{"mmap"}, Action: "SCMP_ACT_ALLOW", Args: []ociArg{{2, 4, 0, "SCMP_CMP_MASKED_EQ"}}},
			{Names: []string{"mmap"}, Action: "SCMP_ACT_KILL_PROCESS", Args: []ociArg{{2, 4, 4, "SCMP_CMP_MASKED_EQ"}}},
			{Names: []string{"socket"}, Action: "SCMP_ACT_ALLOW", Args: []ociArg{{0, 0xffffffff, 1, "SCMP_CMP_MASKED_EQ"}}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s", res.Text)
	}
}

func TestExportSystemd(t *testing.T) {
	p := &policy.Profile{Syscalls: policy.Syscalls{
		Default: "kill", Arches: []string{"native", "i386"},
		Allow: []policy.SyscallItem{{Name: "@default"}, {Name: "read"}, {Name: "write"}},
		Rules: []policy.SyscallRule{{Call: "clone3", Expr: "errno(ENOSYS)"}, {Call: "socket", Expr: "family == AF_UNIX"}},
	}}
	res, err := Export(p, ExportOptions{Format: Systemd, Arch: filter.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SystemCallArchitectures=native x86\n", "\nSystemCallFilter=~clone3:ENOSYS\n"} {
		if !strings.Contains(string(res.Text), want) {
			t.Errorf("no %q in\n%s", want, res.Text)
		}
	}
	if res.Lossy() != 1 || strings.Contains(string(res.Text), " socket") {
		t.Errorf("%v\n%s", inexact(res), res.Text)
	}
	if res, _ = Export(p, ExportOptions{Format: Systemd, Arch: filter.AMD64, Lossy: true}); !strings.Contains(string(res.Text), " socket") {
		t.Errorf("%s", res.Text)
	}
}

// TestExportNotes checks that every approximated rule has a note with its direction.
func TestExportNotes(t *testing.T) {
	for _, c := range []struct {
		name string
		s    policy.Syscalls
		want string
	}{
		{"numbers that nobody knows", policy.Syscalls{Default: "allow"}, "approximated wider unknown: errno(ENOSYS)"},
		{"two arguments", policy.Syscalls{Rules: []policy.SyscallRule{{Call: "dup2", Expr: "oldfd == newfd"}}}, "approximated tighter dup2: oldfd == newfd"},
		{"x32", policy.Syscalls{Arches: []string{"x32"}, Rules: []policy.SyscallRule{{Call: "kill", Expr: "reg0 == 1"}}}, "approximated wider kill: reg0 == 1"},
		{"socketcall", policy.Syscalls{Arches: []string{"i386"}, Allow: []policy.SyscallItem{{Name: "socketcall"}}}, "approximated wider socketcall"},
		{"high halves", policy.Syscalls{Arches: []string{"i386"}, Rules: []policy.SyscallRule{{Call: "kill", Expr: "reg0 > 5"}}}, "approximated tighter kill: reg0 > 5"},
	} {
		res, err := Export(&policy.Profile{Syscalls: c.s}, ExportOptions{Format: OCI, Arch: filter.AMD64})
		if err != nil || !slices.Contains(inexact(res), c.want) {
			t.Errorf("%s: %v, %q", c.name, err, inexact(res))
		}
	}
	_, err := Export(&policy.Profile{Syscalls: policy.Syscalls{Arches: []string{"i386"}}}, ExportOptions{Format: OCI, Arch: filter.ARM64})
	if err == nil {
		t.Error("i386's calls on arm64")
	}
}

// TestExportExec checks `exec: once`, which a filter alone cannot enforce. Every format must have a note about it, and
// Export must need the user's consent.
func TestExportExec(t *testing.T) {
	section := func(s policy.Syscalls) *policy.Profile {
		s.Exec = policy.ExecOnce
		return &policy.Profile{Syscalls: s}
	}
	item := func(names ...string) (list []policy.SyscallItem) {
		for _, n := range names {
			list = append(list, policy.SyscallItem{Name: n})
		}
		return list
	}
	for _, c := range []struct {
		name    string
		profile *policy.Profile
		effect  Effect
		how     string
	}{
		{"strict", shipped(t, "strict"), Wider, "execve must pass"},
		{"both", section(policy.Syscalls{Allow: item("execve", "execveat")}), Wider, "execve and execveat must pass"},
		{"all that is not denied", section(policy.Syscalls{Default: "log", Deny: item("execve")}), Wider, "execveat must pass"},
		{"by a rule", section(policy.Syscalls{Rules: []policy.SyscallRule{{Call: "execveat", Expr: "flags == 0"}}}), Wider, "execveat must pass"},
		{"neither", section(policy.Syscalls{Allow: item("read")}), Tighter, "no program can be started"},
	} {
		for _, format := range Formats() {
			for _, lossy := range []bool{false, true} {
				res, err := Export(c.profile, ExportOptions{Format: Format(format), Arch: filter.AMD64, Lossy: lossy})
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(res.Notes, func(n Note) bool { return n.At == "syscalls.exec" })
				if i < 0 || res.Lossy() == 0 {
					t.Errorf("%s, %s: %d rules lost, not exec: %v", c.name, format, res.Lossy(), inexact(res))
				} else if n := res.Notes[i]; n.Class != Dropped || n.Effect != c.effect || !strings.Contains(n.How, c.how) || n.Pos != c.profile.Source("syscalls.exec") {
					t.Errorf("%s, %s: %+v", c.name, format, n)
				}
			}
		}
	}
}

// TestExportSaysAll changes one key of the section after the other. If the key affects the decision about calls, the
// change must be in the exported text or in a note.
func TestExportSaysAll(t *testing.T) {
	change := map[string]func(*policy.Syscalls){
		"Default": func(s *policy.Syscalls) { s.Default = "errno(EACCES)" },
		"Unknown": func(s *policy.Syscalls) { s.Unknown = "kill" },
		"Arches":  func(s *policy.Syscalls) { s.Arches = []string{"native", "i386"} },
		"Allow":   func(s *policy.Syscalls) { s.Allow = []policy.SyscallItem{{Name: "read"}, {Name: "write"}} },
		"Deny":    func(s *policy.Syscalls) { s.Deny = []policy.SyscallItem{{Name: "read"}} },
		"Rules":   func(s *policy.Syscalls) { s.Rules = []policy.SyscallRule{{Call: "socket", Expr: "allow"}} },
		"Exec":    func(s *policy.Syscalls) { s.Exec = policy.ExecOnce },
	}
	for _, format := range Formats() {
		export := func(s policy.Syscalls) string {
			res, err := Export(&policy.Profile{Syscalls: s}, ExportOptions{Format: Format(format), Arch: filter.AMD64})
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%s%v", res.Text, inexact(res))
		}
		before := policy.Syscalls{Allow: []policy.SyscallItem{{Name: "read"}}}
		for f := range reflect.TypeFor[policy.Syscalls]().Fields() {
			after := before
			if change[f.Name] == nil {
				t.Fatalf("syscalls has a key %s: what do the formats make of it?", f.Name)
			}
			change[f.Name](&after)
			if export(before) == export(after) {
				t.Errorf("%s: nothing says that there is %s", format, f.Name)
			}
		}
	}
}

// holds reports whether the case applies to the arguments.
func holds(k *filter.Case, args *[6]uint64) bool {
	for i := range args {
		if args[i]&k.Args[i].Mask != k.Args[i].Value {
			return false
		}
	}
	return true
}
