package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Parse reads one profile. Its errors are an Errors that holds everything wrong with the file; the profile is nil then.
// Nothing is inherited yet: see Extend. Names that depend on other sections are checked by Validate.
func Parse(file string, data []byte) (*Profile, error) {
	doc, err := readYAML(file, data)
	if err != nil {
		return nil, Errors{err}
	}
	d := &decoder{doc: doc, p: &Profile{}}
	d.profile()
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	d.p.sortSources()
	return d.p, nil
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
}

// maxErrors is how many errors of one file are shown.
const maxErrors = 50

// decoder reads a tree into p by the table of keys.
type decoder struct {
	doc  *document
	p    *Profile
	errs Errors
}

func (d *decoder) pos(n *node) Pos { return Pos{File: d.doc.file, Line: n.line, Col: n.col} }

func (d *decoder) fail(n *node, path, msg, hint string) {
	if len(d.errs) == maxErrors {
		return
	}
	if path != "" {
		msg = path + ": " + msg
	}
	d.errs = append(d.errs, d.doc.errorAt(n.line, n.col, msg, hint))
}

func (d *decoder) fault(n *node, path string, f *fault) {
	if f != nil {
		d.fail(n, path, f.msg, f.hint)
	}
}

// set records where the scalar at path was set.
func (d *decoder) set(path string, n *node) {
	d.p.Sources = append(d.p.Sources, Source{Path: path, Pos: d.pos(n)})
}

func (d *decoder) profile() {
	root := d.doc.root
	switch {
	case root == nil:
		d.errs = append(d.errs, d.doc.errorAt(1, 0, "an empty file", "a profile begins with version: 1"))
	case root.kind != mapNode:
		d.fail(root, "", "a profile is a mapping, not "+root.what(), "it begins with version: 1")
	default:
		decodeKeys(d, root, language, d.p, "")
	}
}

// decodeKeys reads the entries of a mapping; path is where it stands, "" for the top.
func decodeKeys[T any](d *decoder, n *node, keys []key[T], t *T, path string) {
	d.eachEntry(n, path, func(it *item) {
		name := it.key.text
		if name == "remove" && removable(path) {
			d.removals(it.val, path)
			return
		}
		if name == "remove" && path == "" {
			d.listRemovals(it.val)
			return
		}
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
		if i < 0 {
			d.unknownKey(it.key, path, keyNames(keys))
			return
		}
		decodeKey(d, it, &keys[i], t, join(path, name))
	})
}

func decodeKey[T any](d *decoder, it *item, k *key[T], t *T, path string) {
	if k.at == nil && k.keys != nil {
		if d.wants(it.val, mapNode, path) {
			decodeKeys(d, it.val, k.keys, t, path)
		}
		return
	}
	var ptr any
	if k.at != nil {
		ptr = k.at(t)
	}
	d.value(it.val, &k.spec, ptr, path)
}

// eachEntry calls f for every entry of a mapping whose key is new.
func (d *decoder) eachEntry(n *node, path string, f func(*item)) {
	seen := make(map[string]int, len(n.items))
	for _, it := range n.items {
		if it.key.scalar == nullScalar {
			d.fail(it.key, path, "a key is missing", "")
			continue
		}
		if it.key.scalar == oddScalar && it.key.style == 0 {
			d.odd(it.key, path)
			continue
		}
		if line, twice := seen[it.key.text]; twice {
			d.fail(it.key, path, "duplicate key "+Quote(it.key.text), "it is also in line "+strconv.Itoa(line))
			continue
		}
		seen[it.key.text] = it.key.line
		if d.wholly(it.key, tPath, path) {
			f(it)
		}
	}
}

func (d *decoder) unknownKey(n *node, path string, names []string) {
	hint := didYouMean(n.text, names)
	if hint == "" {
		hint = elsewhere(n.text, path)
	}
	if hint == "" && len(names) <= 8 {
		hint = "there is " + strings.Join(names, ", ")
	}
	d.fail(n, path, "unknown key "+Quote(n.text), hint)
}

// elsewhere is a hint for a key that belongs to another section.
func elsewhere(name, path string) string {
	for _, k := range language {
		if k.name == name {
			return Quote(name) + " belongs at the top of the file"
		}
		for _, sub := range k.keys {
			if sub.name == name && k.name != path {
				return Quote(name) + " belongs under " + k.name + ":"
			}
		}
	}
	return ""
}

func keyNames[T any](keys []key[T]) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// wants complains about a value of another kind.
func (d *decoder) wants(n *node, kind nodeKind, path string) bool {
	if n.kind == kind {
		return true
	}
	want := node{kind: kind}
	d.fail(n, path, "want "+want.what()+", not "+n.what(), "")
	return false
}

// value reads a key's value into the field that ptr points to.
func (d *decoder) value(n *node, k *spec, ptr any, path string) {
	switch p := ptr.(type) {
	case *Root:
		d.root(n, p, path)
	case *[]Mount:
		d.mounts(n, p, path)
	case *Landlock:
		d.landlock(n, path)
	case *Network:
		d.network(n, k, path)
	case *TimeNamespace:
		d.time(n, k, p, path)
	case *[]SyscallRule:
		d.rules(n, p, path)
	case *[]EnvVar:
		d.envVars(n, k, p, path)
	case *[]Rlimit:
		d.rlimits(n, p, path)
	case *[]IOMax:
		d.ioMax(n, p, path)
	case *[]Hugetlb:
		d.hugetlb(n, p, path)
	default:
		if k.list {
			d.list(n, k, ptr, path)
		} else {
			d.scalar(n, k, ptr, path)
		}
	}
}

// list reads a list whose items are text.
func (d *decoder) list(n *node, k *spec, ptr any, path string) {
	switch p := ptr.(type) {
	case *[]string:
		d.set(path, n)
		*p = items(d, n, k, path, func(s string, _ Pos) string { return s })
	case *Opt[[]string]:
		d.set(path, n)
		*p = Opt[[]string]{Set: true, V: items(d, n, k, path, func(s string, _ Pos) string { return s })}
	case *Opt[[]PathItem]:
		*p = Opt[[]PathItem]{Set: true, V: items(d, n, k, path, func(s string, at Pos) PathItem { return PathItem{cleanPath(s), at} })}
		d.set(path, n)
	case *[]Hide:
		*p = items(d, n, k, path, func(s string, at Pos) Hide { return Hide{s, at} })
	case *[]EnvKeep:
		*p = items(d, n, k, path, func(s string, at Pos) EnvKeep { return EnvKeep{s, at} })
	case *[]Capability:
		*p = items(d, n, k, path, func(s string, at Pos) Capability { return Capability{s, at} })
	case *[]SyscallItem:
		*p = items(d, n, k, path, func(s string, at Pos) SyscallItem { return SyscallItem{s, at} })
	case *[]NetworkAllowItem:
		*p = items(d, n, k, path, func(s string, at Pos) NetworkAllowItem { return NetworkAllowItem{s, at} })
	case *[]MissingLayer:
		*p = items(d, n, k, path, func(s string, at Pos) MissingLayer { return MissingLayer{Layer(s), at} })
	}
}

// items reads the texts of a list.
func items[T any](d *decoder, n *node, k *spec, path string, make func(string, Pos) T) []T {
	if !d.wants(n, seqNode, path) {
		return nil
	}
	var out []T
	for i, it := range n.items {
		at := index(path, i)
		if it.val.kind == mapNode && d.removal(it.val, path) {
			continue
		}
		if !d.wholly(it.val, k.typ, at) {
			continue
		}
		if s, ok := d.str(it.val, at); ok {
			if f := k.check(s); f != nil {
				d.fault(it.val, at, f)
				continue
			}
			out = append(out, make(s, d.pos(it.val)))
		}
	}
	return out
}

// scalar reads a single value and records where it was set.
func (d *decoder) scalar(n *node, k *spec, ptr any, path string) {
	s, ok := d.single(n, k, path)
	if !ok {
		return
	}
	if f := k.set(ptr, s); f != nil {
		d.fault(n, path, f)
		return
	}
	d.set(path, n)
}

// single is the text of a scalar that YAML takes for what the key wants.
func (d *decoder) single(n *node, k *spec, path string) (string, bool) {
	if n.kind != scalarNode {
		return "", d.wants(n, scalarNode, path)
	}
	if !d.wholly(n, k.typ, path) {
		return "", false
	}
	if n.scalar == oddScalar && n.style == 0 && slices.Contains(k.words, n.text) {
		return n.text, true // off, where it is one of the key's words
	}
	switch k.typ {
	case tVersion, tInt:
		return n.text, d.oneOf(n, path, "a whole number", "", intScalar)
	case tNumber:
		return n.text, d.oneOf(n, path, "a number", "", intScalar, floatScalar)
	case tSize:
		return n.text, d.oneOf(n, path, "a size", "such as 512MiB", intScalar, strScalar)
	case tID:
		return n.text, d.oneOf(n, path, "a number or keep", "", intScalar, strScalar)
	case tDuration, tOffset:
		return n.text, d.oneOf(n, path, "a time span", "such as 90s, 30m or 1h30m", intScalar, strScalar)
	case tCPUSet:
		return n.text, d.oneOf(n, path, "a list of numbers", "such as \"0-3,6\"", intScalar, strScalar)
	case tPerm:
		return n.text, d.oneOf(n, path, "an octal mode in quotes", "write "+Quote(n.text), strScalar)
	case tWord:
		if k.words[0] == "true" || k.words[0] == "false" {
			return n.text, d.oneOf(n, path, "true or false", "", boolScalar)
		}
	}
	return d.str(n, path)
}

func (d *decoder) oneOf(n *node, path, want, hint string, types ...scalarType) bool {
	if n.kind == scalarNode && slices.Contains(types, n.scalar) && (n.style == 0 || slices.Contains(types, strScalar)) {
		return true
	}
	if n.kind == scalarNode && n.scalar == oddScalar {
		d.odd(n, path)
		return false
	}
	d.fail(n, path, "want "+want+", not "+n.what(), hint)
	return false
}

// str is the text of a string; a number or a word that YAML takes for something else must be quoted.
func (d *decoder) str(n *node, path string) (string, bool) {
	switch {
	case n.kind != scalarNode:
		return "", d.wants(n, scalarNode, path)
	case n.scalar == nullScalar:
		hint := ""
		if n.text == "~" {
			hint = `a lone ~ is nothing in YAML; write "~"`
		}
		d.fail(n, path, "a value is missing", hint)
		return "", false
	case n.scalar == oddScalar:
		d.odd(n, path)
		return "", false
	case n.scalar != strScalar:
		d.fail(n, path, "want a string, not "+n.what(), "write "+Quote(n.text))
		return "", false
	}
	return n.text, true
}

func (d *decoder) landlock(n *node, path string) {
	l := &d.p.Landlock
	d.set(path, n)
	switch {
	case n.kind == mapNode:
		decodeKeys(d, n, landlockKeys, d.p, path)
	case n.kind == scalarNode && n.text == "off":
		l.Off = true
	default:
		d.fail(n, path, "want off or a mapping, not "+n.what(), "")
	}
}

func (d *decoder) network(n *node, k *spec, path string) {
	net := &d.p.Network
	d.set(path, n)
	if n.kind == mapNode {
		net.Mode = NetworkAllow
		decodeKeys(d, n, networkKeys, d.p, path)
		return
	}
	if s, ok := d.str(n, path); ok {
		d.fault(n, path, setWord(k, &net.Mode, s))
	}
}

func (d *decoder) time(n *node, k *spec, t *TimeNamespace, path string) {
	d.set(path, n)
	if n.kind == mapNode {
		t.New = true
		sub := &decoder{doc: d.doc, p: &Profile{}} // the offsets have no place of their own
		decodeKeys(sub, n, timeKeys, t, path)
		d.errs = append(d.errs, sub.errs...)
		return
	}
	if s, ok := d.str(n, path); ok {
		d.fault(n, path, setTime(t, s))
	}
}

func (d *decoder) envVars(n *node, k *spec, out *[]EnvVar, path string) {
	if !d.wants(n, mapNode, path) {
		return
	}
	d.eachEntry(n, path, func(it *item) {
		at := join(path, it.key.text)
		d.fault(it.key, path, checkEnvName(it.key.text))
		if s, ok := d.str(it.val, at); ok {
			d.fault(it.val, at, checkText(s))
			*out = append(*out, EnvVar{Name: it.key.text, Value: s, Pos: d.pos(it.val)})
		}
	})
}

func (p *Profile) sortSources() {
	slices.SortStableFunc(p.Sources, func(a, b Source) int { return cmp.Compare(a.Path, b.Path) })
}

// Source returns where the scalar at path ("hostname", "limits.wall") was set; the zero Pos if it was not.
func (p *Profile) Source(path string) Pos {
	at, _ := p.source(path)
	return at
}

func (p *Profile) source(path string) (Pos, bool) {
	i, ok := slices.BinarySearchFunc(p.Sources, path, func(s Source, path string) int { return cmp.Compare(s.Path, path) })
	if !ok {
		return Pos{}, false
	}
	return p.Sources[i].Pos, true
}
