package policy

import (
	"strings"

	"cordon/policy/phrase"
	"cordon/policy/yaml"
)

// Show writes a profile as YAML. A comment after each value names the position at which it was set. Parse reads the
// result back as the same profile, except for positions.
func Show(p *Profile) []byte { return tree(p).Print() }

func tree(p *Profile) *yaml.Document {
	d := &yaml.Document{Root: &yaml.Node{Kind: yaml.MapNode}}
	for i := range language {
		k := &language[i]
		if n, tail := p.encodeTop(k); n != nil {
			d.Root.Add(k.name, n, tail)
		}
	}
	return d
}

// placeComment returns a comment that names a place, or "" for the zero Pos.
func placeComment(at Pos) string {
	if at == (Pos{}) {
		return ""
	}
	return "# " + at.Short()
}

func (p *Profile) from(path string) string { return placeComment(p.Source(path)) }

func (p *Profile) encodeTop(k *key[Profile]) (*yaml.Node, string) {
	switch k.name {
	case "root":
		return p.encodeRoot()
	case "mounts":
		return p.encodeMounts(), ""
	case "landlock":
		return p.encodeLandlock(k)
	case "namespaces":
		return p.encodeNamespaces(k)
	case "network":
		return p.encodeNetwork(k)
	}
	if k.keys != nil {
		return p.encodeSection(k), ""
	}
	return p.encodeKey(k, k.name)
}

// encodeSection writes a section. It returns nil if the section is empty.
func (p *Profile) encodeSection(k *key[Profile]) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MapNode}
	if removable(k.name) {
		p.encodeRemovals(n, k.name)
	}
	for i := range k.keys {
		sub := &k.keys[i]
		if v, tail := p.encodeKey(sub, join(k.name, sub.name)); v != nil {
			n.Add(sub.name, v, tail)
		}
	}
	if len(n.Items) == 0 {
		return nil
	}
	return n
}

func (p *Profile) encodeRemovals(n *yaml.Node, section string) {
	list := &yaml.Node{Kind: yaml.SeqNode}
	for _, r := range p.Remove {
		switch {
		case r.Section != section:
		case r.Expr != "":
			list.Push(encodeRule(SyscallRule{Call: r.Value, Expr: r.Expr}), placeComment(r.Pos))
		default:
			list.Push(yaml.Text(r.Value), placeComment(r.Pos))
		}
	}
	if len(list.Items) > 0 {
		n.Add("remove", list, "")
	}
}

// encodeKey writes a key. It returns nil if the key is not set.
func (p *Profile) encodeKey(k *key[Profile], path string) (*yaml.Node, string) {
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

// node returns a scalar, written as a file would contain it.
func (k *spec) node(s string) *yaml.Node {
	n := yaml.Text(s)
	switch k.typ {
	case tVersion, tInt, tNumber:
		n.Scalar = yaml.IntScalar
	case tSize, tID:
		if _, ok := decimal(s); ok {
			n.Scalar = yaml.IntScalar
		}
	case tWord:
		if s == "true" || s == "false" {
			n.Scalar = yaml.BoolScalar
		}
	}
	return n
}

// encodeList writes a list. It returns nil for an empty list, unless the profile sets the list to be empty.
func (p *Profile) encodeList(ptr any, path string) (*yaml.Node, string) {
	n, tail, set := &yaml.Node{Kind: yaml.SeqNode}, "", false
	switch list := ptr.(type) {
	case *[]string:
		n, tail, set = words(*list), p.from(path), p.has("", path)
	case *Opt[[]string]:
		n, tail, set = words(list.V), p.from(path), list.Set
	case *Opt[[]PathItem]:
		set = list.Set
		each(n, list.V, func(x PathItem) (*yaml.Node, Pos) { return yaml.Text(x.Path), x.Pos })
	case *[]Hide:
		p.encodeItemRemovals(n, "hide")
		each(n, *list, func(x Hide) (*yaml.Node, Pos) { return encodeHide(x), x.Pos })
	case *[]EnvKeep:
		each(n, *list, func(x EnvKeep) (*yaml.Node, Pos) { return yaml.Text(x.Pattern), x.Pos })
	case *[]Capability:
		each(n, *list, func(x Capability) (*yaml.Node, Pos) { return yaml.Text(x.Name), x.Pos })
	case *[]SyscallItem:
		each(n, *list, func(x SyscallItem) (*yaml.Node, Pos) { return yaml.Text(x.Name), x.Pos })
	case *[]SyscallRule:
		each(n, *list, func(x SyscallRule) (*yaml.Node, Pos) { return encodeRule(x), x.Pos })
	case *[]NetworkItem:
		each(n, *list, func(x NetworkItem) (*yaml.Node, Pos) { return yaml.Text(x.Endpoint), x.Pos })
	case *[]MissingLayer:
		p.encodeItemRemovals(n, "missing")
		each(n, *list, func(x MissingLayer) (*yaml.Node, Pos) { return yaml.Text(string(x.Layer)), x.Pos })
	case *[]EnvVar:
		n.Kind = yaml.MapNode
		for _, x := range *list {
			n.Add(x.Name, yaml.Text(x.Value), placeComment(x.Pos))
		}
	case *[]Rlimit:
		n.Kind = yaml.MapNode
		for _, x := range *list {
			n.Add(x.Name, (&spec{typ: tSize}).node(formatRlimit(x)), placeComment(x.Pos))
		}
	case *[]IOMax:
		n.Kind = yaml.MapNode
		for _, x := range *list {
			n.Add(x.Path, yaml.Text(x.text()), placeComment(x.Pos))
		}
	case *[]Hugetlb:
		n.Kind = yaml.MapNode
		for _, x := range *list {
			n.Add(FormatSize(x.PageSize), (&spec{typ: tSize}).node(FormatSize(x.Max)), placeComment(x.Pos))
		}
	}
	if len(n.Items) == 0 && !set {
		return nil, ""
	}
	return n, tail
}

func each[T any](n *yaml.Node, list []T, f func(T) (*yaml.Node, Pos)) {
	for _, x := range list {
		val, at := f(x)
		n.Push(val, placeComment(at))
	}
}

// words returns a list that is written on one line.
func words(list []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SeqNode, Flow: true}
	for _, s := range list {
		n.Items = append(n.Items, &yaml.Item{Val: yaml.Text(s)})
	}
	return n
}

func encodeHide(h Hide) *yaml.Node {
	if !h.Empty {
		return yaml.Text(h.Pattern)
	}
	n := &yaml.Node{Kind: yaml.MapNode, Flow: true}
	n.Add("path", yaml.Text(h.Pattern), "")
	n.Add("as", yaml.Text("empty"), "")
	return n
}

func encodeRule(r SyscallRule) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MapNode, Flow: true}
	n.Add(r.Call, yaml.Text(r.Expr), "")
	if r.Else != "" {
		n.Add("else", yaml.Text(r.Else), "")
	}
	if r.Quiet {
		n.Add("quiet", &yaml.Node{Text: "true", Scalar: yaml.BoolScalar}, "")
	}
	return n
}

// encodeItemRemovals writes the removals of a section that is a list.
func (p *Profile) encodeItemRemovals(n *yaml.Node, section string) {
	for _, r := range p.Remove {
		if r.Section == section {
			m := &yaml.Node{Kind: yaml.MapNode, Flow: true}
			m.Add("remove", yaml.Text(r.Value), "")
			n.Push(m, placeComment(r.Pos))
		}
	}
}

func (p *Profile) encodeRoot() (*yaml.Node, string) {
	if !p.namesTree() {
		return nil, ""
	}
	return encodeForm(rootForms, string(p.Root.Kind), &p.Root), p.from("root")
}

func (p *Profile) encodeMounts() *yaml.Node {
	n := &yaml.Node{Kind: yaml.SeqNode}
	p.encodeItemRemovals(n, "mounts")
	for i := range p.Mounts {
		m := p.Mounts[i]
		if m.Kind == MountOverlay && m.Source == m.Target {
			m.Source = ""
		}
		n.Push(encodeForm(mountForms, string(m.Kind), &m), placeComment(m.Pos))
	}
	if len(n.Items) == 0 {
		return nil
	}
	return n
}

// encodeForm writes those keys of a form that are set.
func encodeForm[T any](forms []form[T], kind string, t *T) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MapNode, Flow: true}
	for _, f := range forms {
		if f.kind != kind {
			continue
		}
		for i := range f.keys {
			k := &f.keys[i]
			if k.at == nil {
				n.Add(k.name, k.node(k.words[0]), "")
				continue
			}
			ptr := k.at(t)
			if list, ok := ptr.(*Opt[[]string]); ok {
				if list.Set {
					n.Add(k.name, words(list.V), "")
				}
				continue
			}
			if s, none := k.value(ptr); !none || i == 0 {
				n.Add(k.name, k.node(s), "")
			}
		}
	}
	return n
}

func (p *Profile) encodeTime(t *TimeNamespace, path string) (*yaml.Node, string) {
	tail := p.from(path)
	switch {
	case t.Monotonic != 0 || t.Boottime != 0:
		n := &yaml.Node{Kind: yaml.MapNode, Flow: true}
		for i := range timeKeys {
			if s, none := timeKeys[i].value(timeKeys[i].at(t)); !none {
				n.Add(timeKeys[i].name, yaml.Text(s), "")
			}
		}
		return n, tail
	case t.New:
		return yaml.Text("new"), tail
	case t.Path != "":
		return yaml.Text(t.Path), tail
	case p.has("", path):
		return yaml.Text("host"), tail
	}
	return nil, ""
}

func (p *Profile) encodeLandlock(k *key[Profile]) (*yaml.Node, string) {
	if p.Landlock.Off {
		return &yaml.Node{Text: "off", Scalar: yaml.OddScalar}, p.from("landlock")
	}
	n := p.encodeSection(k)
	if n == nil && p.has("", "landlock") {
		n = &yaml.Node{Kind: yaml.MapNode, Flow: true}
	}
	return n, ""
}

func (p *Profile) encodeNamespaces(k *key[Profile]) (*yaml.Node, string) {
	if p.Namespaces.None {
		return &yaml.Node{Text: "none", Scalar: yaml.OddScalar}, p.from("namespaces")
	}
	return p.encodeSection(k), ""
}

func (p *Profile) encodeNetwork(k *key[Profile]) (*yaml.Node, string) {
	if p.Network.Mode == NetworkAllow {
		if n := p.encodeSection(k); n != nil {
			return n, ""
		}
		return &yaml.Node{Kind: yaml.MapNode, Flow: true}, p.from("network")
	}
	if p.Network.Mode == NetworkNone && !p.has("", "network") {
		return nil, ""
	}
	s, _ := k.wordText(strings.TrimSpace(string(p.Network.Mode)))
	return yaml.Text(s), p.from("network")
}

// Annotate writes the same as Show, with other comments. head is put at the top. The comments for a path, such as
// "network", "mounts[2]" or "syscalls.rules", are put above that key or item. A line "" becomes an empty line. Annotate
// escapes everything in the lines that would end a comment.
func Annotate(p *Profile, head []string, comments map[string][]string) []byte {
	d := tree(p)
	d.Head = commentLines(head)
	annotate(d.Root, "", comments)
	return d.Print()
}

func annotate(n *yaml.Node, at string, comments map[string][]string) {
	for i, it := range n.Items {
		path := phrase.Index(at, i)
		if it.Key != nil {
			path = join(at, it.Key.Text)
		}
		it.Head = append(it.Head, commentLines(comments[path])...)
		annotate(it.Val, path, comments)
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
