package launch

// The launcher makes the sandbox's groups, reads their limits back and removes the groups.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// makeGroups chooses the sandbox's groups and makes them. The result records a failure.
func (p *Process) makeGroups() *compile.Groups {
	g := compile.ChooseGroups(p.Cmd.Profile, p.Cmd.Host)
	if g.Choice == nil {
		return g
	}
	name, err := cgroup.NewName()
	if err == nil {
		p.Cgroup, err = g.Choice.Make(name)
	}
	if err != nil {
		g.Fail(p.Cmd.Profile, err)
		return g
	}
	g.Lacking = append(g.Lacking, p.Cgroup.Lacking...)
	if g.Choice.Empty() { // no group could be made
		g.Choice, p.Cgroup = nil, nil
	}
	return g
}

// openGroup opens the files through which the child enters its groups: the directory in cgroup v2, a file of each
// controller in v1.
func (p *Process) openGroup() error {
	ch := p.choice()
	if ch == nil {
		return nil
	}
	if ch.V2() {
		fd, err := p.Cgroup.Open()
		if err != nil {
			return err
		}
		// clone3(2) puts the child into the group of this directory: CLONE_INTO_CGROUP, Linux 5.7.
		if err := p.files.Add(compile.FileCgroup, fd); err != nil {
			return err
		}
	}
	// In v1 there is no such flag, so the child writes itself to a file of each tree.
	for _, controller := range ch.V1() {
		fd, err := p.Cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		if err := p.files.Add(compile.FileTasks+controller, fd); err != nil {
			return err
		}
	}
	return nil
}

// adoptChild asks systemd to put the child into its group, and then lets the child go on. The child goes on even if
// systemd refuses: what stands in for a group is not compiled yet, and the compilation decides whether to refuse.
func (p *Process) adoptChild() error {
	if ch := p.choice(); ch == nil || !ch.Unit() {
		return nil
	}
	if err := p.Cgroup.Adopt(p.PID); err != nil {
		p.groups.Fail(p.Cmd.Profile, err)
		// If there are directories, a scope without its limits exists. It ends with the child.
		if len(p.Cgroup.Dirs) == 0 {
			p.Cgroup = nil
		}
	} else {
		p.groups.Lacking = append(p.groups.Lacking, p.Cgroup.Lacking...)
	}
	return p.Send(nil)
}

// choice returns the place of the sandbox's groups, or nil if it has none.
func (p *Process) choice() *cgroup.Choice {
	if p.groups == nil {
		return nil
	}
	return p.groups.Choice
}

// checkGroups reads back every limit, and checks that the task is in its groups.
func (p *Process) checkGroups() error {
	if p.choice() == nil {
		return nil
	}
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.Task) + "/cgroup")
	if err != nil {
		return &fail.Error{Op: "read back the cgroups", Err: err}
	}
	found, err := p.Cgroup.Confirm(string(text))
	if err != nil {
		return err
	}
	for _, f := range found {
		p.enforced(policy.LayerCgroup, f.Text, f.File)
	}
	return nil
}

// guardDevices bars the sandbox from every device that its /dev does not show. At this point the tree exists, and the
// child opens no more devices.
func (p *Process) guardDevices() error {
	ch := p.choice()
	if ch == nil || !ch.Guards() {
		return nil
	}
	list, guarded := p.Comp.Devices()
	if !guarded {
		return nil
	}
	// The guard cannot come earlier: only now the mounts of /dev are in the tree, and the guard allows exactly their
	// devices.
	f, err := p.Cgroup.Guard(list)
	if err != nil {
		missing, err := p.Comp.Without(policy.LayerCgroup, "devices are not guarded: "+err.Error(), "", "", compile.OrMissing(cgroup.Hint(err)))
		p.missing = append(p.missing, missing...)
		return err
	}
	p.enforced(policy.LayerCgroup, f.Text, f.File)
	return nil
}

// removeGroups kills the remaining processes in the groups and removes the groups. It also removes groups that killed
// launchers have left beside them.
func (p *Process) removeGroups() {
	g := p.Cgroup
	if g == nil {
		return
	}
	// The lock is needed because Kill and Thaw use the group on other threads.
	p.Mu.Lock()
	p.Cgroup = nil
	p.Mu.Unlock()
	if p.Comp == nil || !p.Comp.OwnsPID() { // otherwise init's end has killed all
		_ = g.Kill() // if Kill leaves a process, Remove says so
	}
	if err := g.Remove(); err != nil {
		p.Report.Hints = append(p.Report.Hints, report.Hint{Text: "the sandbox's cgroup is left: " + err.Error()})
	}
	_ = g.Sweep() // groups of others: the next launcher tries again
	g.Close()
}
