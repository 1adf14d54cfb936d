package sandbox

// Which mounts the host can take away: see guards.go.

import (
	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// exposed lists the guards of a tree: the visible parts that are mounted on the host's own directories, and the hidden
// names that did not exist when the plan was made.
func (t *tree) exposed() []*part {
	list := make([]*part, 0, len(t.parts)+len(t.awaited))
	for i := range t.parts {
		p := &t.parts[i]
		if p.target == "/" || p.absent && !p.fleeting || t.at(p.target) != p {
			continue
		}
		if t.onHost(p.target) {
			list = append(list, p)
		}
	}
	for i := range t.awaited {
		if p := &t.awaited[i]; t.onHost(p.target) {
			list = append(list, p)
		}
	}
	return list
}

// await notes that a hidden name does not exist yet.
func (t *tree) await(target string, rule policy.Pos) {
	if t.awaited == nil {
		t.awaited = make([]part, 0, 16)
	}
	t.awaited = append(t.awaited, part{target: target, opaque: true, guard: guardHide, what: "hidden", rule: rule})
}

// awaitGlob notes that what appears in a directory under a name that a pattern matches is to be hidden, and reports
// whether the launcher can do that.
func (t *tree) awaitGlob(dir, pattern string, rule policy.Pos) bool {
	for i := range t.globs {
		if x := &t.globs[i]; x.dir == dir && x.pattern == pattern {
			return true
		}
	}
	if !t.onHost(paths.Join(dir, "x")) {
		return false
	}
	p := part{opaque: true, guard: guardHide, what: "hidden", rule: rule}
	t.globs = append(t.globs, awaitedGlob{dir, pattern, p})
	return true
}

// onHost reports whether the directory that holds a path is the host's own, so that a change there reaches the sandbox.
// An overlay has directories of its own, and the kernel's file systems cannot be renamed.
func (t *tree) onHost(target string) bool {
	dir, _ := paths.Split(target)
	p := t.at(dir)
	return p != nil && p.source != "" && !p.layer && !p.opaque && !paths.Below(p.source, "/proc") && !paths.Below(p.source, "/sys")
}

// isItself reports whether a part is mounted on the very thing that it shows.
func (t *tree) isItself(p *part) bool {
	if p.source == "" || p.opaque {
		return false
	}
	dir, name := paths.Split(p.target)
	host := t.hostPath(dir)
	return host != "" && paths.Join(host, name) == p.source
}

// guards says what a part does as a guard.
func (p *part) guards() string {
	switch {
	case p.opaque:
		return "hidden"
	case !p.write:
		return "read-only"
	}
	return "mounted"
}

// awaitedGlob is the last name of a pattern, in a directory of the sandbox.
type awaitedGlob struct {
	dir, pattern string
	part         part // for what appears; its target is not set
}
