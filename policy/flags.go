package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Flag is the twin on the command line of something that a profile can say.
type Flag struct {
	Name string // without --
	Arg  string // "PATH[:TARGET]"; "" for a flag without a value
	Doc  string
	Key  string // the key that it sets: "limits.memory"; "" for part of one
}

// flag is a Flag and how it is applied; set nil means that Key and its type say it all.
type flag struct {
	Flag
	set func(p *Profile, value string, at Pos) *fault
}

// commandLine is the File of a position that is a flag.
const commandLine = "command line"

var flags = []flag{
	{Flag{"rw", "PATH[:TARGET]", "bind PATH, writable", "mounts"}, func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, true) }},
	{Flag{"ro", "PATH[:TARGET]", "bind PATH, read-only", "mounts"}, func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, false) }},
	{Flag{"tmpfs", "PATH[:SIZE]", "an empty tmpfs", "mounts"}, tmpfsFlag},
	{Flag{"mount", "{...}", "any item of mounts:, as in a file", "mounts"}, mountFlag},
	{Flag{"hide", "PATTERN", "a path or glob that cannot be read or written", "hide"}, nil},
	{Flag{"root", "DIR|host|empty", "the tree that the mounts are put on", "root"}, rootFlag},
	{Flag{"root-mode", "ro|rw", "whether the root directory is writable", "root.mode"}, nil},
	{Flag{"overlay", "tmp|DIR", "where writes to the root go", "root.overlay"}, nil},
	{Flag{"enter", "pivot|chroot", "how the root is entered", "root.enter"}, nil},
	{Flag{"hostname", "NAME", "host name inside", "hostname"}, nil},
	{Flag{"net", "none|host|PATH", "no network, the host's, or a namespace to join", "network"}, netFlag},
	{Flag{"net-allow", "HOST:PORT", "not supported yet", "network.allow"}, nil},
	{Flag{"ns", "KIND=new|host|PATH", "where a namespace comes from", "namespaces"}, nsFlag},
	{Flag{"uid", "N|keep", "user id inside", "user.uid"}, nil},
	{Flag{"gid", "N|keep", "group id inside", "user.gid"}, nil},
	{Flag{"host-user", "auto|caller", "id outside", "user.host"}, nil},
	{Flag{"ranges", "", "map the caller's /etc/subuid and /etc/subgid too", "user.ranges"}, nil},
	{Flag{"env", "NAME=VALUE", "set a variable", "env.set"}, envFlag},
	{Flag{"keep-env", "NAME|PREFIX*", "pass a variable on", "env.keep"}, nil},
	{Flag{"cap", "NAME", "keep a capability", "capabilities.keep"}, nil},
	{Flag{"ambient-cap", "NAME", "hand a kept capability to a task that is not root", "capabilities.ambient"}, nil},
	{Flag{"allow-syscall", "NAME|@GROUP", "allow a system call", "syscalls.allow"}, nil},
	{Flag{"deny-syscall", "NAME|@GROUP", "deny a system call", "syscalls.deny"}, nil},
	{Flag{"rule", "CALL: EXPR", "allow a call where its arguments are right", "syscalls.rules"}, ruleFlag},
	{Flag{"syscall-default", "ACTION", "what happens to a call that is not allowed", "syscalls.default"}, nil},
	{Flag{"syscall-unknown", "ACTION", "what happens to a number newer than the table", "syscalls.unknown"}, nil},
	{Flag{"arch", "NAME", "a further architecture for system calls", "syscalls.arches"}, nil},
	{Flag{"exec", "any|once", "whether the program may execute another", "syscalls.exec"}, nil},
	{Flag{"landlock", "off", "switch Landlock off", "landlock"}, landlockFlag},
	{Flag{"no-landlock", "", "the same as --landlock off", "landlock"}, landlockFlag},
	{Flag{"landlock-read", "PATH", "narrow reading to PATH", "landlock.read"}, nil},
	{Flag{"landlock-write", "PATH", "narrow writing to PATH", "landlock.write"}, nil},
	{Flag{"landlock-execute", "PATH", "narrow executing to PATH", "landlock.execute"}, nil},
	{Flag{"landlock-scope", "signal|abstract-unix-socket", "what may not reach out", "landlock.scope"}, nil},
	{Flag{"memory", "SIZE", "memory of the whole sandbox", "limits.memory"}, nil},
	{Flag{"memory-high", "SIZE", "memory above which it is slowed down", "limits.memory-high"}, nil},
	{Flag{"swap", "SIZE", "swap of the whole sandbox", "limits.swap"}, nil},
	{Flag{"oom-group", "", "kill all processes together where memory runs out", "limits.oom-group"}, nil},
	{Flag{"cpus", "N", "processors", "limits.cpus"}, nil},
	{Flag{"cpu-weight", "N", "share of the processors against others, 1 to 10000", "limits.cpu-weight"}, nil},
	{Flag{"cpuset", "LIST", "numbers of the processors that may be used", "limits.cpuset"}, nil},
	{Flag{"pids", "N", "processes and threads", "limits.pids"}, nil},
	{Flag{"io", "PATH:KEY=N[,…]", "rbps, wbps, riops and wiops of the disk of PATH", "limits.io"}, ioFlag},
	{Flag{"io-weight", "N", "share of the disks against others, 1 to 10000", "limits.io-weight"}, nil},
	{Flag{"hugetlb", "SIZE=MAX", "huge pages of SIZE", "limits.hugetlb"}, hugetlbFlag},
	{Flag{"cgroup-parent", "PATH|auto|systemd|NAME.slice", "where the sandbox's cgroup is made", "limits.cgroup"}, nil},
	{Flag{"timeout", "TIME", "end it after this time", "limits.wall"}, nil},
	{Flag{"cpu-time", "TIME", "end it after this much processor time", "limits.cpu-time"}, nil},
	{Flag{"output", "SIZE", "not supported yet", "limits.output"}, nil},
	{Flag{"rlimit", "NAME=VALUE", "a limit of getrlimit(2)", "limits.rlimits"}, rlimitFlag},
	{Flag{"workdir", "PATH", "working directory inside", "process.workdir"}, nil},
	{Flag{"umask", "MODE", "umask(2)", "process.umask"}, nil},
	{Flag{"nice", "N", "nice value, -20 to 19", "process.nice"}, nil},
	{Flag{"oom-score-adj", "N", "-1000 to 1000", "process.oom-score-adj"}, nil},
	{Flag{"tty", "none|inherit|broker", "a terminal on stdin, stdout or stderr", "tty"}, nil},
	{Flag{"git", "free|protect", "git repositories in what may be written", "git"}, nil},
	{Flag{"on-denial", "silent|report", "denied system calls are reported at the end", "on-denial"}, nil},
	{Flag{"missing", "LAYER", "a layer that this host may lack", "missing"}, nil},
	{Flag{"remove", "SECTION=VALUE", "take away what a profile lists", ""}, removeFlag},
}

// Flags lists the flags in the order of the language.
func Flags() []Flag {
	out := make([]Flag, len(flags))
	for i := range flags {
		out[i] = flags[i].Flag
	}
	return out
}

// FromFlag adds to a profile what a flag says; such a profile is merged over the others as the last. The value of a
// flag without one is "" or "true". The error is an *Error.
func FromFlag(over *Profile, name, value string) error {
	i := slices.IndexFunc(flags, func(f flag) bool { return f.Name == name })
	if i < 0 {
		return &Error{Msg: "unknown flag --" + printable(name), Hint: didYouMean(name, flagNames())}
	}
	f := &flags[i]
	at := Pos{File: commandLine, Flag: "--" + name}
	if f.Arg != "" {
		at.Flag += " " + printable(value)
	} else if value == "" {
		value = "true"
	}
	if bad := f.apply(over, value, at); bad != nil {
		return &Error{Pos: at, Msg: bad.msg, Hint: bad.hint}
	}
	return nil
}

func (f *flag) apply(over *Profile, value string, at Pos) *fault {
	switch {
	case !utf8.ValidString(value):
		return bad("invalid UTF-8", "a profile could not say this")
	case f.set != nil:
		return f.set(over, value, at)
	}
	return setKey(over, f.Key, value, at)
}

func flagNames() []string {
	names := make([]string, len(flags))
	for i := range flags {
		names[i] = flags[i].Name
	}
	return names
}

// setKey sets the scalar at path, or appends to the list there.
func setKey(p *Profile, path, value string, at Pos) *fault {
	if name, ok := strings.CutPrefix(path, "root."); ok {
		return setRootKey(p, name, value, at)
	}
	k := findKey(path)
	if k.list {
		return p.addTo(k, path, value, at)
	}
	if k.typ == tPath {
		value = fromCommandLine(value)
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
				if k.typ == tUpper && value != "tmp" && value != "none" {
					value = fromCommandLine(value)
				}
				if bad := k.set(k.at(&p.Root), value); bad != nil {
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
	if k.typ == tPath {
		s = fromCommandLine(s)
	}
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

// fromCommandLine makes a relative path, as one types it, one that a profile may hold.
func fromCommandLine(s string) string {
	if s == "" || s[0] == '/' || s[0] == '~' || s == "." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "..") {
		return s
	}
	return "./" + s
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
			return bad("a second ':' in "+quote(v), "--ro and --rw say the mode, --mount '{bind: …, noexec: true}' all else; a ':' in a path is written \\:")
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
		if f := into(&m.Size, size, (&spec{min: minMemory}).size); f != nil {
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
		hint := didYouMean(v, networkWords)
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
		return bad(quote(kind)+" is not a namespace", "KIND=new, KIND=host or KIND=PATH; kinds are "+strings.Join(keyNames(namespaceKeys), ", "))
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
		return bad(quote(name)+" has no value", "NAME=VALUE sets it; --keep-env "+name+" passes it on")
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
	if f := checkRlimitName(name); f != nil {
		return f
	}
	if !ok {
		return bad(quote(name)+" has no value", "NAME=VALUE")
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
	m, f := parseIOMax(path, text)
	if f == nil {
		m.Pos = at
		p.Limits.IO = setIOMax(p.Limits.IO, m)
	}
	return f
}

func hugetlbFlag(p *Profile, v string, at Pos) *fault {
	page, most, ok := strings.Cut(v, "=")
	size, f := parsePageSize(page)
	if f != nil {
		return f
	}
	if !ok {
		return bad(quote(page)+" has no limit", "such as 2MiB=64MiB")
	}
	n, f := parseSize(most)
	if f == nil {
		p.Limits.Hugetlb = setHugetlb(p.Limits.Hugetlb, Hugetlb{PageSize: size, Max: n, Pos: at})
	}
	return f
}

func removeFlag(p *Profile, v string, at Pos) *fault {
	section, value, ok := strings.Cut(v, "=")
	if !ok || value == "" || !removable(section) && section != "mounts" && section != "missing" {
		return bad(quote(v)+" is not SECTION=VALUE", "sections are mounts, env, capabilities, syscalls, landlock, limits, missing")
	}
	r := Removal{Section: section, Value: value, Pos: at}
	if section == "mounts" && checkPath(value) == nil {
		r.Value = cleanPath(value)
	}
	if call, expr, rule := strings.Cut(value, ":"); rule && section == "syscalls" {
		r.Value, r.Expr = strings.TrimSpace(call), strings.TrimSpace(expr)
	}
	p.Remove = append(p.Remove, r)
	return nil
}
