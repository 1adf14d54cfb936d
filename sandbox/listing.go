package sandbox

// What the sandbox will see in a directory.

import (
	"io/fs"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// listed is a name in a directory.
type listed struct {
	name string
	node
}

// extras are the names that a directory has beside the host's entries, by directory: what the launcher made, and mount
// points on what it made.
type extras map[string][]listed

func (t *tree) extras() extras {
	x := extras{}
	for i := range t.parts {
		p := &t.parts[i]
		for path, n := range p.made {
			if t.at(path) == p {
				x.add(path, n)
			}
		}
		if t.at(p.target) == p {
			x.add(p.target, node{dir: !p.file, link: p.link})
		}
	}
	return x
}

func (x extras) add(path string, n node) {
	if path == "/" {
		return
	}
	dir, name := paths.Split(path)
	x[dir] = append(x[dir], listed{name, n})
}

// list returns what the sandbox will see in a directory. Of a link of the host only the kind is known.
func (t *tree) list(dir string, x extras) ([]listed, error) {
	p := t.at(dir)
	if p == nil || p.opaque {
		return nil, nil
	}
	var out []listed
	if host := t.hostPath(dir); host != "" {
		entries, err := t.files.ReadDir(host)
		if err != nil {
			return nil, fail.Bare(err)
		}
		out = make([]listed, 0, len(entries))
		for _, e := range entries {
			n := listed{name: e.Name(), node: node{dir: e.IsDir()}}
			if e.Type()&fs.ModeSymlink != 0 {
				n.link = "?"
			}
			out = append(out, n)
		}
	}
	for _, more := range x[dir] {
		if !hasName(out, more.name) {
			out = append(out, more)
		}
	}
	return out, nil
}

func hasName(list []listed, name string) bool {
	for i := range list {
		if list[i].name == name {
			return true
		}
	}
	return false
}

// A bound is a directory or file of the host that the profile shows by name.
type bound struct {
	target, source string
	here           bool // it is the working directory, or the whole root
	nested         bool // another one contains it
}

// bound lists what the profile shows by name: binds, overlays, and a root directory. A bind inside another is marked.
func (c *compilation) bound() []bound {
	if c.bounds != nil {
		return c.bounds
	}
	list := []bound{}
	if c.profile.Root.Kind == policy.RootDir {
		list = append(list, bound{target: "/", source: "/", here: true})
	}
	for i := range c.profile.Mounts {
		m := &c.profile.Mounts[i]
		if m.Kind != policy.MountBind && m.Kind != policy.MountOverlay {
			continue
		}
		target, err := c.bindTarget(m)
		if err == nil {
			target, err = c.tree.resolve(target)
		}
		if err != nil {
			continue // an optional bind that is not there
		}
		if _, exists := c.tree.stat(target); !exists {
			continue
		}
		source, err := c.hostSource(m.Source)
		if err != nil {
			source = target
		}
		if end, ok := c.followed[source]; ok {
			source = end
		}
		list = append(list, bound{target: target, source: source, here: source == c.host.Cwd || source == "/"})
	}
	for i := range list {
		for j := range list {
			if i != j && paths.Below(list[i].target, list[j].target) && (list[i].target != list[j].target || i > j) {
				list[i].nested = true
			}
		}
	}
	c.bounds = list
	return list
}
