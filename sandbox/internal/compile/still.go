package compile

// Read-only directories of the host through an overlay without an upper directory: overlayfs, Linux 5.11 in a user
// namespace, 6.13 with descriptors for layers (FSCONFIG_SET_FD).
//
// A read-only bind shows the host's own inodes. So the task could connect to whoever listens at a socket in it, lock its
// files against programs outside, and hold leases on them. The inodes of an overlay are the sandbox's alone: nobody
// listens there (ECONNREFUSED), and no lock on them reaches another.
//
// The price: what the host renames or removes in it after the task has looked may go on to be shown as it was. live: true
// leaves a bind as it is.

import (
	"io/fs"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// StillSource is what the mount table names as the source of such an overlay.
const StillSource = "still"

// keepsStill reports whether a read-only directory is shown through an overlay, and with which attributes: those of the
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
	if err != nil {
		c.Missing = append(c.Missing, NotStill([]string{src})...)
		return 0, false
	}
	on := table.find(src)
	if on == nil || table.MountsBelow(src) {
		c.Missing = append(c.Missing, NotStill([]string{src})...)
		return 0, false
	}
	attrs = picture.AttrRO | picture.AttrBase
	for name, attr := range map[string]uint64{"noexec": picture.AttrNoExec, "nosymfollow": attrNoLinks, "noatime": unix.MOUNT_ATTR_NOATIME} {
		if proc.HasOption(on.Options, name) {
			attrs |= attr
		}
	}
	return attrs, true
}

// othersWrite reports whether somebody but root may write to a directory of the host, or the task is the one who owns it.
func (c *Compilation) othersWrite(src string, info fs.FileInfo) bool {
	if slices.ContainsFunc(picture.QuietDirs[:], func(dir string) bool { return paths.Below(src, dir) }) {
		return false
	}
	return ownerOf(info) != 0 || info.Mode().Perm()&0o022 != 0 || c.Host.UID == 0
}

// still mounts the overlay over the bind at target, which it has as its lower directory. If the kernel stacks no file system
// on it (EINVAL: its names mean more than their bytes, as in vfat, or it is an overlay of an overlay), the bind stays, and
// the read-back tells.
func (c *Compilation) still(from plan.From, bind plan.Arg, target string, attrs uint64) {
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
	c.do(from, plan.FsString(fsfd, "source", StillSource), plan.FsString(fsfd, "xino", "on"))
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

// NotStill returns what the report says of read-only directories that stay binds.
func NotStill(dirs []string) (missing []report.Missing) {
	for _, src := range dirs {
		missing = append(missing, report.Missing{Layer: policy.LayerMount, Why: src + ": no read-only overlay can be put over it, so that a socket that is made in it later can be connected to",
			Instead: "the sockets that are there are covered"})
	}
	return missing
}
