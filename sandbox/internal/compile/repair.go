package compile

// The plan that mounts a guard again.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// repairs begins a plan that enters the sandbox's namespaces with the task's ids and all capabilities there.
func (c *Compilation) repairs() *Compilation {
	r := &Compilation{Profile: c.Profile, Host: c.Host, Req: c.Req, Tree: c.Tree, IDs: c.IDs, Keep: c.Keep, rootFD: plan.F(attach.FileRoot)}
	from := own("guard")
	r.Plan.Files = []string{attach.FileRoot, FileMountNS, FileUserNS}
	if c.IDs.NewUser {
		r.do(from, plan.SetnsStep(plan.F(FileUserNS), unix.CLONE_NEWUSER))
	}
	r.do(from, plan.SetnsStep(plan.F(FileMountNS), unix.CLONE_NEWNS))
	if c.IDs.NewUser { // what the helper makes belongs to the task's ids, or cannot be made
		r.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(c.IDs.InGID)), plan.SetUID(uint64(c.IDs.InUID)))
	}
	r.do(from, plan.UmaskStep(0), plan.FchdirStep(plan.F(attach.FileRoot)), plan.ChrootStep("."))
	return r
}

// Lost is a guard that is to be mounted again.
type Lost struct {
	Part  *picture.Part
	IsDir bool // what has its name now
}

// Repair compiles the plan that mounts guards again.
func (c *Compilation) Repair(lost []Lost) (*plan.Plan, error) {
	r := c.repairs()
	for _, l := range lost {
		if err := r.repair(l.Part, l.IsDir); err != nil {
			return nil, err
		}
	}
	return &r.Plan, nil
}

// repair adds the steps that mount one guard again.
func (c *Compilation) repair(p *picture.Part, isDir bool) error {
	again := *p
	again.Absent, again.Fleeting, again.File = false, false, !isDir
	from := at("guard", -1, p.Rule)
	if p.Opaque || p.Text != nil {
		c.repairScratch()
	}
	switch {
	case p.Opaque:
		c.coverOnto(from, &again)
		return nil
	case p.Text != nil:
		again.File = true
		c.copyOnto(from, &again)
		return nil
	case p.Guard != 0 || c.Tree.IsItself(p):
		c.cloneOnto(from, &again, attrsOf(p))
		return nil
	}
	return errors.New(p.What + " was mounted there")
}

// repairScratch makes the file system of the covers. Before Linux 6.15 nothing can be cloned that is not attached: each
// cover then has a file system of its own, which is attached for the moment of cloning only (mountFromScratch), so that a
// repair that fails leaves nothing.
func (c *Compilation) repairScratch() {
	lend := !c.Host.Since(6, 15)
	if !lend && c.scratch.made {
		return
	}
	c.scratch = scratch{made: true, lent: lend}
	c.tmpfs(own("scratch"), plan.Scratch, "700", 0, picture.AttrBase|picture.AttrNoExec)
}

// attrsOf returns a part's attributes beyond those of what it shows.
func attrsOf(p *picture.Part) uint64 {
	attrs := picture.AttrBase
	if !p.Write {
		attrs |= picture.AttrRO
	}
	if p.Noexec {
		attrs |= picture.AttrNoExec
	}
	return attrs
}

// The files of a repair's plan, besides FileRoot.
const (
	FileUserNS  = attach.FileSpace + "user"
	FileMountNS = attach.FileSpace + "mnt"
)
