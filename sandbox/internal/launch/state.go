package launch

import (
	"errors"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/state"
)

// identify keeps who the sandbox's processes are; before init may reap a task that has ended already.
func (p *Process) identify() error {
	e := p.Cmd.State
	if e == nil {
		return nil
	}
	init, err := state.IdentifyProcess(p.PID)
	if err != nil {
		return &fail.Error{Op: "identify pid 1", Err: fail.Cause(err)}
	}
	task, err := state.IdentifyProcess(p.Task)
	if err != nil {
		return &fail.Error{Op: "identify the task", Err: fail.Cause(err)}
	}
	e.State.Init, e.State.Task = &init, &task
	return nil
}

// keepGroup says where the sandbox's groups are, before anything is in them: a launcher that is killed leaves them.
func (p *Process) keepGroup() error {
	e := p.Cmd.State
	if e == nil || p.Cgroup == nil {
		return nil
	}
	place := p.Cgroup.Place
	e.State.Cgroup = &place
	if err := e.Save(); err != nil {
		return &fail.Error{Op: "keep the state", Err: fail.Cause(err)}
	}
	return nil
}

// keepState writes what the program was started with, and listens to other commands.
func (p *Process) keepState() error {
	e := p.Cmd.State
	if e == nil {
		return nil
	}
	if m := p.Comp.Profile.Limits.Memory; m.Set {
		e.State.Memory = m.V
	}
	if p.Cgroup != nil { // systemd's is known only now
		place := p.Cgroup.Place
		e.State.Cgroup = &place
	}
	if err := errors.Join(e.Write(state.ProfileFile, policy.Show(p.Comp.Profile)), e.WritePlan(p.Comp), e.Save()); err != nil {
		return &fail.Error{Op: "keep the state", Err: err}
	}
	// A launcher that may live for long is small: half of what it holds is the plan, which has been carried out.
	p.Comp.Forget()
	return p.ServeControl(e.Root)
}
