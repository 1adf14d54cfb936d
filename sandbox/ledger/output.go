package ledger

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Output is where the launcher writes a file: a name in an open directory. Because the directory is open, nobody can
// put another directory in its place meanwhile.
type Output struct {
	Dir  int // a descriptor of the directory
	Name string
	Mode uint32 // type (S_IF…) and permissions of the existing file of this name; 0 if there is none
}

// Planted is the error if the destination is a link or a FIFO that a task may have left there.
type Planted struct{ *Refused }

func (e *Planted) Error() string {
	switch e.Step.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return e.Step.Path + ", which is a link: " + e.Refused.Error()
	case unix.S_IFREG, unix.S_IFDIR:
		return e.Refused.Error()
	}
	return e.Step.Path + ", which is not a regular file: " + e.Refused.Error()
}

// Output opens the directory of a file that the launcher will write. It returns an error if a task may have made a link
// in the path. If follow is set and the last name is a link, Output also follows that link, after the same check.
func (g *Guard) Output(name string, follow bool) (*Output, error) {
	if name == "" || strings.HasSuffix(name, "/") {
		return nil, errors.New("not the name of a file")
	}
	if err := g.open(); err != nil {
		return nil, err
	}
	w := &walk{}
	defer w.close()
	if err := w.begin(name); err != nil {
		return nil, err
	}
	out, err := w.output(name, follow)
	if err != nil {
		return nil, err
	}
	if e := g.planted(name, w.steps); e != nil && !out.isNull() {
		unix.Close(out.Dir)
		return nil, e
	}
	if s := othersLink(w.steps); s != nil && g.Root {
		unix.Close(out.Dir)
		return nil, errors.New("root follows no link that somebody else can write, and others can write " + strconv.Quote(s.Path))
	}
	return out, nil
}

// isNull reports whether the launcher would write to the null device. A task may have put the device there, but that
// does no harm.
func (o *Output) isNull() bool {
	var st unix.Stat_t
	return o.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Fstatat(o.Dir, o.Name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// othersLink returns a link that a user other than root can write or replace, or a directory on the way to a link for
// which that is so. It returns nil if no link was followed, or if only root can change the links and these directories.
func othersLink(steps []Step) *Step {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Mode&unix.S_IFMT != unix.S_IFLNK {
			continue
		}
		if f := notRoots(steps[:i+1]); f != nil {
			return &f.Step
		}
		return nil
	}
	return nil
}

// output walks to the directory that contains the last name.
func (w *walk) output(rest string, follow bool) (*Output, error) {
	for {
		var next string
		next, rest, _ = strings.Cut(strings.TrimLeft(rest, "/"), "/")
		if rest = strings.TrimLeft(rest, "/"); rest == "" {
			text, out, err := w.last(next, follow)
			if text == "" {
				return out, err
			}
			if rest = text; strings.HasPrefix(text, "/") {
				if err := w.top(); err != nil {
					return nil, err
				}
			}
			continue
		}
		switch text, err := w.way(next); {
		case err != nil:
			return nil, err
		case strings.HasPrefix(text, "/"):
			if err := w.top(); err != nil {
				return nil, err
			}
			rest = text + "/" + rest
		case text != "":
			rest = text + "/" + rest
		}
	}
}

// way enters the directory with a name. If the name is a link, way returns the link's target.
func (w *walk) way(name string) (string, error) {
	switch name {
	case "", ".":
		return "", nil
	case "..":
		return "", w.leave()
	}
	file, text, err := w.step(name)
	if err == nil && file >= 0 {
		unix.Close(file)
		err = unix.ENOTDIR
	} else if err == ErrNotRegular {
		err = unix.ENOTDIR
	}
	return text, err
}

// last looks up the last name. If the name is a link that is to be followed, it returns the link's target. Otherwise it
// returns the Output.
func (w *walk) last(name string, follow bool) (string, *Output, error) {
	if name == "" || name == "." || name == ".." {
		return "", nil, unix.EISDIR
	}
	dir := w.dirs[len(w.dirs)-1]
	out := &Output{Dir: -1, Name: name}
	fd, err := unix.Openat(dir.fd, name, openPath, 0)
	if err == nil {
		defer unix.Close(fd)
		s, err := look(fd, strings.TrimSuffix(dir.path, "/")+"/"+name)
		if err != nil {
			return "", nil, err
		}
		out.Mode = s.Mode
		switch s.Mode & unix.S_IFMT {
		case unix.S_IFREG:
		case unix.S_IFDIR:
			return "", nil, unix.EISDIR
		case unix.S_IFLNK:
			if !follow {
				break
			}
			w.steps = append(w.steps, s)
			if w.links++; w.links > maxLinks {
				return "", nil, unix.ELOOP
			}
			text, err := readlink(fd)
			return text, nil, err
		default:
			w.steps = append(w.steps, s)
		}
	} else if err != unix.ENOENT {
		return "", nil, err
	}
	out.Dir, err = unix.Openat(dir.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return "", out, err
}

// top begins again at "/".
func (w *walk) top() error {
	w.close()
	w.dirs = nil
	return w.enter("/", "/")
}

// planted returns an error if an earlier run could have made one of the links in the path of the launcher's file, or
// the file at its end. It does not check directories.
func (g *Guard) planted(name string, steps []Step) error {
	for i := range steps {
		if steps[i].Mode&unix.S_IFMT == unix.S_IFDIR {
			steps[i].Changed = 0 // a directory that was moved is still a directory, so its change does not matter
		}
	}
	for _, r := range g.runs {
		if f := r.judge(steps); f != nil {
			return &Planted{&Refused{Name: name, Finding: f}}
		}
	}
	return nil
}
