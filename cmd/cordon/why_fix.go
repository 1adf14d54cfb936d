package main

// This file finds the flags that would allow a call, by trying them.

import (
	"cordon/policy"
	"cordon/policy/advice"
	"cordon/policy/filter"
)

// maxFixes bounds how many denying layers fixFor tries to overcome for one question.
const maxFixes = 8

// fix looks for flags that allow the call, tries them, and says what else they would allow.
func (w *syscallWhy) fix() *fix { return fixOf(w.profile, w.native, w.q) }

// fixOf returns the advice about a call that a profile denies.
func fixOf(p *policy.Profile, native filter.Arch, q *filter.Query) *fix {
	a := advice.For(p, native, q)
	over, err := advice.Overlay(a.Flags)
	if a.Note != "" || err != nil {
		return &fix{Note: a.Note}
	}
	yaml := string(policy.Show(bare(over)))
	if len(a.Flags) == 1 && a.Flags[0].Name == "exec" { // any is the zero value of exec, which policy.Show leaves out
		yaml = "syscalls: {exec: any}\n"
	}
	return &fix{Flags: advice.Words(a.Flags), YAML: yaml, Also: a.Opens}
}

func flagWords(fields []fieldValue) (words []string) {
	for _, f := range fields {
		words = append(words, "--"+f.name, f.value)
	}
	return words
}

// bare returns a copy of a profile without positions, because its values come from flags that the user has not typed.
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
