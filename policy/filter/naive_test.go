package filter

import (
	"errors"
	"go/ast"
	goparser "go/parser"
	gotoken "go/token"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"cordon/policy/filter/tables"
)

// This file decides calls and conditions in a slow and simple way, directly by the documentation of Spec and of the
// expression language. It uses go/parser, big integers and maps. It shares only the tables with the compiler.

// naive returns the decision about one call.
func naive(s *Spec, native Arch, d *Data) Action {
	deflt, unknown := s.Default, s.Unknown
	if deflt.Kind == Unset {
		deflt = Action{Errno, 1}
	}
	if unknown.Kind == Unset {
		unknown = Action{Errno, 38}
	}
	denied := deflt
	if denied.Kind == Allow || denied.Kind == Log {
		denied = Action{Errno, 1}
	}
	abi, nr := NoArch, uint32(d.Nr)
	for _, a := range append([]Arch{native}, s.Foreign...) {
		if a != X32 && a.Audit() == d.Arch {
			abi = a
		}
	}
	if abi == AMD64 && nr >= 0x40000000 && nr != 0xffffffff {
		abi, nr = NoArch, nr-0x40000000
		if slices.Contains(s.Foreign, X32) {
			abi = X32
		}
	}
	if abi == NoArch {
		return Action{Kind: Kill}
	}
	call, ok := Name(abi, nr)
	if !ok {
		return unknown
	}
	switch n := (naiveSpec{s, native, abi, denied, denied != deflt}); {
	case n.denies(call):
		return denied
	case n.bypass(call):
		if n.ruled(call) != "" || n.allows(call) || n.open {
			return denied
		}
		return deflt
	case n.ruled(call) != "":
		return n.rules(call, d)
	case n.allows(call):
		return Action{Kind: Allow}
	}
	return deflt
}

type naiveSpec struct {
	*Spec
	native, abi Arch
	denied      Action
	open        bool // calls that the Spec does not name are allowed
}

func (n naiveSpec) names(items []Item, call string) bool {
	for _, it := range items {
		if it.Name == call || slices.Contains(Members(it.Name), call) {
			return true
		}
	}
	return false
}

func (n naiveSpec) allows(call string) bool { return n.names(n.Allow, call) }

// bases returns the calls of which call is a variant on a 32-bit ABI.
func bases(call string) (b []string) {
	for _, v := range tables.Variants {
		if tables.CallNames[v.Other] == call {
			b = append(b, tables.CallNames[v.Call])
		}
	}
	return b
}

func (n naiveSpec) denies(call string) bool {
	for _, b := range append(bases(call), call) {
		if n.names(n.Deny, b) {
			return true
		}
	}
	return false
}

// ruled returns the call whose rules apply to this call, or "".
func (n naiveSpec) ruled(call string) string {
	for _, b := range append([]string{call}, bases(call)...) {
		for _, r := range n.Rules {
			if r.Call == b || slices.Contains(Members(r.Call), b) {
				return b
			}
		}
	}
	return ""
}

// bypass reports whether call does the work of another call that is not freely allowed.
func (n naiveSpec) bypass(call string) bool {
	for _, m := range tables.Multiplexed {
		if other := tables.CallNames[m.Other]; tables.CallNames[m.Call] == call && (n.denies(other) || n.ruled(other) != "" || !n.allows(other) && !n.open) {
			return true
		}
	}
	return false
}

// rules returns the most severe result of the rules. Of several fixed actions of the same kind it returns the last.
func (n naiveSpec) rules(call string, d *Data) Action {
	base, worst := n.ruled(call), Action{Kind: Allow}
	for _, r := range n.Rules {
		if r.Call != base && !slices.Contains(Members(r.Call), base) {
			continue
		}
		a, fixed := n.rule(&r, call, d)
		if a.Kind > worst.Kind || a.Kind == worst.Kind && fixed {
			worst = a
		}
	}
	return worst
}

func (n naiveSpec) rule(r *Rule, call string, d *Data) (a Action, fixed bool) {
	if a, err := ParseAction(r.Expr); err == nil {
		return a, a.Kind != Allow
	}
	other := r.Else
	if other.Kind == Unset {
		other = n.denied
	}
	if n.abi == I386 && (call == "mmap" || call == "select") {
		return other, false
	}
	ok, err := naiveExpr(r.Expr, call, n.abi, d)
	if err != nil && call == r.Call {
		panic(err)
	}
	if err == nil && ok {
		return Action{Kind: Allow}, false
	}
	return other, false
}

// naiveValue is a condition (b) or a number of width bits. If width is 0, it is a constant without bounds.
type naiveValue struct {
	isBool, b bool
	v         *big.Int
	width     uint // the declared width
	room      uint // the width on the ABI
	signed    bool
}

var errNaive = errors.New("not an expression of the language")

// naiveExpr evaluates a condition.
func naiveExpr(src, call string, abi Arch, d *Data) (holds bool, err error) {
	// Three arguments have the names of Go's keywords.
	src = keywords.ReplaceAllString(strings.NewReplacer("\n", " ", "\r", " ").Replace(src), "${1}_")
	e, err := goparser.ParseExpr(src)
	if err != nil {
		return false, err
	}
	defer func() {
		if r := recover(); r != nil {
			if r != errNaive {
				panic(r)
			}
			err = errNaive
		}
	}()
	n := naiveCall{call, abi, d}
	v := n.eval(e)
	if !v.isBool {
		return false, errNaive
	}
	return v.b, nil
}

var keywords = regexp.MustCompile(`\b(type|func|range)\b`)

type naiveCall struct {
	call string
	abi  Arch
	d    *Data
}

func need(ok bool) {
	if !ok {
		panic(errNaive)
	}
}

func (n naiveCall) eval(e ast.Expr) naiveValue {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return n.eval(e.X)
	case *ast.BasicLit:
		v, ok := new(big.Int).SetString(e.Value, 0)
		need(ok && e.Kind == gotoken.INT)
		return naiveValue{v: v}
	case *ast.Ident:
		return n.ident(strings.TrimSuffix(e.Name, "_"))
	case *ast.UnaryExpr:
		return n.unary(e.Op, n.eval(e.X))
	case *ast.BinaryExpr:
		return n.binary(e.Op, n.eval(e.X), n.eval(e.Y))
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		need(ok && !e.Ellipsis.IsValid() && len(e.Args) > 0)
		var args []naiveValue
		for _, a := range e.Args {
			args = append(args, n.eval(a))
		}
		return n.callOf(id.Name, args)
	}
	panic(errNaive)
}

func (n naiveCall) ident(name string) naiveValue {
	if name == "true" || name == "false" {
		return naiveValue{isBool: true, b: name == "true"}
	}
	for i, f := range strings.Fields(tables.CallArgs[callID(n.call)]) {
		if f[:len(f)-2] == name {
			return n.arg(i, f[len(f)-1])
		}
	}
	if len(name) == 4 && strings.HasPrefix(name, "reg") && strings.ContainsAny(name[3:], "012345") {
		return n.arg(int(name[3]-'0'), 'r')
	}
	v, ok := constant(name, n.abi)
	need(ok)
	x := new(big.Int).SetUint64(v.Bits)
	if v.Flags&2 != 0 {
		x = big.NewInt(int64(v.Bits))
	}
	return naiveValue{v: x}
}

func (n naiveCall) arg(i int, width byte) naiveValue {
	r := naiveValue{v: new(big.Int).SetUint64(n.d.Args[i]), width: 64}
	old := n.abi == I386 || n.abi == ARM
	switch width {
	case 'p':
		panic(errNaive)
	case 'i', 'u':
		r.width = 32
	case 'h':
		r.width = 16
	case 'o':
		r.width = 32
		if old {
			r.width = 16
		}
	}
	for _, f := range strings.Fields(tables.CallArgs[callID(n.call)])[:min(i+1, len(strings.Fields(tables.CallArgs[callID(n.call)])))] {
		need(!(old && strings.HasSuffix(f, ":q") && width != 'r'))
	}
	need(!(n.abi == X32 && width != 'r' && i >= 3 && strings.Contains("preadv preadv2 pwritev pwritev2", n.call) && n.call != "read" && n.call != "write"))
	r.signed = width == 'i' || width == 'l'
	r.room = r.width
	if nr, _ := Number(X32, n.call); r.width == 64 && (old || n.abi == X32 && nr >= 512) {
		r.room = 32
	}
	return r.wrap()
}

// wrap reduces a number to its width.
func (v naiveValue) wrap() naiveValue {
	if v.width == 0 {
		return v
	}
	m := new(big.Int).Lsh(big.NewInt(1), v.room)
	v.v = new(big.Int).Mod(v.v, m) // the result is never negative
	if v.signed && v.v.Bit(int(v.room)-1) == 1 {
		v.v.Sub(v.v, m)
	}
	return v
}

func (n naiveCall) unary(op gotoken.Token, x naiveValue) naiveValue {
	if op == gotoken.NOT {
		need(x.isBool)
		x.b = !x.b
		return x
	}
	need(!x.isBool)
	switch op {
	case gotoken.ADD:
	case gotoken.SUB:
		x.v = new(big.Int).Neg(x.v)
	case gotoken.XOR, gotoken.TILDE:
		x.v = new(big.Int).Not(x.v)
	default:
		panic(errNaive)
	}
	return x.wrap()
}

func (n naiveCall) binary(op gotoken.Token, x, y naiveValue) naiveValue {
	if op == gotoken.LAND || op == gotoken.LOR {
		need(x.isBool && y.isBool)
		return naiveValue{isBool: true, b: x.b && y.b || op == gotoken.LOR && (x.b || y.b)}
	}
	need(!x.isBool && !y.isBool)
	if op.Precedence() == 3 {
		return naiveValue{isBool: true, b: naiveCompare(op, x, y)}
	}
	need(x.width == 0 || y.width == 0)
	r := x
	if x.width == 0 {
		r = y
	}
	a, b := x.v, y.v
	switch op {
	case gotoken.ADD:
		r.v = new(big.Int).Add(a, b)
	case gotoken.SUB:
		r.v = new(big.Int).Sub(a, b)
	case gotoken.MUL:
		r.v = new(big.Int).Mul(a, b)
	case gotoken.QUO:
		need(b.Sign() != 0)
		r.v = new(big.Int).Quo(a, b)
	case gotoken.REM:
		need(b.Sign() != 0)
		r.v = new(big.Int).Rem(a, b)
	case gotoken.AND:
		r.v = new(big.Int).And(a, b)
	case gotoken.OR:
		r.v = new(big.Int).Or(a, b)
	case gotoken.XOR:
		r.v = new(big.Int).Xor(a, b)
	case gotoken.AND_NOT:
		r.v = new(big.Int).AndNot(a, b)
	case gotoken.SHL, gotoken.SHR:
		need(y.width == 0 && b.Sign() >= 0)
		if op == gotoken.SHR {
			r.v = new(big.Int).Rsh(a, uint(min(b.Uint64(), 1000)))
		} else {
			need(b.IsUint64() && (b.Uint64() < 1000 || a.Sign() == 0))
			r.v = new(big.Int).Lsh(a, uint(min(b.Uint64(), 1000)))
		}
	default:
		panic(errNaive)
	}
	return r.wrap()
}

// naiveCompare compares numbers. == and != compare the bits of a constant, so -1 equals 0xffffffff.
func naiveCompare(op gotoken.Token, x, y naiveValue) bool {
	if op == gotoken.EQL || op == gotoken.NEQ {
		if x.width == 0 {
			x, y = y, x
		}
		a, b := x.v, y.v
		if y.width != 0 {
			return (a.Cmp(b) == 0) == (op == gotoken.EQL)
		}
		if m := new(big.Int).Lsh(big.NewInt(1), x.room); x.width != 0 && (b.Sign() < 0 || b.Cmp(m) < 0) && b.Cmp(new(big.Int).Neg(new(big.Int).Rsh(m, 1))) >= 0 {
			a, b = new(big.Int).Mod(a, m), new(big.Int).Mod(b, m)
		}
		return (a.Cmp(b) == 0) == (op == gotoken.EQL)
	}
	c := x.v.Cmp(y.v)
	switch op {
	case gotoken.LSS:
		return c < 0
	case gotoken.LEQ:
		return c <= 0
	case gotoken.GTR:
		return c > 0
	}
	return c >= 0
}

func (n naiveCall) callOf(name string, args []naiveValue) naiveValue {
	x := args[0]
	need(!x.isBool)
	switch name {
	case "in":
		need(len(args) > 1)
		r := naiveValue{isBool: true}
		for _, y := range args[1:] {
			need(!y.isBool && y.width == 0)
			r.b = r.b || naiveCompare(gotoken.EQL, x, y)
		}
		return r
	case "mask":
		need(len(args) == 2 && args[1].width == 0)
		return n.binary(gotoken.AND, x, args[1])
	}
	need(len(args) == 1)
	w, ok := map[string]uint{"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "int32": 32, "int64": 64}[name]
	need(ok)
	if x.width == 0 {
		return x
	}
	x.room = min(w, max(x.room, 32))
	if w > x.width {
		x.room = w
	}
	x.width, x.signed = w, strings.HasPrefix(name, "int")
	return x.wrap()
}
