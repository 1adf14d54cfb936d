package filter

import (
	"slices"

	"cordon/policy/filter/tables"
)

// Masked is a test of one argument: arg & Mask == Value. The zero Masked holds always.
type Masked struct{ Mask, Value uint64 }

// A Case is the decision for calls whose six arguments all match Args.
type Case struct {
	Args   [6]Masked
	Action Action
}

// Decision is everything that a Spec decides about one call, in whatever form the Spec has it. No two of its cases hold
// for the same arguments, and together they cover every call. If two cases test the same argument first, their tests
// are equal or never hold together.
type Decision struct {
	Call     string
	Cases    []Case
	Narrowed string // why the cases are more severe than the Spec for some arguments; "" if they are exact
}

// maxCases bounds the number of cases for one call.
const maxCases = 1024

// Decisions lists the Spec's decisions for every call of the architecture and of the Spec's foreign architectures,
// sorted by name. If a call has different decisions on several architectures, Decisions returns the most severe one.
// The error is an Errors.
func Decisions(spec Spec, arch Arch) ([]Decision, error) {
	c, err := newCompiler(&spec, arch)
	if err != nil {
		return nil, err
	}
	var abis []Arch
	for _, a := range [...]Arch{AMD64, ARM64, RISCV64, I386, ARM, X32} {
		if a == arch || c.lists(a) {
			abis = append(abis, a)
		}
	}
	slices.SortStableFunc(abis, func(a, b Arch) int { return order(a == arch) - order(b == arch) })
	var all []Decision
	for id := range uint16(tables.NumCalls) {
		if d, ok := c.decision(id, abis); ok {
			all = append(all, d)
		}
	}
	if len(c.errs) > 0 {
		return nil, c.errs
	}
	return all, nil
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

// decision joins the decisions about a call on each ABI that has it. ok is false if no ABI has it.
func (c *compiler) decision(id uint16, abis []Arch) (d Decision, ok bool) {
	d.Call = tables.CallNames[id]
	bits := newBitDiagrams()
	var all bit
	for _, abi := range abis {
		if _, has := Number(abi, d.Call); !has {
			continue
		}
		c.abi = abi
		exact := true
		here := c.diagram(bits, id, &exact)
		if !exact {
			d.Narrowed = "two arguments are compared with each other"
		}
		switch {
		case !ok:
			all, ok = here, true
		case abi.is32() && bits.narrow(here) == bits.narrow(all): // on 32-bit ABIs the high halves have no meaning
		case here != all:
			d.Narrowed = "it is decided otherwise on " + abi.String()
			all = bits.severest(all, here)
		}
	}
	if !ok {
		return d, false
	}
	if !bits.full {
		d.Cases = bits.cases(all)
	}
	if d.Cases == nil {
		d.Narrowed = "it has too many cases"
		d.Cases = []Case{{Action: bits.worst()}}
	}
	return d, true
}

// diagram returns the decision about a call on the current ABI as a diagram. It takes the same steps as Explain.
func (c *compiler) diagram(bits *bitDiagrams, id uint16, exact *bool) bit {
	switch {
	case c.deny.Has(id), c.closed(id):
		return bits.leaf(c.denied)
	case c.ruled.Has(id):
		out := bits.leaf(Action{Kind: Allow})
		parts := c.parts(id)
		for i := len(parts) - 1; i >= 0; i-- {
			out = bits.choose(bits.ofCond(&c.conds, parts[i].cond, exact), out, bits.leaf(parts[i].other))
		}
		return out
	case c.allow.Has(id):
		return bits.leaf(Action{Kind: Allow})
	}
	return bits.leaf(c.deflt)
}

// cases returns the paths through a diagram, or nil if there are too many.
func (d *bitDiagrams) cases(x bit) []Case {
	var all []Case
	if d.walk(x, Case{}, &all) {
		return all
	}
	return nil
}

func (d *bitDiagrams) walk(x bit, so Case, all *[]Case) bool {
	if x < 0 {
		so.Action = d.action(x)
		*all = append(*all, so)
		return len(*all) <= maxCases
	}
	n := d.nodes[x]
	arg, one := n.v/64, uint64(1)<<(63-n.v%64)
	so.Args[arg].Mask |= one
	if !d.walk(n.off, so, all) {
		return false
	}
	so.Args[arg].Value |= one
	return d.walk(n.set, so, all)
}

// worst returns the most severe action of all diagrams.
func (d *bitDiagrams) worst() (a Action) {
	for _, x := range d.actions {
		if x.Kind > a.Kind {
			a = x
		}
	}
	return a
}

// between returns the condition lo <= t <= hi. If lo > hi, the range wraps around: t <= hi || lo <= t.
func (p *parser) between(t term, lo, hi uint64) ref {
	max := t.reach()
	if t.add != 0 {
		if hi-lo == max || (hi-lo)&max == max {
			return refTrue
		}
		lo, hi = (lo-t.add)&max, (hi-t.add)&max
	}
	if lo > hi {
		return p.join(nodeOr, p.inOrder(t, 0, hi), p.inOrder(t, lo, max))
	}
	return p.inOrder(t, lo, hi)
}

// inOrder returns the condition lo <= t <= hi. It ignores t.add. lo must not be greater than hi.
func (p *parser) inOrder(t term, lo, hi uint64) ref {
	max := t.reach()
	switch {
	case t.shift > 0:
		if lo > t.room>>t.shift {
			return refFalse
		}
		lo, hi = lo<<t.shift, min(hi, t.room>>t.shift)<<t.shift|(1<<t.shift-1)
	case t.shift < 0:
		n := -t.shift
		t.and &= max >> n
		t.xor &= max >> n
		if lo != 0 {
			lo = (lo-1)>>n + 1
		}
		hi >>= n
		if lo > hi {
			return refFalse
		}
	}
	return p.wide(t, lo, hi)
}

// wide returns the condition lo <= (arg & and) ^ xor <= hi. It tests the high half of the argument first, then the low
// half.
func (p *parser) wide(t term, lo, hi uint64) ref {
	high, low := t.high(t.xor), t.low(t.xor)
	lh, hh := uint32(lo>>32), uint32(hi>>32)
	if lh == hh {
		in := p.newRange(low, uint32(lo), uint32(hi), refTrue, refFalse)
		return p.newRange(high, lh, lh, in, refFalse)
	}
	first := p.newRange(low, uint32(lo), 1<<32-1, refTrue, refFalse)
	last := p.newRange(low, 0, uint32(hi), refTrue, refFalse)
	var buf [5]onCase
	cases := buf[:0]
	if lh > 0 {
		cases = append(cases, onCase{0, refFalse})
	}
	cases = append(cases, onCase{lh, first})
	if hh > lh+1 {
		cases = append(cases, onCase{lh + 1, refTrue})
	}
	cases = append(cases, onCase{hh, last})
	if hh < 1<<32-1 {
		cases = append(cases, onCase{hh + 1, refFalse})
	}
	return p.newCase(high, cases)
}

// oneOf returns the condition in(x, values…).
func (p *parser) oneOf(at int, x operand, values []number) operand {
	if x.kind == isCond {
		return p.fail(at, "in needs a number")
	}
	r := operand{kind: isCond, col: at}
	if x.kind == isConst {
		if slices.Contains(values, x.value) {
			r.r = refTrue
		}
		return r
	}
	t := x.t
	keys := make([]uint64, 0, len(values))
	for _, k := range values {
		if !p.checkEqual(at, &x.t, k) {
			return operand{}
		}
		u := x.t
		if v, ok := p.solve(&u, k); ok {
			keys = append(keys, v)
			t.and = u.and // the shift is the same for every value
		}
	}
	slices.Sort(keys)
	r.r = p.oneOfKeys(t, slices.Compact(keys))
	return r
}

// oneOfKeys returns the condition that arg & t.and is one of keys, which must be sorted. It tests the high half of the
// argument first, then the low half.
func (p *parser) oneOfKeys(t term, keys []uint64) ref {
	high := []onCase{{0, refFalse}}
	for i := 0; i < len(keys); {
		h := uint32(keys[i] >> 32)
		low := []onCase{{0, refFalse}}
		for ; i < len(keys) && uint32(keys[i]>>32) == h; i++ {
			low = follow(low, uint32(keys[i]), refTrue)
		}
		high = follow(high, h, p.newCase(t.low(0), low))
	}
	return p.newCase(t.high(0), high)
}

// follow extends cases: v leads to r, and the values after v lead to false.
func follow(cases []onCase, v uint32, r ref) []onCase {
	if n := len(cases) - 1; cases[n].lo == v {
		cases[n].to = r
	} else {
		cases = append(cases, onCase{v, r})
	}
	if v < 1<<32-1 {
		cases = append(cases, onCase{v + 1, refFalse})
	}
	return cases
}
