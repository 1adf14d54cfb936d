package compile

// This file plans descriptors: the task gets the descriptors 0, 1 and 2 and the extra files that the caller names, and
// no others (CVE-2024-21626).

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// StdioNames are the names of the standard files in a plan.
var StdioNames = [...]string{"stdin", "stdout", "stderr"}

// descriptors gives the task's descriptors their numbers, and marks every other descriptor, so that execve closes it:
// close_range(2), CLOSE_RANGE_CLOEXEC since Linux 5.11.
func (c *Compilation) descriptors() error {
	from := own("stdio")
	for i := range c.Req.Stdio {
		if c.Reopened(i) {
			c.takeStdin()
			continue
		}
		// The phase terminal has already put the task's terminal at this number. A file that passes has its number from
		// the start.
		if c.Brokered(i) || c.Passes(i) {
			continue
		}
		c.Plan.Files = append(c.Plan.Files, StdioNames[i])
		c.do(from, plan.Dup(plan.F(StdioNames[i]), plan.Number(uint64(i)), 0))
	}
	for i := range c.Req.Extra {
		name := ExtraName(i)
		c.Plan.Files = append(c.Plan.Files, name)
		c.do(from, plan.Dup(plan.F(name), plan.Number(uint64(3+i)), 0))
	}
	// The child still needs its other descriptors, so they are closed only by execve.
	c.do(from, plan.CloseFrom(c.FirstFD(), unix.CLOSE_RANGE_CLOEXEC))
	return nil
}

// ExtraName returns the name of an extra file in a plan, by its index in Request.Extra.
func ExtraName(i int) string { return "extra" + strconv.Itoa(i) }

// FirstFD returns the lowest descriptor number that the task does not get.
func (c *Compilation) FirstFD() uint64 { return uint64(3 + len(c.Req.Extra)) }

// Passes reports whether the task gets a standard file of the launcher without a change.
func (c *Compilation) Passes(number int) bool {
	f := &c.Req.Stdio[number]
	return f.Given && f.Number == number && !c.Withheld(number) && !c.Copied(number) && !c.Lent(number)
}

// Withheld reports whether a standard file is a terminal that the profile keeps from the task.
func (c *Compilation) Withheld(number int) bool {
	return c.Profile.TTY == policy.TTYNone && c.Req.Stdio[number].Terminal
}

// consolePath returns the path of the host's device of a terminal, if the task gets the terminal as standard input.
// Otherwise it returns "". The device is bound to /dev/console, so that ttyname(3) finds it.
func (c *Compilation) consolePath() string {
	in := &c.Req.Stdio[0]
	if c.Profile.TTY != policy.TTYInherit || !in.Terminal || in.TTY == "" || !paths.Below(in.TTY, "/dev") {
		return ""
	}
	return in.TTY
}

// GivesPipes reports whether the task gets pipes of its own, because root starts it with another id on the host.
func (c *Compilation) GivesPipes() bool {
	return c.IDs.Own || c.Host.Privileged && c.IDs.OutUID >= 0 && (c.Into != nil || c.Joined(unix.CLONE_NEWUSER) != nil)
}

// Lent reports whether the task reads from a pipe of its own in place of a standard file that is a pipe. It does so
// because the owner of a pipe can open both ends of the pipe: see Copied. The launcher then passes on only what the
// task reads: see stdin.go of internal/launch.
func (c *Compilation) Lent(number int) bool {
	return number == 0 && c.Req.Stdio[0].Pipe && !c.Brokered(0) && !c.AsItIs()
}

// Copied reports whether the task writes to a pipe of its own in place of a standard file. There are two cases. The
// first is limits.output, for which the launcher counts the output. In the second, the caller's file is a pipe: the
// owner of a pipe can also read it, through /proc/PID/fd, and could take what others have written, and a task with
// another id could not open /dev/stdout. For a terminal the terminal broker counts the output itself.
func (c *Compilation) Copied(number int) bool {
	f := &c.Req.Stdio[number]
	if number == 0 || !f.Given || c.Brokered(number) {
		return false
	}
	return c.Profile.Limits.Output.Set || f.Pipe && !c.AsItIs()
}

// The next part is about a regular file on standard input. Mounts keep a task from changing files of the host, but not
// if the task has a descriptor of a file that belongs to the task's user: by the descriptor the task can change the
// file's mode, times and attributes. So the task opens the file again, through a detached read-only mount:
// open_tree(2), mount_setattr(2). The launcher gets this descriptor too. By it, the launcher sets the position at which
// the task begins to read. At the end the launcher moves the caller's own descriptor to the position at which the task
// stopped, as if caller and task had shared one descriptor.

// MsgStdin marks the message that carries the descriptor of the task's standard input to the launcher.
const MsgStdin = 'S'

// settleStdin decides whether the task opens its standard input again. A program that joins a sandbox, or that is
// observed, keeps the caller's descriptor. So does a task in another mount namespace, where the path may mean another
// file.
func (c *Compilation) settleStdin() error {
	f := c.Req.Stdio[0].Regular
	if f == nil || c.Into != nil || c.Observed() || c.Joined(unix.CLONE_NEWNS) != nil {
		return nil
	}
	if f.Err != nil {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerMount,
			Why: "stdin: " + f.Path + ": " + f.Err.Error() + ": the task can change the file's mode, times and attributes"})
		return nil
	}
	c.Stdin = f.Path
	return nil
}

// openStdinAgain opens the file on standard input again, while "/" still means the host's root.
func (c *Compilation) openStdinAgain() {
	if c.Stdin == "" {
		return
	}
	from, tree := own("stdin"), plan.R(plan.Tree)
	dir, name := paths.Split(c.Stdin)
	c.openOutside(from, dir, walk.OpenDir, plan.Source)
	c.copyMounts(from, plan.Tree, plan.R(plan.Source), "", CloneTree|unix.AT_EMPTY_PATH, picture.AttrRO|picture.AttrBase, unix.MS_PRIVATE, 0)
	c.do(from,
		plan.CloseStep(plan.R(plan.Source)),
		// Another file may have the path by now. So the open follows no link (O_NOFOLLOW), makes no terminal the
		// controlling one (O_NOCTTY), and does not wait for the writer of a named pipe (O_NONBLOCK): open(2).
		plan.OpenStep(tree, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0).Into(plan.Input),
		plan.CloseStep(tree))
}

// allowStdin lets the task open its standard input by name, as /dev/stdin. That needs a Landlock rule of its own,
// because the other rules do not apply to a detached mount.
func (c *Compilation) allowStdin() {
	if c.Stdin == "" {
		return
	}
	c.do(own("stdin"), plan.AllowBeneath(plan.R(plan.Ruleset), plan.Input, landRead&landOfFile&c.Land.Handled))
}

// The next part is about a file on standard output or standard error that a program opens again by name: /dev/stdout,
// or `error_log /dev/stderr` of nginx. The name is a link of /proc to the caller's file, which no mount of the sandbox
// shows. So the file needs a Landlock rule of its own. A task with another id than the caller's could not open the
// file, so an idmapped bind of the file is mounted on that name.

// OutputFile reports whether a standard file is a named file that the task writes, and that the task gets unchanged.
// number is 1 or 2; for standard input the result is always false.
func (c *Compilation) OutputFile(number int) bool {
	return number > 0 && c.Req.Stdio[number].Written && !c.Copied(number) && !c.Brokered(number) && !c.Withheld(number)
}

// outputPaths returns the paths of the caller's output files. Output without a path, such as a deleted file, is not in
// the list.
func (c *Compilation) outputPaths() (list []string) {
	for i := range c.Req.Stdio {
		if f := &c.Req.Stdio[i]; c.OutputFile(i) && f.Path != "" {
			list = append(list, f.Path)
		}
	}
	return list
}

// allowOutput adds the Landlock rules that let the task open its output files again.
func (c *Compilation) allowOutput() {
	for i := range c.Req.Stdio {
		if !c.OutputFile(i) {
			continue
		}
		file := plan.F(StdioNames[i])
		if c.Passes(i) {
			file = plan.Number(uint64(i))
		}
		// Without OPEN_TREE_CLONE this call opens the file itself, as O_PATH does.
		open := plan.Clone(file, "", unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
		if c.InPlace() && c.Passes(i) { // a container's filter may deny open_tree(2)
			open = plan.OpenStep(plan.CWD, "/proc/self/fd/"+strconv.Itoa(i), unix.O_PATH|unix.O_CLOEXEC, 0)
		} else if c.InPlace() {
			continue // the launcher opened the file in another mount namespace: the task has the descriptor, and no name
		}
		c.do(own("stdio"),
			open.Into(plan.Target),
			plan.AllowBeneath(plan.R(plan.Ruleset), plan.Target, landFile&landOfFile&c.Land.Handled),
			plan.CloseStep(plan.R(plan.Target)))
	}
}

// bindsOutput reports whether a standard file is bound to its name in the sandbox's /dev, and returns its number. The
// kernel cannot copy a mount of another mount namespace. So a file in such a mount is not bound: the task has its
// descriptor but cannot open its name.
func (c *Compilation) bindsOutput(name string) (number int, ok bool) {
	number = slices.Index(StdioNames[:], name)
	if number <= 0 || !c.IDs.Idmapped || !c.GivesPipes() || !c.OutputFile(number) {
		return number, false
	}
	f := &c.Req.Stdio[number]
	return number, f.Path != "" && !f.Foreign
}

// bindOutput binds an output file to its name in the sandbox's /dev.
func (c *Compilation) bindOutput(from plan.From, target, name string, number int) {
	c.Sources = append(c.Sources, Source{Path: name, Attrs: picture.AttrBase | picture.AttrNoExec, Output: number})
	c.do(from,
		plan.MkfileStep(plan.R(plan.Dev), name, 0o444),
		plan.RecvFD(plan.F(FileSync)).Into(plan.Tree),
		// The mount tolerates ENOENT, because somebody may have removed the file meanwhile.
		plan.Move(plan.R(plan.Tree), plan.R(plan.Dev), name, fromFD).OrElse(plan.ENOENT),
		plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, name), File: true, Write: true, Noexec: true, Absent: true, What: "the caller's " + name})
}

// takeStdin makes the opened file descriptor 0, and sends it to the launcher.
func (c *Compilation) takeStdin() {
	c.do(own("stdin"),
		plan.Dup(plan.R(plan.Input), plan.Number(0), 0),
		plan.SendFile(plan.F(FileSync), string(rune(MsgStdin)), 0))
}

// Reopened reports whether the task itself opens a standard file again.
func (c *Compilation) Reopened(number int) bool { return number == 0 && c.Stdin != "" }

// withoutJobserver removes from a variable such as MAKEFLAGS the jobserver of a make that runs outside. The task cannot
// use that jobserver, because it does not get the jobserver's descriptors, or does not see its named pipe. The number
// of jobs stays, so a make inside has a jobserver of its own. Variables of the makefile follow after "--", and stay
// too. name is the variable's name, and entry its value. The result is entry if nothing has to be removed.
func (c *Compilation) withoutJobserver(name, entry string) string {
	flags, vars, _ := strings.Cut(entry, " -- ")
	cut := false
	for _, flag := range [...]string{" --jobserver-auth=", " --jobserver-fds=", " --sync-mutex="} {
		for at := strings.Index(flags, flag); at >= 0; at = strings.Index(flags, flag) {
			value, rest, more := strings.Cut(flags[at+len(flag):], " ")
			if c.hasJobserver(value) {
				return entry
			}
			flags, cut = flags[:at], true
			if more {
				flags += " " + rest
			}
		}
	}
	if !cut {
		return entry
	}
	// Before 4.2, make passed -j without a number. Without a jobserver, such a -j means any number of jobs.
	flags = strings.TrimSuffix(strings.ReplaceAll(flags+" ", " -j ", " "), " ")
	c.Left = append(c.Left, report.Added{Path: "$" + name, Why: "the jobserver of the make outside is not the sandbox's; a make inside has one of its own"})
	if vars != "" {
		flags += " -- " + vars
	}
	return flags
}

// hasJobserver reports whether the task gets the descriptors or the named pipe of a jobserver. value is the text after
// --jobserver-auth=, as make(1) writes it: "R,W" for two descriptors, or "fifo:PATH" for a pipe.
func (c *Compilation) hasJobserver(value string) bool {
	if file, ok := strings.CutPrefix(value, "fifo:"); ok {
		inside, err := c.Tree.Resolve(paths.Clean(file))
		if err != nil || !strings.HasPrefix(file, "/") {
			return false
		}
		_, there := c.Tree.Stat(inside)
		// A job reads a token from the pipe, and writes the token back when the job ends, so the pipe must be writable.
		return there && c.Tree.At(inside).Write
	}
	// Both descriptors must be among the extra files.
	r, w, ok := strings.Cut(value, ",")
	from, err := strconv.Atoi(r)
	to, err2 := strconv.Atoi(w)
	return ok && err == nil && err2 == nil && min(from, to) > 2 && max(from, to) < 3+len(c.Req.Extra)
}

// The next part plans a terminal of the task's own, in place of the caller's: pts(4), ioctl_tty(2), TIOCGPTPEER since
// Linux 4.13.
//
// The task does not have the caller's terminal. So it cannot put characters into that terminal's input (TIOCSTI,
// TIOCLINUX: CVE-2017-5226, CVE-2023-28100), read what is typed for other programs, or change the terminal's mode. The
// task has a pseudo-terminal of the sandbox's devpts, and the launcher copies between the two terminals:
// internal/terminal.
//
// init leads the task's session, and the task has a process group of its own in that session. If the task led the
// session, its group would be an orphaned one, whose processes SIGTSTP does not stop: Ctrl-Z would have no effect on an
// editor.

// FileSlave is the task's terminal on the host's devpts, which is used if the sandbox shows no devpts of its own.
const FileSlave = "terminal"

// MsgTerminal marks the message that carries the master of the task's terminal to the launcher.
const MsgTerminal = 'Y'

// Brokered reports whether the task gets a terminal of its own in place of a standard file.
func (c *Compilation) Brokered(number int) bool {
	return c.Req.Terminal || c.Profile.TTY == policy.TTYBroker && c.Req.Stdio[number].Terminal
}

// findTerminal decides whether the task gets a terminal, and from which devpts. In place the terminal comes from the
// host's devpts, because nothing can be mounted. It is an error if a terminal is to be recorded that the task does not
// have.
func (c *Compilation) findTerminal() error {
	for i := range c.Req.Stdio {
		c.OwnTTY = c.OwnTTY || c.Brokered(i)
	}
	if c.Req.Recorded && !c.OwnTTY {
		return &fail.Error{Op: "record the terminal", Err: errors.New("the program has none of its own"),
			Hint: "use --tty broker if stdin, stdout or stderr is a terminal; -t always gives it one"}
	}
	for i := range c.Profile.Mounts {
		if m := &c.Profile.Mounts[i]; c.OwnTTY && !c.InPlace() && m.Kind == policy.MountDev {
			c.OwnPts, c.devTarget = true, paths.Clean(m.Target)
		}
	}
	return nil
}

// terminal makes the task's terminal. It comes before the fork, because init leads the terminal's session. After this
// phase the child leads a session, and the terminal is the controlling terminal of that session.
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
	// Only the leader of a session without a terminal can take one: ioctl_tty(2), TIOCSCTTY.
	c.do(from, plan.ControlTTY(slave))
	for i := range c.Req.Stdio {
		if c.Brokered(i) {
			c.do(from, plan.Dup(slave, plan.Number(uint64(i)), 0))
		}
	}
	c.do(from, plan.CloseStep(slave))
	return nil
}

// openTerminal opens a terminal, and sends the terminal's master to the launcher. The terminal belongs to a new devpts,
// which stays detached until /dev is made, or to the devpts of the sandbox that is joined. A descriptor can be sent
// only by a known number, so the master briefly has a number that the terminal itself gets later. from is the line of
// the profile that asks for the terminal.
func (c *Compilation) openTerminal(from plan.From) {
	master, number := plan.R(plan.Master), c.terminalFD()
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	if c.Into != nil { // the joined sandbox has a devpts; if its ptmx is no terminal, the next step fails
		c.openOutside(from, paths.Join(c.devTarget, "pts/ptmx"), flags, plan.Master)
	} else {
		c.newDevpts(from, plan.Pts)
		c.do(from, plan.OpenStep(plan.R(plan.Pts), "ptmx", flags, 0).Into(plan.Master))
	}
	c.do(from,
		// A new terminal is locked: its slave cannot be opened before this.
		plan.UnlockPTY(master),
		// TIOCGPTPEER opens the slave by its master and not by a path. So the call works before the devpts is attached,
		// and nobody can put another file in the slave's place.
		plan.OpenSlave(master, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).Into(plan.Slave),
		plan.Dup(master, plan.Number(number), 0),
		plan.SendFile(plan.F(FileSync), string(rune(MsgTerminal)), number),
		plan.CloseStep(master))
}

// terminalFD returns the number of the first standard file that is the task's terminal.
func (c *Compilation) terminalFD() uint64 {
	for i := range c.Req.Stdio {
		if c.Brokered(i) {
			return uint64(i)
		}
	}
	return 0
}

// jobControl puts the task into a process group of its own, in the foreground of its terminal. The kernel sends SIGTTOU
// to a background process that does this. The child has every signal blocked, this one too. The task carries out the
// step, and not init.
func (c *Compilation) jobControl() {
	c.do(c.scalar("tty"), plan.NewGroup(), plan.Foreground(plan.Number(c.terminalFD())))
}

// console binds the task's terminal to /dev/console. The terminal has the number 0 in its devpts, because a new
// instance counts from 0, and openTerminal has opened this terminal first.
func (c *Compilation) console(from plan.From, target string, rule policy.Pos) {
	c.do(from,
		plan.MkfileStep(plan.R(plan.Dev), "console", 0o444),
		plan.Clone(plan.R(plan.Dev), "pts/0", cloneOne|unix.AT_SYMLINK_NOFOLLOW).Into(plan.Tree),
		plan.Move(plan.R(plan.Tree), plan.R(plan.Dev), "console", fromFD),
		plan.CloseStep(plan.R(plan.Tree)))
	c.Tree.Add(picture.Part{Target: paths.Join(target, "console"), File: true, Write: true, What: aDevice, Rule: rule})
}

// leftOpen bounds how many descriptors the task leaves open until execve; a single close_range(2) before execve then
// marks all of them. The task does so only if the hard limit of descriptors is at least leastNofile.
const leftOpen, leastNofile = 128, 4096

// leaves reports whether the task may leave one more descriptor open. All of these descriptors are close-on-exec, and
// init closes its copies before it reaps. They lead to nothing but mounts that the task sees.
func (c *Compilation) leaves() bool {
	return c.left < leftOpen && c.Host.NofileMax >= leastNofile && c.Into == nil && !c.InPlace()
}

// leave ends the use of a descriptor, which must be close-on-exec. gone is the error to tolerate if the descriptor may
// not exist.
func (c *Compilation) leave(from plan.From, fd plan.Arg, gone plan.Errno) {
	if c.leaves() {
		c.left++
		return
	}
	c.do(from, plan.CloseStep(fd).OrElse(gone))
}

// keeper returns a register for a mount that the task may write, so that a Landlock rule can use the mount's
// descriptor. If no register is left, it returns Tree.
func (c *Compilation) keeper() plan.Reg {
	if c.kept == plan.KeptRegs || !c.leaves() || c.Profile.Landlock.Off || c.Profile.Nest || c.Host.LandlockABI == 0 {
		return plan.Tree
	}
	c.left++
	c.kept++
	return plan.Kept + plan.Reg(c.kept) - 1
}

// put ends the use of a mount that keeper has given a register. It returns the register if the descriptor stays open.
func (c *Compilation) put(from plan.From, r plan.Reg) plan.Reg {
	if r == plan.Tree {
		c.leave(from, plan.R(r), 0)
		return plan.NoReg
	}
	return r
}
