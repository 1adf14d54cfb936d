package compile

// Descriptors: the task gets 0, 1 and 2 and what the caller names, and nothing else (CVE-2024-21626).

import (
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

var StdioNames = [...]string{"stdin", "stdout", "stderr"}

// descriptors puts the task's descriptors at their numbers and marks every other one to be closed by execve:
// close_range(2), CLOSE_RANGE_CLOEXEC since Linux 5.11.
func (c *Compilation) descriptors() error {
	from := own("stdio")
	for i := range c.Req.Stdio {
		if c.Reopened(i) {
			c.takeStdin()
			continue
		}
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
	c.do(from, plan.CloseFrom(c.FirstFD(), unix.CLOSE_RANGE_CLOEXEC))
	return nil
}

func ExtraName(i int) string { return "extra" + strconv.Itoa(i) }

// FirstFD is the lowest number that the task does not get.
func (c *Compilation) FirstFD() uint64 { return uint64(3 + len(c.Req.Extra)) }

// Passes reports whether a standard file is the launcher's own at the same number, and may stay.
func (c *Compilation) Passes(number int) bool {
	f := &c.Req.Stdio[number]
	return f.Given && f.Number == number && !c.Withheld(number) && !c.Copied(number) && !c.Lent(number)
}

// Withheld reports whether a standard file is a terminal that the profile keeps from the task.
func (c *Compilation) Withheld(number int) bool {
	return c.Profile.TTY == policy.TTYNone && c.Req.Stdio[number].Terminal
}

// consolePath is the host's device behind a terminal on standard input that is passed through; it becomes
// /dev/console, so that ttyname(3) finds it.
func (c *Compilation) consolePath() string {
	in := &c.Req.Stdio[0]
	if c.Profile.TTY != policy.TTYInherit || !in.Terminal || in.TTY == "" || !paths.Below(in.TTY, "/dev") {
		return ""
	}
	return in.TTY
}

// GivesPipes reports whether root starts the task, and it is another id.
func (c *Compilation) GivesPipes() bool {
	return c.IDs.Own || c.Host.Privileged && c.IDs.OutUID >= 0 && (c.Into != nil || c.Joined(unix.CLONE_NEWUSER) != nil)
}

// Lent reports whether the task gets a pipe of its own in the place of a standard file that it reads.
func (c *Compilation) Lent(number int) bool {
	return number == 0 && c.Req.Stdio[0].Pipe && !c.Brokered(0) && !c.AsItIs()
}

// Copied reports whether the task gets a pipe of its own in the place of a standard file that it writes: for the sake of
// limits.output, or because the caller's is a pipe. The owner of a pipe can also read it, by /proc/PID/fd, and would take what
// others have written to it and nobody has read yet; a task of another id could not open /dev/stdout. What goes through the
// terminal broker is counted there.
func (c *Compilation) Copied(number int) bool {
	f := &c.Req.Stdio[number]
	if number == 0 || !f.Given || c.Brokered(number) {
		return false
	}
	return c.Profile.Limits.Output.Set || f.Pipe && !c.AsItIs()
}
