package filter

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	run := items("execve", "exit_group", "rt_sigreturn", "socket", "kill")
	for i := range run {
		run[i].From = ""
	}
	two := func(call, a, b string) Spec {
		return Spec{Allow: run, Rules: []Rule{{Call: call, Expr: a, From: "p:1"}, {Call: call, Expr: b, From: "p:2"}}}
	}
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Allow: run}, ""},
		{two("socket", "family == AF_UNIX", "type == SOCK_RAW"), ""},
		{two("socket", "family == AF_UNIX", "family == AF_INET"), "the rules for socket contradict each other: no argument satisfies both [p:1 p:2]"},
		{two("socket", "family == AF_UNIX && protocol == 0", "type == 1 && in(family, AF_INET, AF_INET6)"), "the rules for socket contradict each other: no argument satisfies both [p:1 p:2]"},
		{two("socket", "family == AF_UNIX || protocol == 0", "type == 1 && in(family, AF_INET, AF_INET6)"), ""},
		{two("kill", "sig != SIGKILL", "errno(ENOSYS)"), "the condition on kill has no effect: its action is always errno(ENOSYS) [p:1 p:2]"},
		{two("kill", "errno(ENOSYS)", "sig != SIGKILL"), "the condition on kill has no effect: its action is always errno(ENOSYS) [p:1 p:2]"},
		{two("kill", "kill", "errno(ENOSYS)"), "two actions for kill: kill and errno(ENOSYS) [p:1 p:2]"},
		{two("socket", "family == AF_UNIX && type == 1 && family == AF_INET", "true"), "the condition on socket always holds [p:2]; the condition on socket never holds [p:1]"},
		{two("socket", "family != AF_UNIX || type == 1 || family != AF_INET", "type == 1"), "the condition on socket always holds [p:1]"},
		{Spec{Allow: run[1:]}, "execve is not allowed: the launcher's own execve runs under the filter, so nothing can start []"},
		{Spec{Allow: append(items("execveat"), run[1:]...)}, ""},
		{Spec{Allow: run, Deny: []Item{{"execve", "p:9"}}}, "execve is allowed and denied: it is denied [ p:9]; execve is not allowed: the launcher's own execve runs under the filter, so nothing can start [p:9]"},
		{Spec{Allow: run, Rules: []Rule{{Call: "execve", Expr: "reg5 == 0x1234567812345678"}}}, ""},
		{Spec{Allow: run, Rules: []Rule{{Call: "execve", Expr: "reg0 == 1 && reg1 == 1 && reg0 == 2", From: "p:1"}}}, "the condition on execve never holds [p:1]; execve is not allowed: the launcher's own execve runs under the filter, so nothing can start [p:1]"},
		{Spec{Allow: run, Rules: []Rule{{Call: "exit_group", Expr: "kill", From: "p:3"}}}, "exit_group is not allowed: a program cannot end but by a signal [p:3]"},
		{Spec{Default: allowed}, ""},
		{Spec{Default: allowed, Deny: items("rt_sigreturn")}, "rt_sigreturn is not allowed: a program does not survive the first signal that it handles [p.yaml:1]"},
	} {
		got, err := Lint(c.spec, AMD64)
		var texts []string
		for _, w := range got {
			texts = append(texts, w.Msg+" ["+strings.Join(w.From, " ")+"]")
			if strings.Contains(w.Msg, "is not allowed") == (w.Hint == "") {
				t.Errorf("%s: hint %q", w.Msg, w.Hint)
			}
		}
		if g := strings.Join(texts, "; "); err != nil || g != c.want {
			t.Errorf("%+v:\n  %s %v\nwant\n  %s", c.spec.Rules, g, err, c.want)
		}
	}
	if _, err := Lint(Spec{Allow: items("opem")}, AMD64); err == nil {
		t.Error("a wrong Spec passed")
	}
}

// TestPossible tries many arguments, and checks that none satisfies a condition that possible calls impossible.
func TestPossible(t *testing.T) {
	impossible := 0
	for seed := range uint64(4000) {
		g := gen{rand.New(rand.NewPCG(seed, 31))}
		call := pick(g, someCalls)
		e := g.expr(call, 2) + " && " + g.expr(call, 2)
		k := &conds{}
		r, err := parseExpr(k, e, callID(call), AMD64)
		if err != nil || r < refNodes || k.possible(r) {
			continue
		}
		impossible++
		for range 500 {
			d := Data{Args: g.args()}
			if k.eval(r, &d) {
				t.Fatalf("%s: %s holds for %#x", call, e, d.Args)
			}
		}
	}
	if impossible < 20 {
		t.Errorf("only %d impossible conditions were made", impossible)
	}
}
