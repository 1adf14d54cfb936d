package compile

// The root: open_tree(2) (Linux 5.2), mount_setattr(2) (5.12), openat2(2) (5.6), move_mount(2) (5.2), pivot_root(2).
//
// The new root is stacked on "/" of the child's mount namespace. A process still sees the mount that its root is on.
// So until the child enters the new root, absolute paths mean the host, and descriptors below the new root mean the
// sandbox.

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

const (
	noLinks = unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

	cloneOne   = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	CloneTree  = cloneOne | unix.AT_RECURSIVE
	WholeMount = unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	fromFD     = unix.MOVE_MOUNT_F_EMPTY_PATH
	ontoFD     = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
)

// Source is a detached mount that the launcher makes. The child, which has an unprivileged id on the host, could not
// open every path, and an idmapped mount needs CAP_SYS_ADMIN over the file system.
type Source struct {
	Path  string
	Attrs uint64
	Where string
	Whole bool // idmapped with all of the sandbox's ids, not the caller's alone
	Plain bool // not idmapped: the task has here only the rights of its id on the host

	// Output is 0 for what Path leads to. Otherwise it is the number of the caller's output file that is shown,
	// idmapped if its file system permits that.
	Output int
}

// Root mounts the tree in which everything else is mounted.
func (c *Compilation) Root() error {
	// All mounts become private before the first mount. A new mount namespace has copies of shared mounts. Otherwise
	// what the child mounts would appear on the host, and what the host mounts later would appear in the sandbox.
	c.do(own("mounts"), plan.Setattr(plan.CWD, "/", unix.AT_RECURSIVE, 0, 0, unix.MS_PRIVATE))
	c.openStdinAgain()
	r := &c.Profile.Root
	from := c.scalar("root")
	c.rootFD = plan.R(plan.Root)
	switch r.Kind {
	case policy.RootHost:
		if c.namesNew() {
			return c.rootByNames(from)
		}
		attrs, write := picture.AttrRO|picture.AttrBase, c.AsItIs()
		if write {
			attrs = uint64(unix.MOUNT_ATTR_NOSUID)
		}
		c.copyMounts(from, plan.Root, plan.CWD, "/", CloneTree, attrs, unix.MS_PRIVATE, 0)
		c.openScratch() // after the copy of "/", which would contain it, and before the root is put on top of it
		c.Tree.Add(picture.Part{Target: "/", Source: "/", Write: write, What: hostsTree, Rule: c.Profile.Source("root")})
	case policy.RootDir:
		if err := c.rootDir(from); err != nil {
			return err
		}
	default:
		c.openScratch()
		c.tmpfs(from, plan.Root, "755", 0, picture.AttrBase)
		c.Tree.Add(picture.Part{Target: "/", Made: map[string]picture.Node{}, What: "the empty root", Rule: c.Profile.Source("root")})
	}
	c.do(from, plan.Move(c.rootFD, plan.CWD, "/", fromFD))
	if r.Kind == policy.RootHost && r.Overlay != "" {
		return c.overlayHost(from) // after the move: before Linux 6.15 nothing can be mounted on a detached mount
	}
	return nil
}

// rootDir mounts a root file system that is a directory of the host.
func (c *Compilation) rootDir(from plan.From) error {
	r := &c.Profile.Root
	dir, err := c.hostSource(r.Dir)
	if err != nil {
		return &fail.Error{Op: "root.dir", Err: err, From: c.Where("root.dir")}
	}
	info, err := c.Host.Files.Stat(dir)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return &fail.Error{Op: "root.dir " + dir, Err: fail.Bare(err), From: c.Where("root.dir"), Hint: "name a directory that holds a root file system"}
	}
	if err := c.notBundle(dir); err != nil {
		return err
	}
	c.openScratch()
	p := picture.Part{Target: "/", Source: dir, Write: r.Write, What: "the root directory", Rule: c.Profile.Source("root")}
	if r.Overlay != "" {
		if p.Upper, err = c.overlay(from, plan.Root, layers{lower: dir, upper: r.Overlay, whole: true}, c.Where("root.dir")); err != nil {
			return err
		}
		p.Write, p.Layer, p.Made = true, true, map[string]picture.Node{}
	} else {
		attrs := picture.AttrBase
		if !r.Write {
			attrs |= picture.AttrRO
		} else if err := c.writesAsRoot(dir, info, c.Where("root.dir")); err != nil {
			return err
		}
		c.rootFD = c.openSource(from, plan.Root, dir, attrs, c.Where("root.dir"))
	}
	c.Tree.Add(p)
	return nil
}

// openSource makes a detached copy of the mounts at and below a host path. It refuses symbolic links anywhere on the
// way, because a former run may have put one there (CVE-2024-42472).
func (c *Compilation) openSource(from plan.From, to plan.Reg, path string, attrs uint64, where string) plan.Arg {
	if c.IDs.Idmapped {
		c.Sources = append(c.Sources, Source{Path: path, Attrs: attrs, Where: where})
		c.do(from, plan.RecvFD(plan.F(FileSync)).Into(to))
		return plan.R(to)
	}
	return c.clonePath(from, to, path, attrs)
}

// clonePath is openSource done by the child, with the rights that it has.
func (c *Compilation) clonePath(from plan.From, to plan.Reg, path string, attrs uint64) plan.Arg {
	c.openOutside(from, path, walk.OpenAny, plan.Source)
	c.copyMounts(from, to, plan.R(plan.Source), "", CloneTree|unix.AT_EMPTY_PATH, attrs, unix.MS_PRIVATE, 0)
	c.do(from, plan.CloseStep(plan.R(plan.Source)))
	return plan.R(to)
}

// copyMounts makes a detached copy of a mount, or of it and those below, with further attributes. gone is the error
// to accept if the kernel may not have the mount; the register then holds no descriptor.
func (c *Compilation) copyMounts(from plan.From, to plan.Reg, dir plan.Arg, path string, flags, attrs, propagation uint64, gone plan.Errno) {
	if c.Host.Since(6, 15) && !c.Host.NoTreeAttr {
		c.do(from, plan.CloneWith(dir, path, flags, attrs, propagation).Into(to).OrElse(gone))
		return
	}
	set := plan.Setattr(plan.R(to), "", unix.AT_EMPTY_PATH|flags&unix.AT_RECURSIVE, attrs, 0, propagation)
	if gone != 0 {
		set = set.OrElse(plan.EBADF)
	}
	c.do(from, plan.Clone(dir, path, flags).Into(to).OrElse(gone), set)
}

// tmpfs makes a detached tmpfs. size 0 means the kernel's default, half of memory.
func (c *Compilation) tmpfs(from plan.From, to plan.Reg, mode string, size int64, attrs uint64) {
	fsfd := plan.R(plan.FS)
	c.do(from, plan.FsopenStep("tmpfs").Into(plan.FS), plan.FsString(fsfd, "mode", mode))
	if size != 0 {
		c.do(from, plan.FsString(fsfd, "size", strconv.FormatInt(size, 10)))
	}
	// The root directory belongs to the process that mounts. Without a user namespace that is still the launcher's
	// user, because the child takes the task's ids after the mounts.
	if !c.IDs.NewUser && c.IDs.InUID != c.Host.UID {
		c.do(from, plan.FsString(fsfd, "uid", strconv.Itoa(c.IDs.InUID)), plan.FsString(fsfd, "gid", strconv.Itoa(c.IDs.InGID)))
	}
	c.fsmount(from, to, attrs)
}

// fsmount finishes a file system context: fsconfig(2), fsmount(2), since Linux 5.2.
func (c *Compilation) fsmount(from plan.From, to plan.Reg, attrs uint64) {
	fsfd := plan.R(plan.FS)
	c.do(from, plan.FsCreate(fsfd), plan.FsmountStep(fsfd, attrs).Into(to), plan.CloseStep(fsfd))
}

// attach puts a detached mount at a target inside the root. The kernel resolves the target once, inside the root
// (CVE-2026-87766), to a descriptor. A directory right below the root is named instead, since move_mount(2) follows
// no link at the end of a path, and mounts no directory on one. If keep is true, mount stays open.
func (c *Compilation) attach(from plan.From, mount plan.Arg, target string, keep bool) {
	if isDir, _ := c.Tree.Stat(target); isDir && strings.LastIndexByte(target, '/') == 0 && target != "/" {
		c.do(from, plan.Move(mount, c.rootFD, target[1:], fromFD))
	} else {
		c.openInside(from, target, walk.OpenAny, plan.Target)
		c.do(from,
			plan.Move(mount, plan.R(plan.Target), "", ontoFD),
			plan.CloseStep(plan.R(plan.Target)))
	}
	if !keep {
		c.do(from, plan.CloseStep(mount))
	}
}

// place makes sure that a target exists as a directory or a file, and returns its path without links. It makes a
// missing target only on the launcher's own file systems; on the host's tree a missing target is an error.
func (c *Compilation) place(from plan.From, target string, dir bool) (string, error) {
	target, err := c.Tree.Resolve(target)
	if err != nil {
		return "", err
	}
	if isDir, ok := c.Tree.Stat(target); ok {
		if isDir != dir {
			return "", errors.New(target + " is " + kindOf(isDir) + " inside, the source is " + kindOf(dir))
		}
		return target, c.remake(from, target, dir)
	}
	p := c.Tree.At(target)
	if p == nil || p.Made == nil {
		return "", &noTargetError{target, p}
	}
	return target, c.make(from, p, target, dir)
}

// make creates target, and the directories above it that are missing.
func (c *Compilation) make(from plan.From, p *picture.Part, target string, dir bool) error {
	parent, _ := paths.Split(target)
	if isDir, ok := c.Tree.Stat(parent); !ok {
		if err := c.make(from, p, parent, true); err != nil {
			return err
		}
	} else if !isDir {
		return errors.New(parent + " is a file inside")
	}
	exists := plan.Errno(0)
	if p.Upper != "" { // an earlier run may have made it
		exists = plan.EEXIST
	}
	in, name := c.openParent(from, p, target)
	if dir {
		c.do(from, plan.MkdirStep(in, name, 0o755).OrElse(exists))
		p.Made[target] = picture.Node{Dir: true}
	} else {
		c.do(from, plan.MkfileStep(in, name, 0o444).OrElse(exists))
		p.Made[target] = picture.Node{}
	}
	c.closeParent(from, p)
	return nil
}

// openParent opens the directory in which the launcher makes a path of a part, and returns it and the name in it. A
// read-only part lies on the scratch file system. No link is on the way, because Resolve has followed the links.
func (c *Compilation) openParent(from plan.From, p *picture.Part, path string) (dir plan.Arg, name string) {
	if p.Dir != "" {
		return plan.R(plan.Scratch), p.Dir + path[len(p.Target):]
	}
	parent, name := paths.Split(path)
	c.openInside(from, parent, walk.OpenDir, plan.Dir)
	return plan.R(plan.Dir), name
}

func (c *Compilation) closeParent(from plan.From, p *picture.Part) {
	if p.Dir == "" {
		c.do(from, plan.CloseStep(plan.R(plan.Dir)))
	}
}

func kindOf(dir bool) string {
	if dir {
		return "a directory"
	}
	return "a file"
}

// noTargetError reports a target that does not exist where nothing can be made.
type noTargetError struct {
	target string
	part   *picture.Part
}

func (e *noTargetError) Error() string {
	return "target " + e.target + " does not exist, and cordon never makes anything on " + e.part.What
}

// seal makes the launcher's own file systems read-only after everything was made on them.
func (c *Compilation) seal() error {
	if c.Profile.Root.Kind == policy.RootEmpty || c.byNames {
		c.do(c.scalar("root"), plan.Setattr(c.rootFD, "", unix.AT_EMPTY_PATH, picture.AttrRO, 0, 0))
	}
	for i := range c.Tree.Parts {
		if p := &c.Tree.Parts[i]; p.What == ownDev {
			c.openInside(own("dev"), p.Target, walk.OpenDir, plan.Target)
			c.do(own("dev"),
				plan.Setattr(plan.R(plan.Target), "", unix.AT_EMPTY_PATH, picture.AttrRO, 0, 0),
				plan.CloseStep(plan.R(plan.Target)))
		}
	}
	return nil
}

// enterRoot makes the new root the child's root. With pivot_root the old root is gone for good; its mounts are locked
// together until then (mount_namespaces(7)).
func (c *Compilation) enterRoot() error {
	from := own("root")
	if c.Profile.Root.Enter == policy.EnterChroot {
		c.do(from, plan.FchdirStep(c.rootFD))
		c.do(c.scalar("root.enter"), plan.ChrootStep("."))
	} else {
		if !c.scratch.attached { // scratch goes with the old root; alone it would cost another wait for RCU
			c.do(own("scratch"), plan.Move(plan.R(plan.Scratch), plan.CWD, "/proc", fromFD))
		}
		c.do(from, plan.FchdirStep(c.rootFD), plan.Pivot(".", "."))
		if c.scratch.attached { // now the old root lies on the new one, and scratch on that; "." is the topmost
			c.do(from, plan.Umount(".", unix.MNT_DETACH))
		}
		// The message comes before the old root goes, because the kernel waits for all processors before it frees the
		// mounts. Meanwhile the launcher reads the mount table; it does not accept the table before the old mounts
		// are out of it.
		c.do(from, Say(MsgRoot), plan.Umount(".", unix.MNT_DETACH), plan.ChdirStep("/"))
		return nil
	}
	c.do(from, plan.ChdirStep("/"), Say(MsgRoot))
	return nil
}

// expand makes an absolute path from a path in a profile or a flag: "." and relative paths start at the caller's
// working directory, "~" at home.
func (c *Compilation) expand(p string) (string, error) {
	switch {
	case p == "~" || strings.HasPrefix(p, "~/"):
		if c.Host.Home == "" {
			return "", &fail.PathError{Path: p, Err: errNoHome}
		}
		p = c.Host.Home + p[1:]
	case !strings.HasPrefix(p, "/"):
		p = paths.Join(c.Host.Cwd, p)
	}
	return paths.Clean(p), nil
}

var errNoHome = errors.New("no home: HOME is not set, not absolute, or /, and the password database has none")

// hostSource is expand for a path that is opened on the host. It follows a symbolic link right below "/"
// (distributions have /bin, /lib64, /home), because only the system can make one there.
func (c *Compilation) hostSource(p string) (string, error) {
	ofHome := strings.HasPrefix(p, "~")
	p, err := c.expand(p)
	if err != nil || p == "/" {
		return p, err
	}
	if ofHome {
		p = paths.Clean(c.sourceHome() + p[len(c.Host.Home):])
	}
	first, rest, _ := strings.Cut(p[1:], "/")
	info, err := c.Tree.Lstat("/" + first)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return p, nil //nolint:nilerr // what is missing is said where it is used
	}
	text, err := c.Host.Files.Readlink("/" + first)
	if err != nil {
		return "", err
	}
	return paths.Clean("/" + strings.TrimPrefix(text, "/") + "/" + rest), nil
}

// Where returns the position of a scalar in the profile, for errors.
func (c *Compilation) Where(path string) string { return c.Profile.Source(path).Short() }

// How a plan opens a path: openat2(2), Linux 5.6. A host may refuse the call (Host.NoOpenat2). A filter cannot judge
// the mode behind the call's pointer, so the filter of a container, or of a sandbox around this one, denies the whole
// call. Then the plan goes name by name with openat(2), O_PATH and O_NOFOLLOW.

// openInside opens a path below the new root. The kernel follows links inside that root. Name by name no link is
// followed: the picture has resolved the links, and a link that was put there since is an error.
func (c *Compilation) openInside(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(c.rootFD, path, flags, walk.ResolveInRoot).Into(to))
		return
	}
	c.openSteps(from, c.rootFD, c.resolved(path), flags, to, 0, false)
}

// resolved returns what the picture says that a path means. If the picture cannot resolve the path, it stays as it
// is, and opening it fails at the link.
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

// openWithLinks opens a path of the child's own root, which is the sandbox's. It follows links, but no link of /proc
// that leads to something a process has.
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
	c.openSteps(from, plan.R(plan.Top), path, flags, to, 0, false)
	c.do(from, plan.CloseStep(plan.R(plan.Top)))
}

// openSteps opens a path below dir name by name. Two registers take turns, so that the last name's descriptor ends in
// to. If closed is not 0, the name with that number, from 1, may lie in a directory that the child may not search;
// then the opens after it may fail as well. If fleeting is set, any name may be gone.
func (c *Compilation) openSteps(from plan.From, dir plan.Arg, path string, flags uint64, to plan.Reg, closed int, fleeting bool) {
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
		var gone plan.Errno
		if i > 0 && fleeting || closed != 0 && closed <= i {
			gone = plan.EBADF // a directory above could not be opened
		}
		open := plan.OpenStep(dir, name, how|unix.O_NOFOLLOW, 0).Into(next).OrElse(gone)
		switch {
		case closed == i+1:
			open = open.OrElse(plan.EACCES)
		case fleeting:
			open = open.OrElse(plan.ENOENT)
		}
		c.do(from, open)
		if i > 0 {
			c.do(from, plan.CloseStep(dir).OrElse(gone))
		}
		dir = plan.R(next)
	}
}
