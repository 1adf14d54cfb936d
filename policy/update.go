package policy

import (
	"slices"
	"strings"
)

// Update lays what a profile says on the text of an existing one, as its reader would by hand: list items and keys that are
// missing are added, each with the place that it comes from in a comment; everything else stays as it is written, comments
// too. Head and comments are as for Annotate.
//
// What an earlier Update or Annotate wrote, which the place behind it tells, follows the new profile where it would deny it:
// a mount becomes writable, a limit grows, of two rules for a call either may hold. What a person wrote is never changed.
func Update(file string, old []byte, p *Profile, head []string, comments map[string][]string) ([]byte, error) {
	was, err := readYAML(file, old)
	if err != nil {
		return nil, Errors{err}
	}
	if was.root != nil && was.root.kind != mapNode {
		return nil, Errors{was.errorAt(was.root.line, was.root.col, "a profile is a mapping, not "+was.root.what(), "")}
	}
	if was.root == nil {
		was.root = &node{kind: mapNode}
	}
	now, err := readYAML(file, Annotate(p, nil, comments))
	if err != nil {
		return nil, Errors{err}
	}
	unflow(was.root)
	before := was.sortedComments()
	u := &updater{}
	u.top(was.root, now.root)
	if !u.changed {
		return old, nil
	}
	sortTop(was.root)
	for _, line := range commentLines(head) {
		if line != "" && !slices.Contains(was.head, line) {
			was.head = append(was.head, line)
		}
	}
	out := was.print()
	if lost := lostComment(file, out, before); lost != "" {
		return nil, Errors{was.errorAt(0, 0, "the comment "+Quote(lost)+" would be lost", "put it on a line of its own above a key")}
	}
	return out, nil
}

// lostComment is a person's comment that is not in the text any more; "" if all are.
func lostComment(file string, out []byte, comments []string) string {
	again, err := readYAML(file, out)
	if err != nil {
		return "" // the text is checked by whoever reads it
	}
	left := again.sortedComments()
	for _, c := range comments {
		learned := generated(&item{tail: c}) || c == "# "+onceComment || strings.Contains(c, shutComment)
		if !learned && !slices.Contains(left, c) {
			return c
		}
	}
	return ""
}

// shutComment is in what stands above a rule that learning made for a call that was not seen.
const shutComment = "was not called; the rule for it that is inherited"

type updater struct {
	changed bool // something was added or replaced
}

// generated reports whether an item has the place of a record behind it: FILE:LINE.
func generated(it *item) bool {
	text, ok := strings.CutPrefix(it.tail, "# ")
	i := strings.LastIndexByte(text, ':')
	if !ok || i < 1 || strings.Contains(text, " ") {
		return false
	}
	_, number := decimal(text[i+1:])
	return number
}

func find(n *node, key string) *item {
	for _, it := range n.items {
		if it.key != nil && it.key.text == key {
			return it
		}
	}
	return nil
}

func (u *updater) add(to *node, it *item) {
	if to.flow {
		flowOff(to)
	}
	it.flow = false
	to.items = append(to.items, it)
	u.changed = true
}

// flowOff takes the brackets away, so that an item can have a comment behind it.
func flowOff(n *node) {
	n.flow = false
	for _, it := range n.items {
		it.flow = false
	}
}

// top merges the keys of a profile.
func (u *updater) top(was, now *node) {
	for _, it := range now.items {
		name := it.key.text
		old := find(was, name)
		switch {
		case old == nil:
			u.add(was, it)
		case slices.Contains([]string{"version", "name", "about", "extends", "root", "network", "tty", "git", "on-denial"}, name):
		case old.val.kind == seqNode && it.val.kind == seqNode:
			u.list(name, old.val, it.val)
		case old.val.kind == mapNode && it.val.kind == mapNode:
			u.section(name, old.val, it.val)
		}
	}
	section, fresh := find(was, "syscalls"), find(now, "syscalls")
	if section == nil || fresh == nil || section.val.kind != mapNode {
		return
	}
	u.openRules(section.val, fresh.val)
	if find(fresh.val, "exec") != nil {
		return
	}
	// One run without other programs says nothing of the others.
	i := slices.IndexFunc(section.val.items, func(it *item) bool { return it.key != nil && it.key.text == "exec" })
	if i >= 0 && slices.Contains(section.val.items[i].head, "# "+onceComment) {
		section.val.items = slices.Delete(section.val.items, i, i+1)
		u.changed = true
	}
}

// openRules drops the conditions that learning put on a call which was seen now and needs none.
func (u *updater) openRules(was, now *node) {
	rules, allow, fresh := find(was, "rules"), find(now, "allow"), find(now, "rules")
	if rules == nil || allow == nil {
		return
	}
	n := len(rules.val.items)
	rules.val.items = slices.DeleteFunc(rules.val.items, func(old *item) bool {
		call := subject(old.val)
		seen := slices.ContainsFunc(allow.val.items, func(it *item) bool { return it.val.text == call && generated(it) })
		limited := fresh != nil && slices.ContainsFunc(fresh.val.items, func(it *item) bool { return subject(it.val) == call })
		return generated(old) && seen && !limited
	})
	u.changed = u.changed || len(rules.val.items) < n
	if len(rules.val.items) == 0 {
		was.items = slices.DeleteFunc(was.items, func(it *item) bool { return it == rules })
	}
}

// onceComment is above syscalls.exec where learning put it there.
const onceComment = "No other program was executed."

func (u *updater) section(name string, was, now *node) {
	for _, it := range now.items {
		key := it.key.text
		old := find(was, key)
		switch {
		case old == nil && name == "syscalls" && key == "exec":
			// the profile lets other programs run already
		case old == nil:
			u.add(was, it)
		case old.val.kind == seqNode && it.val.kind == seqNode:
			u.list(name+"."+key, old.val, it.val)
		case old.val.kind == mapNode && it.val.kind == mapNode:
			u.section(name+"."+key, old.val, it.val)
		case old.val.kind == scalarNode && it.val.kind == scalarNode && generated(old) && larger(it.val.text, old.val.text):
			old.val, old.tail = it.val, it.tail
			u.changed = true
		}
	}
}

// larger compares two limits.
func larger(a, b string) bool {
	x, f := parseSize(a)
	y, g := parseSize(b)
	return f == nil && g == nil && x > y
}

func (u *updater) list(name string, was, now *node) {
	for _, it := range now.items {
		if slices.ContainsFunc(was.items, func(o *item) bool { return equalNodes(o.val, it.val) }) {
			continue
		}
		var same *item
		if it.val.kind == mapNode && len(it.val.items) > 0 {
			if i := slices.IndexFunc(was.items, func(o *item) bool { return subject(o.val) == subject(it.val) }); i >= 0 {
				same = was.items[i]
			}
		}
		switch {
		case same == nil:
			u.add(was, it)
		case name == "mounts":
			u.mount(same, it)
		case name == "syscalls.rules":
			u.rule(same, it)
		}
	}
}

// subject is what an item of a list is about: its first key and, of a mount, where it is.
func subject(n *node) string {
	if n.kind != mapNode || len(n.items) == 0 || n.items[0].key == nil {
		return ""
	}
	first := n.items[0]
	for _, form := range mountForms {
		if form.kind == first.key.text {
			return "mount " + first.val.text
		}
	}
	return first.key.text
}

// mount makes a mount writable that learning made read-only before.
func (u *updater) mount(old, it *item) {
	mode := find(it.val, "mode")
	if !generated(old) || it.val.items[0].key.text == "bind" && (mode == nil || mode.val.text != "rw") || it.val.items[0].key.text == "dir" {
		return
	}
	old.val, old.tail = it.val, it.tail
	u.changed = true
}

// rule lets either condition hold.
func (u *updater) rule(old, it *item) {
	was, now := old.val.items[0].val, it.val.items[0].val
	switch action := strings.HasPrefix(now.text, "errno("); {
	case !generated(old) && !learnedAction(old) || action:
		return
	case learnedAction(old):
		old.val, old.tail, old.head = it.val, it.tail, it.head
	case strings.Contains(was.text, "("+now.text+")"):
		return
	default:
		text := "(" + now.text + ")"
		if strings.HasPrefix(was.text, "(") && strings.Contains(was.text, ") || (") {
			text = was.text + " || " + text
		} else {
			text = "(" + was.text + ") || " + text
		}
		old.val.items[0].val = &node{text: text, style: '|'}
		old.tail = it.tail
	}
	u.changed = true
}

// learnedAction reports whether a rule shuts a call because it was not seen.
func learnedAction(it *item) bool {
	return len(it.val.items) == 1 && strings.HasPrefix(it.val.items[0].val.text, "errno(") &&
		slices.ContainsFunc(it.head, func(line string) bool {
			return strings.Contains(line, shutComment)
		})
}
