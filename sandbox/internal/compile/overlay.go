package compile

// overlayfs in a user namespace: Linux 5.11, with userxattr. The layers are named relative to the scratch file system,
// so that no path of a profile is ever resolved by the mount, or has to be escaped.

import (
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// layers are what an overlay is made of.
type layers struct {
	lower string // a host directory
	upper string // "tmp", or a host directory that keeps the changes
	sub   string // in upper, the directory of this overlay; "" is upper itself
	plain bool   // lower is never idmapped
	whole bool   // a root file system: with ranges, every id of the layers stands for one of the sandbox's
}

// overlay makes a detached overlay of a host directory. Its root has the mode of the directory beneath. It returns the
// host directory that the changes go to, "" where they are thrown away.
func (c *Compilation) overlay(from plan.From, to plan.Reg, o layers, where string) (string, error) {
	info, err := c.Host.Files.Stat(o.lower)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		return "", errors.New(o.lower + ": " + fail.Bare(err).Error())
	}
	dir := "overlay" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratchfd := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratchfd, dir, 0o755), plan.MkdirStep(scratchfd, dir+"/lower", 0o755))
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
	if o.upper != "tmp" {
		if top, kept, err = c.layer(from, dir+"/top", o, where); err != nil {
			return "", err
		}
	}
	c.do(from,
		plan.MkdirStep(scratchfd, top+"/upper", dirMode(info.Mode())).OrElse(plan.EEXIST),
		plan.MkdirStep(scratchfd, top+"/work", 0o700).OrElse(plan.EEXIST))
	if kept != "" {
		c.ownDirs(from, top+"/upper", top+"/work")
	}
	c.mergeLayers(from, to, dir, top)
	return kept, nil
}

// openWhole is openSource with an idmapped mount that has all of the sandbox's ids, not the caller's alone.
func (c *Compilation) openWhole(from plan.From, to plan.Reg, path string, attrs uint64, where string) plan.Arg {
	mnt := c.openSource(from, to, path, attrs, where)
	c.Sources[len(c.Sources)-1].Whole = true
	return mnt
}

// mergeLayers mounts an overlay of dir/lower with the changes in top.
func (c *Compilation) mergeLayers(from plan.From, to plan.Reg, dir, top string) {
	fsfd := plan.R(plan.FS)
	c.do(from,
		plan.FchdirStep(plan.R(plan.Scratch)),
		plan.FsopenStep("overlay").Into(plan.FS),
		plan.FsString(fsfd, "lowerdir", dir+"/lower"),
		plan.FsString(fsfd, "upperdir", top+"/upper"),
		plan.FsString(fsfd, "workdir", top+"/work"))
	if top == dir { // it is thrown away: nothing need be on a disk before it goes on
		c.do(from, plan.FsFlag(fsfd, "volatile"))
	}
	if c.IDs.NewUser {
		c.do(from, plan.FsFlag(fsfd, "userxattr"))
	}
	c.fsmount(from, to, picture.AttrBase)
}

// dirMode is a directory's mode as mkdir(2) takes it.
func dirMode(m fs.FileMode) uint64 {
	mode := uint64(m.Perm())
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

func (c *Compilation) mountOverlay(from plan.From, m *policy.Mount, target string) error {
	lower, err := c.hostSource(m.Source)
	if err != nil {
		return err
	}
	upper, err := c.overlay(from, plan.Tree, layers{lower: lower, upper: m.Upper}, m.Pos.Short())
	if err != nil {
		return err
	}
	c.attach(from, plan.R(plan.Tree), target, false)
	c.Tree.Add(picture.Part{Target: target, Source: lower, Upper: upper, Write: true, Made: map[string]picture.Node{}, Layer: true, What: "an overlay", Rule: m.Pos})
	return nil
}
