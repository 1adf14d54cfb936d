package filter

import (
	"slices"
	"strings"

	"cordon/policy/filter/tables"
)

// Lint returns the warnings of Compile, and further warnings that take too long to find at a launch: rules that
// contradict each other, conditions that are always or never true, and a filter under which nothing can start. The
// error is an Errors.
func Lint(spec Spec, arch Arch) ([]Warning, error) {
	p, err := Compile(spec, arch)
	if err != nil {
		return nil, err
	}
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return nil, err
	}
	c.warnings = p.Warnings
	c.lintConditions()
	c.lintStart()
	return c.warnings, nil
}

// lintConditions checks the conditions of each call, in the order of the Spec.
func (c *compiler) lintConditions() {
	for i := range c.rules {
		r := &c.rules[i]
		if r.action || c.deny.Has(r.call) || r.cond < refNodes {
			continue
		}
		src := &c.spec.Rules[r.index]
		switch {
		case !c.possible(r.cond):
			c.warn("the condition on "+src.Call+" never holds", src.From)
		case !c.possible(c.not(r.cond)):
			c.warn("the condition on "+src.Call+" always holds", src.From)
		}
		for j := range i {
			if o := &c.rules[j]; o.call == r.call {
				c.lintPair(o, r)
			}
		}
		c.lintAfter(i)
	}
}

// lintPair compares a condition r with an earlier action or condition o on the same call.
func (c *compiler) lintPair(o, r *rule) {
	call := tables.CallNames[r.call]
	from := []string{c.spec.Rules[o.index].From, c.spec.Rules[r.index].From}
	switch {
	case o.action && o.cond == refFalse:
		c.warn("the condition on "+call+" has no effect: its action is always "+o.other.String(), from...)
	case !o.action && c.possible(o.cond) && c.possible(r.cond) && !c.possible(c.join(nodeAnd, o.cond, r.cond)):
		c.warn("the rules for "+call+" contradict each other: no argument satisfies both", from...)
	}
}

// lintAfter checks actions that come after the condition at index i.
func (c *compiler) lintAfter(i int) {
	r := &c.rules[i]
	for j := i + 1; j < len(c.rules); j++ {
		if o := &c.rules[j]; o.call == r.call && o.action && o.cond == refFalse && !overrides(c.spec.Rules[o.index].From, c.spec.Rules[r.index].From) {
			c.warn("the condition on "+tables.CallNames[r.call]+" has no effect: its action is always "+o.other.String(),
				c.spec.Rules[r.index].From, c.spec.Rules[o.index].From)
		}
	}
}

// overrides reports whether two rules come from different files. If so, the later file overrides an inherited rule on
// purpose, and no warning is needed.
func overrides(own, inherited string) bool {
	file := func(from string) string { return from[:max(0, strings.LastIndexByte(from, ':'))] }
	return file(own) != file(inherited)
}

// maxSteps limits the steps of the search for a contradiction.
const maxSteps = 20000

// possible reports whether some arguments satisfy r. False is certain; true may also mean unknown.
func (c *conds) possible(r ref) bool {
	s := solver{conds: c, steps: maxSteps}
	return s.solve([]ref{r}, nil)
}

// solver looks for values that satisfy conditions. It keeps a range for each view (an argument with a mask). Two masks
// of one argument are two views, so the solver does not find a contradiction between them.
type solver struct {
	*conds
	steps int
}

// bound is a range for the value of a view.
type bound struct {
	v      view
	lo, hi uint32
}

func (s *solver) solve(all []ref, bounds []bound) bool {
	if s.steps--; s.steps < 0 || len(all) == 0 {
		return true
	}
	r, rest := all[len(all)-1], all[:len(all)-1:len(all)-1]
	switch r {
	case refTrue:
		return s.solve(rest, bounds)
	case refFalse:
		return false
	}
	n := *s.at(r)
	switch n.kind {
	case nodeAnd:
		return s.solve(append(rest, n.b, n.a), bounds)
	case nodeOr, nodePair:
		return s.solve(append(rest, n.a), bounds) || s.solve(append(rest, n.b), bounds)
	}
	cases := s.casesOf(&n)
	for i, k := range cases {
		b := bound{n.v, k.lo, 1<<32 - 1}
		if i+1 < len(cases) {
			b.hi = cases[i+1].lo - 1
		}
		if k.to == refFalse {
			continue
		}
		for _, o := range bounds {
			if o.v == b.v {
				b.lo, b.hi = max(b.lo, o.lo), min(b.hi, o.hi)
			}
		}
		if b.lo <= b.hi && s.solve(append(rest, k.to), append(bounds[:len(bounds):len(bounds)], b)) {
			return true
		}
	}
	return false
}

// needs lists calls without which nothing can start or end. A program needs one call of each line.
var needs = [...]struct{ calls, without string }{
	{"execve execveat", "the launcher's own execve runs under the filter, so nothing can start"},
	{"exit_group exit", "a program cannot end but by a signal"},
	{"rt_sigreturn sigreturn", "a program does not survive the first signal that it handles"},
}

// lintStart warns if the filter denies a call that the launch or every program needs.
func (c *compiler) lintStart() {
	c.abi = c.arch
	for _, n := range needs {
		var from []string
		open := false
		first, second := cutName(n.calls)
		for _, name := range []string{first, second} {
			id := callID(name)
			if _, ok := Number(c.arch, name); !ok {
				continue
			}
			open = open || c.mayPass(id)
			d := Data{}
			for _, at := range c.explainCall(id, &d).From {
				if !slices.Contains(from, at) {
					from = append(from, at)
				}
			}
		}
		if !open {
			c.warnHint(first+" is not allowed: "+n.without, "syscalls: {allow: ["+first+"]}, and no deny or rule against it", from...)
		}
	}
}

func cutName(s string) (first, second string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// mayPass reports whether the filter allows a call with some arguments. True may also mean unknown.
func (c *compiler) mayPass(id uint16) bool {
	switch {
	case c.deny.Has(id):
		return false
	case !c.ruled.Has(id):
		return c.allow.Has(id) || c.deflt.Passes()
	}
	for _, p := range c.parts(id) {
		if !p.other.Passes() && !c.possible(p.cond) {
			return false
		}
	}
	return true
}

func (c *compiler) warnHint(msg, hint string, from ...string) {
	c.warn(msg, from...)
	c.warnings[len(c.warnings)-1].Hint = hint
}
