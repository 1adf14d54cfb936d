// Package caches makes, lists and removes the directories in which sandboxes keep the caches of compilers and package
// managers: key cache in a profile. All of them are in one directory of the caller, [Root]. It contains one directory
// for each project and profile. Package sandbox/internal/cache describes the content of these.
package caches

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cache"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/passwd"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/ledger"
)

// Root returns the directory of all the caller's caches: cordon in $XDG_CACHE_HOME, or in ~/.cache. It resolves links
// above the directory. It ignores the home of another user, because sudo may leave HOME unchanged. Root returns "" if
// there is no such directory.
func Root() string {
	base := paths.Home(os.Getenv("XDG_CACHE_HOME"))
	if base == "" {
		home := paths.Home(os.Getenv("HOME"))
		var st unix.Stat_t
		if home == "" || unix.Stat(home, &st) == nil && int(st.Uid) != os.Getuid() {
			home = paths.Home(passwd.Home(os.Getuid()))
		}
		if home == "" {
			return ""
		}
		base = paths.Join(home, ".cache")
	}
	if end, err := filepath.EvalSymlinks(base); err == nil {
		base = end
	}
	return paths.Join(base, "cordon")
}

// NoneError says that the caller cannot have caches here. Runs then become slower, but not less safe.
type NoneError struct{ Err error }

func (e *NoneError) Error() string { return e.Err.Error() }
func (e *NoneError) Unwrap() error { return e.Err }

// Unavailable says why there are no caches.
func (e *NoneError) Unavailable() string { return e.Err.Error() }

// tagSuffix ends the name of the file that says to which project a directory belongs.
const tagSuffix = ".project"

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// Make makes the directories of a run, and refuses anything that another user or a task may have put in their place. It
// returns lines for the user about caches that do not start as a copy of the caller's own cache. If the caller cannot
// have caches, the error is a [NoneError].
func Make(s *cache.Set, records []ledger.Place) (notes []string, err error) {
	root, err := openRoot(s.Root, true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	if err := ledger.ReachedFromAbove(records, s.Root); err != nil {
		return nil, refuse(s.Root, err, "cordon cache rm --all removes all caches; --cache off runs without")
	}
	_, name := paths.Split(s.Dir)
	dir, err := ownDir(root, name, s.Dir, true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	if err := tag(root, name, s.Owner); err != nil {
		return nil, refuse(s.Dir, err, "")
	}
	for i := range s.Tools {
		t := &s.Tools[i]
		for n, sub := range t.Dirs {
			path := paths.Join(s.Dir, sub)
			if n == 0 && len(t.Seeds) > 0 && !there(dir, sub) {
				if note := seed(root, dir, sub, t); note != "" {
					notes = append(notes, note)
				}
			}
			fd, err := ownDir(dir, sub, path, false)
			if err != nil {
				return nil, err
			}
			unix.Close(fd)
		}
	}
	return notes, nil
}

// openRoot opens the directory of all caches without following a link. If makeIt is set, it makes missing directories.
func openRoot(root string, makeIt bool) (int, error) {
	fd, err := unix.Open("/", openDir, 0)
	names := strings.Split(root[1:], "/")
	for i, name := range names {
		if err != nil {
			break
		}
		up := fd
		fd, err = unix.Openat(up, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT && makeIt {
			if err = unix.Mkdirat(up, name, 0o700); err == nil || err == unix.EEXIST {
				fd, err = unix.Openat(up, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			}
		}
		unix.Close(up)
		if i == len(names)-1 && err == nil {
			var own int
			own, err = unix.Openat(fd, ".", openDir, 0)
			unix.Close(fd)
			fd = own
		}
	}
	switch {
	case err == unix.ELOOP || err == unix.ENOTDIR:
		return -1, refuse(root, errors.New("it is no directory, or lies behind a symbolic link"), "remove it; --cache off runs without caches")
	case err != nil && !makeIt && errors.Is(err, fs.ErrNotExist):
		return -1, err
	case err != nil:
		return -1, &NoneError{errors.New("make " + root + ": " + err.Error())}
	}
	if err := private(fd, root); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ownDir opens a directory of the caller's below another directory, and makes it if it is missing. If closed is set, it
// removes the permissions of other users.
func ownDir(dir int, name, path string, closed bool) (int, error) {
	err := unix.Mkdirat(dir, name, 0o700)
	if err != nil && err != unix.EEXIST {
		return -1, &NoneError{errors.New("make " + path + ": " + err.Error())}
	}
	fd, err := unix.Openat(dir, name, openDir, 0)
	switch {
	case err == unix.ELOOP || err == unix.ENOTDIR:
		return -1, refuse(path, errors.New("it is no directory: a program in a sandbox may have put it there"), rmHint(path))
	case err != nil:
		return -1, refuse(path, err, rmHint(path))
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && int(st.Uid) != os.Geteuid() {
		err = errors.New("it belongs to user " + strconv.FormatUint(uint64(st.Uid), 10))
	}
	if err == nil && closed && st.Mode&0o077 != 0 { // a task may have changed the mode
		err = unix.Fchmod(fd, 0o700)
	}
	if err != nil {
		unix.Close(fd)
		return -1, refuse(path, err, rmHint(path))
	}
	return fd, nil
}

// private refuses a directory that belongs to another user, or that others may write.
func private(fd int, path string) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	switch {
	case err == nil && int(st.Uid) != os.Geteuid():
		err = errors.New("it belongs to user " + strconv.FormatUint(uint64(st.Uid), 10))
	case err == nil && st.Mode&0o022 != 0:
		err = errors.New("it has mode " + strconv.FormatUint(uint64(st.Mode&0o7777), 8) + ": others may write it")
	case err == nil && st.Mode&0o077 != 0:
		err = unix.Fchmod(fd, 0o700)
	}
	if err == unix.EROFS { // for example in a sandbox
		return &NoneError{errors.New("close " + path + " to others: " + err.Error())}
	}
	if err != nil {
		return refuse(path, err, "set XDG_CACHE_HOME to a directory of your own with mode 0700; --cache off runs without caches")
	}
	return nil
}

func refuse(path string, err error, hint string) error {
	return &fail.Error{Op: "cache " + path, Err: err, Hint: hint}
}

func rmHint(path string) string {
	for rest, name := paths.Split(path); rest != "/"; rest, name = paths.Split(rest) {
		if strings.Contains(name, "-") && strings.HasSuffix(rest, "/cordon") {
			return "cordon cache rm " + name + " removes this project's caches; --cache off runs without"
		}
	}
	return "--cache off runs without caches"
}

// there reports whether a name exists in a directory.
func there(dir int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != unix.ENOENT
}

// tag writes a file that says to which project and profile a directory belongs. The task cannot reach this file.
func tag(root int, name, text string) error {
	if there(root, name+tagSuffix) {
		return nil
	}
	fd, err := unix.Openat(root, name+tagSuffix, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return &NoneError{err}
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}
