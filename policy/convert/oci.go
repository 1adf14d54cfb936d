package convert

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/phrase"
)

// This file reads seccomp profiles of the OCI family: linux.seccomp of the runtime specification, with the extensions
// of Docker's template and of Podman. It is strict: without an error for a misspelt key, a rule would silently be lost.

// seccomp is one profile.
type seccomp struct {
	deflt   decided
	foreign []filter.Arch // architectures besides the target's native one
	entries []*entry
}

// decided is an action, with its position in the file.
type decided struct {
	filter.Action
	as string // the action in the file, if cordon replaces it: "SCMP_ACT_NOTIFY"
	at *value
}

// entry is an item of syscalls.
type entry struct {
	path   string
	at     *value
	names  []*value
	action decided
	args   []arg
	when   []condition
}

// arg is a comparison of one argument.
type arg struct {
	index      int
	op         op
	value, two uint64 // for a masked comparison: the mask, and the value under it
	at         *value
	path       string
}

// condition says to which targets an entry applies, or to which it does not apply.
type condition struct {
	include bool
	caps    []string // without CAP_; includes needs all of them in the container, excludes needs one
	arches  []string // native architectures, by libseccomp's names
	kernel  *Kernel  // the oldest kernel
}

// maxErrors is how many errors of one file Import returns.
const maxErrors = 20

// decoder reads a value tree into a seccomp.
type decoder struct {
	file, src string
	target    Target
	errs      policy.Errors
	notes     []Note
}

func (d *decoder) fail(v *value, path, msg, hint string) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, errorAt(d.file, d.src, path, v, msg, hint))
	}
}

func (d *decoder) pos(v *value) policy.Pos {
	if v == nil {
		return policy.Pos{File: d.file}
	}
	return policy.Pos{File: d.file, Line: v.line}
}

func (d *decoder) note(path string, v *value, rule string, class Class, effect Effect, how string) {
	d.notes = append(d.notes, Note{At: path, Pos: d.pos(v), Rule: rule, Class: class, Effect: effect, How: how})
}

// section finds the seccomp section. The file may be a whole config.json.
func (d *decoder) section(root *value) (v *value, path string) {
	if root.kind != kindObject {
		d.fail(root, "", "a seccomp profile is an object, not "+root.kind.String(), "")
		return nil, ""
	}
	linux := root.get("linux")
	if linux == nil && root.get("ociVersion") == nil {
		return root, ""
	}
	if linux != nil && linux.kind == kindObject {
		if v := linux.get("seccomp"); v != nil {
			return v, "linux.seccomp"
		}
	}
	d.fail(root, "", "this configuration has no linux.seccomp", "it filters nothing, and so there is nothing to import")
	return nil, ""
}

// keys checks that v is an object with only known keys. It accepts keys that begin with _, which people use for
// comments and no runtime reads.
func (d *decoder) keys(v *value, path string, known ...string) bool {
	if !d.wants(v, path, kindObject) {
		return false
	}
	for _, m := range v.members {
		if !slices.Contains(known, m.name.text) && !strings.HasPrefix(m.name.text, "_") {
			d.fail(m.name, path, "unknown key "+policy.Quote(m.name.text), didYouMean(m.name.text, known))
		}
	}
	return true
}

func (d *decoder) wants(v *value, path string, k kind) bool {
	if v.kind != k {
		d.fail(v, path, "want "+k.String()+", not "+v.kind.String(), "")
	}
	return v.kind == k
}

func didYouMean(s string, known []string) string {
	if near := policy.Suggest(s, known); near != "" {
		return "did you mean " + policy.Quote(near) + "?"
	}
	return ""
}

// list calls f for each item of a list. The list may be missing.
func (d *decoder) list(v *value, path string, k kind, f func(*value, string)) {
	if v == nil || !d.wants(v, path, kindArray) {
		return
	}
	for i, it := range v.items {
		if at := phrase.Index(path, i); d.wants(it, at, k) {
			f(it, at)
		}
	}
}

// number reads a whole number from 0 to most.
func (d *decoder) number(v *value, path string, most uint64) uint64 {
	if !d.wants(v, path, kindNumber) {
		return 0
	}
	n, err := strconv.ParseUint(v.text, 10, 64)
	if err != nil || n > most {
		text := v.text
		if len(text) > 40 {
			text = text[:40] + "…"
		}
		d.fail(v, path, "want a whole number from 0 to "+strconv.FormatUint(most, 10)+", not "+text, "")
		return 0
	}
	return n
}

func (d *decoder) word(v *value, path, what string, known []string) bool {
	if !d.wants(v, path, kindString) {
		return false
	}
	if slices.Contains(known, v.text) {
		return true
	}
	hint := didYouMean(v.text, known)
	if hint == "" && len(known) < 10 {
		hint = "it is one of " + strings.Join(known, ", ")
	}
	d.fail(v, path, policy.Quote(v.text)+" is not "+what, hint)
	return false
}

// seccomp reads the section.
func (d *decoder) seccomp(v *value, path string) *seccomp {
	if !d.keys(v, path, "defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "listenerPath",
		"listenerMetadata", "syscalls", "comment", "$schema") {
		return nil
	}
	s := &seccomp{}
	if a := v.get("defaultAction"); a == nil {
		d.fail(v, path, "no defaultAction", "without one a runtime filters nothing")
	} else {
		s.deflt = d.action(a, join(path, "defaultAction"), v.get("defaultErrnoRet"), v.get("defaultErrno"))
	}
	s.foreign = d.arches(v, path)
	d.list(v.get("flags"), join(path, "flags"), kindString, d.flag)
	for _, name := range []string{"listenerPath", "listenerMetadata"} {
		if l := v.get(name); l != nil && d.wants(l, join(path, name), kindString) && l.text != "" {
			d.note(join(path, name), l, name, Dropped, Tighter, "nobody is asked about a call")
		}
	}
	d.list(v.get("syscalls"), join(path, "syscalls"), kindObject, func(it *value, at string) {
		if e := d.entry(it, at); e != nil && d.applies(e) {
			s.entries = append(s.entries, e)
		}
	})
	return s
}

func (d *decoder) flag(v *value, path string) {
	for _, f := range flags {
		if f.name == v.text {
			class := Exact
			if f.how != "" {
				class = Approximated
			}
			d.note(path, v, f.name, class, f.effect, f.how)
			return
		}
	}
	known := make([]string, len(flags))
	for i, f := range flags {
		known[i] = f.name
	}
	d.word(v, path, "a flag of seccomp(2)", known)
}

// action reads an action, and the error number that may belong to it. ret is the number, and name is Podman's name
// for it.
func (d *decoder) action(v *value, path string, ret, name *value) decided {
	known := make([]string, len(actions))
	for i, a := range actions {
		known[i] = a.name
	}
	out := decided{at: v}
	if !d.word(v, path, "an action", known) {
		return out
	}
	out.Kind = actions[slices.Index(known, v.text)].kind
	takes := out.Kind == filter.Errno || out.Kind == filter.Trace
	if takes {
		out.Errno = 1
	}
	for _, n := range []*value{ret, name} {
		if n != nil && !takes {
			d.fail(n, path, v.text+" has no error number", "SCMP_ACT_ERRNO and SCMP_ACT_TRACE have")
			return out
		}
	}
	if ret != nil {
		out.Errno = uint16(d.number(ret, path+": error number", 4095))
	}
	if name != nil && name.text != "" {
		a, err := filter.ParseAction("errno(" + name.text + ")")
		if err != nil || name.kind != kindString {
			d.fail(name, path, policy.Quote(name.text)+" is not the name of an error", "such as \"EPERM\"")
		} else if ret != nil && a.Errno != out.Errno {
			d.fail(name, path, name.text+" is not the number given beside it", "leave out the one or the other")
		}
		out.Errno = a.Errno
	}
	if out.Kind == filter.Notify || out.Kind == filter.Trace {
		// The kernel returns ENOSYS if no program listens or traces: kernel/seccomp.c.
		out.Action, out.as = filter.Action{Kind: filter.Errno, Errno: 38}, v.text
	}
	return out
}

// arches reads architectures or archMap. It returns those that the target's kernel can run besides its own
// architecture.
func (d *decoder) arches(v *value, path string) (foreign []filter.Arch) {
	list, byHost := v.get("architectures"), v.get("archMap")
	if list != nil && byHost != nil && len(list.items) > 0 && len(byHost.items) > 0 {
		d.fail(byHost, path, "architectures and archMap exclude each other", "leave out the one or the other")
		return nil
	}
	add := func(it *value, at string) {
		if a := d.arch(it, at); d.target.Arch.Hosts(a) && !slices.Contains(foreign, a) {
			foreign = append(foreign, a)
		}
	}
	d.list(list, join(path, "architectures"), kindString, add)
	d.list(byHost, join(path, "archMap"), kindObject, func(it *value, at string) {
		if !d.keys(it, at, "architecture", "subArchitectures") {
			return
		}
		host := it.get("architecture")
		if host == nil {
			d.fail(it, at, "no architecture", "")
			return
		}
		one := add
		if d.arch(host, join(at, "architecture")) != d.target.Arch {
			one = func(it *value, at string) { d.arch(it, at) }
		}
		d.list(it.get("subArchitectures"), join(at, "subArchitectures"), kindString, one)
	})
	slices.Sort(foreign)
	return foreign
}

func (d *decoder) arch(v *value, path string) filter.Arch {
	known := make([]string, len(architectures))
	for i, a := range architectures {
		known[i] = a.name
	}
	if !d.word(v, path, "an architecture", known) {
		return filter.NoArch
	}
	return architectures[slices.Index(known, v.text)].arch
}
