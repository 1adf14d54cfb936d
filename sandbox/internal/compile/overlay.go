package compile

// This file plans overlays: overlayfs in a user namespace, Linux 5.11, with userxattr. The steps name the layers
// relative to the scratch file system. So the mount resolves no path of a profile, and mount options contain no path
// that would have to be escaped.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/plan"
)

// layers describes the directories that an overlay consists of.
type layers struct {
	lower string // a host directory
	upper string // "tmp", or a directory of the host that stores the changes
	sub   string // the subdirectory of upper for this overlay; "" means upper itself
	size  int64  // of what "tmp" may hold, in bytes; 0 is half of memory, for all of the sandbox's own files together
	plain bool   // lower is never idmapped
	whole bool   // the overlay is a root file system: with subordinate ids, every id in the layers is mapped
}

// overlay makes a detached overlay of a host directory. The overlay's top directory has the mode of the host directory.
// overlay returns the host directory that stores the changes, or "" if the changes are discarded. to is the register
// that gets the descriptor of the mount, and where is the line of the profile, for errors.
func (c *Compilation) overlay(from plan.From, to plan.Reg, o layers, where string) (string, error) {
	info, err := c.Host.Files.Stat(o.lower)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return "", errors.New(o.lower + ": " + fail.Bare(err).Error())
	}
	// The layers get names on the scratch file system, so that the mount options need no path of the host.
	dir := "overlay" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratchfd := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratchfd, dir, 0o755), plan.MkdirStep(scratchfd, dir+"/lower", 0o755))
	// An idmapped mount for all ids is possible only if each id inside is the same on disk.
	o.whole = o.whole && c.IDs.Ranges && c.IDs.Idmapped && c.IDs.InUID == c.Host.UID && c.IDs.InGID == c.Host.GID
	var mnt plan.Arg
	switch {
	case o.plain:
		mnt = c.clonePath(from, plan.Tree, o.lower, picture.AttrRO|picture.AttrBase)
	case o.whole:
		mnt = c.openWhole(from, plan.Tree, o.lower, picture.AttrRO|picture.AttrBase, where)
	default:
		c.noteForeign(o.lower)
		mnt = c.openSource(from, plan.Tree, o.lower, picture.AttrRO|picture.AttrBase, where)
	}
	c.do(from, plan.Move(mnt, scratchfd, dir+"/lower", fromFD), plan.CloseStep(mnt))
	top, kept := dir, ""
	// A tmpfs of its own bounds only the changes of this overlay.
	if o.size > 0 {
		top = dir + "/top"
		c.do(from, plan.MkdirStep(scratchfd, top, 0o700))
		c.tmpfs(from, plan.Tree, "700", o.size, picture.AttrBase)
		c.do(from, plan.Move(plan.R(plan.Tree), scratchfd, top, fromFD), plan.CloseStep(plan.R(plan.Tree)))
	}
	if o.upper != "tmp" {
		if top, kept, err = c.layer(from, dir+"/top", o, where); err != nil {
			return "", err
		}
	}
	c.do(from,
		// An earlier run may have made both directories. The upper directory gets the mode of the lower one, because
		// overlayfs shows the mode of the upper directory. The work directory must be empty and on the file system of
		// the upper directory, so both lie in top.
		plan.MkdirStep(scratchfd, top+"/upper", dirMode(info.Mode())).OrElse(plan.EEXIST),
		plan.MkdirStep(scratchfd, top+"/work", 0o700).OrElse(plan.EEXIST))
	// An earlier run may also have put something else in place of the directories, so ownDirs checks who owns them.
	if kept != "" {
		c.ownDirs(from, top+"/upper", top+"/work")
	}
	c.mergeLayers(from, to, dir, top, kept == "")
	return kept, nil
}

// openWhole does what openSource does, but its idmapped mount maps all of the sandbox's ids, not only the caller's.
func (c *Compilation) openWhole(from plan.From, to plan.Reg, path string, attrs uint64, where string) plan.Arg {
	mnt := c.openSource(from, to, path, attrs, where)
	c.Sources[len(c.Sources)-1].Whole = true
	return mnt
}

// mergeLayers mounts an overlay of dir/lower with the changes in top. Both paths are relative to the scratch file
// system, which mergeLayers makes the working directory, because overlayfs looks up relative layers in the working
// directory.
func (c *Compilation) mergeLayers(from plan.From, to plan.Reg, dir, top string, lost bool) {
	fsfd := plan.R(plan.FS)
	c.do(from,
		plan.FchdirStep(plan.R(plan.Scratch)),
		plan.FsopenStep("overlay").Into(plan.FS),
		plan.FsString(fsfd, "lowerdir", dir+"/lower"),
		plan.FsString(fsfd, "upperdir", top+"/upper"),
		plan.FsString(fsfd, "workdir", top+"/work"))
	if lost { // the changes are discarded, so they need not be synced
		// Since Linux 5.10, overlayfs then skips every sync of the upper directory.
		c.do(from, plan.FsFlag(fsfd, "volatile"))
	}
	// A user namespace may not use overlayfs's trusted.overlay attributes. userxattr selects user.overlay instead.
	if c.IDs.NewUser {
		c.do(from, plan.FsFlag(fsfd, "userxattr"))
	}
	c.fsmount(from, to, picture.AttrBase)
}

// dirMode returns a directory's mode in the form that mkdir(2) takes.
func dirMode(m fs.FileMode) uint64 {
	mode := uint64(m.Perm())
	// Perm leaves the sticky bit out, but directories such as /tmp need it.
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

// mountOverlay mounts an overlay that the profile lists. target is the path inside, which exists.
func (c *Compilation) mountOverlay(from plan.From, m *policy.Mount, target string) error {
	lower, err := c.hostSource(m.Source)
	if err != nil {
		return err
	}
	upper, err := c.overlay(from, plan.Tree, layers{lower: lower, upper: m.Upper, size: m.Size}, m.Pos.Short())
	if err != nil {
		return err
	}
	c.attach(from, plan.R(plan.Tree), target, false)
	c.Tree.Add(picture.Part{Target: target, Source: lower, Upper: upper, Write: true, Made: map[string]picture.Node{}, Layer: true, What: "an overlay", Rule: m.Pos})
	return nil
}

// The next part plans an overlay over the host's root. One overlay of the whole root is impossible, for three reasons.
// overlayfs shows a single file system without the mounts on it. It refuses a lower directory that has a mount on it
// which a user namespace may not uncover (mount_namespaces(7), "locked"). And to change a file, it copies the
// directories above with their owners, which fails for an owner that the user namespace does not map (EOVERFLOW). So
// the root is read-only, and an overlay is mounted on each directory that the task may write to, that contains no
// mounts, and that lies on a disk. The task could not write to the other directories anyway.

const (
	maxOverlays = 500 // in one sandbox
	// overlayDepth is the depth to which the launcher searches for such directories: /home/ann has two components, and
	// /srv/www/site has three. Only the home and the working directory may lie deeper.
	overlayDepth = 3
)

// overlayHost mounts overlays on the host's writable directories, one by one.
func (c *Compilation) overlayHost(from plan.From) error {
	table, err := c.hostMounts()
	if err != nil {
		return &fail.Error{Op: "root: overlay", Err: err, From: c.Where("root")}
	}
	// The home and the working directory are considered at any depth, because most programs write there.
	f := overlayFinder{c: c, table: table}
	f.below("/", 1)
	for _, dir := range [...]string{c.Host.Home, c.Host.Cwd} {
		f.above(dir)
	}
	slices.Sort(f.found)
	switch {
	case len(f.found) == 0:
		err = errors.New("every directory of the host that the task may write has something mounted in it")
	case len(f.found) > maxOverlays:
		err = errors.New("more than " + strconv.Itoa(maxOverlays) + " directories besides their mount points")
	}
	if err != nil {
		return &fail.Error{Op: "root: overlay", Err: err, From: c.Where("root"), Hint: "overlay single directories: mounts: [{overlay: /dir, lower: /dir, upper: tmp}]"}
	}
	for _, dir := range f.found {
		// The lower directory is not idmapped: an overlay changes where writes go, not who may write.
		o := layers{lower: dir, upper: c.Profile.Root.Overlay, sub: layerName(dir), plain: true}
		upper, err := c.overlay(from, plan.Tree, o, c.Where("root"))
		if err != nil {
			return &fail.Error{Op: "root: overlay", Err: err, From: c.Where("root"), Hint: fail.HintOf(err)}
		}
		c.attach(from, plan.R(plan.Tree), dir, false)
		c.Tree.Add(picture.Part{Target: dir, Source: dir, Upper: upper, Write: true, Layer: true, What: "an overlay of the host's " + dir, Rule: c.Profile.Source("root")})
	}
	return nil
}

// layerName returns the name under which the changes of a directory are stored. The name is the directory's path, in
// which each byte that is not a letter, a digit, or one of "._+-" is replaced by % and two hexadecimal digits, because
// overlayfs gives some characters a special meaning. % itself is replaced too, so two directories never get the same
// name. dir must be absolute. For example, /home/ann becomes home%2Fann.
func layerName(dir string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, ch := range []byte(dir[1:]) {
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '.', ch == '_', ch == '+', ch == '-':
			b.WriteByte(ch)
		default:
			b.Write([]byte{'%', digits[ch>>4], digits[ch&15]})
		}
	}
	return b.String()
}

// overlayFinder finds the directories on which overlays are mounted. found lists their paths on the host, at first in
// the order in which they were found.
type overlayFinder struct {
	c     *Compilation
	table *proc.MountTable
	found []string
}

// below examines the directories in dir. depth is the number of components in the paths of these directories.
func (f *overlayFinder) below(dir string, depth int) {
	entries, err := f.c.Host.Files.ReadDir(dir)
	if err != nil {
		return // the task cannot read it either
	}
	for _, e := range entries {
		if e.IsDir() {
			f.look(paths.Join(dir, e.Name()), depth)
		}
	}
}

// look examines the directory at a path of the host, which must contain no link. If the task may write to the directory
// and it contains no mounts, look adds it to the list. Otherwise look searches the directories in it.
func (f *overlayFinder) look(path string, depth int) {
	// A directory that the task cannot enter needs no overlay. The search also ends if it has found too many
	// directories; overlayHost reports that.
	info, err := f.c.Tree.Lstat(path)
	if err != nil || !f.c.mayDo(unix.X_OK, path, info) || len(f.found) > maxOverlays {
		return
	}
	if mounts := f.table.MountsBelow(path); !mounts && f.c.mayDo(unix.W_OK, path, info) {
		if f.table.OnDisk(path) {
			f.found = append(f.found, path)
		}
	} else if mounts || depth < overlayDepth {
		f.below(path, depth+1)
	}
}

// above adds the directories above path that need an overlay. overlayfs cannot copy a directory that belongs to
// somebody else, so if the task's directory lies below such a directory, it needs an overlay of its own. above must
// come after below, because it uses what below has found.
func (f *overlayFinder) above(path string) {
	covered := false
	// covered says that the overlay on a directory above stores the changes of the current directory.
	for i := 1; i <= len(path) && path != "/"; i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		dir := path[:i]
		info, err := f.c.Tree.Lstat(dir)
		// The task cannot pass such a directory.
		if err != nil || !info.IsDir() || !f.c.mayDo(unix.X_OK, dir, info) {
			return
		}
		switch {
		case slices.Contains(f.found, dir):
			covered = true
		case covered && ownerOf(info) == f.c.IDs.OutUID:
		case !f.table.MountsBelow(dir) && f.c.mayDo(unix.W_OK, dir, info) && f.table.OnDisk(dir):
			f.found = append(f.found, dir)
			covered = true
		default:
			covered = false
		}
	}
}

// mayDo reports whether the task may write to a directory (W_OK) or enter it (X_OK), by the task's id on the host. If
// the task has another id than the launcher, mayDo finds no right that a group or an access control list gives.
func (c *Compilation) mayDo(what uint32, path string, info fs.FileInfo) bool {
	// access(2) also considers groups and access control lists. But it answers for the launcher, so its answer is used
	// only if the task has the launcher's id.
	perm := uint32(info.Mode().Perm())
	if perm&what != 0 || !c.Host.Privileged && c.IDs.OutUID == c.Host.UID && c.Host.Files.Access(path, what) == nil {
		return true
	}
	return perm&(what<<6) != 0 && ownerOf(info) == c.IDs.OutUID
}

// ownerOf returns a file's user id, or -1 if it is not known.
func ownerOf(info fs.FileInfo) int {
	if st, ok := host.StatOf(info); ok {
		return int(st.Uid)
	}
	return -1
}

// maxMountinfo bounds how many bytes of a mount table are read.
const maxMountinfo = 16 << 20

// hostMounts reads the host's mount table, or that of a joined mount namespace. A table of more than maxMountinfo bytes
// is an error.
func (c *Compilation) hostMounts() (*proc.MountTable, error) {
	name := "/proc/self/mountinfo"
	if j := c.Joined(unix.CLONE_NEWNS); j != nil {
		name = strings.TrimSuffix(j.Path, "/ns/mnt") + "/mountinfo"
	}
	// If a read fills the buffer, the table may have been cut off. Then it is read again into a larger buffer.
	for n := 64 << 10; ; n *= 16 {
		text, err := c.launcherFiles().Read(name, n)
		switch {
		case err != nil:
			return nil, err
		case len(text) < n:
			return proc.ParseMounts(text)
		case n > maxMountinfo:
			return nil, errors.New(name + " is too long")
		}
	}
}

// foreignLooks bounds how many entries of a lower directory are examined in the search for files that no task can
// change. overlayfs copies a file with its owner and group, and refuses the copy (EOVERFLOW) if the user namespace does
// not map the owner or the group.
const foreignLooks = 2000

// noteForeign warns, before the start, if the lower directory contains a file of the caller whose group the sandbox
// does not map. It ignores files of other users, which the task cannot change because of their modes. One file is
// enough for the note.
func (c *Compilation) noteForeign(lower string) {
	if !c.IDs.NewUser {
		return
	}
	// The search is breadth first, so that it sees files near the top before it reaches the limit.
	looks, dirs := 0, []string{lower}
	for len(dirs) > 0 && looks < foreignLooks {
		dir := dirs[0]
		dirs = dirs[1:]
		entries, err := c.Host.Files.ReadDir(dir)
		if err != nil {
			continue // the task cannot read it either
		}
		for _, e := range entries {
			if looks++; looks > foreignLooks {
				break
			}
			info, err := e.Info()
			if err != nil {
				continue
			}
			path := paths.Join(dir, e.Name())
			if st, ok := host.StatOf(info); ok && int(st.Uid) == c.Host.UID && int(st.Gid) != c.Host.GID {
				c.note("the overlay of " + lower + " cannot change files of other groups, such as " + path + " (group " + strconv.Itoa(int(st.Gid)) +
					"): the sandbox has no id for the group, so opening such a file for writing fails")
				return
			}
			if info.IsDir() {
				dirs = append(dirs, path)
			}
		}
	}
}

// note adds a sentence to Report.Notes, once.
func (c *Compilation) note(text string) {
	for _, t := range c.Notes {
		if t == text {
			return
		}
	}
	c.Notes = append(c.Notes, text)
}

// notBundle returns an error if a root directory is an OCI bundle. A bundle contains a root file system but is none:
// runtime-spec, bundle.md.
func (c *Compilation) notBundle(dir string) error {
	// A directory that also has bin or usr is taken for a root file system.
	is := func(name string, mode fs.FileMode) bool {
		info, err := c.Host.Files.Stat(paths.Join(dir, name))
		return err == nil && info.Mode().Type() == mode
	}
	if !is("config.json", 0) || !is("rootfs", fs.ModeDir) || is("bin", fs.ModeDir) || is("usr", fs.ModeDir) {
		return nil
	}
	return &fail.Error{Op: "root.dir " + dir, Err: errors.New("is an OCI bundle, and no root file system"), From: c.Where("root.dir"),
		Hint: "--root " + paths.Join(dir, "rootfs")}
}

// oneName reports whether a directory of the host has only one path, because its file system is mounted once. The path
// that is passed must have no links.
func (c *Compilation) oneName(dir string) bool {
	t, err := c.mountsOfHost()
	if err != nil {
		return false
	}
	m := t.find(dir)
	return m != nil && t.devices[m.Device] < 2
}
