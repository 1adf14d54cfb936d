package learn

import (
	"path"
	"strings"

	"cordon/policy/recording"
)

// world is the file system as the recordings show it: the files that the runs have created, the home and the working
// directory.
type world struct {
	home, workdir string
	homes, others []string // the homes of all runs and of the caller, and the other directories: see Facts
	created       map[string]bool
	fresh         map[string]bool   // by directory: whether the runs have created it or a directory above it
	parents       map[string]string // by directory: the nearest directory above that existed before
	dirs          map[string]bool   // directories that contain recorded paths
}

func newWorld(f *Facts) *world {
	w := &world{created: map[string]bool{}, fresh: map[string]bool{"/": false}, parents: map[string]string{}, dirs: map[string]bool{}}
	w.home, w.workdir, w.homes, w.others = f.home(), f.workdir(), f.homes(), f.others()
	for i := range f.Paths {
		if p := &f.Paths[i]; p.Access&recording.Create != 0 {
			w.created[p.Path] = true
		}
	}
	for i := range f.Paths {
		for dir := path.Dir(f.Paths[i].Path); !w.dirs[dir]; dir = path.Dir(dir) {
			w.dirs[dir] = true
		}
	}
	return w
}

// place returns dir if . or ~ may stand for it, otherwise "".
func place(p string) string {
	if p == "" || p[0] != '/' || path.Clean(p) == "/" {
		return ""
	}
	return path.Clean(p)
}

// isFresh reports whether the runs made a directory, or a directory above it.
func (w *world) isFresh(dir string) bool {
	if len(w.created) == 0 {
		return false
	}
	v, ok := w.fresh[dir]
	if !ok {
		v = w.created[dir] || w.isFresh(path.Dir(dir))
		w.fresh[dir] = v
	}
	return v
}

// own reports whether the runs made the file themselves.
func (w *world) own(p string) bool {
	return len(w.created) > 0 && (w.created[p] || w.isFresh(path.Dir(p)))
}

// base returns the nearest directory above p that the runs did not make.
func (w *world) base(p string) string {
	dir := path.Dir(p)
	if v, ok := w.parents[dir]; ok {
		return v
	}
	v := dir
	for v != "/" && w.isFresh(v) {
		v = path.Dir(v)
	}
	w.parents[dir] = v
	return v
}

// expand returns a path of a profile as the recordings write it. It returns "" if the recordings do not say what ~ or .
// means.
func (w *world) expand(p string) string {
	switch {
	case p == "~" || strings.HasPrefix(p, "~/"):
		if w.home == "" {
			return ""
		}
		return path.Clean(w.home + p[1:])
	case p == "." || strings.HasPrefix(p, "./"):
		if w.workdir == "" {
			return ""
		}
		return path.Clean(w.workdir + p[1:])
	}
	return path.Clean(p)
}

// shorten is the inverse of expand. It writes . for the working directory and ~ for the home directory.
func (w *world) shorten(p string) string {
	switch {
	case w.workdir != w.home && within(w.workdir, p):
		return "." + p[len(w.workdir):]
	case within(w.home, p):
		return "~" + p[len(w.home):]
	}
	return p
}

// within reports whether p is dir or below it. It returns false if dir is "".
func within(dir, p string) bool {
	return dir != "" && strings.HasPrefix(p, dir) && (len(p) == len(dir) || p[len(dir)] == '/' || dir == "/")
}
