package policy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"cordon/policy/phrase"
	"cordon/policy/yaml"
)

// Parse reads one profile. If anything is wrong with the file, the profile is nil and the error is an Errors with
// everything that is wrong. Parse does not merge the profiles that the file extends: see Extend. Validate checks
// names that depend on other sections.
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

// maxErrors is how many errors of one file Parse returns.
const maxErrors = 50

// decoder decodes a YAML tree into p, by the table of keys.
type decoder struct {
	doc  *yaml.Document
	p    *Profile
	errs Errors
}

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{File: d.doc.File, Line: n.Line, Col: n.Col} }

func (d *decoder) fail(n *yaml.Node, path, msg, hint string) {
	if len(d.errs) == maxErrors {
		return
	}
	if path != "" {
		msg = path + ": " + msg
	}
	d.errs = append(d.errs, errorAt(d.doc, n.Line, n.Col, msg, hint))
}

func (d *decoder) fault(n *yaml.Node, path string, f *fault) {
	if f != nil {
		d.fail(n, path, f.msg, f.hint)
	}
}

// set records the position at which the scalar at path was set.
func (d *decoder) set(path string, n *yaml.Node) {
	d.p.Sources = append(d.p.Sources, Source{Path: path, Pos: d.pos(n)})
}

func (d *decoder) profile() {
	root := d.doc.Root
	switch {
	case root == nil:
		d.errs = append(d.errs, errorAt(d.doc, 1, 0, "an empty file", "a profile begins with version: 1"))
	case root.Kind != yaml.MapNode:
		d.fail(root, "", "a profile is a mapping, not "+root.What(), "it begins with version: 1")
	default:
		decodeKeys(d, root, language, d.p, "")
	}
}

// decodeKeys reads the entries of a mapping. path is the mapping's path, "" for the top of the file.
func decodeKeys[T any](d *decoder, n *yaml.Node, keys []key[T], t *T, path string) {
	d.eachEntry(n, path, func(it *yaml.Item) {
		name := it.Key.Text
		if name == "remove" && removable(path) {
			d.removals(it.Val, path)
			return
		}
		if name == "remove" && path == "" {
			d.listRemovals(it.Val)
			return
		}
		i := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
		if i < 0 {
			d.unknownKey(it.Key, path, keyNames(keys))
			return
		}
		decodeKey(d, it, &keys[i], t, join(path, name))
	})
}

func decodeKey[T any](d *decoder, it *yaml.Item, k *key[T], t *T, path string) {
	if k.at == nil && k.keys != nil {
		if d.wants(it.Val, yaml.MapNode, path) {
			decodeKeys(d, it.Val, k.keys, t, path)
		}
		return
	}
	var ptr any
	if k.at != nil {
		ptr = k.at(t)
	}
	d.value(it.Val, &k.spec, ptr, path)
}

// eachEntry calls f for every entry of a mapping. It reports a missing, ambiguous or repeated key as an error and
// skips it.
func (d *decoder) eachEntry(n *yaml.Node, path string, f func(*yaml.Item)) {
	seen := make(map[string]int, len(n.Items))
	for _, it := range n.Items {
		if it.Key.Scalar == yaml.NullScalar {
			d.fail(it.Key, path, "a key is missing", "")
			continue
		}
		if it.Key.Scalar == yaml.OddScalar && it.Key.Style == 0 {
			d.odd(it.Key, path)
			continue
		}
		if line, twice := seen[it.Key.Text]; twice {
			d.fail(it.Key, path, "duplicate key "+Quote(it.Key.Text), "it is also in line "+strconv.Itoa(line))
			continue
		}
		seen[it.Key.Text] = it.Key.Line
		if d.wholly(it.Key, tPath, path) {
			f(it)
		}
	}
}

func (d *decoder) unknownKey(n *yaml.Node, path string, names []string) {
	hint := didYouMean(n.Text, names)
	if hint == "" {
		hint = elsewhere(n.Text, path)
	}
	if hint == "" && len(names) <= 8 {
		hint = "there is " + strings.Join(names, ", ")
	}
	d.fail(n, path, "unknown key "+Quote(n.Text), hint)
}

// elsewhere returns a hint for a key that belongs to another section, or "".
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

// wants reports whether n is of the wanted kind. If it is not, wants adds an error.
func (d *decoder) wants(n *yaml.Node, kind yaml.NodeKind, path string) bool {
	if n.Kind == kind {
		return true
	}
	want := yaml.Node{Kind: kind}
	d.fail(n, path, "want "+want.What()+", not "+n.What(), "")
	return false
}

// value reads a key's value into the field that ptr points to.
func (d *decoder) value(n *yaml.Node, k *spec, ptr any, path string) {
	switch p := ptr.(type) {
	case *Root:
		d.root(n, p, path)
	case *[]Mount:
		d.mounts(n, p, path)
	case *Landlock:
		d.landlock(n, path)
	case *Namespaces:
		d.namespaces(n, path)
	case *Network:
		d.network(n, k, path)
	case *Cache:
		d.cache(n, path)
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
func (d *decoder) list(n *yaml.Node, k *spec, ptr any, path string) {
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
		*p = d.hides(n, k, path)
	case *[]EnvKeep:
		*p = items(d, n, k, path, func(s string, at Pos) EnvKeep { return EnvKeep{s, at} })
	case *[]Capability:
		*p = items(d, n, k, path, func(s string, at Pos) Capability { return Capability{s, at} })
	case *[]SyscallItem:
		*p = items(d, n, k, path, func(s string, at Pos) SyscallItem { return SyscallItem{s, at} })
	case *[]NetworkItem:
		*p = items(d, n, k, path, func(s string, at Pos) NetworkItem { return NetworkItem{s, at} })
	case *[]MissingLayer:
		*p = items(d, n, k, path, func(s string, at Pos) MissingLayer { return MissingLayer{Layer(s), at} })
	}
}

// items reads the texts of a list and makes an item of each. It skips items that are removals.
func items[T any](d *decoder, n *yaml.Node, k *spec, path string, make func(string, Pos) T) []T {
	if !d.wants(n, yaml.SeqNode, path) {
		return nil
	}
	var out []T
	for i, it := range n.Items {
		at := phrase.Index(path, i)
		if it.Val.Kind == yaml.MapNode && d.removal(it.Val, path) {
			continue
		}
		if !d.wholly(it.Val, k.typ, at) {
			continue
		}
		if s, ok := d.str(it.Val, at); ok {
			if f := k.check(s); f != nil {
				d.fault(it.Val, at, f)
				continue
			}
			out = append(out, make(s, d.pos(it.Val)))
		}
	}
	return out
}

// scalar reads a single value and records its position.
func (d *decoder) scalar(n *yaml.Node, k *spec, ptr any, path string) {
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

// single returns the text of a scalar, if YAML reads the scalar as the type that the key needs.
func (d *decoder) single(n *yaml.Node, k *spec, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		return "", d.wants(n, yaml.ScalarNode, path)
	}
	if !d.wholly(n, k.typ, path) {
		return "", false
	}
	if n.Scalar == yaml.OddScalar && n.Style == 0 && slices.Contains(k.words, n.Text) {
		return n.Text, true // a word such as off is text if it is one of the key's words
	}
	switch k.typ {
	case tVersion, tInt:
		return n.Text, d.oneOf(n, path, "a whole number", "", yaml.IntScalar)
	case tNumber:
		return n.Text, d.oneOf(n, path, "a number", "", yaml.IntScalar, yaml.FloatScalar)
	case tSize:
		return n.Text, d.oneOf(n, path, "a size", "such as 512MiB", yaml.IntScalar, yaml.StrScalar)
	case tID:
		return n.Text, d.oneOf(n, path, "a number or keep", "", yaml.IntScalar, yaml.StrScalar)
	case tDuration, tOffset:
		return n.Text, d.oneOf(n, path, "a time span", "such as 90s, 30m or 1h30m", yaml.IntScalar, yaml.StrScalar)
	case tCPUSet:
		return n.Text, d.oneOf(n, path, "a list of numbers", "such as \"0-3,6\"", yaml.IntScalar, yaml.StrScalar)
	case tPerm:
		return n.Text, d.oneOf(n, path, "an octal mode in quotes", "write "+Quote(n.Text), yaml.StrScalar)
	case tWord:
		if k.words[0] == "true" || k.words[0] == "false" {
			return n.Text, d.oneOf(n, path, "true or false", "", yaml.BoolScalar)
		}
		if n.Scalar != yaml.StrScalar && n.Scalar != yaml.NullScalar && n.Style == 0 {
			d.fail(n, path, "want a word, not "+n.What(), "it is "+oneOf(k.words))
			return "", false
		}
	}
	return d.str(n, path)
}

func (d *decoder) oneOf(n *yaml.Node, path, want, hint string, types ...yaml.ScalarType) bool {
	if n.Kind == yaml.ScalarNode && slices.Contains(types, n.Scalar) && (n.Style == 0 || slices.Contains(types, yaml.StrScalar)) {
		return true
	}
	if n.Kind == yaml.ScalarNode && n.Scalar == yaml.OddScalar {
		d.odd(n, path)
		return false
	}
	d.fail(n, path, "want "+want+", not "+n.What(), hint)
	return false
}

// str returns the text of a string. A number, or a word that YAML does not read as text, must be quoted.
func (d *decoder) str(n *yaml.Node, path string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		return "", d.wants(n, yaml.ScalarNode, path)
	case n.Scalar == yaml.NullScalar:
		hint := ""
		if n.Text == "~" {
			hint = `a lone ~ is nothing in YAML; write "~"`
		}
		d.fail(n, path, "a value is missing", hint)
		return "", false
	case n.Scalar == yaml.OddScalar:
		d.odd(n, path)
		return "", false
	case n.Scalar != yaml.StrScalar:
		d.fail(n, path, "want a string, not "+n.What(), "write "+Quote(n.Text))
		return "", false
	}
	return n.Text, true
}

func (p *Profile) sortSources() {
	slices.SortStableFunc(p.Sources, func(a, b Source) int { return cmp.Compare(a.Path, b.Path) })
}

// Source returns the position at which the scalar at path ("hostname", "limits.wall") was set, or the zero Pos if it
// was not set.
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

// odd refuses a word that YAML parsers interpret differently.
func (d *decoder) odd(n *yaml.Node, path string) {
	if n.Text == "=" {
		d.fail(n, path, "= is no text to some readers of YAML", `write "="`)
		return
	}
	d.fail(n, path, n.Text+" is a number, a date or a truth value to some readers of YAML",
		"write "+Quote(n.Text)+" if it is text; a number in plain decimal, true or false")
}

// wholly refuses a scalar without quotes that may contain more or less than its writer means. If a ':' or a bracket is
// missing, a blank or a comma in a path belongs to the next entry. If " #x" follows a path, it may have been meant as a
// part of the path.
func (d *decoder) wholly(n *yaml.Node, t typ, path string) bool {
	long := n.Folded && !slices.Contains(wordy[:], t)
	if n.Kind != yaml.ScalarNode || n.Style != 0 || !long && !slices.Contains(opaque[:], t) {
		return true
	}
	switch {
	case long:
		d.fail(n, path, "a value of several lines", "a ':' or a quote may be missing; otherwise write "+Quote(n.Text))
	case strings.ContainsAny(n.Text, " ,"):
		d.fail(n, path, "a blank or a comma in a value without quotes",
			"write "+Quote(n.Text)+" if it belongs to it; otherwise a ':', a bracket or a new line is missing")
	case n.Glued:
		d.fail(n, path, "a comment directly behind the value",
			"write '# ' with a blank behind it, or quotes around what holds ' #'")
	default:
		return true
	}
	return false
}

// wordy lists the types whose values may contain blanks.
var wordy = [...]typ{tText, tContent, tRule, tAction, tIOMax}

// opaque lists the types that accept almost any text, and therefore most mistakes.
var opaque = [...]typ{tPath, tSource, tUpper, tLink, tPattern, tExtends, tEnvPattern, tEnvName}
