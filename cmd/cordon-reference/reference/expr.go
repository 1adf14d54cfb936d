package reference

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"slices"
	"strings"

	"cordon/policy/filter"
)

// number is a constant, or a value computed from a register.
type number struct {
	v      *big.Int // the value, if it is a constant
	bits   []node   // if it is not a constant, its bits, the lowest first, as many as the ABI has
	width  int      // the width of the type that the kernel declares
	signed bool
}

func (n *number) constant() bool { return n.v != nil }

// reader makes the diagram of a condition on one call.
type reader struct {
	*diagrams
	call string
	abi  filter.Arch
}

var (
	errLanguage = errors.New("not an expression of the language")
	errTwoArgs  = errors.New("libseccomp compares no two arguments with each other")
)

// condition reads an expression. The error is errLanguage, errTwoArgs, errTooLarge, or an error of go/parser.
func (r *reader) condition(src string) (n node, err error) {
	e, err := parser.ParseExpr(escapeKeywords(src))
	if err != nil {
		return never, err
	}
	defer func() {
		switch x := recover().(type) {
		case nil:
		case error:
			if !errors.Is(x, errLanguage) && !errors.Is(x, errTwoArgs) && !errors.As(x, new(errTooLarge)) {
				panic(x)
			}
			n, err = never, x
		default:
			panic(x)
		}
	}()
	return r.boolean(e), nil
}

// escapeKeywords appends _ to words that are keywords of Go, because arguments can have such names. It also replaces
// line ends by blanks.
func escapeKeywords(src string) string {
	word := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	var b strings.Builder
	for i := 0; i < len(src); {
		j := i
		for j < len(src) && word(src[j]) {
			j++
		}
		if j == i {
			if c := src[i]; c == '\n' || c == '\r' {
				b.WriteByte(' ')
			} else {
				b.WriteByte(c)
			}
			i++
			continue
		}
		b.WriteString(src[i:j])
		if token.IsKeyword(src[i:j]) {
			b.WriteByte('_')
		}
		i = j
	}
	return b.String()
}

func need(ok bool) {
	if !ok {
		panic(errLanguage)
	}
}

func (r *reader) boolean(e ast.Expr) node {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return r.boolean(e.X)
	case *ast.Ident:
		need(e.Name == "true" || e.Name == "false")
		if e.Name == "true" {
			return always
		}
		return never
	case *ast.UnaryExpr:
		need(e.Op == token.NOT)
		return r.not(r.boolean(e.X))
	case *ast.CallExpr:
		name, args := r.callee(e)
		need(name == "in" && len(args) > 1)
		x := r.number(args[0])
		any := never
		for _, a := range args[1:] {
			any = r.or(any, r.compare(token.EQL, x, r.number(a)))
		}
		return any
	case *ast.BinaryExpr:
		switch e.Op {
		case token.LAND:
			return r.and(r.boolean(e.X), r.boolean(e.Y))
		case token.LOR:
			return r.or(r.boolean(e.X), r.boolean(e.Y))
		}
		need(e.Op.Precedence() == token.EQL.Precedence())
		return r.compare(e.Op, r.number(e.X), r.number(e.Y))
	}
	panic(errLanguage)
}

func (r *reader) callee(e *ast.CallExpr) (string, []ast.Expr) {
	id, ok := e.Fun.(*ast.Ident)
	need(ok && !e.Ellipsis.IsValid())
	return id.Name, e.Args
}

func (r *reader) number(e ast.Expr) number {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return r.number(e.X)
	case *ast.BasicLit:
		v, ok := new(big.Int).SetString(e.Value, 0)
		need(ok && e.Kind == token.INT)
		return number{v: v}
	case *ast.Ident:
		return r.named(strings.TrimSuffix(e.Name, "_"))
	case *ast.UnaryExpr:
		return r.unary(e.Op, r.number(e.X))
	case *ast.BinaryExpr:
		return r.binary(e.Op, r.number(e.X), r.number(e.Y))
	case *ast.CallExpr:
		name, args := r.callee(e)
		need(len(args) > 0)
		x := r.number(args[0])
		if name == "mask" {
			need(len(args) == 2)
			return r.binary(token.AND, x, r.number(args[1]))
		}
		need(len(args) == 1)
		return r.convert(name, x)
	}
	panic(errLanguage)
}

func (r *reader) named(name string) number {
	params := filter.Params(r.call)
	for i, p := range params {
		if p.Name != name {
			continue
		}
		need(p.Kind != 'p')
		need(!narrow32(r.abi) || !slices.ContainsFunc(params[:i+1], func(p filter.Param) bool { return p.Kind == 'q' }))
		need(r.abi != filter.X32 || i < 3 || !positioned(r.call))
		return r.register(i, p.Kind)
	}
	if len(name) == 4 && strings.HasPrefix(name, "reg") && name[3] >= '0' && name[3] <= '5' {
		return r.register(int(name[3]-'0'), 'r')
	}
	bits, negative, ok := filter.Constant(name, r.abi)
	need(ok)
	if negative {
		return number{v: big.NewInt(int64(bits))}
	}
	return number{v: new(big.Int).SetUint64(bits)}
}

// positioned reports whether a call takes a file position, which x32 passes in one register.
func positioned(call string) bool {
	switch call {
	case "preadv", "pwritev", "preadv2", "pwritev2":
		return true
	}
	return false
}

// narrow32 reports whether the registers of an ABI have 32 bits.
func narrow32(abi filter.Arch) bool { return abi == filter.I386 || abi == filter.ARM }

// register returns an argument as the kernel reads it from its register.
func (r *reader) register(i int, kind byte) number {
	n := number{width: 64, signed: kind == 'i' || kind == 'l'}
	switch kind {
	case 'i', 'u':
		n.width = 32
	case 'o':
		n.width = 32
		if narrow32(r.abi) {
			n.width = 16
		}
	case 'h':
		n.width = 16
	}
	room := n.width
	if nr, _ := filter.Number(filter.X32, r.call); room == 64 && (narrow32(r.abi) || r.abi == filter.X32 && nr >= 512) {
		room = 32
	}
	for b := range room {
		if r.abi == filter.X32 && b >= 32 { // libseccomp compares only 32 bits on x32
			n.bits = append(n.bits, never)
			continue
		}
		n.bits = append(n.bits, r.choose(int16(64*i+63-b), never, always))
	}
	return n
}
