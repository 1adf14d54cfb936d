package sandbox

// The launcher makes the sandbox's groups, reads them back and takes them away.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// makeGroups chooses the groups and makes them.
func (p *process) makeGroups() *Groups {
	g := ChooseGroups(p.cmd.Profile, p.cmd.Host)
	if g.Choice == nil {
		return g
	}
	name, err := cgroup.NewName()
	if err == nil {
		p.cgroup, err = g.Choice.Make(name)
	}
	if err != nil {
		g.Fail(err)
		return g
	}
	g.Lacking = append(g.Lacking, p.cgroup.Lacking...)
	return g
}

// openGroup opens what the child enters its groups by.
func (p *process) openGroup() error {
	ch := p.choice()
	if ch == nil {
		return nil
	}
	if ch.V2() {
		fd, err := p.cgroup.Open()
		if err != nil {
			return err
		}
		if err := p.files.add(fileCgroup, fd); err != nil {
			return err
		}
	}
	for _, controller := range ch.V1() {
		fd, err := p.cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		if err := p.files.add(fileTasks+controller, fd); err != nil {
			return err
		}
	}
	return nil
}

// adoptChild lets systemd put the child into its group, and the child go on. Without a group it goes on as well: what
// stands in for one is not compiled yet, and is the compilation's to refuse.
func (p *process) adoptChild() error {
	if ch := p.choice(); ch == nil || !ch.Unit() {
		return nil
	}
	if err := p.cgroup.Adopt(p.pid); err != nil {
		p.groups.Fail(err)
		if len(p.cgroup.Dirs) == 0 { // else there is a scope, without its limits, which goes with the child
			p.cgroup = nil
		}
	} else {
		p.groups.Lacking = append(p.groups.Lacking, p.cgroup.Lacking...)
	}
	return p.send(nil)
}

// choice is where the sandbox's groups are; nil for none.
func (p *process) choice() *cgroup.Choice {
	if p.groups == nil {
		return nil
	}
	return p.groups.Choice
}

// checkGroups reads every limit back, and that the task is in its groups.
func (p *process) checkGroups() error {
	if p.choice() == nil {
		return nil
	}
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.task) + "/cgroup")
	if err != nil {
		return &Error{Op: "read back the cgroups", Err: err}
	}
	found, err := p.cgroup.Confirm(string(text))
	if err != nil {
		return err
	}
	for _, f := range found {
		p.enforced(policy.LayerCgroup, f.Text, f.File)
	}
	return nil
}

// guardDevices bars the sandbox from every device that its /dev does not show. By now the tree is there, and the child
// opens none any more.
func (p *process) guardDevices() error {
	ch := p.choice()
	if ch == nil || !ch.Guards() {
		return nil
	}
	list, guarded := p.comp.devices()
	if !guarded {
		return nil
	}
	f, err := p.cgroup.Guard(list)
	if err != nil {
		missing, err := p.comp.without(policy.LayerCgroup, "devices are not guarded: "+err.Error(), "", "", orMissing(cgroup.Hint(err)))
		p.missing = append(p.missing, missing...)
		return err
	}
	p.enforced(policy.LayerCgroup, f.Text, f.File)
	return nil
}

// removeGroups ends what is left in the groups, and takes them away, with those that killed launchers have left beside.
func (p *process) removeGroups() {
	g := p.cgroup
	if g == nil {
		return
	}
	p.mu.Lock()
	p.cgroup = nil
	p.mu.Unlock()
	if p.comp == nil || !p.comp.ownsPID() { // else init has taken everything along
		_ = g.Kill() // what it leaves, the next line says
	}
	if err := g.Remove(); err != nil {
		p.report.Hints = append(p.report.Hints, report.Hint{Text: "the sandbox's cgroup is left: " + err.Error()})
	}
	_ = g.Sweep() // of others: the next one tries again
	g.Close()
}
