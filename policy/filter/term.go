package filter

import (
	"math/bits"
	"strconv"
)

// term is a value made of an argument: ((arg & and) ^ xor), then shifted, then added to; modulo 1<<width.
// Every operator that keeps this form can be decided by BPF without arithmetic at run time: comparisons are turned
// round until they are about (arg & and) ^ xor.
type term struct {
	arg      uint8
	width    uint8 // 8, 16, 32 or 64 bits as the kernel declares it
	signed   bool  // in <, <=, > and >=
	narrow   bool  // declared with 64 bits of which the ABI has 32
	raw      bool  // reg0 to reg5: what is compared with is taken as it is, for rules that a program wrote
	and, xor uint64
	shift    int8   // to the right; negative to the left
	room     uint64 // of a shift to the right: the greatest value before it
	add      uint64
}

// max is the greatest value of the declared width.
func (t *term) max() uint64 { return 1<<(t.width-1)<<1 - 1 }

// reach is the greatest value that the ABI has room for.
func (t *term) reach() uint64 {
	if t.narrow {
		return t.max() & (1<<32 - 1)
	}
	return t.max()
}

// bits is how many bits the ABI has room for.
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

// bitwise is x op k for an argument x.
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

// bits is x op m for one of & &^ | ^. Bits of the shifted value are bits of the unshifted one elsewhere.
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

// powers is * / % by a power of two.
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

// convert is uint32(x) and its like.
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
		t.width, t.signed = width, signed // the same value with room above it
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
		// The value stays within its width by its mask: what a shift to the left pushes out is masked away here.
		m >>= -t.shift
	}
	t.and, t.xor = t.and&m, t.xor&m
	t.width = width
	t.narrow = t.narrow && width > 32
}
