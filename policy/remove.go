package policy

import (
	"slices"
	"strings"

	"cordon/policy/phrase"
	"cordon/policy/yaml"
)

// removable reports whether a section can remove inherited entries by a key remove:. A section that is a list uses an
// item {remove: VALUE} instead. Nothing can be removed from syscalls.deny.
func removable(path string) bool {
	switch path {
	case "env", "capabilities", "syscalls", "landlock", "limits", "cache":
		return true
	}
	return false
}

// removableLists names the sections that are lists and can remove inherited entries. A profile can also write all of
// these removals in one place: remove: {hide: [~/.netrc], mounts: [/tmp]}.
var removableLists = [...]string{"mounts", "hide", "missing"}

// listRemovals reads the top-level key remove:, which removes entries from sections that are lists.
func (d *decoder) listRemovals(n *yaml.Node) {
	if !d.wants(n, yaml.MapNode, "remove") {
		return
	}
	d.eachEntry(n, "remove", func(it *yaml.Item) {
		at := "remove." + it.Key.Text
		switch {
		case removable(it.Key.Text):
			d.fail(it.Key, "remove", Quote(it.Key.Text)+" takes away by itself", "write "+it.Key.Text+": {remove: [...]}")
		case !slices.Contains(removableLists[:], it.Key.Text):
			d.unknownKey(it.Key, "remove", removableLists[:])
		case d.wants(it.Val, yaml.SeqNode, at):
			for i, x := range it.Val.Items {
				d.removeItem(x.Val, it.Key.Text, phrase.Index(at, i))
			}
		}
	})
}

// removeItem reads a removal for a section that is a list.
func (d *decoder) removeItem(n *yaml.Node, section, path string) {
	if s, ok := d.str(n, path); ok {
		if section == "mounts" && checkPath(s) == nil {
			s = cleanPath(s)
		}
		d.p.Remove = append(d.p.Remove, Removal{Section: section, Value: s, Pos: d.pos(n)})
	}
}

// removals reads the list of a section's remove: key.
func (d *decoder) removals(n *yaml.Node, section string) {
	at := section + ".remove"
	if !d.wants(n, yaml.SeqNode, at) {
		return
	}
	for i, it := range n.Items {
		if section == "syscalls" && it.Val.Kind == yaml.MapNode {
			if r, ok := d.rule(it.Val, phrase.Index(at, i)); ok {
				d.p.Remove = append(d.p.Remove, Removal{Section: section, Value: r.Call, Expr: r.Expr, Pos: r.Pos})
			}
			continue
		}
		if s, ok := d.str(it.Val, phrase.Index(at, i)); ok {
			d.p.Remove = append(d.p.Remove, Removal{Section: section, Value: s, Pos: d.pos(it.Val)})
		}
	}
}

// removal reads an item {remove: VALUE} of a list. It returns false if n is not such an item.
func (d *decoder) removal(n *yaml.Node, section string) bool {
	if len(n.Items) == 0 || !slices.ContainsFunc(n.Items, func(it *yaml.Item) bool { return it.Key.Text == "remove" }) {
		return false
	}
	val := n.Items[0].Val
	switch {
	case len(n.Items) > 1:
		d.fail(n, section, "remove stands alone in its item", "")
	case section == "syscalls.deny":
		d.fail(n, section, "it only grows: nothing can be removed", "do not extend the profile that denies it")
	case !slices.Contains(removableLists[:], section):
		d.fail(n, section, "remove is a key of the section", "")
	default:
		d.removeItem(val, section, section)
	}
	return true
}

// remove applies r to p, and reports whether r matched anything.
func (p *Profile) remove(r *Removal) bool {
	v := r.Value
	switch r.Section {
	case "mounts":
		return drop(&p.Mounts, func(m Mount) bool { return m.Place() == v })
	case "hide":
		return p.lift(Hide{Pattern: v, Pos: r.Pos})
	case "missing":
		return drop(&p.Missing, func(m MissingLayer) bool { return string(m.Layer) == v })
	case "env":
		kept := drop(&p.Env.Keep, func(k EnvKeep) bool { return k.Pattern == v })
		return drop(&p.Env.Set, func(e EnvVar) bool { return e.Name == v }) || kept
	case "capabilities":
		is := func(c Capability) bool { return c.Name == v || v == "ALL" }
		ambient := drop(&p.Capabilities.Ambient, is)
		return drop(&p.Capabilities.Keep, is) || ambient || v == "ALL" || strings.HasPrefix(r.Pos.Flag, capDrop)
	case "syscalls":
		if r.Expr != "" {
			return drop(&p.Syscalls.Rules, func(x SyscallRule) bool { return x.Call == v && x.Expr == r.Expr })
		}
		arch := drop(&p.Syscalls.Arches, func(a string) bool { return a == v })
		return drop(&p.Syscalls.Allow, func(c SyscallItem) bool { return c.Name == v }) || arch
	case "landlock":
		return p.Landlock.remove(v)
	case "cache":
		return p.removeCache(v)
	case "limits":
		return p.removeLimit(v)
	}
	return false
}

// lift removes a hide rule, or shows a path although a rule hides a directory above it. No flag has this effect. Lint,
// diff and the report list such removals, so that everybody who examines the profile sees them.
func (p *Profile) lift(x Hide) bool {
	found := drop(&p.Hide, func(h Hide) bool { return h.Pattern == x.Pattern })
	if !found && !strings.ContainsAny(x.Pattern, `*?[\`) {
		found = slices.ContainsFunc(p.Hide, func(h Hide) bool {
			return !strings.ContainsAny(h.Pattern, `*?[\`) && strings.HasPrefix(x.Pattern, strings.TrimSuffix(h.Pattern, "/")+"/")
		})
	}
	if found {
		p.Lifted = append(slices.Clip(p.Lifted), x)
	}
	return found
}

// drop removes the items for which f is true. It makes a new list, because other profiles may share the memory of the
// old list.
func drop[T any](list *[]T, f func(T) bool) bool {
	if !slices.ContainsFunc(*list, f) {
		return false
	}
	*list = slices.DeleteFunc(slices.Clone(*list), f)
	if len(*list) == 0 {
		*list = nil
	}
	return true
}

func (l *Landlock) remove(v string) bool {
	is := func(x PathItem) bool { return x.Path == v || checkPath(v) == nil && x.Path == cleanPath(v) }
	found := drop(&l.Read.V, is)
	found = drop(&l.Write.V, is) || found
	found = drop(&l.Execute.V, is) || found
	return drop(&l.Scope.V, func(s string) bool { return s == v }) || found
}

// removeCache removes a tool from the list of tools that have caches. If there is no list, all tools have caches, and
// removeCache first makes a list of all.
func (p *Profile) removeCache(name string) bool {
	tools := Opt[[]string]{Set: true, V: p.CacheTools()}
	mode, on := p.CacheMode()
	if !on || !drop(&tools.V, func(s string) bool { return s == name }) {
		return false
	}
	p.Cache.Mode, p.Cache.Tools = mode, tools
	return true
}

// removeLimit removes a limit. name is the limit's key, the name of an rlimit, the path of an io limit or a huge page
// size.
func (p *Profile) removeLimit(name string) bool {
	if drop(&p.Limits.Rlimits, func(r Rlimit) bool { return r.Name == name }) ||
		drop(&p.Limits.IO, func(m IOMax) bool { return m.Path == name }) ||
		drop(&p.Limits.Hugetlb, func(h Hugetlb) bool { return FormatSize(h.PageSize) == name }) {
		return true
	}
	for i := range limitKeys {
		if k := &limitKeys[i]; k.name == name && k.isScalar() && !unset(k.at(p)) {
			copyScalar(k.at(p), k.at(&Profile{}))
			return true
		}
	}
	return false
}

// removedLimit reports whether path names a limit that p does not set, because Merge has removed it.
func (p *Profile) removedLimit(path string) bool {
	const section = "limits."
	if len(path) < len(section) || path[:len(section)] != section {
		return false
	}
	for i := range limitKeys {
		if k := &limitKeys[i]; k.name == path[len(section):] {
			return unset(k.at(p))
		}
	}
	return false
}

// hides reads the list of hide rules. An item is a pattern, or a mapping {path: PATTERN, as: empty}.
func (d *decoder) hides(n *yaml.Node, k *spec, path string) []Hide {
	empty := make(map[Pos]bool, 1)
	plain := *n
	plain.Items = slices.Clone(n.Items)
	for i, it := range plain.Items {
		if it.Val.Kind != yaml.MapNode || slices.ContainsFunc(it.Val.Items, func(it *yaml.Item) bool { return it.Key.Text == "remove" }) {
			continue
		}
		if pattern := d.hideAs(it.Val, phrase.Index(path, i)); pattern != nil {
			own := *it
			own.Val = pattern
			plain.Items[i] = &own
			empty[d.pos(pattern)] = true
		} else {
			plain.Items[i] = nil
		}
	}
	plain.Items = slices.DeleteFunc(plain.Items, func(it *yaml.Item) bool { return it == nil })
	return items(d, &plain, k, path, func(s string, at Pos) Hide { return Hide{Pattern: s, Empty: empty[at], Pos: at} })
}

// hideAs returns the pattern of {path: PATTERN, as: empty}. If n is anything else, hideAs adds an error.
func (d *decoder) hideAs(n *yaml.Node, path string) (pattern *yaml.Node) {
	as := false
	d.eachEntry(n, path, func(it *yaml.Item) {
		switch it.Key.Text {
		case "path":
			pattern = it.Val
		case "as":
			s, ok := d.str(it.Val, path+".as")
			if as = ok && s == "empty"; ok && !as {
				d.fail(it.Val, path+".as", "want empty, not "+Quote(s), "without as: the path cannot be opened at all")
			}
		default:
			d.unknownKey(it.Key, path, []string{"path", "as"})
		}
	})
	switch {
	case pattern == nil:
		d.fail(n, path, "path is missing", "{path: PATTERN, as: empty}")
	case !as && !slices.ContainsFunc(n.Items, func(it *yaml.Item) bool { return it.Key.Text == "as" }):
		d.fail(n, path, "as is missing", "{path: PATTERN, as: empty}, or the pattern alone")
		return nil
	}
	return pattern
}
