package picture

import (
	"slices"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// Gone is the error of a step that uses a descriptor which could not be opened; none if the part must be there.
func (p *Part) Gone() plan.Errno {
	if p.Absent {
		return plan.EBADF
	}
	return 0
}

// Index is the place in the picture of the part that a path belongs to, -1 before there is a root.
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
