package filter

// segment says where values of the accumulator from lo on go, up to the next segment.
type segment struct {
	lo uint32
	to label
}

// A unit is a stretch of segments decided by a chain of at most maxChain JEQs: single values that go elsewhere than
// what is around them. A single value costs one JEQ that way and two JGEs as segments, so chains make the program
// shorter, and the tree over the units keeps it shallow.
const maxChain = 3

type unit struct {
	lo     uint32
	to     label
	n      int
	except [maxChain]segment
}

// units appends the units of segs, which is sorted, begins at 0 and has no equal neighbours.
func units(segs []segment, into []unit) []unit {
	for i := 0; i < len(segs); {
		u := unit{lo: segs[i].lo, to: segs[i].to}
		i++
		for u.n < maxChain && i+1 < len(segs) && segs[i+1].lo == segs[i].lo+1 && segs[i+1].to == u.to {
			u.except[u.n] = segs[i]
			u.n++
			i += 2
		}
		if u.n < maxChain && i+1 == len(segs) && segs[i].lo == 1<<32-1 {
			u.except[u.n] = segs[i]
			u.n++
			i++
		}
		into = append(into, u)
	}
	return into
}

// tree emits the decision over segs, with the value in the accumulator.
func (c *compiler) tree(segs []segment) label {
	base := len(c.units)
	c.units = units(segs, c.units)
	l := c.subtree(base, len(c.units))
	c.units = c.units[:base]
	return l
}

func (c *compiler) subtree(from, to int) label {
	if to-from == 1 {
		return c.chain(c.units[from]) // a copy: emitting a check may move the slice
	}
	mid := (from + to) / 2
	lo := c.units[mid].lo
	right := c.subtree(mid, to)
	left := c.subtree(from, mid)
	return c.cond(opJge, lo, right, left)
}

func (c *compiler) chain(u unit) label {
	l := c.resolve(u.to)
	for i := u.n - 1; i >= 0; i-- {
		l = c.cond(opJeq, u.except[i].lo, c.resolve(u.except[i].to), l)
	}
	return l
}
