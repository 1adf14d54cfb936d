package host

import (
	"encoding/binary"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/walk"
)

// The layout of struct linux_dirent64: getdents(2).
const (
	direntLength = 16 // offset of the entry's length, which has 2 bytes
	direntType   = 18
	direntName   = 19 // the name, which ends with a NUL
)

// ReadDir lists a directory, sorted by name. It does the same as os.ReadDir without the cost of an os.File.
func (o OSFiles) ReadDir(p string) ([]fs.DirEntry, error) {
	fd, err := openRetry(p, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	defer unix.Close(fd)
	var list []fs.DirEntry
	var buf [4 << 10]byte
	for {
		n, err := unix.ReadDirent(fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return list, &fs.PathError{Op: "readdirent", Path: p, Err: err}
		case n == 0:
			slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
			return list, nil
		}
		if list, err = o.entries(list, p, buf[:n]); err != nil {
			return list, err
		}
	}
}

// Walk walks through directories of the host and everything below them.
func (OSFiles) Walk(t *walk.Tree) error { return t.Run() }

func openRetry(p string, flags int) (fd int, err error) {
	for {
		if fd, err = unix.Open(p, flags, 0); err != unix.EINTR {
			return fd, err
		}
	}
}

// entries appends the entries that one call of getdents(2) returned. If the file system does not report the type of
// an entry, entries looks at the file, and omits it if it no longer exists.
func (o OSFiles) entries(list []fs.DirEntry, dir string, b []byte) ([]fs.DirEntry, error) {
	for len(b) >= direntName {
		size := int(binary.NativeEndian.Uint16(b[direntLength:]))
		if size < direntName || size > len(b) {
			break
		}
		inode := binary.NativeEndian.Uint64(b)
		name, kind := unix.ByteSliceToString(b[direntName:size]), b[direntType]
		b = b[size:]
		if inode == 0 || name == "." || name == ".." { // 0 if the file was removed meanwhile
			continue
		}
		e := dirEntry{dir: dir, name: name}
		var known bool
		if e.mode, known = modeOf(kind); !known {
			info, err := e.Info()
			if os.IsNotExist(err) {
				continue
			} else if err != nil {
				return list, err
			}
			e.mode = info.Mode().Type()
		}
		list = append(list, &e)
	}
	return list, nil
}

// modeOf returns the file type of a directory entry: readdir(3).
func modeOf(kind byte) (mode fs.FileMode, known bool) {
	switch kind {
	case unix.DT_REG:
		return 0, true
	case unix.DT_DIR:
		return fs.ModeDir, true
	case unix.DT_LNK:
		return fs.ModeSymlink, true
	case unix.DT_SOCK:
		return fs.ModeSocket, true
	case unix.DT_FIFO:
		return fs.ModeNamedPipe, true
	case unix.DT_CHR:
		return fs.ModeDevice | fs.ModeCharDevice, true
	case unix.DT_BLK:
		return fs.ModeDevice, true
	}
	return 0, false
}

// dirEntry is one entry of a directory.
type dirEntry struct {
	dir, name string
	mode      fs.FileMode
}

func (e *dirEntry) Name() string               { return e.name }
func (e *dirEntry) IsDir() bool                { return e.mode.IsDir() }
func (e *dirEntry) Type() fs.FileMode          { return e.mode }
func (e *dirEntry) Info() (fs.FileInfo, error) { return os.Lstat(e.dir + "/" + e.name) }
