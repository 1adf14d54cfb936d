package compile

// This file plans filters: seccomp(2), since Linux 3.5. SECCOMP_RET_KILL_PROCESS exists since 4.14.

import (
	"cmp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// seccomp installs the profile's filter, or the recorder's. The filter is compiled for the launcher's architecture. The
// step comes directly before the call that starts the program, so the filter need allow no other call of the launcher's
// own code.
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

// taskFilter returns the task's encoded filter. If the launcher contains a filter that was built for this profile, it
// returns that filter; otherwise it compiles one. The text has eight bytes for each instruction, as
// SECCOMP_SET_MODE_FILTER reads them: see filter.Encode.
func (c *Compilation) taskFilter() (string, error) {
	own := c.execCall()
	if own == plan.Execve { // otherwise the filter contains a random number that is used once
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

// Spec returns the filter of the profile's system calls, with the rule that allows the launcher's own execveat.
func (c *Compilation) Spec() (filter.Spec, error) {
	spec, err := c.Profile.FilterOnce(c.Nonce)
	if err == nil && c.Into != nil {
		return c.letExec(spec)
	}
	return spec, err
}

// listenWith installs a filter that has a listener. The listener's descriptor gets the number that reserveListener has
// kept free.
func (c *Compilation) listenWith(why, from plan.From, insns string) {
	// No step may come between these two steps, because a descriptor that it opens would get the number.
	c.do(why, plan.CloseStep(plan.Number(c.FirstFD()))) // this is now the lowest free number, so the listener gets it
	c.do(from, plan.SetFilter(uint64(c.Host.NotifyFlags), insns))
}

// FindArch finds the architecture for which the filters are compiled. The error is an UnsupportedError on a machine
// without a table of system calls.
func (c *Compilation) FindArch() error {
	var ok bool
	if c.Arch, ok = filter.ParseArch(runtime.GOARCH); !ok {
		return &fail.UnsupportedError{Layer: policy.LayerSeccomp, Why: "no system call table for " + runtime.GOARCH, Remedy: "amd64, arm64 and riscv64 have one"}
	}
	return nil
}

// callsOfInit lists the calls that init makes in Plan.Init after its filter, and in its loop.
var callsOfInit = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN}

// initCallsBefore lists callsOfInit, and the calls that init makes between its message that it is confined and its
// loop: see sendListener. With futex(2) init waits until the task's memory is gone, and with sendmsg(2) it sends the
// listener.
var initCallsBefore = [...]uint32{unix.SYS_WAIT4, unix.SYS_READ, unix.SYS_SENDTO, unix.SYS_CLOSE, unix.SYS_EXIT_GROUP, unix.SYS_RT_SIGRETURN,
	unix.SYS_FUTEX, unix.SYS_SENDMSG, unix.SYS_DUP3, unix.SYS_CLOSE_RANGE, unix.SYS_SECCOMP}

// initFilter returns a filter that kills init at any call that is not in calls. The filter is written by hand because
// only init uses it and it never changes. A jump offset has only 8 bits, so calls may have at most 255 entries.
func initFilter(arch filter.Arch, calls []uint32) string {
	// These are opcodes of classic BPF. In struct seccomp_data the call's number is at offset 0, and the architecture
	// at offset 4.
	const (
		load  = 0x20 // BPF_LD | BPF_W | BPF_ABS
		equal = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		ret   = 0x06 // BPF_RET | BPF_K
	)
	kill, allow := filter.Insn{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS}, filter.Insn{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	insns := make([]filter.Insn, 0, 6+len(calls))
	// The architecture is compared before the number, because one number means different calls on different
	// architectures, and a process can make calls of both (int 0x80 on amd64).
	insns = append(insns, filter.Insn{Code: load, K: 4}, filter.Insn{Code: equal, Jt: 1, K: arch.Audit()}, kill, filter.Insn{Code: load, K: 0})
	// A match jumps over the remaining numbers and the kill, to the allow. An x32 call on amd64 has the architecture of
	// amd64, but bit 30 is set in its number (seccomp(2)). So it matches none of the numbers, and init is killed for it
	// too.
	for i, nr := range calls {
		insns = append(insns, filter.Insn{Code: equal, Jt: uint8(len(calls) - i), K: nr})
	}
	return filter.Encode(append(insns, kill, allow))
}

// The next part plans the listener of the task's filter: seccomp_unotify(2), Linux 5.0;
// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 5.19.
//
// If the profile denies a call with an errno, the call waits in the kernel until the launcher has read the notification
// and has answered with that errno. The answer depends only on the number and the arguments, of which the notification
// holds a copy. The launcher reads the memory to which the arguments point only to show its content. The launcher never
// lets a call through, and without a launcher the kernel answers ENOSYS.
//
// The launcher gets the listener although execve is the only call that the task makes under the filter. Task and init
// share their descriptor table until execve gives the task a table of its own, and closes the listener in it. The
// listener's number is known: the task closes the lowest number that its program does not get, and the kernel takes the
// lowest free number. init waits until the task's memory is gone, sends the descriptor at that number, and closes it.
// (vfork(2) could block init as well, but then init could not be confined before the program is.)

// PlanReports decides whether the filter has a listener. If the filter can have none, denied calls fail just the same,
// and the report says that they are not listed. That is no error, because reporting gives no protection.
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

// reserveListener takes the number for the listener before any other descriptor is opened, so that no other descriptor
// gets the number.
func (c *Compilation) reserveListener(from plan.From) {
	c.Reports = true
	// This copy of the gate only holds the number; listenWith closes it.
	c.do(from, plan.Dup(plan.F(FileGate), plan.Number(c.FirstFD()), unix.O_CLOEXEC))
}

// noListener returns the reason why the task's filter cannot have a listener, or "" if it can. The task holds the
// listener until its program runs, and by then its limit on descriptors is in force.
func (c *Compilation) noListener() string {
	if c.Host.NotifyFlags == 0 {
		return cmp.Or(c.Host.NotifyWhy, "no listener for denied calls")
	}
	// A program that may open no further descriptor still starts; only its denied calls are not listed.
	for _, r := range c.Profile.Limits.Rlimits {
		// The rlimit is one more than the highest possible number of a descriptor (getrlimit(2)).
		if r.Name == "nofile" && r.Value <= c.FirstFD() {
			return fail.Said("limits.rlimits.nofile "+strconv.Itoa(int(r.Value)), r.Pos.Short()) + " leaves no descriptor for the listener"
		}
	}
	return ""
}

// holdOwner makes the kernel release the owner word together with the task's memory: see sendListener.
func (c *Compilation) holdOwner() {
	from := c.scalar("on-denial")
	c.do(from, plan.HoldOwner())
	switch {
	case c.First():
		c.do(from, plan.AnnounceOwner().OrElse(plan.EINVAL))
	case c.OwnsPID():
		c.do(from, plan.MarkOwner().OrElse(plan.EINVAL))
	}
}

// firstTask is the pid of the first child of a new pid namespace's init.
const firstTask = 2

// sendListener adds init's steps that send the listener. init is confined before the program can run. The stricter
// filter of its loop follows once the listener is sent.
func (c *Compilation) sendListener() {
	c.doInit(own("init"),
		// A filter can be followed by another, but never removed (seccomp(2)). So this first filter allows seccomp(2)
		// itself, and the second filter, for the loop, does not.
		plan.SetFilter(0, initFilter(c.Arch, append(c.guardCalls(), initCallsBefore[:]...))),
		plan.SendByte(plan.F(FileSync), string(rune(MsgInit))))
	switch from := c.scalar("on-denial"); {
	case c.First():
		// This waits without AwaitOwner. AwaitOwner would look for the task under the pid that the word holds, and that
		// would be init itself, which is pid 1. AwaitMark waits its whole time only if the task has ended before
		// HoldOwner.
		c.doInit(from,
			plan.AwaitMark(1).OrElse(plan.EAGAIN).OrElse(plan.ETIMEDOUT),
			plan.SleepForOwner(1).OrElse(plan.EAGAIN))
	case c.OwnsPID(): // init sleeps, because AwaitOwner is a busy loop on one processor while the task runs on another
		c.doInit(from, plan.SleepForOwner(firstTask).OrElse(plan.EAGAIN))
	}
	if !c.First() {
		c.doInit(c.scalar("on-denial"), plan.AwaitOwner().OrElse(plan.ESRCH)) // the task had ended before HoldOwner
	}
	c.doInit(c.scalar("on-denial"),
		plan.SendFile(plan.F(FileSync), string(rune(MsgReady)), c.FirstFD()).OrElse(plan.EBADF)) // or before it had a listener
}

// KillHints returns hints for a program that SIGSYS has ended. The kernel does not say which call the filter killed the
// program for. But a call of an architecture that the profile does not list always ends the program, and often nothing
// else does.
func (c *Compilation) KillHints() []report.Hint {
	foreign := report.Hint{Text: "it made a call of an architecture that the profile does not list: a 32-bit program, int 0x80, or x32 (--arch x32)",
		Rule: c.Profile.Source("syscalls.arches"), Flag: "--arch " + foreignArch(c.Arch)}
	spec, err := c.Spec()
	if err != nil {
		return []report.Hint{foreign}
	}
	// If neither a rule nor the default kills, only the architecture can be the reason.
	calls, rule := c.Killers()
	byDefault := kills(spec.Default) || kills(spec.Unknown)
	if len(calls) == 0 && !byDefault {
		return []report.Hint{foreign}
	}
	foreign.Text = "if it is a 32-bit program, or makes calls by int 0x80 or as x32, the profile does not list its architecture"
	hints := append(make([]report.Hint, 0, 3), foreign) // the likeliest comes last, because a reader sees the last line first
	if len(calls) > 0 {
		hints = append(hints, report.Hint{Text: "rules of the profile kill at " + strings.Join(calls, ", ") + "; the kernel does not say which call it was", Rule: rule})
	}
	if byDefault {
		hints = append(hints, report.Hint{Text: "it made a system call that the profile does not allow; the kernel does not say which call",
			Rule: c.Profile.Source("syscalls.default"), Flag: "--syscall-default 'errno(EPERM)' --on-denial report, which names the call"})
	}
	return hints
}

// kills reports whether an action ends the program, or sends it SIGSYS.
func kills(a filter.Action) bool {
	return a.Kind == filter.Kill || a.Kind == filter.KillThread || a.Kind == filter.Trap
}

// Killers lists the calls for which a rule of the profile kills the program, always or for some arguments. It also
// returns the place of the first of these rules.
func (c *Compilation) Killers() (calls []string, rule policy.Pos) {
	for i := range c.Profile.Syscalls.Rules {
		r := &c.Profile.Syscalls.Rules[i]
		if !killing(r.Expr) && !killing(r.Else) || slices.Contains(calls, r.Call) {
			continue
		}
		if len(calls) == 0 {
			rule = r.Pos
		}
		calls = append(calls, r.Call)
	}
	return calls, rule
}

// killing reports whether the text of a rule contains an action that ends the program.
func killing(text string) bool { return strings.HasPrefix(text, "kill") || text == "trap" }

// initCalls returns the calls that init makes in Plan.Init after its filter, and in its loop.
func (c *Compilation) initCalls() []uint32 { return append(c.guardCalls(), callsOfInit[:]...) }

// guardCalls returns the additional calls that init makes if it guards the processes of a program that runs in place.
func (c *Compilation) guardCalls() []uint32 {
	if !c.InPlace() {
		return nil
	}
	return []uint32{unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_PREAD64, unix.SYS_PRLIMIT64, unix.SYS_KILL}
}

// guardSteps make init the guard of the task's processes, which ends them when the task or the launcher ends. init
// takes the task's ids, and that clears the parent-death signal. But the launcher's death wakes the guard: see package
// child.
func (c *Compilation) guardSteps() {
	from := own("guard")
	c.doInit(from,
		plan.PrctlStep(unix.PR_SET_CHILD_SUBREAPER, 1),
		plan.OpenStep(plan.CWD, "/proc/thread-self/children", unix.O_RDONLY|unix.O_CLOEXEC, 0).Into(plan.File))
	if c.IDs.Own {
		c.doInit(from, plan.NoGroups(), plan.SetGID(uint64(c.IDs.OutGID)), plan.SetUID(uint64(c.IDs.OutUID)))
	}
	c.doInit(from, plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGTERM)))
}

// placeCall is a call that the filter of a program in place denies, unless the call's arguments have the given values.
// The kernel takes each of these arguments as 32 bits.
type placeCall struct {
	name  string
	nr    uint32
	expr  string // the values, as a rule says them; "" for a call that is denied always
	args  [2]uint32
	want  [2]uint32
	count int
	errno unix.Errno
}

// placeCalls returns these calls, except socket(2). They are the calls of System V IPC and of message queues, of
// io_uring, which opens sockets too, and the calls that act on any process of the same user by its number. No rule of
// Landlock restricts these. In a sandbox with namespaces such calls reach only what is inside.
func (c *Compilation) placeCalls() []placeCall {
	one := func(name string, nr, arg uint32, expr string) placeCall {
		return placeCall{name: name, nr: nr, expr: expr, args: [2]uint32{arg}, count: 1, errno: unix.EPERM}
	}
	list := []placeCall{
		one("prlimit64", unix.SYS_PRLIMIT64, 0, "pid == 0"),
		one("sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, 0, "pid == 0"),
		one("sched_setscheduler", unix.SYS_SCHED_SETSCHEDULER, 0, "pid == 0"),
		one("sched_setparam", unix.SYS_SCHED_SETPARAM, 0, "pid == 0"),
		one("sched_setattr", unix.SYS_SCHED_SETATTR, 0, "pid == 0"),
		{"setpriority", unix.SYS_SETPRIORITY, "which == 0 && who == 0", [2]uint32{0, 1}, [2]uint32{0, 0}, 2, unix.EPERM},
		{"ioprio_set", unix.SYS_IOPRIO_SET, "which == 1 && who == 0", [2]uint32{0, 1}, [2]uint32{1, 0}, 2, unix.EPERM},
	}
	for _, x := range [...]struct {
		name string
		nr   uint32
	}{{"io_uring_setup", unix.SYS_IO_URING_SETUP}, {"shmget", unix.SYS_SHMGET}, {"shmat", unix.SYS_SHMAT}, {"shmctl", unix.SYS_SHMCTL},
		{"semget", unix.SYS_SEMGET}, {"semop", unix.SYS_SEMOP}, {"semtimedop", unix.SYS_SEMTIMEDOP}, {"semctl", unix.SYS_SEMCTL},
		{"msgget", unix.SYS_MSGGET}, {"msgsnd", unix.SYS_MSGSND}, {"msgrcv", unix.SYS_MSGRCV}, {"msgctl", unix.SYS_MSGCTL},
		{"mq_open", unix.SYS_MQ_OPEN}, {"mq_unlink", unix.SYS_MQ_UNLINK}} {
		list = append(list, placeCall{name: x.name, nr: x.nr, errno: unix.ENOSYS})
	}
	// Two questions decide which sockets are allowed: may the program use a network, and does Landlock know named
	// sockets? If the answer to both is yes, every family is allowed.
	socket := placeCall{name: "socket", nr: unix.SYS_SOCKET, errno: unix.EAFNOSUPPORT}
	switch none := c.Profile.Network.Mode == policy.NetworkNone; {
	case none && c.LandlockResolves():
		socket.expr, socket.want[0], socket.count = "family == AF_UNIX", unix.AF_UNIX, 1
	case !none && !c.LandlockResolves():
		socket.expr = "family != AF_UNIX"
	case !none:
		return list
	}
	return append(list, socket)
}

// placeFilter denies the calls that no namespace restricts. It is a filter of its own, installed before the profile's
// filter. That is possible because of two filters the stricter answer counts, and useful because the profile's filter
// may be prebuilt. For calls of the machine's own architecture placeFilter is written by hand, because compiling it
// would take a good part of the time of a launch.
func (c *Compilation) placeFilter() error {
	if c.Observed() {
		return nil
	}
	insns := c.placeProgram()
	if slices.ContainsFunc(c.Profile.Syscalls.Arches, func(a string) bool { return a != "native" }) {
		spec, err := c.Spec()
		if err != nil {
			return err
		}
		pass := filter.Action{Kind: filter.Allow}
		prog, err := filter.Compile(filter.Spec{Default: pass, Unknown: pass, Foreign: spec.Foreign, Rules: c.PlaceCalls()}, c.Arch)
		if err != nil {
			return err
		}
		insns = prog.Insns
	}
	c.do(own("in place"), plan.SetFilter(0, filter.Encode(insns)))
	return nil
}

// placeProgram returns the instructions of placeFilter. They pass a call of another architecture, or of x32, to the
// profile's filter, which kills the program for it. The arguments begin at offset 16 of struct seccomp_data, and have 8
// bytes each. The instructions compare only the low half of an argument.
func (c *Compilation) placeProgram() []filter.Insn {
	const (
		load  = 0x20 // BPF_LD | BPF_W | BPF_ABS
		equal = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
		ret   = 0x06 // BPF_RET | BPF_K
	)
	allow := filter.Insn{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	insns := []filter.Insn{{Code: load, K: 4}, {Code: equal, Jt: 1, K: c.Arch.Audit()}, allow, {Code: load, K: 0}}
	calls := c.placeCalls()
	for i := range calls {
		p := &calls[i]
		deny := filter.Insn{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(p.errno)}
		var body []filter.Insn
		for a := range p.count { // a value that differs jumps to deny, which is the last
			body = append(body, filter.Insn{Code: load, K: 16 + 8*p.args[a]}, filter.Insn{Code: equal, Jf: uint8(2*(p.count-a-1) + 1), K: p.want[a]})
		}
		switch {
		case p.count > 0:
			body = append(body, allow, deny)
		case p.expr != "": // socket: any family but AF_UNIX
			body = []filter.Insn{{Code: load, K: 16}, {Code: equal, Jt: 1, K: unix.AF_UNIX}, allow, deny}
		default:
			body = []filter.Insn{deny}
		}
		insns = append(insns, filter.Insn{Code: equal, Jf: uint8(len(body)), K: p.nr})
		insns = append(insns, body...)
	}
	return append(insns, allow)
}

// PlaceCalls returns the rules of placeFilter in the form of a profile's rules.
func (c *Compilation) PlaceCalls() (rules []filter.Rule) {
	if !c.InPlace() {
		return nil
	}
	add := func(call, expr string, otherwise filter.Action) {
		rules = append(rules, filter.Rule{Call: call, Expr: expr, Else: otherwise, From: "in place"})
	}
	for _, p := range c.placeCalls() {
		denied := filter.Action{Kind: filter.Errno, Errno: uint16(p.errno)}
		if p.expr == "" {
			add(p.name, denied.String(), filter.Action{})
		} else {
			add(p.name, p.expr, denied)
		}
	}
	// No filter can see the arguments of the call that a multiplexer such as socketcall(2) makes, because they are in
	// memory.
	add("socketcall", "errno(ENOSYS)", filter.Action{})
	add("ipc", "errno(ENOSYS)", filter.Action{})
	return rules
}
