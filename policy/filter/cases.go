package filter

import (
	"slices"

	"cordon/policy/filter/tables"
)

// Masked is a test of one argument: arg & Mask == Value. The zero Masked holds always.
type Masked struct{ Mask, Value uint64 }

// A Case is what is decided where Args[i] holds for each of the six arguments.
type Case struct {
	Args   [6]Masked
	Action Action
}

// Decision is all that a Spec decides for one call, without regard to how it says so. Its cases exclude each other and
// together cover every call; of two that test the same argument first, those tests are the same or exclude each other.
type Decision struct {
	Call     string
	Cases    []Case
	Narrowed string // why the cases are more severe than the Spec for some arguments; "" where they are exact
}

// maxCases bounds the cases of one call.
const maxCases = 1024

// Decisions lists what the Spec decides for every call, sorted by name, that the architecture or a foreign one of the
// Spec has. A call has one name and one decision on all of them; where they differ it is the most severe. The error is
// an Errors.
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

// decision joins what is decided for a call on each ABI that has it; the first is the native one.
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
		case abi.is32() && bits.narrow(here) == bits.narrow(all): // the high halves mean nothing there
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

// diagram is what is decided for a call on the current ABI; it follows Explain.
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

// cases are the ways through a diagram; nil if there are too many.
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

// worst is the most severe action of all diagrams.
func (d *bitDiagrams) worst() (a Action) {
	for _, x := range d.actions {
		if x.Kind > a.Kind {
			a = x
		}
	}
	return a
}
