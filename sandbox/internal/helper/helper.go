package helper

// This file runs newuidmap(1) and newgidmap(1), the only programs that the launcher itself runs outside of a sandbox.
// It must never run a program of the same name that a task has left in a directory of PATH. So it looks for these
// programs in fixed directories, checks that only root can have put them there, and executes exactly the file that it
// has checked.

import (
	"bytes"
	"errors"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

// helperDirs are the directories in which the helper programs are searched, in this order. NixOS keeps its set-user-ID
// programs in the last one.
var helperDirs = [...]string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin",
	"/run/wrappers/bin"}

// HelperEnv is the complete environment of a helper.
var HelperEnv = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

// Run runs a helper and returns what it printed.
func Run(name string, args ...string) (string, error) {
	path, fd, err := Open(name)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var out bytes.Buffer
	// This descriptor is still open in the child between fork and execve. execve closes it after it has opened the
	// program by it.
	c := exec.Cmd{Path: "/proc/self/fd/" + strconv.Itoa(fd), Args: append([]string{path}, args...), Env: HelperEnv,
		Dir: "/", Stdout: &out, Stderr: &out}
	err = c.Run()
	return strings.TrimSpace(out.String()), err
}

// Find returns an error if a helper cannot be run.
func Find(name string) error {
	_, fd, err := Open(name)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// Open opens the first file with that name that only root can have put there. If there is none, the error names the
// first file with that name that another user could have put there.
func Open(name string) (path string, fd int, err error) {
	var refused error
	for _, dir := range helperDirs {
		path = dir + "/" + name
		fd, err = OpenRootOnly(path)
		if err == nil {
			return path, fd, nil
		}
		if refused == nil && !errors.Is(err, unix.ENOENT) {
			refused = err
		}
	}
	if refused != nil {
		return "", -1, refused
	}
	return "", -1, &fail.Error{Op: name, Err: errors.New("in none of " + strings.Join(helperDirs[:], ", "))}
}

// maxHelperLinks is how many symbolic links the kernel itself follows: path_resolution(7).
const maxHelperLinks = 40

// OpenRootOnly opens a program with O_PATH. It fails unless the program, and every directory and symbolic link on the
// way to it, belongs to root and only root can write to it.
func OpenRootOnly(path string) (int, error) {
	w := rootWalk{rest: pathNames(path), at: -1}
	defer w.leave()
	err := w.enter(unix.AT_FDCWD, "/")
	for err == nil && len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		err = w.enter(w.at, name)
	}
	if err == nil && w.kind != unix.S_IFREG {
		err = errors.New("is no regular file")
	}
	if err != nil {
		return -1, &fail.Error{Op: path, Err: err}
	}
	fd := w.at
	w.at = -1
	return fd, nil
}

// rootWalk follows a path as long as only root can change where it leads.
type rootWalk struct {
	at    int // the file that the walk has reached, opened with O_PATH; -1 if none
	kind  uint32
	rest  []string
	links int
}

// enter opens one name in a directory. If it is a symbolic link, enter puts the link's text in front of the rest of the
// path.
func (w *rootWalk) enter(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = RootAlone(name, &st)
	}
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		err = w.follow(fd)
	default:
		w.leave()
		w.at, w.kind = fd, st.Mode&unix.S_IFMT
		return nil
	}
	unix.Close(fd)
	return err
}

func (w *rootWalk) follow(link int) error {
	if w.links++; w.links > maxHelperLinks {
		return unix.ELOOP
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(link, "", buf[:])
	if err != nil {
		return err
	}
	target := string(buf[:n])
	w.rest = append(pathNames(target), w.rest...)
	if strings.HasPrefix(target, "/") {
		return w.enter(unix.AT_FDCWD, "/")
	}
	return nil
}

func (w *rootWalk) leave() {
	if w.at >= 0 {
		unix.Close(w.at)
	}
	w.at = -1
}

// pathNames returns the components of a path.
func pathNames(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// RootAlone returns an error if anybody except root can change a file. The group's mode bits also reflect an access
// control list. A symbolic link has all mode bits, but nobody can write to it.
func RootAlone(name string, st *unix.Stat_t) error {
	switch {
	case st.Uid != 0:
		return errors.New(name + " belongs to the user " + strconv.Itoa(int(st.Uid)) + ", not to root")
	case st.Mode&unix.S_IFMT != unix.S_IFLNK && st.Mode&0o022 != 0:
		return errors.New(name + " can be written to by others than root")
	}
	return nil
}
