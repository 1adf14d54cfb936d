package filter

import (
	"math/bits"
	"strconv"
)

// token is a lexical element of Go's expression syntax.
type token uint8

const (
	tokEnd token = iota
	tokName
	tokInt
	tokLparen
	tokRparen
	tokComma
	tokNot    // !
	tokTilde  // ~
	tokOrOr   // ||
	tokAndAnd // &&
	tokEq
	tokNe
	tokLt
	tokLe
	tokGt
	tokGe
	tokAdd
	tokSub
	tokOr
	tokXor // ^
	tokMul
	tokQuo
	tokRem
	tokShl
	tokShr
	tokAnd
	tokAndNot // &^
	tokBad
)

// precedence returns Go's precedence of a binary operator, or 0 for any other token.
func (t token) precedence() int {
	switch {
	case t == tokOrOr:
		return 1
	case t == tokAndAnd:
		return 2
	case t >= tokEq && t <= tokGe:
		return 3
	case t >= tokAdd && t <= tokXor:
		return 4
	case t >= tokMul && t <= tokAndNot:
		return 5
	}
	return 0
}

// next reads the token at p.pos into p.tok, with its text and its position.
func (p *parser) next() {
	for p.pos < len(p.src) && isSpace(p.src[p.pos]) {
		p.pos++
	}
	p.start = p.pos
	if p.pos == len(p.src) {
		p.tok, p.text = tokEnd, ""
		return
	}
	switch ch := p.src[p.pos]; {
	case isLetter(ch), isDigit(ch):
		p.word()
		p.tok = tokName
		if isDigit(ch) {
			p.tok = tokInt
		}
	default:
		p.tok = p.operator(ch)
	}
	p.text = p.src[p.start:p.pos]
}

func (p *parser) word() {
	for p.pos < len(p.src) && (isLetter(p.src[p.pos]) || isDigit(p.src[p.pos])) {
		p.pos++
	}
}

// operators lists the operators. An operator of two characters comes before the operator that is its first character.
var operators = [...]struct {
	text string
	tok  token
}{
	{"--", tokBad}, {"++", tokBad}, {"<-", tokBad}, // tokens of Go that no condition may contain
	{"||", tokOrOr}, {"&&", tokAndAnd}, {"==", tokEq}, {"!=", tokNe}, {"<=", tokLe}, {">=", tokGe}, {"<<", tokShl}, {">>", tokShr}, {"&^", tokAndNot},
	{"<", tokLt}, {">", tokGt}, {"+", tokAdd}, {"-", tokSub}, {"|", tokOr}, {"^", tokXor}, {"*", tokMul}, {"/", tokQuo}, {"%", tokRem}, {"&", tokAnd},
	{"!", tokNot}, {"~", tokTilde}, {"(", tokLparen}, {")", tokRparen}, {",", tokComma},
}

func (p *parser) operator(ch byte) token {
	for _, o := range operators {
		if o.text[0] != ch {
			continue
		}
		if len(o.text) == 1 || p.pos+1 < len(p.src) && p.src[p.pos+1] == o.text[1] {
			p.pos += len(o.text)
			return o.tok
		}
	}
	p.pos++
	for p.pos < len(p.src) && p.src[p.pos]&0xc0 == 0x80 { // the rest of a UTF-8 sequence
		p.pos++
	}
	return tokBad
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// number is a constant from -1<<63 to 1<<64-1: its 64 bits in two's complement, and whether it is negative.
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

// magnitude returns the absolute value.
func (n number) magnitude() uint64 {
	if n.neg {
		return -n.bits
	}
	return n.bits
}

// signed makes a number from a magnitude and a sign; ok is false if the number does not fit.
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

// sum returns x + y + carry. y may be the complement of a number. The result is false if the sum does not fit.
func sum(x, y number, carry uint64) (number, bool) {
	lo, c := bits.Add64(x.bits, y.bits, carry)
	hi := c // the sum of the carry and of both signs: 0 or -1 each
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
