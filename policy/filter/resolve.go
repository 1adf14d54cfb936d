package filter

import "cordon/policy/filter/tables"

// newCompiler reads the Spec. It looks up every name, and parses every condition for the native ABI.
func newCompiler(spec *Spec, arch Arch) (*compiler, error) {
	w := new(struct {
		compiler
		buffers
	})
	c := &w.compiler
	c.spec, c.arch, c.abi, c.buf = spec, arch, arch, &w.buffers
	if table(arch) == nil || arch == X32 {
		return nil, Errors{{Msg: "no filter can be made for architecture " + quote(arch.String())}}
	}
	c.actions, c.segs, c.units = c.buf.actions[:0], c.buf.segs[:0], c.buf.units[:0]
	c.out = c.buf.out[:0]
	c.settle()
	c.foreign()
	var named tables.CallSet
	for i := range spec.Allow {
		c.item(&spec.Allow[i], &c.allow, &named)
	}
	c.denials(&named)
	c.readRules()
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return c, nil
}

// settle sets the defaults of unset fields.
func (c *compiler) settle() {
	c.deflt, c.unknown = c.spec.Default, c.spec.Unknown
	if c.deflt.Kind == Unset {
		c.deflt = Action{Errno, eperm}
	}
	if c.unknown.Kind == Unset {
		c.unknown = Action{Errno, enosys}
	}
	if !c.deflt.valid() {
		c.errs = append(c.errs, &Error{Msg: "impossible default action " + c.deflt.String()})
	}
	if !c.unknown.valid() {
		c.errs = append(c.errs, &Error{Msg: "impossible action for unknown calls " + c.unknown.String()})
	}
	c.denied = c.deflt
	if c.denied.Passes() {
		c.denied = Action{Errno, eperm}
	}
}

func (c *compiler) foreign() {
	for _, a := range c.spec.Foreign {
		switch {
		case a == c.arch:
		case !c.arch.Hosts(a):
			c.errs = append(c.errs, &Error{Msg: c.arch.String() + " kernels run no " + a.String() + " calls"})
		case a == X32:
			c.x32 = true
		}
	}
}

// item adds a call or a group to set. It also adds a call to named if the item names the call itself.
func (c *compiler) item(it *Item, set, named *tables.CallSet) {
	if len(it.Name) > 0 && it.Name[0] == '@' {
		if g := groupIndex(it.Name); g >= 0 {
			set.Union(&tables.GroupSets[g])
			return
		}
	} else if id := callID(it.Name); id != noCall {
		set.Add(id)
		named.Add(id)
		return
	}
	c.errs = append(c.errs, unknownCall(it.Name, it.From))
}

func unknownCall(name, from string) *Error {
	e := &Error{From: from, Msg: "unknown system call " + quote(name)}
	if len(name) > 0 && name[0] == '@' {
		e.Msg = "unknown group " + quote(name)
	}
	switch n := Suggest(name); {
	case n != "":
		e.Hint = "did you mean " + n + "?"
	case groupIndex("@"+name) >= 0:
		e.Hint = "did you mean @" + name + "?"
	}
	return e
}

// denials reads Deny. A denial of a call extends to the variants of the call on 32-bit ABIs. allowed holds the calls
// that Allow names.
func (c *compiler) denials(allowed *tables.CallSet) {
	var named tables.CallSet
	for i := range c.spec.Deny {
		c.item(&c.spec.Deny[i], &c.deny, &named)
	}
	if len(c.spec.Deny) == 0 {
		return
	}
	for i := range named {
		if both := named[i] & allowed[i]; both != 0 {
			c.warnBoth(i, both)
		}
	}
	for i := range tables.Variants {
		if c.deny.Has(tables.Variants[i].Call) {
			c.deny.Add(tables.Variants[i].Other)
		}
	}
}

// readRules looks up the calls of the rules and parses their conditions.
func (c *compiler) readRules() {
	if len(c.spec.Rules) == 0 {
		return
	}
	c.rules, c.checks, c.entries, c.tests = c.buf.rules[:0], c.buf.checks[:0], c.buf.entries[:0], c.buf.tests[:0]
	c.nodes, c.cases = c.buf.nodes[:0], c.buf.cases[:0]
	for i := range c.spec.Rules {
		if e := c.readRule(i); e != nil {
			e.From = c.spec.Rules[i].From
			c.errs = append(c.errs, e)
		}
	}
	for i := range tables.Variants {
		if v := &tables.Variants[i]; c.ruled.Has(v.Call) {
			c.ruled.Add(v.Other)
		}
	}
	c.warnRules()
	c.warnDetours()
}

func (c *compiler) readRule(i int) *Error {
	r := &c.spec.Rules[i]
	if isAction(r.Expr) {
		return c.readAction(i)
	}
	call := callID(r.Call)
	switch {
	case len(r.Call) > 0 && r.Call[0] == '@' && groupIndex(r.Call) >= 0:
		return &Error{Msg: "a condition is about one call's arguments; " + r.Call + " is a group", Hint: "a group can be given an action, such as errno(ENOSYS)"}
	case call == noCall:
		return unknownCall(r.Call, r.From)
	case r.Else.Kind != Unset && !r.Else.valid():
		return &Error{Msg: "impossible action " + r.Else.String()}
	}
	cond, err := parseExpr(&c.conds, r.Expr, call, c.arch)
	if err != nil {
		return err
	}
	other := r.Else
	if other.Kind == Unset {
		other = c.denied
	}
	c.addRule(rule{call: call, index: i, cond: cond, other: other})
	return nil
}

func (c *compiler) readAction(i int) *Error {
	r := &c.spec.Rules[i]
	a, err := ParseAction(r.Expr)
	if err != nil {
		return err.(*Error)
	}
	if r.Else.Kind != Unset {
		return &Error{Msg: "an action has no other case", Hint: "leave out the one or the other"}
	}
	nr := rule{index: i, action: true, cond: refFalse, other: a}
	if a.Kind == Allow {
		nr.cond = refTrue
	}
	if g := groupIndex(r.Call); g >= 0 {
		for id := range uint16(tables.NumCalls) {
			if tables.GroupSets[g].Has(id) {
				nr.call = id
				c.addRule(nr)
			}
		}
		return nil
	}
	if nr.call = callID(r.Call); nr.call == noCall {
		return unknownCall(r.Call, r.From)
	}
	c.addRule(nr)
	return nil
}

func (c *compiler) addRule(r rule) {
	c.rules = append(c.rules, r)
	c.ruled.Add(r.call)
}

// parts returns the rules about a call on the current ABI, the most severe first, so that the first rule that fails
// decides.
func (c *compiler) parts(call uint16) (parts []part) {
	base := c.ruleOwner(call)
	for i := range c.rules {
		r := &c.rules[i]
		if r.call != base {
			continue
		}
		cond := c.condOn(r, call)
		if cond == refTrue {
			continue
		}
		parts = append(parts, part{cond, r.other, i})
		for j := len(parts) - 1; j > 0 && c.severer(&parts[j], &parts[j-1]); j-- {
			parts[j], parts[j-1] = parts[j-1], parts[j]
		}
	}
	for i := range parts { // after a rule that always fails, no other rule matters
		if parts[i].cond == refFalse {
			return parts[:i+1]
		}
	}
	return parts
}

// severer reports whether a comes before b: the more severe action first; of equally severe ones a fixed action first,
// and of several fixed actions the last one in the Spec. Conditions keep their order.
func (c *compiler) severer(a, b *part) bool {
	if a.other.Kind != b.other.Kind {
		return a.other.Kind > b.other.Kind
	}
	return c.rules[a.rule].action
}

// ruleOwner returns the call whose rules apply to call: call itself, or the call of which it is a variant.
func (c *compiler) ruleOwner(call uint16) uint16 {
	if c.ownRule(call) {
		return call
	}
	for i := range tables.Variants {
		if tables.Variants[i].Other == call && c.ruled.Has(tables.Variants[i].Call) {
			return tables.Variants[i].Call
		}
	}
	return call
}

// ownRule reports whether a rule names the call or a group with the call.
func (c *compiler) ownRule(call uint16) bool {
	for i := range c.rules {
		if c.rules[i].call == call {
			return true
		}
	}
	return false
}

// condOn returns the rule's condition for call on the current ABI. call may be a variant of the rule's call.
func (c *compiler) condOn(r *rule, call uint16) ref {
	switch {
	case r.action:
		return r.cond
	case c.abi == I386 && hasStruct(call):
		c.warn("on i386 "+tables.CallNames[call]+" is denied: its arguments stand behind a pointer", c.spec.Rules[r.index].From)
		return refFalse
	case r.call == call && (c.abi == c.arch || c.abi == X32 && !narrow(X32, call)):
		return r.cond
	}
	cond, err := parseExpr(&c.conds, c.spec.Rules[r.index].Expr, call, c.abi)
	switch {
	case err == nil:
		return cond
	case call != r.call: // the variant has other arguments, so it is denied
		c.warn("on "+c.abi.String()+" "+tables.CallNames[call]+" is denied: the rule for "+tables.CallNames[r.call]+" cannot be applied to it", c.spec.Rules[r.index].From)
		return refFalse
	}
	err.From = c.spec.Rules[r.index].From
	err.Msg = "on " + c.abi.String() + ": " + err.Msg
	c.errs = append(c.errs, err)
	return refFalse
}

// hasStruct reports whether the call is an old call of i386 that takes one pointer to all its arguments.
func hasStruct(call uint16) bool {
	return tables.CallNames[call] == "mmap" || tables.CallNames[call] == "select"
}
