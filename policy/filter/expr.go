package filter

import (
	"sort"
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// A condition is an expression in Go's syntax, over a call's arguments:
//
//	in(family, AF_UNIX, AF_INET) && protocol != IPPROTO_MPTCP
//	flags & CLONE_NEW_ANY == 0
//
// Operands are integers, constants of the kernel's headers by name, the arguments by the names that man-pages gives
// them, and reg0 to reg5: the six arguments as bare 64-bit registers. Operators have Go's precedence. mask(x, m) is
// x & m. in(x, …) is true if x is one of the values. uint8, uint16, uint32, uint64, int32 and int64 convert.
//
// A comparison uses the part of an argument that the kernel reads: of an int only the low 32 bits, of a mode_t only
// the low 16. If it used all 64 bits, a program could change the result by setting bits that the kernel then ignores.
// This is how the fix of CVE-2017-5226 was circumvented (CVE-2019-10063). On a 32-bit ABI a comparison uses only the
// low half of an argument, because the high half may hold anything. int and long are signed in <, <=, > and >=.
//
// The type of prctl's arg2 or fcntl's arg depends on another argument. A comparison uses all bits of such an argument,
// but many operations read an int. So a rule that forbids single values there should say uint32(arg2) != ….
//
// A condition cannot look at what a pointer points to, because that may change between the check and the call.

// maxExpr limits an expression's length in bytes. maxDepth limits how deeply parentheses, unary operators and calls nest.
const (
	maxExpr  = 1 << 16
	maxDepth = 64
)

// parser turns an expression into a condition, for one call on one ABI.
type parser struct {
	*conds
	src, text  string
	pos, start int
	tok        token
	depth      int
	arch       Arch
	call       uint16
	err        *Error
}

// operand is a constant, a value that is made from an argument, or a condition.
type operand struct {
	kind  operandKind
	col   int
	value number
	t     term
	r     ref
}

type operandKind uint8

const (
	isBad operandKind = iota
	isConst
	isTerm
	isCond
)

func (k operandKind) String() string {
	return [...]string{"nothing", "a constant", "an argument", "a condition"}[k]
}

// parseExpr parses src as a condition on call.
func parseExpr(c *conds, src string, call uint16, arch Arch) (ref, *Error) {
	p := parser{conds: c, src: src, arch: arch, call: call}
	if len(src) > maxExpr {
		return refFalse, &Error{Col: 1, Msg: "the expression is longer than " + strconv.Itoa(maxExpr) + " bytes"}
	}
	p.next()
	x := p.binary(1)
	if p.err == nil && p.tok != tokEnd {
		p.fail(p.start, "unexpected "+p.found())
	}
	if p.err == nil && x.kind != isCond {
		p.fail(x.col, "the expression is "+x.kind.String()+", not a condition")
		if x.kind == isTerm {
			p.err.Hint = "compare it, for example with != 0"
		}
	}
	if p.err == nil && p.full {
		p.fail(0, "the conditions are too large")
	}
	return x.r, p.err
}

// fail records an error, unless there is an earlier one, and ends the parsing.
func (p *parser) fail(at int, msg string) operand {
	if p.err == nil {
		p.err = &Error{Col: at + 1, Msg: msg}
	}
	p.tok, p.pos = tokEnd, len(p.src)
	return operand{}
}

func (p *parser) failHint(at int, msg, hint string) operand {
	if p.err == nil {
		p.fail(at, msg)
		p.err.Hint = hint
	}
	return operand{}
}

func (p *parser) found() string {
	switch p.tok {
	case tokEnd:
		return "end of the expression"
	case tokBad:
		if p.text == "=" {
			return `"=": comparison is ==`
		}
	}
	return quote(p.text)
}

func (p *parser) binary(min int) operand {
	x := p.unary()
	for p.err == nil {
		op, at := p.tok, p.start
		prec := op.precedence()
		if prec < min {
			return x
		}
		p.next()
		y := p.binary(prec + 1)
		if p.err != nil {
			return operand{}
		}
		x = p.apply(op, at, x, y)
	}
	return x
}

func (p *parser) unary() operand {
	op, at := p.tok, p.start
	switch op {
	case tokAdd, tokSub, tokNot, tokXor, tokTilde:
	default:
		return p.primary()
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail(at, "nested too deeply")
	}
	p.next()
	x := p.unary()
	p.depth--
	if p.err != nil {
		return operand{}
	}
	return p.applyUnary(op, at, x)
}

func (p *parser) applyUnary(op token, at int, x operand) operand {
	x2 := x
	x2.col = at
	switch {
	case op == tokNot && x.kind == isCond:
		x2.r = p.not(x.r)
		return x2
	case op == tokNot:
		return p.failHint(at, "! needs a condition, this is "+x.kind.String(), "for bits there is ^")
	case x.kind == isCond:
		return p.fail(at, "a condition is not a number")
	case op == tokAdd:
		return x2
	case x.kind == isTerm && op == tokSub:
		return p.fail(at, "an argument cannot be negated")
	case x.kind == isTerm:
		return p.bitwise(tokXor, at, x2, minusOne)
	case op == tokSub:
		x2.value = p.arith(tokSub, at, number{}, x.value)
	default:
		x2.value = number{^x.value.bits, !x.value.neg}
	}
	return p.checked(x2, at)
}

func (p *parser) primary() operand {
	at, text := p.start, p.text
	switch p.tok {
	case tokInt:
		p.next()
		return p.integer(at, text)
	case tokName:
		p.next()
		if p.tok == tokLparen {
			return p.callOf(at, text)
		}
		return p.named(at, text)
	case tokLparen:
		if p.depth++; p.depth > maxDepth {
			return p.fail(at, "nested too deeply")
		}
		p.next()
		x := p.binary(1)
		p.depth--
		p.expect(tokRparen, ")")
		x.col = at
		return x
	}
	return p.fail(at, "expected an operand, found "+p.found())
}

func (p *parser) expect(t token, text string) {
	if p.err == nil && p.tok != t {
		p.fail(p.start, "expected "+text+", found "+p.found())
		return
	}
	p.next()
}

func (p *parser) integer(at int, text string) operand {
	v, err := strconv.ParseUint(text, 0, 64)
	switch {
	case err == nil:
		return operand{kind: isConst, col: at, value: number{bits: v}}
	case err.(*strconv.NumError).Err == strconv.ErrRange:
		return p.fail(at, text+" does not fit in 64 bits")
	}
	return p.fail(at, "malformed number "+quote(text))
}

func (p *parser) named(at int, name string) operand {
	switch name {
	case "true", "false":
		x := operand{kind: isCond, col: at}
		if name == "true" {
			x.r = refTrue
		}
		return x
	}
	if t, width := p.argument(name); width != 0 {
		return p.argOperand(at, name, t, width)
	}
	if v, ok := constant(name, p.arch); ok {
		return operand{kind: isConst, col: at, value: number{v.Bits, v.Flags&2 != 0}}
	}
	return p.unknownName(at, name)
}

func (p *parser) unknownName(at int, name string) operand {
	call := tables.CallNames[p.call]
	args := Args(call)
	hint := call + " has no arguments"
	if len(args) > 0 {
		hint = call + " has " + strings.Join(args, ", ")
	}
	if i := sort.SearchStrings(tables.ConstNames[:], name); i < tables.NumConsts && tables.ConstNames[i] == name {
		return p.fail(at, p.arch.String()+" has no constant "+name)
	}
	if n := closest(name, args); n != "" {
		hint = "did you mean " + n + "?"
	} else if n := closest(name, tables.ConstNames[:]); n != "" {
		hint = "did you mean " + n + "?"
	}
	return p.failHint(at, "unknown name "+quote(name), hint)
}

// argument finds an argument by name. width is as in gen/calls.txt, or 0 if the call has no such argument.
func (p *parser) argument(name string) (index int, width byte) {
	if len(name) == 4 && name[:3] == "reg" && '0' <= name[3] && name[3] <= '5' {
		return int(name[3] - '0'), 'r'
	}
	for f := range strings.FieldsSeq(tables.CallArgs[p.call]) {
		n := len(f) - 2
		if f[:n] == name {
			return index, f[n+1]
		}
		index++
	}
	return 0, 0
}

func (p *parser) argOperand(at int, name string, index int, width byte) operand {
	t := term{arg: uint8(index), width: 64, raw: width == 'r'}
	switch {
	case width == 'p':
		return p.failHint(at, "argument "+name+" of "+tables.CallNames[p.call]+" is a pointer: what it points to can change after the check",
			"reg"+strconv.Itoa(index)+" is the address itself")
	case width != 'r' && p.split(index):
		return p.fail(at, "argument "+name+" of "+tables.CallNames[p.call]+" is not in a register of its own on "+p.arch.String())
	case width == 'i', width == 'u', width == 'o':
		t.width = 32
	case width == 'h':
		t.width = 16
	}
	t.signed = width == 'i' || width == 'l'
	if width == 'o' && p.arch.is32() {
		t.width = 16
	}
	t.and = t.max()
	if t.width == 64 && narrow(p.arch, p.call) {
		t.and, t.narrow = 1<<32-1, true
	}
	return operand{kind: isTerm, col: at, t: t}
}

// narrow reports whether the kernel reads only the low half of each argument. It does so on 32-bit ABIs, and for x32's
// own calls (from number 512 on), because these are the calls of the 32-bit ABI.
func narrow(abi Arch, call uint16) bool {
	if abi != X32 {
		return abi.is32()
	}
	for i := len(tables.CallsX32) - 1; tables.CallsX32[i].Nr >= 512; i-- {
		if tables.CallsX32[i].Call == call {
			return true
		}
	}
	return false
}

// split reports whether an argument takes two registers of a 32-bit ABI, or comes after an argument that does.
func (p *parser) split(index int) bool {
	if !p.arch.is32() && p.arch != X32 {
		return false
	}
	if p.arch == X32 { // compat_sys_preadv64v2 and others: the position takes one register; later arguments move
		return index >= 3 && strings.HasPrefix(tables.CallArgs[p.call], "fd:u iov:p iovcnt:L pos_l:L")
	}
	i := 0
	for f := range strings.FieldsSeq(tables.CallArgs[p.call]) {
		if i > index {
			break
		}
		if f[len(f)-1] == 'q' {
			return true
		}
		i++
	}
	return false
}

// callOf parses in(…), mask(…) and conversions.
func (p *parser) callOf(at int, name string) operand {
	if p.depth++; p.depth > maxDepth {
		return p.fail(at, "nested too deeply")
	}
	p.next()
	var first operand
	var values []number
	for n := 0; p.err == nil && p.tok != tokRparen; n++ {
		if n > 0 {
			if p.expect(tokComma, "comma or )"); p.tok == tokRparen {
				break // as in Go, a comma may come at the end
			}
		}
		x := p.binary(1)
		switch {
		case p.err != nil:
		case n == 0:
			first = x
		case x.kind != isConst:
			p.fail(x.col, name+" needs constants after its first argument, this is "+x.kind.String())
		default:
			values = append(values, x.value)
		}
	}
	p.depth--
	p.expect(tokRparen, ")")
	if p.err != nil {
		return operand{}
	}
	first.col = at
	return p.function(at, name, first, values)
}

func (p *parser) function(at int, name string, x operand, values []number) operand {
	switch {
	case name == "in" && x.kind != isBad && len(values) > 0:
		return p.oneOf(at, x, values)
	case name == "mask" && len(values) == 1 && (x.kind == isTerm || x.kind == isConst):
		return p.apply(tokAnd, at, x, operand{kind: isConst, col: at, value: values[0]})
	case name == "in":
		return p.fail(at, "in needs an argument and at least one value")
	case name == "mask":
		return p.fail(at, "mask needs an argument and a mask")
	}
	i := 0
	for i < len(conversions) && conversions[i].name != name {
		i++
	}
	switch {
	case i == len(conversions):
		return p.failHint(at, "unknown function "+quote(name), "in, mask, uint8, uint16, uint32, uint64, int32, int64")
	case len(values) > 0 || x.kind == isBad || x.kind == isCond:
		return p.fail(at, name+" needs one number")
	}
	return p.convert(at, x, conversions[i].width, conversions[i].signed)
}

var conversions = [...]struct {
	name   string
	width  uint8
	signed bool
}{{"uint8", 8, false}, {"uint16", 16, false}, {"uint32", 32, false}, {"uint64", 64, false}, {"int32", 32, true}, {"int64", 64, true}}

// apply returns the result of x op y.
func (p *parser) apply(op token, at int, x, y operand) operand {
	x2 := x
	switch prec := op.precedence(); {
	case prec <= 2:
		if x.kind != isCond || y.kind != isCond {
			bad := x
			if x.kind == isCond {
				bad = y
			}
			return p.failHint(bad.col, "&& and || need conditions, this is "+bad.kind.String(), "for bits there are & and |")
		}
		kind := nodeAnd
		if op == tokOrOr {
			kind = nodeOr
		}
		x2.r = p.join(kind, x.r, y.r)
		return x2
	case x.kind == isCond || y.kind == isCond:
		return p.failHint(at, "a condition is not a number", "== binds tighter than && and ||, & tighter than ==; conditions join with && and ||")
	case prec == 3:
		return p.compare(op, at, x, y)
	case x.kind == isTerm && y.kind == isTerm:
		return p.fail(at, "two arguments cannot be combined")
	case x.kind == isTerm:
		return p.bitwise(op, at, x, y.value)
	case y.kind == isTerm:
		switch op {
		case tokAnd, tokOr, tokXor, tokAdd:
			y.col = x.col
			return p.bitwise(op, at, y, x.value)
		}
		return p.fail(at, "the argument must be on the left here")
	}
	x2.value = p.arith(op, at, x.value, y.value)
	return p.checked(x2, at)
}

// checked fails if a constant exceeds 64 bits.
func (p *parser) checked(x operand, at int) operand {
	if p.err != nil {
		return operand{}
	}
	if x.value.neg && x.value.bits>>63 == 0 {
		return p.fail(at, "the constant does not fit in 64 bits")
	}
	return x
}
