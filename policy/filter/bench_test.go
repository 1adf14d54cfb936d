package filter

import "testing"

// dockerSpec returns a Spec similar to Docker's default profile.
func dockerSpec() Spec {
	var s Spec
	for _, n := range Members("@container") {
		s.Allow = append(s.Allow, Item{Name: n})
	}
	s.Foreign = []Arch{I386, X32}
	s.Rules = []Rule{
		{Call: "socket", Expr: "family < 3 || in(family, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45)"},
		{Call: "personality", Expr: "in(persona, 0, 8, 0x20000, 0x20008, 0xffffffff)"},
		{Call: "clone", Expr: "flags & 0x7e020000 == 0"},
		{Call: "clone3", Expr: "errno(ENOSYS)"},
	}
	return s
}

func defaultSpec() Spec {
	return Spec{
		Allow: []Item{{Name: "@system-service"}},
		Deny:  []Item{{Name: "@keyring"}, {Name: "ptrace"}},
		Rules: []Rule{
			{Call: "socket", Expr: "in(family, AF_UNIX, AF_INET, AF_INET6) && protocol != IPPROTO_MPTCP"},
			{Call: "ioctl", Expr: "uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX"},
			{Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0"},
			{Call: "clone3", Expr: "errno(ENOSYS)"},
		},
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, s := range []struct {
		name string
		spec Spec
	}{{"docker", dockerSpec()}, {"default", defaultSpec()}} {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := Compile(s.spec, AMD64)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(p.Insns)), "insns")
			}
		})
	}
}

func BenchmarkParseExpr(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseExpr("socket", "in(family, AF_UNIX, AF_INET, AF_INET6) && protocol != IPPROTO_MPTCP"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckRule(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckRule(Rule{Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0"}); err != nil {
			b.Fatal(err)
		}
	}
}
