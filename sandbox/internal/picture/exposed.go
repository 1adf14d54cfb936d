package picture

// This file finds the mounts that the host can remove by replacing the file below them: see internal/launch.

import (
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// Exposed lists the guards of a tree (mounts that hide or protect something) that the host can remove: those on the
// host's own directories, and hidden names that did not exist when the plan was made.
func (t *Tree) Exposed() []*Part {
	list := make([]*Part, 0, len(t.Parts)+len(t.awaited))
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Target == "/" || p.Absent || t.At(p.Target) != p {
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

// Await records a path that a rule hides and that does not exist yet.
func (t *Tree) Await(target string, rule policy.Pos) {
	if t.awaited == nil {
		t.awaited = make([]Part, 0, 16)
	}
	t.awaited = append(t.awaited, Part{Target: target, Opaque: true, Guard: GuardHide, What: "hidden", Rule: rule})
}

// AwaitGlob records a directory in which the launcher must hide every new file whose name matches the pattern. It
// reports whether the launcher can do that.
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

// OnHost reports whether the directory of a path belongs to the host, so that changes there appear in the sandbox. This
// is not so for directories of an overlay, nor for the kernel's file systems, where nobody can rename files.
func (t *Tree) OnHost(target string) bool {
	dir, _ := paths.Split(target)
	p := t.At(dir)
	return p != nil && p.Source != "" && !p.Layer && !p.Opaque && !paths.Below(p.Source, "/proc") &&
		!paths.Below(p.Source, "/sys")
}

// IsItself reports whether a mount shows the same file on which it is mounted.
func (t *Tree) IsItself(p *Part) bool {
	if p.Source == "" || p.Opaque {
		return false
	}
	dir, name := paths.Split(p.Target)
	host := t.HostPath(dir)
	return host != "" && paths.Join(host, name) == p.Source
}

// Guards says in one word what a mount does to its target.
func (p *Part) Guards() string {
	switch {
	case p.Opaque:
		return "hidden"
	case !p.Write:
		return "read-only"
	}
	return "mounted"
}

// AwaitedGlob is the last component of a pattern, for one directory of the sandbox.
type AwaitedGlob struct {
	Dir, Pattern string
	Part         Part // the mount that will hide a matching file; its Target is not set
}

// Gone returns the errno that the plan tolerates because the mount's target may have vanished, or 0 if the target must
// exist.
func (p *Part) Gone() plan.Errno {
	if p.Absent || p.Fleeting {
		return plan.EBADF
	}
	return 0
}

// Index returns the index of the mount to which a path belongs, or -1 if there is no root yet.
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

// Insert adds a mount at a given position in the order of mounting. Later mounts at its target or below it still cover
// it.
func (t *Tree) Insert(at int, p Part) {
	t.Parts = slices.Insert(t.Parts, at, p)
	for target, i := range t.Last {
		if i >= at {
			t.Last[target] = i + 1
		}
	}
	t.Last[p.Target] = max(at, t.Last[p.Target])
}

// WritableBelow reports whether the task may write to a mount that shows path, or to one below it.
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

// Writable lists what the task may write to, for the report.
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

// WritesAbove reports whether a directory of the host lies in a directory to which the task may write. If so, an
// overlay over the inner directory would be useless, because the task could make a socket beside it.
func (t *Tree) WritesAbove(src string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool { return p.HostsWrites() && paths.Below(src, p.Source) })
}

// ShowsBelow reports whether the sandbox may show a path of the host, because a mount shows the path or a directory
// above it. It is a fast check that may return true although a later mount hides the path.
func (t *Tree) ShowsBelow(host string) bool {
	for i := range t.Parts {
		if p := &t.Parts[i]; p.Source != "" && !p.File && paths.Below(host, p.Source) {
			return true
		}
	}
	return false
}

// ShowsLater reports whether the task could connect to a socket that somebody makes in the mount's directory after the
// start.
func (p *Part) ShowsLater() bool {
	return p.Source != "" && !p.File && !p.Opaque && !p.Layer && !p.Still && p.Guard == 0 &&
		!slices.ContainsFunc(QuietDirs[:], func(dir string) bool { return paths.Below(p.Source, dir) })
}

// HostsWrites reports whether a mount shows a directory of the host to which the task may write.
func (p *Part) HostsWrites() bool {
	return p.Write && p.Source != "" && !p.File && !p.Opaque && !p.Layer && p.Guard == 0 &&
		!paths.Below(p.Source, "/proc")
}

// HostBelow reports whether a directory or file of the host is mounted below a path.
func (t *Tree) HostBelow(path string) bool {
	return slices.ContainsFunc(t.Parts, func(p Part) bool {
		return p.Source != "" && p.Target != path && paths.Below(p.Target, path)
	})
}
