package filter

import (
	"strconv"

	"cordon/policy/filter/tables"
)

// Explain says what the Spec decides for one call, and which of its items or rules decide. The error is an Errors.
func Explain(spec Spec, arch Arch, d Data) (Verdict, error) {
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return Verdict{}, err
	}
	v := c.explain(&d)
	if len(c.errs) > 0 {
		return Verdict{}, c.errs
	}
	return v, nil
}

// Expected reports whether a quiet rule denies the call: the rule's condition is false, or the rule fixes an action
// that denies the call. It makes no difference whether something else also denies the call.
func Expected(spec Spec, arch Arch, d Data) bool {
	s := Spec{Default: Action{Kind: Allow}, Unknown: Action{Kind: Allow}, Foreign: spec.Foreign}
	for _, r := range spec.Rules {
		if r.Quiet {
			s.Rules = append(s.Rules, r)
		}
	}
	if len(s.Rules) == 0 {
		return false
	}
	v, err := Explain(s, arch, d)
	return err == nil && !v.Action.Passes()
}

func (c *compiler) explain(d *Data) Verdict {
	nr := uint32(d.Nr)
	abi := c.abiOf(d.Arch)
	switch {
	case abi == NoArch:
		return Verdict{Action: Action{Kind: Kill}, Why: "a call of another architecture", By: ByArch}
	case abi == AMD64 && nr >= X32Bit && nr != 1<<32-1:
		if !c.x32 {
			return Verdict{Action: Action{Kind: Kill}, Why: "a call of the x32 ABI", By: ByArch}
		}
		abi, nr = X32, nr-X32Bit
	}
	id := numberID(abi, nr)
	if id == noCall {
		return Verdict{Action: c.unknown, Why: "number " + strconv.Itoa(int(int32(nr))) + " is in no table", By: ByUnknown}
	}
	c.abi = abi
	v := c.explainCall(id, d)
	v.Call = tables.CallNames[id]
	return v
}

// abiOf returns the architecture of an audit value, or NoArch if the Spec does not have this architecture.
func (c *compiler) abiOf(audit uint32) Arch {
	if audit == c.arch.Audit() {
		return c.arch
	}
	for _, a := range c.spec.Foreign {
		if a != X32 && a.Audit() == audit {
			return a
		}
	}
	return NoArch
}

func (c *compiler) explainCall(id uint16, d *Data) Verdict {
	allow := c.naming(c.spec.Allow, id, false)
	switch {
	case c.deny.Has(id):
		from := c.naming(c.spec.Deny, id, true)
		return Verdict{Action: c.denied, From: froms(from), Why: "denied by " + names(from), By: ByDeny}
	case (c.ruled.Has(id) || c.allow.Has(id) || c.deflt.Passes()) && c.closed(id):
		return Verdict{Action: c.denied, From: froms(allow), Why: "would be a way round the decision on the calls that it stands for", By: ByMultiplexer}
	case c.ruled.Has(id):
		return c.explainRules(id, d)
	case c.allow.Has(id):
		return Verdict{Action: Action{Kind: Allow}, From: froms(allow), Why: "allowed by " + names(allow), By: ByAllow}
	}
	return Verdict{Action: c.deflt, Why: "not allowed", By: ByDefault}
}

func (c *compiler) explainRules(id uint16, d *Data) Verdict {
	parts := c.parts(id)
	for i := range parts {
		if !c.eval(parts[i].cond, d) {
			return c.failed(&parts[i])
		}
	}
	return c.held(id)
}

// failed returns the verdict if p is the first part that fails.
func (c *compiler) failed(p *part) Verdict {
	index := c.rules[p.rule].index
	r := &c.spec.Rules[index]
	if r.byDefault {
		return Verdict{Action: p.other, Why: "not allowed", By: ByDefault}
	}
	v := Verdict{Action: p.other, Why: "the rule is " + p.other.String(), By: ByRule, Rules: []int{index}}
	if !c.rules[p.rule].action {
		v.Why = "not " + r.Expr
	}
	if r.From != "" {
		v.From = []string{r.From}
	}
	return v
}

// held returns the verdict if every part holds.
func (c *compiler) held(id uint16) Verdict {
	v := Verdict{Action: Action{Kind: Allow}, Why: "the rules hold", By: ByRule}
	owner := c.ruleOwner(id)
	for i := range c.rules {
		if c.rules[i].call != owner {
			continue
		}
		index := c.rules[i].index
		v.Rules = append(v.Rules, index)
		if from := c.spec.Rules[index].From; from != "" {
			v.From = append(v.From, from)
		}
	}
	return v
}

// naming lists the items that name a call, or a group with the call. With withVariants, it also lists the items that
// name a call of which this call is a variant.
func (c *compiler) naming(items []Item, id uint16, withVariants bool) (found []Item) {
	for _, it := range items {
		if c.names(it.Name, id) {
			found = append(found, it)
			continue
		}
		for i := range tables.Variants {
			if withVariants && tables.Variants[i].Other == id && c.names(it.Name, tables.Variants[i].Call) {
				found = append(found, it)
			}
		}
	}
	return found
}

func (c *compiler) names(name string, id uint16) bool {
	if g := groupIndex(name); g >= 0 {
		return tables.GroupSets[g].Has(id)
	}
	return callID(name) == id
}

func froms(items []Item) (from []string) {
	for _, it := range items {
		if it.From != "" {
			from = append(from, it.From)
		}
	}
	return from
}

func names(items []Item) string {
	s := ""
	for i, it := range items {
		if i > 0 {
			s += ", "
		}
		s += it.Name
	}
	return s
}
