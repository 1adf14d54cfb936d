package ledger

import (
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
)

// Step is a component of a path to a file, as it was when the walk reached it.
type Step struct {
	Path     string // its path without links
	Dev, Ino uint64
	Mode     uint32 // type (S_IF…) and permissions
	UID      uint32

	Changed  int64 // change time (ctime) in nanoseconds, which only the kernel sets
	Modified int64 // modification time (mtime), which the owner can set
	Born     int64 // birth time (btime); 0 if the file system has none
	Stamped  bool  // the file system is local, and its times come from this kernel's clock
	Sure     bool  // consider only what a run has certainly done, and not what it may have done
}

// A walk follows a path to a file one component at a time, by descriptor. So it sees every directory and link in the
// path, even if somebody puts another directory or link in the place meanwhile.
type walk struct {
	steps []Step
	dirs  []opened // the directories from "/" to the current one
	links int
}

// opened is an open directory.
type opened struct {
	fd   int
	path string
}

const (
	maxLinks = 40 // the kernel's limit: path_resolution(7)
	openPath = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
)

// ErrNotRegular is the error for a file that is not regular. The ledger does not open such a file, because opening it
// may block or have an effect.
var ErrNotRegular = errors.New("it is no regular file")

// Read walks to a regular file and reads at most its first max bytes. The last step describes the file as it was after
// that.
func Read(name string, max int64) (text []byte, steps []Step, err error) {
	w := &walk{}
	defer w.close()
	fd, err := w.to(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(fd)) // this opens the same file, even if another has its name by now
	unix.Close(fd)
	if err != nil {
		return nil, nil, fail.Bare(err)
	}
	defer f.Close()
	if text, err = io.ReadAll(io.LimitReader(f, max)); err != nil {
		return nil, nil, fail.Bare(err)
	}
	// Whoever writes the file changes the file's times before its content. So the content that was read is not newer
	// than the times that are read now.
	last := &w.steps[len(w.steps)-1]
	if *last, err = look(int(f.Fd()), last.Path); err != nil {
		return nil, nil, err
	}
	return text, w.steps, nil
}

// OthersWrite returns a user other than root who can write a directory or replace it, or "" if there is none. If the
// directory does not exist, it examines the directories above.
func OthersWrite(dir string) string {
	w := &walk{}
	defer w.close()
	if fd, err := w.to(dir); err == nil {
		unix.Close(fd)
	}
	if f := notRoots(w.steps); f != nil {
		return strings.TrimPrefix((&Refused{Finding: f}).Error(), othersWrite)
	}
	return ""
}

func (w *walk) close() {
	for _, d := range w.dirs {
		unix.Close(d.fd)
	}
}

// to returns a descriptor of the regular file at a path.
func (w *walk) to(name string) (int, error) {
	if err := w.begin(name); err != nil {
		return -1, err
	}
	for rest := name; rest != ""; {
		var next string
		next, rest, _ = strings.Cut(rest, "/")
		switch next {
		case "", ".":
			continue
		case "..":
			if err := w.leave(); err != nil {
				return -1, err
			}
			continue
		}
		fd, text, err := w.step(next)
		switch {
		case err != nil:
			return -1, err
		case text != "":
			if strings.HasPrefix(text, "/") {
				w.close()
				w.dirs = nil
				if err := w.enter("/", "/"); err != nil {
					return -1, err
				}
			}
			rest = strings.TrimSuffix(text+"/"+rest, "/")
		case fd >= 0 && rest != "":
			unix.Close(fd)
			return -1, unix.ENOTDIR
		case fd >= 0:
			return fd, nil
		}
	}
	return -1, unix.EISDIR
}

// begin starts a walk at "/", or at the working directory if the path is relative. If the caller may not search a
// directory above the working directory, the walk has only the names of the directories above, and no descriptors of
// them.
func (w *walk) begin(name string) error {
	if strings.HasPrefix(name, "/") {
		return w.enter("/", "/")
	}
	cwd, err := getcwd()
	if err != nil {
		return err
	}
	err = w.enter("/", "/")
	for _, dir := range strings.Split(cwd[1:], "/") {
		if err == nil && dir != "" {
			_, _, err = w.step(dir)
		}
	}
	if err == nil || !errors.Is(err, unix.EACCES) {
		return err
	}
	w.close()
	w.dirs, w.steps = nil, nil
	for i := range cwd {
		if cwd[i] == '/' {
			w.steps = append(w.steps, Step{Path: cwd[:max(i, 1)]})
		}
	}
	return w.enter(".", cwd)
}

// getcwd asks the kernel for the working directory. os.Getwd would trust the variable PWD.
func getcwd() (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if err != nil {
		return "", err
	}
	if cwd := string(buf[:n-1]); strings.HasPrefix(cwd, "/") {
		return cwd, nil
	}
	return "", errors.New("the working directory is not below the root")
}

// enter opens a directory and adds it to the walk. name is what enter opens; path is the directory's path without
// links.
func (w *walk) enter(name, path string) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.dirs = append(w.dirs, opened{fd, path})
	s, err := look(fd, path)
	w.steps = append(w.steps, s)
	return err
}

// leave goes up one directory, but not above "/". If the walk began in a working directory that it could not reach from
// "/", it cannot go above that working directory.
func (w *walk) leave() error {
	top := len(w.dirs) - 1
	if top == 0 && w.dirs[0].path != "/" {
		return unix.EACCES
	}
	if top > 0 {
		unix.Close(w.dirs[top].fd)
		w.dirs = w.dirs[:top]
	}
	return nil
}

// step examines the next component. If the component is a directory, step enters it. If it is a link, step returns the
// link's target. If it is a file, step returns a descriptor of the file.
func (w *walk) step(name string) (file int, link string, err error) {
	dir := w.dirs[len(w.dirs)-1]
	fd, err := unix.Openat(dir.fd, name, openPath, 0)
	if err != nil {
		return -1, "", err
	}
	s, err := look(fd, path.Join(dir.path, name))
	if err == nil {
		w.steps = append(w.steps, s)
		switch s.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			w.dirs = append(w.dirs, opened{fd, s.Path})
			return -1, "", nil
		case unix.S_IFREG:
			return fd, "", nil
		case unix.S_IFLNK:
			if w.links++; w.links > maxLinks {
				err = unix.ELOOP
			} else {
				link, err = readlink(fd)
			}
		default:
			err = ErrNotRegular
		}
	}
	unix.Close(fd)
	return -1, link, err
}

func readlink(fd int) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(buf[:max(n, 0)]), err
}

// look describes an open component.
func look(fd int, path string) (Step, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_SYNC_AS_STAT, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return Step{}, err
	}
	s := Step{Path: path, Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Mode: uint32(st.Mode), UID: st.Uid,
		Changed: nano(st.Ctime), Modified: nano(st.Mtime)}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.Born = nano(st.Btime)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return Step{}, err
	}
	s.Stamped = stamped(fs.Type)
	return s, nil
}

func nano(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// stamped reports whether a file system sets the change time at each change, and takes it from this kernel's clock. On
// a network file system the times come from the server's clock. vfat and exfat have no change time: they show the
// modification time, which a task can set.
func stamped(fs int64) bool {
	switch fs {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.SQUASHFS_MAGIC, unix.ISOFS_SUPER_MAGIC,
		0x2fc12fc1, // zfs
		0xca451a4e, // bcachefs
		0xe0f5e1e2: // erofs
		return true
	}
	return false
}
