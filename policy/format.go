package policy

import (
	"slices"
	"sort"

	"cordon/policy/yaml"
)

// Format rewrites a profile in canonical form: keys in the language's order, uniform spacing, all comments kept.
// Formatting a second time changes nothing. The file must be YAML. Format does not check whether it is a valid
// profile; Parse does.
func Format(file string, data []byte) ([]byte, error) {
	doc, err := readYAML(file, data)
	if err != nil {
		return nil, Errors{err}
	}
	if doc.Root != nil && doc.Root.Kind != yaml.MapNode {
		return nil, Errors{errorAt(doc, doc.Root.Line, doc.Root.Col, "a profile is a mapping, not "+doc.Root.What(), "")}
	}
	if doc.Root != nil {
		sortTop(doc.Root)
		unflow(doc.Root)
	}
	out := doc.Print()
	if err := sameAs(doc, file, out); err != nil {
		return nil, Errors{err}
	}
	return out, nil
}

// sameAs checks that the printed text means the same as the original, because a formatter must never change a policy.
func sameAs(d *yaml.Document, file string, out []byte) *Error {
	again, err := readYAML(file, out)
	if err != nil || len(d.SortedComments()) != d.Comments || again.Comments != d.Comments || !yaml.Equal(d.Root, again.Root) || !slices.Equal(d.SortedComments(), again.SortedComments()) {
		return errorAt(d, 0, 0, "this file cannot be formatted without changing it", "simplify its layout")
	}
	if n := quotedAnew(d.Root, again.Root); n != nil {
		return errorAt(d, n.Line, n.Col, "the formatted value needs quotes, because a blank or a comma without quotes is an error",
			"write "+Quote(n.Text)+" if it belongs to it")
	}
	return nil
}

// quotedAnew finds a path or a name that is not quoted in a but is quoted in b. Such quotes would turn an error into a
// valid value.
func quotedAnew(a, b *yaml.Node) *yaml.Node {
	if a == nil {
		return nil
	}
	if a.Kind == yaml.ScalarNode && a.Style == 0 && b.Style != 0 && a.Text != "" && yaml.OpaqueText(a.Text) {
		return a
	}
	for i, it := range a.Items {
		if it.Key != nil {
			if n := quotedAnew(it.Key, b.Items[i].Key); n != nil {
				return n
			}
		}
		if n := quotedAnew(it.Val, b.Items[i].Val); n != nil {
			return n
		}
	}
	return nil
}

// sortTop sorts the keys of every mapping in the order of the table.
func sortTop(root *yaml.Node) {
	sortKeys(root, keyNames(language))
	for _, it := range root.Items {
		i := slices.IndexFunc(language, func(k key[Profile]) bool { return k.name == it.Key.Text })
		if i < 0 {
			continue
		}
		switch k := &language[i]; k.name {
		case "root":
			sortForm(it.Val, rootForms)
		case "mounts":
			for _, m := range it.Val.Items {
				sortForm(m.Val, mountForms)
			}
		default:
			sortKeys(it.Val, append([]string{"remove"}, keyNames(k.keys)...))
		}
		if it.Key.Text == "syscalls" {
			sortRules(it.Val)
		}
	}
}

// sortRules puts the call of a rule before its else, and quiet last.
func sortRules(section *yaml.Node) {
	for _, it := range section.Items {
		if it.Key == nil || it.Key.Text != "rules" {
			continue
		}
		for _, r := range it.Val.Items {
			sort.SliceStable(r.Val.Items, func(i, j int) bool {
				k, l := r.Val.Items[i].Key, r.Val.Items[j].Key
				return k != nil && l != nil && rulePlace(k.Text) < rulePlace(l.Text)
			})
		}
	}
}

// rulePlace returns the sort position of a key in a rule: the call comes first.
func rulePlace(key string) int { return slices.Index([]string{"else", "quiet"}, key) }

// sortForm sorts the keys of a mapping in the order of the mapping's form.
func sortForm[T any](n *yaml.Node, forms []form[T]) {
	for i := range forms {
		if slices.ContainsFunc(n.Items, func(it *yaml.Item) bool { return it.Key != nil && it.Key.Text == forms[i].keys[0].name }) {
			sortKeys(n, keyNames(forms[i].keys))
			return
		}
	}
}

func sortKeys(n *yaml.Node, names []string) {
	if n.Kind != yaml.MapNode {
		return
	}
	rank := func(it *yaml.Item) int {
		if i := slices.Index(names, it.Key.Text); i >= 0 {
			return i
		}
		return len(names)
	}
	slices.SortStableFunc(n.Items, func(a, b *yaml.Item) int { return rank(a) - rank(b) })
}

// unflow makes the printer write the file as a block, even if it is a single pair of braces.
func unflow(root *yaml.Node) {
	root.Flow = false
	for _, it := range root.Items {
		it.Flow = false
	}
}

// readYAML reads a file of YAML.
func readYAML(file string, data []byte) (*yaml.Document, *Error) {
	doc, err := yaml.Read(file, data)
	if err != nil {
		return doc, located(err)
	}
	return doc, nil
}

// located converts an error of package yaml to an error of a profile.
func located(e *yaml.Error) *Error {
	return &Error{Pos: Pos{File: e.File, Line: e.Line, Col: e.Col}, Msg: e.Msg, Hint: e.Hint, Line: e.Text}
}

func errorAt(doc *yaml.Document, line, col int, msg, hint string) *Error {
	return located(doc.ErrorAt(line, col, msg, hint))
}

// JSON writes a profile in YAML as JSON, with its keys in the same order.
func JSON(file string, data []byte) ([]byte, error) {
	doc, err := readYAML(file, data)
	if err != nil {
		return nil, Errors{err}
	}
	return doc.JSON()
}
