package launch

// The launcher makes the sandbox's groups, reads them back and takes them away.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// makeGroups chooses the groups and makes them.
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
		g.Fail(err)
		return g
	}
	g.Lacking = append(g.Lacking, p.Cgroup.Lacking...)
	return g
}

// openGroup opens what the child enters its groups by.
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
		if err := p.files.Add(compile.FileCgroup, fd); err != nil {
			return err
		}
	}
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

// adoptChild lets systemd put the child into its group, and the child go on. Without a group it goes on as well: what
// stands in for one is not compiled yet, and is the compilation's to refuse.
func (p *Process) adoptChild() error {
	if ch := p.choice(); ch == nil || !ch.Unit() {
		return nil
	}
	if err := p.Cgroup.Adopt(p.PID); err != nil {
		p.groups.Fail(err)
		if len(p.Cgroup.Dirs) == 0 { // else there is a scope, without its limits, which goes with the child
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

// checkGroups reads every limit back, and that the task is in its groups.
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
	// Not earlier: the mounts of /dev are in the tree now, and their devices are the ones that stay allowed.
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
	// Under the lock, because Kill and Thaw come from other threads and use the group.
	p.Mu.Lock()
	p.Cgroup = nil
	p.Mu.Unlock()
	if p.Comp == nil || !p.Comp.OwnsPID() { // else init has taken everything along
		_ = g.Kill() // what it leaves, the next line says
	}
	if err := g.Remove(); err != nil {
		p.Report.Hints = append(p.Report.Hints, report.Hint{Text: "the sandbox's cgroup is left: " + err.Error()})
	}
	_ = g.Sweep() // of others: the next one tries again
	g.Close()
}
