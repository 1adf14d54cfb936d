package compile

// This file plans mounts: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), mount_setattr(2), move_mount(2),
// tmpfs(5), overlayfs.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// Mounts adds the mounts that the profile lists, in the profile's order.
func (c *Compilation) Mounts() error {
	if err := c.newTargets(); err != nil {
		return err
	}
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if c.coveredSoon(i, m) {
			continue
		}
		if err := c.mount(i, m); err != nil {
			return mountError(i, m, c.showsFile(m), err)
		}
	}
	return nil
}

// mountError adds to an error the mount that the error is about. If the target is missing, it also adds a hint. file
// says that the mount shows a file, which changes the command in the hint.
func mountError(i int, m *policy.Mount, file bool, err error) error {
	var missing *noTargetError
	var known *fail.UnsupportedError
	if errors.As(err, &known) {
		return err
	}
	e := &fail.Error{Op: "mounts[" + strconv.Itoa(i) + "]: " + string(m.Kind), Err: err, From: m.Pos.Short(), Hint: fail.HintOf(err)}
	if errors.As(err, &missing) {
		e.Hint = missing.hint(file)
	}
	return e
}

// mount plans one mount of the profile. It leaves the mount out if the mount is optional and its target does not exist.
// i is the mount's index in the profile, for errors. A mount can use what earlier mounts have shown, because each mount
// updates the model of the tree.
func (c *Compilation) mount(i int, m *policy.Mount) error {
	from := at("mounts", i, m.Pos)
	if m.Kind == policy.MountBind {
		return c.bind(from, i, m)
	}
	target, err := c.expandTarget(m.Target)
	if err != nil {
		return c.tolerate(m, err)
	}
	// A file is mounted on a file, everything else on a directory: mount(2) refuses other combinations.
	dir := m.Kind != policy.MountFile && m.Kind != policy.MountGenerate
	if m.Kind == policy.MountSymlink || m.Kind == policy.MountDir {
		return c.makeNode(from, m, target)
	}
	if err := c.refuseLink(m, target); err != nil {
		return err
	}
	if target, err = c.place(from, target, dir); err != nil {
		return c.tolerate(m, err)
	}
	return c.mountAt(from, m, target)
}

// refuseLink refuses to mount a file system of the kernel at a target that is a symbolic link in the root. Otherwise
// somebody who can write the root could later put a directory with false files in place of the link: CVE-2019-19921.
func (c *Compilation) refuseLink(m *policy.Mount, target string) error {
	if !slices.Contains([]policy.MountKind{policy.MountProc, policy.MountSysfs, policy.MountDev}, m.Kind) {
		return nil
	}
	dir, name := paths.Split(target)
	dir, err := c.Tree.Resolve(dir)
	if err != nil {
		return nil //nolint:nilerr // place reports the error
	}
	if n, err := c.Tree.Entry(paths.Join(dir, name)); err != nil || n.Link == "" {
		return nil //nolint:nilerr // place reports this error too
	}
	return &fail.Error{Op: target, Err: errors.New("the root has a symbolic link there, which could lead elsewhere when the program runs"),
		Hint: "replace the link by a directory"}
}

// mountAt plans one mount of the profile at a target that exists. The target contains no links. Each case adds the
// mount to c.Tree, so that later phases see it.
func (c *Compilation) mountAt(from plan.From, m *policy.Mount, target string) error {
	switch m.Kind {
	// An empty directory differs from a tmpfs only in its flags: see mountEmpty.
	case policy.MountTmpfs, policy.MountEmpty:
		c.mountEmpty(from, m, target)
		return c.emptied(from, m)
	case policy.MountProc:
		return c.proc(from, m, target)
	case policy.MountDev:
		return c.dev(from, m, target)
	// The mqueue file system shows the queues of the child's ipc namespace: mq_overview(7).
	case policy.MountMqueue:
		c.do(from, plan.FsopenStep("mqueue").Into(plan.FS))
		c.fsmount(from, plan.Tree, picture.AttrBase|picture.AttrNoExec)
		c.attach(from, plan.R(plan.Tree), target, false)
		c.Tree.Add(picture.Part{Target: target, Write: true, What: "mqueue", Rule: m.Pos})
		return nil
	case policy.MountSysfs:
		return c.sysfs(from, m, target)
	case policy.MountOverlay:
		return c.mountOverlay(from, m, target)
	case policy.MountFile:
		c.content(from, target, m.Content, permOr(m.Perm, 0o644), m.Pos)
		return nil
	case policy.MountGenerate:
		text, err := c.generate(m.Target)
		if err != nil {
			return err
		}
		c.content(from, target, text, 0o644, m.Pos)
		return nil
	}
	return errors.New("unknown kind of mount")
}

// tolerate drops err if the mount is optional and its source or target does not exist, and records that for the report.
// tolerate returns any other error, because without the mount the task would see what the mount should hide.
func (c *Compilation) tolerate(m *policy.Mount, err error) error {
	var target *noTargetError
	why := ""
	switch {
	case !m.Optional:
	case errors.As(err, &target):
		why = "its target does not exist, and cannot be made"
	case errors.Is(err, fs.ErrNotExist):
		why = "it does not exist"
	case errors.Is(err, errNoHome):
		why = "there is no home directory"
	}
	if why == "" {
		return err
	}
	c.Left = append(c.Left, report.Added{Path: m.Place(), Why: why})
	return nil
}

// expandTarget returns the absolute path, inside the sandbox, of a mount's target. "~" and "." mean the caller's home
// and working directory, which have the same paths inside.
func (c *Compilation) expandTarget(t string) (string, error) {
	if strings.HasPrefix(t, "/") {
		return paths.Clean(t), nil
	}
	return c.expand(t)
}

// bind shows a file or directory of the host. The bind is never less restricted than the host's mount, because the copy
// of the mount keeps the mount's flags. The source is a path of the host, and the target is a path inside.
func (c *Compilation) bind(from plan.From, i int, m *policy.Mount) error {
	src, info, err := c.bindSource(m)
	if err != nil || src == "" {
		return err
	}
	if asksForDevices(src, info) {
		return c.bindDevices(from, m, src, info)
	}
	target, err := c.bindTarget(m)
	if err != nil {
		return err
	}
	if done, err := c.elsewhere(i, m, src); done || err != nil {
		return err
	}
	if src == "/dev" {
		c.note("no device can be opened in the bind of /dev: name each device that the program needs, as in --rw /dev/fuse")
	}
	// The section root decides what / is. A bind can neither replace nor cover it.
	if target == "/" && src == "/" && c.Profile.Root.Kind == policy.RootHost && !m.Write {
		return nil // the root shows it already, read-only
	}
	if target == "/" && m.Source == "." {
		return &fail.Error{Op: m.Source, Err: errors.New("the working directory is /, and the root cannot be a bind's target"), Hint: "work in another directory"}
	}
	if target == "/" {
		return errors.New("the root cannot be a bind's target; use root: {dir: " + src + "}")
	}
	if target, err = c.place(from, target, info.IsDir()); err != nil {
		return c.tolerate(m, err)
	}
	attrs := picture.AttrBase
	// AttrBase is nosuid and nodev, for every mount.
	if !m.Write {
		attrs |= picture.AttrRO
	} else if err := c.writesAsRoot(src, info, m.Pos.Short()); err != nil {
		return err
	}
	if m.NoExec {
		attrs |= picture.AttrNoExec
	}
	// All decisions come before the first step. Otherwise a bind that turns out to be shown in another way could have
	// added steps already.
	still, ok := c.keepsStill(m, src, info)
	plain := c.IDs.Idmapped && !m.Write && info.IsDir() && c.rootsOwn(src)
	// If the mount is idmapped, the launcher makes it and the child receives it. Otherwise the child makes it with its
	// own rights: see openSource.
	mnt := c.openSource(from, plan.Tree, src, attrs, m.Pos.Short())
	// A bind of a directory of the system is not idmapped: see rootsOwn.
	if plain {
		c.Sources[len(c.Sources)-1].Plain = true
		if m.Source == "." && info.Mode().Perm()&0o001 == 0 {
			c.note("the working directory is " + src + ", which only root can enter: the program starts in /")
		}
	}
	// The mount gets its flags before it is attached. So at no time does a path lead to a mount that is still writable.
	c.attach(from, mnt, target, ok)
	if ok {
		c.still(from, mnt, target, still|attrs)
		c.do(from, plan.CloseStep(mnt))
	}
	c.Tree.Add(picture.Part{Target: target, Source: src, File: !info.IsDir(), Write: m.Write, Noexec: m.NoExec, Still: ok, Plain: plain, Cwd: m.Source == ".",
		What: "a bind of the host's " + src, Rule: m.Pos})
	return nil
}

// bindTarget returns the path inside at which the profile wants the bind or overlay m.
func (c *Compilation) bindTarget(m *policy.Mount) (string, error) {
	if m.Target != "" {
		return c.expandTarget(m.Target)
	}
	return c.expand(m.Source)
}

// sysfs mounts a new sysfs read-only, and hides parts of it. The mount is always read-only, because sysfs has no option
// that would make it safe.
func (c *Compilation) sysfs(from plan.From, m *policy.Mount, target string) error {
	// The kernel lets a process mount sysfs only if its user namespace owns the network namespace that sysfs would
	// show.
	if !c.OwnNet && c.IDs.NewUser && !c.joinedWithUser(unix.CLONE_NEWNET) {
		if m.Optional {
			c.Left = append(c.Left, report.Added{Path: m.Place(), Why: "sysfs shows devices of the network namespace, and the sandbox has none of its own"})
			return nil
		}
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: "sysfs shows devices of the network namespace and needs one of the sandbox's own",
			From: m.Pos.Short(), Remedy: "network: none, or bind /sys read-only"}
	}
	// The descriptor goes into the register that proc uses too, because mask names files relative to that register.
	c.do(from, plan.FsopenStep("sysfs").Into(plan.FS))
	c.fsmount(from, plan.Proc, picture.AttrRO|picture.AttrBase|picture.AttrNoExec)
	c.attach(from, plan.R(plan.Proc), target, true)
	c.Tree.Add(picture.Part{Target: target, Source: "/sys", What: "sysfs", Rule: m.Pos})
	// The hidden parts are the machine's firmware tables, and the power meters, which reveal what other processes
	// compute (CVE-2020-8694).
	for _, name := range maskedSysPaths {
		c.mask(from, target, name, m.Pos)
	}
	c.leave(from, plan.R(plan.Proc), 0)
	return nil
}

// makeNode creates a directory or a symbolic link on a file system that the launcher has mounted. The error is a
// noTargetError if the parent belongs to the host.
func (c *Compilation) makeNode(from plan.From, m *policy.Mount, target string) error {
	parent, name := paths.Split(target)
	parent, err := c.place(from, parent, true)
	if err != nil {
		return err
	}
	target = paths.Join(parent, name)
	p := c.Tree.At(target)
	_, exists := c.Tree.Stat(target)
	// Made is nil if the mount shows a directory of the host, where cordon creates nothing.
	if p == nil || p.Made == nil {
		switch {
		case exists && m.Kind == policy.MountDir && !m.Perm.Set:
			return nil
		case exists:
			return errors.New("target " + target + " exists already")
		}
		return &noTargetError{target, p}
	}
	if n, _ := c.Tree.Entry(target); m.Kind == policy.MountSymlink && p.Upper != "" && exists {
		if n.Link == m.Source {
			return nil // an earlier run of the same overlay made it
		}
		return errors.New("target " + target + " exists already")
	}
	if m.Kind == policy.MountDir && m.Perm.Set && exists && p.Upper == "" {
		return errors.New("target " + target + " exists already, and its mode would stay")
	}
	dir, name := c.openParent(from, p, target)
	if m.Kind == policy.MountDir {
		c.do(from, plan.MkdirStep(dir, name, uint64(permOr(m.Perm, 0o755))).OrElse(plan.EEXIST))
		p.Made[target] = picture.Node{Dir: true}
	} else {
		c.do(from, plan.SymlinkStep(m.Source, dir, name))
		p.Made[target] = picture.Node{Link: m.Source}
	}
	c.closeParent(from, p)
	return nil
}

// content mounts a read-only file that contains a given text. It creates the file on the scratch file system, so that
// the launcher never writes to the host's files. mode holds permission bits, and rule is the line of the profile that
// asks for the file.
func (c *Compilation) content(from plan.From, target, text string, mode uint32, rule policy.Pos) {
	name := "file" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	// O_EXCL is set although nobody else can write there: if two files had the same name, the plan would be wrong, and
	// the launch fails at this step.
	c.do(from, plan.OpenStep(plan.R(plan.Scratch), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, uint64(mode)).Into(plan.File))
	if text != "" {
		c.do(from, plan.WriteStep(plan.R(plan.File), text))
	}
	c.do(from, plan.CloseStep(plan.R(plan.File)))
	c.fromScratch(from, name, target)
	c.Tree.Add(picture.Part{Target: target, File: true, What: "a file of the launcher", Rule: rule})
}

// scratch describes the scratch file system: a tmpfs for files that the launcher makes, which the task cannot reach.
// Before Linux 6.15 parts of a mount can be cloned only while the mount is attached; for layers of an overlay that is
// so on every kernel. In these cases the scratch file system is attached to "/", below the new root.
type scratch struct {
	made     bool // in a repair: the tmpfs exists
	lent     bool // in a repair: the tmpfs is attached only while a file of it is cloned
	attached bool
	files    int
	empty    bool // the empty file and directory that are mounted over hidden things exist
	device   bool // so does the device that is mounted over hidden files if the task can ignore modes

	// blankFile and blankDir say whether the empty file and the empty directory that everybody can read exist.
	blankFile, blankDir bool
}

// openScratch mounts the scratch file system. If parts of it must be cloned while it is attached, openScratch attaches
// it to "/".
func (c *Compilation) openScratch() {
	from := own("scratch")
	c.tmpfs(from, plan.Scratch, "700", 0, picture.AttrBase|picture.AttrNoExec)
	if c.scratch.attached = !c.Host.Since(6, 15) || c.overlays(); c.scratch.attached {
		c.do(from, plan.Move(plan.R(plan.Scratch), plan.CWD, "/", fromFD))
	}
}

// overlays reports whether the profile has an overlay. The directories upper and work of an overlay with upper: tmp lie
// on the scratch file system.
func (c *Compilation) overlays() bool {
	if c.Profile.Root.Overlay != "" {
		return true
	}
	for i := range c.Profile.Mounts {
		if c.Profile.Mounts[i].Kind == policy.MountOverlay {
			return true
		}
	}
	return false
}

// attrsOfCover are the attributes of a mount that shows a file or directory of the scratch file system.
const attrsOfCover = picture.AttrRO | picture.AttrBase | picture.AttrNoExec

// fromScratch mounts a file or directory of the scratch file system, read-only. name is relative to the top of the
// scratch file system.
func (c *Compilation) fromScratch(from plan.From, name, target string) {
	c.copyMounts(from, plan.Tree, plan.R(plan.Scratch), name, cloneOne, attrsOfCover, 0, 0)
	c.attach(from, plan.R(plan.Tree), target, false)
}

// permOr returns the mode of the profile if the profile sets one, and otherwise the mode that is passed. A mode of 0 in
// the profile is a mode like any other.
func permOr(p policy.Opt[uint32], otherwise uint32) uint32 {
	if p.Set {
		return p.V
	}
	return otherwise
}

// octal formats a mode for the mount options of a tmpfs. For example, 0o1777 becomes "1777".
func octal(mode uint32) string { return strconv.FormatUint(uint64(mode), 8) }

// MayMapRoot reports whether the launcher may map the id 0 of its own user namespace. Since Linux 5.12 that needs
// CAP_SETFCAP, because file capabilities are valid for the root of the namespace that set them: user_namespaces(7).
func (c *Compilation) MayMapRoot() bool {
	return c.IDs.OutUID != 0 || c.hasSetFCap()
}

// hasSetFCap reports whether the launcher has CAP_SETFCAP, or the kernel does not require it to map root's id.
func (c *Compilation) hasSetFCap() bool {
	return !c.Host.Since(5, 12) || c.Host.Permitted&(1<<unix.CAP_SETFCAP) != 0
}

// MapCause returns the reason why the kernel refused an id map, and the remedy.
func (c *Compilation) MapCause() (why, remedy string) {
	const elsewhere = "the id is not mapped where this process runs, as in a container"
	const setfcap = "a map of root's id takes CAP_SETFCAP since Linux 5.12, and the launcher does not have it"
	switch {
	case c.MayMapRoot() && c.Host.HostRoot && !c.hasSetFCap():
		return elsewhere, c.OrRoot()
	case c.MayMapRoot():
		return elsewhere, "--host-user caller keeps the caller's id"
	case c.Host.GivesIDs():
		return setfcap, "give it that, or leave out user: {host: caller} and --host-user caller, and the task gets an id of its own"
	case !c.Host.HostRoot:
		return setfcap, "give it that (docker run --cap-add SETFCAP), or start cordon as another user of the container"
	}
	return setfcap, "give it that; or SETUID and SETGID, and without user: {host: caller} the task gets an id of its own"
}

// OrRoot returns the advice to run the task with root's id, with the flags for that.
func (c *Compilation) OrRoot() string {
	if !c.hasSetFCap() {
		return "--host-user caller runs the task as root, and needs CAP_SETFCAP, which the launcher lacks"
	}
	return "--host-user caller runs the task as root"
}

// ownDirs are directories of the system in which root keeps private files next to public ones: keys, passwords, logs,
// and databases.
var ownDirs = [...]string{"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/efi", "/var", "/run"}

// workDirs lists directories that lie below ownDirs, but in which users work.
var workDirs = [...]string{"/var/tmp", "/var/home", "/var/www", "/usr/src", "/usr/local/src"}

// rootsOwn reports whether a directory of the host belongs to the system, and nobody lives or works in it. In an
// idmapped bind, root's files appear as the task's own, so that root can work on projects of its own. In a directory of
// the system the task could then read what only root may read: after cd /etc, a profile that binds the working
// directory would show sudoers. So a read-only bind of such a directory is not idmapped, and gives only the rights that
// everybody has. A bind that names a file, or that is writable, is on purpose, so it is idmapped.
func (c *Compilation) rootsOwn(dir string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(d string) bool { return paths.Below(dir, d) })
	}
	return dir == "/" || in(ownDirs[:]) && !in(workDirs[:]) && !(len(c.Host.Home) > len("/var/") && paths.Below(c.Host.Home, "/var") && paths.Below(dir, c.Host.Home))
}
