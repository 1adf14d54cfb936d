package caches

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cache"
)

// These limits bound how much seed copies of one tool's cache. seed does not copy any part of a larger cache, because a
// copy delays the launch and takes space on the disk, for each project.
const (
	maxSeedBytes = 512 << 20
	maxSeedFiles = 50000
	maxSeedDepth = 64
)

var errTooLarge = errors.New("it is larger than 512 MiB or 50,000 files")

// seed makes a tool's cache as a copy of the caller's cache. It first makes the copy outside of the project's
// directory, where no task can reach it, and then moves the whole copy to its place. If another launcher was faster,
// that launcher's copy stays. seed returns a line that says why there is no copy, or "".
func seed(root, dir int, name string, t *cache.Tool) string {
	temp := ".new-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if unix.Mkdirat(root, temp, 0o700) != nil {
		return ""
	}
	err := copySeeds(root, temp, t.Seeds)
	if err == nil {
		err = unix.Renameat2(root, temp, dir, name, unix.RENAME_NOREPLACE)
	}
	if err == nil {
		return ""
	}
	_ = removeTree(root, temp)
	if err == unix.EEXIST {
		return ""
	}
	return t.Name + " begins with an empty cache, not with a copy of " + t.Seeds[0].From + ": " + err.Error()
}

func copySeeds(root int, temp string, seeds []cache.Seed) error {
	top, err := unix.Openat(root, temp, openDir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	var size count
	for _, s := range seeds {
		if from, err := unix.Open(s.From, openDir&^unix.O_NOFOLLOW, 0); err == nil {
			err = size.add(from, 0)
			unix.Close(from)
			if err != nil {
				return err
			}
		}
	}
	for _, s := range seeds {
		if err := copySeed(top, s); err != nil {
			return err
		}
	}
	return nil
}

// copySeed copies one directory below top.
func copySeed(top int, s cache.Seed) error {
	from, err := unix.Open(s.From, openDir&^unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil //nolint:nilerr // the file no longer exists
	}
	defer unix.Close(from)
	to, err := unix.Dup(top)
	if s.To != "" {
		for name := range strings.SplitSeq(s.To, "/") {
			if err != nil {
				return err
			}
			up := to
			if err = unix.Mkdirat(up, name, 0o700); err == nil || err == unix.EEXIST {
				to, err = unix.Openat(up, name, openDir, 0)
			}
			unix.Close(up)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return copyTree(from, to, 0)
}

// count adds up the size of a copy.
type count struct {
	bytes, files int64
}

func (c *count) add(dir, depth int) error {
	return eachEntry(dir, func(name string, st *unix.Stat_t) error {
		c.files++
		c.bytes += st.Blocks * 512
		if c.files > maxSeedFiles || c.bytes > maxSeedBytes || depth > maxSeedDepth {
			return errTooLarge
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return nil
		}
		sub, err := unix.Openat(dir, name, openDir, 0)
		if err != nil {
			return nil //nolint:nilerr // seed does not copy it
		}
		defer unix.Close(sub)
		return c.add(sub, depth+1)
	})
}

// eachEntry calls f for each name in a directory.
func eachEntry(dir int, f func(name string, st *unix.Stat_t) error) error {
	again, err := unix.Openat(dir, ".", openDir, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(again), "directory")
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue // the file no longer exists
			}
			if err := f(name, &st); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyTree copies directories and regular files. It neither follows nor copies links. It leaves out files that the
// caller cannot read, and files that change meanwhile, because the tools check their caches.
func copyTree(from, to, depth int) error {
	return eachEntry(from, func(name string, st *unix.Stat_t) error {
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFREG:
			return copyFile(from, to, name)
		case st.Mode&unix.S_IFMT != unix.S_IFDIR || depth > maxSeedDepth:
			return nil
		}
		sub, err := unix.Openat(from, name, openDir, 0)
		if err != nil {
			return nil //nolint:nilerr // the caller cannot read it
		}
		defer unix.Close(sub)
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return err
		}
		into, err := unix.Openat(to, name, openDir, 0)
		if err != nil {
			return err
		}
		defer unix.Close(into)
		return copyTree(sub, into, depth+1)
	})
}

func copyFile(from, to int, name string) error {
	fd, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // the caller cannot read it
	}
	src := os.NewFile(uintptr(fd), name)
	defer src.Close()
	info, err := src.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil //nolint:nilerr // it has become another file
	}
	fd, err = unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(info.Mode().Perm()&0o700|0o600))
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), name)
	defer dst.Close()
	_, err = io.Copy(dst, src) // uses copy_file_range(2), which shares blocks if the file system can
	return err
}
