package why

// This file finds the rule of a profile that denies a system call, and the change that would allow the call.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/advice"
	"cordon/policy/filter"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
)

// Blame returns the rule of the profile that denies a call, and the change that would allow the call.
func Blame(c *compile.Compilation, name string, call *filter.Data) (rule, remedy string) {
	b := decider(c, name, call, false)
	if b.rule == "" {
		return "", ""
	}
	return fail.Said(b.rule, b.where()), cmp.Or(shellWords(advice.Words(b.flags)), b.noFlag)
}

// Expected reports whether a rule with quiet: true denies a call.
func Expected(c *compile.Compilation, call *filter.Data) bool {
	spec, err := c.Spec()
	return err == nil && filter.Expected(spec, c.Arch, *call)
}

// blamed describes the rule of a profile that decides about a call.
type blamed struct {
	rule   string // the position of the rule as text, if field at does not have it
	at     policy.Pos
	from   string        // the rule's position as text, if at does not have it
	flags  []advice.Flag // flags that would allow the call
	noFlag string        // why no flag would allow it
	opens  string        // what else the flags would allow
}

func (b *blamed) where() string { return cmp.Or(b.at.Short(), b.from) }

// decider finds the rule that decides about a call. If opens is true, it also finds what else the suggested flags would
// allow.
func decider(c *compile.Compilation, name string, call *filter.Data, opens bool) (b blamed) {
	b = decidedBy(c, name, call)
	if b.rule == "" {
		return b
	}
	ask := advice.Find
	if opens {
		ask = advice.For
	}
	found := ask(c.Profile, c.Arch, filter.QueryOf(call))
	b.flags, b.noFlag, b.opens = found.Flags, found.Note, found.Opens
	return b
}

// decidedBy does the same as decider, without the remedy.
func decidedBy(c *compile.Compilation, name string, call *filter.Data) (b blamed) {
	s := &c.Profile.Syscalls
	if s.Exec == policy.ExecOnce && (name == "execve" || name == "execveat") {
		return blamed{rule: "syscalls.exec once", at: c.Profile.Source("syscalls.exec")}
	}
	spec, err := c.Spec()
	if err != nil {
		return b
	}
	v, err := filter.Explain(spec, c.Arch, *call)
	if err != nil {
		return b
	}
	if slices.Contains(v.From, policy.SetIDPlace) {
		return blamed{rule: policy.SetIDPlace}
	}
	if item := denier(c.Profile, name); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name), at: item.Pos}
	}
	if name == "prctl" && call.Args[0] == unix.PR_SET_SECCOMP && ruleAt(c.Profile, "prctl", v.From) == nil {
		return selfDecider(c)
	}
	if r := ruleAt(c.Profile, name, v.From); r != nil {
		b.rule, b.at = "syscalls.rules "+r.Call, r.Pos
		return b
	}
	if len(v.From) > 0 { // the call is denied on a 32-bit ABI because of another call's rule
		b.rule, b.from = v.Why, strings.Join(v.From, ", ")
		return b
	}
	b.rule, b.at = "syscalls.default "+cmp.Or(s.Default, "errno(EPERM)"), c.Profile.Source("syscalls.default")
	return b
}

// selfDecider returns the rule that decides about prctl(PR_SET_SECCOMP) if no rule names prctl. The filter then treats
// the call like seccomp(2).
func selfDecider(c *compile.Compilation) (b blamed) {
	b.rule, b.at = "syscalls.default: it counts as seccomp", c.Profile.Source("syscalls.default")
	if item := denier(c.Profile, "seccomp"); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name) + ": it counts as seccomp", at: item.Pos}
	}
	if r := ruleAt(c.Profile, "seccomp", nil); r != nil {
		b.rule, b.at = "syscalls.rules seccomp: it counts as that", r.Pos
	}
	return b
}

// denier returns the item of syscalls.deny that names a call, directly or by a group. Such an item overrides all rules.
func denier(p *policy.Profile, call string) *policy.SyscallItem {
	for i := range p.Syscalls.Deny {
		if x := &p.Syscalls.Deny[i]; filter.Names(x.Name, call) {
			return x
		}
	}
	return nil
}

// ruleAt returns the rule about a call that has one of the positions in from, or the first rule about the call if rules
// have no positions.
func ruleAt(p *policy.Profile, call string, from []string) *policy.SyscallRule {
	for i := range p.Syscalls.Rules {
		r := &p.Syscalls.Rules[i]
		if filter.Names(r.Call, call) && (len(from) == 0 || slices.Contains(from, r.Pos.Short())) {
			return r
		}
	}
	return nil
}

// shellWords joins words, and quotes words for sh(1) if they need it.
func shellWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if strings.ContainsAny(w, " \t\n'\"\\$`&|<>()*?[]#~;!{}") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}
