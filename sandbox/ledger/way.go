package ledger

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Way returns a path without links that leads to the same file. It returns an error if a task may have made a link in
// the path, or the file at its end. If the caller is root, it also returns an error if another user can write or
// replace a component of the path.
func (g *Guard) Way(name string) (string, error) {
	if err := g.open(); err != nil {
		return "", err
	}
	w := &walk{}
	defer w.close()
	end := ""
	switch fd, err := w.to(name); {
	case err == nil:
		unix.Close(fd)
		end = w.steps[len(w.steps)-1].Path
	case errors.Is(err, unix.EISDIR):
		end = w.dirs[len(w.dirs)-1].path
	default:
		return "", err
	}
	if err := g.planted(name, w.steps); err != nil {
		return "", err
	}
	if f := g.aliased(w.steps); f != nil {
		return "", &Planted{&Refused{Name: name, Finding: f}}
	}
	if f := notRoots(w.steps); f != nil && g.Root {
		return "", errors.New("root follows no link that somebody else can write, and others can write " + strconv.Quote(f.Step.Path))
	}
	return end, nil
}

// Left reports whether a task has certainly made one of the links in a path. It examines the path as far as the path
// can be followed. In doubt it returns false. Otherwise it could take a link of the caller's own for a task's, and a
// rule that hides the link's target would not hide the target. If the records cannot be read, Left also returns false.
// Left keeps the records that it has read, and closes all descriptors.
func (g *Guard) Left(name string) bool {
	if g.open() != nil {
		return false
	}
	closeAll(g.dirs)
	g.dirs = nil
	w := &walk{}
	defer w.close()
	if fd, err := w.to(name); err == nil {
		unix.Close(fd)
	}
	links := w.steps
	if last := len(links) - 1; last >= 0 && links[last].Mode&unix.S_IFMT != unix.S_IFLNK {
		links = links[:last] // only links count, not a file that a task has written
	}
	for i := range links {
		links[i].Sure = true
	}
	return g.planted(name, links) != nil || g.aliased(links) != nil
}

// aliased finds a run that may have written a component of the path through another mount of the same file system.
func (g *Guard) aliased(steps []Step) *Finding {
	if len(g.runs) == 0 {
		return nil
	}
	if g.table == nil {
		g.table = mountTable()
	}
	for _, r := range g.runs {
		if f := r.elsewhere(g.table, steps); f != nil {
			return f
		}
	}
	return nil
}
