package compile

// This file plans the directory that stores the changes made in an overlay (overlayfs's upper directory). The kernel
// must know MOUNT_ATTR_NOSYMFOLLOW (mount_setattr(2)), Linux 5.14.
//
// A task of an earlier run may have been able to write to the parent of this directory. It may have put a link in place
// of the directory, or of something in it, so that the next overlay would read and write at another place of the host.
// Four measures prevent that. The directory is opened without following links. It is mounted so that the kernel follows
// no link in it. Each directory in it must belong to the caller. No task sees it.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// attrNoLinks makes the kernel follow no symbolic link on a mount.
const attrNoLinks = uint64(unix.MOUNT_ATTR_NOSYMFOLLOW)

// layer mounts the directory that stores the changes of o at place, a path on the scratch file system. The result top
// is the directory there that contains upper and work, and kept is the upper directory's path on the host. where is the
// line of the profile, for errors.
func (c *Compilation) layer(from plan.From, place string, o layers, where string) (top, kept string, err error) {
	path, err := c.hostSource(o.upper)
	if err != nil {
		return "", "", err
	}
	if !c.Host.Since(5, 14) {
		return "", "", &fail.UnsupportedError{Layer: policy.LayerMount, Why: "overlay directory " + path + ": this kernel cannot be told not to follow links in it", From: where,
			Remedy: "Linux 5.14; or discard the changes: upper: tmp, --overlay tmp"}
	}
	if err := c.checkLayer(path, o.sub); err != nil {
		return "", "", err
	}
	info, err := c.Tree.Lstat(path)
	if err == nil {
		err = c.writesAsRoot(path, info, where)
	}
	if err != nil {
		return "", "", err
	}
	scratchfd := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratchfd, place, 0o755))
	open := c.openSource
	if o.whole {
		open = c.openWhole
	}
	// nosymfollow holds for the whole mount, so overlayfs, too, follows no link when it looks up upper and work.
	mnt := open(from, plan.Tree, path, picture.AttrBase|attrNoLinks, where)
	c.do(from, plan.Move(mnt, scratchfd, place, fromFD), plan.CloseStep(mnt))
	c.ownDirs(from, place)
	c.noteLayer(path, from)
	top, kept = place, path
	// An earlier run may have made the directory. ownDirs then checks that it belongs to the caller.
	if o.sub != "" {
		top, kept = top+"/"+o.sub, kept+"/"+o.sub
		c.do(from, plan.MkdirStep(scratchfd, top, 0o700).OrElse(plan.EEXIST))
		c.ownDirs(from, top)
	}
	return top, kept + "/upper", nil
}

// ownDirs opens directories of the scratch file system with O_NOATIME, which only the owner of a file may use: open(2).
// So the launch fails if a directory belongs to somebody else.
func (c *Compilation) ownDirs(from plan.From, names ...string) {
	for _, name := range names {
		c.do(from,
			plan.OpenStep(plan.R(plan.Scratch), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NOATIME|unix.O_CLOEXEC, 0).Into(plan.File),
			plan.CloseStep(plan.R(plan.File)))
	}
}

// checkLayer looks for faults of the directory that stores changes. It does so before anything is made, so that the
// error can explain the fault. When the plan runs, the kernel checks the directory again.
func (c *Compilation) checkLayer(path, sub string) error {
	// The loop examines each directory above, beginning at the root.
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if info, err := c.Tree.Lstat(path[:i]); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return linkError(path[:i])
		}
	}
	if err := c.checkOwn(path); err != nil {
		return err
	}
	// If everybody may write to the directory, anybody can put a link in it.
	if info, err := c.Tree.Lstat(path); err == nil && info.Mode().Perm()&0o002 != 0 {
		return &fail.Error{Op: "overlay directory " + path, Err: errors.New("everybody may write to it"), Hint: "chmod o-w " + path + ", or name another directory"}
	}
	if sub != "" {
		path += "/" + sub
		if err := c.checkOwn(path); err != nil {
			return missingIsFine(err)
		}
	}
	for _, name := range [...]string{"/upper", "/work"} {
		if err := missingIsFine(c.checkOwn(path + name)); err != nil {
			return err
		}
	}
	return nil
}

// checkOwn refuses anything but a directory that belongs to the caller. If the owner is not known, as in a test,
// checkOwn accepts the directory.
func (c *Compilation) checkOwn(path string) error {
	info, err := c.Tree.Lstat(path)
	failed := func(why error, hint string) error {
		return &fail.Error{Op: "overlay directory " + path, Err: why, Hint: hint}
	}
	switch {
	case err != nil:
		return failed(fail.Bare(err), "make it, or name one that exists")
	case info.Mode()&fs.ModeSymlink != 0:
		return linkError(path)
	case !info.IsDir():
		return failed(unix.ENOTDIR, "remove it, or name another directory")
	case ownerOf(info) >= 0 && ownerOf(info) != c.Host.UID:
		return failed(errors.New("belongs to another user"), "name a directory of your own")
	}
	return nil
}

// linkError returns the error for a symbolic link on the way to a directory that stores changes.
func linkError(path string) error {
	return &fail.Error{Op: "overlay directory " + path, Err: errors.New("is a symbolic link, which an earlier run may have put there"),
		Hint: "remove the link, or name its target"}
}

// missingIsFine returns nil if err says that a directory does not exist yet. Otherwise it returns err. cordon makes a
// missing directory when the plan runs, with the right owner and mode.
func missingIsFine(err error) error {
	if e, ok := err.(*fail.Error); ok && e.Err == unix.ENOENT {
		return nil
	}
	return err
}

// keptLayer is a directory of the host that stores the changes of an overlay.
type keptLayer struct {
	path string
	from plan.From
}

// noteLayer records a directory that stores changes, and records each directory only once.
func (c *Compilation) noteLayer(path string, from plan.From) {
	for _, l := range c.layers {
		if l.path == path {
			return
		}
	}
	c.layers = append(c.layers, keptLayer{path, from})
}

// HideLayers hides the directories that store the changes of overlays, at every path at which the sandbox would show
// them. The task can use their content only through the overlay.
func (c *Compilation) HideLayers() error {
	windows := c.windows()
	for _, l := range c.layers {
		views, err := c.places(windows, l.path)
		if err != nil {
			return err
		}
		for _, view := range views {
			rule := policy.Pos{File: l.from.File, Line: l.from.Line, Flag: l.from.Flag}
			if err := c.coverThing(l.from, view, rule, true); err != nil {
				return &fail.Error{Op: "hide the overlay directory " + l.path, Err: err, From: rule.Short()}
			}
		}
	}
	return nil
}

// remake creates the target of a mount inside an overlay that stores its changes, and the directories above the target.
// The model of the tree finds them in the lower directory. But an earlier run may have replaced one of them by an empty
// directory, and the overlay shows that one. Each step tolerates that the name exists.
func (c *Compilation) remake(from plan.From, target string, dir bool) error {
	p := c.Tree.At(target)
	if p.Upper == "" || target == p.Target {
		return nil
	}
	parent, _ := paths.Split(target)
	if err := c.remake(from, parent, true); err != nil {
		return err
	}
	return c.make(from, p, target, dir)
}

// The next part shows a read-only directory of the host through an overlay without an upper directory (a "still"
// directory): overlayfs, Linux 5.11 in a user namespace, 6.13 with descriptors for layers (FSCONFIG_SET_FD).
//
// A read-only bind shows the host's own inodes. So the task could connect to a program that listens at a socket in the
// directory, lock its files against programs outside, and hold leases on them. The inodes of an overlay belong to the
// sandbox alone: nobody listens at a socket there (ECONNREFUSED), and a lock affects nobody outside.
//
// The price: if the host renames or removes a file there after the task has looked at it, the task may continue to see
// the old state. A bind with live: true is not shown through an overlay.

// StillSource is the source of a still overlay in the mount table. By it the launcher recognizes the overlay.
const StillSource = "still"

// keepsStill reports whether a read-only directory is shown through an overlay. attrs are the restrictions of the
// host's mount, which the overlay does not inherit.
func (c *Compilation) keepsStill(m *policy.Mount, src string, info fs.FileInfo) (attrs uint64, ok bool) {
	if m.Write || m.Live || !info.IsDir() || c.AsItIs() || c.LandlockResolves() || !c.othersWrite(src, info) || c.Tree.WritesAbove(src) {
		return 0, false
	}
	if !c.Host.Since(5, 11) {
		c.Missing = append(c.Missing, NotStill([]string{src})...)
		return 0, false
	}
	table, err := c.mountsOfHost()
	// Without the mount table it is unknown whether something is mounted below the directory.
	if err != nil {
		c.Missing = append(c.Missing, NotStill([]string{src})...)
		return 0, false
	}
	// overlayfs shows a single file system without the mounts on it. So a directory with a mount below it stays a bind.
	on := table.find(src)
	if on == nil || table.MountsBelow(src) {
		c.Missing = append(c.Missing, NotStill([]string{src})...)
		return 0, false
	}
	attrs = picture.AttrRO | picture.AttrBase
	// The overlay gets the restrictions of the host's mount, because a mount may never be weaker than what it shows.
	for name, attr := range map[string]uint64{"noexec": picture.AttrNoExec, "nosymfollow": attrNoLinks, "noatime": unix.MOUNT_ATTR_NOATIME} {
		if proc.HasOption(on.Options, name) {
			attrs |= attr
		}
	}
	return attrs, true
}

// othersWrite reports whether anybody but root may write to a directory of the host, or the caller is root. If neither
// is so, the directory cannot contain a socket of somebody whom the task might attack.
func (c *Compilation) othersWrite(src string, info fs.FileInfo) bool {
	if slices.ContainsFunc(picture.QuietDirs[:], func(dir string) bool { return paths.Below(src, dir) }) {
		return false
	}
	return ownerOf(info) != 0 || info.Mode().Perm()&0o022 != 0 || c.Host.UID == 0
}

// still mounts an overlay over the bind at target, with the bind as the overlay's lower directory. If the kernel
// refuses an overlay on that file system (EINVAL), the bind stays. The launcher finds that out when it reads the mount
// table. The kernel refuses an overlay on a file system with case-insensitive names, such as vfat, and an overlay of an
// overlay.
func (c *Compilation) still(from plan.From, bind plan.Arg, target string, attrs uint64) {
	// Without an upper directory, overlayfs needs at least two lower directories. So the second one is an empty
	// directory.
	c.emptyNodes()
	fsfd := plan.R(plan.FS)
	if c.Host.Since(6, 13) {
		c.do(from,
			plan.FsopenStep("overlay").Into(plan.FS),
			plan.FsFD(fsfd, "lowerdir+", bind),
			plan.OpenStep(plan.R(plan.Scratch), "dir", walk.OpenDir, 0).Into(plan.File),
			plan.FsFD(fsfd, "lowerdir+", plan.R(plan.File)),
			plan.CloseStep(plan.R(plan.File)))
	} else {
		name := "still" + strconv.Itoa(c.scratch.files)
		c.scratch.files++
		scratchfd := plan.R(plan.Scratch)
		c.do(from,
			plan.MkdirStep(scratchfd, name, 0o755),
			plan.Clone(bind, "", CloneTree|unix.AT_EMPTY_PATH).Into(plan.File),
			plan.Move(plan.R(plan.File), scratchfd, name, fromFD),
			plan.CloseStep(plan.R(plan.File)),
			plan.FchdirStep(scratchfd),
			plan.FsopenStep("overlay").Into(plan.FS),
			plan.FsString(fsfd, "lowerdir", name+":dir"))
	}
	// The launcher recognizes the overlay in the mount table by this source.
	c.do(from, plan.FsString(fsfd, "source", StillSource), plan.FsString(fsfd, "xino", "on"))
	// A user namespace may not use overlayfs's trusted.overlay attributes. userxattr selects user.overlay instead.
	if c.IDs.NewUser {
		c.do(from, plan.FsFlag(fsfd, "userxattr"))
	}
	c.do(from,
		plan.FsCreate(fsfd).OrElse(plan.EINVAL),
		plan.FsmountStep(fsfd, attrs).Into(plan.File).OrElse(plan.EINVAL),
		plan.CloseStep(fsfd))
	c.openInside(from, target, walk.OpenAny, plan.Target)
	c.do(from,
		plan.Move(plan.R(plan.File), plan.R(plan.Target), "", ontoFD).OrElse(plan.EBADF),
		plan.CloseStep(plan.R(plan.Target)),
		plan.CloseStep(plan.R(plan.File)).OrElse(plan.EBADF))
}

// NotStill returns what the report says about read-only directories that could not be shown through an overlay. The
// compiler calls it if it knows that before the launch, and the launcher if the kernel has refused the overlay.
func NotStill(dirs []string) (missing []report.Missing) {
	for _, src := range dirs {
		missing = append(missing, report.Missing{Layer: policy.LayerMount, Why: src + ": no read-only overlay can cover it, so the task can connect to a socket that somebody makes in it later",
			Instead: "covered sockets, as far as they exist at the start"})
	}
	return missing
}

// The next part mounts empty directories. If the program may write there, such a directory is a tmpfs (tmpfs(5)),
// otherwise a directory of the scratch file system.

// coveredSoon reports whether a mount can be left out because nobody would ever see it: a later mount at the same place
// is of the same kind, and the profile puts nothing into the place between the two. That happens if root runs a profile
// that empties /root and the home. i is the mount's index in the profile. Leaving the mount out only saves the time
// that it takes.
func (c *Compilation) coveredSoon(i int, m *policy.Mount) bool {
	if m.Kind != policy.MountTmpfs && m.Kind != policy.MountEmpty {
		return false
	}
	target, err := c.expandTarget(m.Target)
	if err != nil {
		return false
	}
	for j := i + 1; j < len(c.Profile.Mounts); j++ {
		next := &c.Profile.Mounts[j]
		if next.Kind != policy.MountTmpfs && next.Kind != policy.MountEmpty {
			return false
		}
		at, err := c.expandTarget(next.Target)
		if err != nil {
			return false
		}
		if at == target {
			return next.Kind == m.Kind && (m.Optional || !next.Optional)
		}
		if paths.Below(at, target) {
			return false
		}
	}
	return false
}

// emptied repeats a tmpfs or empty directory of the profile at each other path at which the host's tree shows the same
// directory. Examples are the home under its real name, if HOME is a link, and a directory that the host has mounted
// twice. A bind of the profile stays, because the profile asks for what it shows.
func (c *Compilation) emptied(from plan.From, m *policy.Mount) error {
	for _, path := range c.meanings(m.Target) {
		w := picture.Walker{Tree: c.hostTree()}
		end, err := w.Walk(path)
		if err != nil {
			continue // it does not exist, or the task cannot go there either
		}
		names, err := c.hostNames(end)
		if err != nil {
			return err
		}
		for _, name := range names {
			// A name is emptied only if it still shows the same directory of the host. If the profile mounts something
			// at this name, that is on purpose.
			if c.Tree.HostPath(name) != name || name == "/" {
				continue
			}
			if isDir, _ := c.Tree.Stat(name); isDir {
				c.mountEmpty(from, m, name)
			} else if err := c.coverThing(from, name, m.Pos, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// mountEmpty mounts a tmpfs, or a directory of the scratch file system that is read-only from the start. If later
// mounts need something in such a directory, it is made by the descriptor of the scratch file system. The directory
// costs a tenth of the time of a file system of its own.
func (c *Compilation) mountEmpty(from plan.From, m *policy.Mount, target string) {
	if m.Kind == policy.MountTmpfs {
		c.mountTmpfs(from, m, target)
		return
	}
	name := "empty" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	c.do(from, plan.MkdirStep(plan.R(plan.Scratch), name, uint64(permOr(m.Perm, 0o755))))
	c.fromScratch(from, name, target)
	c.Tree.Add(picture.Part{Target: target, Noexec: true, Dir: name, Made: map[string]picture.Node{}, What: emptyDir, Rule: m.Pos})
}

// emptyDir is the What of a part for a mount of the kind empty.
const emptyDir = "an empty directory"

// mountTmpfs mounts an empty tmpfs that the task may write to.
func (c *Compilation) mountTmpfs(from plan.From, m *policy.Mount, target string) {
	attrs := picture.AttrBase
	if m.NoExec {
		attrs |= picture.AttrNoExec
	}
	to := c.keeper()
	c.tmpfs(from, to, octal(permOr(m.Perm, 0o755)), m.Size, attrs)
	c.attach(from, plan.R(to), target, true)
	c.Tree.Add(picture.Part{Target: target, Write: true, Noexec: m.NoExec, FD: c.put(from, to), Made: map[string]picture.Node{}, What: "a tmpfs", Rule: m.Pos})
}
