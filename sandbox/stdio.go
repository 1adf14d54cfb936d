package sandbox

// Descriptors: the task gets 0, 1 and 2 and what the caller names, and nothing else (CVE-2024-21626).

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

var stdioNames = [...]string{"stdin", "stdout", "stderr"}

// descriptors puts the task's descriptors at their numbers and marks every other one to be closed by execve:
// close_range(2), CLOSE_RANGE_CLOEXEC since Linux 5.11.
func (c *compilation) descriptors() error {
	from := own("stdio")
	for i, f := range c.cmd.stdio() {
		if c.reopened(i) {
			c.takeStdin()
			continue
		}
		if c.brokered(f) || c.passes(f, i) {
			continue
		}
		c.plan.Files = append(c.plan.Files, stdioNames[i])
		c.do(from, plan.Dup(plan.F(stdioNames[i]), plan.Number(uint64(i)), 0))
	}
	for i := range c.cmd.ExtraFiles {
		name := extraName(i)
		c.plan.Files = append(c.plan.Files, name)
		c.do(from, plan.Dup(plan.F(name), plan.Number(uint64(3+i)), 0))
	}
	c.do(from, plan.CloseFrom(c.firstFD(), unix.CLOSE_RANGE_CLOEXEC))
	return nil
}

func extraName(i int) string { return "extra" + strconv.Itoa(i) }

// firstFD is the lowest number that the task does not get.
func (c *compilation) firstFD() uint64 { return uint64(3 + len(c.cmd.ExtraFiles)) }

// passes reports whether a standard file is the launcher's own at the same number, and may stay.
func (c *compilation) passes(f *os.File, number int) bool {
	return f != nil && int(f.Fd()) == number && !c.withheld(f) && !c.copied(f, number) && !c.lent(f, number)
}

// withheld reports whether a standard file is a terminal that the profile keeps from the task.
func (c *compilation) withheld(f *os.File) bool {
	return c.profile.TTY == policy.TTYNone && isTerminal(f)
}

func isTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// consolePath is the host's device behind a terminal on standard input that is passed through; it becomes
// /dev/console, so that ttyname(3) finds it.
func (c *compilation) consolePath() string {
	if c.profile.TTY != policy.TTYInherit || !isTerminal(c.cmd.Stdin) {
		return ""
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(c.cmd.Stdin.Fd())))
	if err != nil || !below(path, "/dev") {
		return ""
	}
	return path
}

// isPipe reports whether f is a pipe or a socket.
func isPipe(f *os.File) bool {
	var st unix.Stat_t
	return f != nil && unix.Fstat(int(f.Fd()), &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFIFO || st.Mode&unix.S_IFMT == unix.S_IFSOCK)
}

// givesPipes reports whether root starts the task, and it is another id.
func (c *compilation) givesPipes() bool {
	return c.ids.own || c.host.Privileged && c.ids.outUID >= 0 && (c.into != nil || c.joined(unix.CLONE_NEWUSER) != nil)
}

// lent reports whether the task gets a pipe of its own in the place of a standard file that it reads.
func (c *compilation) lent(f *os.File, number int) bool {
	return number == 0 && isAnonymousPipe(f) && !c.brokered(f) && !c.asItIs()
}

// isAnonymousPipe reports whether f is a pipe without a name, of which no mount and no rule keeps a task.
func isAnonymousPipe(f *os.File) bool {
	var fs unix.Statfs_t
	return f != nil && unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
}

// copied reports whether the task gets a pipe of its own in the place of a standard file that it writes: for the sake of
// limits.output, or because the caller's is a pipe. The owner of a pipe can also read it, by /proc/PID/fd, and would take what
// others have written to it and nobody has read yet; a task of another id could not open /dev/stdout. What goes through the
// terminal broker is counted there.
func (c *compilation) copied(f *os.File, number int) bool {
	if number == 0 || f == nil || c.brokered(f) {
		return false
	}
	return c.profile.Limits.Output.Set || isAnonymousPipe(f) && !c.asItIs()
}
