package policy

import "strings"

// Show writes a profile as YAML, each value with the place it comes from in a comment. Parse reads it back to the same
// profile, but for the positions.
func Show(p *Profile) []byte { return tree(p).print() }

func tree(p *Profile) *document {
	d := &document{root: &node{kind: mapNode}}
	for i := range language {
		k := &language[i]
		if n, tail := p.encodeTop(k); n != nil {
			d.root.add(k.name, n, tail)
		}
	}
	return d
}

func (n *node) add(key string, val *node, tail string) {
	n.items = append(n.items, &item{key: text(key), val: val, tail: tail})
}

func (n *node) append(val *node, at Pos) {
	n.items = append(n.items, &item{val: val, tail: placeComment(at)})
}

func text(s string) *node { return &node{text: s, style: '|'} }

// placeComment is the comment that names a place; "" for none.
func placeComment(at Pos) string {
	if at == (Pos{}) {
		return ""
	}
	return "# " + at.Short()
}

func (p *Profile) from(path string) string { return placeComment(p.Source(path)) }

func (p *Profile) encodeTop(k *key[Profile]) (*node, string) {
	switch k.name {
	case "root":
		return p.encodeRoot()
	case "mounts":
		return p.encodeMounts(), ""
	case "landlock":
		return p.encodeLandlock(k)
	case "network":
		return p.encodeNetwork(k)
	}
	if k.keys != nil {
		return p.encodeSection(k), ""
	}
	return p.encodeKey(k, k.name)
}

// encodeSection is nil for a section that says nothing.
func (p *Profile) encodeSection(k *key[Profile]) *node {
	n := &node{kind: mapNode}
	if removable(k.name) {
		p.encodeRemovals(n, k.name)
	}
	for i := range k.keys {
		sub := &k.keys[i]
		if v, tail := p.encodeKey(sub, join(k.name, sub.name)); v != nil {
			n.add(sub.name, v, tail)
		}
	}
	if len(n.items) == 0 {
		return nil
	}
	return n
}

func (p *Profile) encodeRemovals(n *node, section string) {
	list := &node{kind: seqNode}
	for _, r := range p.Remove {
		switch {
		case r.Section != section:
		case r.Expr != "":
			list.append(encodeRule(SyscallRule{Call: r.Value, Expr: r.Expr}), r.Pos)
		default:
			list.append(text(r.Value), r.Pos)
		}
	}
	if len(list.items) > 0 {
		n.add("remove", list, "")
	}
}

// encodeKey is nil for a key that says nothing.
func (p *Profile) encodeKey(k *key[Profile], path string) (*node, string) {
	ptr := k.at(p)
	if k.list || k.dict != 0 {
		return p.encodeList(ptr, path)
	}
	if t, ok := ptr.(*TimeNamespace); ok {
		return p.encodeTime(t, path)
	}
	if unset(ptr) && !p.has("", path) {
		return nil, ""
	}
	s, _ := k.value(ptr)
	return k.node(s), p.from(path)
}

// node is a scalar as the key wants it in a file.
func (k *spec) node(s string) *node {
	n := text(s)
	switch k.typ {
	case tVersion, tInt, tNumber:
		n.scalar = intScalar
	case tSize, tID:
		if _, ok := decimal(s); ok {
			n.scalar = intScalar
		}
	case tWord:
		if s == "true" || s == "false" {
			n.scalar = boolScalar
		}
	}
	return n
}

// encodeList is nil for an empty list, unless being empty means something.
func (p *Profile) encodeList(ptr any, path string) (*node, string) {
	n, tail, set := &node{kind: seqNode}, "", false
	switch list := ptr.(type) {
	case *[]string:
		n, tail, set = words(*list), p.from(path), p.has("", path)
	case *Opt[[]string]:
		n, tail, set = words(list.V), p.from(path), list.Set
	case *Opt[[]PathItem]:
		set = list.Set
		each(n, list.V, func(x PathItem) (*node, Pos) { return text(x.Path), x.Pos })
	case *[]Hide:
		p.encodeItemRemovals(n, "hide")
		each(n, *list, func(x Hide) (*node, Pos) { return text(x.Pattern), x.Pos })
	case *[]EnvKeep:
		each(n, *list, func(x EnvKeep) (*node, Pos) { return text(x.Pattern), x.Pos })
	case *[]Capability:
		each(n, *list, func(x Capability) (*node, Pos) { return text(x.Name), x.Pos })
	case *[]SyscallItem:
		each(n, *list, func(x SyscallItem) (*node, Pos) { return text(x.Name), x.Pos })
	case *[]SyscallRule:
		each(n, *list, func(x SyscallRule) (*node, Pos) { return encodeRule(x), x.Pos })
	case *[]NetworkAllowItem:
		each(n, *list, func(x NetworkAllowItem) (*node, Pos) { return text(x.Endpoint), x.Pos })
	case *[]MissingLayer:
		p.encodeItemRemovals(n, "missing")
		each(n, *list, func(x MissingLayer) (*node, Pos) { return text(string(x.Layer)), x.Pos })
	case *[]EnvVar:
		n.kind = mapNode
		for _, x := range *list {
			n.add(x.Name, text(x.Value), placeComment(x.Pos))
		}
	case *[]Rlimit:
		n.kind = mapNode
		for _, x := range *list {
			n.add(x.Name, (&spec{typ: tSize}).node(formatRlimit(x)), placeComment(x.Pos))
		}
	case *[]IOMax:
		n.kind = mapNode
		for _, x := range *list {
			n.add(x.Path, text(x.text()), placeComment(x.Pos))
		}
	case *[]Hugetlb:
		n.kind = mapNode
		for _, x := range *list {
			n.add(FormatSize(x.PageSize), (&spec{typ: tSize}).node(FormatSize(x.Max)), placeComment(x.Pos))
		}
	}
	if len(n.items) == 0 && !set {
		return nil, ""
	}
	return n, tail
}

func each[T any](n *node, list []T, f func(T) (*node, Pos)) {
	for _, x := range list {
		val, at := f(x)
		n.append(val, at)
	}
}

// words is a list on one line.
func words(list []string) *node {
	n := &node{kind: seqNode, flow: true}
	for _, s := range list {
		n.items = append(n.items, &item{val: text(s)})
	}
	return n
}

func encodeRule(r SyscallRule) *node {
	n := &node{kind: mapNode, flow: true}
	n.add(r.Call, text(r.Expr), "")
	if r.Else != "" {
		n.add("else", text(r.Else), "")
	}
	return n
}

// encodeItemRemovals writes the removals of a section that is a list.
func (p *Profile) encodeItemRemovals(n *node, section string) {
	for _, r := range p.Remove {
		if r.Section == section {
			m := &node{kind: mapNode, flow: true}
			m.add("remove", text(r.Value), "")
			n.append(m, r.Pos)
		}
	}
}

func (p *Profile) encodeRoot() (*node, string) {
	if !p.namesTree() {
		return nil, ""
	}
	return encodeForm(rootForms, string(p.Root.Kind), &p.Root), p.from("root")
}

func (p *Profile) encodeMounts() *node {
	n := &node{kind: seqNode}
	p.encodeItemRemovals(n, "mounts")
	for i := range p.Mounts {
		m := p.Mounts[i]
		if m.Kind == MountOverlay && m.Source == m.Target {
			m.Source = ""
		}
		n.append(encodeForm(mountForms, string(m.Kind), &m), m.Pos)
	}
	if len(n.items) == 0 {
		return nil
	}
	return n
}

// encodeForm writes the keys of a form that say something.
func encodeForm[T any](forms []form[T], kind string, t *T) *node {
	n := &node{kind: mapNode, flow: true}
	for _, f := range forms {
		if f.kind != kind {
			continue
		}
		for i := range f.keys {
			k := &f.keys[i]
			if k.at == nil {
				n.add(k.name, k.node(k.words[0]), "")
				continue
			}
			ptr := k.at(t)
			if list, ok := ptr.(*Opt[[]string]); ok {
				if list.Set {
					n.add(k.name, words(list.V), "")
				}
				continue
			}
			if s, none := k.value(ptr); !none || i == 0 {
				n.add(k.name, k.node(s), "")
			}
		}
	}
	return n
}

func (p *Profile) encodeTime(t *TimeNamespace, path string) (*node, string) {
	tail := p.from(path)
	switch {
	case t.Monotonic != 0 || t.Boottime != 0:
		n := &node{kind: mapNode, flow: true}
		for i := range timeKeys {
			if s, none := timeKeys[i].value(timeKeys[i].at(t)); !none {
				n.add(timeKeys[i].name, text(s), "")
			}
		}
		return n, tail
	case t.New:
		return text("new"), tail
	case t.Path != "":
		return text(t.Path), tail
	case p.has("", path):
		return text("host"), tail
	}
	return nil, ""
}

func (p *Profile) encodeLandlock(k *key[Profile]) (*node, string) {
	if p.Landlock.Off {
		return &node{text: "off", scalar: oddScalar}, p.from("landlock")
	}
	n := p.encodeSection(k)
	if n == nil && p.has("", "landlock") {
		n = &node{kind: mapNode, flow: true}
	}
	return n, ""
}

func (p *Profile) encodeNetwork(k *key[Profile]) (*node, string) {
	if p.Network.Mode == NetworkAllow {
		if n := p.encodeSection(k); n != nil {
			return n, ""
		}
		return &node{kind: mapNode, flow: true}, p.from("network")
	}
	if p.Network.Mode == NetworkNone && !p.has("", "network") {
		return nil, ""
	}
	s, _ := k.wordText(strings.TrimSpace(string(p.Network.Mode)))
	return text(s), p.from("network")
}

// Annotate is Show with comments: head on top, and above a key or an item those that comments has under its path, such as
// "network", "mounts[2]" or "syscalls.rules". A line "" is an empty one. The text may be anyone's: what would end a comment
// is escaped.
func Annotate(p *Profile, head []string, comments map[string][]string) []byte {
	d := tree(p)
	d.head = commentLines(head)
	annotate(d.root, "", comments)
	return d.print()
}

func annotate(n *node, at string, comments map[string][]string) {
	for i, it := range n.items {
		path := index(at, i)
		if it.key != nil {
			path = join(at, it.key.text)
		}
		it.head = append(it.head, commentLines(comments[path])...)
		annotate(it.val, path, comments)
	}
}

func commentLines(lines []string) (out []string) {
	for _, line := range lines {
		if line != "" {
			line = strings.TrimRight("# "+printable(line), " ")
		}
		out = append(out, line)
	}
	return out
}
