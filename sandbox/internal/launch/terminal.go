package launch

// The launcher's part in the task's terminal.

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/terminal"
)

// openTerminal prepares the launcher's side, and makes the terminal where the sandbox shows no devpts of its own.
func (p *Process) openTerminal() error {
	if !p.Comp.OwnTTY {
		return nil
	}
	var err error
	if p.terminal, err = terminal.New(p, &p.Loop, p.Cmd.Stdio, p.Cmd.Terminal); err != nil {
		return err
	}
	if p.Comp.OwnPts {
		return nil
	}
	master, slave, err := terminal.OpenPTY()
	if err != nil {
		return &fail.Error{Op: "open a terminal", Err: err, From: p.Comp.Where("tty"),
			Hint: "mounts: [{dev: /dev}] gives the sandbox terminals of its own; --tty none does without one"}
	}
	if err := p.terminal.Take(master); err != nil {
		unix.Close(slave)
		return err
	}
	_ = unix.Fchown(slave, p.Comp.IDs.OutUID, p.Comp.IDs.OutGID) // without it only /dev/pts/N fails, and only where it is shown
	return p.files.Add(compile.FileSlave, slave)
}

// beginTerminal starts to copy, when the program runs.
func (p *Process) beginTerminal() {
	if p.terminal == nil {
		return
	}
	if p.Cmd.RecordTTY != nil {
		p.terminal.Record(p.Cmd.RecordTTY, p.Comp.Program.Env)
	}
	p.terminal.Begin(p.PID, p.output, p.copying)
}

// checkTerminal makes sure, before the task is let go, that it is in the foreground of its own terminal, which only its session
// can be.
func (p *Process) checkTerminal() error {
	if p.terminal == nil {
		return nil
	}
	if p.terminal.Master < 0 {
		return &fail.Error{Op: "read back the terminal", Err: errors.New("it did not come")}
	}
	group, err := unix.IoctlGetInt(p.terminal.Master, unix.TIOCGPGRP)
	if err != nil {
		return &fail.Error{Op: "read back the terminal", Err: err}
	}
	if group != p.Task && group != 0 { // 0: in a pid namespace that is not below the launcher's
		return &fail.Error{Op: "read back the terminal", Err: errors.New("process group " + strconv.Itoa(group) + " is in its foreground, not the task's")}
	}
	p.enforced("tty", "a terminal of the task's own", "TIOCGPGRP")
	return nil
}

// HungUp ends the task as the kernel does when a terminal is hung up, and after a grace period for certain. The session's
// leader, init, takes no signal.
func (p *Process) HungUp() {
	p.told = true
	_ = p.SignalGroup(unix.SIGHUP) // a task that is gone has ended already
	_ = p.SignalGroup(unix.SIGCONT)
	p.At(time.Now().Add(p.grace()), p.EndNow)
}

// StopWith stops the launcher, with group the others of its process group too, and then continues the task. A library's
// process is not stopped: its task goes on.
func (p *Process) StopWith(group bool) {
	if p.Cmd.Exclusive {
		p.stopSelf(group)
		p.ownStop = time.Now()
	}
	p.resume()
}

// IsTold reports whether the run was told to end, by a signal or a limit.
func (p *Process) IsTold() bool { return p.told }

// IsHurried reports whether nothing is to be waited for any more.
func (p *Process) IsHurried() bool { return p.hurry }

// HurryUp makes the launcher wait for nothing any more.
func (p *Process) HurryUp() { p.hurry = true }
