// Package yaml reads and writes the subset of YAML that a profile may use: one document of mappings, lists and scalars,
// with its comments. It refuses text that another YAML reader could understand differently.
package yaml

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// These limits bound the cost of reading a profile, because anyone may have written it.
const (
	MaxFile  = 1 << 20 // bytes
	maxNodes = 200_000
	maxDepth = 24
	maxKeys  = 1024 // keys of one mapping, and bytes of one key
)

// NodeKind tells scalars, mappings and lists apart.
type NodeKind uint8

const (
	ScalarNode NodeKind = iota
	MapNode
	SeqNode
)

// ScalarType is the type that YAML gives a plain scalar.
type ScalarType uint8

const (
	StrScalar ScalarType = iota
	IntScalar
	FloatScalar
	BoolScalar
	NullScalar
	OddScalar // some readers take it for a number, a date or a truth value, others for a text
)

func (t ScalarType) String() string {
	return [...]string{"a string", "a number", "a number", "true or false", "nothing", "a word of two meanings"}[t]
}

// Node is a YAML value.
type Node struct {
	Kind      NodeKind
	Scalar    ScalarType
	Text      string // the text of a scalar, without quotes
	Style     byte   // for a scalar: 0 plain, '\'', '"', '|', '>'
	Flow      bool   // for a mapping or list: it is written with brackets
	Folded    bool   // for a scalar: it covers several lines and is not a block
	Glued     bool   // for a plain scalar: " #x" follows, a comment that does not look like one
	Line, Col int
	Items     []*Item
}

// Item is an entry of a mapping or a list, with the comments around it.
type Item struct {
	Key       *Node // nil in a list
	Val       *Node
	line, col int
	parent    *Item    // the item whose value contains this item; nil at the top
	Flow      bool     // inside brackets
	Head      []string // comment lines before it; "" is an empty line
	Tail      string   // comment after it on its line
	foot      []string // comment lines after it, before an item that is indented less
}

// What names the kind of the node in words, for error messages: "a mapping".
func (n *Node) What() string {
	switch n.Kind {
	case MapNode:
		return "a mapping"
	case SeqNode:
		return "a list"
	}
	return n.Scalar.String()
}

// Document is a file of one YAML document.
type Document struct {
	File  string
	lines []string
	Root  *Node // nil if the document is empty
	Head  []string
	foot  []string

	Comments int // how many comments the file has, wherever they are attached
}

// Error describes what is wrong at a place in a file.
type Error struct {
	File      string
	Line, Col int // from 1; 0 if the error is about the whole file
	Msg, Hint string
	Text      string // the line
}

func (e *Error) Error() string { return e.Msg }

// ErrorAt returns an error at a place of the file.
func (d *Document) ErrorAt(line, col int, msg, hint string) *Error {
	e := &Error{File: d.File, Line: line, Col: col, Msg: msg, Hint: hint}
	if line >= 1 && line <= len(d.lines) {
		e.Text = d.lines[line-1]
	}
	return e
}

// Add appends an entry to a mapping, followed by a comment.
func (n *Node) Add(key string, val *Node, tail string) {
	n.Items = append(n.Items, &Item{Key: Text(key), Val: val, Tail: tail})
}

// Push appends an entry to a list, followed by a comment.
func (n *Node) Push(val *Node, tail string) {
	n.Items = append(n.Items, &Item{Val: val, Tail: tail})
}

// Text returns a text scalar, written without quotes if possible.
func Text(s string) *Node { return &Node{Text: s, Style: '|'} }

// Read reads one document of plain YAML, without anchors, aliases, merge keys, tags and directives. Text that another
// YAML reader could understand differently is an error. A test compares this reader with another reader.
func Read(file string, data []byte) (*Document, *Error) {
	d := &Document{File: file}
	if len(data) > MaxFile {
		return d, d.ErrorAt(0, 0, fmt.Sprintf("the file has %d bytes; a profile may have %d", len(data), MaxFile), "")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if err := d.checkBytes(); err != nil {
		return d, err
	}
	r := &reader{d: d, col: 1}
	d.Root = r.document()
	if r.err != nil {
		return d, r.err
	}
	d.attachComments(r.comments)
	return d, nil
}

func (d *Document) checkBytes() *Error {
	for i, line := range d.lines {
		col := 0
		for j, r := range line {
			col++
			if r == utf8.RuneError {
				if _, n := utf8.DecodeRuneInString(line[j:]); n == 1 {
					return d.ErrorAt(i+1, col, "invalid UTF-8", "")
				}
			}
			if r != '\t' && unicode.IsControl(r) || strings.ContainsRune("\u2028\u2029\ufeff\ufffe\uffff", r) {
				return d.ErrorAt(i+1, col, fmt.Sprintf("control character U+%04X", r), `write it as an escape in double quotes`)
			}
		}
	}
	return nil
}

// Equal reports whether two trees mean the same, even if they are written differently.
func Equal(a, b *Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind || a.Scalar != b.Scalar || a.Kind == ScalarNode && a.Text != b.Text || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Items {
		x, y := a.Items[i], b.Items[i]
		if (x.Key == nil) != (y.Key == nil) || x.Key != nil && !Equal(x.Key, y.Key) || !Equal(x.Val, y.Val) {
			return false
		}
	}
	return true
}
