package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Flag is the twin on the command line of something that a profile can say.
type Flag struct {
	Name  string // without --
	Arg   string // "PATH[:TARGET]"; "" for a flag without a value
	Doc   string
	Key   string // the key that it sets: "limits.memory"; "" for a part of one, or of several
	Short string // its letter; "" for none
	For   string // the flag for which it is another tool's word; such a flag is in no help text
}

// commandLine is the File of a position that is a flag.
const commandLine = "command line"

// setter reads the value of a flag into a profile.
type setter struct {
	name string
	set  func(p *Profile, value string, at Pos) *fault
}

// setters are the flags whose key and its type do not say it all.
var setters = [...]setter{
	{"rw", func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, true) }},
	{"ro", func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, false) }},
	{"tmpfs", tmpfsFlag}, {"mount", mountFlag}, {"root", rootFlag}, {"net", netFlag}, {"ns", nsFlag}, {"env", envFlag},
	{"rule", ruleFlag}, {"landlock", landlockFlag}, {"no-landlock", landlockFlag}, {"io", ioFlag},
	{"hugetlb", hugetlbFlag}, {"rlimit", rlimitFlag}, {"remove", removeFlag}, {"volume", volumeFlag}, {"user", userFlag},
	{"cap-drop", capDropFlag},
}

// more are the flags that are no twin of one key.
var more = [...]Flag{
	{Name: "remove", Arg: "SECTION=VALUE", Doc: "take away what a profile lists"},

	// Words of other tools, where they mean the same.
	{Name: "network", Arg: "none|host|PATH", Key: "network", For: "net"},
	{Name: "volume", Arg: "SOURCE:TARGET[:ro]", Key: "mounts", For: "rw"},
	{Name: "cap-add", Arg: "NAME", Key: "capabilities.keep", For: "cap"},
	{Name: "cap-drop", Arg: "NAME|ALL", Key: "capabilities.keep", For: "remove"},
	{Name: "user", Arg: "UID[:GID]", Key: "user", Short: "u", For: "uid"},
	{Name: "pids-limit", Arg: "N", Key: "limits.pids", For: "pids"},
	{Name: "cpuset-cpus", Arg: "LIST", Key: "limits.cpuset", For: "cpuset"},
	{Name: "ulimit", Arg: "NAME=VALUE", Key: "limits.rlimits", For: "rlimit"},
	{Name: "setenv", Arg: "NAME=VALUE", Key: "env.set", For: "env"},
	{Name: "chdir", Arg: "PATH", Key: "process.workdir", For: "workdir"},
}

// shortOf is the letter of a flag, as other tools have it; "" for none.
func shortOf(name string) string {
	switch name {
	case "env":
		return "e"
	case "workdir":
		return "w"
	}
	return ""
}

// AllFlags yields the flags in the order of the language, and after them those that are no key's.
func AllFlags(yield func(Flag) bool) {
	if flagsOf(language, "", yield) {
		for i := range more {
			if !yield(more[i]) {
				return
			}
		}
	}
}

// flagsOf yields the flags of keys; path is the section that they are in. It returns false if yield did.
func flagsOf[T any](keys []key[T], path string, yield func(Flag) bool) bool {
	for i := range keys {
		k := &keys[i]
		if k.flags == nil && k.keys == nil {
			continue
		}
		at := join(path, k.name)
		for _, f := range k.flags {
			if !yield(Flag{Name: f.name, Arg: f.arg, Doc: f.doc, Key: at, Short: shortOf(f.name)}) {
				return false
			}
		}
		if k.name == "root" && path == "" {
			for _, form := range rootForms {
				if !flagsOf(form.keys, "root", yield) {
					return false
				}
			}
		}
		if !flagsOf(k.keys, at, yield) {
			return false
		}
	}
	return true
}

// Flags lists what AllFlags yields, but for other tools' words.
func Flags() []Flag {
	out := make([]Flag, 0, 64)
	AllFlags(func(f Flag) bool {
		if f.For == "" {
			out = append(out, f)
		}
		return true
	})
	return out
}

// FromFlag adds to a profile what a flag says; such a profile is merged over the others as the last. The value of a
// flag without one is "" or "true". The error is an *Error.
func FromFlag(over *Profile, name, value string) error {
	var f Flag
	AllFlags(func(x Flag) bool {
		if x.Name == name {
			f = x
		}
		return f.Name == ""
	})
	if f.Name == "" {
		return &Error{Msg: "unknown flag --" + printable(name), Hint: didYouMean(name, flagNames())}
	}
	at := Pos{File: commandLine, Flag: "--" + name}
	if f.Arg != "" {
		at.Flag += " " + printable(value)
	} else if value == "" {
		value = "true"
	}
	if bad := f.apply(over, value, at); bad != nil {
		if strings.HasPrefix(value, "--") && f.Arg != "" {
			bad.hint = "--" + name + " takes a value: " + f.Arg
		}
		return &Error{Pos: at, Msg: bad.msg, Hint: bad.hint}
	}
	return nil
}

func (f *Flag) apply(over *Profile, value string, at Pos) *fault {
	if !utf8.ValidString(value) {
		return bad("invalid UTF-8", "a profile could not say this")
	}
	name := f.Name
	for range 2 { // by its own name, or by that of the flag for which it is another word
		if i := slices.IndexFunc(setters[:], func(s setter) bool { return s.name == name }); i >= 0 {
			return setters[i].set(over, value, at)
		}
		name = f.For
	}
	return setKey(over, f.Key, value, at)
}

func flagNames() []string {
	var names []string
	AllFlags(func(f Flag) bool {
		names = append(names, f.Name)
		return true
	})
	return names
}

// setKey sets the scalar at path, or appends to the list there.
func setKey(p *Profile, path, value string, at Pos) *fault {
	if name, ok := strings.CutPrefix(path, "root."); ok {
		return setRootKey(p, name, value, at)
	}
	k := findKey(path)
	value = typed(k.typ, value)
	if k.list {
		return p.addTo(k, path, value, at)
	}
	if f := k.set(k.at(p), value); f != nil {
		return f
	}
	p.mark(path, at)
	return nil
}

// addTo appends to a list; one of endpoints is a network mode of its own, and lists without places have one together.
func (p *Profile) addTo(k *key[Profile], path, value string, at Pos) *fault {
	if f := k.add(k.at(p), value, at); f != nil {
		return f
	}
	switch k.typ {
	case tEndpoint:
		p.Network.Mode = NetworkAllow
		p.mark("network", at)
	case tArch, tWord, tPath:
		p.mark(path, at)
	}
	if section, _, _ := strings.Cut(path, "."); section == "landlock" {
		p.Landlock.Off = false
		p.mark(section, at)
	}
	return nil
}

func findKey(path string) *key[Profile] {
	section, name, nested := strings.Cut(path, ".")
	for i := range language {
		if language[i].name != section {
			continue
		}
		if !nested {
			return &language[i]
		}
		for j := range language[i].keys {
			if language[i].keys[j].name == name {
				return &language[i].keys[j]
			}
		}
	}
	return nil
}

// setRootKey sets a key that the root section of a directory has; the other kinds have no more.
func setRootKey(p *Profile, name, value string, at Pos) *fault {
	for _, f := range rootForms {
		if f.kind != string(RootDir) {
			continue
		}
		for i := range f.keys {
			if k := &f.keys[i]; k.name == name {
				if bad := k.set(k.at(&p.Root), typed(k.typ, value)); bad != nil {
					return bad
				}
			}
		}
	}
	p.mark("root."+name, at)
	return nil
}

// mark records where the scalar at path was set.
func (p *Profile) mark(path string, at Pos) {
	i, found := slices.BinarySearchFunc(p.Sources, path, func(s Source, path string) int { return compare(s.Path, path) })
	if found {
		p.Sources[i].Pos = at
		return
	}
	p.Sources = slices.Insert(p.Sources, i, Source{Path: path, Pos: at})
}

// add appends an item to the list that ptr points to.
func (k *spec) add(ptr any, s string, at Pos) *fault {
	if f := k.check(s); f != nil {
		return f
	}
	if k.typ == tPath {
		s = cleanPath(s)
	}
	switch p := ptr.(type) {
	case *[]string:
		*p = append(*p, s)
	case *Opt[[]string]:
		p.Set, p.V = true, append(p.V, s)
	case *Opt[[]PathItem]:
		p.Set, p.V = true, append(p.V, PathItem{s, at})
	case *[]Hide:
		*p = append(*p, Hide{s, at})
	case *[]EnvKeep:
		*p = append(*p, EnvKeep{s, at})
	case *[]Capability:
		*p = append(*p, Capability{s, at})
	case *[]SyscallItem:
		*p = append(*p, SyscallItem{s, at})
	case *[]NetworkAllowItem:
		*p = append(*p, NetworkAllowItem{s, at})
	case *[]MissingLayer:
		*p = append(*p, MissingLayer{Layer(s), at})
	}
	return nil
}

// cutColon splits PATH:REST; a colon within the path is written \:.
func cutColon(s string) (path, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ':':
			i++
			b.WriteByte(':')
		case s[i] == ':':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", false
}

func bindFlag(p *Profile, v string, at Pos, write bool) *fault {
	source, target, given := cutColon(v)
	m := Mount{Kind: MountBind, Write: write, Pos: at}
	if f := setPath(&m.Source, fromCommandLine(source)); f != nil {
		return f
	}
	if given {
		var more bool
		if target, _, more = cutColon(target); more {
			return bad("a second ':' in "+quote(v),
				"--ro and --rw say the mode, --mount '{bind: …, noexec: true}' all else; a ':' in a path is written \\:")
		}
		if f := setPath(&m.Target, fromCommandLine(target)); f != nil {
			return f
		}
	}
	return p.addMount(m)
}

func (p *Profile) addMount(m Mount) *fault {
	if f := m.complete(); f != nil {
		return f
	}
	p.Mounts = append(p.Mounts, m)
	return nil
}

func tmpfsFlag(p *Profile, v string, at Pos) *fault {
	target, size, given := cutColon(v)
	m := Mount{Kind: MountTmpfs, Pos: at}
	if f := setPath(&m.Target, fromCommandLine(target)); f != nil {
		return f
	}
	if given {
		if f := into(&m.Size, typedSize(size), (&spec{min: minMemory}).size); f != nil {
			return f
		}
	}
	return p.addMount(m)
}

// mountFlag reads an item of mounts: as a file has it.
func mountFlag(p *Profile, v string, at Pos) *fault {
	d, f := flow(v)
	if f != nil {
		return f
	}
	m, ok := d.mount(d.doc.root, "mount")
	if !ok || len(d.errs) > 0 {
		return bad(strings.TrimPrefix(d.errs[0].Msg, "mount: "), d.errs[0].Hint)
	}
	m.Pos = at
	p.Mounts = append(p.Mounts, m)
	return nil
}

// flow reads a mapping in braces.
func flow(v string) (*decoder, *fault) {
	doc, err := readYAML(commandLine, []byte(v))
	if err != nil {
		return nil, bad(err.Msg, err.Hint)
	}
	if doc.root == nil || doc.root.kind != mapNode {
		return nil, bad("want a mapping", "such as {bind: /src, target: /dst}")
	}
	return &decoder{doc: doc, p: &Profile{}}, nil
}

func rootFlag(p *Profile, v string, at Pos) *fault {
	r := Root{Write: p.Root.Write, Overlay: p.Root.Overlay, Enter: p.Root.Enter} // from flags before it
	switch v {
	case "host":
		r.Kind = RootHost
	case "empty":
		r.Kind = RootEmpty
	default:
		r.Kind = RootDir
		if f := setPath(&r.Dir, fromCommandLine(v)); f != nil {
			return f
		}
	}
	p.Root = r
	p.mark("root", at)
	return nil
}

// netFlag sets network and the namespace that goes with it.
func netFlag(p *Profile, v string, at Pos) *fault {
	net, ns := NetworkNone, Namespace{}
	switch {
	case v == "none":
	case v == "host":
		net, ns = NetworkHost, Namespace{Mode: NSHost}
	case strings.HasPrefix(v, "/"):
		if f := setNamespace(&ns, v); f != nil {
			return f
		}
	default:
		hint := otherNetwork(v)
		if hint == "" {
			hint = didYouMean(v, networkWords)
		}
		if hint == "" {
			hint = "it is none, host or an absolute path to join"
		}
		return bad(quote(v)+" is not a network", hint)
	}
	p.Network, p.Namespaces.Net = Network{Mode: net}, ns
	p.mark("network", at)
	p.mark("namespaces.net", at)
	return nil
}

func nsFlag(p *Profile, v string, at Pos) *fault {
	kind, mode, ok := strings.Cut(v, "=")
	k := findKey("namespaces." + kind)
	if !ok || k == nil {
		return bad(quote(kind)+" is not a namespace",
			"KIND=new, KIND=host or KIND=PATH; kinds are "+strings.Join(keyNames(namespaceKeys), ", "))
	}
	if kind == "time" && strings.HasPrefix(mode, "{") {
		return timeFlag(p, mode, at)
	}
	return setKey(p, "namespaces."+kind, mode, at)
}

func timeFlag(p *Profile, v string, at Pos) *fault {
	d, f := flow(v)
	if f != nil {
		return f
	}
	t := TimeNamespace{New: true}
	decodeKeys(d, d.doc.root, timeKeys, &t, "time")
	if len(d.errs) > 0 {
		return bad(strings.TrimPrefix(d.errs[0].Msg, "time: "), d.errs[0].Hint)
	}
	p.Namespaces.Time = t
	p.mark("namespaces.time", at)
	return nil
}

func envFlag(p *Profile, v string, at Pos) *fault {
	name, value, ok := strings.Cut(v, "=")
	if f := checkEnvName(name); f != nil {
		return f
	}
	if !ok {
		if f := checkEnvPattern(name); f != nil {
			return f
		}
		p.Env.Keep = append(p.Env.Keep, EnvKeep{name, at})
		return nil
	}
	p.Env.Set = setVar(p.Env.Set, EnvVar{Name: name, Value: value, Pos: at})
	return checkText(value)
}

func ruleFlag(p *Profile, v string, at Pos) *fault {
	call, expr, ok := strings.Cut(v, ":")
	r := SyscallRule{Call: strings.TrimSpace(call), Expr: strings.TrimSpace(expr), Pos: at}
	if !ok {
		return bad(quote(v)+" is not a rule", `such as "socket: family == AF_UNIX"`)
	}
	p.Syscalls.Rules = append(p.Syscalls.Rules, r)
	return r.check()
}

func landlockFlag(p *Profile, v string, at Pos) *fault {
	if v != "off" && v != "true" {
		return bad(quote(v)+" is not known here", "it is off")
	}
	p.Landlock = Landlock{Off: true}
	p.mark("landlock", at)
	return nil
}

func rlimitFlag(p *Profile, v string, at Pos) *fault {
	name, value, ok := strings.Cut(v, "=")
	name = strings.TrimPrefix(strings.ToLower(name), "rlimit_")
	if f := checkRlimitName(name); f != nil {
		return f
	}
	if !ok {
		return bad(quote(name)+" has no value", "NAME=VALUE")
	}
	if soft, hard, two := strings.Cut(value, ":"); two && soft == hard {
		value = soft
	} else if two {
		return bad(quote(value)+": soft and hard limit are one here", "such as "+name+"="+hard)
	}
	if bytes, _ := rlimitIn(name); bytes {
		value = typedSize(value)
	}
	n, f := parseRlimit(name, value)
	if f == nil {
		p.Limits.Rlimits = setRlimit(p.Limits.Rlimits, Rlimit{Name: name, Value: n, Pos: at})
	}
	return f
}

func ioFlag(p *Profile, v string, at Pos) *fault {
	path, text, ok := cutColon(v)
	path = fromCommandLine(path)
	if f := checkPath(path); f != nil {
		return f
	}
	if !ok {
		return bad(quote(path)+" has no limits", "such as /dev/sda:rbps=10MiB,wiops=200")
	}
	m, f := parseIOMax(path, typedBounds(text))
	if f == nil {
		m.Pos = at
		p.Limits.IO = setIOMax(p.Limits.IO, m)
	}
	return f
}

func hugetlbFlag(p *Profile, v string, at Pos) *fault {
	page, most, ok := strings.Cut(v, "=")
	size, f := parsePageSize(typedSize(page))
	if f != nil {
		return f
	}
	if !ok {
		return bad(quote(page)+" has no limit", "such as 2MiB=64MiB")
	}
	n, f := parseSize(typedSize(most))
	if f == nil {
		p.Limits.Hugetlb = setHugetlb(p.Limits.Hugetlb, Hugetlb{PageSize: size, Max: n, Pos: at})
	}
	return f
}

func removeFlag(p *Profile, v string, at Pos) *fault {
	section, value, ok := strings.Cut(v, "=")
	if !ok || value == "" || !removable(section) && section != "mounts" && section != "missing" {
		return bad(quote(v)+" is not SECTION=VALUE",
			"sections are mounts, env, capabilities, syscalls, landlock, limits, missing")
	}
	r := Removal{Section: section, Value: value, Pos: at}
	if section == "mounts" && checkPath(value) == nil {
		r.Value = cleanPath(value)
	}
	if section == "capabilities" {
		r.Value = typed(tCapability, value)
	}
	if call, expr, rule := strings.Cut(value, ":"); rule && section == "syscalls" {
		r.Value, r.Expr = strings.TrimSpace(call), strings.TrimSpace(expr)
	}
	p.Remove = append(p.Remove, r)
	return nil
}
