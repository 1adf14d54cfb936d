package reference

// This file does arithmetic on numbers whose bits depend on the registers (the arguments of a system call).

import (
	"go/token"
	"math/big"
	"strings"
)

func (r *reader) unary(op token.Token, x number) number {
	switch {
	case op == token.ADD:
		return x
	case op == token.SUB && x.constant():
		return number{v: new(big.Int).Neg(x.v)}
	case (op == token.XOR || op == token.TILDE) && x.constant():
		return number{v: new(big.Int).Not(x.v)}
	case op == token.XOR || op == token.TILDE:
		return r.each(x, func(_ int, b node) node { return r.not(b) })
	}
	panic(errLanguage)
}

// each returns a number of the same type. Bit i is f(i, bit i of x).
func (r *reader) each(x number, f func(i int, b node) node) number {
	y := x
	y.bits = make([]node, len(x.bits))
	for i, b := range x.bits {
		y.bits[i] = f(i, b)
	}
	return y
}

func bit(v *big.Int, i int) bool { // bit i in two's complement
	if v.Sign() >= 0 {
		return v.Bit(i) == 1
	}
	return new(big.Int).Not(v).Bit(i) == 0
}

func (r *reader) binary(op token.Token, x, y number) number {
	switch {
	case x.constant() && y.constant():
		return number{v: fold(op, x.v, y.v)}
	case !x.constant() && !y.constant():
		panic(errLanguage)
	case x.constant():
		need(op == token.ADD || op == token.AND || op == token.OR || op == token.XOR)
		x, y = y, x
	}
	k := y.v
	switch op {
	case token.AND:
		return r.each(x, func(i int, b node) node { return pick(bit(k, i), b, never) })
	case token.OR:
		return r.each(x, func(i int, b node) node { return pick(bit(k, i), always, b) })
	case token.XOR:
		return r.each(x, func(i int, b node) node { return pick(bit(k, i), r.not(b), b) })
	case token.AND_NOT:
		return r.each(x, func(i int, b node) node { return pick(bit(k, i), never, b) })
	case token.ADD:
		return r.add(x, k)
	case token.SUB:
		return r.add(x, new(big.Int).Neg(k))
	case token.SHL, token.SHR:
		need(k.IsInt64() && k.Sign() >= 0 && k.Int64() < 64)
		return r.shift(x, op, int(k.Int64()))
	case token.MUL, token.QUO, token.REM:
		return r.scale(x, op, k)
	}
	panic(errLanguage)
}

func pick(yes bool, a, b node) node {
	if yes {
		return a
	}
	return b
}

func fold(op token.Token, x, y *big.Int) *big.Int {
	v := new(big.Int)
	switch op {
	case token.AND:
		return v.And(x, y)
	case token.OR:
		return v.Or(x, y)
	case token.XOR:
		return v.Xor(x, y)
	case token.AND_NOT:
		return v.AndNot(x, y)
	case token.ADD:
		return v.Add(x, y)
	case token.SUB:
		return v.Sub(x, y)
	case token.MUL:
		return v.Mul(x, y)
	case token.QUO, token.REM:
		need(y.Sign() != 0)
		if op == token.QUO {
			return v.Quo(x, y)
		}
		return v.Rem(x, y)
	case token.SHL, token.SHR:
		need(y.IsInt64() && y.Sign() >= 0)
		if op == token.SHL {
			need(y.Int64() < 1000 || x.Sign() == 0)
			return v.Lsh(x, uint(min(y.Int64(), 1000)))
		}
		return v.Rsh(x, uint(min(y.Int64(), 1000)))
	}
	panic(errLanguage)
}

// add returns x + k, modulo 2^len(x.bits).
func (r *reader) add(x number, k *big.Int) number {
	carry := never
	return r.each(x, func(i int, b node) node {
		if bit(k, i) {
			s := r.not(r.xor(b, carry))
			carry = r.or(b, carry)
			return s
		}
		s := r.xor(b, carry)
		carry = r.and(b, carry)
		return s
	})
}

func (r *reader) shift(x number, op token.Token, n int) number {
	fill := never
	if x.signed && op == token.SHR {
		fill = x.bits[len(x.bits)-1]
	}
	return r.each(x, func(i int, _ node) node {
		from := i - n
		if op == token.SHR {
			from = i + n
		}
		switch {
		case from < 0:
			return never
		case from >= len(x.bits):
			return fill
		}
		return x.bits[from]
	})
}

// scale returns x * k, x / k or x % k. k must be a power of two.
func (r *reader) scale(x number, op token.Token, k *big.Int) number {
	need(k.Sign() > 0 && k.TrailingZeroBits() == uint(k.BitLen()-1))
	n := k.BitLen() - 1
	switch op {
	case token.MUL:
		return r.shift(x, token.SHL, n)
	case token.QUO:
		return r.shift(x, token.SHR, n)
	}
	return r.each(x, func(i int, b node) node { return pick(i < n, b, never) })
}

func (r *reader) convert(name string, x number) number {
	width, ok := map[string]int{"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "int32": 32, "int64": 64}[name]
	need(ok)
	if x.constant() {
		return x
	}
	room := min(width, max(len(x.bits), 32))
	if width > x.width {
		room = width
	}
	y := number{width: width, signed: strings.HasPrefix(name, "int")}
	for i := range room {
		switch {
		case i < len(x.bits):
			y.bits = append(y.bits, x.bits[i])
		case x.signed:
			y.bits = append(y.bits, x.bits[len(x.bits)-1])
		default:
			y.bits = append(y.bits, never)
		}
	}
	return y
}

func (r *reader) compare(op token.Token, x, y number) node {
	switch {
	case x.constant() && y.constant():
		return pick(holds(op, x.v.Cmp(y.v)), always, never)
	case !x.constant() && !y.constant():
		panic(errTwoArgs)
	case x.constant():
		x, y = y, x
		op = map[token.Token]token.Token{token.LSS: token.GTR, token.GTR: token.LSS, token.LEQ: token.GEQ, token.GEQ: token.LEQ, token.EQL: token.EQL, token.NEQ: token.NEQ}[op]
	}
	switch op {
	case token.EQL:
		return r.equal(x, y.v)
	case token.NEQ:
		return r.not(r.equal(x, y.v))
	case token.LSS:
		return r.less(x, y.v)
	case token.GEQ:
		return r.not(r.less(x, y.v))
	case token.LEQ:
		return r.less(x, new(big.Int).Add(y.v, big.NewInt(1)))
	case token.GTR:
		return r.not(r.less(x, new(big.Int).Add(y.v, big.NewInt(1))))
	}
	panic(errLanguage)
}

func holds(op token.Token, cmp int) bool {
	switch op {
	case token.EQL:
		return cmp == 0
	case token.NEQ:
		return cmp != 0
	case token.LSS:
		return cmp < 0
	case token.LEQ:
		return cmp <= 0
	case token.GTR:
		return cmp > 0
	}
	return cmp >= 0
}

// equal returns the condition x == k. It compares bits, so -1 equals 0xffffffff.
func (r *reader) equal(x number, k *big.Int) node {
	size := uint(len(x.bits))
	top := new(big.Int).Lsh(big.NewInt(1), size)
	if k.Cmp(top) >= 0 || k.Cmp(new(big.Int).Neg(new(big.Int).Rsh(top, 1))) < 0 {
		return never
	}
	all := always
	for i, b := range x.bits {
		all = r.and(all, pick(bit(k, i), b, r.not(b)))
	}
	return all
}

// less returns the condition x < k. For a signed number it flips the sign bits of x and k, so that unsigned comparison
// gives the right result.
func (r *reader) less(x number, k *big.Int) node {
	size := len(x.bits)
	flip := -1
	if x.signed {
		flip = size - 1
		k = new(big.Int).Add(k, new(big.Int).Lsh(big.NewInt(1), uint(flip)))
	}
	switch {
	case k.Sign() <= 0:
		return never
	case k.BitLen() > size:
		return always
	}
	below := never // whether the lower bits are less; the loop begins with the lowest bit
	for i, b := range x.bits {
		if i == flip {
			b = r.not(b)
		}
		if k.Bit(i) == 1 {
			below = r.ite(b, below, always)
		} else {
			below = r.ite(b, never, below)
		}
	}
	return below
}
