package filter

import (
	"slices"
)

// Comparisons of a term with a constant, and of two terms.

// compare is x op y for a comparison op.
func (p *parser) compare(op token, at int, x, y operand) operand {
	if x.kind == isConst && y.kind == isConst {
		return p.compareConst(op, x, y)
	}
	if x.kind == isTerm && y.kind == isTerm {
		return p.compareTerms(op, at, &x, &y)
	}
	if x.kind == isConst {
		x, y = y, x
		switch op {
		case tokLt:
			op = tokGt
		case tokLe:
			op = tokGe
		case tokGt:
			op = tokLt
		case tokGe:
			op = tokLe
		}
	}
	r := operand{kind: isCond, col: min(x.col, y.col)}
	if op == tokEq || op == tokNe {
		if !p.checkEqual(at, &x.t, y.value) {
			return operand{}
		}
		r.r = p.equal(x.t, y.value)
		if op == tokNe {
			r.r = p.not(r.r)
		}
		return r
	}
	lo, hi, ok := p.limits(op, at, &x.t, y.value)
	if ok {
		r.r = p.between(x.t, lo, hi)
	}
	return r
}

// compareTerms is x op y for two arguments.
func (p *parser) compareTerms(op token, at int, x, y *operand) operand {
	a, b := &x.t, &y.t
	order := op != tokEq && op != tokNe
	switch {
	case a.shift != 0 || b.shift != 0 || a.add != 0 || b.add != 0:
		return p.fail(at, "two arguments can be compared bare or masked, not shifted or added to")
	case !a.unsigned() && order || !b.unsigned() && order || a.unsigned() != b.unsigned() || !a.unsigned() && a.width != b.width:
		return p.failHint(at, "two arguments of which one may be negative cannot be compared so", "convert both to uint32")
	}
	r := operand{kind: isCond, col: x.col}
	if op == tokLt || op == tokLe {
		a, b = b, a
	}
	ah, bh, al, bl := a.high(a.xor), b.high(b.xor), a.low(a.xor), b.low(b.xor)
	switch op {
	case tokEq, tokNe:
		r.r = p.newPair(opJeq, ah, bh, p.newPair(opJeq, al, bl, refTrue, refFalse), refFalse)
		if op == tokNe {
			r.r = p.not(r.r)
		}
	case tokLt, tokGt:
		high := p.newPair(opJeq, ah, bh, p.newPair(opJgt, al, bl, refTrue, refFalse), refFalse)
		r.r = p.newPair(opJgt, ah, bh, refTrue, high)
	default:
		high := p.newPair(opJeq, ah, bh, p.newPair(opJge, al, bl, refTrue, refFalse), refFalse)
		r.r = p.newPair(opJgt, ah, bh, refTrue, high)
	}
	return r
}

func (p *parser) compareConst(op token, x, y operand) operand {
	less := x.value.neg && !y.value.neg || x.value.neg == y.value.neg && x.value.bits < y.value.bits
	same := x.value == y.value
	holds := same
	switch op {
	case tokNe:
		holds = !same
	case tokLt:
		holds = less
	case tokLe:
		holds = less || same
	case tokGt:
		holds = !less && !same
	case tokGe:
		holds = !less
	}
	r := operand{kind: isCond, col: x.col}
	if holds {
		r.r = refTrue
	}
	return r
}

func (p *parser) checkEqual(at int, t *term, k number) bool {
	if !k.fits(t.width) {
		p.fail(at, "the constant does not fit in the "+widthName(t.width)+" argument: it is never equal")
		return false
	}
	u := *t
	if _, ok := p.solve(&u, k); !ok && !t.raw && !t.narrow {
		p.fail(at, "the constant has bits that the masked or shifted argument cannot have: it is never equal")
		return false
	}
	return true
}

// equal is t == k.
func (p *parser) equal(t term, k number) ref {
	v, ok := p.solve(&t, k)
	if !ok {
		return refFalse
	}
	lo := p.newRange(t.low(0), uint32(v), uint32(v), refTrue, refFalse)
	return p.newRange(t.high(0), uint32(v>>32), uint32(v>>32), lo, refFalse)
}

// solve turns t == k into arg & t.and == v; ok is false if that never holds.
func (p *parser) solve(t *term, k number) (v uint64, ok bool) {
	max := t.reach()
	if t.narrow && !k.fits(32) {
		return 0, false
	}
	z := (k.bits - t.add) & max
	switch {
	case t.shift > 0:
		if z > t.room>>t.shift {
			return 0, false
		}
		z <<= t.shift
		t.and &= ^uint64(0) << t.shift
		t.xor &= ^uint64(0) << t.shift
	case t.shift < 0:
		if z<<(64+int(t.shift)) != 0 {
			return 0, false
		}
		z >>= -t.shift
		t.and &= max >> -t.shift
		t.xor &= max >> -t.shift
	}
	v = z ^ t.xor
	return v, v&^t.and == 0
}

// low and high are the views of the two halves of the argument; xor is that of a comparison by order.
func (t *term) low(xor uint64) view {
	return view{1 + 2*t.arg, uint32(t.and), uint32(xor)}
}

func (t *term) high(xor uint64) view {
	return view{2 + 2*t.arg, uint32(t.and >> 32), uint32(xor >> 32)}
}

// limits turns t op k into lo <= t <= hi, unsigned; lo > hi means a range that goes round from the top to the bottom,
// as the negative numbers and those up to some positive one do. ok is false after an error or for an empty range,
// which is lo = 1, hi = 0 otherwise.
func (p *parser) limits(op token, at int, t *term, k number) (lo, hi uint64, ok bool) {
	max := t.reach()
	low, high := number{}, number{bits: t.max()}
	if !t.unsigned() {
		if t.add != 0 || t.shift != 0 || t.xor != 0 || t.and != max {
			p.fail(at, "the order of a signed value that was changed cannot be decided: convert the argument to an unsigned type first")
			return 0, 0, false
		}
		half := uint64(1) << (t.width - 1)
		low, high = number{-half, true}, number{bits: half - 1}
	}
	edge := !t.raw && (k == low && (op == tokLt || op == tokGe) || k == high && (op == tokGt || op == tokLe))
	if less(k, low) || less(high, k) || edge {
		p.fail(at, "the range of the argument is from "+low.String()+" to "+high.String()+": the result never changes")
		return 0, 0, false
	}
	if t.narrow { // beyond what the ABI has room for everything is smaller, or greater
		low, high = number{}, number{bits: max}
		if !t.unsigned() {
			low, high = number{-(max/2 + 1), true}, number{bits: max / 2}
		}
	}
	from, to := low, high
	switch op {
	case tokLt, tokLe:
		to = k
	default:
		from = k
	}
	switch {
	case op == tokLt && !less(low, k), op == tokLe && less(k, low), op == tokGt && !less(k, high), op == tokGe && less(high, k):
		return 0, 0, false
	case op == tokLt && !less(high, k):
		to = number{k.bits - 1, k.neg || k.bits == 0}
	case op == tokGt && !less(k, low):
		from = number{k.bits + 1, k.neg && k.bits+1 != 0}
	}
	if less(high, to) {
		to = high
	}
	if less(from, low) {
		from = low
	}
	return from.bits & max, to.bits & max, true
}

func less(x, y number) bool {
	if x.neg != y.neg {
		return x.neg
	}
	return x.bits < y.bits
}

// between is lo <= t <= hi, or where lo > hi, t <= hi || lo <= t.
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

// inOrder is lo <= t <= hi without regard to t.add, for lo <= hi.
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

// wide is lo <= (arg & and) ^ xor <= hi, by halves.
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

// oneOf is in(x, values…).
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
			t.and = u.and // the same for every key: it depends on the shift alone
		}
	}
	slices.Sort(keys)
	r.r = p.oneOfKeys(t, slices.Compact(keys))
	return r
}

// oneOfKeys is arg & t.and == one of keys, which are sorted: a decision on the high half, then one on the low.
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

// follow appends that v leads to r and what comes after it to false.
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
