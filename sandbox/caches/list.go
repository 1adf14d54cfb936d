package caches

import (
	"errors"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// Cache describes the caches of one project and profile.
type Cache struct {
	Name    string    `json:"name"`    // the name of its directory in the root
	Project string    `json:"project"` // the working directory; "" if it is not known
	Profile string    `json:"profile"` // the profile's name; "" if it has none or is not known
	Bytes   int64     `json:"bytes"`   // the space that it takes on the disk
	Used    time.Time `json:"used"`    // when something was last created or removed in one of its tools' directories
	Tools   []string  `json:"tools"`   // the tools whose directories are not empty
	Partial bool      `json:"partial"` // Bytes is too small, because a part could not be read
}

// List describes all caches of a root, sorted by name. It returns none if the root does not exist. The error is a
// [fail.Error], or the error of reading the root.
func List(root string) ([]Cache, error) {
	fd, err := openRoot(root, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var list []Cache
	err = eachEntry(fd, func(name string, st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || strings.HasPrefix(name, ".") {
			return nil
		}
		list = append(list, describe(fd, name, st))
		return nil
	})
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, err
}

func describe(root int, name string, st *unix.Stat_t) Cache {
	c := Cache{Name: name, Used: time.Unix(st.Mtim.Unix()), Tools: []string{}}
	c.Project, c.Profile = readTag(root, name)
	dir, err := unix.Openat(root, name, openDir, 0)
	if err != nil {
		c.Partial = true
		return c
	}
	defer unix.Close(dir)
	err = eachEntry(dir, func(sub string, st *unix.Stat_t) error {
		c.Bytes += st.Blocks * 512
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		if at := time.Unix(st.Mtim.Unix()); at.After(c.Used) {
			c.Used = at
		}
		if used, whole := sum(dir, sub); used > 0 || !whole {
			c.Bytes += used
			c.Partial = c.Partial || !whole
			c.Tools = append(c.Tools, sub)
		}
		return nil
	})
	c.Partial = c.Partial || err != nil
	sort.Strings(c.Tools)
	return c
}

// maxDepth is how many levels deep sum looks, because it holds a descriptor for each level.
const maxDepth = 200

// sum adds up the sizes of everything below a directory, without the directory itself.
func sum(dir int, name string) (bytes int64, whole bool) {
	return sumBelow(dir, name, 0)
}

func sumBelow(dir int, name string, depth int) (bytes int64, whole bool) {
	fd, err := unix.Openat(dir, name, openDir, 0)
	if err != nil || depth > maxDepth {
		if err == nil {
			unix.Close(fd)
		}
		return 0, false
	}
	defer unix.Close(fd)
	whole = true
	err = eachEntry(fd, func(sub string, st *unix.Stat_t) error {
		if st.Nlink > 0 {
			bytes += st.Blocks * 512 / max(1, links(st))
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			more, all := sumBelow(fd, sub, depth+1)
			bytes, whole = bytes+more, whole && all
		}
		return nil
	})
	return bytes, whole && err == nil
}

// links returns how many names share a file's blocks.
func links(st *unix.Stat_t) int64 {
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return int64(st.Nlink)
	}
	return 1
}

// readTag returns the project and the profile to which a directory belongs.
func readTag(root int, name string) (project, profile string) {
	fd, err := unix.Openat(root, name+tagSuffix, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", ""
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	buf := make([]byte, 16384)
	n, _ := f.Read(buf)
	for line := range strings.SplitSeq(string(buf[:n]), "\n") {
		key, value, _ := strings.Cut(line, " ")
		if text, err := strconv.Unquote(value); err == nil {
			switch key {
			case "project":
				project = text
			case "profile":
				profile = text
			}
		}
	}
	return project, profile
}

// Remove removes the caches with a name. The error is a [fail.Error].
func Remove(root, name string) error {
	fd, err := openRoot(root, false)
	if err != nil {
		return &fail.Error{Op: "cache " + name, Err: fail.Bare(err)}
	}
	defer unix.Close(fd)
	if err := removeTree(fd, name); err != nil {
		return &fail.Error{Op: "remove cache " + name, Err: fail.Bare(err)}
	}
	if err := unix.Unlinkat(fd, name+tagSuffix, 0); err != nil && err != unix.ENOENT {
		return &fail.Error{Op: "remove cache " + name, Err: err}
	}
	return nil
}

// RemoveAll removes all caches, and the root. It even removes a root that [Make] refuses, if the root is a directory or
// a link. It also works for any other directory that a task could write.
func RemoveAll(root string) error {
	up, name := paths.Split(root)
	fd, err := unix.Open(up, openDir&^unix.O_NOFOLLOW, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		err = removeTree(fd, name)
	}
	if err != nil && err != unix.ENOENT {
		return &fail.Error{Op: "remove " + root, Err: fail.Bare(err)}
	}
	return nil
}

// removeTree removes a file or a directory with everything in it, and follows no link. A task may have made a tree that
// is deeper than the number of available descriptors, or whose directories nobody may write. So removeTree moves inner
// directories up before it empties them.
func removeTree(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	top, err := openToEmpty(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	moved := 0
	for tries := 0; ; {
		sub := ""
		if err := eachEntry(top, func(entry string, st *unix.Stat_t) error {
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				sub = entry
				return errFound
			}
			return unix.Unlinkat(top, entry, 0)
		}); err != nil && err != errFound {
			return err
		}
		if sub == "" {
			err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			if tries++; err == unix.ENOTEMPTY && tries < maxTries {
				continue
			}
			return err
		}
		if err := flatten(top, sub, &moved); err != nil {
			return err
		}
	}
}

// maxTries and maxMoved bound how often the code looks at a directory again, because a task may still be writing there.
const (
	maxTries = 1000
	maxMoved = 50_000_000
)

var errFound = errors.New("found")

// flatten empties one directory: it removes the files, and moves the directories up to the top directory.
func flatten(top int, name string, moved *int) error {
	fd, err := openToEmpty(top, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var names []string
	err = eachEntry(fd, func(entry string, st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return unix.Unlinkat(fd, entry, 0)
		}
		if unix.Unlinkat(fd, entry, unix.AT_REMOVEDIR) != nil {
			names = append(names, entry)
		}
		return nil
	})
	for _, entry := range names {
		if err != nil {
			return err
		}
		sub, e := openToEmpty(fd, entry) // a directory can only be moved if its owner may write it
		if e != nil {
			return e
		}
		unix.Close(sub)
		for {
			*moved++
			err = unix.Renameat2(fd, entry, top, ".rm-"+strconv.Itoa(*moved), unix.RENAME_NOREPLACE)
			if err != unix.EEXIST {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	if err = unix.Unlinkat(top, name, unix.AT_REMOVEDIR); err == unix.ENOTEMPTY && *moved < maxMoved {
		*moved++
		return nil // a task still writes there; the caller looks at it again
	}
	return err
}

// openToEmpty opens a directory, and gives the caller write permission on it.
func openToEmpty(dir int, name string) (int, error) {
	path, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	self := "/proc/self/fd/" + strconv.Itoa(path)
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err == nil && st.Mode&0o700 != 0o700 {
		_ = unix.Chmod(self, 0o700)
	}
	return unix.Openat(path, ".", openDir, 0)
}
