package policy

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Merge merges the profile over into base. A scalar that over sets replaces base's scalar. Lists are appended, and maps
// are merged by key. Before it adds anything, Merge removes from base what over removes. It changes neither argument.
//
// A scalar is set if it has a Source or is not its zero value. A removal applies only to base, never to over itself.
// Merge keeps a removal that matches nothing. It may match when the result is merged into a further base; otherwise
// Validate reports it.
func Merge(base, over *Profile) *Profile {
	p := *base
	p.Sources = nil
	p.Remove = slices.Clip(base.Remove)
	for i := range over.Remove {
		if !p.remove(&over.Remove[i]) {
			p.Remove = append(p.Remove, over.Remove[i])
		}
	}
	p.mergeScalars(over)
	p.mergeRoot(over)
	p.mergeLists(over)
	p.mergeLandlock(over)
	p.mergeNetwork(over)
	if over.has("", "namespaces") {
		p.Namespaces.None = over.Namespaces.None
	}
	p.Sources = mergeSources(base, over, &p)
	return &p
}

func (p *Profile) mergeScalars(over *Profile) {
	eachScalar(func(section string, k *key[Profile]) {
		if src := k.at(over); !unset(src) || over.has(section, k.name) {
			copyScalar(k.at(p), src)
		}
	})
}

// eachScalar calls f for every key of a profile that holds a single value.
func eachScalar(f func(section string, k *key[Profile])) {
	for i := range language {
		if k := &language[i]; k.isScalar() {
			f("", k)
		}
		for j := range language[i].keys {
			if k := &language[i].keys[j]; k.isScalar() {
				f(language[i].name, k)
			}
		}
	}
}

// isScalar reports whether the key holds a single value. It is false for lists and for sections, which include root,
// landlock and network.
func (k *spec) isScalar() bool { return k.typ != tSection && k.dict == 0 && !k.list }

// has reports whether the profile sets a scalar.
func (p *Profile) has(section, name string) bool {
	for i := range p.Sources {
		path := p.Sources[i].Path
		if section == "" && path == name {
			return true
		}
		if n := len(section); section != "" && len(path) == n+1+len(name) && path[:n] == section && path[n+1:] == name {
			return true
		}
	}
	return false
}

// unset reports whether the field that ptr points to has its zero value.
func unset(ptr any) bool {
	switch p := ptr.(type) {
	case *int:
		return *p == 0
	case *string:
		return *p == ""
	case *bool:
		return !*p
	case *NetworkInterface:
		return *p == ""
	case *NetworkTLS:
		return *p == ""
	case *Git:
		return *p == ""
	case *TTY:
		return *p == ""
	case *OnDenial:
		return *p == ""
	case *CacheMode:
		return *p == ""
	case *Exec:
		return *p == ""
	case *Init:
		return *p == ""
	case *HostUser:
		return *p == ""
	case *Enter:
		return *p == ""
	case *Namespace:
		return *p == Namespace{}
	case *TimeNamespace:
		return *p == TimeNamespace{}
	case *Opt[uint32]:
		return !p.Set
	case *Opt[int]:
		return !p.Set
	case *Opt[int64]:
		return !p.Set
	case *Opt[float64]:
		return !p.Set
	case *Opt[time.Duration]:
		return !p.Set
	}
	return true
}

// namesTree reports whether a root section says which tree is the root. A section that comes from flags may instead
// only change a tree that another profile names.
func (p *Profile) namesTree() bool { return p.Root.Kind != RootEmpty || p.has("", "root") }

// mergeRoot replaces the whole section root if over says which tree is the root. Otherwise it only sets the fields that
// over sets.
func (p *Profile) mergeRoot(over *Profile) {
	if over.namesTree() {
		p.Root = over.Root
		return
	}
	if over.Root.Overlay != "" || over.has("root", "overlay") {
		p.Root.Overlay = over.Root.Overlay
	}
	if over.Root.Enter != "" || over.has("root", "enter") {
		p.Root.Enter = over.Root.Enter
	}
	if over.Root.Write || over.has("root", "mode") {
		p.Root.Write = over.Root.Write
	}
}

func (p *Profile) mergeLists(over *Profile) {
	p.Extends = concat(p.Extends, over.Extends)
	p.Mounts = concat(p.Mounts, over.Mounts)
	p.Hide = concat(p.Hide, over.Hide)
	p.Lifted = concat(p.Lifted, over.Lifted)
	p.Env.Keep = concat(p.Env.Keep, over.Env.Keep)
	p.Capabilities.Keep = concat(p.Capabilities.Keep, over.Capabilities.Keep)
	p.Capabilities.Ambient = concat(p.Capabilities.Ambient, over.Capabilities.Ambient)
	p.Syscalls.Arches = concat(p.Syscalls.Arches, over.Syscalls.Arches)
	p.Syscalls.Allow = concat(p.Syscalls.Allow, over.Syscalls.Allow)
	p.Syscalls.Deny = concat(p.Syscalls.Deny, over.Syscalls.Deny)
	p.Syscalls.Rules = concat(p.Syscalls.Rules, over.Syscalls.Rules)
	p.Cache.Tools = concatOpt(p.Cache.Tools, over.Cache.Tools)
	p.Missing = concat(p.Missing, over.Missing)
	p.mergeMaps(over)
}

func (p *Profile) mergeMaps(over *Profile) {
	if len(over.Env.Set) > 0 {
		p.Env.Set = slices.Clone(p.Env.Set)
		for _, v := range over.Env.Set {
			p.Env.Set = setVar(p.Env.Set, v)
		}
	}
	p.Limits.Rlimits = mergeInto(p.Limits.Rlimits, over.Limits.Rlimits, rlimitKey)
	p.Limits.IO = mergeInto(p.Limits.IO, over.Limits.IO, ioMaxKey)
	p.Limits.Hugetlb = mergeInto(p.Limits.Hugetlb, over.Limits.Hugetlb, hugetlbKey)
}

// mergeInto returns a copy of base that also contains every item of over. An item of over replaces the item of base
// with the same key.
func mergeInto[T any, K cmp.Ordered](base, over []T, key func(*T) K) []T {
	if len(over) == 0 {
		return base
	}
	base = slices.Clone(base)
	for _, x := range over {
		base = setSorted(base, x, key)
	}
	return base
}

// setVar replaces the variable of the same name in its place, or appends v.
func setVar(list []EnvVar, v EnvVar) []EnvVar {
	if i := slices.IndexFunc(list, func(x EnvVar) bool { return x.Name == v.Name }); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

// concat returns a followed by b. The result is in new memory, unless a or b is empty.
func concat[T any](a, b []T) []T {
	switch {
	case len(b) == 0:
		return slices.Clip(a)
	case len(a) == 0:
		return slices.Clip(b)
	}
	out := make([]T, 0, len(a)+len(b))
	return append(append(out, a...), b...)
}

func concatOpt[T any](a, b Opt[[]T]) Opt[[]T] {
	return Opt[[]T]{Set: a.Set || b.Set, V: concat(a.V, b.V)}
}

func (l *Landlock) zero() bool {
	return !l.Off && !l.Read.Set && !l.Write.Set && !l.Execute.Set && !l.Scope.Set
}

func (p *Profile) mergeLandlock(over *Profile) {
	l, o := &p.Landlock, &over.Landlock
	if o.zero() && !over.has("", "landlock") {
		return
	}
	l.Off = o.Off
	l.Read = concatOpt(l.Read, o.Read)
	l.Write = concatOpt(l.Write, o.Write)
	l.Execute = concatOpt(l.Execute, o.Execute)
	l.Scope = concatOpt(l.Scope, o.Scope)
}

// mergeNetwork replaces base's mode with over's mode. If both are lists of endpoints, it appends over's list. A denied
// endpoint is never removed.
func (p *Profile) mergeNetwork(over *Profile) {
	n, o := &p.Network, over.Network
	n.Deny = concat(n.Deny, o.Deny)
	if o.Mode == NetworkNone && len(o.Allow) == 0 && !over.has("", "network") {
		return
	}
	if n.Mode == NetworkAllow && o.Mode == NetworkAllow {
		o.Allow, o.Publish = concat(n.Allow, o.Allow), concat(n.Publish, o.Publish)
	}
	n.Mode, n.Allow, n.Publish = o.Mode, o.Allow, o.Publish
}

// mergeSources returns the sources of base and over, sorted by path. If both have a path, it returns the source of
// over. It leaves out the sources of values that a new root section or a removal has removed.
func mergeSources(base, over, merged *Profile) []Source {
	if len(over.Sources) == 0 && len(over.Remove) == 0 {
		return base.Sources
	}
	out := make([]Source, 0, len(base.Sources)+len(over.Sources))
	i, j := 0, 0
	for i < len(base.Sources) || j < len(over.Sources) {
		switch {
		case j == len(over.Sources) || i < len(base.Sources) && base.Sources[i].Path < over.Sources[j].Path:
			if s := base.Sources[i]; !stale(s.Path, over, merged) {
				out = append(out, s)
			}
			i++
		default:
			if i < len(base.Sources) && base.Sources[i].Path == over.Sources[j].Path {
				i++
			}
			out = append(out, over.Sources[j])
			j++
		}
	}
	if len(out) == 0 {
		return nil // as in a profile that sets no scalar
	}
	return out
}

func stale(path string, over, merged *Profile) bool {
	if len(path) > 5 && path[:5] == "root." {
		return over.namesTree()
	}
	return len(over.Remove) > 0 && merged.removedLimit(path)
}

// maxProfiles bounds how many profiles a profile may extend, directly or indirectly.
const maxProfiles = 64

// Extend loads the profiles that p extends, and the profiles that these extend in turn. It merges each profile once, in
// the given order, and then p over them. The result extends nothing. load reads one profile by its name.
func Extend(p *Profile, load func(name string) (*Profile, error)) (*Profile, error) {
	e := extender{load: load}
	if err := e.add(p); err != nil {
		return nil, err
	}
	e.merged.Extends = nil
	if i := slices.IndexFunc(e.merged.Sources, func(s Source) bool { return s.Path == "extends" }); i >= 0 {
		e.merged.Sources = slices.Delete(slices.Clone(e.merged.Sources), i, i+1)
	}
	return e.merged, nil
}

type extender struct {
	load   func(string) (*Profile, error)
	merged *Profile
	chain  []string // names of the profiles that are being loaded, outermost first
	done   []string
}

func (e *extender) add(p *Profile) error {
	for _, name := range p.Extends {
		if err := e.addNamed(p, name); err != nil {
			return err
		}
	}
	if e.merged == nil {
		e.merged = Merge(&Profile{}, p)
	} else {
		e.merged = Merge(e.merged, p)
	}
	return nil
}

func (e *extender) addNamed(p *Profile, name string) error {
	if slices.Contains(e.chain, name) {
		chain := strings.Join(append(e.chain, name), " -> ")
		return e.fail(p, "extends: "+printable(chain)+" goes in a circle", "")
	}
	if slices.Contains(e.done, name) {
		return nil
	}
	if len(e.done) == maxProfiles {
		return e.fail(p, "extends: more than "+strconv.Itoa(maxProfiles)+" profiles", "")
	}
	e.chain, e.done = append(e.chain, name), append(e.done, name)
	q, err := e.load(name)
	if err != nil {
		return e.wrap(p, name, err)
	}
	err = e.add(q)
	e.chain = e.chain[:len(e.chain)-1]
	return err
}

func (e *extender) fail(p *Profile, msg, hint string) error {
	return Errors{{Pos: p.Source("extends"), Msg: msg, Hint: hint}}
}

// wrap adds to an error of load the position that names the profile. Errors within the loaded file keep their own
// positions.
func (e *extender) wrap(p *Profile, name string, err error) error {
	var inside Errors
	if errors.As(err, &inside) {
		return err
	}
	hint := ""
	var one *Error
	if errors.As(err, &one) {
		if one.Pos != (Pos{}) {
			return err
		}
		return e.fail(p, "extends: "+one.Msg, one.Hint)
	}
	return e.fail(p, "extends: "+Quote(name)+": "+err.Error(), hint)
}
