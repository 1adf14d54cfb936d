package main

// The flags that would allow a call, found by trying them.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// maxFixes is how many rules are replaced before it is given up.
const maxFixes = 8

// fix looks for the flags that allow the call, and tries them: as many times as something else denies it then.
func (w *syscallWhy) fix(v *filter.Verdict) *fix {
	none := &fix{Note: "no flag was found that allows this call and no other"}
	var fields []fieldValue
	now, profile := *v, w.profile
	for range maxFixes {
		more, note := w.next(profile, &now, len(fields) > 0)
		if note != "" {
			return &fix{Note: note}
		}
		fields = append(fields, more...)
		over, err := overlay(fields)
		if err != nil {
			return none
		}
		profile = policy.Merge(w.profile, over)
		spec, err := profile.ProgramFilter()
		if policy.Validate(profile) != nil || err != nil {
			return none
		}
		found, err := filter.Ask(spec, w.native, w.q)
		if err != nil || len(found) > 1 {
			return none
		}
		if now = found[0].Verdict; now.Action.Kind == filter.Allow {
			yaml := string(policy.Show(bare(over)))
			if w.once() && len(fields) == 1 { // any is the zero value, which is not shown
				yaml = "syscalls: {exec: any}\n"
			}
			return &fix{Flags: flagWords(fields), YAML: yaml}
		}
	}
	return none
}

// next is what to change first, or why nothing helps.
func (w *syscallWhy) next(p *policy.Profile, v *filter.Verdict, tried bool) (fields []fieldValue, note string) {
	if w.once() && p.Syscalls.Exec == policy.ExecOnce {
		return []fieldValue{{"exec", "any"}}, ""
	}
	switch v.By {
	case filter.ByDefault:
		return []fieldValue{{"allow-syscall", w.q.Call}}, ""
	case filter.ByArch:
		return []fieldValue{{"arch", w.q.ABI.String()}}, ""
	case filter.ByRule:
		return w.widen(p, v, tried)
	case filter.ByDeny:
		return nil, "no flag allows it: a denial holds wherever it was inherited from, and only grows. " + w.denier(v)
	case filter.ByMultiplexer:
		return nil, "it is open only where every call that it stands for is allowed without conditions"
	}
	return nil, "a number that no table has cannot be allowed alone; --syscall-unknown decides all of them"
}

// denier says where the denial would have to be taken out.
func (w *syscallWhy) denier(v *filter.Verdict) string {
	var inherited []string
	for _, at := range v.From {
		file, _, _ := strings.Cut(strings.TrimPrefix(at, "embedded:"), ":")
		switch {
		case strings.HasPrefix(at, "--"):
			return "Leave out " + at + "."
		case !strings.HasPrefix(at, "embedded:"):
			return "It can be taken out at " + at + "."
		case !slices.Contains(inherited, strings.TrimSuffix(file, ".yaml")):
			inherited = append(inherited, strings.TrimSuffix(file, ".yaml"))
		}
	}
	return "Write a profile that does not extend " + strings.Join(inherited, ", ") + "."
}

// widen replaces the rule that fails by one that also allows this very call.
func (w *syscallWhy) widen(p *policy.Profile, v *filter.Verdict, tried bool) (fields []fieldValue, note string) {
	if slices.Contains(v.From, policy.SetIDPlace) {
		return nil, policy.SetIDRemedy
	}
	if v.Rules[0] >= len(p.Syscalls.Rules) { // the profile has no such line: see policy.Syscalls.Filter
		if slices.ContainsFunc(p.Syscalls.Deny, func(x policy.SyscallItem) bool { return filter.Names(x.Name, "seccomp") }) {
			return nil, "prctl(PR_SET_SECCOMP) counts as seccomp, and a denial only grows. " + w.denier(v)
		}
		return []fieldValue{{"allow-syscall", "seccomp"}}, ""
	}
	r := p.Syscalls.Rules[v.Rules[0]]
	if strings.HasPrefix(r.Call, "@") {
		return nil, "a rule for the whole group " + r.Call + " decides it"
	}
	fields = []fieldValue{{"remove", "syscalls=" + r.Call + ": " + r.Expr}}
	if _, err := filter.ParseAction(r.Expr); err == nil {
		return fields, ""
	}
	also := w.exactly(r.Expr)
	if also == "" {
		return nil, "the arguments that the rule is about are not all known"
	}
	if r.Else != "" && !onlyErrno(r.Else, p.Syscalls.Default) {
		return nil, "a flag cannot say else: " + r.Else + "; in a file the rule would be " + r.Call + ": (" + r.Expr + ") || " + also
	}
	if tried && strings.Contains(r.Expr, also) {
		return nil, "the rule for " + r.Call + " cannot be widened for this call"
	}
	return append(fields, fieldValue{"rule", r.Call + ": (" + r.Expr + ") || " + also}), ""
}

// onlyErrno reports whether a rule without its other action would differ from it in the error number alone.
func onlyErrno(other, deflt string) bool {
	a, err := filter.ParseAction(other)
	b, errDefault := filter.ParseAction(cmp.Or(deflt, "errno(EPERM)"))
	return err == nil && errDefault == nil && a.Kind == filter.Errno && b.Kind == filter.Errno
}

// exactly is the condition that holds for these arguments, as far as the expression looks at them.
func (w *syscallWhy) exactly(expr string) string {
	var terms []string
	read := identifiers(expr)
	for i := range w.q.Args {
		a := &w.q.Args[i]
		for _, name := range []string{a.Name, "reg" + strconv.Itoa(i)} {
			switch {
			case !slices.Contains(read, name):
			case !a.Known:
				return ""
			default:
				terms = append(terms, name+" == "+w.spelled(a))
			}
			if a.Name == name && strings.HasPrefix(name, "reg") {
				break
			}
		}
	}
	return strings.Join(terms, " && ")
}

// spelled is the argument as it was asked about, where a rule may say the same.
func (w *syscallWhy) spelled(a *filter.QueryArg) string {
	if a.Text != "NULL" && filter.ParseExpr("read", "reg0 == "+a.Text) == nil {
		return a.Text
	}
	return "0x" + strconv.FormatUint(a.Value, 16)
}

func flagWords(fields []fieldValue) (words []string) {
	for _, f := range fields {
		words = append(words, "--"+f.name, f.value)
	}
	return words
}

// bare is a copy without the places of its values, which are flags that nobody has written.
func bare(p *policy.Profile) *policy.Profile {
	q := &policy.Profile{Network: p.Network, Limits: p.Limits, Namespaces: p.Namespaces}
	for _, x := range p.Mounts {
		x.Pos = policy.Pos{}
		q.Mounts = append(q.Mounts, x)
	}
	for _, x := range p.Capabilities.Keep {
		q.Capabilities.Keep = append(q.Capabilities.Keep, policy.Capability{Name: x.Name})
	}
	for _, x := range p.Capabilities.Ambient {
		q.Capabilities.Ambient = append(q.Capabilities.Ambient, policy.Capability{Name: x.Name})
	}
	q.Landlock = policy.Landlock{Read: barePaths(p.Landlock.Read), Write: barePaths(p.Landlock.Write), Execute: barePaths(p.Landlock.Execute)}
	for _, x := range p.Syscalls.Allow {
		q.Syscalls.Allow = append(q.Syscalls.Allow, policy.SyscallItem{Name: x.Name})
	}
	for _, x := range p.Syscalls.Rules {
		q.Syscalls.Rules = append(q.Syscalls.Rules, policy.SyscallRule{Call: x.Call, Expr: x.Expr, Else: x.Else})
	}
	for _, x := range p.Remove {
		q.Remove = append(q.Remove, policy.Removal{Section: x.Section, Value: x.Value, Expr: x.Expr})
	}
	q.Syscalls.Arches = p.Syscalls.Arches
	return q
}

func barePaths(list policy.Opt[[]policy.PathItem]) policy.Opt[[]policy.PathItem] {
	out := policy.Opt[[]policy.PathItem]{Set: list.Set}
	for _, x := range list.V {
		out.V = append(out.V, policy.PathItem{Path: x.Path})
	}
	return out
}
