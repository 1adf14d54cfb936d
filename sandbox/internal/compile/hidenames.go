package compile

// The names that a rule for any depth compares: the whole path of a thing, by each name that the host has for it, and
// not only what lies below a bind. Who works in ~/.aws still hides **/.aws/credentials.

import (
	"slices"
	"strings"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// namesOf lists the paths that lead to what is bound: inside, and on the host by each mount that shows it.
func (c *Compilation) namesOf(b picture.Bound) []string {
	names := []string{b.Target}
	if more, err := c.hostNames(b.Source); err == nil {
		for _, name := range more {
			// A further mount of a part of the bind leads to that part only.
			if name == b.Source || c.sameThing(name, b.Source) {
				names = append(names, name)
			}
		}
	}
	if b.Source == c.Host.Cwd && c.Host.Typed != "" {
		if end, err := c.hostTree().Resolve(c.Host.Typed); err == nil && end == b.Source {
			names = append(names, c.Host.Typed)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// bind walks what is bound, and has the names given.
func (f *finder) bind(b picture.Bound, names []string) {
	var carried []matching
	for i := range f.rules {
		r := &f.rules[i]
		for _, name := range names {
			whole, begun := begins(name, r.names)
			if whole {
				f.found = append(f.found, match{rule: r, path: b.Target})
				return
			}
			for _, n := range begun {
				carried = append(carried, matching{rule: r, names: r.names[n:]})
			}
		}
	}
	if !b.Nested {
		f.dir(b.Target, carried)
	} else if carried != nil { // the outer bind's walk knows other names
		git := f.git
		f.git = false
		f.dir(b.Target, carried)
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
func (f *finder) mounts(c *Compilation) {
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
			if m.Point == b.Source || !paths.Below(m.Point, b.Source) {
				continue
			}
			at := picture.Bound{Target: paths.Moved(m.Point, b.Source, b.Target), Source: m.Point, Nested: true}
			if c.Tree.HostPath(at.Target) == m.Point {
				f.bind(at, c.namesOf(at))
			}
		}
	}
}
