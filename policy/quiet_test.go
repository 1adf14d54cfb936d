package policy

import (
	"strings"
	"testing"

	"cordon/policy/filter"
)

// TestQuiet checks that rules with quiet (their denials are expected) can be read, written and merged.
func TestQuiet(t *testing.T) {
	text := "version: 1\nname: x\nsyscalls:\n  allow: [read]\n  deny: [bpf]\n  rules:\n    - quiet: true\n      else: errno(EAFNOSUPPORT)\n      socket: family == AF_UNIX\n" +
		"    - {bpf: errno(EPERM), quiet: true}\n    - {kcmp: errno(EPERM), quiet: false}\n"
	p, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	shown := string(Show(p))
	for _, want := range []string{"socket: family == AF_UNIX, else: errno(EAFNOSUPPORT), quiet: true}", "bpf: errno(EPERM), quiet: true}", "kcmp: errno(EPERM)}"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in\n%s", want, shown)
		}
	}
	again, err := Parse("y.yaml", []byte(shown))
	if err != nil || !again.Syscalls.Rules[0].Quiet || !again.Syscalls.Rules[1].Quiet || again.Syscalls.Rules[2].Quiet {
		t.Errorf("%v\n%s", err, shown)
	}
	spec, err := Merge(p, &Profile{Syscalls: Syscalls{Rules: []SyscallRule{{Call: "socket", Expr: "type != SOCK_RAW"}}}}).Filter()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		call     string
		expected bool
	}{
		{"socket(AF_INET, SOCK_STREAM, 0)", true}, {"socket(AF_UNIX, SOCK_RAW, 0)", false}, {"socket(AF_INET, SOCK_RAW, 0)", true},
		{"bpf(0, 0, 0)", true}, {"kcmp(1, 2, 3, 4, 5)", false}, {"ptrace(0, 0, 0, 0)", false},
	} {
		q, err := filter.ParseQuery(c.call, filter.AMD64)
		if err != nil {
			t.Fatal(err)
		}
		if got := filter.Expected(spec, filter.AMD64, q.Data([6]uint64{})); got != c.expected {
			t.Errorf("%s: expected %v, want %v", c.call, got, c.expected)
		}
	}
	warnings, err := filter.Lint(spec, filter.AMD64)
	for _, w := range warnings {
		if strings.Contains(w.Msg, "bpf") {
			t.Errorf("%v: %s", err, w.Msg)
		}
	}
}

// TestQuietOnNothing checks that quiet is refused on a rule whose denials a run never lists.
func TestQuietOnNothing(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"{read: allow, quiet: true}", "allow denies no call"}, {"{read: log, quiet: true}", "log denies no call"},
		{"{socket: family == AF_UNIX, else: log, quiet: true}", "log denies no call"}, {"{read: kill, quiet: true}", "a run cannot name what kill ends"},
		{"{socket: family == AF_UNIX, else: trap, quiet: true}", "a run cannot name what trap ends"}, {"{quiet: true}", "a rule names a call"},
		{"{read: errno(EPERM), quiet: 1}", "want true or false"},
	} {
		_, err := Parse("x.yaml", []byte("version: 1\nname: x\nsyscalls: {rules: ["+c.rule+"]}\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
}
