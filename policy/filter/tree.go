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

// tree emits the decision over segs, with v in the accumulator; the zero view stands for the call's number.
func (c *compiler) tree(v view, segs []segment) label {
	base := len(c.units)
	c.units = units(segs, c.units)
	l := c.subtree(v, base, len(c.units))
	c.units = c.units[:base]
	return l
}

func (c *compiler) subtree(v view, from, to int) label {
	if to-from == 1 {
		return c.chain(v, c.units[from]) // a copy: emitting a check may move the slice
	}
	mid := (from + to) / 2
	lo := c.units[mid].lo
	right := c.subtree(v, mid, to)
	left := c.subtree(v, from, mid)
	return c.test(v, opJge, lo, right, left)
}

func (c *compiler) chain(v view, u unit) label {
	l := c.resolve(u.to)
	for i := u.n - 1; i >= 0; i-- {
		l = c.test(v, opJeq, u.except[i].lo, c.resolve(u.except[i].to), l)
	}
	return l
}

// madeTest is a conditional jump of a check and where it is. What is in the accumulator is not part of it: whoever
// jumps there puts its own value in.
type madeTest struct {
	code uint16
	k    uint32
	t, f label
	at   label
}

// remembered is how many tests are looked through for one to use again.
const remembered = 256

// test emits a conditional jump on v, or finds one that was made before: calls with the same rules share their checks,
// whole or in part, across architectures too.
func (c *compiler) test(v view, code uint16, k uint32, t, f label) label {
	if t == f || v.word == 0 {
		return c.cond(code, k, t, f)
	}
	for i := max(0, len(c.tests)-remembered); i < len(c.tests); i++ {
		if m := &c.tests[i]; m.k == k && m.code == code && m.t == t && m.f == f {
			return m.at
		}
	}
	at := c.cond(code, k, t, f)
	c.tests = append(c.tests, madeTest{code, k, t, f, at})
	return at
}
