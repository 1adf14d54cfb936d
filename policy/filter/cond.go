package filter

// A condition is compiled in two steps: the parser makes nodes, and the compiler emits jumps for the nodes.

// ref refers to a node. It is one of the constants refFalse and refTrue, or refNodes plus an index in conds.nodes.
type ref int32

const (
	refFalse ref = iota
	refTrue
	refNodes // the first element of conds.nodes
)

type nodeKind uint8

const (
	nodeCase nodeKind = iota // a decision on one masked word: a list of cases
	nodePair                 // a comparison of two masked words
	nodeAnd
	nodeOr
)

// node is one step of a condition.
type node struct {
	kind  nodeKind
	v, w  view
	code  uint16 // pair: the opcode of the jump; v is in the accumulator, w in X
	a, b  ref    // and, or: the operands; case: the range in conds.cases; pair: the nodes for true and for false
	depth int
}

// view is a value that the accumulator can hold: (word & and) ^ xor, for a word of struct seccomp_data. The zero view
// stands for no value.
type view struct {
	word     uint8 // 1 + index of a 32-bit word: 1+2*i is the low half of argument i, 2+2*i the high half
	and, xor uint32
}

// onCase gives the node that decides for values from lo up to the next case.
type onCase struct {
	lo uint32
	to ref
}

// maxNodes limits the size of all conditions of a Spec, so that time and memory stay bounded.
const maxNodes = 1 << 16

// conds holds the nodes of all conditions.
type conds struct {
	nodes []node
	cases []onCase
	full  bool
}

func (c *conds) at(r ref) *node { return &c.nodes[r-refNodes] }

func (c *conds) casesOf(n *node) []onCase { return c.cases[n.a:n.b] }

func (c *conds) add(n node) ref {
	if len(c.nodes) >= maxNodes || len(c.cases) >= 4*maxNodes {
		c.full = true
		return refFalse
	}
	c.nodes = append(c.nodes, n)
	return ref(len(c.nodes)-1) + refNodes
}

// newCase returns a node that decides by cases. The cases must be sorted, and the first must begin at 0. newCase joins
// neighbours that lead to the same node. If only one case remains, it returns that case's node.
func (c *conds) newCase(v view, cases []onCase) ref {
	if v.and == 0 { // the value is a constant
		i := len(cases) - 1
		for cases[i].lo > v.xor {
			i--
		}
		return cases[i].to
	}
	from := len(c.cases)
	for _, k := range cases {
		if v.xor == 0 && k.lo > v.and { // no value reaches this case
			break
		}
		if n := len(c.cases); n > from && c.cases[n-1].to == k.to {
			continue
		}
		c.cases = append(c.cases, k)
	}
	if len(c.cases) == from+1 {
		to := c.cases[from].to
		c.cases = c.cases[:from]
		return to
	}
	return c.add(node{kind: nodeCase, v: v, a: ref(from), b: ref(len(c.cases))})
}

// not returns the negation of r.
func (c *conds) not(r ref) ref {
	if r < refNodes {
		return refTrue - r
	}
	n := *c.at(r)
	switch n.kind {
	case nodeAnd:
		return c.join(nodeOr, c.not(n.a), c.not(n.b))
	case nodeOr:
		return c.join(nodeAnd, c.not(n.a), c.not(n.b))
	case nodePair:
		n.a, n.b = c.not(n.a), c.not(n.b)
		return c.add(n)
	}
	var buf [16]onCase
	cases := append(buf[:0], c.casesOf(&n)...)
	for i := range cases {
		cases[i].to = c.not(cases[i].to)
	}
	return c.newCase(n.v, cases)
}

// join returns a && b (nodeAnd) or a || b (nodeOr). It merges two decisions on the same value into one.
func (c *conds) join(kind nodeKind, a, b ref) ref {
	neutral, final := refTrue, refFalse
	if kind == nodeOr {
		neutral, final = refFalse, refTrue
	}
	switch {
	case a == neutral, a == b, b == final:
		return b
	case b == neutral, a == final:
		return a
	}
	na, nb := *c.at(a), *c.at(b)
	if na.kind == nodeCase && nb.kind == nodeCase && na.v == nb.v {
		return c.merge(kind, &na, &nb)
	}
	// a may itself be x && y, where y is about the same value as b. The parser joins comparisons from the left, so this
	// finds neighbouring comparisons of one argument.
	if na.kind == kind {
		if last := *c.at(na.b); last.kind == nodeCase && nb.kind == nodeCase && last.v == nb.v {
			return c.join(kind, na.a, c.merge(kind, &last, &nb))
		}
	}
	return c.add(node{kind: kind, a: a, b: b, depth: 1 + max(na.depth, nb.depth)})
}

// merge joins two decisions on the same value.
func (c *conds) merge(kind nodeKind, na, nb *node) ref {
	if c.full {
		return refFalse
	}
	var buf [16]onCase
	cases := buf[:0]
	i, j := int(na.a), int(nb.a)
	for lo := uint32(0); ; {
		cases = append(cases, onCase{lo, c.join(kind, c.cases[i].to, c.cases[j].to)})
		nextA, nextB := uint64(1)<<32, uint64(1)<<32
		if i+1 < int(na.b) {
			nextA = uint64(c.cases[i+1].lo)
		}
		if j+1 < int(nb.b) {
			nextB = uint64(c.cases[j+1].lo)
		}
		if nextA == 1<<32 && nextB == 1<<32 {
			return c.newCase(na.v, cases)
		}
		lo = uint32(min(nextA, nextB))
		if nextA <= nextB {
			i++
		}
		if nextB <= nextA {
			j++
		}
	}
}

// newRange returns a node that leads to then if lo <= v <= hi, and otherwise to els.
func (c *conds) newRange(v view, lo, hi uint32, then, els ref) ref {
	var buf [3]onCase
	cases := buf[:0]
	if lo > 0 {
		cases = append(cases, onCase{0, els})
	}
	cases = append(cases, onCase{lo, then})
	if hi < 1<<32-1 {
		cases = append(cases, onCase{hi + 1, els})
	}
	return c.newCase(v, cases)
}

// newPair returns a node that leads to then if v == w, v > w or v >= w (for JEQ, JGT and JGE), and otherwise to els.
func (c *conds) newPair(code uint16, v, w view, then, els ref) ref {
	switch {
	case then == els:
		return then
	case w.and == 0 && code == opJeq:
		return c.newRange(v, w.xor, w.xor, then, els)
	case w.and == 0 && code == opJge:
		return c.newRange(v, w.xor, 1<<32-1, then, els)
	case w.and == 0:
		return c.newRange(v, 0, w.xor, els, then)
	case v.and == 0 && code == opJeq:
		return c.newRange(w, v.xor, v.xor, then, els)
	case v.and == 0 && code == opJge:
		return c.newRange(w, 0, v.xor, then, els)
	case v.and == 0:
		return c.newRange(w, v.xor, 1<<32-1, els, then)
	}
	return c.add(node{kind: nodePair, v: v, w: w, code: code, a: then, b: els})
}

// eval evaluates r for one call.
func (c *conds) eval(r ref, d *Data) bool {
	if r < refNodes {
		return r == refTrue
	}
	n := c.at(r)
	switch n.kind {
	case nodeAnd:
		return c.eval(n.a, d) && c.eval(n.b, d)
	case nodeOr:
		return c.eval(n.a, d) || c.eval(n.b, d)
	}
	w := n.v.of(d)
	if n.kind == nodePair {
		if x := n.w.of(d); w == x && n.code != opJgt || w > x && n.code != opJeq {
			return c.eval(n.a, d)
		}
		return c.eval(n.b, d)
	}
	cases := c.casesOf(n)
	i := len(cases) - 1
	for cases[i].lo > w {
		i--
	}
	return c.eval(cases[i].to, d)
}

// of returns the value of the view for one call.
func (v view) of(d *Data) uint32 {
	w := uint32(d.Args[(v.word-1)/2] >> (32 * ((v.word - 1) % 2)))
	return w&v.and ^ v.xor
}

// target is a label, and the value that must be in the accumulator at the label. With the zero view any value is valid.
type target struct {
	at label
	v  view
}

// branch emits the condition r, which continues at t if it holds and at f otherwise. It returns the target at which the
// condition begins.
func (c *compiler) branch(r ref, t, f target) target {
	switch r {
	case refFalse:
		return f
	case refTrue:
		return t
	}
	n := *c.at(r)
	switch n.kind {
	case nodeAnd:
		return c.branch(n.a, c.branch(n.b, t, f), f)
	case nodeOr:
		return c.branch(n.a, t, c.branch(n.b, t, f))
	case nodePair:
		return c.pair(&n, t, f)
	}
	return c.decide(&n, t, f)
}

// decide emits one decision on a value.
func (c *compiler) decide(n *node, t, f target) target {
	var refs [16]ref
	var tos [16]target
	seen, tgts := refs[:0], tos[:0]
	base := len(c.segs)
	v, bit := n.v, c.bitTest(n)
	if bit {
		v = view{v.word, 1<<32 - 1, 0}
	}
	for i := int(n.a); i < int(n.b); i++ {
		k := c.cases[i]
		j := 0
		for j < len(seen) && seen[j] != k.to {
			j++
		}
		if j == len(seen) {
			seen, tgts = append(seen, k.to), append(tgts, c.branch(k.to, t, f))
		}
		c.segs = append(c.segs, segment{k.lo, label(j)})
	}
	for j := range tgts { // this comes after all branches, because code in between would prevent a fall-through
		tgts[j].at = c.enter(tgts[j], v)
	}
	segs := c.segs[base:]
	for i := range segs {
		segs[i].to = tgts[segs[i].to].at
	}
	var l label
	if bit {
		l = c.test(v, opJset, n.v.and, segs[1].to, segs[0].to)
	} else {
		l = c.tree(v, segs)
	}
	c.segs = c.segs[:base]
	if l < 0 { // both outcomes are the same action
		return target{at: l}
	}
	return target{l, v}
}

// pair emits the comparison of two words. It puts one word into X, which nothing else uses.
func (c *compiler) pair(n *node, t, f target) target {
	used := view{word: 1<<8 - 1}
	then, els := c.branch(n.a, t, f), c.branch(n.b, t, f)
	tl := c.enter(then, used)
	fl := c.enter(els, used)
	if tl == fl {
		return target{at: tl}
	}
	c.cond(n.code|fromX, 0, tl, fl)
	c.load(n.v)
	c.emit(opTax, 0)
	return target{at: c.load(n.w)}
}

// load emits the instructions that put a view into the accumulator. In the program they come before the instruction
// that was emitted last.
func (c *compiler) load(v view) label {
	if v.xor != 0 {
		c.emit(opXor, v.xor)
	}
	if v.and != 1<<32-1 {
		c.emit(opAnd, v.and)
	}
	return c.emit(opLoad, offArgs+4*uint32(v.word-1))
}

// bitTest reports whether the decision is only whether any bit of a mask is set. A single JSET on the unmasked word can
// make this decision.
func (c *compiler) bitTest(n *node) bool {
	k := c.casesOf(n)
	return n.v.and != 1<<32-1 && n.v.xor == 0 && len(k) == 2 && (k[1].lo == 1 || k[1].lo == n.v.and && n.v.and&(n.v.and-1) == 0)
}

// enter returns a label that leads to t from code whose accumulator holds the value have. If t needs another value, the
// label leads to instructions that load this value.
func (c *compiler) enter(t target, have view) label {
	if t.v.word == 0 || t.v == have {
		return t.at
	}
	for i := max(0, len(c.entries)-remembered); i < len(c.entries); i++ {
		if c.entries[i].t == t {
			return c.entries[i].at
		}
	}
	c.before(t.at)
	at := c.load(t.v)
	c.entries = append(c.entries, entry{t, at})
	return at
}

// entry is the label of instructions that load the value that a target expects, and then go to the target.
type entry struct {
	t  target
	at label
}
