package yaml

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// scalar reads a scalar, with or without quotes. In a block the scalar may continue in lines that are indented more
// than parent.
func (r *reader) scalar(parent int) *Node {
	if c := r.peek(); c == '"' || c == '\'' {
		return r.quoted(parent)
	}
	n := r.node(ScalarNode)
	if what, hint := r.refused(); what != "" {
		r.fail(what, hint)
		return n
	}
	n.Text = r.plainLine(n)
	if n.Text == "<<" && r.err == nil {
		r.failAt(n.Line, n.Col, "merge keys are not allowed", "use extends")
	}
	if r.flow == 0 {
		r.fold(n, parent)
	}
	n.Scalar = scalarOf(n.Text)
	return n
}

// quotedWord returns the word at the reader's position, in quotes.
func (r *reader) quotedWord() string {
	word := r.text()[r.at:]
	if end := strings.IndexAny(word, " \t,[]{}#\"`"); end > 0 {
		word = word[:end]
	}
	return strconv.Quote(word)
}

// refused says what is wrong with a scalar without quotes that begins at the reader's position. Profiles do not use
// these parts of YAML.
func (r *reader) refused() (what, hint string) {
	blank := blankAt(r.text(), r.at+1)
	switch c := r.peek(); c {
	case '&', '*':
		return "anchors and aliases are not allowed",
			"a string that begins with & or * must be quoted: " + r.quotedWord() + "; to share settings use extends"
	case '!':
		return "tags are not allowed", "a string that begins with ! must be quoted"
	case '%':
		return "directives are not allowed", "a string that begins with % must be quoted"
	case '?', ':':
		if blank {
			return "a key must be a plain word", ""
		}
		return "not YAML: '" + string(c) + "' begins nothing", "a string that begins with it must be quoted"
	case '@', '`':
		return "not YAML: '" + string(c) + "' begins nothing", "a string that begins with it must be quoted: " + r.quotedWord()
	case ',', ']', '}', '|', '>', '[', '{':
		return "not YAML: '" + string(c) + "' is not expected here", "a string that begins with it must be quoted"
	case '-':
		if blank || r.flow > 0 && strings.IndexByte(",[]{}", r.next(1)) >= 0 {
			return "not YAML: '-' is not expected here", "a lone - must be quoted"
		}
	}
	return "", ""
}

// plainLine reads the rest of a scalar without quotes in this line. The scalar ends before a comment, before the ':'
// of a key and, inside brackets, before a character that separates entries.
func (r *reader) plainLine(n *Node) string {
	s, end, i := r.rest(), 0, 0
scan:
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == ':' && blankAt(s, i+1), c == '#' && i > 0 && blankAt(s, i-1):
			break scan
		case r.flow > 0 && strings.IndexByte(",[]{}", c) >= 0:
			break scan
		case r.flow > 0 && (c == ':' && strings.IndexByte(",[]{}?", s[i+1]) >= 0 || c == '?'):
			r.at += i
			r.fail("not YAML: '"+string(c)+"' is not expected here", "a string that holds it must be quoted")
			return ""
		case c == '\t' && strings.TrimLeft(s[i:], " \t") != "" && strings.TrimLeft(s[i:], " \t")[0] != '#':
			r.at += i
			r.fail("a tab", "in double quotes a tab is \\t")
			return ""
		case c != ' ' && c != '\t':
			end = i + 1
		}
	}
	comment := strings.TrimLeft(s[i:], "#")
	n.Glued = strings.HasPrefix(s[i:], "#") && end < i && !blankAt(comment, 0)
	r.at += end
	return s[:end]
}

// fold reads the further lines of a scalar without quotes, which are indented more than parent. A line break becomes
// a blank, and an empty line becomes a line break.
func (r *reader) fold(n *Node, parent int) {
	for r.err == nil && strings.Trim(r.rest(), " \t") == "" {
		line := r.line + 1
		for line < len(r.d.lines) && strings.Trim(r.d.lines[line], " ") == "" {
			line++
		}
		if line >= len(r.d.lines) {
			return
		}
		s := r.d.lines[line]
		indent := len(s) - len(strings.TrimLeft(s, " "))
		if indent <= parent || s[indent] == '#' || isMarker(s) {
			return
		}
		n.Text += breaks(line - r.line)
		r.line, r.at, n.Folded = line, indent, true
		if s[indent] == '\t' || r.dash() {
			r.fail("not YAML: a list or a tab inside a text", "a ':' may be missing above, or quotes")
			return
		}
		n.Text += r.plainLine(n)
		if r.blanks() && r.peek() == ':' && blankAt(r.text(), r.at+1) {
			r.fail("a second ':' in one entry",
				"a string that holds ': ' must be quoted; a key stands in the column of the key above")
		}
	}
}

// breaks returns the text for n line breaks within a scalar.
func breaks(n int) string {
	if n == 1 {
		return " "
	}
	return strings.Repeat("\n", n-1)
}

// quoted reads a scalar in quotes.
func (r *reader) quoted(parent int) *Node {
	n := r.node(ScalarNode)
	n.Style = r.peek()
	var b []byte
	kept := 0 // at a line break, this many bytes of b are safe from trimming
	for r.at++; r.err == nil; {
		c := r.peek()
		switch {
		case r.at >= len(r.text()):
			b = append(b[:kept], r.quotedBreak(n, parent)...)
			kept = len(b)
		case c == n.Style && c == '\'' && r.next(1) == '\'':
			b, r.at, kept = append(b, c), r.at+2, len(b)+1
		case c == n.Style:
			r.at++
			n.Text = string(b)
			return n
		case c == '\\' && n.Style == '"':
			b = r.escape(b)
			kept = len(b)
		default:
			b, r.at = append(b, c), r.at+1
			if c != ' ' && c != '\t' {
				kept = len(b)
			}
		}
	}
	return n
}

// quotedBreak moves to the next line of a scalar in quotes that is not empty, and returns the text for the line
// breaks.
func (r *reader) quotedBreak(n *Node, parent int) string {
	from := r.line
	n.Folded = true
	for r.line+1 < len(r.d.lines) {
		r.line, r.at = r.line+1, 0
		s := r.text()
		r.at = len(s) - len(strings.TrimLeft(s, " "))
		switch {
		case isMarker(s):
			r.fail("not YAML: a mark of the document's end inside quotes", "")
			return ""
		case r.at == len(s):
			continue
		case s[r.at] == '\t', r.flow == 0 && r.at <= parent:
			r.fail("not YAML: a text in quotes goes on here",
				"a quote may be missing above, or the line must be indented, by blanks")
			return ""
		}
		return breaks(r.line - from)
	}
	r.failAt(n.Line, n.Col, "not YAML: the "+string(n.Style)+" is missing that closes this", "")
	return ""
}

// escapeLetters lists the letters of escapes. escaped lists, in the same order, the text for each of them.
const escapeLetters = "0abtnvfre \"/\\N_LP"

var escaped = [len(escapeLetters)]string{"\x00", "\a", "\b", "\t", "\n", "\v", "\f", "\r", "\x1b", " ", `"`, "/", `\`, "\u0085", "\u00a0",
	"\u2028", "\u2029"}

// escape reads an escape in double quotes.
func (r *reader) escape(b []byte) []byte {
	c := r.next(1)
	if i := strings.IndexByte(escapeLetters, c); i >= 0 {
		r.at += 2
		return append(b, escaped[i]...)
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	code, ok := rune(0), digits > 0
	for i := range digits {
		v := strings.IndexByte("0123456789abcdef", r.next(2+i)|0x20)
		ok = ok && v >= 0 && r.next(2+i) != 0 && code < 1<<24
		code = code<<4 + rune(v)
	}
	if !ok || !utf8.ValidRune(code) {
		r.fail("not YAML: an unknown escape",
			`a backslash in double quotes is written \\; in single quotes it stands for itself`)
		return b
	}
	r.at += 2 + digits
	return utf8.AppendRune(b, code)
}
