package compile

// How a plan opens a path: openat2(2), Linux 5.6. A host may refuse the call (Host.NoOpenat2): a filter cannot judge the
// mode that stands behind its pointer, so a container's filter, or that of a sandbox around this one, denies it whole.
// Such a plan goes name by name with openat(2), O_PATH and O_NOFOLLOW.

import (
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// openInside opens a path below the new root. The kernel follows links inside of it. Step by step no link is followed:
// the picture has resolved them, and one that was put there since is an error.
func (c *Compilation) openInside(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(c.rootFD, path, flags, walk.ResolveInRoot).Into(to))
		return
	}
	c.openSteps(from, c.rootFD, c.resolved(path), flags, to, 0)
}

// resolved is what the picture says that a path means. A path that it cannot resolve stays as it is, and fails where
// the link is.
func (c *Compilation) resolved(path string) string {
	if r, err := c.Tree.Resolve(path); err == nil {
		return r
	}
	return path
}

// openOutside opens a path of the child's own root. A symbolic link anywhere on the way is an error.
func (c *Compilation) openOutside(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(plan.CWD, path, flags, noLinks).Into(to))
		return
	}
	c.openFromTop(from, path, flags, to)
}

// openWithLinks opens a path of the child's own root, the sandbox's, and follows links, but none of /proc to something
// that a process has.
func (c *Compilation) openWithLinks(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(plan.CWD, path, flags, unix.RESOLVE_NO_MAGICLINKS).Into(to))
		return
	}
	c.openFromTop(from, c.resolved(path), flags, to)
}

// openFromTop opens an absolute path of the child's own root name by name.
func (c *Compilation) openFromTop(from plan.From, path string, flags uint64, to plan.Reg) {
	c.do(from, plan.OpenStep(plan.CWD, "/", walk.OpenDir, 0).Into(plan.Top))
	c.openSteps(from, plan.R(plan.Top), path, flags, to, 0)
	c.do(from, plan.CloseStep(plan.R(plan.Top)))
}

// openSteps opens a path below dir name by name. Two registers take turns, so that the last name's descriptor is in to.
// If closed is not 0, the name with that number, from 1, may lie in a directory that the child may not search; what
// comes after it then fails as well.
func (c *Compilation) openSteps(from plan.From, dir plan.Arg, path string, flags uint64, to plan.Reg, closed int) {
	if path == "/" {
		c.do(from, plan.OpenStep(dir, ".", flags, 0).Into(to))
		return
	}
	names := strings.Split(path[1:], "/")
	for i, name := range names {
		next, how := to, uint64(walk.OpenDir)
		if left := len(names) - 1 - i; left == 0 {
			how = flags
		} else if left%2 == 1 {
			next = plan.Between
		}
		var denied, gone plan.Errno
		switch {
		case closed == i+1:
			denied = plan.EACCES
		case closed != 0 && closed <= i:
			denied, gone = plan.EBADF, plan.EBADF
		}
		c.do(from, plan.OpenStep(dir, name, how|unix.O_NOFOLLOW, 0).Into(next).OrElse(denied))
		if i > 0 {
			c.do(from, plan.CloseStep(dir).OrElse(gone))
		}
		dir = plan.R(next)
	}
}

// closedDirs is the number of the first name, from 1, on the way to a path of the picture that lies in a directory which
// the task may not search; 0 if there is none.
func (c *Compilation) closedDirs(path string) int {
	n, dir := 0, ""
	for name := range strings.SplitSeq(c.resolved(path)[1:], "/") {
		n++
		if dir != "" && !c.searchable(dir) {
			return n
		}
		dir += "/" + name
	}
	return 0
}
