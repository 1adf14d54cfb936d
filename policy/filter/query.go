package filter

import (
	"strconv"
	"strings"

	"cordon/policy/filter/tables"
)

// Query is one call to ask about, written as in C or as strace prints it: socket(AF_INET, SOCK_STREAM, 0).
type Query struct {
	ABI  Arch
	Call string // the call's name; "" for an unknown number
	Nr   uint32 // the number as in struct seccomp_data: for X32 with X32Bit
	Args [6]QueryArg
}

// QueryArg is one argument of a Query.
type QueryArg struct {
	Name    string // the name in rules; reg0 to reg5 if the call has no such argument
	Text    string // the argument as written; "" if it was left out
	Value   uint64 // the register, if Known
	Known   bool
	Pointer bool // the argument is an address, and no filter sees what is there
}

// ParseQuery parses a question about a call:
//
//	keyctl    435    socket(AF_INET, SOCK_STREAM, 0)    openat(AT_FDCWD, "/x", flags=O_RDONLY)    kill(_, SIGTERM)
//
// A value is a constant as in a rule's expression. Text in quotes stands for a pointer, and so do {…}, […] and &x. An
// argument is unknown if it is left out or written as _; a final … (or ...) leaves out the remaining arguments. The
// error is an *Error with the column.
func ParseQuery(src string, abi Arch) (*Query, error) {
	if table(abi) == nil {
		return nil, &Error{Msg: "no system call table for " + quote(abi.String())}
	}
	if len(src) > maxExpr {
		return nil, &Error{Col: 1, Msg: "the call is longer than " + strconv.Itoa(maxExpr) + " bytes"}
	}
	head, rest, called := strings.Cut(src, "(")
	q := &Query{ABI: abi}
	if err := q.named(strings.TrimSpace(head)); err != nil {
		return nil, err
	}
	q.name()
	if !called {
		return q, nil
	}
	end := strings.LastIndexByte(rest, ')')
	if end < 0 || strings.TrimSpace(rest[end+1:]) != "" {
		return nil, &Error{Col: len(src), Msg: "expected ) at the end of the call"}
	}
	if err := q.arguments(rest[:end], len(head)+1); err != nil {
		return nil, err
	}
	return q, nil
}

// named finds the call by its name or number.
func (q *Query) named(name string) error {
	nr, err := strconv.ParseUint(name, 0, 32)
	if err != nil {
		return q.byName(name)
	}
	q.Nr = uint32(nr)
	if q.ABI == AMD64 && q.Nr >= X32Bit && q.Nr != 1<<32-1 {
		q.ABI = X32
	}
	if q.ABI == X32 {
		q.Nr |= X32Bit
	}
	q.Call, _ = Name(q.ABI, q.Number())
	return nil
}

// Number returns Nr without X32Bit, which is the number in the table.
func (q *Query) Number() uint32 {
	if q.ABI == X32 {
		return q.Nr &^ X32Bit
	}
	return q.Nr
}

func (q *Query) byName(name string) error {
	if groupIndex(name) >= 0 {
		return &Error{Col: 1, Msg: name + " is a group, not a call", Hint: "cordon filter groups " + name + " lists its calls"}
	}
	if !Known(name) {
		e := unknownCall(name, "")
		e.Col = 1
		return e
	}
	nr, ok := Number(q.ABI, name)
	if !ok {
		return &Error{Col: 1, Msg: q.ABI.String() + " has no system call " + name, Hint: name + " is a call of " + strings.Join(abisWith(name), ", ")}
	}
	q.Call, q.Nr = tables.CallNames[callID(name)], nr
	if q.ABI == X32 {
		q.Nr |= X32Bit
	}
	return nil
}

func abisWith(call string) (names []string) {
	for a := AMD64; a <= X32; a++ {
		if _, ok := Number(a, call); ok {
			names = append(names, a.String())
		}
	}
	return names
}

// name gives the arguments their names.
func (q *Query) name() {
	for i := range q.Args {
		q.Args[i].Name = "reg" + strconv.Itoa(i)
	}
	if q.Call == "" {
		return
	}
	p := parser{arch: q.ABI, call: callID(q.Call)}
	for i, f := range strings.Fields(tables.CallArgs[p.call]) {
		if !p.split(i) { // an argument in two registers has no single register
			q.Args[i].Name, q.Args[i].Pointer = f[:len(f)-2], f[len(f)-1] == 'p'
		}
	}
}

// arguments reads the text between the parentheses. from is the offset of this text in the call, in bytes.
func (q *Query) arguments(src string, from int) error {
	names := Args(q.Call)
	for i, at := range split(src) {
		byName := false
		text := src[at[0]:at[1]]
		from := from + at[0] + len(text) - len(strings.TrimLeft(text, " \t\n"))
		text = strings.TrimSpace(text)
		if name, value, ok := strings.Cut(text, "="); ok && isName(name) && !strings.HasPrefix(value, "=") {
			i, byName = q.index(strings.TrimSpace(name)), true
			if i < 0 {
				return &Error{Col: from + 1, Msg: q.title() + " has no argument " + quote(strings.TrimSpace(name)), Hint: q.lists()}
			}
			from += len(text) - len(strings.TrimLeft(value, " "))
			text = strings.TrimSpace(value)
		}
		switch {
		case text == "" && strings.TrimSpace(src) == "", text == "...", text == "…":
			return nil
		case i >= len(q.Args), q.Call != "" && i >= len(names) && !byName:
			return &Error{Col: from + 1, Msg: q.title() + " has no argument " + strconv.Itoa(i+1), Hint: q.lists()}
		}
		if err := q.value(&q.Args[i], text); err != nil {
			err.Col += from
			return err
		}
	}
	return nil
}

// title returns the call's name or, if it has none, its number.
func (q *Query) title() string {
	if q.Call != "" {
		return q.Call
	}
	return "number " + strconv.Itoa(int(q.Number()))
}

func (q *Query) lists() string {
	if names := Args(q.Call); len(names) > 0 {
		return q.Call + " has " + strings.Join(names, ", ")
	}
	return q.title() + " has no named arguments; the registers are reg0 to reg5"
}

func (q *Query) index(name string) int {
	for i := range q.Args {
		if q.Args[i].Name == name || name == "reg"+strconv.Itoa(i) {
			return i
		}
	}
	return -1
}

func isName(s string) bool {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if !isLetter(s[i]) && (i == 0 || !isDigit(s[i])) {
			return false
		}
	}
	return s != ""
}

// value reads one argument. The error's column is relative to text.
func (q *Query) value(a *QueryArg, text string) *Error {
	a.Text = text
	switch {
	case text == "":
		return &Error{Col: 1, Msg: "an argument is missing", Hint: "_ is one that is not known"}
	case text == "_", text == "?":
		return nil
	case strings.ContainsRune(`"{[&`, rune(text[0])):
		a.Pointer = true
		return nil
	case text == "NULL":
		a.Known = true
		return nil
	}
	id := uint16(0)
	if q.Call != "" {
		id = callID(q.Call)
	}
	p := parser{conds: &conds{}, src: text, arch: q.ABI, call: id}
	p.next()
	x := p.binary(1)
	switch {
	case p.err == nil && p.tok != tokEnd:
		p.fail(p.start, "unexpected "+p.found())
	case p.err == nil && x.kind != isConst:
		p.failHint(x.col, quote(text)+" is "+x.kind.String()+", not a value", "a constant by name, a number, or _ for one that is not known")
	}
	if p.err != nil {
		return p.err
	}
	a.Known, a.Value = true, x.value.bits
	if q.ABI.is32() {
		a.Value &= 1<<32 - 1
	}
	return nil
}

// split returns the start and the end of each argument. It splits at the commas that are not in brackets or quotes.
func split(src string) (parts [][2]int) {
	depth, from, quoted := 0, 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '{' || c == '[':
			depth++
		case c == ')' || c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, [2]int{from, i})
			from = i + 1
		}
	}
	return append(parts, [2]int{from, len(src)})
}

// Data returns the call as a filter sees it. It uses the values in unknown for the unknown arguments.
func (q *Query) Data(unknown [6]uint64) Data {
	d := Data{Nr: int32(q.Nr), Arch: q.ABI.Audit(), Args: unknown}
	for i := range q.Args {
		if q.Args[i].Known {
			d.Args[i] = q.Args[i].Value
		}
	}
	return d
}

// known reports, for each register, whether the query knows its value.
func (q *Query) known() (k [6]bool) {
	for i := range q.Args {
		k[i] = q.Args[i].Known
	}
	return k
}
