package policy

import (
	"slices"
	"sort"
)

// Format rewrites a profile in canonical form: keys in the language's order, uniform spacing, comments kept. It is
// idempotent. The file must be YAML; whether it is a valid profile is Parse's matter.
func Format(file string, data []byte) ([]byte, error) {
	doc, err := readYAML(file, data)
	if err != nil {
		return nil, Errors{err}
	}
	if doc.root != nil && doc.root.kind != mapNode {
		return nil, Errors{doc.errorAt(doc.root.line, doc.root.col, "a profile is a mapping, not "+doc.root.what(), "")}
	}
	if doc.root != nil {
		sortTop(doc.root)
		unflow(doc.root)
	}
	out := doc.print()
	if err := doc.sameAs(file, out); err != nil {
		return nil, Errors{err}
	}
	return out, nil
}

// sameAs makes sure that what was printed says the same; a formatter must never change a policy.
func (d *document) sameAs(file string, out []byte) *Error {
	again, err := readYAML(file, out)
	if err != nil || len(d.sortedComments()) != d.comments || again.comments != d.comments || !equalNodes(d.root, again.root) || !slices.Equal(d.sortedComments(), again.sortedComments()) {
		return d.errorAt(0, 0, "this file cannot be formatted without changing it", "simplify its layout")
	}
	if n := quotedAnew(d.root, again.root); n != nil {
		return d.errorAt(n.line, n.col, "formatted, this value would be in quotes, and without them a blank or a comma in it is an error",
			"write "+Quote(n.text)+" if it belongs to it")
	}
	return nil
}

// quotedAnew finds a path or name without quotes that has some in the other tree: an error would become a value.
func quotedAnew(a, b *node) *node {
	if a == nil {
		return nil
	}
	if a.kind == scalarNode && a.style == 0 && b.style != 0 && a.text != "" && opaqueText(a.text) {
		return a
	}
	for i, it := range a.items {
		if it.key != nil {
			if n := quotedAnew(it.key, b.items[i].key); n != nil {
				return n
			}
		}
		if n := quotedAnew(it.val, b.items[i].val); n != nil {
			return n
		}
	}
	return nil
}

func (d *document) sortedComments() []string {
	var all []string
	add := func(lines ...string) {
		for _, l := range lines {
			if l != "" {
				all = append(all, l)
			}
		}
	}
	add(d.head...)
	add(d.foot...)
	walkItems(d.root, func(it *item) {
		add(it.head...)
		add(it.tail)
		add(it.foot...)
	})
	sort.Strings(all)
	return all
}

// equalNodes compares what two trees say, not how.
func equalNodes(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.kind != b.kind || a.scalar != b.scalar || a.kind == scalarNode && a.text != b.text || len(a.items) != len(b.items) {
		return false
	}
	for i := range a.items {
		x, y := a.items[i], b.items[i]
		if (x.key == nil) != (y.key == nil) || x.key != nil && !equalNodes(x.key, y.key) || !equalNodes(x.val, y.val) {
			return false
		}
	}
	return true
}

// sortTop puts the keys of every mapping in the order of the table.
func sortTop(root *node) {
	sortKeys(root, keyNames(language))
	for _, it := range root.items {
		i := slices.IndexFunc(language, func(k key[Profile]) bool { return k.name == it.key.text })
		if i < 0 {
			continue
		}
		switch k := &language[i]; k.name {
		case "root":
			sortForm(it.val, rootForms)
		case "mounts":
			for _, m := range it.val.items {
				sortForm(m.val, mountForms)
			}
		default:
			sortKeys(it.val, append([]string{"remove"}, keyNames(k.keys)...))
		}
		if it.key.text == "syscalls" {
			sortRules(it.val)
		}
	}
}

// sortRules puts the call of a rule before its else.
func sortRules(section *node) {
	for _, it := range section.items {
		if it.key == nil || it.key.text != "rules" {
			continue
		}
		for _, r := range it.val.items {
			sort.SliceStable(r.val.items, func(i, j int) bool {
				k, l := r.val.items[i].key, r.val.items[j].key
				return k != nil && l != nil && k.text != "else" && l.text == "else"
			})
		}
	}
}

// sortForm puts the keys of a mapping in the order of the form that it is written in.
func sortForm[T any](n *node, forms []form[T]) {
	for i := range forms {
		if slices.ContainsFunc(n.items, func(it *item) bool { return it.key != nil && it.key.text == forms[i].keys[0].name }) {
			sortKeys(n, keyNames(forms[i].keys))
			return
		}
	}
}

func sortKeys(n *node, names []string) {
	if n.kind != mapNode {
		return
	}
	rank := func(it *item) int {
		if i := slices.Index(names, it.key.text); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(n.items, func(a, b *item) int { return rank(a) - rank(b) })
}

// unflow writes a file that is one pair of braces as a block.
func unflow(root *node) {
	root.flow = false
	for _, it := range root.items {
		it.flow = false
	}
}
