package ledger

// This file stores what searches have found in directories: walk.Memory. It stores that in the place of the records,
// because no task may see or write that place. If a run could write it all the same, the stored data is worthless, and
// is made anew.

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	memoryDir = "searches" // of a place; it has one file for each key
	maxKept   = 16         // files; those that have not been written for longest are removed
)

// MemoryPath returns the path of the directory, in a place for records, that stores what searches have found. If a run
// hides the place, its launcher passes this path to [Begin].
func (p Place) MemoryPath() string { return p.Path() + "/" + memoryDir }

// Memory returns the data that is stored under a key. It returns nil if there is none, if the data is longer than max,
// if others may use it, or if a task may have written it.
func Memory(places []Place, key string, max int64) []byte {
	for _, p := range places {
		place, err := p.open(false)
		if err != nil {
			continue
		}
		defer unix.Close(place)
		if Reached(places, p.MemoryPath()) != nil {
			return nil
		}
		dir, err := unix.Openat(place, memoryDir, openDir, 0)
		if err != nil {
			return nil
		}
		defer unix.Close(dir)
		if private(dir) != nil {
			return nil
		}
		return readMemory(dir, textName(key), max)
	}
	return nil
}

// readMemory reads a regular file that belongs to the caller and has no second name.
func readMemory(dir int, name string, max int64) []byte {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode != unix.S_IFREG|0o600 || int(st.Uid) != os.Getuid() || st.Nlink != 1 || st.Size > max {
		return nil
	}
	b := make([]byte, st.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil
	}
	return b
}

// KeepMemory stores data in the first available place. A later [Memory] with the same key returns the data. KeepMemory
// stores the data completely or not at all.
func KeepMemory(places []Place, key string, data []byte) error {
	for _, p := range places {
		place, err := p.open(true)
		if err != nil {
			continue
		}
		defer unix.Close(place)
		dir, err := memoryOf(places, p, place)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		if err := store(dir, textName(key), data); err != nil {
			return err
		}
		return trim(dir)
	}
	return errors.New("there is no place for it")
}

// memoryOf opens the directory of memories of a place. If there is none, or if a task could write it, memoryOf makes a
// new one.
func memoryOf(places []Place, p Place, place int) (int, error) {
	dir, err := unix.Openat(place, memoryDir, openDir, 0)
	if err == nil && private(dir) == nil && Reached(places, p.MemoryPath()) == nil {
		return dir, nil
	}
	if err == nil {
		unix.Close(dir)
	}
	if err != unix.ENOENT {
		root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(place))
		if err != nil {
			return -1, err
		}
		defer root.Close()
		if err := root.RemoveAll(memoryDir); err != nil {
			return -1, err
		}
	}
	if err := unix.Mkdirat(place, memoryDir, 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	if dir, err = unix.Openat(place, memoryDir, openDir, 0); err != nil {
		return -1, err
	}
	if err := errors.Join(unix.Fchmod(dir, 0o700), private(dir)); err != nil { // whatever the umask is
		unix.Close(dir)
		return -1, err
	}
	return dir, nil
}

// store writes a file under a temporary name, and then renames it.
func store(dir int, name string, data []byte) error {
	draft := "." + name + "." + strconv.Itoa(os.Getpid())
	fd, err := unix.Openat(dir, draft, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), draft)
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o600), f.Close())
	if err == nil {
		err = unix.Renameat(dir, draft, dir, name)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, draft, 0)
	}
	return err
}

// trim removes the oldest files of a directory until at most maxKept are left.
func trim(dir int) error {
	fd, err := unix.Openat(dir, ".", openDir, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), memoryDir)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil || len(names) <= maxKept {
		return err
	}
	written := func(name string) int64 {
		var st unix.Stat_t
		_ = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) // a file that is gone counts as the oldest
		return st.Mtim.Nano()
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(written(a), written(b)) })
	for _, name := range names[:len(names)-maxKept] {
		_ = unix.Unlinkat(dir, name, 0) // another launcher may have removed it
	}
	return nil
}
