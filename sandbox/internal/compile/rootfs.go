package compile

// This file plans the root of the sandbox: open_tree(2) (Linux 5.2), mount_setattr(2) (5.12), openat2(2) (5.6),
// move_mount(2) (5.2).
//
// The new root is mounted on "/" of the child's mount namespace. But a process goes on to see the mount that its own
// root directory lies on. So until the child enters the new root, absolute paths mean the host, and descriptors below
// the new root mean the sandbox.

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

// Source is a detached mount that the launcher makes for the child. There are two reasons for that: the child has an
// unprivileged id on the host and could not open every path, and an idmapped mount needs CAP_SYS_ADMIN over the file
// system.
type Source struct {
	Path  string
	Attrs uint64
	Where string
	Whole bool // idmapped for all of the sandbox's ids, not only the caller's
	Plain bool // not idmapped: the task has here only the rights of its id on the host

	// Devices says that Path is a device, or a directory of devices, and that the task is to open them with the rights
	// of the caller.
	Devices bool

	// Output is 0 if the source is what Path leads to. Otherwise the source is the caller's output file with this
	// number, idmapped if the file's file system permits that.
	Output int
}

// Root mounts the directory in which everything else is mounted.
func (c *Compilation) Root() error {
	// All mounts become private before the first mount. A new mount namespace starts with copies of shared mounts.
	// Without this step, the child's mounts would appear on the host, and later mounts of the host would appear in the
	// sandbox.
	c.do(own("mounts"), plan.Setattr(plan.CWD, "/", unix.AT_RECURSIVE, 0, 0, unix.MS_PRIVATE))
	c.openStdinAgain()
	r := &c.Profile.Root
	from := c.scalar("root")
	c.rootFD = plan.R(plan.Root)
	switch r.Kind {
	case policy.RootHost:
		if c.namesNew("/") {
			return c.rootByNames(from, "/", false)
		}
		attrs, write := picture.AttrRO|picture.AttrBase, c.AsItIs()
		if write {
			attrs = uint64(unix.MOUNT_ATTR_NOSUID)
		}
		c.copyMounts(from, plan.Root, plan.CWD, "/", CloneTree, attrs, unix.MS_PRIVATE, 0)
		c.openScratch() // after "/" is copied, and before the new root is mounted on it
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

// rootDir mounts a directory of the host as the sandbox's root file system.
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
	if c.namesNew(dir) {
		if r.Write {
			err = c.writesAsRoot(dir, info, c.Where("root.dir"))
		}
		if err == nil {
			err = c.rootByNames(from, dir, r.Write)
		}
		return err
	}
	c.openScratch()
	p := picture.Part{Target: "/", Source: dir, Write: r.Write, What: rootTree, Rule: c.Profile.Source("root")}
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

// openSource makes a detached copy of a host path, with the mounts below it. It refuses symbolic links anywhere in the
// path, because an earlier run may have made one there (CVE-2024-42472).
func (c *Compilation) openSource(from plan.From, to plan.Reg, path string, attrs uint64, where string) plan.Arg {
	if c.IDs.Idmapped {
		c.Sources = append(c.Sources, Source{Path: path, Attrs: attrs, Where: where})
		c.do(from, plan.RecvFD(plan.F(FileSync)).Into(to))
		return plan.R(to)
	}
	return c.clonePath(from, to, path, attrs)
}

// clonePath does what openSource does, but here the child makes the copy with its own rights.
func (c *Compilation) clonePath(from plan.From, to plan.Reg, path string, attrs uint64) plan.Arg {
	c.openOutside(from, path, walk.OpenAny, plan.Source)
	c.copyMounts(from, to, plan.R(plan.Source), "", CloneTree|unix.AT_EMPTY_PATH, attrs, unix.MS_PRIVATE, 0)
	c.do(from, plan.CloseStep(plan.R(plan.Source)))
	return plan.R(to)
}

// copyMounts makes a detached copy of a mount, or of the mount and all mounts below it, with further attributes. gone
// is the error to tolerate if the mount may be missing; the plan then continues without a descriptor.
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

// tmpfs makes a detached tmpfs. mode consists of octal digits. size is in bytes, and 0 means the kernel's default,
// which is half of the memory.
func (c *Compilation) tmpfs(from plan.From, to plan.Reg, mode string, size int64, attrs uint64) {
	fsfd := plan.R(plan.FS)
	c.do(from, plan.FsopenStep("tmpfs").Into(plan.FS), plan.FsString(fsfd, "mode", mode))
	if size != 0 {
		c.do(from, plan.FsString(fsfd, "size", strconv.FormatInt(size, 10)))
	}
	// The root directory of a tmpfs belongs to the process that mounts the tmpfs. Without a user namespace the owner is
	// the launcher's user, because the child takes the task's ids after the mounts.
	if !c.IDs.NewUser && c.IDs.InUID != c.Host.UID {
		c.do(from, plan.FsString(fsfd, "uid", strconv.Itoa(c.IDs.InUID)), plan.FsString(fsfd, "gid", strconv.Itoa(c.IDs.InGID)))
	}
	c.fsmount(from, to, attrs)
}

// fsmount finishes a file system context: fsconfig(2), fsmount(2), since Linux 5.2.
func (c *Compilation) fsmount(from plan.From, to plan.Reg, attrs uint64) {
	fsfd := plan.R(plan.FS)
	c.do(from, plan.FsCreate(fsfd), plan.FsmountStep(fsfd, attrs).Into(to))
	c.leave(from, fsfd, 0)
}

// attach mounts a detached mount on a target inside the new root. The kernel resolves the target to a descriptor only
// once, below that root (CVE-2026-87766). A directory right below the root is an exception: it is given by its name,
// because move_mount(2) follows no link at the end of a path and mounts no directory on a link. If keep is true, the
// descriptor mount stays open.
func (c *Compilation) attach(from plan.From, mount plan.Arg, target string, keep bool) {
	n, _ := c.Tree.Entry(target)
	if n.Dir && strings.LastIndexByte(target, '/') == 0 && target != "/" {
		c.do(from, plan.Move(mount, c.rootFD, target[1:], fromFD))
	} else {
		if n.Link != "" { // see place
			c.openTarget(from, &picture.Part{Target: target, Link: n.Link})
		} else {
			c.openInside(from, target, walk.OpenAny, plan.Target)
		}
		c.do(from,
			plan.Move(mount, plan.R(plan.Target), "", ontoFD),
			plan.CloseStep(plan.R(plan.Target)))
	}
	if !keep {
		c.leave(from, mount, 0)
	}
}

// place makes sure that a target exists as a directory or a file, and returns its path without links. It makes a
// missing target only on the launcher's own file systems; on the host's tree a missing target is an error. If the
// target of a file is a link that leads nowhere, place returns the path of the link. A file can be mounted on the link
// itself: a lookup of the path reaches the mounted file before it would follow the link.
func (c *Compilation) place(from plan.From, asked string, dir bool) (string, error) {
	target, err := c.Tree.Resolve(asked)
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
		if link := danglingLink(&c.Tree, asked); link != "" && !dir {
			return link, nil // a file can be mounted on the link itself
		}
		return "", &noTargetError{target, p}
	}
	return target, c.make(from, p, target, dir)
}

// make creates target, and the missing directories above it.
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

// kindOf returns "a directory" or "a file", as the words for a target in an error.
func kindOf(dir bool) string {
	if dir {
		return "a directory"
	}
	return "a file"
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

// enterRoot makes the new root the child's root. pivot_root makes the old root unreachable. Until then the mounts of
// the old root are locked together (mount_namespaces(7)).
func (c *Compilation) enterRoot() error {
	from := own("root")
	if c.Profile.Root.Enter == policy.EnterChroot {
		c.do(from, plan.FchdirStep(c.rootFD))
		c.do(c.scalar("root.enter"), plan.ChrootStep("."))
	} else {
		if !c.scratch.attached { // scratch goes with the old root: unmounting it alone would cost a wait for RCU
			c.do(own("scratch"), plan.Move(plan.R(plan.Scratch), plan.CWD, "/proc", fromFD))
		}
		c.do(from, plan.FchdirStep(c.rootFD), plan.Pivot(".", "."))
		if c.scratch.attached { // the old root is mounted on the new one, and scratch on that; "." is the top
			c.do(from, plan.Umount(".", unix.MNT_DETACH))
		}
		// The message is sent before the old root is unmounted, because the kernel waits for all processors before it
		// frees the mounts. Meanwhile the launcher reads the mount table again and again, until the old mounts are gone
		// from it.
		c.do(from, Say(MsgRoot), plan.Umount(".", unix.MNT_DETACH), plan.ChdirStep("/"))
		return nil
	}
	c.do(from, plan.ChdirStep("/"), Say(MsgRoot))
	return nil
}

// expand makes a path of a profile or a flag absolute. "." and relative paths begin at the caller's working directory,
// and "~" is the home.
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

// errNoHome is the cause of an error about a path that begins with "~".
var errNoHome = errors.New("no home: HOME is not set, not absolute, or /, and the password database has none")

// hostSource does what expand does, for a path that is opened on the host. It follows a symbolic link right below "/",
// because only root can make a link there. Many distributions have such links: /bin, /lib64 or /home.
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
		return p, nil //nolint:nilerr // whoever uses the path reports that it is missing
	}
	text, err := c.Host.Files.Readlink("/" + first)
	if err != nil {
		return "", err
	}
	return paths.Clean("/" + strings.TrimPrefix(text, "/") + "/" + rest), nil
}

// Where returns the position of a value in the profile, for errors.
func (c *Compilation) Where(path string) string { return c.Profile.Source(path).Short() }

// The next part is about how a plan opens a path: by openat2(2), Linux 5.6. A host may refuse that call
// (Host.NoOpenat2). A filter cannot check the mode behind the call's pointer, so the filter of a container, or of a
// sandbox around this one, denies the whole call. Then the plan opens each component of the path in turn, with
// openat(2), O_PATH and O_NOFOLLOW.

// openInside opens a path below the new root. openat2(2) follows links, but stays inside that root. If the path is
// opened component by component, links are not followed, because the launcher has resolved them before. A link that
// appears later is an error.
func (c *Compilation) openInside(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(c.rootFD, path, flags, walk.ResolveInRoot).Into(to))
		return
	}
	c.openSteps(from, c.rootFD, c.resolved(path), flags, to, 0, false)
}

// resolved returns the target of a path in the sandbox, by the launcher's model of the tree (c.Tree). If the model
// cannot resolve the path, resolved returns the path unchanged, and opening the path fails at the link.
func (c *Compilation) resolved(path string) string {
	if r, err := c.Tree.Resolve(path); err == nil {
		return r
	}
	return path
}

// openOutside opens a path below the child's own root. A symbolic link anywhere in the path is an error.
func (c *Compilation) openOutside(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(plan.CWD, path, flags, noLinks).Into(to))
		return
	}
	c.openFromTop(from, path, flags, to)
}

// openWithLinks opens a path below the child's own root, which is the sandbox's. It follows links, except magic links
// in /proc.
func (c *Compilation) openWithLinks(from plan.From, path string, flags uint64, to plan.Reg) {
	if !c.Host.NoOpenat2 {
		c.do(from, plan.Open2(plan.CWD, path, flags, unix.RESOLVE_NO_MAGICLINKS).Into(to))
		return
	}
	c.openFromTop(from, c.resolved(path), flags, to)
}

// openFromTop opens an absolute path below the child's own root, component by component.
func (c *Compilation) openFromTop(from plan.From, path string, flags uint64, to plan.Reg) {
	c.do(from, plan.OpenStep(plan.CWD, "/", walk.OpenDir, 0).Into(plan.Top))
	c.openSteps(from, plan.R(plan.Top), path, flags, to, 0, false)
	c.do(from, plan.CloseStep(plan.R(plan.Top)))
}

// openSteps opens a path below dir component by component. It uses two registers for descriptors (plan.Reg) in turn, so
// that the last descriptor is in to. If closed is not 0, the component with that number, counted from 1, may lie in a
// directory that the child may not search; then this open and the following opens may fail. fleeting means that the
// path may have vanished by then.
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
