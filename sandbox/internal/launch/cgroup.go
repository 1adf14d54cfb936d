package launch

// This file makes the sandbox's control groups, reads their limits back, and removes them.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// makeGroups chooses the sandbox's control groups and makes them. It records a failure in its result.
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

// openGroup opens the files through which the child enters its control groups: the group's directory in cgroup v2, a
// file of each controller in v1.
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
	// In v1 there is no such flag, so the child writes itself to the file tasks of each group.
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

// adoptChild asks systemd to put the child into its cgroup, and then lets the child go on. The child goes on even if
// systemd refuses, because a later phase of the compilation decides whether rlimits can stand in for the group.
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

// choice returns where the sandbox's control groups lie, or nil if the sandbox has none.
func (p *Process) choice() *cgroup.Choice {
	if p.groups == nil {
		return nil
	}
	return p.groups.Choice
}

// checkGroups reads every limit back from the control groups, and checks that the task is in them.
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

// guardDevices denies the sandbox every device that its /dev does not show, by a device filter on its cgroup. At this
// point the sandbox's /dev is complete, and the child opens no more devices.
func (p *Process) guardDevices() error {
	ch := p.choice()
	if ch == nil || !ch.Guards() {
		return nil
	}
	list, guarded := p.Comp.Devices()
	if !guarded {
		return nil
	}
	// The device filter cannot be made earlier, because it allows exactly the devices of /dev, and only now all its
	// mounts are known.
	f, err := p.Cgroup.Guard(list)
	if err != nil {
		missing, err := p.Comp.Without(policy.LayerCgroup, "devices are not guarded: "+err.Error(), "", "", compile.OrMissing(cgroup.Hint(err)))
		p.missing = append(p.missing, missing...)
		return err
	}
	p.enforced(policy.LayerCgroup, f.Text, f.File)
	return nil
}

// removeGroups kills the remaining processes in the sandbox's control groups, and removes the groups. It also removes
// groups beside them that killed launchers have left.
func (p *Process) removeGroups() {
	g := p.Cgroup
	if g == nil {
		return
	}
	// The lock is needed because Kill and Thaw use the group on other threads.
	p.Mu.Lock()
	p.Cgroup = nil
	p.Mu.Unlock()
	if p.Comp == nil || !p.Comp.OwnsPID() { // otherwise all processes have ended with init
		_ = g.Kill() // if Kill leaves a process, Remove returns an error
	}
	if err := g.Remove(); err != nil {
		p.Report.Hints = append(p.Report.Hints, report.Hint{Text: "the sandbox's cgroup is left: " + err.Error()})
	}
	_ = g.Sweep() // groups that other launchers have left: the next launcher tries again
	g.Close()
}
