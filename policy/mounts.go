package policy

import (
	"slices"
	"strings"
)

// root reads the root section: one of its forms.
func (d *decoder) root(n *node, r *Root, path string) {
	if !d.wants(n, mapNode, path) {
		return
	}
	f := pickForm(d, n, rootForms, path)
	if f == nil {
		return
	}
	r.Kind = RootKind(f.kind)
	d.set(path, n)
	decodeKeys(d, n, f.keys, r, path)
}

// mounts reads the list of mounts; an item {remove: TARGET} takes an inherited one away.
func (d *decoder) mounts(n *node, out *[]Mount, path string) {
	if !d.wants(n, seqNode, path) {
		return
	}
	for i, it := range n.items {
		at := index(path, i)
		if !d.wants(it.val, mapNode, at) || d.removal(it.val, path) {
			continue
		}
		if m, ok := d.mount(it.val, at); ok {
			*out = append(*out, m)
		}
	}
}

func (d *decoder) mount(n *node, path string) (Mount, bool) {
	f := pickForm(d, n, mountForms, path)
	if f == nil {
		return Mount{}, false
	}
	m := Mount{Kind: MountKind(f.kind), Pos: d.pos(n)}
	sub := &decoder{doc: d.doc, p: &Profile{}} // a mount has one place, that of the item
	decodeKeys(sub, n, f.keys, &m, path)
	d.errs = append(d.errs, sub.errs...)
	if len(sub.errs) == 0 {
		d.fault(n, path, m.complete())
	}
	return m, true
}

// complete fills in what follows from the rest and complains about what is left out.
func (m *Mount) complete() *fault {
	switch {
	case m.Kind == MountSymlink && m.Source == "":
		return bad("a symlink needs its text", `such as {symlink: /bin, to: usr/bin}`)
	case m.Kind == MountOverlay && m.Upper == "":
		m.Upper = "tmp"
	}
	if m.Kind == MountOverlay && m.Source == "" {
		m.Source = m.Target
	}
	if m.Target == "/" {
		return bad("a mount over the whole tree", "use root:")
	}
	if m.Kind == MountBind && m.Target == m.Source {
		m.Target = ""
	}
	if f := m.checkPerm(); f != nil {
		return f
	}
	for _, paths := range [...]Opt[[]string]{m.Mask, m.ReadOnly} {
		for _, p := range paths.V {
			if !strings.HasPrefix(p, strings.TrimSuffix(m.Target, "/")+"/") {
				return bad(quote(p)+" is not in "+m.Target, "")
			}
		}
	}
	return nil
}

// checkPerm refuses bits that would have no effect: every mount is nosuid, and mkdir(2) drops set-id bits.
func (m *Mount) checkPerm() *fault {
	idle := map[MountKind]uint32{MountFile: 0o7000, MountDir: 0o6000, MountEmpty: 0o7000, MountTmpfs: 0o4000}[m.Kind] & m.Perm.V
	if idle == 0 {
		return nil
	}
	return bad("mode "+quote(formatPerm(m.Perm.V))+": the bits "+quote(formatPerm(idle))+" have no effect on a "+string(m.Kind), "write "+quote(formatPerm(m.Perm.V&^idle)))
}

// pickForm finds the form that a mapping is written in, by its leading key.
func pickForm[T any](d *decoder, n *node, forms []form[T], path string) *form[T] {
	var found *form[T]
	for _, it := range n.items {
		i := slices.IndexFunc(forms, func(f form[T]) bool { return f.keys[0].name == it.key.text })
		switch {
		case i < 0 || found == &forms[i]:
		case found != nil:
			d.fail(it.key, path, quote(it.key.text)+" and "+quote(found.keys[0].name)+" together", "one of them")
			return nil
		default:
			found = &forms[i]
		}
	}
	if found == nil {
		d.noForm(n, path, leads(forms))
	}
	return found
}

func (d *decoder) noForm(n *node, path string, names []string) {
	for _, it := range n.items {
		if hint := didYouMean(it.key.text, names); hint != "" {
			d.fail(it.key, path, "unknown key "+quote(it.key.text), hint)
			return
		}
	}
	d.fail(n, path, "it does not say what it is", "one of "+strings.Join(names, ", "))
}

func leads[T any](forms []form[T]) []string {
	names := make([]string, len(forms))
	for i := range forms {
		names[i] = forms[i].keys[0].name
	}
	return names
}

// Place is where the mount appears: its target, or its source where that is the same.
func (m *Mount) Place() string {
	if m.Target == "" {
		return m.Source
	}
	return m.Target
}
