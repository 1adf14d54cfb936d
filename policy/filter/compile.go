package filter

import (
	"strconv"

	"cordon/policy/filter/tables"
)

// Compile compiles the Spec to a filter for a kernel of the given architecture. The error is an Errors.
func Compile(spec Spec, arch Arch) (*Program, error) {
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return nil, err
	}
	c.top()
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	if len(c.out) > MaxInsns {
		return nil, Errors{c.tooLong()}
	}
	insns := c.program()
	if spec.Audit {
		audited(insns, c.deflt)
	}
	return &Program{Arch: arch, Insns: insns, Warnings: c.warnings}, nil
}

// audited turns every result into notify, except allow, log, and an ENOSYS that is not the default: see Spec.Audit.
func audited(insns []Insn, deflt Action) {
	noCall := Action{Errno, enosys}
	for i := range insns {
		if in := &insns[i]; in.Code == opRet {
			if a := ActionOf(in.K); !a.Passes() && (a != noCall || deflt == noCall) {
				in.K = retNotify
			}
		}
	}
}

// compiler holds the state of a compilation. Its methods are in resolve.go, this file, emit.go and cond.go, in the
// order in which they are used.
type compiler struct {
	emitter
	conds
	spec *Spec
	arch Arch // the kernel's own architecture
	abi  Arch // the ABI for which code is being emitted

	deflt, unknown, denied Action
	x32                    bool
	allow, deny, ruled     tables.CallSet
	rules                  []rule // in the order of the Spec

	checks  []check
	units   []unit
	segs    []segment
	entries []entry
	tests   []madeTest

	errs     Errors
	warnings []Warning

	buf *buffers
}

// buffers holds the memory for an ordinary filter in one allocation. A launcher is a new process and compiles once, and
// the first allocation of each size is slow.
type buffers struct {
	actions [8]emittedAction
	out     [320]Insn
	segs    [256]segment
	units   [96]unit
	rules   [40]rule
	checks  [16]check
	entries [32]entry
	tests   [64]madeTest
	nodes   [64]node
	cases   [160]onCase
}

// rule is a Rule for one call.
type rule struct {
	call   uint16
	index  int // index in Spec.Rules
	action bool
	cond   ref    // its condition on the native ABI
	other  Action // the action if cond is false, or the action of a rule without a condition
}

// check is the decision on the arguments of one call.
type check struct {
	call  uint16
	parts []part
	from  int   // index in compiler.rules of the rule to blame if the check is too large
	at    label // the beginning of the check; -1 if it has not been emitted yet
	size  int
}

// part is one rule of a check.
type part struct {
	cond  ref
	other Action
	rule  int // index in compiler.rules
}

// top emits the whole program: first the decision on the architecture, then for each architecture the decision on the
// call's number.
func (c *compiler) top() {
	kill := c.actionLabel(Action{Kind: Kill})
	other := kill
	for _, a := range [...]Arch{I386, ARM} {
		if a != c.arch && c.lists(a) {
			other = c.cond(opJeq, a.Audit(), c.numbersOf(a), other)
		}
	}
	native := c.numbersOf(c.arch)
	l := c.cond(opJeq, c.arch.Audit(), native, other)
	c.before(l)
	c.emit(opLoad, offArch)
}

// lists reports whether the Spec allows a foreign architecture.
func (c *compiler) lists(a Arch) bool {
	for _, f := range c.spec.Foreign {
		if f == a {
			return true
		}
	}
	return false
}

// numbersOf emits the decision on the call numbers of an ABI.
func (c *compiler) numbersOf(abi Arch) label {
	base := len(c.segs)
	c.numbers(abi, 0)
	if abi == AMD64 {
		c.numbersX32()
	}
	l := c.tree(view{}, c.segs[base:])
	c.segs = c.segs[:base]
	if l < 0 {
		return l
	}
	c.before(l)
	return c.emit(opLoad, offNr)
}

// numbersX32 appends the segments for x32's numbers. The number -1 stays unknown: a tracer uses it to skip a call, and
// no table contains it.
func (c *compiler) numbersX32() {
	if c.x32 {
		c.numbers(X32, X32Bit)
		return
	}
	c.segment(X32Bit, c.actionLabel(Action{Kind: Kill}))
	c.segment(1<<32-1, c.actionLabel(c.unknown))
}

// numbers appends the segments for an ABI's numbers. Each number has bit set, and the first segment begins at bit.
func (c *compiler) numbers(abi Arch, bit uint32) {
	c.abi = abi
	unknown := c.actionLabel(c.unknown)
	next := bit
	for _, n := range table(abi) {
		nr := n.Nr | bit
		if nr != next {
			c.segment(next, unknown)
		}
		c.segment(nr, c.leaf(n.Call))
		next = nr + 1
	}
	c.segment(next, unknown)
}

// segment appends one segment, unless the last segment already has the same target.
func (c *compiler) segment(lo uint32, to label) {
	if n := len(c.segs); lo != 0 && c.segs[n-1].to == to {
		return
	}
	c.segs = append(c.segs, segment{lo, to})
}

// leaf returns the label for a call on the current ABI.
func (c *compiler) leaf(call uint16) label {
	switch {
	case c.deny.Has(call):
		return c.answer(call, c.denied)
	case c.ruled.Has(call):
		return c.ruleLeaf(call)
	case c.closed(call):
		return c.answer(call, c.denied)
	case !c.allow.Has(call):
		return c.answer(call, c.deflt)
	}
	return c.actionLabel(Action{Kind: Allow})
}

// answer returns the label for the action on a known call; Spec.Report may change the action.
func (c *compiler) answer(call uint16, a Action) label {
	if c.spec.Report && tables.CallNames[call] != c.spec.Own && a.Kind == Errno && (a.Errno != enosys || c.deflt == a) {
		a = Action{Kind: Notify}
	}
	return c.actionLabel(a)
}

// ruleLeaf returns the label of the check of a call's rules. If the outcome does not depend on the arguments, it
// returns the label of the outcome.
func (c *compiler) ruleLeaf(call uint16) label {
	if c.closed(call) {
		return c.answer(call, c.denied)
	}
	parts := c.parts(call)
	if len(parts) == 0 {
		return c.actionLabel(Action{Kind: Allow})
	}
	if parts[0].cond == refFalse {
		return c.answer(call, parts[0].other)
	}
	c.checks = append(c.checks, check{call: call, parts: parts, from: parts[0].rule, at: -1})
	return checkLabel - label(len(c.checks)-1)
}

// resolve turns a label into a jump target. If the label stands for a check that has not been emitted yet, resolve
// emits the check.
func (c *compiler) resolve(l label) label {
	if l > checkLabel {
		return l
	}
	k := &c.checks[checkLabel-l]
	if k.at >= 0 {
		return k.at
	}
	before := len(c.out)
	t := target{at: c.actionLabel(Action{Kind: Allow})}
	for i := len(k.parts) - 1; i >= 0; i-- {
		t = c.branch(k.parts[i].cond, t, target{at: c.answer(k.call, k.parts[i].other)})
	}
	l = c.enter(t, view{})
	k.at, k.size = l, len(c.out)-before
	return l
}

// closed reports whether a multiplexer (socketcall, ipc) must be denied. A multiplexer does the work of other calls,
// and takes their arguments behind a pointer. A filter cannot check these arguments, so a program could use the
// multiplexer to evade the rules of the other calls. It is allowed, by name or by default, only if each of these calls
// is allowed without conditions. runc and crun have this gap with Docker's default profile, which has rules for socket
// and allows socketcall.
func (c *compiler) closed(call uint16) bool {
	if call != tables.Multiplexed[0].Call && call != tables.Multiplexed[len(tables.Multiplexed)-1].Call { // there are two
		return false
	}
	for i := range tables.Multiplexed {
		m := &tables.Multiplexed[i]
		if m.Call == call && (c.deny.Has(m.Other) || c.ruled.Has(m.Other) || !c.allow.Has(m.Other) && !c.deflt.Passes()) {
			c.warnClosed(m)
			return true
		}
	}
	return false
}

// tooLong returns the error for a program that is too long. It blames the rule whose checks have the most instructions.
func (c *compiler) tooLong() *Error {
	worst, size := -1, 0
	for i := range c.checks {
		total := 0
		for j := range c.checks {
			if c.checks[j].from == c.checks[i].from {
				total += c.checks[j].size
			}
		}
		if total > size {
			worst, size = i, total
		}
	}
	e := &Error{Msg: "the filter has " + strconv.Itoa(len(c.out)) + " instructions, the kernel takes " + strconv.Itoa(MaxInsns)}
	if len(c.out) >= tooLong {
		e.Msg = "the filter has more than " + strconv.Itoa(tooLong) + " instructions, the kernel takes " + strconv.Itoa(MaxInsns)
	}
	if worst >= 0 {
		r := &c.rules[c.checks[worst].from]
		e.From = c.spec.Rules[r.index].From
		e.Hint = strconv.Itoa(size) + " of them are the rules for " + tables.CallNames[r.call]
	}
	return e
}
