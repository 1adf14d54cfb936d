package policy

import (
	"slices"
	"strings"

	"cordon/policy/filter"
	"cordon/policy/phrase"
	"cordon/policy/yaml"
)

// root reads the section root, which has one of several forms.
func (d *decoder) root(n *yaml.Node, r *Root, path string) {
	if !d.wants(n, yaml.MapNode, path) {
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

// mounts reads the list of mounts. An item {remove: TARGET} takes away an inherited mount.
func (d *decoder) mounts(n *yaml.Node, out *[]Mount, path string) {
	if !d.wants(n, yaml.SeqNode, path) {
		return
	}
	for i, it := range n.Items {
		at := phrase.Index(path, i)
		if !d.wants(it.Val, yaml.MapNode, at) || d.removal(it.Val, path) {
			continue
		}
		if m, ok := d.mount(it.Val, at); ok {
			*out = append(*out, m)
		}
	}
}

func (d *decoder) mount(n *yaml.Node, path string) (Mount, bool) {
	f := pickForm(d, n, mountForms, path)
	if f == nil {
		return Mount{}, false
	}
	m := Mount{Kind: MountKind(f.kind), Pos: d.pos(n)}
	sub := &decoder{doc: d.doc, p: &Profile{}} // a mount has only one position, that of its item
	decodeKeys(sub, n, f.keys, &m, path)
	d.errs = append(d.errs, sub.errs...)
	if len(sub.errs) == 0 {
		d.fault(n, path, m.complete())
	}
	return m, true
}

// complete fills in the fields that follow from other fields, and reports fields that are missing.
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
				return bad(Quote(p)+" is not in "+m.Target, "")
			}
		}
	}
	return nil
}

// checkPerm refuses permission bits that would have no effect, because every mount is nosuid and mkdir(2) drops
// set-id bits.
func (m *Mount) checkPerm() *fault {
	idle := map[MountKind]uint32{MountFile: 0o7000, MountDir: 0o6000, MountEmpty: 0o7000, MountTmpfs: 0o4000}[m.Kind] & m.Perm.V
	if idle == 0 {
		return nil
	}
	return bad("mode "+Quote(FormatPerm(m.Perm.V))+": the bits "+Quote(FormatPerm(idle))+" have no effect on a "+string(m.Kind), "write "+Quote(FormatPerm(m.Perm.V&^idle)))
}

// pickForm returns the form that the leading key of a mapping identifies. After an error it returns nil.
func pickForm[T any](d *decoder, n *yaml.Node, forms []form[T], path string) *form[T] {
	var found *form[T]
	for _, it := range n.Items {
		i := slices.IndexFunc(forms, func(f form[T]) bool { return f.keys[0].name == it.Key.Text })
		switch {
		case i < 0 || found == &forms[i]:
		case found != nil:
			d.fail(it.Key, path, Quote(it.Key.Text)+" and "+Quote(found.keys[0].name)+" together", "one of them")
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

func (d *decoder) noForm(n *yaml.Node, path string, names []string) {
	for _, it := range n.Items {
		if hint := didYouMean(it.Key.Text, names); hint != "" {
			d.fail(it.Key, path, "unknown key "+Quote(it.Key.Text), hint)
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

// MaskedProc and ReadOnlyProc are names below a mount of proc. Unless a profile says otherwise, cordon hides the names
// in MaskedProc and makes those in ReadOnlyProc read-only, as the OCI runtime specification does. It skips names that
// the kernel lacks.
var (
	MaskedProc = [...]string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "locks", "sched_debug", "scsi",
		"timer_list", "timer_stats"}

	ReadOnlyProc = [...]string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
)

// ProcParts returns what a mount of proc hides and what it makes read-only. Both are names below the mount, or paths if
// the profile gives paths. bare is the result of Profile.BareProc.
func (m *Mount) ProcParts(bare bool) (masked, readOnly []string) {
	if !bare {
		masked, readOnly = MaskedProc[:], ReadOnlyProc[:]
	}
	if m.Mask.Set {
		masked = m.Mask.V
	}
	if m.ReadOnly.Set {
		readOnly = m.ReadOnly.V
	}
	return masked, readOnly
}

// Place returns the mount's path in the sandbox: its target, or its source if it has none.
func (m *Mount) Place() string {
	if m.Target == "" {
		return m.Source
	}
	return m.Target
}

func (d *decoder) landlock(n *yaml.Node, path string) {
	l := &d.p.Landlock
	d.set(path, n)
	switch {
	case n.Kind == yaml.MapNode:
		decodeKeys(d, n, landlockKeys, d.p, path)
	case n.Kind == yaml.ScalarNode && n.Text == "off":
		l.Off = true
	default:
		d.fail(n, path, "want off or a mapping, not "+n.What(), "")
	}
}

func (d *decoder) namespaces(n *yaml.Node, path string) {
	d.set(path, n)
	switch {
	case n.Kind == yaml.MapNode:
		decodeKeys(d, n, namespaceKeys, d.p, path)
	case n.Kind == yaml.ScalarNode && n.Text == "none":
		d.p.Namespaces.None = true
	default:
		d.fail(n, path, "want none or a mapping, not "+n.What(), "")
	}
}

func (d *decoder) network(n *yaml.Node, k *spec, path string) {
	net := &d.p.Network
	d.set(path, n)
	if n.Kind == yaml.MapNode {
		net.Mode = NetworkAllow
		decodeKeys(d, n, networkKeys, d.p, path)
		return
	}
	if s, ok := d.str(n, path); ok {
		d.fault(n, path, setWord(k, &net.Mode, s))
	}
}

// cache reads the section cache: a mapping, or only a mode.
func (d *decoder) cache(n *yaml.Node, path string) {
	if n.Kind == yaml.MapNode {
		decodeKeys(d, n, cacheKeys, d.p, path)
		return
	}
	if s, ok := d.str(n, path); ok {
		d.fault(n, path, cacheKeys[0].set(&d.p.Cache.Mode, s))
		d.set(path+".mode", n)
	}
}

func (d *decoder) time(n *yaml.Node, k *spec, t *TimeNamespace, path string) {
	d.set(path, n)
	if n.Kind == yaml.MapNode {
		t.New = true
		sub := &decoder{doc: d.doc, p: &Profile{}} // the offsets do not have positions of their own
		decodeKeys(sub, n, timeKeys, t, path)
		d.errs = append(d.errs, sub.errs...)
		return
	}
	if s, ok := d.str(n, path); ok {
		d.fault(n, path, setTime(t, s))
	}
}

func (d *decoder) envVars(n *yaml.Node, k *spec, out *[]EnvVar, path string) {
	if !d.wants(n, yaml.MapNode, path) {
		return
	}
	d.eachEntry(n, path, func(it *yaml.Item) {
		at := join(path, it.Key.Text)
		d.fault(it.Key, path, checkEnvName(it.Key.Text))
		if s, ok := d.str(it.Val, at); ok {
			d.fault(it.Val, at, checkText(s))
			*out = append(*out, EnvVar{Name: it.Key.Text, Value: s, Pos: d.pos(it.Val)})
		}
	})
}

func (d *decoder) rlimits(n *yaml.Node, out *[]Rlimit, path string) {
	if !d.wants(n, yaml.MapNode, path) {
		return
	}
	d.eachEntry(n, path, func(it *yaml.Item) {
		at := join(path, it.Key.Text)
		if f := checkRlimitName(it.Key.Text); f != nil {
			d.fault(it.Key, path, f)
			return
		}
		if !d.oneOf(it.Val, at, "a number, a size or unlimited", "", yaml.IntScalar, yaml.StrScalar) {
			return
		}
		v, f := parseRlimit(it.Key.Text, it.Val.Text)
		d.fault(it.Val, at, f)
		*out = setSorted(*out, Rlimit{Name: it.Key.Text, Value: v, Pos: d.pos(it.Val)}, rlimitKey)
	})
}

func (d *decoder) ioMax(n *yaml.Node, out *[]IOMax, path string) {
	if !d.wants(n, yaml.MapNode, path) {
		return
	}
	d.eachEntry(n, path, func(it *yaml.Item) {
		at := join(path, it.Key.Text)
		if f := checkPath(it.Key.Text); f != nil {
			d.fault(it.Key, path, f)
			return
		}
		s, ok := d.str(it.Val, at)
		if !ok {
			return
		}
		m, f := parseIOMax(it.Key.Text, s)
		if f != nil {
			d.fault(it.Val, at, f)
			return
		}
		m.Pos = d.pos(it.Val)
		*out = setSorted(*out, m, ioMaxKey)
	})
}

func (d *decoder) hugetlb(n *yaml.Node, out *[]Hugetlb, path string) {
	if !d.wants(n, yaml.MapNode, path) {
		return
	}
	d.eachEntry(n, path, func(it *yaml.Item) {
		at := join(path, it.Key.Text)
		size, f := parsePageSize(it.Key.Text)
		if f != nil {
			d.fault(it.Key, path, f)
			return
		}
		if !d.oneOf(it.Val, at, "a size", "such as 64MiB", yaml.IntScalar, yaml.StrScalar) {
			return
		}
		most, f := parseSize(it.Val.Text)
		d.fault(it.Val, at, f)
		*out = setSorted(*out, Hugetlb{PageSize: size, Max: most, Pos: d.pos(it.Val)}, hugetlbKey)
	})
}

// The functions below are about key nest: with it, a launcher inside the sandbox can make further sandboxes.

// NestCalls are the calls that a launcher inside the sandbox makes and that the shipped profiles deny:
// user_namespaces(7), mount_namespaces(7), mount(2), fsopen(2), setns(2), sethostname(2). clone3 is in the list because
// a filter cannot see its flags; nest allows every namespace flag of clone anyway.
var NestCalls = [...]string{"clone", "clone3", "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot",
	"open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "sethostname",
	"setdomainname"}

// SectionFilter returns the section syscalls in the form of package filter, with the calls that nest allows in
// addition. It leaves out the rules about set-id bits, which Filter adds.
func (p *Profile) SectionFilter() (filter.Spec, error) {
	spec, err := p.Syscalls.Filter()
	if err == nil && p.Nest {
		spec.Lift(NestCalls[:], p.Source("nest").Short())
	}
	return spec, err
}

// BareProc reports whether nest makes the mounts of proc bare (without masks). The kernel lets a user namespace mount
// proc only if it sees a mount of proc with nothing mounted inside. If the profile itself says what a mount of proc
// masks, BareProc returns false.
func (p *Profile) BareProc() bool {
	return p.Nest && !slices.ContainsFunc(p.Mounts, func(m Mount) bool { return m.Kind == MountProc && (m.Mask.Set || m.ReadOnly.Set) })
}
