package policy

import "strings"

// comment is a comment of the file and what stands around it.
type comment struct {
	text      string
	line, col int
	own       bool // nothing stands before it on its line
	depth     int  // brackets open around it
	closing   bool // the next thing is a closing bracket
}

// attachComments hangs every comment on the item that it belongs to: on the one that follows, if it has a line of its
// own; on the one before, if it stands behind something or is indented deeper than what follows.
func (d *document) attachComments(comments []comment) {
	d.comments = len(comments)
	var all []*item
	walkItems(d.root, func(it *item) {
		all = append(all, it)
		for _, sub := range it.val.items {
			sub.parent = it
		}
	})
	next := 0 // the first item that begins after the comment
	for _, c := range comments {
		for next < len(all) && before(all[next].line, all[next].col, c.line, c.col) {
			next++
		}
		if c.own && !c.closing {
			d.attachOwn(c, all, next)
		} else {
			d.attachTail(c, all, next)
		}
	}
	for i, it := range all {
		if i > 0 && !it.flow && d.blankBefore(it.line) {
			it.head = append(it.head, "")
		}
	}
	d.splitHead(all)
}

func before(line, col, line2, col2 int) bool { return line < line2 || line == line2 && col < col2 }

func walkItems(n *node, f func(*item)) {
	if n == nil {
		return
	}
	for _, it := range n.items {
		f(it)
		walkItems(it.val, f)
	}
}

func (d *document) blankBefore(line int) bool {
	return line >= 2 && line-2 < len(d.lines) && strings.TrimSpace(d.lines[line-2]) == ""
}

func (d *document) withBlank(to []string, c comment) []string {
	if d.blankBefore(c.line) {
		to = append(to, "")
	}
	return append(to, c.text)
}

func (d *document) attachOwn(c comment, all []*item, next int) {
	limit := 1
	if next < len(all) {
		limit = all[next].col
	}
	if c.depth == 0 && c.col > limit && next > 0 {
		if it := deeper(all[next-1], c.col, limit); it != nil {
			it.foot = d.withBlank(it.foot, c)
			return
		}
	}
	if next == len(all) {
		d.foot = d.withBlank(d.foot, c)
		return
	}
	all[next].head = d.withBlank(all[next].head, c)
}

// deeper finds the item that a comment at col continues: the last one, or what it is in, whichever is the innermost
// that is indented more than limit and no more than col.
func deeper(last *item, col, limit int) *item {
	for it := last; it != nil; it = it.parent {
		if !it.flow && it.col <= col && it.col > limit {
			return it
		}
	}
	return nil
}

func (d *document) attachTail(c comment, all []*item, next int) {
	for i := next - 1; i >= 0; i-- {
		it := all[i]
		if it.flow && c.depth == 0 {
			continue
		}
		if c.own {
			it.foot = append(it.foot, c.text)
		} else if it.tail == "" {
			it.tail = c.text
		} else {
			it.head = append(it.head, c.text)
		}
		return
	}
	d.foot = d.withBlank(d.foot, c)
}

// splitHead takes the file's own comment, which an empty line ends, off the first item, so that it stays on top.
func (d *document) splitHead(all []*item) {
	if len(all) == 0 {
		return
	}
	first := all[0]
	if d.blankBefore(first.line) && len(first.head) > 0 {
		first.head = append(first.head, "")
	}
	for i := len(first.head) - 1; i >= 0; i-- {
		if first.head[i] == "" {
			d.head = append(d.head, first.head[:i]...)
			first.head = first.head[i+1:]
			return
		}
	}
}
