package sandbox

// The launcher's part: it opens what the plan names, clones, answers the child until the program has been exec'd, and
// waits. pidfd_send_signal(2) Linux 5.1, pidfd_open(2) 5.3, clone3(2) 5.3.

import (
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/plan"
)

// process is a sandbox from clone to the end. Its methods run on one thread, signal and expire on any.
type process struct {
	cmd   *Cmd
	comp  *compilation
	files fileSet
	image *child.Image
	sync  int // the launcher's end of the socket pair
	gate  int

	pid    int // of init, in the launcher's pid namespace
	pidfd  int
	taskfd atomic.Int64 // pidfd of the task + 1; 0 before there is one
	task   int

	began    time.Time
	clock    [2]*time.Timer // wall-clock limit: SIGTERM, SIGKILL
	timedOut atomic.Bool
	early    atomic.Int64 // the signal that ended the sandbox before there was a task
	signals  chan os.Signal
	netstat  int // /proc/PID/net/snmp of the sandbox, for the hint about the network; -1 if it is the host's
	relays   []*relay
	report   Report
}

func newProcess(cmd *Cmd, comp *compilation) *process {
	return &process{cmd: cmd, comp: comp, sync: -1, gate: -1, pidfd: -1, netstat: -1}
}

// start launches; on an error everything is undone.
func (p *process) start() error {
	p.began = time.Now()
	err := p.open()
	if err == nil {
		err = p.clone()
	}
	p.files.closeAll()
	if err == nil {
		err = p.converse()
	}
	if err == nil {
		err = p.confirm()
	}
	if err != nil {
		p.abort()
		return err
	}
	p.startClock()
	return nil
}

// open makes what the plan's files stand for, and links the plan to their numbers.
func (p *process) open() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: "socketpair", Err: err}
	}
	p.sync = pair[0]
	p.files.base = int(p.comp.firstFD())
	p.files.add(fileSync, pair[1])
	if err := unix.SetsockoptInt(p.sync, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return &Error{Op: "setsockopt SO_PASSCRED", Err: err}
	}
	if p.gate, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return &Error{Op: "eventfd", Err: err}
	}
	if err := p.files.dup(fileGate, p.gate); err != nil {
		return err
	}
	if err := p.files.dup(fileBeneath, p.gate); err != nil {
		return err
	}
	if p.comp.ownNet {
		ready, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return &Error{Op: "eventfd", Err: err}
		}
		p.files.add(fileNetReady, ready)
		if err := p.files.dup(fileNet, p.gate); err != nil {
			return err
		}
	}
	if err := p.openResources(); err != nil {
		return err
	}
	if p.image, err = child.Link(&p.comp.plan, p.files.fds); err != nil {
		return &Error{Op: "link the plan", Err: err}
	}
	if p.cmd.failStep > 0 {
		p.image.Fail(p.cmd.failStep - 1)
	}
	return nil
}

// clone enters the namespaces that are joined, and makes the child.
func (p *process) clone() error {
	for _, j := range p.comp.joins {
		if err := unix.Setns(p.files.fds[j.kind], j.flag); err != nil {
			return &Error{Op: "setns " + j.path, Err: err, From: p.comp.where("namespaces." + j.kind)}
		}
	}
	var err error
	p.pid, p.pidfd, err = p.image.Start()
	if err != nil {
		return p.cloneError(err)
	}
	if p.cmd.Exclusive { // not before: a child that is not dumpable cannot write its id maps
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // cannot fail: prctl(2)
	}
	return nil
}

func (p *process) cloneError(err error) error {
	e := &UnsupportedError{Layer: "namespaces", Why: "clone3: " + err.Error(), Remedy: "cordon doctor says what this host lacks"}
	switch err {
	case unix.ENOSYS:
		e.Why = "clone3: not implemented: an old kernel (5.3 has it), or a container runtime's filter"
	case unix.EPERM:
		e.Why = "clone3: operation not permitted: user namespaces are not allowed to this user here"
	case unix.ENOSPC:
		e.Why = "clone3: no space left: user.max_user_namespaces or another limit on namespaces is reached, or 32 levels of nesting"
	}
	return e
}

// catchSignals begins to pass signals on. For the first milliseconds a signal simply ends the launcher, and the sandbox
// with it: most programs are gone by then, and Go's signal machinery costs more than their whole launch.
func (p *process) catchSignals() {
	if !p.cmd.Exclusive || p.exits(catchAfter) {
		return
	}
	p.signals = make(chan os.Signal, 16)
	signal.Notify(p.signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT)
	go p.forward()
}

const catchAfter = 5 // milliseconds

// forward passes signals on. A stop is the launcher's too, so that its shell sees it.
func (p *process) forward() {
	for s := range p.signals {
		sig := s.(syscall.Signal)
		if sig == unix.SIGTSTP {
			_ = p.signal(unix.SIGSTOP) // a task that is gone needs no stopping
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			_ = p.signal(unix.SIGCONT)
			continue
		}
		_ = p.signal(sig)
	}
}

// signal reaches the task; before there is one, a signal that would end it ends the sandbox.
func (p *process) signal(sig syscall.Signal) error {
	if fd := p.taskfd.Load(); fd != 0 {
		return unix.PidfdSendSignal(int(fd-1), sig, nil, 0)
	}
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL:
		p.early.CompareAndSwap(0, int64(sig))
		return unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	return nil
}

// converse answers the child until execve has closed its last end of the socket.
func (p *process) converse() error {
	var init, task bool
	for {
		m, errno := child.Receive(p.sync, p.cmd.Exclusive)
		if errno != 0 {
			return &Error{Op: "receive from the child", Err: errno}
		}
		var err error
		switch m.Byte {
		case 0: // the other ends are closed: the program runs, or the child is gone
			return p.failure()
		case msgMaps:
			if err = p.writeMaps(); err == nil {
				err = p.send()
			}
		case msgRoot:
			if err = p.taskSeen(m.Sender); err == nil {
				err = p.checkMounts()
			}
		case msgInit:
			init = true
		case msgTask:
			task = true
			err = p.checkNamespaces()
		}
		if err == nil && init && task && (m.Byte == msgInit || m.Byte == msgTask) {
			err = p.send()
		}
		if err != nil {
			return err
		}
	}
}

func (p *process) send() error {
	if err := unix.Send(p.sync, []byte{1}, unix.MSG_NOSIGNAL); err != nil && err != unix.EPIPE {
		return &Error{Op: "send to the child", Err: err}
	}
	return nil // EPIPE: the child is gone, and the next receive says so
}

// taskSeen holds on to the task before it runs the program, so that its number cannot be anybody else's later.
func (p *process) taskSeen(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &Error{Op: "pidfd_open of the task", Err: err}
	}
	p.task = pid
	p.taskfd.Store(int64(fd) + 1)
	return nil
}

// failure is the step that failed, if one did.
func (p *process) failure() error {
	page := p.image.Page()
	for _, f := range [...]child.Fault{page.Task, page.Init} {
		if f.Step != 0 {
			return p.stepError(int(f.Step)-1, syscall.Errno(f.Errno))
		}
	}
	if p.task == 0 || p.exits(0) && page.Done == 0 {
		if sig := p.early.Load(); sig != 0 {
			return &SignalError{syscall.Signal(sig)}
		}
		return &Error{Op: "launch", Err: errText("the child ended before the program was run"),
			Hint: "was it killed? a memory limit or the kernel's log may say by whom"}
	}
	return nil
}

func (p *process) stepError(i int, errno syscall.Errno) error {
	steps, n := p.comp.plan.Steps, i
	if i >= len(steps) {
		steps, n = p.comp.plan.Init, i-len(steps)
	}
	s := &steps[n]
	if s.Call == plan.Execve {
		return &LookupError{Name: p.cmd.Args[0], Why: errno.Error(), Code: execCode(errno), Hint: stepHint("execve", errno)}
	}
	return &StepError{Index: i, Step: s.String(), From: s.From.String(), Errno: errno, Hint: stepHint(s.Call.String(), errno)}
}

// execCode is the exit code of env(1): 127 for what is not there, 126 for what cannot be executed.
func execCode(errno syscall.Errno) int {
	if errno == unix.ENOENT {
		return 127
	}
	return 126
}

// exits reports whether init is gone, or goes within some milliseconds.
func (p *process) exits(within int) bool {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, within)
	return err == nil && n == 1
}

// abort ends a sandbox that will not run, and waits until nothing is left of it.
func (p *process) abort() {
	if p.pid != 0 {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0) // gone already is as good
		p.reap(nil)
	}
	p.release()
}

// reap waits for init, and with it for every process of the pid namespace.
func (p *process) reap(usage *unix.Rusage) unix.WaitStatus {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.pid, &status, 0, usage)
		if err != unix.EINTR {
			return status
		}
	}
}

// release closes what is left.
func (p *process) release() {
	for i, t := range p.clock {
		if t != nil {
			t.Stop()
			p.clock[i] = nil
		}
	}
	for _, r := range p.relays {
		r.finish()
	}
	for _, fd := range []int{p.sync, p.gate, p.netstat} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	p.sync, p.gate, p.netstat = -1, -1, -1
	if p.image != nil {
		p.image.Release()
	}
	// The pidfds stay open: a signal may be on its way through one. They go with the process value.
	runtime.SetFinalizer(p, (*process).closePidfds)
}

func (p *process) closePidfds() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
	if fd := p.taskfd.Load(); fd != 0 {
		unix.Close(int(fd - 1))
	}
}

// startClock begins the wall-clock limit.
func (p *process) startClock() {
	wall := p.comp.profile.Limits.Wall
	if !wall.Set {
		return
	}
	grace := p.cmd.KillAfter
	if grace == 0 {
		grace = 2 * time.Second
	}
	p.clock[0] = time.AfterFunc(wall.V, func() { p.timedOut.Store(true); _ = p.signal(unix.SIGTERM) })
	p.clock[1] = time.AfterFunc(wall.V+grace, func() { _ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0) })
}

// wait waits for the end and completes the report.
func (p *process) wait() (*Report, error) {
	p.catchSignals()
	var usage unix.Rusage
	status := p.reap(&usage)
	wall := time.Since(p.began)
	page := *p.image.Page()
	r := &p.report
	r.Wall = wall
	r.User, r.System = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	r.PeakRSS = max(page.Usage.Maxrss, 0) << 10
	r.Timeout = p.timedOut.Load()
	r.Exit = -1
	switch ws := unix.WaitStatus(page.Status); {
	case page.Done == 0: // init was killed, and with it the task
		r.setSignal(status.Signal(), false)
	case ws.Signaled():
		r.setSignal(ws.Signal(), ws.CoreDump())
	default:
		r.Exit = ws.ExitStatus()
	}
	p.hints()
	p.release()
	return r, nil
}

func (r *Report) setSignal(sig syscall.Signal, core bool) {
	r.Signal, r.CoreDump = unix.SignalName(sig), core
}
