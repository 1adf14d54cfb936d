package host

// This file reads the tree of another mount namespace, through /proc/PID/root: openat2(2), RESOLVE_IN_ROOT, Linux
// 5.6.

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
)

// FilesBelow is the file tree below a directory. The directory is the root of the tree: no link in the tree leads
// outside. Each method opens the directory anew, so nobody needs to close it.
type FilesBelow string

// At returns the tree below root.
func (OSFiles) At(root string) Files { return FilesBelow(root) }

// At returns the tree below sub.
func (root FilesBelow) At(sub string) Files { return FilesBelow(string(root) + sub) }

// open opens a path in the tree as an os.File.
func (root FilesBelow) open(op, path string, flags int) (*os.File, error) {
	fd, err := root.openFD(op, path, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (root FilesBelow) openFD(op, path string, flags int) (int, error) {
	dir, err := unix.Open(string(root), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: string(root), Err: err}
	}
	defer unix.Close(dir)
	fd, err := walk.InRoot(dir, path, flags)
	if err != nil {
		return -1, &fs.PathError{Op: op, Path: path, Err: err}
	}
	return fd, nil
}

func (root FilesBelow) stat(path string, flags int) (fs.FileInfo, error) {
	f, err := root.open("stat", path, unix.O_PATH|flags)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Private always fails, because only the launcher's own tree can answer whether a directory is private.
func (FilesBelow) Private(string) error { return errors.New("lies in another mount namespace") }

// Lstat describes a path without following a link at its end.
func (root FilesBelow) Lstat(path string) (fs.FileInfo, error) {
	return root.stat(path, unix.O_NOFOLLOW)
}

// Stat describes the file that a path leads to.
func (root FilesBelow) Stat(path string) (fs.FileInfo, error) { return root.stat(path, 0) }

// Readlink returns the text of a symbolic link.
func (root FilesBelow) Readlink(path string) (string, error) {
	f, err := root.open("readlink", path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(int(f.Fd()), "", buf[:])
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]), nil
}

// ReadDir lists a directory.
func (root FilesBelow) ReadDir(path string) ([]fs.DirEntry, error) {
	fd, err := root.openFD("open", path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "/proc/self/fd/"+strconv.Itoa(fd)) // so that os looks up entries in this tree
	defer f.Close()
	return f.ReadDir(-1)
}

// Read returns at most the first n bytes of a regular file.
func (root FilesBelow) Read(path string, n int) ([]byte, error) {
	fd, err := root.openFD("open", path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readRegular(fd, path, n)
}

// readRegular reads the first bytes of a regular file. fd is a descriptor that was opened with O_PATH. It opens no
// other kind of file: opening a device can have an effect, and opening a FIFO can block or wake a process. A tree that
// others have made may contain both. It opens exactly the file that it has checked, even if another file has that name
// now: proc_pid_fd(5).
func readRegular(fd int, path string, n int) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return nil, &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	default:
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	text, err := proc.ReadSome("/proc/self/fd/"+strconv.Itoa(fd), n)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fail.Bare(err)}
	}
	return text, nil
}

// readPlain reads a regular file whose path contains no link. Somebody may replace the file between the check and the
// opening, but not by a device, because only root can make a device or move one there.
func readPlain(path string, n int) (text []byte, ok bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || walk.Refused() {
		return nil, false
	}
	fd, err := walk.NoLinks(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, false
	}
	text, _, err = proc.HeadFD(fd, path, n)
	return text, err == nil
}

// Access checks the caller's access to a path, as access(2) does.
func (root FilesBelow) Access(path string, mode uint32) error {
	f, err := root.open("access", path, unix.O_PATH)
	if err != nil {
		return fail.Bare(err)
	}
	defer f.Close()
	return unix.Faccessat2(int(f.Fd()), "", mode, unix.AT_EMPTY_PATH)
}
