package yaml

import "strings"

// block reads the value that begins at the reader's position. Everything that belongs to the value is indented more
// than parent. If begins is true, a mapping or a list without brackets may begin here: the reader is at the beginning
// of a line or after "- ", not after "key: ".
func (r *reader) block(parent int, begins bool) *Node {
	switch c := r.peek(); {
	case c == '-' && blankAt(r.text(), r.at+1):
		if !begins {
			r.fail("not YAML: a list begins behind a key", "write it in brackets, or below the key")
			return nil
		}
		return r.sequence()
	case c == '[' || c == '{':
		n := r.brackets()
		r.endOfLine("text behind a bracket")
		return n
	case c == '|' || c == '>':
		return r.blockText(parent)
	}
	n := r.scalar(parent)
	if r.err != nil || !r.blanks() {
		return n
	}
	if r.peek() != ':' || !blankAt(r.text(), r.at+1) {
		r.endOfLine("text behind a value in quotes")
		return n
	}
	if !begins || n.Folded {
		r.fail("a second ':' in one entry", "a string that holds ': ' must be quoted")
		return n
	}
	return r.mapping(n)
}

// mapping reads a mapping. The caller has read the first key, and its ':' comes next.
func (r *reader) mapping(key *Node) *Node {
	n := r.node(MapNode)
	n.Line, n.Col = key.Line, key.Col
	indent := key.Col - 1
	r.enter()
	for r.err == nil {
		if len(key.Text) > maxKeys {
			r.failAt(key.Line, key.Col, "a key of more than 1024 bytes", "")
		}
		r.at++ // the ':'
		n.Items = append(n.Items, &Item{Key: key, Val: r.valueOf(indent), line: key.Line, col: key.Col})
		if len(n.Items) > maxKeys {
			r.failAt(key.Line, key.Col, "more than 1024 keys in one mapping", "")
		}
		if !r.skip() || r.at < indent {
			break
		}
		r.aligned(indent)
		if r.dash() {
			r.fail("not YAML: an item of a list among keys", "indent it, below the key that it belongs to")
		}
		key = r.key()
	}
	r.leave()
	return n
}

// aligned checks that the next entry of a collection begins at the collection's column.
func (r *reader) aligned(indent int) {
	if r.at != indent {
		r.fail("not YAML: indented more than the entry above", "entries of one mapping or list begin in one column")
	}
}

func (r *reader) dash() bool { return r.peek() == '-' && blankAt(r.text(), r.at+1) }

// key reads a further key of a mapping, up to its ':'.
func (r *reader) key() *Node {
	if r.err != nil {
		return nil
	}
	begin := r.line
	key := r.scalar(len(r.text())) // no line is indented so far, so the key cannot continue in the next line
	if !r.blanks() {
		return nil
	}
	switch {
	case r.line != begin:
		r.fail("not YAML: a key of several lines", "")
	case r.peek() != ':' || !blankAt(r.text(), r.at+1):
		r.failAt(key.Line, key.Col, "not YAML: a key without a ':'", "write KEY: VALUE, with a blank behind the ':'")
	case strings.ContainsAny(key.Text, "\n"):
		r.failAt(key.Line, key.Col, "not YAML: a key of several lines", "")
	}
	return key
}

// valueOf reads the value after a key. The mapping of the key is at indent.
func (r *reader) valueOf(indent int) *Node {
	none := r.node(ScalarNode)
	none.Scalar = NullScalar
	if !r.blanks() {
		return none
	}
	if r.at < len(r.text()) && r.peek() != '#' {
		return r.block(indent, false)
	}
	if !r.skip() {
		return none
	}
	switch {
	case r.at > indent:
		return r.block(indent, true)
	case r.at == indent && r.dash():
		return r.sequence()
	}
	return none
}

// sequence reads a list. Each item has a dash in the reader's column.
func (r *reader) sequence() *Node {
	n := r.node(SeqNode)
	indent := r.at
	if strings.Trim(r.text()[:indent], " -") != "" {
		r.fail("not YAML: a list begins within a line", "")
	}
	r.enter()
	for r.err == nil {
		it := &Item{}
		it.line, it.col = r.place()
		r.at++ // the '-'
		it.Val = r.itemOf(indent)
		n.Items = append(n.Items, it)
		if !r.skip() || r.at < indent {
			break
		}
		r.aligned(indent)
		if !r.dash() {
			break // the next key of the mapping that holds the list
		}
	}
	r.leave()
	return n
}

// itemOf reads the value after a dash. The list of the dash is at indent.
func (r *reader) itemOf(indent int) *Node {
	none := r.node(ScalarNode)
	none.Scalar = NullScalar
	if !r.blanks() {
		return none
	}
	if r.at < len(r.text()) && r.peek() != '#' || r.skip() && r.at > indent {
		return r.block(indent, true)
	}
	return none
}
