package sandbox

// A guard is mounted again by a helper process that runs a plan of its own: setns(2), open_tree(2), move_mount(2). The
// helper is never in the sandbox's pid namespace, so that no task can see, signal or trace it.

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/plan"
)

// restore mounts guards again, while the task is frozen if it has a cgroup.
func (p *process) restore(lost []int) error {
	thaw := p.freeze()
	defer thaw()
	c := p.comp.repairs()
	for _, i := range lost {
		if err := c.repair(&p.guards.list[i].part, p.guards.list[i].isDir); err != nil {
			return err
		}
	}
	if err := runRepair(&c.plan, p.guards.fds); err != nil {
		return err
	}
	for _, i := range lost {
		if err := p.checkRestored(&p.guards.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// freeze stops the sandbox's group, unless somebody else has paused it, and returns what lets it go on.
func (p *process) freeze() (thaw func()) {
	place := p.place()
	if place == nil {
		return func() {}
	}
	if frozen, err := place.Frozen(); err != nil || frozen {
		return func() {}
	}
	_ = place.Freeze() // a group without a freezer goes on: the guard is back a moment later all the same
	return func() { _ = place.Thaw() }
}

// repairs begins a plan that enters the sandbox's namespaces with the task's ids and all capabilities there.
func (c *compilation) repairs() *compilation {
	r := &compilation{profile: c.profile, host: c.host, cmd: c.cmd, tree: c.tree, ids: c.ids, keep: c.keep, rootFD: plan.F(fileRoot)}
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
		c.cloneOnto(from, &again, p.attrs())
		return nil
	}
	return errText(p.what + " was mounted there")
}

// repairScratch makes the file system of the covers. Before Linux 6.15 nothing can be cloned that is not attached: each
// cover then has a file system of its own, which is attached for the moment of cloning only (mountFromScratch), so that a
// repair that fails leaves nothing.
func (c *compilation) repairScratch() {
	lend := !c.host.since(6, 15)
	if !lend && c.scratch.made {
		return
	}
	c.scratch = scratch{made: true, lent: lend}
	c.tmpfs(own("scratch"), plan.Scratch, "700", 0, attrBase|attrNoExec)
}

// attrs are a part's attributes beyond those of what it shows.
func (p *part) attrs() uint64 {
	attrs := attrBase
	if !p.write {
		attrs |= attrRO
	}
	if p.noexec {
		attrs |= attrNoExec
	}
	return attrs
}

// runRepair runs a plan in a process of its own and waits for its end.
func runRepair(p *plan.Plan, files map[string]int) error {
	im, err := child.Link(p, files)
	if err != nil {
		return err
	}
	defer im.Release()
	pid, pidfd, err := im.Start()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	status, err := awaitHelper(pid, pidfd)
	if err != nil {
		return err
	}
	if f := im.Page().Init; f.Errno != 0 {
		s := &p.Steps[f.Step-1]
		return &StepError{Index: int(f.Step) - 1, Step: s.String(), From: s.From.String(), Errno: unix.Errno(f.Errno)}
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return errText("the helper process was killed")
	}
	return nil
}

// checkRestored reads back that a guard is mounted again, and is no weaker than before.
func (p *process) checkRestored(g *watchedMount) error {
	table, err := p.readTable()
	if err != nil {
		return err
	}
	for i := range table.list {
		m := &table.list[i]
		if m.point != g.part.target || !table.reachable(m) {
			continue
		}
		if hasOption(m.options, "rw") && !g.part.write || !hasOption(m.options, "nosuid") {
			return errText("the mount table shows " + m.options)
		}
		g.mount = m.id
		g.count++
		return nil
	}
	return errText("the mount table does not show it")
}
