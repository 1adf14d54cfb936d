package reference

// node is a function of the bits of the registers, as a node of a binary decision diagram: a terminal, or an index into
// diagrams.nodes.
type node int32

// The terminals of a condition: its two results. The terminals of a decision are actions, and begin with firstAction.
const (
	never  node = 0
	always node = 1
)

// inner is a node that branches on one bit. The bits are tested in a fixed order: register 0 before register 1, the
// highest bit first. So two paths that separate at a register are disjoint there.
type inner struct {
	bit    int16 // the constant terminal if this node is a terminal; otherwise 64*register + 63-position
	lo, hi node
}

const terminal = 1 << 14

// maxNodes bounds how many nodes all diagrams of one comparison may have together.
const maxNodes = 1 << 18

// diagrams holds reduced, ordered binary decision diagrams, in which equal functions are equal nodes.
type diagrams struct {
	nodes  []inner
	unique map[inner]node
	memo   map[[3]node]node
}

// errTooLarge is the panic for a condition whose diagram would be too large.
type errTooLarge struct{}

func (errTooLarge) Error() string { return "the condition is too large to be compared" }

func newDiagrams(terminals int) *diagrams {
	d := &diagrams{unique: map[inner]node{}, memo: map[[3]node]node{}}
	for range terminals {
		d.nodes = append(d.nodes, inner{bit: terminal})
	}
	return d
}

func (d *diagrams) isTerminal(n node) bool { return d.nodes[n].bit == terminal }

// choose returns the function that is hi if the bit is set, otherwise lo.
func (d *diagrams) choose(bit int16, lo, hi node) node {
	if lo == hi {
		return lo
	}
	k := inner{bit, lo, hi}
	n, ok := d.unique[k]
	if !ok {
		if len(d.nodes) >= maxNodes {
			panic(errTooLarge{})
		}
		n = node(len(d.nodes))
		d.nodes = append(d.nodes, k)
		d.unique[k] = n
	}
	return n
}

// part returns the function n with one bit fixed to set.
func (d *diagrams) part(n node, bit int16, set bool) node {
	switch k := d.nodes[n]; {
	case k.bit != bit:
		return n
	case set:
		return k.hi
	default:
		return k.lo
	}
}

// ite returns the function "if f then g, otherwise h".
func (d *diagrams) ite(f, g, h node) node {
	switch {
	case f == always || g == h:
		return g
	case f == never:
		return h
	}
	key := [3]node{f, g, h}
	if n, ok := d.memo[key]; ok {
		return n
	}
	bit := min(d.nodes[f].bit, d.nodes[g].bit, d.nodes[h].bit)
	lo := d.ite(d.part(f, bit, false), d.part(g, bit, false), d.part(h, bit, false))
	hi := d.ite(d.part(f, bit, true), d.part(g, bit, true), d.part(h, bit, true))
	n := d.choose(bit, lo, hi)
	d.memo[key] = n
	return n
}

func (d *diagrams) not(f node) node    { return d.ite(f, never, always) }
func (d *diagrams) and(f, g node) node { return d.ite(f, g, never) }
func (d *diagrams) or(f, g node) node  { return d.ite(f, always, g) }
func (d *diagrams) xor(f, g node) node { return d.ite(f, d.not(g), g) }

// combine returns the function op(f, g): it applies op to the terminals of both.
func (d *diagrams) combine(f, g node, op func(a, b node) node) node {
	memo := map[[2]node]node{}
	var walk func(f, g node) node
	walk = func(f, g node) node {
		if d.isTerminal(f) && d.isTerminal(g) {
			return op(f, g)
		}
		if n, ok := memo[[2]node{f, g}]; ok {
			return n
		}
		bit := min(d.nodes[f].bit, d.nodes[g].bit)
		n := d.choose(bit, walk(d.part(f, bit, false), d.part(g, bit, false)), walk(d.part(f, bit, true), d.part(g, bit, true)))
		memo[[2]node{f, g}] = n
		return n
	}
	return walk(f, g)
}

// eval returns the terminal that f reaches for these registers.
func (d *diagrams) eval(f node, args *[6]uint64) node {
	for !d.isTerminal(f) {
		k := &d.nodes[f]
		if args[k.bit/64]>>(63-k.bit%64)&1 != 0 {
			f = k.hi
		} else {
			f = k.lo
		}
	}
	return f
}

// cube is the set of register values that equal value in all bits of mask.
type cube struct {
	mask, value [6]uint64
}

// paths calls f for every path from n to a terminal, until f returns false. The cubes are disjoint, and together
// contain all values.
func (d *diagrams) paths(n node, f func(c *cube, terminal node) bool) bool {
	var c cube
	var walk func(n node) bool
	walk = func(n node) bool {
		if d.isTerminal(n) {
			return f(&c, n)
		}
		k := d.nodes[n]
		reg, bit := k.bit/64, uint64(1)<<(63-k.bit%64)
		c.mask[reg] |= bit
		ok := walk(k.lo)
		c.value[reg] |= bit
		ok = ok && walk(k.hi)
		c.mask[reg] &^= bit
		c.value[reg] &^= bit
		return ok
	}
	return walk(n)
}
