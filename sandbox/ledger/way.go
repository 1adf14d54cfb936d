package ledger

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Way resolves a path and returns it without links. A link on the way, or a file at its end, that a task may have made
// is an error. If the caller is root, so is one that somebody other than root can make.
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

// Left reports whether one of the links on the way to a path was made while a task could make it, as far as the way can be
// gone. What is in doubt was not: a link of the caller's own that counted as a task's would lead past a rule that hides its
// end. Records that cannot be read say nothing. Left keeps what it has read, and no descriptor.
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
		links = links[:last] // a file that a task wrote is no link
	}
	for i := range links {
		links[i].Sure = true
	}
	return g.planted(name, links) != nil || g.aliased(links) != nil
}

// aliased finds a run that could write what the way passes by another mount of the same file system.
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
