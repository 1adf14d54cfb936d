package yaml

import "strconv"

// brackets reads a collection in brackets.
func (r *reader) brackets() *Node {
	kind, last := SeqNode, byte(']')
	if r.peek() == '{' {
		kind, last = MapNode, '}'
	}
	n := r.node(kind)
	n.Flow = true
	r.enter()
	r.at++
	r.flow++
	for r.err == nil && r.peekOver(n, last) != last {
		r.entry(n)
		switch r.peekOver(n, last) {
		case ',':
			r.at++
		case last, 0:
		default:
			r.fail("not YAML: a ',' or '"+string(last)+"' is missing here",
				"a text that holds blanks, brackets or quotes must be quoted")
		}
	}
	if r.err == nil {
		for i := r.loose; i < len(r.comments); i++ {
			r.comments[i].closing = true
		}
		r.loose = len(r.comments)
		r.at++
	}
	r.flow--
	r.leave()
	return n
}

// peekOver moves to the next thing inside the brackets of n, in this line or a later one, and returns its first byte.
func (r *reader) peekOver(n *Node, last byte) byte {
	if r.skip() {
		return r.peek()
	}
	r.failAt(n.Line, n.Col, "not YAML: the '"+string(last)+"' is missing that closes this", "")
	return 0
}

// entry reads an entry of a collection in brackets.
func (r *reader) entry(n *Node) {
	if n.Kind == SeqNode {
		if val := r.flowItem(); val != nil {
			n.Items = append(n.Items, &Item{Val: val, line: val.Line, col: val.Col, Flow: true})
		}
		return
	}
	begin := r.at
	if c := r.peek(); c == '[' || c == '{' {
		r.fail("a key must be a plain word", "")
	}
	if key := r.scalar(0); r.err == nil && r.blanks() {
		r.pair(n, key, begin)
	}
}

// flowItem reads an item of a list in brackets. A pair without braces, as in [a: b], counts as a mapping.
func (r *reader) flowItem() *Node {
	if c := r.peek(); c == '[' || c == '{' {
		return r.brackets()
	}
	begin := r.at
	val := r.scalar(0)
	if r.err != nil || !r.blanks() || r.peek() != ':' {
		return val
	}
	n := r.node(MapNode)
	n.Line, n.Col, n.Flow = val.Line, val.Col, true
	r.pair(n, val, begin)
	return n
}

// pair reads the ':' and the value after a key in brackets. The key began at byte begin of this line.
func (r *reader) pair(n, key *Node, begin int) {
	if r.peek() != ':' || key.Style == 0 && !blankAt(r.text(), r.at+1) {
		r.failAt(key.Line, key.Col, "not YAML: "+strconv.Quote(key.Text)+" has no value",
			"write KEY: VALUE, with a blank behind the ':'; a text that holds ',' must be quoted")
		return
	}
	if key.Folded || r.at-begin > maxKeys {
		r.failAt(key.Line, key.Col, "not YAML: a key of several lines, or of more than 1024 bytes", "")
	}
	r.at++
	if n.Items = append(n.Items, &Item{Key: key, line: key.Line, col: key.Col, Flow: true}); len(n.Items) > maxKeys {
		r.failAt(key.Line, key.Col, "more than 1024 keys in one mapping", "")
	}
	n.Items[len(n.Items)-1].Val = r.flowValueOf()
}

// flowValueOf reads the value after the ':' of a key in braces.
func (r *reader) flowValueOf() *Node {
	none := r.node(ScalarNode)
	none.Scalar = NullScalar
	if !r.skip() {
		return none
	}
	if c := r.peek(); c == ',' || c == '}' || c == ']' {
		return none
	}
	return r.flowValue()
}

func (r *reader) flowValue() *Node {
	if c := r.peek(); c == '[' || c == '{' {
		return r.brackets()
	}
	n := r.scalar(0)
	if r.err == nil && r.blanks() && r.peek() == ':' {
		r.fail("a second ':' in one entry", "a string that holds ': ' must be quoted; entries are separated by ','")
	}
	return n
}
