package compile

// seccomp(2): filters since Linux 3.5, SECCOMP_RET_KILL_PROCESS since 4.14.

import (
	"cmp"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// seccomp installs the profile's filter. It is compiled for the architecture that the launcher runs on.
func (c *Compilation) seccomp() error {
	if c.Observed() {
		return c.watch()
	}
	insns, err := c.taskFilter()
	if err != nil {
		return err
	}
	from := c.scalar("syscalls.default")
	if c.Reports {
		c.listenWith(c.scalar("on-denial"), from, insns)
		return nil
	}
	c.do(from, plan.SetFilter(0, insns))
	return nil
}

// taskFilter returns the task's filter, encoded: the one that was made with the program, if there is one, or a new one.
func (c *Compilation) taskFilter() (string, error) {
	own := c.execCall()
	if own == plan.Execve { // otherwise the filter has a number that is this launch's alone
		if insns := c.Profile.PrebuiltFilter(c.Arch, c.Reports); insns != "" {
			return insns, nil
		}
	}
	spec, err := c.Spec()
	if err != nil {
		return "", err
	}
	spec.Report, spec.Own = c.Reports, own.String()
	prog, err := filter.Compile(spec, c.Arch)
	if err != nil {
		return "", err
	}
	return filter.Encode(prog.Insns), nil
}

// Spec returns the filter of the profile's system calls, with the launcher's own call.
func (c *Compilation) Spec() (filter.Spec, error) {
	spec, err := c.Profile.FilterOnce(c.Nonce)
	if err == nil && c.Into != nil {
		return c.letExec(spec)
	}
	return spec, err
}

// listenWith installs a filter that has a listener, at the number that is free for it.
func (c *Compilation) listenWith(why, from plan.From, insns string) {
	c.do(why, plan.CloseStep(plan.Number(c.FirstFD()))) // the lowest free number now: the listener's
	c.do(from, plan.SetFilter(uint64(c.Host.NotifyFlags), insns))
}

// FindArch decides for which architecture the filters are.
func (c *Compilation) FindArch() error {
	var ok bool
	if c.Arch, ok = filter.ParseArch(runtime.GOARCH); !ok {
		return &fail.UnsupportedError{Layer: policy.LayerSeccomp, Why: "no system call table for " + runtime.GOARCH, Remedy: "amd64, arm64 and riscv64 have one"}
	}
	return nil
}

// initCalls are the calls of Plan.Init behind its filter, and of the loop.
var initCalls = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN}

// initCallsBefore are those, and what init does between its word that it is confined and its loop: see sendListener.
var initCallsBefore = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN,
	unix.SYS_FUTEX, unix.SYS_SENDMSG, unix.SYS_DUP3, unix.SYS_CLOSE_RANGE, unix.SYS_SECCOMP}

// initFilter ends init at any call but these. It is written by hand because it is init's alone and
// never changes.
func initFilter(arch filter.Arch, calls []uint32) string {
	const (
		load  = 0x20 // BPF_LD | BPF_W | BPF_ABS
		equal = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		ret   = 0x06 // BPF_RET | BPF_K
	)
	kill, allow := filter.Insn{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, filter.Insn{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	insns := make([]filter.Insn, 0, 6+len(calls))
	// The architecture is compared before the number: the same number is another call to another architecture, and a process
	// can make calls of both (int 0x80 on amd64).
	insns = append(insns, filter.Insn{Code: load, K: 4}, filter.Insn{Code: equal, Jt: 1, K: arch.Audit()}, kill, filter.Insn{Code: load, K: 0})
	for i, nr := range calls {
		insns = append(insns, filter.Insn{Code: equal, Jt: uint8(len(calls) - i), K: nr})
	}
	return filter.Encode(append(insns, kill, allow))
}

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

// PlanReports decides whether the filter asks a listener. If no listener is available, denied calls fail as without
// one, and the report says so, because reporting gives no protection.
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
