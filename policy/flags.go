package policy

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Flag is a flag of the command line that sets something in a profile.
type Flag struct {
	Name  string // the name without --
	Arg   string // the value in the help: "PATH[:TARGET]"; "" for a flag without a value
	Doc   string
	Key   string // the key that it sets, such as "limits.memory"; "" if it sets a part of a key, or several keys
	Short string // the one-letter form; "" if there is none
	For   string // if this flag is another tool's name for a flag of cordon: cordon's flag; the help omits such flags
}

// CommandLine is the value of Pos.File for a value that a flag has set.
const CommandLine = "command line"

// setter stores the value of a flag in a profile.
type setter struct {
	name string
	set  func(p *Profile, value string, at Pos) *fault
}

// setters are the flags whose effect does not follow from their key and its type.
var setters = [...]setter{
	{"rw", func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, true) }},
	{"ro", func(p *Profile, v string, at Pos) *fault { return bindFlag(p, v, at, false) }},
	{"tmpfs", tmpfsFlag}, {"mount", mountFlag}, {"root", rootFlag}, {"net", netFlag}, {"ns", nsFlag}, {"env", envFlag},
	{"rule", ruleFlag}, {"landlock", landlockFlag}, {"no-landlock", landlockFlag}, {"io", ioFlag},
	{"in-place", inPlaceFlag},
	{"hugetlb", hugetlbFlag}, {"rlimit", rlimitFlag}, {"remove", removeFlag}, {"volume", volumeFlag}, {"user", userFlag},
	{"cap-drop", capDropFlag}, {"setenv", setenvFlag}, {"init", initFlag},
	{"read-only", otherWord}, {"share-net", otherWord}, {"as-pid-1", otherWord}, {"die-with-parent", otherWord}, {"unshare-net", otherWord},
	{"unshare-all", otherWord}, {"unshare-user", otherWord}, {"unshare-pid", otherWord}, {"unshare-ipc", otherWord},
	{"unshare-uts", otherWord}, {"unshare-cgroup", otherWord},
}

// more lists the flags that do not belong to a single key.
var more = [...]Flag{
	{Name: "remove", Arg: "SECTION=VALUE", Doc: "remove VALUE from the list SECTION of the profile"},

	// The flags below have other tools' names and mean the same here.
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
	{Name: "read-only", Key: "root.mode", For: "root-mode"},
	{Name: "share-net", Key: "network", For: "net"},
	{Name: "unshare-net", Key: "network", For: "net"},
	{Name: "unshare-all", Key: "namespaces", For: "ns"},
	{Name: "unshare-user", Key: "namespaces.user", For: "ns"},
	{Name: "unshare-pid", Key: "namespaces.pid", For: "ns"},
	{Name: "unshare-ipc", Key: "namespaces.ipc", For: "ns"},
	{Name: "unshare-uts", Key: "namespaces.uts", For: "ns"},
	{Name: "unshare-cgroup", Key: "namespaces.cgroup", For: "ns"},
	{Name: "die-with-parent", Key: "namespaces", For: "ns"},
	{Name: "as-pid-1", Key: "process.init", For: "init"},
}

// shortOf returns the one-letter form that other tools give to a flag, or "".
func shortOf(name string) string {
	switch name {
	case "env":
		return "e"
	case "workdir":
		return "w"
	case "memory":
		return "m"
	}
	return ""
}

// AllFlags yields the flags in the order of the language, and then the flags that belong to no single key.
func AllFlags(yield func(Flag) bool) {
	if flagsOf(language, "", yield) {
		for i := range more {
			if !yield(more[i]) {
				return
			}
		}
	}
}

// flagsOf yields the flags of keys. path is the section that contains the keys. If yield returns false, flagsOf stops
// and returns false.
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

// Flags lists the flags that AllFlags yields, without other tools' names.
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

// FromFlag stores a flag's value in the profile over. The caller merges over on top of all other profiles. For a flag
// without a value, value is "" or "true". The error is an *Error.
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
	at := Pos{File: CommandLine, Flag: "--" + name}
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
	for range 2 { // first by its own name, then by the name of cordon's flag that means the same
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

// addTo appends to a list. A list of endpoints also sets the network mode. If items of a list have no positions of
// their own, addTo records one position for the whole list.
func (p *Profile) addTo(k *key[Profile], path, value string, at Pos) *fault {
	if f := k.add(k.at(p), value, at); f != nil {
		return f
	}
	switch k.typ {
	case tEndpoint, tPublish:
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

// setRootKey sets a key of a root that is a directory. The other forms of root have no further keys.
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

// mark records the position at which the scalar at path was set.
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
		*p = append(*p, Hide{Pattern: s, Pos: at})
	case *[]EnvKeep:
		*p = append(*p, EnvKeep{s, at})
	case *[]Capability:
		*p = append(*p, Capability{s, at})
	case *[]SyscallItem:
		*p = append(*p, SyscallItem{s, at})
	case *[]NetworkItem:
		*p = append(*p, NetworkItem{s, at})
	case *[]MissingLayer:
		*p = append(*p, MissingLayer{Layer(s), at})
	}
	return nil
}
