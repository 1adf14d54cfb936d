package picture

// Which mounts the host can take away: see internal/launch.

import (
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// Exposed lists the guards of a tree: the visible parts that are mounted on the host's own directories, and the hidden
// names that did not exist when the plan was made.
func (t *Tree) Exposed() []*Part {
	list := make([]*Part, 0, len(t.Parts)+len(t.awaited))
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Target == "/" || p.Absent && !p.Fleeting || t.At(p.Target) != p {
			continue
		}
		if t.OnHost(p.Target) {
			list = append(list, p)
		}
	}
	for i := range t.awaited {
		if p := &t.awaited[i]; t.OnHost(p.Target) {
			list = append(list, p)
		}
	}
	return list
}

// Await notes that a hidden name does not exist yet.
func (t *Tree) Await(target string, rule policy.Pos) {
	if t.awaited == nil {
		t.awaited = make([]Part, 0, 16)
	}
	t.awaited = append(t.awaited, Part{Target: target, Opaque: true, Guard: GuardHide, What: "hidden", Rule: rule})
}

// AwaitGlob notes that what appears in a directory under a name that a pattern matches is to be hidden, and reports
// whether the launcher can do that.
func (t *Tree) AwaitGlob(dir, pattern string, rule policy.Pos) bool {
	for i := range t.Globs {
		if x := &t.Globs[i]; x.Dir == dir && x.Pattern == pattern {
			return true
		}
	}
	if !t.OnHost(paths.Join(dir, "x")) {
		return false
	}
	p := Part{Opaque: true, Guard: GuardHide, What: "hidden", Rule: rule}
	t.Globs = append(t.Globs, AwaitedGlob{dir, pattern, p})
	return true
}

// OnHost reports whether the directory that holds a path is the host's own, so that a change there reaches the sandbox.
// An overlay has directories of its own, and the kernel's file systems cannot be renamed.
func (t *Tree) OnHost(target string) bool {
	dir, _ := paths.Split(target)
	p := t.At(dir)
	return p != nil && p.Source != "" && !p.Layer && !p.Opaque && !paths.Below(p.Source, "/proc") &&
		!paths.Below(p.Source, "/sys")
}

// IsItself reports whether a part is mounted on the very thing that it shows.
func (t *Tree) IsItself(p *Part) bool {
	if p.Source == "" || p.Opaque {
		return false
	}
	dir, name := paths.Split(p.Target)
	host := t.HostPath(dir)
	return host != "" && paths.Join(host, name) == p.Source
}

// Guards says what a part does as a guard.
func (p *Part) Guards() string {
	switch {
	case p.Opaque:
		return "hidden"
	case !p.Write:
		return "read-only"
	}
	return "mounted"
}

// AwaitedGlob is the last name of a pattern, in a directory of the sandbox.
type AwaitedGlob struct {
	Dir, Pattern string
	Part         Part // for what appears; its target is not set
}

// Gone is the error of a step that uses a descriptor which could not be opened; none if the part must be there.
func (p *Part) Gone() plan.Errno {
	if p.Absent {
		return plan.EBADF
	}
	return 0
}

// Index returns the index of the part that a path belongs to, or -1 before there is a root.
func (t *Tree) Index(path string) int {
	found := -1
	for dir := path; ; dir, _ = paths.Split(dir) {
		if i, ok := t.Last[dir]; ok && i > found {
			found = i
		}
		if dir == "/" {
			return found
		}
	}
}

// Insert puts a part at a place in the order of mounting. What is mounted after it, and lies below it, still covers it.
func (t *Tree) Insert(at int, p Part) {
	t.Parts = slices.Insert(t.Parts, at, p)
	for target, i := range t.Last {
		if i >= at {
			t.Last[target] = i + 1
		}
	}
	t.Last[p.Target] = max(at, t.Last[p.Target])
}

// WritableBelow reports whether a part that shows path, or lies below it, is writable.
func (t *Tree) WritableBelow(path string) bool {
	if t.At(path).Write {
		return true
	}
	for i := range t.Parts {
		if p := &t.Parts[i]; p.Write && paths.Below(p.Target, path) && t.At(p.Target) == p {
			return true
		}
	}
	return false
}

// Writable names what the task may write to, for the report.
func (t *Tree) Writable() string {
	var list []string
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Write && p.What != "a device" && p.Guard == 0 && t.At(p.Target) == p {
			list = append(list, p.Target)
		}
	}
	if list == nil {
		return "nothing"
	}
	return strings.Join(list, " ")
}

// WritesAbove reports whether a directory of the host is part of a writable directory inside. An overlay over such a
// directory would stop nobody, because a program can put a socket beside it.
func (t *Tree) WritesAbove(src string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool { return p.HostsWrites() && paths.Below(src, p.Source) })
}

// ShowsBelow reports quickly whether the sandbox may show a path of the host: some part has it, or what it is in.
func (t *Tree) ShowsBelow(host string) bool {
	for i := range t.Parts {
		if p := &t.Parts[i]; p.Source != "" && !p.File && paths.Below(host, p.Source) {
			return true
		}
	}
	return false
}

// ShowsLater reports whether the task could connect to a socket that somebody makes later in a directory of the host.
func (p *Part) ShowsLater() bool {
	return p.Source != "" && !p.File && !p.Opaque && !p.Layer && !p.Still && p.Guard == 0 &&
		!slices.ContainsFunc(QuietDirs[:], func(dir string) bool { return paths.Below(p.Source, dir) })
}

// HostsWrites reports whether a part is a directory of the host that the task may write to.
func (p *Part) HostsWrites() bool {
	return p.Write && p.Source != "" && !p.File && !p.Opaque && !p.Layer && p.Guard == 0 &&
		!paths.Below(p.Source, "/proc")
}

// HostBelow reports whether something of the host is mounted below a path.
func (t *Tree) HostBelow(path string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool {
		return p.Source != "" && p.Target != path && paths.Below(p.Target, path)
	})
}
