package diff

import (
	"cmp"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/lint"
)

// Effect says whether a change widens, narrows or alters what a program may do.
type Effect string

// The effects of a change.
const (
	Widens  Effect = "widens"  // something becomes possible
	Narrows Effect = "narrows" // something becomes impossible
	Alters  Effect = "alters"  // neither: a name, a value or an errno changes
)

// A Change is one difference between two effective profiles, from the first to the second.
type Change struct {
	Effect  Effect
	Section string     // the key: "syscalls", "mounts", "limits.memory"
	What    string     // the subject: a call, a path, a variable
	From    string     // what the first profile says
	To      string     // what the second profile says
	Old     policy.Pos // the position in the first profile; zero if there is none
	New     policy.Pos // the position in the second profile; zero if there is none
}

// String returns the change on one line: "widens: syscalls: ptrace: errno(EPERM) → allow".
func (c *Change) String() string {
	s := string(c.Effect) + ": " + c.Section
	if c.What != "" {
		s += ": " + c.What
	}
	switch {
	case c.From == "" && c.To == "":
	case c.From == "":
		s += ": " + c.To
	case c.To == "":
		s += ": not any more: " + c.From
	default:
		s += ": " + c.From + " → " + c.To
	}
	return s
}

// Compare lists the differences in meaning between two effective profiles. It compares filters by their decision for
// every call and class of arguments on arch ("amd64"), and mounts by what is visible at every path that either profile
// names. Other words with the same meaning are not a change. Names, comments and the order of lists have no meaning.
// Only the order of mounts matters, if they can cover each other. The error is about a filter.
//
// Compare compares paths as they are written, because it does not know where ~ and . are. If mounts below ~ or . and
// other mounts change their order, it reports a change that both widens and narrows.
func Compare(a, b *policy.Profile, arch string) ([]Change, error) {
	d := &differ{a: a, b: b}
	if err := d.syscalls(arch); err != nil {
		return nil, err
	}
	d.tree()
	d.lists()
	d.landlock()
	d.network()
	d.caches()
	d.namespaces()
	d.scalars()
	d.rlimits()
	d.ioMax()
	d.hugetlb()
	slices.SortStableFunc(d.changes, func(x, y Change) int {
		return cmp.Or(rankOf(x.Effect)-rankOf(y.Effect), cmp.Compare(x.Section, y.Section))
	})
	return d.changes, nil
}

func rankOf(e Effect) int { return slices.Index([]Effect{Widens, Narrows, Alters}, e) }

type differ struct {
	a, b    *policy.Profile
	changes []Change
}

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

// set compares two lists. gives is the effect of an item that only b has. An item that only a has gets the opposite
// effect. Alters is its own opposite.
func (d *differ) set(section string, gives Effect, a, b []named) {
	takes := Narrows
	if gives == Narrows {
		takes = Widens
	}
	if gives == Alters {
		takes = Alters
	}
	has := func(list []named, name string) bool {
		return slices.ContainsFunc(list, func(n named) bool { return n.name == name })
	}
	for i, x := range a {
		if !has(b, x.name) && !has(a[:i], x.name) {
			d.add(Change{Effect: takes, Section: section, From: x.name, Old: x.at})
		}
	}
	for i, x := range b {
		if !has(a, x.name) && !has(b[:i], x.name) {
			d.add(Change{Effect: gives, Section: section, To: x.name, New: x.at})
		}
	}
}

// named is an item of a list, with its position.
type named struct {
	name string
	at   policy.Pos
}

func nameAll[T any](list []T, f func(T) named) []named {
	out := make([]named, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

func (d *differ) lists() {
	keep := func(p *policy.Profile) []named {
		return nameAll(p.Env.Keep, func(k policy.EnvKeep) named { return named{k.Pattern, k.Pos} })
	}
	caps := func(list []policy.Capability) []named {
		return nameAll(list, func(c policy.Capability) named { return named{c.Name, c.Pos} })
	}
	hide := func(p *policy.Profile) []named {
		return nameAll(p.Hide, func(h policy.Hide) named { return named{hideName(h), h.Pos} })
	}
	missing := func(p *policy.Profile) []named {
		return nameAll(p.Missing, func(m policy.MissingLayer) named { return named{string(m.Layer), m.Pos} })
	}
	vars := func(p *policy.Profile) []named {
		return nameAll(p.Env.Set, func(v policy.EnvVar) named { return named{v.Name + "=" + v.Value, v.Pos} })
	}
	d.set("hide", Narrows, hide(d.a), hide(d.b))
	lifted := func(p *policy.Profile) []named {
		return nameAll(p.Lifted, func(h policy.Hide) named { return named{"remove " + hideName(h), h.Pos} })
	}
	d.set("hide", Widens, lifted(d.a), lifted(d.b))
	d.set("env.keep", Widens, withoutCovered(keep(d.a), keep(d.b)), withoutCovered(keep(d.b), keep(d.a)))
	d.set("env.set", Alters, withNames(vars(d.a), false), withNames(vars(d.b), false))
	d.set("env.set", Widens, withNames(vars(d.a), true), withNames(vars(d.b), true))
	d.set("capabilities.keep", Widens, caps(d.a.Capabilities.Keep), caps(d.b.Capabilities.Keep))
	d.set("capabilities.ambient", Widens, caps(d.a.Capabilities.Ambient), caps(d.b.Capabilities.Ambient))
	d.set("missing", Widens, missing(d.a), missing(d.b))
}

// withNames returns those variables of list that choose which code runs, if code is true. Otherwise it returns all
// other variables.
func withNames(list []named, code bool) []named {
	return slices.DeleteFunc(slices.Clone(list), func(n named) bool {
		name, _, _ := strings.Cut(n.name, "=")
		return choosesCode(name) != code
	})
}

// choosesCode reports whether a variable decides which code runs.
func choosesCode(name string) bool {
	return slices.Contains(lint.LoaderVariables, name) || slices.Contains(lint.CommandVariables, name) ||
		strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "GIT_CONFIG")
}

// withoutCovered returns list without the variables that match a pattern in both lists.
func withoutCovered(list, other []named) []named {
	return slices.DeleteFunc(slices.Clone(list), func(n named) bool {
		in := func(list []named) bool {
			return slices.ContainsFunc(list, func(p named) bool {
				prefix, star := strings.CutSuffix(p.name, "*")
				return star && p.name != n.name && strings.HasPrefix(n.name, prefix)
			})
		}
		return in(list) && in(other)
	})
}

// landlock compares the Landlock rules. Fewer paths and more scopes narrow. A list also narrows if there was none
// before.
func (d *differ) landlock() {
	a, b := &d.a.Landlock, &d.b.Landlock
	if a.Off != b.Off {
		c := Change{Effect: Widens, Section: "landlock", From: "on", To: "off", Old: d.a.Source("landlock"), New: d.b.Source("landlock")}
		if a.Off {
			c.Effect, c.From, c.To = Narrows, "off", "on"
		}
		d.add(c)
		return
	}
	if a.Off {
		return
	}
	paths := func(list policy.Opt[[]policy.PathItem]) []named {
		return nameAll(list.V, func(i policy.PathItem) named { return named{i.Path, i.Pos} })
	}
	d.narrowing("landlock.read", a.Read.Set, b.Read.Set, paths(a.Read), paths(b.Read))
	d.narrowing("landlock.write", a.Write.Set, b.Write.Set, paths(a.Write), paths(b.Write))
	d.narrowing("landlock.execute", a.Execute.Set, b.Execute.Set, paths(a.Execute), paths(b.Execute))
	scope := func(s policy.Opt[[]string]) []named {
		list := s.V
		if !s.Set {
			list = []string{"signal", "abstract-unix-socket"}
		}
		return nameAll(list, func(s string) named { return named{name: s} })
	}
	d.set("landlock.scope", Narrows, scope(a.Scope), scope(b.Scope))
}

// narrowing compares lists that allow only what they contain. An unset list allows everything.
func (d *differ) narrowing(section string, hadList, hasList bool, a, b []named) {
	switch {
	case hadList && hasList:
		d.set(section, Widens, a, b)
	case hasList:
		d.add(Change{Effect: Narrows, Section: section, From: "all that the mounts show", To: join0(b)})
	case hadList:
		d.add(Change{Effect: Widens, Section: section, From: join0(a), To: "all that the mounts show"})
	}
}

func join0(list []named) string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.name
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// caches compares the tools that have caches. The other keys of caches are scalars.
func (d *differ) caches() {
	tools := func(p *policy.Profile) []named {
		if _, on := p.CacheMode(); !on && !p.Cache.Tools.Set {
			return nil
		}
		return nameAll(p.CacheTools(), func(s string) named { return named{s, p.Source("cache.tools")} })
	}
	d.set("cache.tools", Widens, tools(d.a), tools(d.b))
}

func (d *differ) network() {
	mode := func(p *policy.Profile) (string, int) {
		switch p.Network.Mode {
		case policy.NetworkHost:
			return "host", 2
		case policy.NetworkAllow:
			return "a list", 1
		}
		return "none", 0
	}
	from, x := mode(d.a)
	to, y := mode(d.b)
	d.order("network", from, to, x, y)
	endpoints := func(list []policy.NetworkItem) []named {
		return nameAll(list, func(a policy.NetworkItem) named { return named{a.Endpoint, a.Pos} })
	}
	if x <= 1 && y <= 1 {
		d.set("network.allow", Widens, endpoints(d.a.Network.Allow), endpoints(d.b.Network.Allow))
	}
	d.set("network.publish", Widens, endpoints(d.a.Network.Publish), endpoints(d.b.Network.Publish))
	d.set("network.deny", Narrows, endpoints(d.a.Network.Deny), endpoints(d.b.Network.Deny))
}

// order compares values by their ranks x and y. The value with the higher rank gives the program more.
func (d *differ) order(section, from, to string, x, y int) {
	switch {
	case x < y:
		d.add(Change{Effect: Widens, Section: section, From: from, To: to, Old: d.a.Source(section), New: d.b.Source(section)})
	case x > y:
		d.add(Change{Effect: Narrows, Section: section, From: from, To: to, Old: d.a.Source(section), New: d.b.Source(section)})
	case from != to:
		d.add(Change{Effect: Alters, Section: section, From: from, To: to, Old: d.a.Source(section), New: d.b.Source(section)})
	}
}

// namespaces compares the namespaces. A new namespace is the narrowest. If both profiles join a namespace, but not the
// same one, the change counts as both wider and narrower, because it gives access to one and takes away the other.
func (d *differ) namespaces() {
	if a, b := d.a.Namespaces.None, d.b.Namespaces.None; a != b {
		c := Change{Effect: Widens, Section: "namespaces", From: "new", To: "none", Old: d.a.Source("namespaces"),
			New: d.b.Source("namespaces")}
		if a {
			c.Effect, c.From, c.To = Narrows, "none", "new"
		}
		d.add(c)
	}
	for k := range policy.Scalars {
		name := k.Path
		a, aok := k.At(d.a).(*policy.Namespace)
		b, bok := k.At(d.b).(*policy.Namespace)
		if !aok || !bok || *a == *b {
			continue
		}
		c := Change{Section: name, From: k.Text(d.a), To: k.Text(d.b), Old: d.a.Source(name), New: d.b.Source(name)}
		if b.Mode != policy.NSNew {
			c.Effect = Widens
			d.add(c)
		}
		if a.Mode != policy.NSNew {
			c.Effect = Narrows
			d.add(c)
		}
	}
}

// hideName returns the name of a hide rule in a change.
func hideName(h policy.Hide) string {
	if h.Empty {
		return h.Pattern + " as empty"
	}
	return h.Pattern
}
