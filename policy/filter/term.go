package filter

import (
	"math/bits"
	"strconv"
)

// term is a value that is made from an argument: (arg & and) ^ xor, shifted by shift, plus add; all modulo 1<<width.
// If an operator keeps this form, BPF can decide a comparison without arithmetic at run time. The parser
// transforms the comparison into one of (arg & and) ^ xor.
type term struct {
	arg      uint8
	width    uint8 // the declared width: 8, 16, 32 or 64 bits
	signed   bool  // the order of values is signed in <, <=, > and >=
	narrow   bool  // declared with 64 bits, of which the ABI passes 32
	raw      bool  // reg0 to reg5: a comparison that is always true is no error, because programs generate such rules
	and, xor uint64
	shift    int8   // how far the value is shifted to the right; negative if it is shifted to the left
	room     uint64 // for a shift to the right: the greatest possible value before the shift
	add      uint64
}

// max returns the greatest value of the declared width.
func (t *term) max() uint64 { return 1<<(t.width-1)<<1 - 1 }

// reach returns the greatest value that the ABI can pass.
func (t *term) reach() uint64 {
	if t.narrow {
		return t.max() & (1<<32 - 1)
	}
	return t.max()
}

// bits returns how many bits the ABI can pass.
func (t *term) bits() int { return bits.Len64(t.reach()) }

// unsigned reports whether t cannot be negative when taken as signed.
func (t *term) unsigned() bool {
	ones := t.and | t.xor
	if t.shift > 0 {
		ones >>= t.shift
	} else {
		ones <<= -t.shift
	}
	return !t.signed || t.add == 0 && ones>>(t.bits()-1)&1 == 0
}

// bitwise returns x op k for an argument x.
func (p *parser) bitwise(op token, at int, x operand, k number) operand {
	t := &x.t
	switch op {
	case tokQuo, tokRem, tokMul:
		return p.powers(op, at, x, k)
	case tokShl, tokShr:
		return p.shiftTerm(op, at, x, k)
	}
	if !k.fits(t.width) {
		return p.fail(at, "the constant does not fit in the "+widthName(t.width)+" argument")
	}
	m := k.bits & t.reach()
	switch op {
	case tokAdd:
		t.add += m
	case tokSub:
		t.add -= m
	default:
		return p.bits(op, at, x, m)
	}
	t.add &= t.reach()
	return x
}

// bits returns x op m for the operators & &^ | ^. If x is shifted, bits applies m, shifted back, to the unshifted
// value.
func (p *parser) bits(op token, at int, x operand, m uint64) operand {
	t := &x.t
	if t.add != 0 {
		return p.fail(at, "bits of a sum cannot be decided by BPF without wrapping round: mask before adding")
	}
	if op == tokAndNot {
		op, m = tokAnd, ^m
	}
	lost := uint64(0) // the bits of the result that the shift has filled with zeros
	u := m & t.reach()
	if t.shift > 0 {
		u, lost = m<<t.shift&t.room, ^(t.room >> t.shift)
	} else if t.shift < 0 {
		u, lost = u>>-t.shift, 1<<-t.shift-1
	}
	switch op {
	case tokAnd:
		t.and, t.xor = t.and&u, t.xor&u
		return x
	case tokOr:
		t.and, t.xor = t.and&^u, t.xor|u
	case tokXor:
		t.xor ^= u
	}
	if m&lost&t.reach() != 0 {
		return p.fail(at, "setting bits of a shifted argument cannot be decided by BPF: set them before shifting")
	}
	return x
}

func (p *parser) shiftTerm(op token, at int, x operand, k number) operand {
	t := &x.t
	if k.neg || k.bits >= uint64(t.width) {
		return p.fail(at, "shift count out of range")
	}
	n := int8(k.bits)
	switch {
	case n == 0:
		return x
	case t.add != 0 || t.shift != 0:
		return p.fail(at, "an argument can be shifted once, before adding to it")
	case op == tokShr && !t.unsigned():
		return p.failHint(at, "an argument that may be negative cannot be shifted to the right", "uint"+strconv.Itoa(int(t.width))+"(…) makes it unsigned")
	case int(n) >= t.bits():
		t.and, t.xor = 0, 0
		return x
	case op == tokShl:
		n = -n
	default:
		t.room = t.reach()
	}
	t.shift = n
	return x
}

// powers returns x op k for the operators * / %. k must be a power of two.
func (p *parser) powers(op token, at int, x operand, k number) operand {
	n := number{bits: uint64(bits.Len64(k.bits) - 1)}
	switch {
	case k.neg || bits.OnesCount64(k.bits) != 1 || !k.fits(x.t.width):
		return p.failHint(at, "BPF cannot multiply or divide by this within a filter", "powers of two work")
	case op == tokMul:
		return p.shiftTerm(tokShl, at, x, n)
	case !x.t.unsigned():
		return p.fail(at, "an argument that may be negative cannot be divided")
	case op == tokRem:
		return p.bits(tokAnd, at, x, k.bits-1)
	}
	return p.shiftTerm(tokShr, at, x, n)
}

func widthName(width uint8) string {
	switch width {
	case 8:
		return "8-bit"
	case 16:
		return "16-bit"
	case 32:
		return "32-bit"
	}
	return "64-bit"
}

// convert returns a conversion of x, such as uint32(x).
func (p *parser) convert(at int, x operand, width uint8, signed bool) operand {
	x.col = at
	if x.kind == isConst {
		if x.value.neg != (signed && x.value.neg) || !x.value.fits(width) || signed && !x.value.neg && x.value.bits>>(width-1) != 0 {
			return p.fail(at, "the constant does not fit the conversion")
		}
		return x
	}
	t := &x.t
	switch {
	case width > t.width && !t.unsigned():
		return p.failHint(at, "an argument that may be negative cannot be widened", "compare it as it is, or convert it to uint"+strconv.Itoa(int(t.width)))
	case width > t.width && (t.add != 0 || t.shift < 0):
		return p.fail(at, "a sum cannot be widened: convert before adding")
	case width > t.width:
		t.width, t.signed = width, signed // the same value in a wider type
	case t.add != 0 && width < t.width:
		return p.fail(at, "a sum cannot be converted to a narrower type: convert before adding")
	default:
		t.signed = signed
		if width < t.width {
			p.truncate(t, width)
		}
	}
	return x
}

func (p *parser) truncate(t *term, width uint8) {
	m := uint64(1)<<width - 1
	switch {
	case t.shift > 0:
		m <<= t.shift
	case t.shift < 0:
		// The mask keeps the value within its width: it clears the bits that the shift to the left would push out.
		m >>= -t.shift
	}
	t.and, t.xor = t.and&m, t.xor&m
	t.width = width
	t.narrow = t.narrow && width > 32
}

// compare returns x op y for a comparison op.
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

// compareTerms returns x op y for two arguments.
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

// equal returns the condition t == k.
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

// low returns the view of the argument's low half. xor is t.xor, or 0 if the compared constant already includes
// t.xor.
func (t *term) low(xor uint64) view {
	return view{1 + 2*t.arg, uint32(t.and), uint32(xor)}
}

func (t *term) high(xor uint64) view {
	return view{2 + 2*t.arg, uint32(t.and >> 32), uint32(xor >> 32)}
}

// limits turns t op k into lo <= t <= hi, unsigned. If lo > hi, the range goes round from the top to the bottom; an
// example is the range from the negative numbers up to some positive number. ok is false after an error and for an
// empty range.
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
	if t.narrow { // a constant beyond the range that the ABI can pass is smaller or greater than every value
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
