package filter

import (
	"math/bits"
	"slices"

	"cordon/policy/filter/tables"
)

func (c *compiler) warn(msg string, from ...string) {
	for i := range c.warnings {
		if c.warnings[i].Msg == msg && slices.Equal(c.warnings[i].From, from) {
			return
		}
	}
	c.warnings = append(c.warnings, Warning{From: from, Msg: msg})
}

// warnBoth warns of calls that both Allow and Deny name.
func (c *compiler) warnBoth(word int, both uint64) {
	for ; both != 0; both &= both - 1 {
		name := tables.CallNames[word*64+bits.TrailingZeros64(both)]
		c.warn(name+" is allowed and denied: it is denied", fromOf(c.spec.Allow, name), fromOf(c.spec.Deny, name))
	}
}

func fromOf(items []Item, name string) string {
	for i := range items {
		if items[i].Name == name {
			return items[i].From
		}
	}
	return ""
}

// warnRules warns of rules that decide nothing, and of rules that contradict each other.
func (c *compiler) warnRules() {
	for i := range c.rules {
		r := &c.rules[i]
		src := &c.spec.Rules[r.index]
		switch {
		case src.Call[0] == '@':
		case c.deny.Has(r.call) && !src.Quiet:
			c.warn("the rule for "+src.Call+" has no effect: the call is denied", src.From)
		case !r.action && r.cond == refTrue:
			c.warn("the condition on "+src.Call+" always holds", src.From)
		case !r.action && r.cond == refFalse:
			c.warn("the condition on "+src.Call+" never holds", src.From)
		case r.action:
			c.warnActions(i)
		}
	}
}

func (c *compiler) warnActions(i int) {
	r := &c.rules[i]
	for j := range i {
		o := &c.rules[j]
		if o.call == r.call && o.action && o.other != r.other {
			c.warn("two actions for "+tables.CallNames[r.call]+": "+o.other.String()+" and "+r.other.String(),
				c.spec.Rules[o.index].From, c.spec.Rules[r.index].From)
		}
	}
}

// warnClosed warns of a multiplexer that Allow names although the work that it does is not allowed.
func (c *compiler) warnClosed(m *tables.Pair) {
	from, named := "", false
	for i := range c.spec.Allow {
		if c.spec.Allow[i].Name == tables.CallNames[m.Call] {
			from, named = c.spec.Allow[i].From, true
		}
	}
	if named {
		c.warn("on "+c.abi.String()+" "+tables.CallNames[m.Call]+" is denied: it would be a way round the decision on "+tables.CallNames[m.Other], from)
	}
}

// detours lists calls whose work another call can do. The other call takes the arguments behind a pointer, where a
// filter cannot check them.
var detours = [...]struct{ call, by string }{{"clone", "clone3"}, {"unshare", "clone3"}, {"open", "openat2"}, {"openat", "openat2"}}

// warnDetours warns of rules that another call can evade. Unlike multiplexers, such a call stays allowed. For example,
// a profile may use a rule on openat only against mistakes, and also allow openat2.
func (c *compiler) warnDetours() {
	for _, d := range detours {
		call, by := callID(d.call), callID(d.by)
		for i := range c.rules {
			r := &c.rules[i]
			if r.call == call && !r.action && r.cond != refTrue && !c.deny.Has(call) && c.allow.Has(by) && !c.ruled.Has(by) && !c.deny.Has(by) {
				c.warn(d.by+" leads round the rule for "+d.call+": its arguments stand behind a pointer", c.spec.Rules[r.index].From)
			}
		}
	}
}

// natives lists the ABIs for which cordon makes filters.
var natives = [...]Arch{AMD64, ARM64, RISCV64}

// CheckRule reports the errors in a rule that hold on every architecture: in its call, its expression (an *Error with
// the column) or its action. A rule that is valid only on some architectures, such as one about PROT_MTE, is an error
// when it is compiled for another architecture.
func CheckRule(r Rule) error {
	var first *Error
	for _, arch := range natives {
		c := &compiler{spec: &Spec{Rules: []Rule{r}}, arch: arch, abi: arch}
		c.settle()
		e := c.readRule(0)
		if e == nil {
			return nil
		}
		if first == nil {
			first = e
		}
	}
	first.From = r.From
	return first
}

// ParseExpr checks an expression over the arguments of call, as CheckRule does; the error is an *Error with the column.
func ParseExpr(call, expr string) error {
	id := callID(call)
	if id == noCall {
		return unknownCall(call, "")
	}
	var first *Error
	for _, arch := range natives {
		_, err := parseExpr(&conds{}, expr, id, arch)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Narrow adds rules about calls that the Spec allows with at least some arguments. It omits rules about denied calls,
// because such a rule would allow the call when its condition is true. If only a Default of log allows a call, the call
// is logged when the conditions are true.
func (s *Spec) Narrow(rules []Rule) {
	var allow, named tables.CallSet
	c := &compiler{spec: s} // used only to look up names; Compile reports unknown names
	for i := range s.Allow {
		c.item(&s.Allow[i], &allow, &named)
	}
	for i := range s.Rules {
		c.item(&Item{Name: s.Rules[i].Call}, &allow, &named)
	}
	out := make([]Rule, len(s.Rules), len(s.Rules)+len(rules))
	copy(out, s.Rules)
	for i := range rules {
		id := callID(rules[i].Call)
		passes := id != noCall && allow.Has(id)
		if passes || s.Default.Passes() {
			out = append(out, rules[i])
		}
		if !passes && s.Default.Kind == Log && !isAction(rules[i].Expr) {
			out = append(out, Rule{Call: rules[i].Call, Expr: "log", byDefault: true})
		}
	}
	s.Rules = out
}

// Lift allows calls without conditions: it drops the denials and rules about them. If a denial or an action names a
// group with such a call, it keeps the other calls of the group. from is the place in the profile that requests this.
// Names that are not calls have no effect.
func (s *Spec) Lift(calls []string, from string) {
	deny := make([]Item, 0, len(s.Deny))
	for _, x := range s.Deny {
		for _, name := range without(x.Name, calls) {
			deny = append(deny, Item{Name: name, From: x.From})
		}
	}
	rules := make([]Rule, 0, len(s.Rules))
	for i := range s.Rules {
		for _, name := range without(s.Rules[i].Call, calls) {
			r := s.Rules[i]
			r.Call = name
			rules = append(rules, r)
		}
	}
	allow := slices.Clone(s.Allow)
	for _, name := range calls {
		if callID(name) != noCall && s.Default.Kind != Allow {
			allow = append(allow, Item{Name: name, From: from})
		}
	}
	s.Deny, s.Rules, s.Allow = deny, rules, allow
}

// without returns the calls that name stands for, except those in calls. If a group contains none of calls, it stays a
// group.
func without(name string, calls []string) []string {
	if slices.Contains(calls, name) {
		return nil
	}
	if groupIndex(name) < 0 {
		return []string{name}
	}
	members := Members(name)
	rest := slices.DeleteFunc(slices.Clone(members), func(m string) bool { return slices.Contains(calls, m) })
	if len(rest) == len(members) {
		return []string{name}
	}
	return rest
}
