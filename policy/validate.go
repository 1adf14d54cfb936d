package policy

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy/endpoint"
	"cordon/policy/phrase"
)

// Validate checks an effective profile. It first checks each value, as Parse does, because a program may have made the
// profile without Parse. Then it checks rules that involve several sections. The error is an Errors with everything
// that Validate has found.
func Validate(p *Profile) error {
	v := &validator{p: p}
	v.removals()
	v.scalars()
	v.root()
	v.mounts()
	v.lists()
	v.namespaces()
	v.network()
	v.capabilities()
	v.syscalls()
	v.limits()
	v.missing()
	return v.errs.err()
}

type validator struct {
	p    *Profile
	errs Errors
}

func (v *validator) fail(at Pos, path, msg, hint string) {
	if len(v.errs) < maxErrors {
		v.errs = append(v.errs, &Error{Pos: at, Msg: path + ": " + msg, Hint: hint})
	}
}

func (v *validator) fault(at Pos, path string, f *fault) {
	if f != nil {
		v.fail(at, path, f.msg, f.hint)
	}
}

// from returns the position of the first of these paths that has one.
func (v *validator) from(paths ...string) Pos {
	for _, path := range paths {
		if at, ok := v.p.source(path); ok {
			return at
		}
	}
	return Pos{}
}

func (v *validator) removals() {
	for _, r := range v.p.Remove {
		what := Quote(r.Value)
		if r.Expr != "" {
			what = "the rule " + Quote(r.Value+": "+r.Expr)
		}
		v.fail(r.Pos, r.Section, "remove: "+what+" is not inherited", didYouMean(r.Value, v.p.held(r.Section)))
	}
}

// held lists what a removal in a section can name.
func (p *Profile) held(section string) []string {
	var out []string
	switch section {
	case "mounts":
		out = texts(out, p.Mounts, func(m Mount) string { return m.Place() })
	case "hide":
		out = texts(out, p.Hide, func(h Hide) string { return h.Pattern })
	case "missing":
		out = texts(out, p.Missing, func(m MissingLayer) string { return string(m.Layer) })
	case "env":
		out = texts(out, p.Env.Keep, func(k EnvKeep) string { return k.Pattern })
		out = texts(out, p.Env.Set, func(e EnvVar) string { return e.Name })
	case "capabilities":
		out = texts(out, p.Capabilities.Keep, func(c Capability) string { return c.Name })
	case "syscalls":
		out = texts(out, p.Syscalls.Allow, func(c SyscallItem) string { return c.Name })
	case "limits":
		out = texts(out, p.Limits.Rlimits, func(r Rlimit) string { return r.Name })
		out = texts(out, p.Limits.IO, func(m IOMax) string { return m.Path })
		out = texts(out, p.Limits.Hugetlb, func(h Hugetlb) string { return FormatSize(h.PageSize) })
	}
	return out
}

func texts[T any](out []string, list []T, text func(T) string) []string {
	for _, x := range list {
		out = append(out, text(x))
	}
	return out
}

// scalars formats every value and parses it again, and so finds every value that a file could not contain.
func (v *validator) scalars() {
	eachScalar(func(section string, k *key[Profile]) {
		ptr := k.at(v.p)
		if unset(ptr) || k.typ == tTime {
			return
		}
		text, _ := k.value(ptr)
		if f := k.set(k.at(&Profile{}), text); f != nil {
			path := join(section, k.name)
			v.fault(v.from(path), path, f)
		}
	})
	if t := v.p.Namespaces.Time; !t.New && (t.Monotonic != 0 || t.Boottime != 0) {
		v.fail(v.from("namespaces.time"), "namespaces.time", "offsets need a new namespace", "")
	}
	if n := &v.p.Namespaces; v.p.Process.Init == InitNone && (n.None || n.PID.Mode != NSNew) {
		hint := "leave out namespaces.pid: new is the default"
		if n.None {
			hint = "leave out namespaces: none (--in-place)"
		}
		v.fail(v.from("process.init"), "process.init", "none makes the program pid 1 of a pid namespace of its own, and this profile has none", hint)
	}
	if m := v.p.Process.Umask; m.Set && m.V > 0o777 {
		v.fail(v.from("process.umask"), "process.umask", Quote(FormatPerm(m.V))+" is not a umask", `such as "0022"`)
	}
}

func (v *validator) root() {
	r, at := &v.p.Root, v.from("root", "root.overlay", "root.mode", "root.enter")
	switch r.Kind {
	case RootEmpty:
		if r.Overlay != "" {
			v.fail(v.from("root.overlay"), "root", "an overlay over an empty tree", "name a tree: {host: ro} or {dir: PATH}")
		}
	case RootHost:
	case RootDir:
		v.fault(at, "root.dir", checkPath(r.Dir))
	default:
		v.fail(at, "root", Quote(string(r.Kind))+" is not a tree", "host, dir or empty")
	}
	if r.Write && r.Kind != RootDir {
		v.fail(v.from("root.mode", "root"), "root", "only a dir can be writable", "bind or overlay what is to be written: mounts: [{overlay: DIR}]")
	}
	if r.Write && r.Overlay != "" {
		v.fail(v.from("root.mode", "root"), "root", "mode: rw and an overlay together", "with an overlay the directory itself stays as it is")
	}
	if r.Overlay != "" && r.Overlay != "tmp" {
		v.fault(v.from("root.overlay"), "root.overlay", checkPath(r.Overlay))
	}
}

func (v *validator) mounts() {
	for i := range v.p.Mounts {
		m := &v.p.Mounts[i]
		path := phrase.Index("mounts", i)
		f := mountForm(m.Kind)
		if f == nil {
			v.fail(m.Pos, path, Quote(string(m.Kind))+" is not a mount", "")
			continue
		}
		if m.Kind != MountBind || m.Target != "" {
			v.fault(m.Pos, path, checkPath(m.Target))
		}
		copied := *m
		v.fault(m.Pos, path, copied.complete())
		v.mountKeys(m, f, path)
	}
}

func mountForm(kind MountKind) *form[Mount] {
	for i := range mountForms {
		if mountForms[i].kind == string(kind) {
			return &mountForms[i]
		}
	}
	return nil
}

func (v *validator) mountKeys(m *Mount, f *form[Mount], path string) {
	for i := range f.keys {
		k := &f.keys[i]
		ptr := k.at(m)
		if k.list {
			for _, s := range ptr.(*Opt[[]string]).V {
				v.fault(m.Pos, path, k.check(s))
			}
			continue
		}
		text, none := k.value(ptr)
		if none && (i > 0 || text == "" && m.Kind != MountBind) {
			continue
		}
		v.fault(m.Pos, path, k.set(k.at(&Mount{}), text))
	}
}

// lists checks the items of all lists of text.
func (v *validator) lists() {
	p := v.p
	check(v, "hide", p.Hide, func(x Hide) (*fault, Pos) { return checkPattern(x.Pattern), x.Pos })
	check(v, "env.keep", p.Env.Keep, func(x EnvKeep) (*fault, Pos) { return checkEnvPattern(x.Pattern), x.Pos })
	check(v, "env.set", p.Env.Set, func(x EnvVar) (*fault, Pos) {
		if f := checkEnvName(x.Name); f != nil {
			return f, x.Pos
		}
		return checkText(x.Value), x.Pos
	})
	paths := func(x PathItem) (*fault, Pos) { return checkPath(x.Path), x.Pos }
	check(v, "landlock.read", p.Landlock.Read.V, paths)
	check(v, "landlock.write", p.Landlock.Write.V, paths)
	check(v, "landlock.execute", p.Landlock.Execute.V, paths)
	for _, l := range [...]struct {
		key  string
		list *Opt[[]PathItem]
	}{{"landlock.read", &p.Landlock.Read}, {"landlock.write", &p.Landlock.Write}, {"landlock.execute", &p.Landlock.Execute}} {
		if p.Nest && l.list.Set {
			v.fault(v.from("nest", l.key), l.key, bad("nest: true leaves no Landlock rule for files, because Landlock forbids every mount where there is one",
				"leave out nest, or say landlock: off or landlock: {scope: […]}"))
		}
	}
	check(v, "landlock.scope", p.Landlock.Scope.V, func(s string) (*fault, Pos) {
		return (&spec{words: scopeWords}).word(new(string), s), v.from("landlock.scope", "landlock")
	})
	check(v, "cache.tools", p.Cache.Tools.V, func(s string) (*fault, Pos) {
		return (&spec{words: CacheWords}).word(new(string), s), v.from("cache.tools")
	})
	if mode, _ := p.CacheMode(); p.Cache.Size.Set && mode == CacheProject {
		v.fail(v.from("cache.size"), "cache.size", "a project's caches are on the disk and have no size", "cache: {mode: overlay, size: …}")
	}
}

func check[T any](v *validator, path string, list []T, f func(T) (*fault, Pos)) {
	for i, x := range list {
		if bad, at := f(x); bad != nil {
			v.fault(at, phrase.Index(path, i), bad)
		}
	}
}

func (v *validator) namespaces() {
	p, ns := v.p, &v.p.Namespaces
	if ns.None && (*ns != Namespaces{None: true}) {
		v.fail(v.from("namespaces"), "namespaces", "none, but a kind of namespace is named too", "drop one of the two")
	}
	if ns.UTS.Mode != NSNew && p.Hostname != "" {
		v.fail(v.from("hostname", "namespaces.uts"), "hostname", "it needs a new uts namespace", "drop it, or namespaces.uts")
	}
	if ns.User.Mode != NSNew && p.User.Ranges {
		v.fail(v.from("user.ranges"), "user.ranges", "they need a new user namespace", "")
	}
	if ns.Mount.Mode == NSHost && (len(p.Mounts) > 0 || len(p.Hide) > 0 || p.namesTree()) {
		v.fail(v.from("namespaces.mount"), "namespaces.mount", "root, mounts and hide need a new one", "extend nothing, and name none of them")
	}
	for _, need := range [...]struct {
		kind MountKind
		ns   Namespace
		name string
	}{
		{MountMqueue, ns.IPC, "ipc"},
		{MountSysfs, v.net(), "net"},
	} {
		i := slices.IndexFunc(p.Mounts, func(m Mount) bool { return m.Kind == need.kind && (m.Kind != MountSysfs || !m.Optional) })
		if i >= 0 && need.ns.Mode == NSHost {
			v.fail(p.Mounts[i].Pos, phrase.Index("mounts", i), string(need.kind)+" needs a "+need.name+" namespace of its own",
				"--remove mounts="+p.Mounts[i].Place()+" takes it away; {bind: "+p.Mounts[i].Place()+"} is the host's")
		}
	}
}

// net returns the network namespace that network and namespaces.net together mean.
func (v *validator) net() Namespace {
	if v.p.Network.Mode == NetworkHost {
		return Namespace{Mode: NSHost}
	}
	return v.p.Namespaces.Net
}

func (v *validator) network() {
	net := v.p.Namespaces.Net
	at, said := v.p.source("namespaces.net")
	if n := &v.p.Network; n.Interface != InterfaceEth0 && n.Mode != NetworkAllow {
		v.fail(v.from("network.interface"), "network.interface", "only a network with a list has an interface of its own", "name what may be reached: network: {allow: [...]}")
	}
	if n := &v.p.Network; n.TLS != TLSAny && n.Mode != NetworkAllow {
		v.fail(v.from("network.tls"), "network.tls", "only a network with a list looks at TLS", "name what may be reached: network: {allow: [...]}")
	}
	switch v.p.Network.Mode {
	case NetworkNone:
		v.unlisted("none")
		if net.Mode == NSHost {
			v.fail(at, "namespaces.net", "host, but network is none", "write network: host")
		}
	case NetworkHost:
		v.unlisted("host")
		if deny := v.p.Network.Deny; len(deny) > 0 {
			v.fail(v.from("network"), "network", "host, but network.deny names "+Quote(deny[0].Endpoint)+", which only an allow-list can hold to",
				"name what may be reached: network: {allow: [...]}")
		}
		if net.Mode == NSJoin || net.Mode == NSNew && said {
			v.fail(v.from("network"), "network", "host, but namespaces.net is not the host's", "drop one of them; the other is in "+Quote(at.Short()))
		}
	case NetworkAllow:
		v.endpoints(net, at)
	default:
		v.fail(v.from("network"), "network", Quote(string(v.p.Network.Mode))+" is not known here", "none or host")
	}
}

// unlisted refuses lists of endpoints if the mode of the network is a word, because flags can set both.
func (v *validator) unlisted(mode string) {
	n := &v.p.Network
	for _, list := range [...]struct {
		name  string
		items []NetworkItem
	}{{"allow", n.Allow}, {"publish", n.Publish}} {
		if len(list.items) > 0 {
			v.fail(list.items[0].Pos, "network."+list.name, Quote(list.items[0].Endpoint)+", but network is "+mode, "drop one of the two")
		}
	}
}

// maxEndpoints bounds the rules of a network, because the kernel tries them one after the other.
const maxEndpoints = 1024

// endpoints checks the rules of an allow-list. net is namespaces.net.
func (v *validator) endpoints(net Namespace, at Pos) {
	n := &v.p.Network
	if net.Mode != NSNew {
		v.fail(v.from("network"), "network", "a list, but namespaces.net is not new", "drop one of them; the other is in "+Quote(at.Short()))
	}
	check(v, "network.allow", n.Allow, func(x NetworkItem) (*fault, Pos) { return checkEndpoint(x.Endpoint, false), x.Pos })
	check(v, "network.deny", n.Deny, func(x NetworkItem) (*fault, Pos) { return checkEndpoint(x.Endpoint, true), x.Pos })
	check(v, "network.publish", n.Publish, func(x NetworkItem) (*fault, Pos) { return checkPublish(x.Endpoint), x.Pos })
	v.published()
	if len(n.Allow)+len(n.Deny) > maxEndpoints {
		v.fail(v.from("network"), "network", "more than "+strconv.Itoa(maxEndpoints)+" rules", "name ranges and *.NAME instead of single hosts")
	}
}

// maxPublished bounds the published ports, for each of which the launcher listens.
const maxPublished = 256

// published checks that no port of the host is published twice.
func (v *validator) published() {
	list := v.p.Network.Published()
	if len(list) > maxPublished {
		v.fail(v.from("network"), "network.publish", "more than "+strconv.Itoa(maxPublished)+" ports", "")
	}
	for i := range list {
		first := slices.IndexFunc(list, func(x endpoint.Publish) bool { return x.Host == list[i].Host })
		if first < i && list[first].Port != list[i].Port {
			at := v.p.Network.Publish[first].Pos
			v.fail(v.p.Network.Publish[i].Pos, phrase.Index("network.publish", i), list[i].Host.String()+" leads to two ports", "drop one of them; the other is in "+Quote(at.Short()))
		}
	}
}

// Published returns the published ports of the section. They have been validated.
func (n *Network) Published() (list []endpoint.Publish) {
	for i := range n.Publish {
		p, _ := endpoint.ParsePublish(n.Publish[i].Endpoint)
		list = append(list, p)
	}
	return list
}

// Rules returns the rules of the section. They have been validated.
func (n *Network) Rules() *endpoint.Policy {
	rules := &endpoint.Policy{}
	for i := range n.Allow {
		r, _ := endpoint.ParseAllow(n.Allow[i].Endpoint)
		rules.Allow = append(rules.Allow, r)
	}
	for i := range n.Deny {
		r, _ := endpoint.ParseDeny(n.Deny[i].Endpoint)
		rules.Deny = append(rules.Deny, r)
	}
	return rules
}

func (v *validator) capabilities() {
	c := &v.p.Capabilities
	name := func(x Capability) (*fault, Pos) { return checkCapability(x.Name), x.Pos }
	check(v, "capabilities.keep", c.Keep, name)
	check(v, "capabilities.ambient", c.Ambient, func(x Capability) (*fault, Pos) {
		if f := checkCapability(x.Name); f != nil {
			return f, x.Pos
		}
		if !slices.ContainsFunc(c.Keep, func(k Capability) bool { return k.Name == x.Name }) {
			return bad(x.Name+" is not in keep", "name it in both"), x.Pos
		}
		return nil, x.Pos
	})
}

func (v *validator) limits() {
	check(v, "limits.rlimits", v.p.Limits.Rlimits, func(r Rlimit) (*fault, Pos) {
		if f := checkRlimitName(r.Name); f != nil {
			return f, r.Pos
		}
		if r.Value > 1<<63-1 && r.Value != Unlimited {
			return bad(r.Name+" is out of range", ""), r.Pos
		}
		return checkRlimit(r.Name, r.Value), r.Pos
	})
	check(v, "limits.io", v.p.Limits.IO, func(m IOMax) (*fault, Pos) {
		if f := checkPath(m.Path); f != nil {
			return f, m.Pos
		}
		_, f := parseIOMax(m.Path, m.text())
		return f, m.Pos
	})
	check(v, "limits.hugetlb", v.p.Limits.Hugetlb, func(h Hugetlb) (*fault, Pos) {
		if _, f := parsePageSize(FormatSize(h.PageSize)); f != nil {
			return f, h.Pos
		}
		if h.Max < 0 {
			return bad("a negative size", ""), h.Pos
		}
		return nil, h.Pos
	})
	l := &v.p.Limits
	if l.MemoryHigh.Set && l.Memory.Set && l.MemoryHigh.V > l.Memory.V {
		v.fail(v.from("limits.memory-high"), "limits.memory-high", "more than memory: it would never be reached", "less than "+FormatSize(l.Memory.V))
	}
}

func (v *validator) missing() {
	for i, m := range v.p.Missing {
		if !slices.Contains(missingWords, string(m.Layer)) {
			v.fail(m.Pos, phrase.Index("missing", i), Quote(string(m.Layer))+" cannot be missing", "it is "+strings.Join(missingWords, ", "))
		}
	}
}
