package policy

import (
	"strings"

	"cordon/policy/yaml"
)

// This file reads the values of flags whose meaning does not follow from their key and its type.

// cutColon splits PATH:REST at the first colon. A colon within the path is written \:.
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
			return bad("a second ':' in "+Quote(v),
				"use --ro or --rw for the mode, and --mount '{bind: …, noexec: true}' for everything else; write a ':' in a path as \\:")
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
		if f := m.tmpfsOptions(size); f != nil {
			return f
		}
	}
	return p.addMount(m)
}

// mountFlag parses an item of mounts:, written as in a profile, or as docker(1) writes it.
func mountFlag(p *Profile, v string, at Pos) *fault {
	if !strings.HasPrefix(v, "{") && strings.Contains(v, "=") {
		return typedMount(p, v, at)
	}
	d, f := flow(v)
	if f != nil {
		return f
	}
	m, ok := d.mount(d.doc.Root, "mount")
	if !ok || len(d.errs) > 0 {
		return bad(strings.TrimPrefix(d.errs[0].Msg, "mount: "), d.errs[0].Hint)
	}
	m.Pos = at
	p.Mounts = append(p.Mounts, m)
	return nil
}

// flow reads a mapping in braces.
func flow(v string) (*decoder, *fault) {
	doc, err := readYAML(CommandLine, []byte(v))
	if err != nil {
		return nil, bad(err.Msg, err.Hint)
	}
	if doc.Root == nil || doc.Root.Kind != yaml.MapNode {
		return nil, bad("want a mapping", "for example {bind: /src, target: /dst}")
	}
	return &decoder{doc: doc, p: &Profile{}}, nil
}

func rootFlag(p *Profile, v string, at Pos) *fault {
	r := Root{Write: p.Root.Write, Overlay: p.Root.Overlay, Enter: p.Root.Enter} // keep what earlier flags have set
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

// netFlag sets the network, and the network namespace that follows from it.
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
			hint = "use none, host or an absolute path to join"
		}
		return bad(Quote(v)+" is not a network", hint)
	}
	p.Network.Mode, p.Namespaces.Net = net, ns // a list of other flags stays; Validate reports the contradiction
	p.mark("network", at)
	p.mark("namespaces.net", at)
	return nil
}

func inPlaceFlag(p *Profile, v string, at Pos) *fault {
	if v != "true" && v != "none" {
		return bad("--in-place has no value "+Quote(v), "leave it out to use namespaces")
	}
	p.Namespaces.None = true
	p.mark("namespaces", at)
	return nil
}

func nsFlag(p *Profile, v string, at Pos) *fault {
	if v == "none" {
		return inPlaceFlag(p, v, at)
	}
	kind, mode, ok := strings.Cut(v, "=")
	k := findKey("namespaces." + kind)
	if !ok || k == nil {
		return bad(Quote(kind)+" is not a namespace",
			"use KIND=new, KIND=host or KIND=PATH; kinds are "+strings.Join(keyNames(namespaceKeys), ", "))
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
	decodeKeys(d, d.doc.Root, timeKeys, &t, "time")
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
		return bad(Quote(v)+" is not a rule", `such as "socket: family == AF_UNIX"`)
	}
	p.Syscalls.Rules = append(p.Syscalls.Rules, r)
	return r.check()
}

func landlockFlag(p *Profile, v string, at Pos) *fault {
	if v != "off" && v != "true" {
		return bad(Quote(v)+" is not known here", "it is off")
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
		return bad(Quote(name)+" has no value", "NAME=VALUE")
	}
	if soft, hard, two := strings.Cut(value, ":"); two && soft == hard {
		value = soft
	} else if two {
		return bad(Quote(value)+": the soft and the hard limit are equal here", "such as "+name+"="+hard)
	}
	if bytes, _ := rlimitIn(name); bytes {
		value = typedSize(value)
	}
	n, f := parseRlimit(name, value)
	if f == nil {
		p.Limits.Rlimits = setSorted(p.Limits.Rlimits, Rlimit{Name: name, Value: n, Pos: at}, rlimitKey)
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
		return bad(Quote(path)+" has no limits", "such as /dev/sda:rbps=10MiB,wiops=200")
	}
	m, f := parseIOMax(path, typedBounds(text))
	if f == nil {
		m.Pos = at
		p.Limits.IO = mergeIO(p.Limits.IO, m)
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
		return bad(Quote(page)+" has no limit", "such as 2MiB=64MiB")
	}
	n, f := parseSize(typedSize(most))
	if f == nil {
		p.Limits.Hugetlb = setSorted(p.Limits.Hugetlb, Hugetlb{PageSize: size, Max: n, Pos: at}, hugetlbKey)
	}
	return f
}

func removeFlag(p *Profile, v string, at Pos) *fault {
	section, value, ok := strings.Cut(v, "=")
	if !ok || value == "" || !removable(section) && section != "mounts" && section != "missing" {
		return bad(Quote(v)+" is not SECTION=VALUE",
			"sections are mounts, env, capabilities, syscalls, landlock, limits, cache, missing")
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
