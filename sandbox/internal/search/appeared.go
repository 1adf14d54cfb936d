package search

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
)

// Repositories lists git's repositories in directories of the host and below them: everything that is named .git, and
// bare repositories. two has the meaning of walk.Tree.Two, and m is a memory of a Search, or nil. complete is false if
// a directory could not be read, or if there were more than MaxNames names.
func Repositories(files host.Files, dirs []string, two bool, m *walk.Memory) (found []string, complete bool) {
	r := &repositories{files: files, complete: true}
	walker, ok := files.(interface{ Walk(t *walk.Tree) error })
	if !ok {
		for _, dir := range dirs {
			r.look(dir)
		}
		return r.found, r.complete
	}
	var all []*repositories
	t := &walk.Tree{Two: two, Max: MaxNames, Memory: m, New: func() walk.Visitor {
		v := &repositories{complete: true}
		all = append(all, v)
		return v
	}}
	for _, dir := range dirs {
		t.Roots = append(t.Roots, walk.Place{Path: dir})
	}
	r.complete = walker.Walk(t) == nil
	for _, v := range all {
		r.found = append(r.found, v.found...)
		r.complete = r.complete && v.complete
	}
	return r.found, r.complete
}

// repositories is a search only for repositories. It is also one thread of the host's walk.
type repositories struct {
	files    host.Files
	parts    GitParts
	names    int
	found    []string
	complete bool
}

// Visit records entries that are named .git.
func (r *repositories) Visit(in *walk.Place, e *walk.Entry) (into bool, state any) {
	if len(e.Name) <= longestPart {
		r.parts.See(string(e.Name))
	}
	if string(e.Name) == ".git" {
		r.found = append(r.found, paths.Join(in.Path, ".git"))
		return false, nil
	}
	if !e.IsDir() {
		return false, nil
	}
	long := len(in.Path)+1+len(e.Name) > MaxPath
	r.complete = r.complete && !long
	return !long, nil
}

// Leave records a bare repository.
func (r *repositories) Leave(in *walk.Place) {
	if r.parts.Whole() {
		r.found = append(r.found, in.Path)
	}
	r.parts = GitParts{}
}

// Refused records that a repository may be in a directory that cannot be read.
func (r *repositories) Refused(_ walk.Place, err error) {
	if !fail.NotThere(err) && !errors.Is(err, unix.ELOOP) { // ELOOP: a link has taken its place
		r.complete = false
	}
}

// look searches a directory one name at a time, for a host that has no walk.
func (r *repositories) look(dir string) {
	entries, err := r.files.ReadDir(dir)
	r.names += len(entries)
	if err != nil || r.names > MaxNames {
		r.complete = r.complete && fail.NotThere(err)
		return
	}
	outer := r.parts
	r.parts = GitParts{}
	in := &walk.Place{Path: dir}
	for _, e := range entries {
		entry := walk.Entry{Name: []byte(e.Name()), Type: unix.DT_REG}
		if e.Type()&fs.ModeType == fs.ModeDir {
			entry.Type = unix.DT_DIR
		}
		if into, _ := r.Visit(in, &entry); into {
			r.look(paths.Join(dir, e.Name()))
		}
	}
	r.Leave(in)
	r.parts = outer
}
