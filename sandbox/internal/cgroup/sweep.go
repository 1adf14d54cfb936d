package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/proc"
)

// sweep removes the groups in parent whose launchers are dead, and kills the processes in them. It ignores groups of
// launchers in other pid namespaces, because it cannot tell whether these launchers live.
func sweep(parent string, version int) error {
	names, err := list(parent)
	if err != nil {
		return &Error{Op: "sweep " + parent, Err: err}
	}
	var errs []error
	for _, name := range names {
		if l, ok := parseName(name); ok && l.dead() {
			errs = append(errs, clean(parent+"/"+name, version))
		}
	}
	return errors.Join(errs...)
}

// list returns the names in a group's directory. If the group is removed meanwhile, it returns the names read so far.
func list(dir string) (names []string, err error) {
	fd, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	for {
		n, err := again(fd, buf, unix.ReadDirent)
		if gone(err) || err == nil && n <= 0 {
			return names, nil
		} else if err != nil {
			return nil, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// clean kills the processes in a group, and removes the group.
func clean(path string, version int) error {
	d := Dir{Version: version, Path: path}
	if version == 1 && exists(path+"/freezer.state") {
		d.Controllers = []string{"freezer"}
	}
	p := &Place{Dirs: []Dir{d}}
	if err := p.Kill(); err != nil {
		return err
	}
	return p.Remove()
}

// dead reports whether a launcher has certainly ended. For a launcher of another pid namespace it returns false.
func (l launcher) dead() bool {
	ns, err := pidNamespace()
	if err != nil || ns != l.ns {
		return false
	}
	if unix.Kill(l.pid, 0) == unix.ESRCH {
		return true
	}
	start, err := proc.StartTime("/proc/" + strconv.Itoa(l.pid) + "/stat")
	return errors.Is(err, fs.ErrNotExist) || err == nil && start != l.start
}

// ownPID is the cached result of pidNamespace.
var ownPID struct {
	asked sync.Once
	inode uint64
	err   error
}

// pidNamespace returns the inode of this process's own pid namespace: "pid:[4026531836]".
func pidNamespace() (uint64, error) {
	ownPID.asked.Do(func() {
		var text string
		if text, ownPID.err = os.Readlink("/proc/self/ns/pid"); ownPID.err == nil {
			number := strings.TrimSuffix(strings.TrimPrefix(text, "pid:["), "]")
			ownPID.inode, ownPID.err = strconv.ParseUint(number, 10, 64)
		}
	})
	return ownPID.inode, ownPID.err
}

var made atomic.Int32 // number of groups that this process has made

// NewName returns a name for the groups of the next sandbox of this process.
func NewName() (string, error) {
	ns, err := pidNamespace()
	if err != nil {
		return "", err
	}
	start, err := proc.StartTime("/proc/self/stat")
	if err != nil {
		return "", err
	}
	return Name(ns, os.Getpid(), start, int(made.Add(1))-1), nil
}

// alone reports whether parent contains no sandbox's group except those whose paths are in but.
func alone(parent string, but ...string) bool {
	entries, err := os.ReadDir(parent)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.IsDir() && strings.HasPrefix(e.Name(), prefix) && !slices.Contains(but, filepath.Join(parent, e.Name()))
	})
}
