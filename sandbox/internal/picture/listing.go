package picture

// This file lists what the sandbox will see in a directory.

import (
	"io/fs"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// Listed is a name in a directory.
type Listed struct {
	Name string
	Node
	Socket bool // it is a socket of the host
}

// Extras holds, for each directory, the names that are not entries of the host's directory: files that the launcher has
// made, and mount points.
type Extras map[string][]Listed

// Extras collects the names that the launcher's files and mounts add to directories.
func (t *Tree) Extras() Extras {
	x := Extras{}
	for i := range t.Parts {
		p := &t.Parts[i]
		for path, n := range p.Made {
			if t.At(path) == p {
				x.add(path, n)
			}
		}
		if t.At(p.Target) == p {
			x.add(p.Target, Node{Dir: !p.File, Link: p.Link})
		}
	}
	return x
}

func (x Extras) add(path string, n Node) {
	if path == "/" {
		return
	}
	dir, name := paths.Split(path)
	x[dir] = append(x[dir], Listed{Name: name, Node: n})
}

// Above returns the directories that contain such a name, in themselves or at any depth.
func (x Extras) Above() map[string]bool {
	above := make(map[string]bool, 4*len(x))
	for dir := range x {
		for !above[dir] {
			above[dir] = true
			if dir != "/" {
				dir, _ = paths.Split(dir)
			}
		}
	}
	return above
}

// List returns what the sandbox will see in a directory. For a symbolic link of the host it returns only the kind.
func (t *Tree) List(dir string, x Extras) ([]Listed, error) {
	p := t.At(dir)
	if p == nil || p.Opaque {
		return nil, nil
	}
	var out []Listed
	if host := t.HostPath(dir); host != "" {
		entries, err := t.Files.ReadDir(host)
		if err != nil {
			return nil, fail.Bare(err)
		}
		out = make([]Listed, 0, len(entries))
		for _, e := range entries {
			n := Listed{Name: e.Name(), Node: Node{Dir: e.IsDir()}, Socket: e.Type()&fs.ModeSocket != 0}
			if e.Type()&fs.ModeSymlink != 0 {
				n.Link = "?"
			}
			out = append(out, n)
		}
	}
	for _, more := range x[dir] {
		if !hasName(out, more.Name) {
			out = append(out, more)
		}
	}
	return out, nil
}

func hasName(list []Listed, name string) bool {
	for i := range list {
		if list[i].Name == name {
			return true
		}
	}
	return false
}

// Bound is a directory or file of the host that a mount of the profile names.
type Bound struct {
	Target, Source string
	Cache          bool // a tool's cache, read-only, in which rules for any depth are not searched
	Nested         bool // another Bound contains it
}
