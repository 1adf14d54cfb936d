package policy

import (
	"strings"
	"unicode"
)

// lineWidth is where the printer breaks lines, in characters.
const lineWidth = 110

// printer writes a tree in the one canonical form: two spaces of indentation, brackets where the tree has them and no
// comment stands inside, long brackets and long text filled to the width.
type printer struct {
	b strings.Builder
}

func (d *document) print() []byte {
	p := &printer{}
	p.comments(d.head, 0)
	if len(d.head) > 0 && d.root != nil {
		p.b.WriteByte('\n')
	}
	switch {
	case d.root == nil:
	case len(d.root.items) == 0:
		p.b.WriteString("{}\n")
	default:
		p.block(d.root, 0)
	}
	if d.root != nil && len(d.foot) > 0 && d.foot[0] != "" {
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

// comments writes comment lines; "" is an empty line, of which no two follow each other.
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

// block writes the entries of a map or a seq, each on lines of its own.
func (p *printer) block(n *node, indent int) {
	for i, it := range n.items {
		head := it.head
		if i == 0 {
			for len(head) > 0 && head[0] == "" {
				head = head[1:]
			}
		}
		if it.key == nil && it.tail != "" && !oneLine(it.val) {
			head = append(head[:len(head):len(head)], it.tail)
		}
		p.comments(head, indent)
		p.indent(indent)
		p.entry(n, it, indent)
		p.comments(it.foot, indent)
	}
}

func (p *printer) entry(n *node, it *item, indent int) {
	if n.kind == seqNode {
		p.b.WriteByte('-')
		if !oneLine(it.val) && len(it.val.items) > 0 {
			p.nested(it, indent)
			return
		}
		p.value(it, indent, indent+2)
		return
	}
	key := scalarSource(it.key, true)
	p.b.WriteString(key)
	p.b.WriteByte(':')
	p.value(it, indent, indent+len([]rune(key))+2)
}

// nested writes a block as the value of a sequence entry: behind the dash, its first line too, unless a comment is due
// before that.
func (p *printer) nested(it *item, indent int) {
	first := it.val.items[0]
	if hasComment(first.head) || it.val.kind == seqNode {
		p.b.WriteByte('\n')
		p.block(it.val, indent+2)
		return
	}
	sub := &printer{}
	sub.block(it.val, indent+2)
	p.b.WriteByte(' ')
	p.b.WriteString(strings.TrimLeft(sub.b.String(), " \n"))
}

func hasComment(lines []string) bool { return strings.Join(lines, "") != "" }

// oneLine says whether a value is written behind its key: a scalar, or brackets without a comment inside.
func oneLine(n *node) bool {
	return n.kind == scalarNode || len(n.items) == 0 || n.flow && !commented(n)
}

func commented(n *node) bool {
	for _, it := range n.items {
		if hasComment(it.head) || it.tail != "" || len(it.foot) > 0 || commented(it.val) {
			return true
		}
	}
	return false
}

// value writes what stands behind a key or a dash; col is where it would begin.
func (p *printer) value(it *item, indent, col int) {
	n := it.val
	if !oneLine(n) {
		p.tail(it)
		p.b.WriteByte('\n')
		p.block(n, indent+2)
		return
	}
	if n.kind == scalarNode {
		p.scalar(it, indent, col)
		return
	}
	text := flowSource(n)
	if col+len([]rune(text)) <= lineWidth {
		p.b.WriteString(" " + text)
	} else {
		p.fill(n, it.key != nil, indent)
	}
	p.tail(it)
	p.b.WriteByte('\n')
}

func (p *printer) tail(it *item) {
	if it.tail != "" && (it.key != nil || oneLine(it.val)) {
		p.b.WriteString(" " + it.tail)
	}
}

// fill writes brackets over several lines.
func (p *printer) fill(n *node, below bool, indent int) {
	if below {
		p.b.WriteByte('\n')
		p.indent(indent + 2)
	} else {
		p.b.WriteByte(' ')
	}
	first, last := brackets(n)
	p.b.WriteString(first)
	col := indent + 3
	for i, it := range n.items {
		text := itemSource(it)
		if i < len(n.items)-1 {
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

func brackets(n *node) (first, last string) {
	if n.kind == mapNode {
		return "{", "}"
	}
	return "[", "]"
}

func flowSource(n *node) string {
	if n.kind == scalarNode {
		return scalarSource(n, true)
	}
	first, last := brackets(n)
	parts := make([]string, len(n.items))
	for i, it := range n.items {
		parts[i] = itemSource(it)
	}
	return first + strings.Join(parts, ", ") + last
}

func itemSource(it *item) string {
	if it.key != nil {
		return scalarSource(it.key, true) + ": " + flowSource(it.val)
	}
	return flowSource(it.val)
}

// scalar writes a scalar in a block, long or many-lined text in a block of its own.
func (p *printer) scalar(it *item, indent, col int) {
	n := it.val
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

// literal is the lines of a text that is written with |, nil if n is none.
func literal(n *node) (lines []string, header string) {
	body, newline := strings.CutSuffix(n.text, "\n")
	if n.style != '|' || !strings.Contains(n.text, "\n") || body == "" || strings.HasPrefix(body, " ") ||
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

// folded is the lines of a long text without quotes, written with >-; nil if it fits or cannot be.
func folded(n *node, indent, col int) (lines []string, header string) {
	quoted := n.style == '"' || n.style == '\''
	if quoted || n.scalar != strScalar || col+len([]rune(n.text)) <= lineWidth || !plainText(n.text) {
		return nil, ""
	}
	words := strings.Split(n.text, " ")
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

// scalarSource is a scalar on one line: plain where YAML takes it for what it is, in double quotes otherwise.
func scalarSource(n *node, inFlow bool) string {
	if n.scalar != strScalar {
		return n.text
	}
	if n.style != '"' && n.style != '\'' && safePlain(n.text, inFlow) && (n.style == 0 || !opaqueText(n.text)) {
		return n.text
	}
	return quoteYAML(n.text)
}

// opaqueText reports whether a text that this program wrote needs quotes because it may be a path or a name, which the
// decoder refuses with a blank or a comma. What a person wrote without quotes stays as it is, and stays an error.
func opaqueText(s string) bool {
	return strings.IndexByte("/~.", s[0]) >= 0 && strings.ContainsAny(s, " ,") ||
		strings.Contains(s, ",") && !strings.Contains(s, " ") && s[0] > '9'
}

// safePlain is narrower than YAML: what it accepts is a string to every parser.
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

// numeric says whether some YAML parser might take s for a number or a date.
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

// quoteYAML is s in double quotes, escaped as YAML knows it.
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
