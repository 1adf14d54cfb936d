package sandbox

// overlayfs in a user namespace: Linux 5.11, with userxattr. The layers are named relative to the scratch file system,
// so that no path of a profile is ever resolved by the mount, or has to be escaped.

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// overlay makes a detached overlay of a host directory. upper is "tmp" or a host directory that keeps the changes.
func (c *compilation) overlay(from plan.From, name string, to plan.Reg, lower, upper, where string) error {
	dir := "overlay" + itoa(c.scratch.files)
	c.scratch.files++
	scratchfd := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratchfd, dir, 0o755), plan.MkdirStep(scratchfd, dir+"/lower", 0o755))
	mnt := c.openSource(from, plan.Tree, lower, attrRO|attrBase, where)
	c.do(from, plan.Move(mnt, scratchfd, dir+"/lower", fromFD), plan.CloseStep(mnt))
	top := dir
	if upper != "tmp" {
		path, err := c.hostSource(upper)
		if err != nil {
			return err
		}
		info, err := c.host.Files.Stat(path)
		if err == nil && !info.IsDir() {
			err = unix.ENOTDIR
		}
		if err != nil {
			return errText("overlay directory " + path + ": " + bare(err).Error())
		}
		top = dir + "/top"
		c.do(from, plan.MkdirStep(scratchfd, top, 0o755))
		mnt := c.openSource(from, plan.Tree, path, attrBase, where)
		c.do(from, plan.Move(mnt, scratchfd, top, fromFD), plan.CloseStep(mnt))
	}
	c.do(from,
		plan.MkdirStep(scratchfd, top+"/upper", 0o755).OrElse(plan.EEXIST),
		plan.MkdirStep(scratchfd, top+"/work", 0o755).OrElse(plan.EEXIST),
		plan.FchdirStep(scratchfd),
		plan.FsopenStep("overlay").Into(plan.FS))
	fsfd := plan.R(plan.FS)
	c.do(from,
		plan.FsString(fsfd, "lowerdir", dir+"/lower"),
		plan.FsString(fsfd, "upperdir", top+"/upper"),
		plan.FsString(fsfd, "workdir", top+"/work"))
	if c.ids.newUser {
		c.do(from, plan.FsFlag(fsfd, "userxattr"))
	}
	c.fsmount(from, to, attrBase)
	return nil
}

func (c *compilation) mountOverlay(from plan.From, m *policy.Mount, target string) error {
	lower, err := c.hostSource(m.Source)
	if err != nil {
		return err
	}
	if err := c.overlay(from, "overlay:"+target, plan.Tree, lower, m.Upper, m.Pos.Short()); err != nil {
		return err
	}
	c.attach(from, plan.R(plan.Tree), target, false)
	c.tree.add(part{target: target, source: lower, write: true, made: map[string]node{}, what: "an overlay", rule: m.Pos})
	return nil
}
