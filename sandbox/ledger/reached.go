package ledger

import (
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/paths"
)

// Reached returns nil if no task can have written in a state directory. Otherwise the error names a sandbox that could:
// since the state directory was made, this sandbox could write a directory above it, the state directory itself or a
// part of it, and did not hide it. The content of such a state directory cannot be trusted.
func Reached(places []Place, dir string) error { return reached(places, dir, true) }

// ReachedFromAbove does what [Reached] does, but ignores a run that could write only a part of the directory. It is for
// a directory whose parts are meant for tasks.
func ReachedFromAbove(places []Place, dir string) error { return reached(places, dir, false) }

func reached(places []Place, dir string, parts bool) error {
	g := &Guard{Places: func() []Place { return places }}
	defer g.Close()
	if err := g.open(); err != nil || len(g.runs) == 0 {
		return err
	}
	w := &walk{}
	defer w.close()
	if fd, err := w.to(dir); err == nil {
		unix.Close(fd)
		return unix.ENOTDIR
	} else if !errors.Is(err, unix.EISDIR) {
		return err
	}
	path := w.dirs[len(w.dirs)-1].path
	table := mountTable()
	device, inside := place(table, path)
	for _, r := range g.runs {
		for _, d := range r.dirs {
			its, there := place(table, d.path)
			alias := its == device && (paths.Below(inside, there) || parts && paths.Below(there, inside))
			if !parts && d.path != path && paths.Below(d.path, path) {
				continue
			}
			if !alias && !paths.Below(d.path, path) && d.on(w.steps) < 0 {
				continue
			}
			if s := r.since(d, &w.steps[len(w.steps)-1]); s != nil {
				return errors.New("a program in a sandbox could have made what is in it: from " + clock(s.start) + until(s.end) +
					" a sandbox could write " + strconv.Quote(d.path))
			}
		}
	}
	return nil
}

// since returns the time, after the state directory was made, in which a run could write the directory d and could
// reach the state directory. It returns nil if there is no such time.
func (r *runs) since(d *dir, state *Step) *span {
	for i := range d.spans {
		s := &d.spans[i]
		if slices.Contains(r.hid[s.id], state.Path) {
			continue
		}
		if state.Born == 0 || s.end >= state.Born-slack {
			return s
		}
	}
	return nil
}

// until formats the end of a span for messages.
func until(end int64) string {
	if end == open {
		return " on"
	}
	return " to " + clock(end)
}
