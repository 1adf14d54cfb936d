package picture

// Which mounts the host can take away: see guards.go.

import (
	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// Exposed lists the guards of a tree: the visible parts that are mounted on the host's own directories, and the hidden
// names that did not exist when the plan was made.
func (t *Tree) Exposed() (list []*Part) {
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
	return p != nil && p.Source != "" && !p.Layer && !p.Opaque && !paths.Below(p.Source, "/proc") && !paths.Below(p.Source, "/sys")
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
