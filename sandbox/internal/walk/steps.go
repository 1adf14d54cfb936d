package walk

import (
	"strings"

	"golang.org/x/sys/unix"
)

const (
	OpenAny = unix.O_PATH | unix.O_CLOEXEC                    // open a file of any type
	OpenDir = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC // open a directory

	ResolveInRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS // for openat2(2): the given directory counts as "/"

	openName = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC // open a symbolic link itself

	maxLinks = 40 // the kernel's limit: path_resolution(7)
)

// From opens a path in the same way as a process whose root directory is root and whose working directory is start. It
// opens each component in turn. The caller must not have more rights than that process.
func From(root, start int, path string, flags int) (int, error) {
	w := walker{root: root, start: start, flags: flags}
	return w.walk(path)
}

// walker resolves a path component by component. Each directory that it has entered stays open, so that ".." returns to
// the directory from which it came, even if somebody has moved the inner directory meanwhile.
type walker struct {
	root, start int
	flags       int  // flags for opening the last component
	noLinks     bool // a link is an error: ELOOP
	entered     []int
	above       int // the directory above the starting directory that up has opened; 0 if none
	links       int
}

func (w *walker) walk(path string) (int, error) {
	defer w.begin(-1)
	if path == "" {
		return -1, unix.ENOENT
	}
	if len(path) >= unix.PathMax {
		return -1, unix.ENAMETOOLONG
	}
	for rest := path; ; {
		if strings.HasPrefix(rest, "/") {
			w.begin(w.root)
			rest = strings.TrimLeft(rest, "/")
		}
		name, behind, more := strings.Cut(rest, "/")
		behind = strings.TrimLeft(behind, "/")
		if !more {
			fd, next, err := w.last(name)
			if err != nil || next == "" {
				return fd, err
			}
			rest = next
			continue
		}
		next, err := w.enter(name)
		if err != nil {
			return -1, err
		}
		switch {
		case next != "":
			rest = next + "/" + behind
		case behind == "":
			rest = "." // the path ends with a slash, so it must lead to a directory
		default:
			rest = behind
		}
		if len(rest) >= unix.PathMax {
			return -1, unix.ENAMETOOLONG
		}
	}
}

// at returns the directory that the walk has reached.
func (w *walker) at() int {
	if n := len(w.entered); n > 0 {
		return w.entered[n-1]
	}
	return w.start
}

// leave closes all entered directories except the first n.
func (w *walker) leave(n int) {
	for _, fd := range w.entered[n:] {
		unix.Close(fd)
	}
	w.entered = w.entered[:n]
}

// enter opens a directory and continues there. If the name is a link, enter returns the link's target instead.
func (w *walker) enter(name string) (link string, err error) {
	switch name {
	case "", ".":
		return "", nil
	case "..":
		return "", w.up()
	}
	fd, link, err := w.look(name, true)
	if err == nil && link == "" {
		w.entered = append(w.entered, fd)
	}
	return link, err
}

// up continues in the parent directory, but not above the root.
func (w *walker) up() error {
	if n := len(w.entered); n > 0 {
		w.leave(n - 1)
		return nil
	}
	if same, err := sameFile(w.start, w.root); err != nil || same {
		return err
	}
	fd, err := unix.Openat(w.start, "..", OpenDir, 0)
	if err == nil {
		w.begin(fd)
		w.above = fd
	}
	return err
}

// begin continues the walk at the directory dir.
func (w *walker) begin(dir int) {
	w.leave(0)
	if w.above != 0 {
		unix.Close(w.above)
	}
	w.start, w.above = dir, 0
}

// look opens a name without following a link; dir says that it must be a directory. If the name is a link, look returns
// its target, and no descriptor.
func (w *walker) look(name string, dir bool) (fd int, link string, err error) {
	if fd, err = unix.Openat(w.at(), name, openName, 0); err != nil {
		return -1, "", err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			return fd, "", nil
		case unix.S_IFLNK:
			link, err = w.text(fd)
		default:
			if !dir {
				return fd, "", nil
			}
			err = unix.ENOTDIR
		}
	}
	unix.Close(fd)
	return -1, link, err
}

// text returns the target of a link, or an error if the link may not be followed.
func (w *walker) text(fd int) (string, error) {
	if w.links++; w.noLinks || w.links > maxLinks {
		return "", unix.ELOOP
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err != nil {
		return "", err
	}
	link := string(buf[:n])
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", err
	}
	if link == "" || fs.Type == unix.PROC_SUPER_MAGIC && !plainLink(link) {
		return "", unix.ELOOP
	}
	return link, nil
}

// plainLink reports whether a link of /proc leads where its text says, as /proc/self does. A magic link does not:
// proc_pid_exe(5).
func plainLink(text string) bool {
	return text[0] >= '0' && text[0] <= '9' || strings.HasPrefix(text, "self/")
}

// last opens the last component of a path. If it is a link that is to be followed, last returns the link's target
// instead.
func (w *walker) last(name string) (fd int, link string, err error) {
	if name == ".." {
		if err := w.up(); err != nil {
			return -1, "", err
		}
	}
	if name == "" || name == "." || name == ".." {
		fd, err = unix.Openat(w.at(), ".", w.flags|unix.O_CLOEXEC, 0)
		return fd, "", err
	}
	if w.flags&unix.O_NOFOLLOW == 0 {
		fd, link, err = w.look(name, false)
		if err != nil || link != "" {
			return -1, link, err
		}
		unix.Close(fd)
	}
	fd, err = unix.Openat(w.at(), name, w.flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil && w.flags&unix.O_NOFOLLOW == 0 && isLink(fd) { // it has just become a link
		unix.Close(fd)
		return -1, "", unix.ELOOP
	}
	return fd, "", err
}

func isLink(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK
}

func sameFile(a, b int) (bool, error) {
	var x, y unix.Stat_t
	if err := unix.Fstat(a, &x); err != nil {
		return false, err
	}
	if err := unix.Fstat(b, &y); err != nil {
		return false, err
	}
	return x.Dev == y.Dev && x.Ino == y.Ino, nil
}
