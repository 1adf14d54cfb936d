package search

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
)

// walk searches the remaining directories on the host.
func (s *Search) walk() {
	var all []*visitor
	t := &walk.Tree{Two: s.Two, Step: s.step(), Inodes: s.Inodes != nil, Memory: s.memory(), Every: everyName, New: func() walk.Visitor {
		v := &visitor{s: s}
		all = append(all, v)
		return v
	}}
	if s.git {
		t.Max = max(1, MaxNames-s.Names)
	}
	for _, u := range s.roots {
		t.Roots = append(t.Roots, walk.Place{Path: u.host, State: u})
	}
	s.roots = nil
	err := s.walker().Walk(t)
	for _, v := range all {
		s.hits = append(s.hits, v.hits...)
	}
	s.Names += t.Names
	if err == walk.ErrTooMany {
		s.Names = max(s.Names, MaxNames+1)
	} else if err != nil {
		s.err = err
	}
	for _, v := range all {
		for _, r := range v.refused {
			s.again(r.dir, r.u, r.err)
		}
	}
}

// everyName reports whether any name in a directory may match, because the first names of a rule have matched above it.
func everyName(state any) bool { return len(state.(*under).begun) > 0 }

// memory returns the memory of earlier searches with the same rules, or nil.
func (s *Search) memory() *walk.Memory {
	if s.Recall == nil || s.Inodes != nil {
		return nil
	}
	var key strings.Builder
	for _, names := range s.Rules {
		key.WriteString(strings.Join(names, "/"))
		key.WriteByte(0)
	}
	for _, u := range s.roots {
		key.WriteString(u.host)
		key.WriteByte(0)
	}
	s.Memory = s.Recall(key.String(), s.matters)
	return s.Memory
}

// matters reports whether a name that does not belong to a directory can matter to this search, or to a search for
// repositories.
func (s *Search) matters(name []byte, kind uint8) bool {
	return kind == unix.DT_SOCK || len(name) <= longestPart && isPart(name) || bytes.HasPrefix(name, []byte("config")) || s.first.has(name)
}

// step returns Step in a form for the host's walk, which counts its own names.
func (s *Search) step() func(names int) error {
	if s.Step == nil {
		return nil
	}
	before := s.Names
	return func(names int) error { return s.Step(before + names) }
}

// visitor is one thread of the host's walk. It reads the Search, but does not change it.
type visitor struct {
	s       *Search
	parts   GitParts
	hits    []hit
	refused []refused
}

// refused is a directory that could not be read.
type refused struct {
	dir string // the path in the sandbox
	u   *under
	err error
}

// Visit matches one name.
func (v *visitor) Visit(in *walk.Place, e *walk.Entry) (into bool, state any) {
	u := in.State.(*under)
	is := aFile
	switch {
	case e.IsDir():
		is = aDir
	case e.IsLink():
		is = aLink
	case e.IsSocket():
		is = aSocket
	}
	// If another file is mounted on the file, the directory has a different number than stat(2).
	if s := v.s; s.Inodes != nil && is != aDir && e.Inode != 0 && !s.Inodes[e.Inode] {
		return false, nil
	}
	if u.git && len(e.Name) <= longestPart {
		v.parts.See(string(e.Name))
	}
	// Most names match nothing, and no rule has begun above them. For them nothing is allocated.
	if is != aSocket && v.s.Inodes == nil && len(u.begun) == 0 && !ofGit(u, e.Name) && !v.s.first.has(e.Name) {
		return is == aDir && v.short(in, u, e.Name), u
	}
	name := string(e.Name)
	into, next := v.s.entry(&v.hits, u, paths.Join(u.view(in.Path), name), name, is)
	return into && v.short(in, u, e.Name), next
}

// ofGit reports whether a name may matter for the protection of repositories.
func ofGit(u *under, name []byte) bool {
	return u.git && (string(name) == ".git" || u.inGit > 0 && bytes.HasPrefix(name, []byte("config")))
}

// short reports whether the path of a directory is short enough. If it is too long, the directory gets hidden.
func (v *visitor) short(in *walk.Place, u *under, name []byte) bool {
	long := len(in.Path) + 1 + len(name)
	if long <= MaxPath && long-len(u.host)+len(u.inside) <= MaxPath {
		return true
	}
	v.s.closed(&v.hits, paths.Join(u.view(in.Path), string(name)), u)
	return false
}

// Leave recognizes a repository by its names.
func (v *visitor) Leave(in *walk.Place) {
	if u := in.State.(*under); u.git && u.inGit == 0 && v.parts.Whole() {
		v.hits = append(v.hits, hit{kind: isGit, root: u.root, path: u.view(in.Path)})
	}
	v.parts = GitParts{}
}

// Refused records a directory for a second attempt.
func (v *visitor) Refused(dir walk.Place, err error) {
	u := dir.State.(*under)
	v.refused = append(v.refused, refused{u.view(dir.Path), u, err})
}

// view returns the path in the sandbox of a directory of the host.
func (u *under) view(host string) string { return paths.Moved(host, u.host, u.inside) }
