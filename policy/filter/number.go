package filter

import (
	"math/bits"
	"strconv"
)

// number is a constant, from -1<<63 to 1<<64-1: 64 bits in two's complement and its sign.
type number struct {
	bits uint64
	neg  bool
}

var minusOne = number{^uint64(0), true}

// fits reports whether n has a representation in width bits, signed or unsigned.
func (n number) fits(width uint8) bool {
	if n.neg {
		return int64(n.bits) >= -1<<(width-1)
	}
	return width == 64 || n.bits>>width == 0
}

func (n number) String() string {
	if n.neg {
		return strconv.FormatInt(int64(n.bits), 10)
	}
	return strconv.FormatUint(n.bits, 10)
}

// magnitude is the absolute value.
func (n number) magnitude() uint64 {
	if n.neg {
		return -n.bits
	}
	return n.bits
}

// signed makes a number of a magnitude and a sign; ok is false if there is none.
func signed(mag uint64, neg bool) (n number, ok bool) {
	if !neg || mag == 0 {
		return number{mag, false}, true
	}
	return number{-mag, true}, mag <= 1<<63
}

// arith computes with constants.
func (p *parser) arith(op token, at int, x, y number) number {
	ok := true
	var n number
	switch op {
	case tokAnd:
		return number{x.bits & y.bits, x.neg && y.neg}
	case tokOr:
		return number{x.bits | y.bits, x.neg || y.neg}
	case tokXor:
		return number{x.bits ^ y.bits, x.neg != y.neg}
	case tokAndNot:
		return number{x.bits &^ y.bits, x.neg && !y.neg}
	case tokAdd:
		n, ok = sum(x, y, 0)
	case tokSub:
		n, ok = sum(x, number{^y.bits, !y.neg}, 1)
	case tokMul:
		hi, lo := bits.Mul64(x.magnitude(), y.magnitude())
		n, ok = signed(lo, x.neg != y.neg)
		ok = ok && hi == 0
	case tokQuo, tokRem:
		if y.bits == 0 {
			p.fail(at, "division by zero")
			return number{}
		}
		if op == tokQuo {
			n, ok = signed(x.magnitude()/y.magnitude(), x.neg != y.neg)
		} else {
			n, ok = signed(x.magnitude()%y.magnitude(), x.neg)
		}
	case tokShl, tokShr:
		return p.shift(op, at, x, y)
	}
	if !ok {
		p.fail(at, "the constant does not fit in 64 bits")
	}
	return n
}

// sum is x + y + carry; y may be the complement of a number.
func sum(x, y number, carry uint64) (number, bool) {
	lo, c := bits.Add64(x.bits, y.bits, carry)
	hi := c // of the sum's sign words: 0 or -1 each
	if x.neg {
		hi--
	}
	if y.neg {
		hi--
	}
	switch hi {
	case 0:
		return number{lo, false}, true
	case ^uint64(0):
		return number{lo, true}, lo>>63 == 1
	}
	return number{}, false
}

func (p *parser) shift(op token, at int, x, y number) number {
	if y.neg {
		p.fail(at, "negative shift count")
		return number{}
	}
	if op == tokShr {
		if y.bits > 63 {
			if x.neg {
				return minusOne
			}
			return number{}
		}
		if x.neg {
			return number{uint64(int64(x.bits) >> y.bits), true}
		}
		return number{x.bits >> y.bits, false}
	}
	mag := x.magnitude()
	if y.bits > 63 && mag != 0 || mag != 0 && bits.LeadingZeros64(mag) < int(y.bits) {
		p.fail(at, "the constant does not fit in 64 bits")
		return number{}
	}
	n, ok := signed(mag<<y.bits, x.neg)
	if !ok {
		p.fail(at, "the constant does not fit in 64 bits")
	}
	return n
}
