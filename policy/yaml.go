package policy

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A profile may come from anyone, so what it can cost is bounded before the YAML parser sees it: that parser recurses
// with the depth and is quadratic in the keys of one mapping.
const (
	maxFile   = 1 << 20 // bytes
	maxTokens = 200_000
	maxDepth  = 24
	maxKeys   = 1024 // of one mapping
)

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mapNode
	seqNode
)

// scalarType is what YAML takes a plain scalar for.
type scalarType uint8

const (
	strScalar scalarType = iota
	intScalar
	floatScalar
	boolScalar
	nullScalar
)

func (t scalarType) String() string {
	return [...]string{"a string", "a number", "a number", "true or false", "nothing"}[t]
}

// node is a YAML value: what this package keeps of the parser's tree.
type node struct {
	kind      nodeKind
	scalar    scalarType
	text      string // of a scalar, unquoted
	style     byte   // of a scalar: 0 plain, '\'', '"', '|', '>'
	flow      bool   // of a map or seq: written with brackets
	line, col int
	items     []*item
}

// item is an entry of a map or a seq, with the comments around it.
type item struct {
	key       *node // nil in a seq
	val       *node
	line, col int
	parent    *item    // that this one is in the value of; nil at the top
	flow      bool     // inside brackets
	head      []string // comment lines before it; "" is an empty line
	tail      string   // comment after it on its line
	foot      []string // comment lines after it, before something less indented
}

func (n *node) what() string {
	switch n.kind {
	case mapNode:
		return "a mapping"
	case seqNode:
		return "a list"
	}
	return n.scalar.String()
}

// document is a file of one YAML document.
type document struct {
	file  string
	lines []string
	root  *node // nil if there is none
	head  []string
	foot  []string

	comments int // in the file, wherever they were attached
}

func (d *document) errorAt(line, col int, msg, hint string) *Error {
	e := &Error{Pos: Pos{File: d.file, Line: line, Col: col}, Msg: msg, Hint: hint}
	if line >= 1 && line <= len(d.lines) {
		e.Line = d.lines[line-1]
	}
	return e
}

// readYAML reads one document of plain YAML: no anchors, aliases, merge keys, tags or directives.
func readYAML(file string, data []byte) (d *document, err *Error) {
	d = &document{file: file}
	if len(data) > maxFile {
		return d, d.errorAt(0, 0, fmt.Sprintf("the file has %d bytes; a profile may have %d", len(data), maxFile), "")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	d.lines = strings.Split(text, "\n")
	if err := d.checkBytes(); err != nil {
		return d, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = d.errorAt(0, 0, "not YAML", "")
		}
	}()
	tokens := lexer.Tokenize(text)
	if err := d.checkTokens(tokens); err != nil {
		return d, err
	}
	f, perr := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if perr != nil {
		return d, d.syntaxError(perr)
	}
	if len(f.Docs) > 1 && f.Docs[1].Body != nil {
		line, col := place(f.Docs[1].Body.GetToken())
		return d, d.errorAt(line, col, "a second document", "a file holds one profile")
	}
	if len(f.Docs) > 0 && f.Docs[0].Body != nil {
		d.root, err = d.convert(f.Docs[0].Body)
	}
	if err == nil {
		d.attachComments(tokens)
	}
	return d, err
}

func (d *document) checkBytes() *Error {
	for i, line := range d.lines {
		col := 0
		for j, r := range line {
			col++
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(line[j:]); n == 1 {
					return d.errorAt(i+1, col, "invalid UTF-8", "")
				}
			}
			if r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
				return d.errorAt(i+1, col, fmt.Sprintf("control character U+%04X", r), `write it as an escape in double quotes`)
			}
		}
	}
	return nil
}

// refused are the parts of YAML that a profile does without.
func refused(t token.Type) (what, hint string) {
	switch t {
	case token.AnchorType, token.AliasType:
		return "anchors and aliases are not allowed", `a string that begins with & or * must be quoted; to share settings use extends`
	case token.MergeKeyType:
		return "merge keys are not allowed", "use extends"
	case token.TagType:
		return "tags are not allowed", "a string that begins with ! must be quoted"
	case token.DirectiveType:
		return "directives are not allowed", "a string that begins with % must be quoted"
	case token.MappingKeyType:
		return "a key must be a plain word", ""
	}
	return "", ""
}

// checkTokens bounds what the parser will do: depth, keys of one mapping, and the constructs it is not to see.
func (d *document) checkTokens(tokens token.Tokens) *Error {
	if len(tokens) > maxTokens {
		return d.errorAt(0, 0, fmt.Sprintf("more than %d words and signs", maxTokens), "")
	}
	s := shape{}
	for _, t := range tokens {
		line, col := place(t)
		if what, hint := refused(t.Type); what != "" {
			return d.errorAt(line, col, what, hint)
		}
		if what, hint := s.next(t); what != "" {
			return d.errorAt(line, col, what, hint)
		}
	}
	return nil
}

// shape follows the nesting of a token stream.
type shape struct {
	brackets []int // keys seen in each open bracket
	columns  []column
	pending  bool // a ':' was seen and no separator since
	line     int  // of that ':'
	docs     int
}

// column is an open block mapping or sequence.
type column struct{ col, keys int }

func (s *shape) next(t *token.Token) (what, hint string) {
	line, col := place(t)
	switch t.Type {
	case token.DocumentHeaderType:
		s.docs++
		s.columns = s.columns[:0]
		if s.docs > 1 {
			return "a second document", "a file holds one profile"
		}
	case token.MappingStartType, token.SequenceStartType:
		s.brackets = append(s.brackets, 0)
		s.pending = false
	case token.MappingEndType, token.SequenceEndType:
		s.brackets = s.brackets[:max(0, len(s.brackets)-1)]
		s.pending = false
	case token.CollectEntryType:
		s.pending = false
	case token.SequenceEntryType:
		s.open(col)
	case token.MappingValueType:
		if s.pending && (len(s.brackets) > 0 || line == s.line) {
			return "a second ':' in one entry", "a string that holds ': ' must be quoted"
		}
		s.pending, s.line = true, line
		if t.Prev != nil {
			_, col = place(t.Prev)
		}
		if s.key(col) > maxKeys {
			return fmt.Sprintf("more than %d keys in one mapping", maxKeys), ""
		}
	}
	if len(s.brackets)+len(s.columns) > maxDepth {
		return fmt.Sprintf("nested more than %d deep", maxDepth), ""
	}
	return "", ""
}

// key counts a key of the innermost mapping, whose keys in a block begin at col.
func (s *shape) key(col int) int {
	if n := len(s.brackets); n > 0 {
		s.brackets[n-1]++
		return s.brackets[n-1]
	}
	top := s.open(col)
	top.keys++
	return top.keys
}

func (s *shape) open(col int) *column {
	n := len(s.columns)
	for n > 0 && s.columns[n-1].col > col {
		n--
	}
	s.columns = s.columns[:n]
	if n == 0 || s.columns[n-1].col < col {
		s.columns = append(s.columns, column{col: col})
	}
	return &s.columns[len(s.columns)-1]
}

func place(t *token.Token) (line, col int) {
	if t == nil || t.Position == nil {
		return 0, 0
	}
	return t.Position.Line, max(t.Position.Column, 1)
}

// syntaxError takes the parser's message and place; its own Error method is quadratic in the file's size.
func (d *document) syntaxError(err error) *Error {
	e, ok := err.(interface {
		GetMessage() string
		GetToken() *token.Token
	})
	if !ok {
		return d.errorAt(0, 0, "not YAML", "")
	}
	line, col := place(e.GetToken())
	return d.errorAt(line, col, "not YAML: "+e.GetMessage(), "")
}

// convert turns the parser's tree into ours.
func (d *document) convert(n ast.Node) (*node, *Error) {
	line, col := place(n.GetToken())
	out := &node{line: line, col: col}
	switch v := n.(type) {
	case *ast.MappingNode:
		out.kind, out.flow = mapNode, v.IsFlowStyle
		return out, d.convertMap(out, v.Values)
	case *ast.MappingValueNode:
		out.kind = mapNode
		return out, d.convertMap(out, []*ast.MappingValueNode{v})
	case *ast.SequenceNode:
		out.kind, out.flow = seqNode, v.IsFlowStyle
		return out, d.convertSeq(out, v)
	case *ast.LiteralNode:
		out.text, out.style = v.Value.Value, '|'
		return out, nil
	case *ast.StringNode:
		out.text = v.Value
		switch v.Token.Type {
		case token.SingleQuoteType:
			out.style = '\''
		case token.DoubleQuoteType:
			out.style = '"'
		}
		return out, nil
	}
	return out, d.convertPlain(out, n)
}

func (d *document) convertPlain(out *node, n ast.Node) *Error {
	out.text = n.GetToken().Value
	switch n.(type) {
	case *ast.IntegerNode:
		out.scalar = intScalar
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.scalar = floatScalar
	case *ast.BoolNode:
		out.scalar = boolScalar
	case *ast.NullNode:
		out.scalar = nullScalar
	default:
		return d.errorAt(out.line, out.col, "not a value", "")
	}
	return nil
}

func (d *document) convertMap(out *node, entries []*ast.MappingValueNode) *Error {
	for _, e := range entries {
		key, err := d.convert(e.Key)
		if err != nil {
			return err
		}
		if key.kind != scalarNode {
			return d.errorAt(key.line, key.col, "a key must be a plain word", "")
		}
		val, err := d.convert(e.Value)
		if err != nil {
			return err
		}
		out.items = append(out.items, &item{key: key, val: val, line: key.line, col: key.col, flow: out.flow})
	}
	if len(out.items) > 0 && !out.flow {
		out.line, out.col = out.items[0].line, out.items[0].col
	}
	return nil
}

func (d *document) convertSeq(out *node, seq *ast.SequenceNode) *Error {
	for i, v := range seq.Values {
		val, err := d.convert(v)
		if err != nil {
			return err
		}
		it := &item{val: val, line: val.line, col: val.col, flow: out.flow}
		if !out.flow && i < len(seq.Entries) && seq.Entries[i] != nil {
			it.line, it.col = place(seq.Entries[i].Start)
		}
		out.items = append(out.items, it)
	}
	return nil
}
