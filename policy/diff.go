package policy

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Effect is what a change does to what a program may do.
type Effect string

// The effects of a change.
const (
	Widens  Effect = "widens"  // something is possible that was not
	Narrows Effect = "narrows" // something is no longer possible
	Alters  Effect = "alters"  // neither: another name, another value, another errno
)

// A Change is one difference between two effective profiles, from the first to the second.
type Change struct {
	Effect  Effect
	Section string // the key: "syscalls", "mounts", "limits.memory"
	What    string // what it is about: a call, a path, a variable
	From    string // what the first says
	To      string // what the second says
	Old     Pos    // where the first says it; zero if it does not
	New     Pos    // where the second does
}

// String is the change on one line: "widens: syscalls: ptrace: errno(EPERM) → allow".
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

// Diff lists what differs between two effective profiles in what they mean: filters by what they decide for every call and
// class of arguments on arch ("amd64"), mounts by what is seen at every path that either names. What only differs in how it
// is said is no change. Names, comments and the order of lists mean nothing. The error is about a filter.
//
// Paths are compared as they are written: that ~ or . may lie in another directory is not known here.
func Diff(a, b *Profile, arch string) ([]Change, error) {
	d := &differ{a: a, b: b}
	if err := d.syscalls(arch); err != nil {
		return nil, err
	}
	d.tree()
	d.lists()
	d.landlock()
	d.network()
	d.namespaces()
	d.scalars()
	d.rlimits()
	slices.SortStableFunc(d.changes, func(x, y Change) int {
		return cmp.Or(rankOf(x.Effect)-rankOf(y.Effect), cmp.Compare(x.Section, y.Section))
	})
	return d.changes, nil
}

func rankOf(e Effect) int { return slices.Index([]Effect{Widens, Narrows, Alters}, e) }

type differ struct {
	a, b    *Profile
	changes []Change
}

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

// set compares lists of which each item gives something (or, where it takes away, the other way round).
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

// named is an item of a list with its place.
type named struct {
	name string
	at   Pos
}

func nameAll[T any](list []T, f func(T) named) []named {
	out := make([]named, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

func (d *differ) lists() {
	keep := func(p *Profile) []named {
		return nameAll(p.Env.Keep, func(k EnvKeep) named { return named{k.Pattern, k.Pos} })
	}
	caps := func(list []Capability) []named {
		return nameAll(list, func(c Capability) named { return named{c.Name, c.Pos} })
	}
	hide := func(p *Profile) []named {
		return nameAll(p.Hide, func(h Hide) named { return named{h.Pattern, h.Pos} })
	}
	missing := func(p *Profile) []named {
		return nameAll(p.Missing, func(m MissingLayer) named { return named{string(m.Layer), m.Pos} })
	}
	vars := func(p *Profile) []named {
		return nameAll(p.Env.Set, func(v EnvVar) named { return named{v.Name + "=" + v.Value, v.Pos} })
	}
	d.set("hide", Narrows, hide(d.a), hide(d.b))
	d.set("env.keep", Widens, withoutCovered(keep(d.a), keep(d.b)), withoutCovered(keep(d.b), keep(d.a)))
	d.set("env.set", Alters, vars(d.a), vars(d.b))
	d.set("capabilities.keep", Widens, caps(d.a.Capabilities.Keep), caps(d.b.Capabilities.Keep))
	d.set("capabilities.ambient", Widens, caps(d.a.Capabilities.Ambient), caps(d.b.Capabilities.Ambient))
	d.set("missing", Widens, missing(d.a), missing(d.b))
}

// withoutCovered leaves out the variables that a pattern of both lists covers.
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

// landlock: fewer paths and more scopes narrow; a list where there was none does, too.
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
	paths := func(list Opt[[]PathItem]) []named {
		return nameAll(list.V, func(i PathItem) named { return named{i.Path, i.Pos} })
	}
	d.narrowing("landlock.read", a.Read.Set, b.Read.Set, paths(a.Read), paths(b.Read))
	d.narrowing("landlock.write", a.Write.Set, b.Write.Set, paths(a.Write), paths(b.Write))
	d.narrowing("landlock.execute", a.Execute.Set, b.Execute.Set, paths(a.Execute), paths(b.Execute))
	scope := func(s Opt[[]string]) []named {
		list := s.V
		if !s.Set {
			list = scopeWords
		}
		return nameAll(list, func(s string) named { return named{name: s} })
	}
	d.set("landlock.scope", Narrows, scope(a.Scope), scope(b.Scope))
}

// narrowing is for a list that allows what is in it, and all where it is not set.
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

func (d *differ) network() {
	mode := func(p *Profile) (string, int) {
		switch p.Network.Mode {
		case NetworkHost:
			return "host", 2
		case NetworkAllow:
			return "a list", 1
		}
		return "none", 0
	}
	from, x := mode(d.a)
	to, y := mode(d.b)
	d.order("network", from, to, x, y)
	if x == 1 && y == 1 {
		endpoints := func(p *Profile) []named {
			return nameAll(p.Network.Allow, func(a NetworkAllowItem) named { return named{a.Endpoint, a.Pos} })
		}
		d.set("network.allow", Widens, endpoints(d.a), endpoints(d.b))
	}
}

// order is for values of which a later one gives more.
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

// namespaces: a new one is the narrowest. Another one to join gives what is in that, and takes what was in the other.
func (d *differ) namespaces() {
	for _, k := range namespaceKeys {
		name := join("namespaces", k.name)
		a, aok := k.at(d.a).(*Namespace)
		b, bok := k.at(d.b).(*Namespace)
		if !aok || !bok || *a == *b {
			continue
		}
		text := func(n *Namespace) string {
			s, _ := k.value(n)
			return s
		}
		c := Change{Section: name, From: text(a), To: text(b), Old: d.a.Source(name), New: d.b.Source(name)}
		if b.Mode != NSNew {
			c.Effect = Widens
			d.add(c)
		}
		if a.Mode != NSNew {
			c.Effect = Narrows
			d.add(c)
		}
	}
}

// scalars compares all the rest of the table of keys, so that no key is forgotten.
func (d *differ) scalars() {
	eachScalar(func(section string, k *key[Profile]) {
		name := join(section, k.name)
		if slices.Contains([]string{"version", "name", "about", "syscalls.default", "syscalls.unknown"}, name) || k.name == "root" {
			return
		}
		ptr := k.at(d.a)
		if _, ok := ptr.(*Namespace); ok {
			return
		}
		from, to := scalarText(k, d.a), scalarText(k, d.b)
		if from == to {
			return
		}
		x, y := weigh(name, k, d.a), weigh(name, k, d.b)
		d.order(name, from, to, x, y)
	})
}

// scalarText is the value, or what holds where there is none.
func scalarText(k *key[Profile], p *Profile) string {
	ptr := k.at(p)
	if t, ok := ptr.(*TimeNamespace); ok {
		return timeText(t)
	}
	if text, none := k.value(ptr); !none {
		return text
	}
	return k.def
}

func timeText(t *TimeNamespace) string {
	switch {
	case t.Path != "":
		return t.Path
	case t.New:
		return "new" + prefixOffset(" monotonic ", t.Monotonic) + prefixOffset(" boottime ", t.Boottime)
	}
	return "host"
}

func prefixOffset(what string, d time.Duration) string {
	if d == 0 {
		return ""
	}
	return what + d.String()
}

// weigh orders the values of a key by how much they give: 0 of both for those that have no order.
func weigh(name string, k *key[Profile], p *Profile) int {
	const unlimited = 1<<63 - 1
	ptr := k.at(p)
	switch name {
	case "tty":
		return slices.Index([]TTY{TTYNone, TTYBroker, TTYInherit}, p.TTY)
	case "git":
		return slices.Index([]Git{GitProtect, GitFree}, p.Git)
	case "syscalls.exec":
		return slices.Index([]Exec{ExecOnce, ExecAny}, p.Syscalls.Exec)
	case "user.host":
		return slices.Index([]HostUser{HostAuto, HostCaller}, p.User.Host)
	case "user.ranges":
		if p.User.Ranges {
			return 1
		}
		return 0
	case "limits.oom-group", "limits.cpu-weight", "limits.io-weight", "limits.cgroup", "limits.cpuset":
		return 0
	}
	if !strings.HasPrefix(name, "limits.") {
		return 0
	}
	switch v := ptr.(type) {
	case *Opt[int64]:
		if v.Set {
			return int(v.V)
		}
	case *Opt[float64]:
		if v.Set {
			return int(min(v.V, 1e9) * 1e6)
		}
	case *Opt[time.Duration]:
		if v.Set {
			return int(v.V)
		}
	default:
		return 0
	}
	return unlimited
}

func (d *differ) rlimits() {
	value := func(p *Profile, name string) (uint64, string, Pos) {
		for _, r := range p.Limits.Rlimits {
			if r.Name == name {
				return r.Value, formatRlimit(r), r.Pos
			}
		}
		return Unlimited, "not set", Pos{}
	}
	for _, name := range rlimitNames {
		x, from, old := value(d.a, name)
		y, to, now := value(d.b, name)
		c := Change{Section: "limits.rlimits", What: name, From: from, To: to, Old: old, New: now}
		switch {
		case x < y:
			c.Effect = Widens
		case x > y:
			c.Effect = Narrows
		case from != to:
			c.Effect = Alters
		default:
			continue
		}
		d.add(c)
	}
}

// A scene is what is seen at a path of a profile.
type scene struct {
	host    string // the path on the host that is seen; "" for none
	private string // what of the sandbox's own is seen: "an empty tmpfs"; "" for none
	kernel  string // what of the kernel's is seen: "proc", "sysfs", "dev", "mqueue"; "" for none
	masked  []string
	hidepid int
	write   bool
	noexec  bool
	at      Pos
}

func (s *scene) String() string {
	text := cmp.Or(s.private, s.kernel)
	if s.host != "" {
		text = "the host's " + s.host
		if s.write {
			text += ", writable"
		}
		text += prefixed(", under ", s.private)
	}
	if s.hidepid > 0 {
		text += " with hidepid " + hidepidWords[s.hidepid]
	}
	if len(s.masked) > 0 && s.masked[0] != usualMasks {
		text += " without " + strings.Join(s.masked, " ")
	}
	if text == "" {
		return "nothing"
	}
	if s.noexec {
		text += ", not executable"
	}
	return text
}

// tree compares what is seen at the root and at every mount of either profile: in between nothing changes.
func (d *differ) tree() {
	paths := []string{"/"}
	for _, p := range []*Profile{d.a, d.b} {
		for i := range p.Mounts {
			paths = append(paths, p.Mounts[i].Place())
		}
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		a, b := d.a.sceneAt(p), d.b.sceneAt(p)
		d.scenes(p, &a, &b)
	}
	if d.a.Root.Enter != d.b.Root.Enter {
		d.add(Change{Effect: Alters, Section: "root.enter", From: enterText(d.a), To: enterText(d.b)})
	}
}

func enterText(p *Profile) string { return cmp.Or(string(p.Root.Enter), enterWords[0]) }

func (d *differ) scenes(p string, a, b *scene) {
	if a.String() == b.String() {
		return
	}
	section := "mounts"
	if p == "/" {
		section = "root"
	}
	c := Change{Section: section, What: p, From: a.String(), To: b.String(), Old: a.at, New: b.at}
	wider, narrower := b.gives(a), a.gives(b)
	if wider {
		c.Effect = Widens
		d.add(c)
	}
	if narrower {
		c.Effect = Narrows
		d.add(c)
	}
	if !wider && !narrower {
		c.Effect = Alters
		d.add(c)
	}
}

// gives reports whether there is something to be had at s that is not at o.
func (s *scene) gives(o *scene) bool {
	switch {
	case s.host != "":
		return s.host != o.host || s.write && !o.write || !s.noexec && o.noexec
	case s.kernel != "":
		return s.kernel != o.kernel || s.hidepid < o.hidepid ||
			slices.ContainsFunc(o.masked, func(m string) bool { return !slices.Contains(s.masked, m) && s.masked[0] != usualMasks })
	}
	return false
}

// sceneAt is what the last mount on a path, or above it, shows there.
func (p *Profile) sceneAt(at string) scene {
	for i := len(p.Mounts) - 1; i >= 0; i-- {
		m := &p.Mounts[i]
		rest, ok := beneath(m.Place(), at)
		if !ok {
			continue
		}
		return p.sceneOf(m, rest)
	}
	s := scene{at: p.Source("root")}
	switch p.Root.Kind {
	case RootHost:
		s.host = at
	case RootDir:
		s.host, s.write = path.Join(p.Root.Dir, at), p.Root.Write
	}
	if p.Root.Overlay != "" && s.host != "" {
		s.write = p.Root.Overlay != "tmp"
		s.private = "an overlay"
	}
	return s
}

func (p *Profile) sceneOf(m *Mount, rest string) scene {
	s := scene{noexec: m.NoExec, at: m.Pos}
	switch m.Kind {
	case MountBind:
		s.host, s.write = m.Source+rest, m.Write
		if m.Source == "/" && rest != "" {
			s.host = rest
		}
	case MountOverlay:
		s.host, s.write = cmp.Or(m.Source, m.Target)+rest, m.Upper != "tmp" && m.Upper != ""
	case MountTmpfs:
		s.private = "an empty tmpfs"
		if m.Size > 0 {
			s.private += " of " + FormatSize(m.Size)
		}
	case MountSymlink:
		s.private = "a link to " + m.Source
	case MountProc:
		s.kernel, s.hidepid, s.masked = "proc", max(0, slices.Index(hidepidWords, m.Hidepid)), masksOf(m)
	case MountSysfs, MountDev, MountMqueue:
		s.kernel = string(m.Kind)
	default:
		s.private = "a " + string(m.Kind)
		if m.Kind == MountFile {
			s.private += " of " + strconv.Itoa(len(m.Content)) + " bytes"
		}
	}
	return s
}

// usualMasks stands for what is masked in proc where nothing is said.
const usualMasks = "the usual masks"

// masksOf is what of a proc is empty or read-only; never an empty list.
func masksOf(m *Mount) []string {
	if !m.Mask.Set && !m.ReadOnly.Set {
		return []string{usualMasks}
	}
	list := []string{"nothing"}
	if !m.Mask.Set {
		list = append(list, "the usual masked paths")
	}
	if !m.ReadOnly.Set {
		list = append(list, "the usual read-only paths")
	}
	for _, p := range m.Mask.V {
		list = append(list, "masked "+p)
	}
	for _, p := range m.ReadOnly.V {
		list = append(list, "read-only "+p)
	}
	return list
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

// beneath is what of a path comes after dir; ok is false where it is elsewhere.
func beneath(dir, p string) (rest string, ok bool) {
	if dir == "/" {
		return strings.TrimSuffix(p, "/"), strings.HasPrefix(p, "/")
	}
	rest, ok = strings.CutPrefix(p, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
