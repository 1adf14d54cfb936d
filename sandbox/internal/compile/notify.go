package compile

// The listener of the task's filter: seccomp_unotify(2), Linux 5.0; SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 5.19.
//
// A call that the profile denies with an errno waits in the kernel until the launcher has read what it is and has
// answered with that errno. The answer depends on the number and the arguments alone, of which the notification holds a
// copy; what they point to is read only to be shown. The launcher never lets a call through, and without a launcher the
// kernel answers ENOSYS.
//
// How the launcher gets the listener although the task makes no call under the filter but execve: task and init share
// their descriptors until execve gives the task a table of its own and closes the listener there. The listener's number
// is known, because the task closes the lowest number that is not its program's and the kernel takes the lowest free
// one. init waits for the task's memory to go, sends what is at that number, and closes it. (To block init in vfork(2)
// would do as well; but then it could not be confined before the program is.)

import (
	"cmp"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// PlanReports decides whether the filter asks a listener. Where none can be had denied calls fail as without it, and the
// report says so: to report is no protection.
func (c *Compilation) PlanReports() error {
	if c.Observed() {
		return c.planObserver()
	}
	if c.Profile.OnDenial != policy.DenialReport {
		return nil
	}
	if why := c.noListener(); why != "" {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerDenials, Why: why, Instead: "they fail with their error numbers, unreported"})
		return nil
	}
	c.reserveListener(c.scalar("on-denial"))
	return nil
}

// reserveListener takes the listener's number before any descriptor is opened, so that none gets it.
func (c *Compilation) reserveListener(from plan.From) {
	c.Reports = true
	c.do(from, plan.Dup(plan.F(FileGate), plan.Number(c.FirstFD()), unix.O_CLOEXEC))
}

// noListener is why the task's filter cannot have one; "" where it can. The task has the listener until its program runs,
// and its limit on descriptors holds by then.
func (c *Compilation) noListener() string {
	if c.Host.NotifyFlags == 0 {
		return cmp.Or(c.Host.NotifyWhy, "no listener for denied calls")
	}
	for _, r := range c.Profile.Limits.Rlimits {
		if r.Name == "nofile" && r.Value <= c.FirstFD() {
			return fail.Said("limits.rlimits.nofile "+strconv.Itoa(int(r.Value)), r.Pos.Short()) + " leaves no descriptor for the listener"
		}
	}
	return ""
}

// firstTask is the pid of the first process that a new pid namespace's init makes.
const firstTask = 2

// sendListener is init's part. It is confined before the program can run; the filter of its loop follows when the listener
// is gone.
func (c *Compilation) sendListener() {
	c.doInit(own("init"),
		plan.SetFilter(0, initFilter(c.Arch, initCallsBefore[:])),
		plan.SendByte(plan.F(FileSync), string(rune(MsgInit))))
	if c.OwnsPID() { // asleep: AwaitOwner spins on a processor while the task runs on another
		c.doInit(c.scalar("on-denial"), plan.SleepForOwner(firstTask).OrElse(plan.EAGAIN))
	}
	c.doInit(c.scalar("on-denial"),
		plan.AwaitOwner().OrElse(plan.ESRCH),                                                    // gone before it could say that it holds the word
		plan.SendFile(plan.F(FileSync), string(rune(MsgReady)), c.FirstFD()).OrElse(plan.EBADF)) // gone before it had a listener
}
