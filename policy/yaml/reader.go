package yaml

import (
	"strings"
	"unicode/utf8"
)

// A reader reads YAML by recursive descent. It keeps the first error. After an error every method returns at once.
type reader struct {
	d     *Document
	line  int // the line of the next character, from 0
	at    int // the index of the next byte in that line
	flow  int // how many brackets are open
	depth int // how many collections are open
	nodes int
	err   *Error

	comments []comment
	loose    int // the first comment after which only commas have followed

	colLine, colAt, col int // the last column that place counted; counting continues from there
}

func (r *reader) text() string { return r.d.lines[r.line] }
func (r *reader) rest() string { return r.d.lines[r.line][r.at:] }

// peek returns the next byte of the line, or 0 at its end.
func (r *reader) peek() byte { return r.next(0) }

func (r *reader) next(i int) byte {
	if s := r.text(); r.at+i < len(s) {
		return s[r.at+i]
	}
	return 0
}

// place returns the line and the column, in characters, of the next character.
func (r *reader) place() (line, col int) {
	if r.colLine != r.line || r.colAt > r.at {
		r.colLine, r.colAt, r.col = r.line, 0, 1
	}
	r.col += utf8.RuneCountInString(r.text()[r.colAt:r.at])
	r.colAt = r.at
	return r.line + 1, r.col
}

func (r *reader) fail(msg, hint string) {
	line, col := r.place()
	r.failAt(line, col, msg, hint)
}

func (r *reader) failAt(line, col int, msg, hint string) {
	if r.err == nil {
		r.err = r.d.ErrorAt(line, col, msg, hint)
	}
}

// node begins a value at the reader's position.
func (r *reader) node(kind NodeKind) *Node {
	n := &Node{Kind: kind}
	n.Line, n.Col = r.place()
	if r.nodes++; r.nodes > maxNodes {
		r.failAt(0, 0, "more than 200000 values", "")
	}
	r.loose = len(r.comments)
	return n
}

// enter counts a collection that begins; leave counts its end.
func (r *reader) enter() {
	if r.depth++; r.depth > maxDepth {
		r.fail("nested more than 24 deep", "")
	}
}

func (r *reader) leave() { r.depth-- }

// skip moves over blanks and comments to the next token, in this line or a later one. It returns false at the end of
// the document.
func (r *reader) skip() bool {
	for r.err == nil {
		if r.marker() || !r.blanks() {
			return false
		}
		switch {
		case r.at < len(r.text()) && r.peek() != '#':
			return true
		case r.at < len(r.text()):
			r.comment()
		case r.line == len(r.d.lines)-1:
			return false
		default:
			r.line, r.at = r.line+1, 0
		}
	}
	return false
}

// marker reports whether a line that ends or separates documents begins at the reader's position.
func (r *reader) marker() bool { return r.at == 0 && isMarker(r.text()) }

func isMarker(line string) bool {
	return (strings.HasPrefix(line, "---") || strings.HasPrefix(line, "...")) && blankAt(line, 3)
}

// blankAt reports whether s has a blank at i, or ends there.
func blankAt(s string, i int) bool { return i >= len(s) || s[i] == ' ' || s[i] == '\t' }

// blanks moves over blanks within the line. It accepts a tab only after a value, before a comment or the end of the
// line, because readers of YAML disagree about how far a tab indents.
func (r *reader) blanks() bool {
	s := r.text()
	for r.at < len(s) && s[r.at] == ' ' {
		r.at++
	}
	if r.at == len(s) || s[r.at] != '\t' {
		return r.err == nil
	}
	after := strings.TrimLeft(s[r.at:], " \t")
	before := strings.TrimRight(s[:r.at], " ")
	if before == "" || strings.HasSuffix(before, "-") || after != "" && after[0] != '#' {
		r.fail("a tab", "indent and separate with blanks; in double quotes a tab is \\t")
		return false
	}
	r.at = len(s) - len(after)
	return r.err == nil
}

func (r *reader) comment() {
	s := r.text()
	if r.at > 0 && !blankAt(s, r.at-1) {
		r.fail("a '#' without a blank before it", "a text that begins with # must be quoted")
		return
	}
	c := comment{text: strings.TrimRight(r.rest(), " \t"), depth: r.flow, own: strings.Trim(s[:r.at], " \t") == ""}
	c.line, c.col = r.place()
	r.comments = append(r.comments, c)
	r.at = len(s)
}

// document reads the whole file. It returns nil if the file is empty.
func (r *reader) document() *Node {
	more := r.skip()
	if !more && r.err == nil && r.marker() && r.peek() == '-' {
		r.at = len("---")
		if r.endOfLine("text behind ---"); r.err == nil {
			more = r.skip()
		}
	}
	var root *Node
	if more {
		root = r.block(-1, true)
	}
	r.end(root)
	return root
}

// end checks that nothing follows except the mark of the document's end.
func (r *reader) end(root *Node) {
	if r.skip() {
		r.fail("not YAML: this belongs to nothing above", "what belongs together begins in one column")
	}
	if r.err == nil && r.marker() && r.peek() == '.' {
		if root == nil {
			r.fail("not YAML: the end of no document", "")
		}
		r.at = len("...")
		r.endOfLine("text behind ...")
		if r.skip() {
			r.fail("a second document", "a file holds one profile")
		}
	}
	if r.err == nil && r.marker() {
		r.fail("a second document", "a file holds one profile")
	}
}

// endOfLine checks that nothing follows in this line except a comment.
func (r *reader) endOfLine(msg string) {
	if r.blanks() && r.at < len(r.text()) && r.peek() != '#' {
		r.fail("not YAML: "+msg, "a new entry begins on a line of its own")
	}
}
