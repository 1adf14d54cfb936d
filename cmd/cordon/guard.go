package main

// This file decides from which files cordon reads profiles, and whether a task (a program in a sandbox) may have
// written these files: see package ledger.

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"cordon/profiles"
	"cordon/sandbox/ledger"
)

// search returns a search for profiles that are only displayed, so it does not matter who wrote them. It never opens a
// FIFO or a device.
func search() profiles.Search {
	s := profiles.DefaultSearch(os.Getenv)
	s.Read = func(file string, max int64) ([]byte, error) {
		if fd, ok := given(file); ok {
			return readDescriptor(fd, max)
		}
		data, _, err := ledger.Read(file, max)
		return data, err
	}
	return s
}

// given returns the number of the descriptor that a name such as /dev/fd/3 stands for, if the caller has opened it.
func given(file string) (int, bool) {
	if file == "/dev/stdin" {
		return 0, true
	}
	return descriptor(file)
}

func newGuard(accept bool) *ledger.Guard {
	return &ledger.Guard{Places: func() []ledger.Place { return ledger.Places(os.Getenv) }, Root: os.Getuid() == 0, Accept: accept}
}

// searched returns the directories in which cordon looks for profiles. If root has another user's HOME (sudo -E),
// searched leaves out the directory in that HOME, because its profiles are not root's. It prints a note if that
// directory contains profiles.
func searched() []string {
	searchDirs.once.Do(func() { searchDirs.dirs = trustedDirs() })
	return searchDirs.dirs
}

// searchDirs is the result of searched.
var searchDirs struct {
	once sync.Once
	dirs []string
}

func trustedDirs() []string {
	dirs := profiles.DefaultSearch(os.Getenv).Dirs
	if os.Getuid() != 0 {
		return dirs
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		_, err := os.Stat(dir)
		if err != nil && rootsOwn(os.Getenv("HOME")) {
			return false
		}
		who := ledger.OthersWrite(dir)
		if who != "" && err == nil {
			(&ui{err: os.Stderr}).line("note", dir+": no profile is looked for there: root uses none that somebody else can write, and "+who)
		}
		return who != ""
	})
}

func rootsOwn(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && st.Uid == 0 && st.Mode&0o022 == 0
}

// guardedSearch returns a search for profiles that are used for a run. It refuses files that a task may have written.
func guardedSearch(g *ledger.Guard) profiles.Search {
	s := profiles.DefaultSearch(os.Getenv)
	s.Dirs = searched()
	s.Read = func(file string, max int64) ([]byte, error) {
		fd, ok := given(file)
		if !ok {
			return guarded(g.Read(file, max))
		}
		if path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && sameFile(path, fd) {
			return guarded(g.Read(path, max))
		}
		return readDescriptor(fd, max)
	}
	return s
}

// sameFile reports whether a path leads to the regular file that is open as fd.
func sameFile(path string, fd int) bool {
	var a, b unix.Stat_t
	return unix.Stat(path, &a) == nil && unix.Fstat(fd, &b) == nil && a.Mode&unix.S_IFMT == unix.S_IFREG && a.Dev == b.Dev && a.Ino == b.Ino
}

// readDescriptor reads a file or a pipe that the caller has opened, for example by <(…) in a shell.
func readDescriptor(fd int, max int64) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFIFO {
		return nil, ledger.ErrNotRegular
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "profile")
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, max))
}

// maxProfile is the largest size of a profile plus one byte. Reading one byte more shows that a file is too large.
const maxProfile = 1<<20 + 1

// readOwn reads a profile that a command will rewrite. The ledger (see package ledger) would take the rewritten text
// for the user's own, so readOwn refuses a file that a task may have written.
func readOwn(file string, max int64) ([]byte, error) {
	g := newGuard(false)
	defer g.Close()
	return guardedSearch(g).Read(file, max)
}

// advised is an error with a hint, in the form that package profiles expects.
type advised struct {
	error
	hint string
}

func (a *advised) Hint() string  { return a.hint }
func (a *advised) Unwrap() error { return a.error }

// guarded adds hints to the errors of a ledger.Guard.
func guarded(data []byte, err error) ([]byte, error) {
	var refused *ledger.Refused
	var failed *ledger.Error
	switch {
	case errors.As(err, &refused):
		hint := "to see what changed, and to allow its use: cordon profile trust " + shellWords([]string{refused.Text.Path})
		if refused.Others {
			hint = "let only root write the file and its directories (chown root, chmod go-w); or read its content and allow its use: cordon profile trust " +
				shellWords([]string{refused.Text.Path})
		}
		err = &advised{err, hint}
	case errors.As(err, &failed):
		err = &advised{err, failed.Hint}
	}
	return data, err
}
