package sandbox

// The launcher's part: it opens what the plan names, clones, answers the child until the program has been exec'd, and
// waits for the end. clone3(2) Linux 5.3.

import (
	"cmp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// process is a sandbox from clone to the end. Its methods run on one thread, signal and kill on any.
type process struct {
	cmd   *Command
	comp  *compilation // nil until the first steps are compiled
	files fileSet
	image *child.Image
	added int // steps that are linked
	sent  int // sources that the child has got

	addedInit int         // of init's steps
	caller    credentials // of the thread that called Start
	ids       int         // the file in which the task's id is locked; -1 for none
	link      int         // the launcher's end of the socket pair
	gate      int
	reaping   bool // init may reap
	taskEnded bool

	pid    int // of init, in the launcher's pid namespace
	task   int
	reaped bool
	status unix.WaitStatus // of init

	mu      sync.Mutex // guards the next seven: a signal may come at any time
	pidfd   int        // of init; -1 before and after
	taskfd  int        // of the task; -1 before and after
	last    int        // the step that runs the program, from 1; 0 before it is compiled
	running bool       // the launch is over
	early   syscall.Signal
	killed  bool             // because of that
	waiting []syscall.Signal // for the program to run

	loop.Loop
	began    time.Time
	limit    string    // the limit that has ended the run, or is about to; "" for none
	wallEnds time.Time // when limits.wall is reached
	gone     bool      // init has ended, and with it everything
	told     bool      // to end, by a signal or a limit
	hurry    bool      // nothing is to be waited for any more

	terminal *terminal // nil where the task has none of its own
	lastInt  time.Time // of the last SIGINT
	ownStop  time.Time // when the launcher stopped itself last, and its process group
	mustStop bool      // a SIGTSTP has been passed on, and the launcher is still to stop
	signals  int       // where signals arrive as bytes; -1 unless Cmd.Exclusive
	netstat  int       // /proc/PID/net/snmp of the sandbox, for the hint about the network; -1 if it is the host's

	stdin    int         // the task's standard input, where the task has opened it; -1
	modes    *modeWorker // makes calls that change modes; nil before the first
	listener int         // of the task's filter; -1 before and after, and where nothing is reported
	denials  denials

	groups  *Groups       // where they are; nil in a sandbox that is joined
	cgroup  *cgroup.Group // nil before and after, and where none was asked for
	control *control      // nil unless Cmd.State

	kept    *Attached // for Cmd.Attach; nil unless Cmd.Attachable
	answer  []int     // what those who ask for it get, once somebody has
	sandbox int       // a pidfd of the init of the sandbox that is joined; -1 for none
	around  int       // filters of the task, its own not yet among them

	guards   guards
	guardErr error // why the run has ended: a guard is gone and cannot be mounted again

	lender   *lender  // nil unless stdin is a pipe
	output   *meter   // of stdout and stderr; nil without a limit
	copying  *copying // nil where nothing is copied; like draining also guarded by mu once the sandbox has ended
	draining bool
	crowded  bool    // there were as many processes as there may be
	used     treeUse // as it was before the sandbox was killed for a limit
	watched  []int   // descriptors of what tells of limits

	writes *ledger.Run // nil where the task can write nothing of the host

	missing []report.Missing  // what is known to be missing only since the plan was compiled
	found   map[string]uint64 // the numbers of the namespaces that are joined, by kind
	report  report.Report
}

func newProcess() *process {
	return &process{caller: threadCredentials(), began: time.Now(), ids: -1, link: -1, gate: -1, pidfd: -1, taskfd: -1, signals: -1, netstat: -1, listener: -1, stdin: -1, sandbox: -1,
		guards: guards{table: -1, names: -1}, found: map[string]uint64{}}
}

// Start launches a command. On an error nothing is left.
func (p *process) Start(cmd *Command) error {
	p.cmd = cmd
	host.MakeStateDirs(cmd.Host)
	return p.launchAll()
}

// launchAll launches; on an error everything is undone.
func (p *process) launchAll() error {
	err := p.launch()
	if err != nil {
		p.abort()
		err = cmp.Or(p.interrupted(), p.sandboxGone(err), p.fault(), err) // each says more than what it led to
		p.image.Release()
		return err
	}
	if p.comp.into == nil {
		p.keepLimits()
		p.guardMounts()
	} else {
		p.joined()
	}
	p.lender.begin()
	if p.terminal != nil {
		p.terminal.begin()
	}
	return nil
}

func (p *process) launch() error {
	if err := p.checkThread(); err != nil {
		return err
	}
	if err := p.compile(); err != nil {
		return err
	}
	if p.cmd.Note != nil {
		for _, text := range p.comp.notes {
			p.cmd.Note(text)
		}
	}
	if p.cmd.Exclusive { // not before: a child that is not dumpable cannot write its id maps
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // cannot fail: prctl(2)
	}
	p.mu.Lock()
	p.last = len(p.comp.plan.Steps)
	p.mu.Unlock()
	if err := p.recordWrites(); err != nil { // before the task is let go
		return err
	}
	if err := p.converse(); err != nil {
		return err
	}
	if err := p.identify(); err != nil {
		return err
	}
	if err := p.confirm(); err != nil {
		return err
	}
	if err := p.keepState(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = true
	if p.killed {
		return &SignalError{Signal: p.early}
	}
	for _, sig := range p.waiting {
		_ = unix.PidfdSendSignal(p.taskfd, sig, nil, 0) // a task that is gone has no use for it
	}
	return nil
}

// compile compiles the plan, and hands it over part by part.
func (p *process) compile() (err error) {
	r := p.cmd.Request()
	if r.TaskID, err = p.drawTaskID(); err != nil {
		return err
	}
	if r.Nonce, err = p.cmd.nonce(); err != nil {
		return err
	}
	if r.MakeDir = makeOwnDir; r.Into == nil {
		p.groups = p.makeGroups()
		r.Groups = p.groups
	}
	for c, err := range Parts(p.cmd.Profile, p.cmd.Host, r) {
		if err == nil {
			err = p.handOver(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handOver takes what is compiled so far. The first time the child is cloned; then it is told that there is more.
func (p *process) handOver(c *compilation) error {
	var err error
	if p.comp == nil {
		p.comp = c
		err = p.begin()
	} else if err = p.add(); err == nil {
		err = p.send(nil)
	}
	if err != nil {
		return err
	}
	return p.sendSources()
}

// begin clones the child with its first steps, and maps its ids.
func (p *process) begin() error {
	defer p.files.closeAll()
	if err := p.open(); err != nil {
		return err
	}
	if err := p.keepGroup(); err != nil {
		return err
	}
	if err := p.add(); err != nil {
		return err
	}
	if err := p.clone(); err != nil {
		return err
	}
	if err := p.adoptChild(); err != nil {
		return err
	}
	if err := p.born(); err != nil {
		return err
	}
	if !p.comp.ids.launcherMaps {
		return nil
	}
	if err := p.writeMaps(); err != nil {
		return err
	}
	return p.send(nil)
}

// add links what was compiled since the last time.
func (p *process) add() error {
	steps, init := p.comp.plan.Steps, p.comp.plan.Init
	err := p.image.AddInit(init[p.addedInit:], p.files.fds)
	if err == nil {
		err = p.image.Add(steps[p.added:], p.files.fds)
	}
	if err != nil {
		return &Error{Op: "link the plan", Err: err}
	}
	p.added, p.addedInit = len(steps), len(init)
	return nil
}

// open makes what the plan's files stand for, and links the plan to their numbers.
func (p *process) open() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: "socketpair", Err: err}
	}
	p.link = pair[0]
	p.files.base = int(p.comp.firstFD())
	if p.comp.reports {
		p.files.base++ // the number itself is the listener's
	}
	p.files.borrow(fileLauncher, p.link)
	if err := p.files.add(fileSync, pair[1]); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(p.link, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return &Error{Op: "setsockopt SO_PASSCRED", Err: err}
	}
	if p.gate, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_SEMAPHORE); err != nil {
		return &Error{Op: "eventfd", Err: err}
	}
	if err := p.files.dup(fileGate, p.gate); err != nil {
		return err
	}
	if err := p.files.dup(fileBeneath, p.gate); err != nil {
		return err
	}
	zero, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: "/dev/zero", Err: err}
	}
	if err := p.files.add(fileZero, zero); err != nil {
		return err
	}
	if err := p.openResources(); err != nil {
		return err
	}
	if p.image, err = child.New(p.comp.plan.Clone); err != nil {
		return &Error{Op: "link the plan", Err: err}
	}
	p.image.Cgroup(p.files.fds[fileCgroup])
	p.image.Fail(p.cmd.FailStep - 1)
	p.image.FailInit(p.cmd.FailInit - 1)
	return nil
}

// clone enters the namespaces that are joined, and makes the child.
func (p *process) clone() error {
	if len(p.comp.joins) > 0 { // the thread that joins is not like the others any more
		runtime.LockOSThread()
	}
	if err := p.enterJoined(); err != nil {
		return err
	}
	if err := p.catchSignals(); err != nil {
		return err
	}
	if err := p.adoptOrphans(); err != nil {
		return err
	}
	pid, pidfd, err := p.image.Start()
	if err != nil {
		return p.cloneError(err)
	}
	p.mu.Lock()
	p.pid, p.pidfd = pid, pidfd
	p.mu.Unlock()
	return nil
}

func (p *process) cloneError(err error) error {
	e := &UnsupportedError{Layer: "namespaces", Why: "clone3: " + err.Error(), Remedy: "cordon doctor says what this host lacks"}
	if p.cmd.Into != nil && p.comp.plan.Clone&unix.CLONE_INTO_CGROUP != 0 && (err == unix.EACCES || err == unix.ENODEV || err == unix.EBUSY) {
		return &Error{Op: "enter the sandbox's cgroup", Err: err, Hint: "run cordon exec where the sandbox was started: both must be below a group that is the caller's; under systemd: systemd-run --user --scope cordon exec …"}
	}
	switch err {
	case unix.EMFILE, unix.ENFILE:
		return &Error{Op: "clone3", Err: err, Hint: "the limit of open files is too low: ulimit -n"}
	case unix.ENOSYS:
		e.Why = "clone3: not implemented: a sandbox of cordon or a container runtime's filter around this, or an old kernel (5.3 has it)"
	case unix.EPERM:
		e.Why = "clone3: operation not permitted: user namespaces are not allowed to this user here"
	case unix.ENOSPC:
		e.Why = "clone3: no space left: user.max_user_namespaces or another limit on namespaces is reached, or 32 levels of nesting"
	}
	return e
}

// kill ends the sandbox at once.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0) // gone already is as good
	}
	if p.cgroup != nil {
		_ = p.cgroup.Thaw() // a v1 freezer holds back even SIGKILL; that there is none is as good
	}
}

// fault is the step at which the child ended: one that failed, or one that its filter ended it for.
func (p *process) fault() error {
	if p.image == nil {
		return nil
	}
	page := p.image.Page()
	switch init, task := page.Init, page.Task; { // init first: without it the task has nobody to talk to
	case init.Errno != 0:
		return p.stepError(int(init.Step)-1, syscall.Errno(init.Errno), 0)
	case init.Step != 0 && p.reaped && p.status.Signal() == unix.SIGSYS:
		return p.stepError(int(init.Step)-1, 0, unix.SIGSYS)
	case task.Errno != 0:
		return p.stepError(int(task.Step)-1, syscall.Errno(task.Errno), 0)
	}
	return nil
}

func (p *process) stepError(i int, errno syscall.Errno, sig syscall.Signal) error {
	steps, n := p.comp.plan.Steps, i
	if i >= child.InitBase {
		steps, n = p.comp.plan.Init, i-child.InitBase
		i = len(p.comp.plan.Steps) + n
	}
	s := &steps[n]
	if s.Call == plan.Execve || s.Call == plan.Execveat || s.To == plan.Program {
		e := &LookupError{Name: p.cmd.Args[0], Why: errno.Error(), Code: execCode(errno), Hint: stepHint("execve", errno)}
		if text := p.comp.execHint(); text != "" {
			e.Hint = text
			return e
		}
		if p.comp.profile.Root.Kind == policy.RootEmpty && !p.comp.tree.showsHost() {
			e.Hint = "the root is empty, and no directory of the host is bound; name a root file system with --root DIR"
		}
		return e
	}
	hint := stepHint(s.Call.String(), errno)
	if errno == unix.EACCES && p.comp.ids.own && !p.comp.ids.idmapped {
		hint = "root without CAP_SYS_ADMIN gives the task an id of its own, which may not go there; " + p.comp.orRoot()
	}
	if errno == unix.EPERM && s.Call == plan.Write && !p.comp.mayMapRoot() && p.comp.ids.newUser {
		hint = p.comp.mapHint(unix.EPERM)
	}
	return &StepError{Index: i, Step: s.String(), From: s.From.String(), Errno: errno, Signal: sig, Hint: hint}
}

// execCode is the exit code of env(1): 127 for what is not there, 126 for what cannot be executed.
func execCode(errno syscall.Errno) int {
	if errno == unix.ENOENT {
		return 127
	}
	return 126
}

// exited reports whether init is gone.
func (p *process) exited() bool { return loop.Readable(p.pidfd) }

// abort ends a sandbox that will not run, and waits until nothing is left of it.
func (p *process) abort() {
	if p.pid != 0 {
		p.kill()
		p.reap(nil)
		if child := p.pid; p.adopt() != nil || p.pid != child { // it had left another in its place
			p.kill()
			p.reaped = false
			p.reap(nil)
		}
		p.killOrphans()
	}
	p.release()
}

// reap waits for init, and with it for every process of the pid namespace.
func (p *process) reap(usage *unix.Rusage) unix.WaitStatus {
	for !p.reaped {
		_, err := unix.Wait4(p.pid, &p.status, 0, usage)
		p.reaped = err != unix.EINTR
		if err == unix.ECHILD { // see child.ReapNothing
			p.status = unix.WaitStatus(unix.SIGKILL)
		}
	}
	return p.status
}

// release closes what is left, all but the page that the child has written.
func (p *process) release() {
	p.closeControl()
	p.terminal.finish()
	p.lender.finish()
	p.stopCopying()
	p.stopWatching()
	p.closeGuards()
	p.Unwatch(p.listener)
	p.Unwatch(p.taskfd)
	p.Unwatch(p.sandbox)
	for _, fd := range []int{p.link, p.gate, p.netstat, p.listener, p.sandbox, p.ids} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	p.modes.end()
	p.leaveStdin()
	p.removeGroups()
	p.writes.End()
	p.writes = nil
	p.link, p.gate, p.netstat, p.listener, p.sandbox, p.ids = -1, -1, -1, -1, -1, -1
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept.Close()
	for _, fd := range [...]*int{&p.pidfd, &p.taskfd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// wait waits for the end and completes the report.
func (p *process) wait() (*report.Report, error) {
	defer p.terminal.restore() // also in a panic
	if err := p.await(p.pidfd, -1); err != nil {
		p.abort()
		return nil, err
	}
	var usage unix.Rusage
	status := p.reap(&usage)
	p.killOrphans()
	p.writes.Stop()
	p.gone = true
	p.lender.finish()
	p.drain()
	p.terminal.finish()
	p.terminal = nil
	if p.guardErr != nil {
		p.abort()
		return nil, p.guardErr
	}
	p.reportGuards()
	p.lookForRepositories()
	r := &p.report
	r.Wall = time.Since(p.began)
	if p.comp.into != nil {
		usage = p.image.Page().Usage
	}
	p.reportEnd(status)
	r.Ended = r.Signal == "SIGKILL" && p.sandboxEnds()
	stats := p.stats()
	p.reportUsage(&usage, stats)
	p.reportLimits(stats)
	p.hints()
	p.reportDenials()
	p.release()
	if !p.cmd.Exclusive { // a launcher ends now, and its memory with it
		p.image.Release()
	}
	return r, nil
}

// reportEnd says how the task ended, given how init did.
func (p *process) reportEnd(init unix.WaitStatus) {
	r, page := &p.report, p.image.Page()
	r.Exit = -1
	switch ws := unix.WaitStatus(page.Status); {
	case page.Done == 0: // init was killed, and with it the task
		setSignal(r, init.Signal(), false)
	case ws.Signaled():
		setSignal(r, ws.Signal(), ws.CoreDump())
	default:
		r.Exit = ws.ExitStatus()
	}
}

func setSignal(r *report.Report, sig syscall.Signal, core bool) {
	r.Signal, r.CoreDump = unix.SignalName(sig), core
}
