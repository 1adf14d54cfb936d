package filter

// The compiler emits programs from the end. So the targets of a jump exist before the jump, and the compiler knows
// every distance. out[0] is the last instruction of the program. The position of an instruction is its index in out.
//
// If a verdict depends only on the call's number, the path to it uses only loads of nr and arch, JEQ, JGE, JGT, JSET,
// JA, AND and RET. The kernel (kernel/seccomp.c, seccomp_cache_prepare, Linux 5.11) evaluates exactly these
// instructions for every number when it loads the filter. It then never runs the filter for calls that are always
// allowed.

// label is the target of a jump, as a position in out. A negative label stands for an action or a check, which the
// compiler emits near the jumps that use it.
type label int32

// checkLabel is the label of the first check; further checks have the labels below it. Labels of actions are -1, -2, …
const checkLabel label = -1 << 20

// tooLong is the length at which the emitter stops. It is far beyond MaxInsns, so that the error can still
// say by how much a program is too long.
const tooLong = 16 * MaxInsns

// emitter writes instructions from the end.
type emitter struct {
	out     []Insn
	actions []emittedAction
}

// emittedAction is an action, and the position of the RET that was last emitted for it.
type emittedAction struct {
	ret uint32
	pos int32 // -1 if none was emitted
}

// actionLabel returns the label of an action.
func (e *emitter) actionLabel(a Action) label {
	ret := a.Ret()
	for i := range e.actions {
		if e.actions[i].ret == ret {
			return label(-1 - i)
		}
	}
	e.actions = append(e.actions, emittedAction{ret, -1})
	return label(-len(e.actions))
}

func (e *emitter) emit(code uint16, k uint32) label {
	if len(e.out) < tooLong {
		e.out = append(e.out, Insn{Code: code, K: k})
	}
	return label(len(e.out) - 1)
}

// near returns a position for l that the next instruction can jump to, even if 255-slack instructions come in between.
// It emits at most one instruction: a long jump, or another RET, which costs no more than a jump to the earlier RET.
func (e *emitter) near(l label, slack int) int {
	if l >= 0 {
		if len(e.out)-int(l)-1 <= 255-slack {
			return int(l)
		}
		return int(e.emit(opJump, uint32(len(e.out)-int(l)-1)))
	}
	a := &e.actions[-1-l]
	if a.pos < 0 || len(e.out)-int(a.pos)-1 > 255-slack {
		a.pos = int32(e.emit(opRet, a.ret))
	}
	return int(a.pos)
}

// cond emits a conditional jump.
func (e *emitter) cond(code uint16, k uint32, t, f label) label {
	if t == f {
		return t
	}
	tp := e.near(t, 1) // near(f) may emit one instruction in between
	fp := e.near(f, 0)
	if len(e.out) >= tooLong {
		return label(len(e.out) - 1)
	}
	n := len(e.out)
	e.out = append(e.out, Insn{code, uint8(n - tp - 1), uint8(n - fp - 1), k})
	return label(n)
}

// before ensures that the instruction emitted next falls through to l. If l is not the instruction emitted last,
// before emits a RET or a jump.
func (e *emitter) before(l label) {
	n := label(len(e.out))
	switch {
	case l == n-1:
	case l < 0 && e.actions[-1-l].pos == int32(n-1):
	case l < 0:
		e.actions[-1-l].pos = int32(e.emit(opRet, e.actions[-1-l].ret))
	default:
		e.emit(opJump, uint32(n-l-1))
	}
}

// program returns the emitted instructions in the order of the program.
func (e *emitter) program() []Insn {
	n := len(e.out)
	p := make([]Insn, n)
	for i, in := range e.out {
		p[n-1-i] = in
	}
	return p
}

// segment is the target for values of the accumulator from lo up to the next segment.
type segment struct {
	lo uint32
	to label
}

// A unit is a range of segments that a chain of at most maxChain JEQs decides. All values of the range have the same
// target, except for at most maxChain single values. In a chain, a single value costs one JEQ. As a segment of the
// tree, it would cost two JGEs. So the chains keep the program short, and the tree over the units keeps it shallow.
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
		return c.chain(v, c.units[from]) // a copy, because the emission of a check may move the slice
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

// madeTest is a conditional jump of a check, and its position. It does not record a view, because each jump to the test
// first loads the value that the test expects.
type madeTest struct {
	code uint16
	k    uint32
	t, f label
	at   label
}

// remembered is how many of the latest tests and entries the compiler searches for an equal one.
const remembered = 256

// test emits a conditional jump on v. If it has already emitted an equal jump, it returns the label of that jump
// instead. So calls with the same rules share their checks, in whole or in part, even on different architectures.
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
