package sandbox

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
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/plan"
)

// planReports decides whether the filter asks a listener. Where none can be had denied calls fail as without it, and the
// report says so: to report is no protection.
func (c *compilation) planReports() error {
	if c.observed() {
		return c.planObserver()
	}
	if c.profile.OnDenial != policy.DenialReport {
		return nil
	}
	if why := c.noListener(); why != "" {
		c.missing = append(c.missing, Missing{Layer: policy.LayerDenials, Why: why, Instead: "they fail with their error numbers, unreported"})
		return nil
	}
	c.reserveListener(c.scalar("on-denial"))
	return nil
}

// reserveListener takes the listener's number before any descriptor is opened, so that none gets it.
func (c *compilation) reserveListener(from plan.From) {
	c.reports = true
	c.do(from, plan.Dup(plan.F(fileGate), plan.Number(c.firstFD()), unix.O_CLOEXEC))
}

// noListener is why the task's filter cannot have one; "" where it can. The task has the listener until its program runs,
// and its limit on descriptors holds by then.
func (c *compilation) noListener() string {
	if c.host.NotifyFlags == 0 {
		return cmp.Or(c.host.NotifyWhy, "no listener for denied calls")
	}
	for _, r := range c.profile.Limits.Rlimits {
		if r.Name == "nofile" && r.Value <= c.firstFD() {
			return said("limits.rlimits.nofile "+itoa(int(r.Value)), r.Pos.Short()) + " leaves no descriptor for the listener"
		}
	}
	return ""
}

// sendListener is init's part. It is confined before the program can run; the filter of its loop follows when the listener
// is gone.
func (c *compilation) sendListener() {
	c.doInit(own("init"),
		plan.SetFilter(0, initFilter(c.arch, initCallsBefore[:])),
		plan.SendByte(plan.F(fileSync), string(rune(msgInit))))
	c.doInit(c.scalar("on-denial"),
		plan.AwaitOwner().OrElse(plan.ESRCH),                                                    // gone before it could say that it holds the word
		plan.SendFile(plan.F(fileSync), string(rune(msgReady)), c.firstFD()).OrElse(plan.EBADF)) // gone before it had a listener
}

// probeListener finds out whether a filter can have a listener, and the flags for it. There can be one in a chain of
// filters, and only a child can try: where there is no filter yet there is no need.
func probeListener() (flags uint32, why string) {
	flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	if !child.FilterFlags(uint(flags)) {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		if !child.FilterFlags(uint(flags)) {
			return 0, "seccomp listeners are not to be had: they are there since Linux 5.0, and a container runtime's filter may forbid them"
		}
	}
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil && mode == 0 {
		return flags, ""
	}
	switch err := tryListener(flags); err {
	case nil:
		return flags, ""
	case unix.EBUSY:
		return 0, "a filter around the launcher has a listener already, and there can be one: a sandbox in a sandbox"
	default:
		return 0, "seccomp listener: " + err.Error()
	}
}

// tryListener lets a child install a filter that allows everything.
func tryListener(flags uint32) error {
	allow := encode([]filter.Insn{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}})
	image, err := child.Link(&plan.Plan{Steps: []plan.Step{
		plan.PrctlStep(unix.PR_SET_NO_NEW_PRIVS, 1),
		plan.SetFilter(uint64(flags), allow),
	}}, nil)
	if err != nil {
		return err
	}
	defer image.Release()
	pid, pidfd, err := image.Start()
	if err != nil {
		return err
	}
	status, err := awaitHelper(pid, pidfd)
	unix.Close(pidfd)
	switch errno := syscall.Errno(image.Page().Init.Errno); {
	case err != nil:
		return err
	case errno != 0:
		return errno
	case status != 0:
		return errors.New("the child that tried it was ended")
	}
	return nil
}

// listen takes the listener that init sent.
func (p *process) listen(fd int) {
	if fd < 0 || p.denials.comp != nil || !child.IsListener(fd) {
		if fd >= 0 {
			unix.Close(fd)
		}
		return // checkListener says so
	}
	child.SyncWakeUp(fd)
	p.listener = fd
	p.watch(fd, unix.POLLIN, p.handleNotification)
	p.denials.comp = p.comp
}

// checkListener makes sure that a program whose calls wait for an answer has somebody who answers.
func (p *process) checkListener() error {
	if p.comp.reports && p.denials.comp == nil { // listen was not reached; a listener may be gone again, with the program
		if p.dying() {
			return errEnded
		}
		return &Error{Op: "on-denial", Err: errText("the listener did not arrive"), From: p.comp.where("on-denial"), Hint: "--on-denial silent does without"}
	}
	return nil
}

// handleNotification answers one denied call, if there is one, given what poll(2) says of the listener. It never blocks.
func (p *process) handleNotification(revents int16) {
	if revents&unix.POLLIN == 0 { // the last process under the filter is gone
		p.unwatch(p.listener)
		unix.Close(p.listener)
		p.listener = -1
		return
	}
	if p.cmd.Observer != nil {
		p.observeAll()
		return
	}
	var n child.Notification
	if child.NextNotification(p.listener, &n) != 0 {
		return // killed since
	}
	call := filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args}
	if !p.handleModeCall(&n, &call) {
		errno, fresh := p.denials.count(&call)
		if fresh != nil {
			p.describe(fresh, &n)
		}
		_ = child.Deny(p.listener, n.ID, errno) // ENOENT: killed since
	}
	if p.denials.throttle.spend(time.Now) {
		p.rest()
	}
}

// describe adds to a denial what is known only while its task waits: who it is, and the text of paths. What was read is
// believed if the task still waits behind it; a number that belongs to another process meanwhile is not its.
func (p *process) describe(d *Denial, n *child.Notification) {
	tid := int(n.PID)
	read := func(addr uint64) (string, bool) { return readText(tid, addr) }
	decoded := filter.Decode(&d.data, read)
	comm, pid := whoIs(tid)
	if !child.Waits(p.listener, n.ID) {
		decoded, comm, pid = filter.Decode(&d.data, nil), "", 0
	}
	d.Call, d.Text, d.Comm, d.PID = decoded.Call, decoded.String(), comm, pid
	if native := p.comp.arch; decoded.Arch != native {
		d.Arch = decoded.Arch.String()
	}
}

// maxText is how much of a path is read.
const maxText = 256

// readText reads a text that ends with a NUL, page by page, since a page behind it may not be there.
func readText(pid int, addr uint64) (string, bool) {
	var buf [maxText]byte
	text, whole := readString(pid, addr, buf[:])
	if !whole && len(text) == len(buf) {
		return text + "…", true
	}
	return text, whole
}

// readString reads into buf. whole reports that the text ended within; otherwise it is what could be read.
func readString(pid int, addr uint64, buf []byte) (text string, whole bool) {
	const page = 4096
	got := 0
	for got < len(buf) {
		n := child.ReadMemory(pid, addr+uint64(got), buf[got:min(len(buf), got+int(page-(addr+uint64(got))%page))])
		for i := got; i < got+n; i++ {
			if buf[i] == 0 {
				return string(buf[:i]), true
			}
		}
		if n == 0 {
			return string(buf[:got]), false
		}
		got += n
	}
	return string(buf), false
}
