package sandbox

// Descriptors: the task gets 0, 1 and 2 and what the caller names, and nothing else (CVE-2024-21626).

import (
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

var stdioNames = [...]string{"stdin", "stdout", "stderr"}

// descriptors puts the task's descriptors at their numbers and marks every other one to be closed by execve:
// close_range(2), CLOSE_RANGE_CLOEXEC since Linux 5.11.
func (c *compilation) descriptors() error {
	from := own("stdio")
	for i := range c.req.Stdio {
		if c.reopened(i) {
			c.takeStdin()
			continue
		}
		if c.brokered(i) || c.passes(i) {
			continue
		}
		c.plan.Files = append(c.plan.Files, stdioNames[i])
		c.do(from, plan.Dup(plan.F(stdioNames[i]), plan.Number(uint64(i)), 0))
	}
	for i := range c.req.Extra {
		name := extraName(i)
		c.plan.Files = append(c.plan.Files, name)
		c.do(from, plan.Dup(plan.F(name), plan.Number(uint64(3+i)), 0))
	}
	c.do(from, plan.CloseFrom(c.firstFD(), unix.CLOSE_RANGE_CLOEXEC))
	return nil
}

func extraName(i int) string { return "extra" + strconv.Itoa(i) }

// firstFD is the lowest number that the task does not get.
func (c *compilation) firstFD() uint64 { return uint64(3 + len(c.req.Extra)) }

// passes reports whether a standard file is the launcher's own at the same number, and may stay.
func (c *compilation) passes(number int) bool {
	f := &c.req.Stdio[number]
	return f.Given && f.Number == number && !c.withheld(number) && !c.copied(number) && !c.lent(number)
}

// withheld reports whether a standard file is a terminal that the profile keeps from the task.
func (c *compilation) withheld(number int) bool {
	return c.profile.TTY == policy.TTYNone && c.req.Stdio[number].Terminal
}

// consolePath is the host's device behind a terminal on standard input that is passed through; it becomes
// /dev/console, so that ttyname(3) finds it.
func (c *compilation) consolePath() string {
	in := &c.req.Stdio[0]
	if c.profile.TTY != policy.TTYInherit || !in.Terminal || in.TTY == "" || !paths.Below(in.TTY, "/dev") {
		return ""
	}
	return in.TTY
}

// givesPipes reports whether root starts the task, and it is another id.
func (c *compilation) givesPipes() bool {
	return c.ids.own || c.host.Privileged && c.ids.outUID >= 0 && (c.into != nil || c.joined(unix.CLONE_NEWUSER) != nil)
}

// lent reports whether the task gets a pipe of its own in the place of a standard file that it reads.
func (c *compilation) lent(number int) bool {
	return number == 0 && c.req.Stdio[0].Pipe && !c.brokered(0) && !c.asItIs()
}

// copied reports whether the task gets a pipe of its own in the place of a standard file that it writes: for the sake of
// limits.output, or because the caller's is a pipe. The owner of a pipe can also read it, by /proc/PID/fd, and would take what
// others have written to it and nobody has read yet; a task of another id could not open /dev/stdout. What goes through the
// terminal broker is counted there.
func (c *compilation) copied(number int) bool {
	f := &c.req.Stdio[number]
	if number == 0 || !f.Given || c.brokered(number) {
		return false
	}
	return c.profile.Limits.Output.Set || f.Pipe && !c.asItIs()
}
