package why

// Which part of a profile denies a call, and what would allow it.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
)

// Blame is the part of the profile that denies a call, and what would allow it.
func Blame(c *compile.Compilation, name string, call *filter.Data) (rule, remedy string) {
	b := decider(c, name, call)
	if b.rule == "" {
		return "", ""
	}
	return fail.Said(b.rule, b.where()), cmp.Or(shellWords(b.flags), b.noFlag)
}

// blamed is what of a profile decides a call.
type blamed struct {
	rule   string // `syscalls.deny "@keyring"`
	at     policy.Pos
	from   string   // the place, where it is none of one rule
	flags  []string // that allow it
	noFlag string   // why there are none
}

func (b *blamed) where() string { return cmp.Or(b.at.Short(), b.from) }

func decider(c *compile.Compilation, name string, call *filter.Data) (b blamed) {
	s := &c.Profile.Syscalls
	if s.Exec == policy.ExecOnce && (name == "execve" || name == "execveat") {
		return blamed{rule: "syscalls.exec once", at: c.Profile.Source("syscalls.exec"), flags: []string{"--exec", "any"}}
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
		return blamed{rule: policy.SetIDPlace, noFlag: setIDRemedy(name)}
	}
	if item := denier(c.Profile, name); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name), at: item.Pos, noFlag: denyRemedy(item)}
	}
	if name == "prctl" && call.Args[0] == unix.PR_SET_SECCOMP && ruleAt(c.Profile, "prctl", v.From) == nil {
		return selfDecider(c, call)
	}
	var allowed bool
	if b.flags, allowed = remedy(c, name, call); !allowed {
		b.noFlag = "another profile: no flag allows it"
	}
	if r := ruleAt(c.Profile, name, v.From); r != nil {
		b.rule, b.at = "syscalls.rules "+r.Call, r.Pos
		return b
	}
	if len(v.From) > 0 { // on a 32-bit ABI, for the sake of another call
		b.rule, b.from = v.Why, strings.Join(v.From, ", ")
		return b
	}
	b.rule, b.at = "syscalls.default "+cmp.Or(s.Default, "errno(EPERM)"), c.Profile.Source("syscalls.default")
	return b
}

// selfDecider is what decides prctl(PR_SET_SECCOMP) where no rule names prctl: it counts as seccomp(2).
func selfDecider(c *compile.Compilation, call *filter.Data) (b blamed) {
	b.rule, b.at = "syscalls.default: it counts as seccomp", c.Profile.Source("syscalls.default")
	if item := denier(c.Profile, "seccomp"); item != nil {
		return blamed{rule: "syscalls.deny " + strconv.Quote(item.Name) + ": it counts as seccomp", at: item.Pos, noFlag: denyRemedy(item)}
	}
	if r := ruleAt(c.Profile, "seccomp", nil); r != nil {
		b.rule, b.at = "syscalls.rules seccomp: it counts as that", r.Pos
	}
	if allow := []string{"--allow-syscall", "seccomp"}; allows(c, call, allow) {
		b.flags = allow
	} else {
		b.noFlag = "another profile: no flag allows it"
	}
	return b
}

// denier is the item of syscalls.deny that names a call, itself or by a group; it beats everything else.
func denier(p *policy.Profile, call string) *policy.SyscallItem {
	for i := range p.Syscalls.Deny {
		if x := &p.Syscalls.Deny[i]; filter.Names(x.Name, call) {
			return x
		}
	}
	return nil
}

// ruleAt is the rule about a call at one of the places that decide; the first about it where rules have no place.
func ruleAt(p *policy.Profile, call string, from []string) *policy.SyscallRule {
	for i := range p.Syscalls.Rules {
		r := &p.Syscalls.Rules[i]
		if filter.Names(r.Call, call) && (len(from) == 0 || slices.Contains(from, r.Pos.Short())) {
			return r
		}
	}
	return nil
}

// denyRemedy is about a list that only grows.
func denyRemedy(x *policy.SyscallItem) string {
	if x.Pos.Flag != "" {
		return "leave out " + x.Pos.Flag
	}
	return "a profile that does not extend " + strings.TrimPrefix(x.Pos.File, "embedded:") + ", because deny only grows"
}

// remedy finds the flags with which the profile would allow a call, by trying them: to name the call, to take the rules
// for it away, or both.
func remedy(c *compile.Compilation, name string, call *filter.Data) (flags []string, ok bool) {
	allow := []string{"--allow-syscall", name}
	var remove []string
	tries := [][]string{allow}
	for i := range c.Profile.Syscalls.Rules {
		if r := &c.Profile.Syscalls.Rules[i]; r.Call == name {
			one := []string{"--remove", "syscalls=" + r.Call + ": " + r.Expr}
			tries, remove = append(tries, one), append(remove, one...)
		}
	}
	for _, try := range append(tries, remove, slices.Concat(remove, allow)) {
		if len(try) > 0 && allows(c, call, try) {
			return try, true
		}
	}
	return nil, false
}

func allows(c *compile.Compilation, call *filter.Data, flags []string) bool {
	over := &policy.Profile{}
	for i := 0; i < len(flags); i += 2 {
		if policy.FromFlag(over, strings.TrimPrefix(flags[i], "--"), flags[i+1]) != nil {
			return false
		}
	}
	spec, err := policy.Merge(c.Profile, over).FilterOnce(c.Nonce)
	if err != nil {
		return false
	}
	v, err := filter.Explain(spec, c.Arch, *call)
	return err == nil && v.Action.Kind == filter.Allow
}

// shellWords quotes for sh(1) what needs it.
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

// setIDRemedy is what to do where a call was denied for set-id bits.
func setIDRemedy(call string) string {
	switch call {
	case "open", "openat", "creat":
		return policy.SetIDMaking
	}
	return policy.SetIDRemedy
}
