package policy

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A profile may come from anyone, so the reader bounds what it can cost.
const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 200_000
	maxDepth = 24
	maxKeys  = 1024 // keys of one mapping, and characters of one key
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
	oddScalar // a number, a date or a truth value to some readers and text to others
)

func (t scalarType) String() string {
	return [...]string{"a string", "a number", "a number", "true or false", "nothing", "a word of two meanings"}[t]
}

// node is a YAML value: what this package keeps of the parser's tree.
type node struct {
	kind      nodeKind
	scalar    scalarType
	text      string // of a scalar, unquoted
	style     byte   // of a scalar: 0 plain, '\'', '"', '|', '>'
	flow      bool   // of a map or seq: written with brackets
	folded    bool   // of a scalar: it stands on several lines, and is not a block
	glued     bool   // of a plain scalar: what follows is a comment that does not look like one: " #x"
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

// readYAML reads one document of plain YAML: no anchors, aliases, merge keys, tags or directives. Whatever another reader
// of YAML could take for something else is an error: a test compares the two.
func readYAML(file string, data []byte) (*document, *Error) {
	d := &document{file: file}
	if len(data) > maxFile {
		return d, d.errorAt(0, 0, fmt.Sprintf("the file has %d bytes; a profile may have %d", len(data), maxFile), "")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if err := d.checkBytes(); err != nil {
		return d, err
	}
	r := &reader{d: d, col: 1}
	d.root = r.document()
	if r.err != nil {
		return d, r.err
	}
	d.attachComments(r.comments)
	return d, nil
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
