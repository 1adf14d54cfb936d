package compile

// This file plans a mount on a target that the root does not have. Examples are `--ro ~/data:/data`, and /proc of a
// root file system that was unpacked without the directory /proc. The launcher makes nothing on the host, nor in the
// caller's root file system. Instead it mounts a directory of its own in place of the directory that lacks the name,
// binds every existing name in it, and makes the new name.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// maxBoundNames bounds how many names of a directory are bound, because each name becomes a mount.
const maxBoundNames = 1024

// hostsTree is the What of the parts that show the host's own tree, and rootTree that of the parts that show root.dir.
const (
	hostsTree = "the host's tree"
	rootTree  = "the root directory"
)

// needsTarget reports whether cordon must make room for a mount if the root does not have the mount's target. If it
// returns false and the target is missing, the mount is left out, or fails with an error of its own. For optional
// mounts it returns false, with two exceptions, because a root file system is often unpacked without their targets:
// sysfs, and the file that names the servers of the host's network.
func (c *Compilation) needsTarget(m *policy.Mount) bool {
	ofDir := c.Profile.Root.Kind == policy.RootDir
	switch {
	case !ofDir && m.Kind == policy.MountBind && !strings.HasPrefix(m.Target, "/"):
		return false // its target is the source's own path, or lies below the home or the working directory
	case !m.Optional:
		return true
	case m.Kind == policy.MountSysfs:
		return ofDir
	}
	return ofDir && m.Kind == policy.MountGenerate && m.Target == resolvFile && c.Profile.Network.Mode == policy.NetworkHost
}

// placeOf returns the absolute path inside at which the profile wants a mount. It returns "" if the path cannot be
// determined. In that case the phase that plans the mount reports the reason.
func (c *Compilation) placeOf(m *policy.Mount) string {
	target := m.Target
	if target == "" {
		target = m.Source
	}
	path, err := c.expandTarget(target)
	if err != nil || path == "/" {
		return ""
	}
	return path
}

// lacks returns the path of a mount of the profile, without links, if the mount needs this path and the tree t does not
// have it. It returns "" if the path exists, or if a file can be mounted on the link that leads nowhere. t may be a
// model that has only the root: see namesNew.
func (c *Compilation) lacks(t *picture.Tree, m *policy.Mount) string {
	if !c.needsTarget(m) {
		return ""
	}
	path := c.placeOf(m)
	if path == "" {
		return ""
	}
	end, err := t.Resolve(path)
	if err != nil {
		return "" // the phase that mounts it reports the error
	}
	if _, there := t.Stat(end); there || end != path && c.showsFile(m) && danglingLink(t, path) != "" {
		return ""
	}
	return end
}

// showsFile reports whether a mount shows a file, and not a directory. For a source that does not exist it returns
// false; the mount itself then fails or is left out.
func (c *Compilation) showsFile(m *policy.Mount) bool {
	if m.Kind != policy.MountBind {
		return m.Kind == policy.MountFile || m.Kind == policy.MountGenerate
	}
	src, err := c.hostSource(m.Source)
	if err != nil {
		return false
	}
	info, err := c.Tree.Lstat(src)
	return err == nil && !info.IsDir()
}

// danglingLink returns the path of the link at the end of a path, with the directories above it resolved. It returns ""
// if there is no link. It also returns "" for a link of proc, because the text of such a link is no path.
func danglingLink(t *picture.Tree, path string) string {
	dir, name := paths.Split(path)
	dir, err := t.Resolve(dir)
	if err != nil {
		return ""
	}
	link := paths.Join(dir, name)
	if n, err := t.Entry(link); err != nil || n.Link == "" || t.At(link).What == "proc" {
		return ""
	}
	return link
}

// namesNew reports whether the profile has a mount whose path begins with a name that root does not have. root is a
// directory of the host that is to become the sandbox's root. namesNew is called before the root is mounted, so it
// builds a model of the tree that has only the root. If an overlay lies over the root, or the program runs in place, it
// returns false, because then no directory of the launcher's own is needed.
func (c *Compilation) namesNew(root string) bool {
	if c.Profile.Root.Overlay != "" || c.AsItIs() || c.InPlace() {
		return false
	}
	host := c.hostTree() // both models remember what the host has answered
	t := picture.Tree{Files: host.Files, Known: host.Known, Links: host.Links}
	t.Add(picture.Part{Target: "/", Source: root})
	for i := range c.Profile.Mounts {
		path := c.lacks(&t, &c.Profile.Mounts[i])
		if path == "" {
			continue
		}
		if _, there := t.Stat("/" + firstName(path[1:])); !there {
			return true
		}
	}
	return false
}

// rootByNames makes the root a directory of the launcher's own, and binds in it each name of a directory of the host.
// root is that directory's path on the host; write says that the profile makes the root writable. maxBoundNames bounds
// the number of names.
func (c *Compilation) rootByNames(from plan.From, root string, write bool) error {
	c.byNames = true
	c.openScratch()
	c.tmpfs(from, plan.Root, "755", 0, picture.AttrBase)
	rule := c.Profile.Source("root")
	c.Tree.Add(picture.Part{Target: "/", Made: map[string]picture.Node{}, What: "the sandbox's root", Rule: rule})
	// With root: {host: ro} the copy of the host's tree that is already open becomes the source of the names. It is
	// attached to "/", because before Linux 6.15 a part of a mount can be cloned only while the mount is attached.
	like := picture.Part{Source: "/", What: hostsTree, Rule: rule}
	if c.Profile.Root.Kind == policy.RootDir {
		like = picture.Part{Source: root, Write: write, What: rootTree, Rule: rule}
	} else {
		c.do(from, plan.Move(c.rootFD, plan.CWD, "/", fromFD))
	}
	if write {
		c.note(root + " lacks a mount point, so the sandbox's root is a directory of cordon's own: the program can make nothing new in /")
	}
	return c.bindNames(from, "/", &like)
}

// bindNames binds each name of a directory of the host in a directory inside that belongs to the launcher. like is the
// part that has shown the directory so far; its Source is the host's path. If a name is a symbolic link, bindNames
// makes the same link. Each bind has the flags of like, and is writable only if like is.
func (c *Compilation) bindNames(from plan.From, inside string, like *picture.Part) error {
	host := like.Source
	entries, err := c.Host.Files.ReadDir(host)
	if err == nil && len(entries) > maxBoundNames {
		err = errors.New("has more than " + strconv.Itoa(maxBoundNames) + " names, which would each be a mount")
	}
	if err != nil {
		return &fail.Error{Op: host, Err: fail.Bare(err), Hint: "name a target that exists"}
	}
	attrs := picture.AttrBase
	if !like.Write {
		attrs |= picture.AttrRO
	}
	for _, e := range entries {
		src, target := paths.Join(host, e.Name()), paths.Join(inside, e.Name())
		// p is the launcher's directory, in whose Made the model keeps the new names.
		p := c.Tree.At(target)
		if e.Type()&fs.ModeSymlink != 0 {
			text, err := c.Host.Files.Readlink(src)
			if err != nil {
				continue // it is gone
			}
			dir, name := c.openParent(from, p, target)
			c.do(from, plan.SymlinkStep(text, dir, name))
			c.closeParent(from, p)
			p.Made[target] = picture.Node{Link: text}
			continue
		}
		if err := c.make(from, p, target, e.IsDir()); err != nil {
			return err
		}
		var mnt plan.Arg
		if like.What == rootTree {
			mnt = c.openSource(from, plan.Tree, src, attrs, c.Where("root.dir"))
		} else {
			mnt = c.clonePath(from, plan.Tree, src, attrs)
		}
		c.attach(from, mnt, target, false)
		c.Tree.Add(picture.Part{Target: target, Source: src, File: !e.IsDir(), Write: like.Write, What: like.What, Rule: like.Rule})
	}
	return nil
}

// newTargets makes room for the mounts whose target does not exist. It replaces the nearest existing directory above
// each such target by a directory of the launcher's. It does so before the first mount, because a later replacement
// would cover what the profile has mounted in the old directory. If the launcher itself can make every target on the
// root, newTargets does nothing.
func (c *Compilation) newTargets() error {
	if c.Profile.Root.Kind == policy.RootEmpty || c.Profile.Root.Overlay != "" || c.AsItIs() || c.InPlace() {
		return nil
	}
	var list []string
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		target := c.lacks(&c.Tree, m)
		if target == "" || c.Tree.At(target).Made != nil || c.mountedAbove(i, target) {
			continue
		}
		if m.Kind == policy.MountGenerate && m.Optional && c.Tree.At(target).Write {
			continue
		}
		list = append(list, target)
	}
	// The shortest path comes first, because a name that is bound in its directory may be the directory above a longer
	// path.
	slices.SortFunc(list, func(a, b string) int { return len(a) - len(b) })
	for _, target := range list {
		if err := c.remakeAbove(at("mounts", -1, c.Profile.Source("root")), target); err != nil {
			return err
		}
	}
	return nil
}

// mountedAbove reports whether an earlier mount of the profile is at a target or above it. That mount decides whether
// the target can be made. i is the index of the mount that needs the target.
func (c *Compilation) mountedAbove(i int, target string) bool {
	return slices.ContainsFunc(c.Profile.Mounts[:i], func(m policy.Mount) bool {
		path := c.placeOf(&m)
		if path == "" || !paths.Below(target, path) {
			return false
		}
		end, err := c.Tree.Resolve(path)
		if err != nil {
			return false
		}
		_, there := c.Tree.Stat(end)
		return there || !m.Optional
	})
}

// remakeAbove replaces the nearest existing directory above a target by a directory of the launcher's, if the existing
// one is read-only and part of the root. Otherwise the target stays missing, and the mount reports that.
func (c *Compilation) remakeAbove(from plan.From, target string) error {
	dir, _ := paths.Split(target)
	for ; dir != "/"; dir, _ = paths.Split(dir) {
		if isDir, there := c.Tree.Stat(dir); there {
			if !isDir {
				return nil
			}
			break
		}
	}
	// A writable directory must stay the host's, because the task may make files there that outlive the run. The
	// directories of proc and sysfs cannot be replaced in a useful way.
	p := *c.Tree.At(dir)
	host := c.Tree.HostPath(dir)
	if dir == "/" || host == "" || p.What != hostsTree && p.What != rootTree || p.Write || paths.Below(dir, "/proc") || paths.Below(dir, "/sys") {
		return nil
	}
	for i := range c.Tree.Parts {
		// Something is mounted there already, which the new directory would cover.
		if t := c.Tree.Parts[i].Target; t != dir && paths.Below(t, dir) {
			return nil
		}
	}
	info, err := c.Tree.Lstat(host)
	if entries, err2 := c.Host.Files.ReadDir(host); err != nil || err2 != nil || len(entries) > maxBoundNames {
		return nil //nolint:nilerr // the target stays missing
	}
	// The launcher's directory gets the mode of the host's.
	perm := policy.Opt[uint32]{Set: true, V: uint32(info.Mode().Perm())}
	c.mountEmpty(from, &policy.Mount{Kind: policy.MountEmpty, Perm: perm, Pos: p.Rule}, dir)
	c.Tree.Parts[len(c.Tree.Parts)-1].What = "the sandbox's " + dir
	p.Source = host
	return c.bindNames(from, dir, &p)
}

// openParent opens the directory in which the launcher makes a path of a part. It returns the directory's descriptor,
// and the name in the directory. The directories of a read-only part lie on the scratch file system. The path contains
// no link, because Resolve has followed the links.
func (c *Compilation) openParent(from plan.From, p *picture.Part, path string) (dir plan.Arg, name string) {
	if p.Dir != "" {
		return plan.R(plan.Scratch), p.Dir + path[len(p.Target):]
	}
	parent, name := paths.Split(path)
	c.openInside(from, parent, walk.OpenDir, plan.Dir)
	return plan.R(plan.Dir), name
}

// closeParent closes what openParent has opened.
func (c *Compilation) closeParent(from plan.From, p *picture.Part) {
	if p.Dir == "" {
		c.do(from, plan.CloseStep(plan.R(plan.Dir)))
	}
}

// rootNames deals with a root file system that names no name servers. If the sandbox uses the host's network, rootNames
// gives the root file system a copy of the host's resolv.conf. Distributions deliver that file as a link into /run, or
// not at all. A failure becomes a note and not an error, because a program may not need names.
func (c *Compilation) rootNames() error {
	if c.Profile.Network.Mode != policy.NetworkHost {
		return nil
	}
	end, err := c.Tree.Resolve(resolvFile)
	if err != nil {
		return nil //nolint:nilerr // a circle of links
	}
	if _, there := c.Tree.Stat(end); there {
		return nil
	}
	// The copy is mounted, not written: the root file system stays as it is.
	text, err := c.resolvConf()
	if err == nil {
		from := own("names")
		if end, err = c.place(from, resolvFile, false); err == nil {
			c.content(from, end, text, 0o644, policy.Pos{})
			return nil
		}
	}
	c.note("names: the root file system has no " + resolvFile + ", so that no name can be looked up: " + fail.Bare(err).Error() + nameHint(err))
	return nil
}

// nameHint returns the hint that belongs to an error of place, as the end of a note. It returns "" for any other error.
func nameHint(err error) string {
	var missing *noTargetError
	if errors.As(err, &missing) {
		return "; " + missing.hint(true)
	}
	return ""
}

// noTargetError reports a target that does not exist, at a place at which nothing can be made.
type noTargetError struct {
	target string
	part   *picture.Part
}

// Error names the target and the file system on which it would have to be made.
func (e *noTargetError) Error() string {
	return "target " + e.target + " does not exist, and cordon never makes anything on " + e.part.What
}

// hint says how the user can make the target by hand, if that is easy. Otherwise it names other ways.
func (e *noTargetError) hint(file bool) string {
	if e.part.What != rootTree || !e.part.Write {
		return "name a target that exists, put a tmpfs above it, or begin with root: {empty: true}"
	}
	path := paths.Moved(e.target, e.part.Target, e.part.Source)
	dir, _ := paths.Split(path)
	if file {
		return "make it in the root file system: mkdir -p " + phrase.Shell(dir) + " && touch " + phrase.Shell(path)
	}
	return "make it in the root file system: mkdir -p " + phrase.Shell(path)
}
