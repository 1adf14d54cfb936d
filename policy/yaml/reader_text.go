package yaml

import "strings"

// blockText reads a text after | or >. Its lines are indented more than parent.
func (r *reader) blockText(parent int) *Node {
	n := r.node(ScalarNode)
	n.Style = '|'
	fold := r.peek() == '>'
	chomp, indent := byte(0), 0
	for r.at++; r.at < len(r.text()) && !blankAt(r.text(), r.at); r.at++ {
		switch c := r.peek(); {
		case (c == '-' || c == '+') && chomp == 0:
			chomp = c
		case '1' <= c && c <= '9' && indent == 0:
			indent = max(parent, 0) + int(c-'0')
		default:
			r.fail("not YAML: behind | or > stand a digit, - or + and nothing else", "the text begins on the next line")
			return n
		}
	}
	r.endOfLine("text behind | or >")
	if r.blanks() && r.peek() == '#' {
		r.comment()
	}
	if r.err == nil {
		n.Text = r.textLines(parent, indent, fold).join(fold, chomp)
	}
	return n
}

// textLines holds the lines of a text without their indentation.
type textLines struct {
	lines []string
	open  bool // the file ends with the last line, without a line break
}

// textLines reads the lines of a text. If indent is 0, the first line that is not empty sets the indentation.
func (r *reader) textLines(parent, indent int, fold bool) (out textLines) {
	longest := 0
	for r.line+1 < len(r.d.lines) {
		s := r.d.lines[r.line+1]
		in := len(s) - len(strings.TrimLeft(s, " "))
		if in == len(s) && (indent == 0 || in <= indent) { // an empty line
			if r.line+2 == len(r.d.lines) {
				break // this is not a line, but the end of the file
			}
			longest = max(longest, in)
			out.lines = append(out.lines, "")
			r.line++
			continue
		}
		if indent == 0 {
			indent = max(in, parent+1)
			if in > parent && longest > in {
				r.at = 0
				r.fail("not YAML: an empty line that is indented more than the text", "")
			}
		}
		if in < indent {
			if in < len(s) && s[in] == '\t' {
				r.line, r.at = r.line+1, in
				r.fail("a tab", "indent with blanks")
			}
			break
		}
		out.lines = append(out.lines, s[indent:])
		r.line++
		out.open = r.line+1 == len(r.d.lines)
	}
	r.at = len(r.text())
	return out
}

// join makes one text of the lines. With > it turns a single line break into a blank, if neither line begins with a
// blank. With - it removes all line breaks at the end, with + it keeps them, and otherwise it keeps one.
func (t textLines) join(fold bool, chomp byte) string {
	var b strings.Builder
	last, blank := -1, false // the last line that is not empty, and whether it begins with a blank
	for i, s := range t.lines {
		if s == "" {
			continue
		}
		blanks := s[0] == ' ' || s[0] == '\t'
		switch {
		case last < 0:
			b.WriteString(strings.Repeat("\n", i))
		case fold && !blank && !blanks:
			b.WriteString(breaks(i - last))
		default:
			b.WriteString(strings.Repeat("\n", i-last))
		}
		b.WriteString(s)
		last, blank = i, blanks
	}
	switch {
	case chomp == '+':
		b.WriteString(strings.Repeat("\n", len(t.lines)-1-last))
		if last >= 0 && !t.open {
			b.WriteByte('\n')
		}
	case chomp == 0 && last >= 0 && !(t.open && last == len(t.lines)-1):
		b.WriteByte('\n')
	}
	return b.String()
}
