package yaml

import (
	"strings"
	"unicode"
)

// lineWidth is the width, in characters, at which the printer breaks lines.
const lineWidth = 110

// printer writes a tree in canonical form. It indents by two spaces. It writes brackets if the tree has them and they
// contain no comment. It breaks long brackets and long text at the line width.
type printer struct {
	b strings.Builder
}

// Print writes the document as `cordon profile fmt` does, with its comments.
func (d *Document) Print() []byte {
	p := &printer{}
	p.comments(d.Head, 0)
	if len(d.Head) > 0 && d.Root != nil {
		p.b.WriteByte('\n')
	}
	switch {
	case d.Root == nil:
	case len(d.Root.Items) == 0:
		p.b.WriteString("{}\n")
	default:
		p.block(d.Root, 0)
	}
	if d.Root != nil && len(d.foot) > 0 && d.foot[0] != "" {
		p.b.WriteByte('\n')
	}
	p.comments(d.foot, 0)
	return []byte(p.b.String())
}

func (p *printer) indent(n int) {
	for range n {
		p.b.WriteByte(' ')
	}
}

// comments writes comment lines. A line "" is an empty line; comments never writes two empty lines in a row.
func (p *printer) comments(lines []string, indent int) {
	for _, line := range lines {
		if line == "" {
			p.blank()
			continue
		}
		p.indent(indent)
		p.b.WriteString(line)
		p.b.WriteByte('\n')
	}
}

func (p *printer) blank() {
	if s := p.b.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		p.b.WriteByte('\n')
	}
}

// block writes the entries of a mapping or a list, each on its own lines.
func (p *printer) block(n *Node, indent int) {
	for i, it := range n.Items {
		head := it.Head
		if i == 0 {
			for len(head) > 0 && head[0] == "" {
				head = head[1:]
			}
		}
		if it.Key == nil && it.Tail != "" && !oneLine(it.Val) {
			head = append(head[:len(head):len(head)], it.Tail)
		}
		p.comments(head, indent)
		p.indent(indent)
		p.entry(n, it, indent)
		p.comments(it.foot, indent)
	}
}

func (p *printer) entry(n *Node, it *Item, indent int) {
	if n.Kind == SeqNode {
		p.b.WriteByte('-')
		if !oneLine(it.Val) && len(it.Val.Items) > 0 {
			p.nested(it, indent)
			return
		}
		p.value(it, indent, indent+2)
		return
	}
	key := scalarSource(it.Key, true)
	p.b.WriteString(key)
	p.b.WriteByte(':')
	p.value(it, indent, indent+len([]rune(key))+2)
}

// nested writes a block as the value of a list entry. The first line of the block follows the dash, unless the block is
// a list or a comment must come before it.
func (p *printer) nested(it *Item, indent int) {
	first := it.Val.Items[0]
	if hasComment(first.Head) || it.Val.Kind == SeqNode {
		p.b.WriteByte('\n')
		p.block(it.Val, indent+2)
		return
	}
	sub := &printer{}
	sub.block(it.Val, indent+2)
	p.b.WriteByte(' ')
	p.b.WriteString(strings.TrimLeft(sub.b.String(), " \n"))
}

func hasComment(lines []string) bool { return strings.Join(lines, "") != "" }

// oneLine reports whether the printer writes a value on the line of its key: a scalar, or brackets without a comment
// inside.
func oneLine(n *Node) bool {
	return n.Kind == ScalarNode || len(n.Items) == 0 || n.Flow && !commented(n)
}

func commented(n *Node) bool {
	for _, it := range n.Items {
		if hasComment(it.Head) || it.Tail != "" || len(it.foot) > 0 || commented(it.Val) {
			return true
		}
	}
	return false
}

// value writes the value after a key or a dash. col is the column at which it would begin.
func (p *printer) value(it *Item, indent, col int) {
	n := it.Val
	if !oneLine(n) {
		p.tail(it)
		p.b.WriteByte('\n')
		p.block(n, indent+2)
		return
	}
	if n.Kind == ScalarNode {
		p.scalar(it, indent, col)
		return
	}
	text := flowSource(n)
	if col+len([]rune(text)) <= lineWidth {
		p.b.WriteString(" " + text)
	} else {
		p.fill(n, it.Key != nil, indent)
	}
	p.tail(it)
	p.b.WriteByte('\n')
}

func (p *printer) tail(it *Item) {
	if it.Tail != "" && (it.Key != nil || oneLine(it.Val)) {
		p.b.WriteString(" " + it.Tail)
	}
}

// fill writes brackets over several lines.
func (p *printer) fill(n *Node, below bool, indent int) {
	if below {
		p.b.WriteByte('\n')
		p.indent(indent + 2)
	} else {
		p.b.WriteByte(' ')
	}
	first, last := brackets(n)
	p.b.WriteString(first)
	col := indent + 3
	for i, it := range n.Items {
		text := itemSource(it)
		if i < len(n.Items)-1 {
			text += ","
		} else {
			text += last
		}
		width := len([]rune(text))
		switch {
		case i == 0:
		case col+1+width > lineWidth:
			p.b.WriteByte('\n')
			p.indent(indent + 3)
			col = indent + 3
		default:
			p.b.WriteByte(' ')
			col++
		}
		p.b.WriteString(text)
		col += width
	}
}

func brackets(n *Node) (first, last string) {
	if n.Kind == MapNode {
		return "{", "}"
	}
	return "[", "]"
}

func flowSource(n *Node) string {
	if n.Kind == ScalarNode {
		return scalarSource(n, true)
	}
	first, last := brackets(n)
	parts := make([]string, len(n.Items))
	for i, it := range n.Items {
		parts[i] = itemSource(it)
	}
	return first + strings.Join(parts, ", ") + last
}

func itemSource(it *Item) string {
	if it.Key != nil {
		return scalarSource(it.Key, true) + ": " + flowSource(it.Val)
	}
	return flowSource(it.Val)
}

// scalar writes a scalar in a block. It writes long text, and text with several lines, as its own block.
func (p *printer) scalar(it *Item, indent, col int) {
	n := it.Val
	lines, header := literal(n)
	if lines == nil {
		lines, header = folded(n, indent+2, col)
	}
	if lines == nil {
		p.b.WriteString(" " + scalarSource(n, false))
		p.tail(it)
		p.b.WriteByte('\n')
		return
	}
	p.b.WriteString(" " + header)
	p.tail(it)
	p.b.WriteByte('\n')
	for _, line := range lines {
		if line != "" {
			p.indent(indent + 2)
		}
		p.b.WriteString(line + "\n")
	}
}

// literal returns the lines of a text that is written with |, or nil if n is not such a text.
func literal(n *Node) (lines []string, header string) {
	body, newline := strings.CutSuffix(n.Text, "\n")
	if n.Style != '|' || !strings.Contains(n.Text, "\n") || body == "" || strings.HasPrefix(body, " ") ||
		strings.HasPrefix(body, "\n") || strings.HasSuffix(body, "\n") || !plainText(strings.ReplaceAll(body, "\n", "")) {
		return nil, ""
	}
	lines = strings.Split(body, "\n")
	for _, line := range lines {
		if strings.TrimRight(line, " ") != line {
			return nil, ""
		}
	}
	if newline {
		return lines, "|"
	}
	return lines, "|-"
}

// folded returns the lines of a long text without quotes, which is written with >-. It returns nil if the text fits
// on one line, or cannot be written so.
func folded(n *Node, indent, col int) (lines []string, header string) {
	quoted := n.Style == '"' || n.Style == '\''
	if quoted || n.Scalar != StrScalar || col+len([]rune(n.Text)) <= lineWidth || !plainText(n.Text) {
		return nil, ""
	}
	words := strings.Split(n.Text, " ")
	line := words[0]
	for _, w := range words {
		if w == "" {
			return nil, ""
		}
	}
	for _, w := range words[1:] {
		if indent+len([]rune(line))+1+len([]rune(w)) > lineWidth {
			lines, line = append(lines, line), w
			continue
		}
		line += " " + w
	}
	if lines = append(lines, line); len(lines) == 1 {
		return nil, ""
	}
	return lines, ">-"
}

func plainText(s string) bool {
	for _, r := range s {
		if r < ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// scalarSource writes a scalar on one line. It uses no quotes if YAML then still reads the same value; otherwise it
// uses double quotes.
func scalarSource(n *Node, inFlow bool) string {
	if n.Scalar != StrScalar {
		return n.Text
	}
	if n.Style != '"' && n.Style != '\'' && safePlain(n.Text, inFlow) && (n.Style == 0 || !OpaqueText(n.Text)) {
		return n.Text
	}
	return quoteYAML(n.Text)
}

// OpaqueText reports whether a text that cordon itself wrote needs quotes. It does if it may be a path or a name with
// a blank or a comma, because the decoder refuses these without quotes. A text that a person wrote without quotes
// stays as it is, and stays an error.
func OpaqueText(s string) bool {
	return strings.IndexByte("/~.", s[0]) >= 0 && strings.ContainsAny(s, " ,") ||
		strings.Contains(s, ",") && !strings.Contains(s, " ") && s[0] > '9'
}

// safePlain reports whether every YAML parser reads s without quotes as a string. Some strings for
// which it returns false would need no quotes.
func safePlain(s string, inFlow bool) bool {
	if s == "" || !plainText(s) || strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") ||
		strings.TrimSpace(s) != s || inFlow && strings.ContainsAny(s, ",[]{}:?") {
		return false
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", ".inf", ".nan":
		return false
	}
	c := s[0]
	first := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_/~.(^$+", c) >= 0
	if c == '-' && len(s) > 1 {
		first = '0' <= s[1] && s[1] <= '9'
	}
	return first && !numeric(s) && !strings.HasPrefix(s, "...")
}

// numeric reports whether some YAML parser might take s for a number or a date.
func numeric(s string) bool {
	digit := false
	for i := range len(s) {
		c := s[i]
		digit = digit || '0' <= c && c <= '9'
		if !('0' <= c && c <= '9' || strings.IndexByte("+-._:eExXoOabcdfABCDFtTzZ ", c) >= 0) {
			return false
		}
	}
	return digit && (s[0] < 'A' || s[0] == '_')
}

// quoteYAML returns s in double quotes, with YAML's escapes.
func quoteYAML(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(`\U`)
			for shift := 28; shift >= 0; shift -= 4 {
				b.WriteByte(hex[r>>shift&15])
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
