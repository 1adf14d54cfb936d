package sandbox

// The plan that mounts a guard again.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// repairs begins a plan that enters the sandbox's namespaces with the task's ids and all capabilities there.
func (c *compilation) repairs() *compilation {
	r := &compilation{profile: c.profile, host: c.host, req: c.req, tree: c.tree, ids: c.ids, keep: c.keep, rootFD: plan.F(fileRoot)}
	from := own("guard")
	r.plan.Files = []string{fileRoot, fileMountNS, fileUserNS}
	if c.ids.newUser {
		r.do(from, plan.SetnsStep(plan.F(fileUserNS), unix.CLONE_NEWUSER))
	}
	r.do(from, plan.SetnsStep(plan.F(fileMountNS), unix.CLONE_NEWNS))
	if c.ids.newUser { // what the helper makes belongs to the task's ids, or cannot be made
		r.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(c.ids.inGID)), plan.SetUID(uint64(c.ids.inUID)))
	}
	r.do(from, plan.UmaskStep(0), plan.FchdirStep(plan.F(fileRoot)), plan.ChrootStep("."))
	return r
}

// Lost is a guard that is to be mounted again.
type Lost struct {
	Part  *part
	IsDir bool // what has its name now
}

// Repair compiles the plan that mounts guards again.
func (c *compilation) Repair(lost []Lost) (*plan.Plan, error) {
	r := c.repairs()
	for _, l := range lost {
		if err := r.repair(l.Part, l.IsDir); err != nil {
			return nil, err
		}
	}
	return &r.plan, nil
}

// repair adds the steps that mount one guard again.
func (c *compilation) repair(p *part, isDir bool) error {
	again := *p
	again.absent, again.fleeting, again.file = false, false, !isDir
	from := at("guard", -1, p.rule)
	if p.opaque || p.text != nil {
		c.repairScratch()
	}
	switch {
	case p.opaque:
		c.coverOnto(from, &again)
		return nil
	case p.text != nil:
		again.file = true
		c.copyOnto(from, &again)
		return nil
	case p.guard != 0 || c.tree.isItself(p):
		c.cloneOnto(from, &again, attrsOf(p))
		return nil
	}
	return errors.New(p.what + " was mounted there")
}

// repairScratch makes the file system of the covers. Before Linux 6.15 nothing can be cloned that is not attached: each
// cover then has a file system of its own, which is attached for the moment of cloning only (mountFromScratch), so that a
// repair that fails leaves nothing.
func (c *compilation) repairScratch() {
	lend := !c.host.Since(6, 15)
	if !lend && c.scratch.made {
		return
	}
	c.scratch = scratch{made: true, lent: lend}
	c.tmpfs(own("scratch"), plan.Scratch, "700", 0, attrBase|attrNoExec)
}

// attrsOf returns a part's attributes beyond those of what it shows.
func attrsOf(p *part) uint64 {
	attrs := attrBase
	if !p.write {
		attrs |= attrRO
	}
	if p.noexec {
		attrs |= attrNoExec
	}
	return attrs
}

// The files of a repair's plan, besides fileRoot.
const (
	fileUserNS  = fileSpace + "user"
	fileMountNS = fileSpace + "mnt"
)
