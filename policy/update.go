package policy

import (
	"slices"
	"strings"

	"cordon/policy/filter"
	"cordon/policy/yaml"
)

// Update adds the content of a profile to the text of an existing profile, as a person would do by hand. It adds
// missing list items and keys, and names the source of each in a comment. It leaves everything else as it is, including
// comments. head and comments have the same meaning as for Annotate.
//
// The comments with sources let Update recognize text that an earlier Update or Annotate has written. It changes such
// text if the text would deny something that the new profile allows. Then a mount becomes writable, a limit grows, or
// two rules for a call become one rule with either condition. Update never changes text that a person has written.
func Update(file string, old []byte, p *Profile, head []string, comments map[string][]string) ([]byte, error) {
	was, err := readYAML(file, old)
	if err != nil {
		return nil, Errors{err}
	}
	if was.Root != nil && was.Root.Kind != yaml.MapNode {
		return nil, Errors{errorAt(was, was.Root.Line, was.Root.Col, "a profile is a mapping, not "+was.Root.What(), "")}
	}
	if was.Root == nil {
		was.Root = &yaml.Node{Kind: yaml.MapNode}
	}
	now, err := readYAML(file, Annotate(p, nil, comments))
	if err != nil {
		return nil, Errors{err}
	}
	unflow(was.Root)
	before := was.SortedComments()
	u := &updater{}
	u.top(was.Root, now.Root)
	if !u.changed {
		return old, nil
	}
	sortTop(was.Root)
	for _, line := range commentLines(head) {
		if line != "" && !slices.Contains(was.Head, line) {
			was.Head = append(was.Head, line)
		}
	}
	out := was.Print()
	if lost := lostComment(file, out, before); lost != "" {
		return nil, Errors{errorAt(was, 0, 0, "the comment "+Quote(lost)+" would be lost", "put it on a line of its own above a key")}
	}
	return out, nil
}

// lostComment returns a comment that a person has written and that the new text lacks, or "" if it lacks none.
func lostComment(file string, out []byte, comments []string) string {
	again, err := readYAML(file, out)
	if err != nil {
		return "" // a later reader of the text reports the error
	}
	left := again.SortedComments()
	for _, c := range comments {
		learned := generated(&yaml.Item{Tail: c}) || c == "# "+onceComment || strings.Contains(c, shutComment)
		if !learned && !slices.Contains(left, c) {
			return c
		}
	}
	return ""
}

// shutComment is a part of the comment that learn writes above a rule for a call that it has not seen.
const shutComment = "was not called; the rule for it that is inherited"

type updater struct {
	changed bool // something was added or replaced
}

// generated reports whether the comment after an item names a position in a recording: FILE:LINE.
func generated(it *yaml.Item) bool {
	text, ok := strings.CutPrefix(it.Tail, "# ")
	i := strings.LastIndexByte(text, ':')
	if !ok || i < 1 || strings.Contains(text, " ") {
		return false
	}
	_, number := decimal(text[i+1:])
	return number
}

func find(n *yaml.Node, key string) *yaml.Item {
	for _, it := range n.Items {
		if it.Key != nil && it.Key.Text == key {
			return it
		}
	}
	return nil
}

func (u *updater) add(to *yaml.Node, it *yaml.Item) {
	if to.Flow {
		flowOff(to)
	}
	it.Flow = false
	to.Items = append(to.Items, it)
	u.changed = true
}

// flowOff removes the brackets of a list, so that each item can have a comment.
func flowOff(n *yaml.Node) {
	n.Flow = false
	for _, it := range n.Items {
		it.Flow = false
	}
}

// top merges the keys of a profile.
func (u *updater) top(was, now *yaml.Node) {
	section, fresh := find(was, "syscalls"), find(now, "syscalls")
	if section != nil && fresh != nil && section.Val.Kind == yaml.MapNode {
		dropNarrower(section.Val, fresh.Val)
	}
	for _, it := range now.Items {
		name := it.Key.Text
		old := find(was, name)
		switch {
		case old == nil:
			u.add(was, it)
		case slices.Contains([]string{"version", "name", "about", "extends", "root", "network", "tty", "git", "on-denial"}, name):
		case old.Val.Kind == yaml.SeqNode && it.Val.Kind == yaml.SeqNode:
			u.list(name, old.Val, it.Val)
		case old.Val.Kind == yaml.MapNode && it.Val.Kind == yaml.MapNode:
			u.section(name, old.Val, it.Val)
		}
	}
	if section == nil || fresh == nil || section.Val.Kind != yaml.MapNode {
		return
	}
	u.openRules(section.Val, fresh.Val)
	if find(fresh.Val, "exec") != nil {
		return
	}
	// If a run executed no other program, that does not mean that other runs do the same.
	i := slices.IndexFunc(section.Val.Items, func(it *yaml.Item) bool { return it.Key != nil && it.Key.Text == "exec" })
	if i >= 0 && slices.Contains(section.Val.Items[i].Head, "# "+onceComment) {
		section.Val.Items = slices.Delete(section.Val.Items, i, i+1)
		u.changed = true
	}
}

// dropNarrower removes a new rule with a condition on a call if the profile's allow list already names the call, or a
// group that contains the call, and no old rule limits it.
// With the new rule the profile would allow less than before.
func dropNarrower(was, now *yaml.Node) {
	allow, rules, fresh := find(was, "allow"), find(was, "rules"), find(now, "rules")
	if allow == nil || fresh == nil {
		return
	}
	fresh.Val.Items = slices.DeleteFunc(fresh.Val.Items, func(it *yaml.Item) bool {
		call := subject(it.Val)
		allowed := slices.ContainsFunc(allow.Val.Items, func(o *yaml.Item) bool { return filter.Names(o.Val.Text, call) })
		limited := rules != nil && slices.ContainsFunc(rules.Val.Items, func(o *yaml.Item) bool { return filter.Names(subject(o.Val), call) })
		return allowed && !limited
	})
	if len(fresh.Val.Items) == 0 {
		now.Items = slices.DeleteFunc(now.Items, func(it *yaml.Item) bool { return it == fresh })
	}
}

// openRules removes conditions that learn has put on a call, if the new recording contains the call and needs no
// condition.
func (u *updater) openRules(was, now *yaml.Node) {
	rules, allow, fresh := find(was, "rules"), find(now, "allow"), find(now, "rules")
	if rules == nil || allow == nil {
		return
	}
	n := len(rules.Val.Items)
	rules.Val.Items = slices.DeleteFunc(rules.Val.Items, func(old *yaml.Item) bool {
		call := subject(old.Val)
		seen := slices.ContainsFunc(allow.Val.Items, func(it *yaml.Item) bool { return it.Val.Text == call && generated(it) })
		limited := fresh != nil && slices.ContainsFunc(fresh.Val.Items, func(it *yaml.Item) bool { return subject(it.Val) == call })
		return generated(old) && seen && !limited
	})
	u.changed = u.changed || len(rules.Val.Items) < n
	if len(rules.Val.Items) == 0 {
		was.Items = slices.DeleteFunc(was.Items, func(it *yaml.Item) bool { return it == rules })
	}
}

// onceComment is the comment that learn writes above syscalls.exec.
const onceComment = "No other program was executed."

func (u *updater) section(name string, was, now *yaml.Node) {
	for _, it := range now.Items {
		key := it.Key.Text
		old := find(was, key)
		switch {
		case old == nil && name == "syscalls" && key == "exec":
			// The profile already lets the program execute other programs.
		case old == nil:
			u.add(was, it)
		case old.Val.Kind == yaml.SeqNode && it.Val.Kind == yaml.SeqNode:
			u.list(name+"."+key, old.Val, it.Val)
		case old.Val.Kind == yaml.MapNode && it.Val.Kind == yaml.MapNode:
			u.section(name+"."+key, old.Val, it.Val)
		case old.Val.Kind == yaml.ScalarNode && it.Val.Kind == yaml.ScalarNode && generated(old) && larger(it.Val.Text, old.Val.Text):
			old.Val, old.Tail = it.Val, it.Tail
			u.changed = true
		}
	}
}

// larger reports whether limit a is larger than limit b. It returns false if either is not a size.
func larger(a, b string) bool {
	x, f := parseSize(a)
	y, g := parseSize(b)
	return f == nil && g == nil && x > y
}

func (u *updater) list(name string, was, now *yaml.Node) {
	for _, it := range now.Items {
		if slices.ContainsFunc(was.Items, func(o *yaml.Item) bool { return yaml.Equal(o.Val, it.Val) }) {
			continue
		}
		var same *yaml.Item
		if it.Val.Kind == yaml.MapNode && len(it.Val.Items) > 0 {
			if i := slices.IndexFunc(was.Items, func(o *yaml.Item) bool { return subject(o.Val) == subject(it.Val) }); i >= 0 {
				same = was.Items[i]
			}
		}
		switch {
		case name == "mounts" && same == nil && shownAlready(was.Items, it):
		case same == nil:
			u.add(was, it)
		case name == "mounts":
			u.mount(same, it)
		case name == "syscalls.rules":
			u.rule(same, it)
		}
	}
}

// subject returns the part that identifies an item of a list: the path of a mount, or the first key of another mapping.
func subject(n *yaml.Node) string {
	if n.Kind != yaml.MapNode || len(n.Items) == 0 || n.Items[0].Key == nil {
		return ""
	}
	first := n.Items[0]
	for _, form := range mountForms {
		if form.kind == first.Key.Text {
			return "mount " + first.Val.Text
		}
	}
	return first.Key.Text
}

// shownAlready reports whether the sandbox already has what a new mount would show: a link, a directory, or a file to
// read. This is so if the profile binds a directory above it at its own path. The host's own link there would be in the
// way of a new link.
func shownAlready(was []*yaml.Item, it *yaml.Item) bool {
	first := it.Val.Items[0]
	if mode := find(it.Val, "mode"); mode != nil || find(it.Val, "target") != nil ||
		!slices.Contains([]string{"bind", "symlink", "dir"}, first.Key.Text) {
		return false
	}
	return slices.ContainsFunc(was, func(o *yaml.Item) bool {
		if o.Val.Kind != yaml.MapNode || len(o.Val.Items) == 0 || o.Val.Items[0].Key.Text != "bind" || find(o.Val, "target") != nil {
			return false
		}
		dir := o.Val.Items[0].Val.Text
		return strings.HasPrefix(dir, "/") && strings.HasPrefix(first.Val.Text, strings.TrimSuffix(dir, "/")+"/")
	})
}

// mount makes a mount writable that learn has made read-only before.
func (u *updater) mount(old, it *yaml.Item) {
	mode := find(it.Val, "mode")
	if !generated(old) || it.Val.Items[0].Key.Text == "bind" && (mode == nil || mode.Val.Text != "rw") || it.Val.Items[0].Key.Text == "dir" {
		return
	}
	old.Val, old.Tail = it.Val, it.Tail
	u.changed = true
}

// rule changes a rule so that it allows the call under the old or the new condition.
func (u *updater) rule(old, it *yaml.Item) {
	was, now := old.Val.Items[0].Val, it.Val.Items[0].Val
	switch action := strings.HasPrefix(now.Text, "errno("); {
	case !generated(old) && !learnedAction(old) || action:
		return
	case learnedAction(old):
		old.Val, old.Tail, old.Head = it.Val, it.Tail, it.Head
	case strings.Contains(was.Text, "("+now.Text+")"):
		return
	default:
		text := "(" + now.Text + ")"
		if strings.HasPrefix(was.Text, "(") && strings.Contains(was.Text, ") || (") {
			text = was.Text + " || " + text
		} else {
			text = "(" + was.Text + ") || " + text
		}
		old.Val.Items[0].Val = &yaml.Node{Text: text, Style: '|'}
		old.Tail = it.Tail
	}
	u.changed = true
}

// learnedAction reports whether a rule denies a call because learn has not seen it.
func learnedAction(it *yaml.Item) bool {
	return len(it.Val.Items) == 1 && strings.HasPrefix(it.Val.Items[0].Val.Text, "errno(") &&
		slices.ContainsFunc(it.Head, func(line string) bool {
			return strings.Contains(line, shutComment)
		})
}
