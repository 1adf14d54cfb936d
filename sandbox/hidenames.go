package sandbox

// The names that a rule for any depth compares: the whole path of a thing, by each name that the host has for it, and
// not only what lies below a bind. Who works in ~/.aws still hides **/.aws/credentials.

import (
	"slices"
	"strings"

	"cordon/sandbox/internal/paths"
)

// namesOf lists the paths that lead to what is bound: inside, and on the host by each mount that shows it.
func (c *compilation) namesOf(b bound) []string {
	names := []string{b.target}
	if more, err := c.hostNames(b.source); err == nil {
		for _, name := range more {
			// A further mount of a part of the bind leads to that part only.
			if name == b.source || c.sameThing(name, b.source) {
				names = append(names, name)
			}
		}
	}
	if b.source == c.host.Cwd && c.host.Typed != "" {
		if end, err := c.hostTree().resolve(c.host.Typed); err == nil && end == b.source {
			names = append(names, c.host.Typed)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// bind walks what is bound, and has the names given.
func (f *finder) bind(b bound, names []string) {
	var carried []matching
	for i := range f.rules {
		r := &f.rules[i]
		for _, name := range names {
			whole, begun := begins(name, r.names)
			if whole {
				f.found = append(f.found, match{rule: r, path: b.target})
				return
			}
			for _, n := range begun {
				carried = append(carried, matching{rule: r, names: r.names[n:]})
			}
		}
	}
	if !b.nested {
		f.dir(b.target, carried)
	} else if carried != nil { // the outer bind's walk knows other names
		git := f.git
		f.git = false
		f.dir(b.target, carried)
		f.git = git
	}
}

// begins compares a path with the names of a rule. The rule may match the path, or a directory above it, as a whole;
// otherwise begun lists with how many of its names the path ends.
func begins(path string, names []string) (whole bool, begun []int) {
	if path == "/" {
		return false, nil
	}
	have := strings.Split(path[1:], "/")
	for at := range have {
		n := min(len(names), len(have)-at)
		switch {
		case !eachMatches(names[:n], have[at:at+n]):
		case n == len(names):
			return true, nil
		default:
			begun = append(begun, n)
		}
	}
	return false, begun
}

// mounts looks at what the host has mounted below a bind, and shows elsewhere by another name.
func (f *finder) mounts(c *compilation) {
	t, err := c.mountsOfHost()
	if err != nil || len(f.rules) == 0 {
		return // the rules report the error
	}
	for i := range t.List {
		m := &t.List[i]
		if t.devices[m.Device] < 2 || t.find(m.Point) != m {
			continue
		}
		for _, b := range c.bound() {
			if m.Point == b.source || !paths.Below(m.Point, b.source) {
				continue
			}
			at := bound{target: paths.Moved(m.Point, b.source, b.target), source: m.Point, nested: true}
			if c.tree.hostPath(at.target) == m.Point {
				f.bind(at, c.namesOf(at))
			}
		}
	}
}
