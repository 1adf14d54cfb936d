// Package advice finds the flags that allow one denied system call, applies them to the profile, and says what else
// they allow. Everything that tells a user how to allow a call asks this package, so that the answers agree.
package advice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// Advice says how to allow a call.
type Advice struct {
	Flags []Flag // flags to add to the command line; empty if Note says why there are none
	Opens string // the calls that the flags allow: "socket with family AF_VSOCK, whatever the rest"
	Note  string // why the package advises no flag
}

// Flag is a flag with its value: "allow-syscall", "keyctl".
type Flag struct{ Name, Value string }

// maxRounds bounds how many obstacles to one call find tries to remove, one after the other.
const maxRounds = 8

// nothing is the note if no flag allows the call and only that call.
const nothing = "no flag was found that allows this call and no other"

// For returns the flags that would make p allow the call in q on a machine of the native architecture, and what else
// these flags would allow. It advises flags only if the filter of the profile with these flags allows the call.
func For(p *policy.Profile, native filter.Arch, q *filter.Query) Advice {
	a := &adviser{start: p, native: native, q: q}
	with, note := a.find()
	if with == nil {
		return Advice{Note: note}
	}
	return a.checked(with)
}

// Find does the same as For, but leaves Opens empty, because Opens takes a hundred times as long to compute.
func Find(p *policy.Profile, native filter.Arch, q *filter.Query) Advice {
	a := &adviser{start: p, native: native, q: q}
	with, note := a.find()
	if with == nil {
		return Advice{Note: note}
	}
	return Advice{Flags: a.flags}
}

// find collects the flags and returns the profile with them. If there are none, it returns nil and the reason.
func (a *adviser) find() (with *policy.Profile, note string) {
	with = a.start
	for range maxRounds {
		v, ok := a.ask(with)
		switch {
		case !ok:
			return nil, nothing
		case v.Action.Kind == filter.Allow && len(a.flags) > 0:
			return with, ""
		}
		if note := a.next(with, v); note != "" {
			return nil, note
		}
		over, err := Overlay(a.flags)
		if err != nil {
			return nil, nothing
		}
		with = policy.Merge(a.start, over)
	}
	return nil, nothing
}

// Overlay returns an empty profile to which the flags are applied.
func Overlay(flags []Flag) (*policy.Profile, error) {
	over := &policy.Profile{}
	for _, f := range flags {
		if err := policy.FromFlag(over, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// Words returns the flags as words of a command line.
func Words(flags []Flag) (words []string) {
	for _, f := range flags {
		words = append(words, "--"+f.Name, f.Value)
	}
	return words
}

// adviser answers one question: which flags allow this call?
type adviser struct {
	start  *policy.Profile
	native filter.Arch
	q      *filter.Query
	flags  []Flag
	looked []int // indices of the arguments that the widened rules compare
}

// ask asks the filter of a profile about the call. ok is false if the filter has no answer, or several.
func (a *adviser) ask(p *policy.Profile) (v filter.Verdict, ok bool) {
	spec, err := p.ProgramFilter()
	if err != nil || p != a.start && policy.Validate(p) != nil {
		return v, false
	}
	found, err := filter.Ask(spec, a.native, a.q)
	if err != nil || len(found) != 1 {
		return v, false
	}
	return found[0].Verdict, true
}

// once reports whether exec: once in a profile decides about the call.
func (a *adviser) once(p *policy.Profile) bool {
	return p.Syscalls.Exec == policy.ExecOnce && (a.q.Call == "execve" || a.q.Call == "execveat")
}

// next adds flags that remove the present cause of the denial, or says why no flag helps.
func (a *adviser) next(p *policy.Profile, v filter.Verdict) (note string) {
	if a.once(p) {
		a.flags = append(a.flags, Flag{"exec", "any"})
		return ""
	}
	switch v.By {
	case filter.ByDefault:
		a.flags = append(a.flags, Flag{"allow-syscall", a.q.Call})
		return ""
	case filter.ByArch:
		a.flags = append(a.flags, Flag{"arch", a.q.ABI.String()})
		return ""
	case filter.ByRule:
		return a.widen(p, v)
	case filter.ByDeny:
		return "no flag allows it: a denial holds wherever it was inherited from, and only grows. " + remover(v.From)
	case filter.ByMultiplexer:
		return "it is open only where every call that it stands for is allowed without conditions"
	}
	return "a number that no table has cannot be allowed alone; --syscall-unknown decides all of them"
}

// remover says from which files the user can remove a denial.
func remover(from []string) string {
	var inherited []string
	for _, at := range from {
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

// widen replaces every rule that denies the call by a rule that also allows exactly this call. It replaces all of these
// rules together. So each new rule compares every argument that any of the rules compares, and allows no other values
// of these arguments.
func (a *adviser) widen(p *policy.Profile, v filter.Verdict) (note string) {
	if slices.Contains(v.From, policy.SetIDPlace) {
		return setID(a.q.Call)
	}
	var failing []policy.SyscallRule
	for _, r := range p.Syscalls.Rules {
		if filter.Fails(filter.Rule{Call: r.Call, Expr: r.Expr}, a.native, a.q) {
			failing = append(failing, r)
		}
	}
	if len(failing) == 0 {
		return a.itself(p, v)
	}
	also := a.exactly(failing)
	for _, r := range failing {
		if note := a.replace(p, r, also); note != "" {
			return note
		}
	}
	return ""
}

// itself handles a call that has no rule of its own and is still denied: prctl(PR_SET_SECCOMP) follows the rules of
// seccomp, see policy.Syscalls.Filter.
func (a *adviser) itself(p *policy.Profile, v filter.Verdict) (note string) {
	if a.q.Call != "prctl" {
		return nothing
	}
	for _, x := range p.Syscalls.Deny {
		if filter.Names(x.Name, "seccomp") {
			return "prctl(PR_SET_SECCOMP) counts as seccomp, and a denial only grows. " + remover(v.From)
		}
	}
	a.flags = append(a.flags, Flag{"allow-syscall", "seccomp"})
	return ""
}

// replace removes a rule and adds a wider rule in its place. It adds no rule if the wider one would always be true.
func (a *adviser) replace(p *policy.Profile, r policy.SyscallRule, also string) (note string) {
	if strings.HasPrefix(r.Call, "@") {
		return "a rule for the whole group " + r.Call + " decides it"
	}
	a.flags = append(a.flags, Flag{"remove", "syscalls=" + r.Call + ": " + r.Expr})
	if _, err := filter.ParseAction(r.Expr); err == nil {
		return ""
	}
	wider := "(" + r.Expr + ") || " + also
	switch {
	case also == "":
		return "the arguments that the rule is about are not all known"
	case strings.Contains(r.Expr, also):
		return "the rule for " + r.Call + " cannot be widened for this call"
	case filter.Always(r.Call, wider, a.native):
		return ""
	case r.Else != "" && !onlyErrno(r.Else, p.Syscalls.Default):
		return "a flag cannot say else: " + r.Else + "; in a file the rule would be " + r.Call + ": " + wider
	}
	a.flags = append(a.flags, Flag{"rule", r.Call + ": " + wider})
	return ""
}

// onlyErrno reports whether a rule without its else action would only change the errno.
func onlyErrno(other, deflt string) bool {
	x, err := filter.ParseAction(other)
	y, errDefault := filter.ParseAction(cmp.Or(deflt, "errno(EPERM)"))
	return err == nil && errDefault == nil && x.Kind == filter.Errno && y.Kind == filter.Errno
}

// exactly returns the condition that the call's arguments satisfy, with as many arguments as any of the rules compares.
// It returns "" if one of these is unknown.
func (a *adviser) exactly(rules []policy.SyscallRule) string {
	var terms []string
	for i := range a.q.Args {
		arg := &a.q.Args[i]
		for _, name := range slices.Compact([]string{arg.Name, "reg" + strconv.Itoa(i)}) {
			if !slices.ContainsFunc(rules, func(r policy.SyscallRule) bool { return reads(r.Expr, name) }) {
				continue
			}
			if !arg.Known {
				return ""
			}
			a.looked = append(a.looked, i)
			terms = append(terms, name+" == "+spelled(a.q.Call, arg))
		}
	}
	return strings.Join(terms, " && ")
}

// reads reports whether an expression contains a name.
func reads(expr, name string) bool {
	if _, err := filter.ParseAction(expr); err == nil {
		return false
	}
	return slices.Contains(Identifiers(expr), name)
}

// Identifiers returns the names in an expression.
func Identifiers(expr string) []string {
	return strings.FieldsFunc(expr, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// spelled returns the argument as the question wrote it, if a rule can write it so; otherwise as a number.
func spelled(call string, arg *filter.QueryArg) string {
	if arg.Text != "" && arg.Text != "NULL" && filter.ParseExpr(call, arg.Name+" == "+arg.Text) == nil {
		return arg.Text
	}
	return "0x" + strconv.FormatUint(arg.Value, 16)
}

// setID says what to do if a call was denied because of set-id bits.
func setID(call string) string {
	switch call {
	case "open", "openat", "creat":
		return policy.SetIDMaking
	}
	return policy.SetIDRemedy
}
