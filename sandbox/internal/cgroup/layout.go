package cgroup

import (
	"bytes"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cordon/sandbox/internal/proc"
)

// Files gives Read and Choose access to the machine's files. Paths are absolute.
type Files interface {
	Stat(path string) (fs.FileInfo, error)
	Read(path string, n int) ([]byte, error) // at most the first n bytes
	Access(path string, mode uint32) error   // access(2), with the caller's rights
}

// Layout holds the cgroup trees of a machine, and the caller's place in them.
type Layout struct {
	Trees []Tree
}

// Tree is one cgroup hierarchy.
type Tree struct {
	Version     int
	Controllers []string // v1: the controllers bound to the tree; v2: those available at the mount point
	Mount       string   // its mount point
	Own         string   // the caller's group as an absolute path; "" if it is not below the mount point
}

// Read first reads mountsUsual bytes of the mount table, which suffice on nearly all machines. If they do not suffice,
// it reads mountsMost bytes, which suffice for some thousand mounts. It does not begin with mountsMost, because a large
// buffer takes time even if it is not filled.
const (
	mountsUsual = 32 << 10
	mountsMost  = 1 << 20
)

// Read finds the trees in the mount table and the caller's groups in /proc/self/cgroup: cgroups(7).
func Read(f Files) (*Layout, error) {
	mounts, err := f.Read("/proc/self/mountinfo", mountsUsual)
	if len(mounts) == mountsUsual {
		mounts, err = f.Read("/proc/self/mountinfo", mountsMost)
	}
	if err != nil {
		return nil, err
	}
	own, err := f.Read("/proc/self/cgroup", 16<<10)
	if err != nil {
		return nil, err
	}
	l := &Layout{}
	for line := range bytes.Lines(mounts) {
		if t, root, ok := parseMount(line); ok && !l.has(&t) {
			t.findOwn(string(own), root)
			if t.Version == 2 {
				text, _ := f.Read(t.Mount+"/cgroup.controllers", 1024) // if it cannot be read, there are no controllers
				t.Controllers = strings.Fields(string(text))
			}
			l.Trees = append(l.Trees, t)
		}
	}
	return l, nil
}

// has reports whether the list already contains the same tree, mounted at another place.
func (l *Layout) has(t *Tree) bool {
	return slices.ContainsFunc(l.Trees, func(x Tree) bool {
		return x.Version == t.Version && (t.Version == 2 || slices.Equal(x.Controllers, t.Controllers))
	})
}

// v1Options are mount options of a v1 tree that are not controllers.
var v1Options = [...]string{"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "none"}

// parseMount parses a line of the mount table. ok is false if the line is not about a cgroup tree. root is the group
// that is visible at the mount point.
func parseMount(line []byte) (t Tree, root string, ok bool) {
	if !bytes.Contains(line, []byte(" - cgroup")) {
		return t, "", false
	}
	m, ok := proc.ParseMount(line)
	t.Mount = strings.TrimSuffix(m.Point, "/")
	switch m.FSType {
	case "cgroup2":
		t.Version = 2
	case "cgroup":
		t.Version = 1
		for o := range strings.SplitSeq(m.Super, ",") {
			if !slices.Contains(v1Options[:], o) && !strings.HasPrefix(o, "release_agent=") {
				t.Controllers = append(t.Controllers, o)
			}
		}
	}
	return t, m.Root, ok && t.Version != 0
}

// findOwn sets t.Own from own, the text of /proc/self/cgroup. root is the group that is visible at the mount point.
// t.Own stays empty if the caller's group is not below the mount point. The kernel may show the path of such a group
// with "/.." at its beginning.
func (t *Tree) findOwn(own, root string) {
	for line := range strings.Lines(own) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || t.Version == 2 && controllers != "" || t.Version == 1 && !slices.Equal(t.Controllers, strings.Split(controllers, ",")) {
			continue
		}
		if root != "/" {
			if path, ok = strings.CutPrefix(path, root); !ok {
				return
			}
		}
		if path == "" || path[0] == '/' && !strings.HasPrefix(path, "/..") {
			t.Own = strings.TrimSuffix(t.Mount+path, "/")
		}
		return
	}
}

// Kind returns "v2", "v1", "hybrid", or "" if no tree is mounted.
func (l *Layout) Kind() string {
	var has [3]bool
	for i := range l.Trees {
		has[l.Trees[i].Version] = true
	}
	switch {
	case has[1] && has[2]:
		return "hybrid"
	case has[1]:
		return "v1"
	case has[2]:
		return "v2"
	}
	return ""
}

// mounts lists where the trees are mounted.
func (l *Layout) mounts() (list []string) {
	for i := range l.Trees {
		list = append(list, l.Trees[i].Mount)
	}
	return list
}

// tree returns the tree that has a controller, or nil if no tree has it. It looks in the v1 trees first: a controller
// that is bound to a v1 tree is not in the v2 tree.
func (l *Layout) tree(controller string) *Tree {
	for version := 1; version <= 2; version++ {
		name := controller
		if version == 1 && controller == "io" {
			name = "blkio"
		}
		for i := range l.Trees {
			if t := &l.Trees[i]; t.Version == version && slices.Contains(t.Controllers, name) {
				return t
			}
		}
	}
	return nil
}

// Name returns the name of a sandbox's groups. The name identifies the launcher, so that the groups of a killed
// launcher can be distinguished from groups in use. ns is the inode of the launcher's pid namespace, start is the
// launcher's start time (proc_pid_stat(5), field 22), and n counts the launcher's sandboxes.
func Name(ns uint64, pid int, start uint64, n int) string {
	name := prefix + strconv.FormatUint(ns, 16) + "-" + strconv.Itoa(pid) + "-" + strconv.FormatUint(start, 10)
	if n > 0 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

const prefix = "cordon-"

// launcher identifies the launcher that has made a group.
type launcher struct {
	ns    uint64
	pid   int
	start uint64
}

// parseName is the inverse of Name: it returns the launcher in the name of a group. It ignores a suffix that begins
// with a dot. ok is false if Name cannot have made the name.
func parseName(name string) (l launcher, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	rest, _, _ = strings.Cut(rest, ".")
	f := strings.Split(rest, "-")
	if !ok || len(f) < 3 || len(f) > 4 {
		return l, false
	}
	var errs [3]error
	l.ns, errs[0] = strconv.ParseUint(f[0], 16, 64)
	l.pid, errs[1] = strconv.Atoi(f[1])
	l.start, errs[2] = strconv.ParseUint(f[2], 10, 64)
	return l, errs == [3]error{} && l.pid > 0
}
