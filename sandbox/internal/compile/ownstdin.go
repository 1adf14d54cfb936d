package compile

// A regular file on standard input. The mounts keep a task from writing files of the host, but not from changing the mode,
// the times and the attributes of one that it has a descriptor of and that is its user's. So the task opens the file
// again, through a read-only mount that is nowhere attached: open_tree(2), mount_setattr(2). The launcher gets the
// descriptor as well. With it the launcher sets where the task begins to read, and leaves the caller's own descriptor where
// the task has come to, as it would be had both shared it.

import (
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// MsgStdin brings the launcher the task's standard input.
const MsgStdin = 'S'

// settleStdin decides whether the task opens its standard input again.
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

// openStdinAgain comes while "/" is still the host's.
func (c *Compilation) openStdinAgain() {
	if c.Stdin == "" {
		return
	}
	from, tree := own("stdin"), plan.R(plan.Tree)
	dir, name := paths.Split(c.Stdin)
	c.openOutside(from, dir, walk.OpenDir, plan.Source)
	c.do(from,
		plan.Clone(plan.R(plan.Source), "", CloneTree|unix.AT_EMPTY_PATH).Into(plan.Tree),
		plan.CloseStep(plan.R(plan.Source)),
		plan.Setattr(tree, "", WholeMount, picture.AttrRO|picture.AttrBase, 0, unix.MS_PRIVATE),
		plan.OpenStep(tree, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0).Into(plan.Input),
		plan.CloseStep(tree))
}

// allowStdin lets the task open its standard input by name, as /dev/stdin: no rule of the tree holds for a mount that is
// nowhere attached.
func (c *Compilation) allowStdin() {
	if c.Stdin == "" {
		return
	}
	c.do(own("stdin"),
		plan.Dup(plan.R(plan.Input), plan.F(FileBeneath), unix.O_CLOEXEC),
		plan.AllowBeneath(plan.R(plan.Ruleset), FileBeneath, landRead&landOfFile&c.Land.Handled))
}

// takeStdin puts the file in its place, and gives it to the launcher.
func (c *Compilation) takeStdin() {
	c.do(own("stdin"),
		plan.Dup(plan.R(plan.Input), plan.Number(0), 0),
		plan.SendFile(plan.F(FileSync), string(rune(MsgStdin)), 0))
}

// Reopened reports whether the task opens a standard file itself.
func (c *Compilation) Reopened(number int) bool { return number == 0 && c.Stdin != "" }
