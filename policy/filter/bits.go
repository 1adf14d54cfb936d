package filter

// This file turns a condition into a binary decision diagram (R. E. Bryant, Graph-Based Algorithms for Boolean Function
// Manipulation, 1986). The diagram tests one bit of an argument after the other, and begins with the most significant
// bit of the first argument. Diagrams share equal parts, and have no tests without effect. So two conditions that
// decide alike have the same number. Each path through the diagram gives a mask and a value for each argument.

// maxBits bounds the total size of the diagrams in a bitDiagrams. A diagram that would exceed it is abandoned.
const maxBits = 1 << 16

// bit is a node: a leaf, or an index into nodes after the leaves.
type bit int32

// bitNode tests the bit v. v is 64 * argument + 63 - the bit's position in the argument.
type bitNode struct {
	v        uint16
	off, set bit
}

// bitLeaf is the v of a leaf. It is greater than the v of any node.
const bitLeaf = 6 * 64

// bitDiagrams holds diagrams that lead to actions. A leaf is an index in actions. In the diagram of a condition, the
// leaves are bitFalse and bitTrue, which do not stand for actions.
type bitDiagrams struct {
	nodes   []bitNode
	actions []Action
	unique  map[bitNode]bit
	chosen  map[[3]bit]bit
	joined  map[[2]bit]bit
	low     map[bit]bit
	full    bool
}

// The leaves of a condition. Leaves have negative numbers: -1 - index.
const (
	bitFalse bit = -1
	bitTrue  bit = -2
)

func newBitDiagrams() *bitDiagrams {
	return &bitDiagrams{
		actions: make([]Action, 2), // bitFalse and bitTrue
		unique:  map[bitNode]bit{}, chosen: map[[3]bit]bit{}, joined: map[[2]bit]bit{}, low: map[bit]bit{},
	}
}

// leaf returns the diagram that leads to the action a for every call.
func (d *bitDiagrams) leaf(a Action) bit {
	for i := 2; i < len(d.actions); i++ {
		if d.actions[i] == a {
			return bit(-1 - i)
		}
	}
	d.actions = append(d.actions, a)
	return bit(-len(d.actions))
}

// action returns the action of a leaf.
func (d *bitDiagrams) action(l bit) Action { return d.actions[-1-l] }

func (d *bitDiagrams) test(v uint16, off, set bit) bit {
	if off == set {
		return off
	}
	n := bitNode{v, off, set}
	if i, ok := d.unique[n]; ok {
		return i
	}
	if len(d.nodes) >= maxBits {
		d.full = true
		return off
	}
	d.nodes = append(d.nodes, n)
	i := bit(len(d.nodes) - 1)
	d.unique[n] = i
	return i
}

func (d *bitDiagrams) top(x bit) uint16 {
	if x < 0 {
		return bitLeaf
	}
	return d.nodes[x].v
}

// sides returns the two parts of x: the part for bit v clear, and the part for bit v set. x must not test a bit before
// v.
func (d *bitDiagrams) sides(x bit, v uint16) (off, set bit) {
	if d.top(x) != v {
		return x, x
	}
	return d.nodes[x].off, d.nodes[x].set
}

// choose returns the diagram that equals yes for the calls that satisfy cond, and no for all other calls.
func (d *bitDiagrams) choose(cond, yes, no bit) bit {
	switch {
	case cond == bitTrue || yes == no:
		return yes
	case cond == bitFalse:
		return no
	}
	key := [3]bit{cond, yes, no}
	if r, ok := d.chosen[key]; ok {
		return r
	}
	v := min(d.top(cond), d.top(yes), d.top(no))
	c0, c1 := d.sides(cond, v)
	y0, y1 := d.sides(yes, v)
	n0, n1 := d.sides(no, v)
	r := d.test(v, d.choose(c0, y0, n0), d.choose(c1, y1, n1))
	d.chosen[key] = r
	return r
}

// severest returns the diagram that leads, for each call, to the more severe of the two actions of x and y. If both
// are equally severe, it leads to the action of x.
func (d *bitDiagrams) severest(x, y bit) bit {
	if x == y {
		return x
	}
	if x < 0 && y < 0 {
		if d.action(y).Kind > d.action(x).Kind {
			return y
		}
		return x
	}
	key := [2]bit{x, y}
	if r, ok := d.joined[key]; ok {
		return r
	}
	v := min(d.top(x), d.top(y))
	x0, x1 := d.sides(x, v)
	y0, y1 := d.sides(y, v)
	r := d.test(v, d.severest(x0, y0), d.severest(x1, y1))
	d.joined[key] = r
	return r
}

// narrow returns the part of diagram x for arguments whose high halves are zero.
func (d *bitDiagrams) narrow(x bit) bit {
	if x < 0 {
		return x
	}
	if r, ok := d.low[x]; ok {
		return r
	}
	n := d.nodes[x]
	r := d.narrow(n.off)
	if n.v%64 >= 32 {
		r = d.test(n.v, r, d.narrow(n.set))
	}
	d.low[x] = r
	return r
}

// atLeast returns the diagram that is true if the view's value is k or more.
func (d *bitDiagrams) atLeast(v view, k uint32) bit {
	arg, high := uint16(v.word-1)/2, uint16(v.word-1)%2
	r := bitTrue
	for i := range uint16(32) {
		zero, one := r, bitTrue // the diagrams if the value's bit is 0 and if it is 1
		if k>>i&1 != 0 {
			zero, one = bitFalse, r
		}
		if v.xor>>i&1 != 0 {
			zero, one = one, zero
		}
		if v.and>>i&1 == 0 { // the argument's bit does not matter
			one = zero
		}
		r = d.test(64*arg+63-(32*high+i), zero, one)
	}
	return r
}

// ofCond returns the diagram of a condition. A comparison of two arguments has no diagram. For such a comparison,
// ofCond sets exact to false. The result may then be false for calls that satisfy the condition, but it is never true
// for calls that do not.
func (d *bitDiagrams) ofCond(c *conds, r ref, exact *bool) bit {
	switch r {
	case refFalse:
		return bitFalse
	case refTrue:
		return bitTrue
	}
	n := c.at(r)
	a := func() bit { return d.ofCond(c, n.a, exact) }
	b := func() bit { return d.ofCond(c, n.b, exact) }
	switch n.kind {
	case nodeAnd:
		return d.choose(a(), b(), bitFalse)
	case nodeOr:
		return d.choose(a(), bitTrue, b())
	case nodePair:
		*exact = false
		return d.choose(a(), b(), bitFalse)
	}
	out := bitFalse
	for i, k := range c.casesOf(n) {
		to := d.ofCond(c, k.to, exact)
		if i == 0 {
			out = to
			continue
		}
		out = d.choose(d.atLeast(n.v, k.lo), to, out)
	}
	return out
}
