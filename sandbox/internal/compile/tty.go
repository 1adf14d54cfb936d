package compile

// A terminal of the task's own, in the place of the caller's: pts(4), ioctl_tty(2), TIOCGPTPEER since Linux 4.13.
//
// The task cannot put anything into the caller's terminal (TIOCSTI, TIOCLINUX: CVE-2017-5226, CVE-2023-28100), read what
// is typed to others, or change its mode, because it does not have it. It has a pseudo-terminal of the sandbox's devpts, and
// the launcher copies: broker.go.
//
// init is the leader of the task's session and the task has a process group of its own in it. Were the task the leader, the
// group would be an orphaned one, whose processes SIGTSTP does not stop: Ctrl-Z would do nothing to an editor.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// FileSlave is the task's terminal where it is of the host's devpts, because the sandbox shows none of its own.
const FileSlave = "terminal"

// MsgTerminal brings the launcher the master of a terminal of the sandbox's devpts.
const MsgTerminal = 'Y'

// Brokered reports whether the task gets its own terminal in the place of a standard file.
func (c *Compilation) Brokered(number int) bool {
	return c.Req.Terminal || c.Profile.TTY == policy.TTYBroker && c.Req.Stdio[number].Terminal
}

// findTerminal decides whether the task gets a terminal, and from where.
func (c *Compilation) findTerminal() error {
	for i := range c.Req.Stdio {
		c.OwnTTY = c.OwnTTY || c.Brokered(i)
	}
	if c.Req.Recorded && !c.OwnTTY {
		return &fail.Error{Op: "record the terminal", Err: errors.New("the program has none of its own"),
			Hint: "--tty broker gives it one where stdin, stdout or stderr is a terminal, -t in any case"}
	}
	for i := range c.Profile.Mounts {
		if m := &c.Profile.Mounts[i]; c.OwnTTY && m.Kind == policy.MountDev {
			c.OwnPts, c.devTarget = true, paths.Clean(m.Target)
		}
	}
	return nil
}

// terminal makes the terminal, before the fork: init leads the session that it controls.
func (c *Compilation) terminal() error {
	if !c.OwnTTY {
		return nil
	}
	from := c.scalar("tty")
	c.do(from, plan.NewSession())
	slave := plan.F(FileSlave)
	if c.OwnPts {
		slave = plan.R(plan.Slave)
		c.openTerminal(from)
	} else {
		c.Plan.Files = append(c.Plan.Files, FileSlave)
	}
	c.do(from, plan.ControlTTY(slave))
	for i := range c.Req.Stdio {
		if c.Brokered(i) {
			c.do(from, plan.Dup(slave, plan.Number(uint64(i)), 0))
		}
	}
	c.do(from, plan.CloseStep(slave))
	return nil
}

// openTerminal opens a terminal of a new devpts, which stays unattached until /dev is made, or of that of the sandbox that is
// joined, and sends the launcher its master. That takes a known number: one of those that the terminal is going to have.
func (c *Compilation) openTerminal(from plan.From) {
	master, number := plan.R(plan.Master), c.terminalFD()
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	if c.Into != nil { // the sandbox's devpts is there; what is no terminal fails at the next step
		c.openOutside(from, paths.Join(c.devTarget, "pts/ptmx"), flags, plan.Master)
	} else {
		c.newDevpts(from, plan.Pts)
		c.do(from, plan.OpenStep(plan.R(plan.Pts), "ptmx", flags, 0).Into(plan.Master))
	}
	c.do(from,
		plan.UnlockPTY(master),
		plan.OpenSlave(master, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).Into(plan.Slave),
		plan.Dup(master, plan.Number(number), 0),
		plan.SendFile(plan.F(FileSync), string(rune(MsgTerminal)), number),
		plan.CloseStep(master))
}

// terminalFD is the first standard file that is the task's terminal.
func (c *Compilation) terminalFD() uint64 {
	for i := range c.Req.Stdio {
		if c.Brokered(i) {
			return uint64(i)
		}
	}
	return 0
}

// jobControl gives the task a process group of its own in the foreground of its terminal. SIGTTOU, which a process gets
// that does so in the background, is blocked like every signal of the child.
func (c *Compilation) jobControl() {
	c.do(c.scalar("tty"), plan.NewGroup(), plan.Foreground(plan.Number(c.terminalFD())))
}

// console binds the terminal, the first of its devpts, to /dev/console.
func (c *Compilation) console(from plan.From, target string, rule policy.Pos) {
	c.do(from,
		plan.MkfileStep(plan.R(plan.Dev), "console", 0o444),
		plan.Clone(plan.R(plan.Dev), "pts/0", cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Dev), "console", fromFD),
		plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, "console"), File: true, Write: true, What: "a device", Rule: rule})
}
