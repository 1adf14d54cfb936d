package yaml

import (
	"sort"
	"strings"
)

// comment is a comment in the file, with its surroundings.
type comment struct {
	text      string
	line, col int
	own       bool // nothing stands before it on its line
	depth     int  // how many brackets around it are open
	closing   bool // a closing bracket follows
}

// attachComments attaches every comment to the item to which it belongs. A comment on its own line belongs to the next
// item, or to an earlier item if it is indented deeper than the next one. A comment at the end of a line, or before a
// closing bracket, belongs to the item before it.
func (d *Document) attachComments(comments []comment) {
	d.Comments = len(comments)
	var all []*Item
	walkItems(d.Root, func(it *Item) {
		all = append(all, it)
		for _, sub := range it.Val.Items {
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
		if i > 0 && !it.Flow && d.blankBefore(it.line) {
			it.Head = append(it.Head, "")
		}
	}
	d.splitHead(all)
}

func before(line, col, line2, col2 int) bool { return line < line2 || line == line2 && col < col2 }

func walkItems(n *Node, f func(*Item)) {
	if n == nil {
		return
	}
	for _, it := range n.Items {
		f(it)
		walkItems(it.Val, f)
	}
}

func (d *Document) blankBefore(line int) bool {
	return line >= 2 && line-2 < len(d.lines) && strings.TrimSpace(d.lines[line-2]) == ""
}

func (d *Document) withBlank(to []string, c comment) []string {
	if d.blankBefore(c.line) {
		to = append(to, "")
	}
	return append(to, c.text)
}

func (d *Document) attachOwn(c comment, all []*Item, next int) {
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
	all[next].Head = d.withBlank(all[next].Head, c)
}

// deeper finds the item that a comment at column col continues. It looks at the last item and the items that contain
// it, and returns the innermost item that is indented more than limit and at most as much as col.
func deeper(last *Item, col, limit int) *Item {
	for it := last; it != nil; it = it.parent {
		if !it.Flow && it.col <= col && it.col > limit {
			return it
		}
	}
	return nil
}

func (d *Document) attachTail(c comment, all []*Item, next int) {
	for i := next - 1; i >= 0; i-- {
		it := all[i]
		if it.Flow && c.depth == 0 {
			continue
		}
		if c.own {
			it.foot = append(it.foot, c.text)
		} else if it.Tail == "" {
			it.Tail = c.text
		} else {
			it.Head = append(it.Head, c.text)
		}
		return
	}
	d.foot = d.withBlank(d.foot, c)
}

// splitHead separates the comment about the whole file from the first item, so that the comment stays at the top of the
// file. An empty line ends this comment.
func (d *Document) splitHead(all []*Item) {
	if len(all) == 0 {
		return
	}
	first := all[0]
	if d.blankBefore(first.line) && len(first.Head) > 0 {
		first.Head = append(first.Head, "")
	}
	for i := len(first.Head) - 1; i >= 0; i-- {
		if first.Head[i] == "" {
			d.Head = append(d.Head, first.Head[:i]...)
			first.Head = first.Head[i+1:]
			return
		}
	}
}

// SortedComments returns all comments of the file, sorted.
func (d *Document) SortedComments() []string {
	var all []string
	add := func(lines ...string) {
		for _, l := range lines {
			if l != "" {
				all = append(all, l)
			}
		}
	}
	add(d.Head...)
	add(d.foot...)
	walkItems(d.Root, func(it *Item) {
		add(it.Head...)
		add(it.Tail)
		add(it.foot...)
	})
	sort.Strings(all)
	return all
}
