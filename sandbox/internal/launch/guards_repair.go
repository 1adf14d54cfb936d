package launch

// A guard is mounted again by a helper process that runs a plan of its own: setns(2), open_tree(2), move_mount(2). The
// helper is never in the sandbox's pid namespace, so that no task can see, signal or trace it.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/plan"
)

// restore mounts guards again, while the task is frozen if it has a cgroup.
func (p *Process) restore(lost []int) error {
	thaw := p.freeze()
	defer thaw()
	var again []compile.Lost
	for _, i := range lost {
		again = append(again, compile.Lost{Part: &p.guards.list[i].part, IsDir: p.guards.list[i].isDir})
	}
	repair, err := p.Comp.Repair(again)
	if err == nil {
		err = runRepair(repair, p.guards.fds)
	}
	if err != nil {
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
func (p *Process) freeze() (thaw func()) {
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
	status, err := child.AwaitHelper(pid, pidfd)
	if err != nil {
		return err
	}
	if f := im.Page().Init; f.Errno != 0 {
		s := &p.Steps[f.Step-1]
		return &fail.StepError{Index: int(f.Step) - 1, Step: s.String(), From: s.From.String(), Errno: unix.Errno(f.Errno)}
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return errors.New("the helper process was killed")
	}
	return nil
}

// checkRestored reads back that a guard is mounted again, and is no weaker than before.
func (p *Process) checkRestored(g *watchedMount) error {
	table, err := p.readTable()
	if err != nil {
		return err
	}
	for i := range table.List {
		m := &table.List[i]
		if m.Point != g.part.Target || !table.Reachable(m) {
			continue
		}
		if proc.HasOption(m.Options, "rw") && !g.part.Write || !proc.HasOption(m.Options, "nosuid") {
			return errors.New("the mount table shows " + m.Options)
		}
		g.mount = m.ID
		g.count++
		return nil
	}
	return errors.New("the mount table does not show it")
}
