package sandbox

// The launcher's part in the task's terminal.

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal prepares the launcher's side, and makes the terminal where the sandbox shows no devpts of its own.
func (p *process) openTerminal() error {
	if !p.comp.ownTTY {
		return nil
	}
	var err error
	if p.terminal, err = newTerminal(p, &p.Loop, p.cmd.Stdio, p.cmd.Terminal); err != nil {
		return err
	}
	if p.comp.ownPts {
		return nil
	}
	master, slave, err := openPTY()
	if err != nil {
		return &Error{Op: "open a terminal", Err: err, From: p.comp.where("tty"),
			Hint: "mounts: [{dev: /dev}] gives the sandbox terminals of its own; --tty none does without one"}
	}
	if err := p.terminal.take(master); err != nil {
		unix.Close(slave)
		return err
	}
	_ = unix.Fchown(slave, p.comp.ids.outUID, p.comp.ids.outGID) // without it only /dev/pts/N fails, and only where it is shown
	return p.files.add(fileSlave, slave)
}

// beginTerminal starts to copy, when the program runs.
func (p *process) beginTerminal() {
	if p.terminal == nil {
		return
	}
	if p.cmd.RecordTTY != nil {
		p.terminal.record(p.cmd.RecordTTY, p.comp.program.env)
	}
	p.terminal.begin(p.pid, p.output, p.copying)
}

// checkTerminal makes sure, before the task is let go, that it is in the foreground of its own terminal, which only its session
// can be.
func (p *process) checkTerminal() error {
	if p.terminal == nil {
		return nil
	}
	if p.terminal.master < 0 {
		return &Error{Op: "read back the terminal", Err: errors.New("it did not come")}
	}
	group, err := unix.IoctlGetInt(p.terminal.master, unix.TIOCGPGRP)
	if err != nil {
		return &Error{Op: "read back the terminal", Err: err}
	}
	if group != p.task && group != 0 { // 0: in a pid namespace that is not below the launcher's
		return &Error{Op: "read back the terminal", Err: errors.New("process group " + strconv.Itoa(group) + " is in its foreground, not the task's")}
	}
	p.enforced("tty", "a terminal of the task's own", "TIOCGPGRP")
	return nil
}

// hungUp ends the task as the kernel does when a terminal is hung up, and after a grace period for certain. The session's
// leader, init, takes no signal.
func (p *process) hungUp() {
	p.told = true
	_ = p.signalGroup(unix.SIGHUP) // a task that is gone has ended already
	_ = p.signalGroup(unix.SIGCONT)
	p.At(time.Now().Add(p.grace()), p.endNow)
}

// stopWith stops the launcher, with group the others of its process group too, and then continues the task. A library's
// process is not stopped: its task goes on.
func (p *process) stopWith(group bool) {
	if p.cmd.Exclusive {
		p.stopSelf(group)
		p.ownStop = time.Now()
	}
	p.resume()
}

// isTold reports whether the run was told to end, by a signal or a limit.
func (p *process) isTold() bool { return p.told }

// isHurried reports whether nothing is to be waited for any more.
func (p *process) isHurried() bool { return p.hurry }

// hurryUp makes the launcher wait for nothing any more.
func (p *process) hurryUp() { p.hurry = true }
