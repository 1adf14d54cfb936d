package launch

// The launcher's part of a run: the process, its end and its report. The launcher opens what the plan names, clones,
// answers the child until execve has run the program, and waits for the end: clone3(2), Linux 5.3.

import (
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/output"
	"cordon/sandbox/internal/terminal"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// Process is a sandbox from the clone to the end. Its methods run on one thread, except Signal, Kill and Thaw, which
// may run on any.
type Process struct {
	Cmd   *Command
	Comp  *compile.Compilation // nil until the first steps are compiled
	files FileSet
	Image *child.Image
	added int // how many steps are linked
	sent  int // how many sources the child has got

	addedInit int         // how many of init's steps are linked
	caller    credentials // the ids of the thread that called New
	ids       int         // the file in which the task's id is locked; -1 for none
	Link      int         // the launcher's end of the socket pair
	gate      int
	reaping   bool // init may reap
	taskEnded bool

	PID    int // the pid of init, in the launcher's pid namespace
	Task   int
	Reaped bool
	Status unix.WaitStatus // how init ended

	Mu      sync.Mutex // guards the seven fields below, because a signal may come at any time
	pidfd   int        // a pidfd of init; -1 before and after
	Taskfd  int        // a pidfd of the task; -1 before and after
	last    int        // the step that runs the program, from 1; 0 before it is compiled
	running bool       // the launch is over
	early   syscall.Signal
	killed  bool             // because of the signal early
	waiting []syscall.Signal // signals that wait for the program to run

	loop.Loop
	began    time.Time
	limit    string    // the limit that has ended the run, or is about to; "" for none
	wallEnds time.Time // when limits.wall is reached
	gone     bool      // init has ended, and with it everything
	told     bool      // a signal or a limit has told the run to end
	hurry    bool      // the launcher waits for nothing any more

	terminal   *terminal.Terminal // nil if the task has no terminal of its own
	shown      []byte             // the end of what the task has shown there
	lastInt    time.Time          // the time of the last SIGINT
	broken     bool               // there was a SIGINT
	brokenLate bool               // a SIGINT came after the task had ended
	mustStop   bool               // the launcher has passed on a SIGTSTP, and has yet to stop
	lateStop   time.Time          // when a task was continued that may still answer an earlier SIGTSTP; zero for none
	Signals    int                // where signals arrive as bytes; -1 unless Cmd.Exclusive
	userNS     int                // the child's user namespace, if the launcher holds it: see holdUserNS; -1 otherwise
	statusFD   int                // /proc/PID/status of the task, from the first read on; -1 before
	netstat    int                // /proc/PID/net/snmp of the sandbox, for the hint about the network; -1: the host's

	stdin    int         // the task's standard input, if the task has opened it itself; -1 otherwise
	modes    *modeWorker // makes calls that change modes; nil before the first such call
	Listener int         // the listener of the task's filter; -1 before and after, and if nothing is reported
	denials  Denials

	groups  *compile.Groups // the choice of groups; nil in a sandbox that is joined
	Cgroup  *cgroup.Group   // nil before and after, and if the sandbox has no groups
	control *control        // nil unless Cmd.State is set

	kept    *attach.Attached // what later programs need to join; nil unless Cmd.Keep
	answer  []int            // the answer to every request for kept; nil before the first
	sandbox int              // a pidfd of the joined sandbox's init; -1 for none
	around  int              // how many filters the task has, without its own

	guards   guards
	guardErr error // why the run has ended: the launcher cannot mount a guard again, or init does not go on

	initWaits int // how often the launcher continued an init that alone had something to do

	lender   *lender         // nil unless stdin is a pipe
	output   *output.Meter   // counts stdout and stderr; nil without a limit
	copying  *output.Copying // nil if nothing is copied; once the sandbox has ended, Mu guards this and draining
	draining bool
	crowded  bool    // there were as many processes as the limit allows
	used     TreeUse // what the sandbox had used before EndNow killed it
	watched  []int   // descriptors that tell of limits

	guardTold time.Time // when the guard of a program in place was told to end; Mu guards it

	private *privateDir // for a program in place; nil if there is none
	writes  *ledger.Run // nil if the task can write nothing of the host

	ways    []report.Way      // for the report: ways that the plan did not know
	missing []report.Missing  // for the report: what the launcher knows to be missing only since the plan was compiled
	found   map[string]uint64 // the numbers of the joined namespaces, by kind
	Report  report.Report
}

// New returns a process that is not started. It remembers the ids of the calling thread.
func New() *Process {
	return &Process{caller: threadCredentials(), began: time.Now(), ids: -1, Link: -1, gate: -1, pidfd: -1, Taskfd: -1, Signals: -1, netstat: -1, statusFD: -1, userNS: -1, Listener: -1, stdin: -1, sandbox: -1,
		guards: guards{table: -1, names: -1}, found: map[string]uint64{}}
}

// Kill ends the sandbox at once.
func (p *Process) Kill() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if p.pidfd >= 0 {
		// SIGKILL comes before the thaw, so that init does nothing more when it is thawed. A guard kills the rest first.
		_ = unix.PidfdSendSignal(p.pidfd, p.killSignal(), nil, 0) // init may be gone already
	}
	p.thaw()
}

// Thaw continues a sandbox that is paused. It may be called on any thread.
func (p *Process) Thaw() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.thaw()
}

// thaw lets the processes of the sandbox's group run, because a v1 freezer holds back even SIGKILL. p.Mu must be
// held.
func (p *Process) thaw() {
	if p.Cgroup != nil {
		_ = p.Cgroup.Thaw() // an error means that there is no freezer
	}
}

// exited reports whether init is gone.
func (p *Process) exited() bool { return loop.Readable(p.pidfd) }

// abort kills a sandbox that will not run, and waits until nothing is left of it.
func (p *Process) abort() {
	if p.PID != 0 {
		p.Kill()
		p.reap(nil)
		if child := p.PID; p.adopt() != nil || p.PID != child { // the first child had left another in its place
			p.Kill()
			p.Reaped = false
			p.reap(nil)
		}
		p.killOrphans()
	}
	p.release()
}

// release closes everything that is left, except the page that the child has written.
func (p *Process) release() {
	p.CloseControl()
	p.terminal.Finish()
	p.lender.finish()
	p.StopCopying()
	p.stopWatching()
	p.closeGuards()
	p.Unwatch(p.Listener)
	p.Unwatch(p.Taskfd)
	p.Unwatch(p.sandbox)
	for _, fd := range []int{p.Link, p.gate, p.netstat, p.statusFD, p.userNS, p.Listener, p.sandbox, p.ids} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	p.modes.end()
	p.leaveStdin()
	p.removeGroups()
	p.removePrivate()
	p.writes.End()
	p.writes = nil
	p.Link, p.gate, p.netstat, p.statusFD, p.userNS, p.Listener, p.sandbox, p.ids = -1, -1, -1, -1, -1, -1, -1, -1
	p.Mu.Lock()
	defer p.Mu.Unlock()
	// Signal and Share use these descriptors on other threads.
	p.kept.Close()
	for _, fd := range [...]*int{&p.pidfd, &p.Taskfd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// Wait waits for the end of the sandbox and completes the report.
func (p *Process) Wait() (*report.Report, error) {
	defer p.terminal.Restore() // also in a panic
	if err := p.await(p.pidfd, -1); err != nil {
		p.abort()
		return nil, err
	}
	// init is reaped first. With init the kernel has killed and reaped every process of init's pid namespace. If the
	// sandbox has no pid namespace, killOrphans kills what is left.
	var usage unix.Rusage
	status := p.reap(&usage)
	p.killOrphans()
	// Every process of the sandbox is dead. The task writes nothing of the host from this time on, so the record of
	// writes ends now.
	p.writes.Stop()
	p.gone = true
	p.lender.finish()
	p.Drain()
	p.terminal.Finish()
	typed := p.terminal.TypedBreak()
	p.shown = p.terminal.Last()
	p.terminal = nil
	if p.guardErr != nil {
		p.abort()
		return nil, p.guardErr
	}
	p.reportGuards()
	p.lookForRepositories()
	r := &p.Report
	r.Wall = time.Since(p.began)
	if p.Comp.Into != nil {
		// The kernel may have reaped the child itself (see joined). But init has recorded what the task used.
		usage = p.Image.Page().Usage
	}
	p.reportEnd(status)
	p.reportBreak(typed)
	r.Ended = r.Signal == "SIGKILL" && p.sandboxEnds()
	// The counters are read while the groups exist, because release removes the groups.
	stats := p.endStats()
	p.reportUsage(&usage, stats)
	p.reportLimits(stats)
	p.hints()
	p.reportDenials()
	p.release()
	if !p.Cmd.Exclusive { // otherwise the launcher ends now, and its memory with it
		p.Image.Release()
	}
	return r, nil
}

// reportEnd reports how the task ended. init is how init ended.
func (p *Process) reportEnd(init unix.WaitStatus) {
	r, page := &p.Report, p.Image.Page()
	r.Exit = -1
	switch ws := unix.WaitStatus(page.Status); {
	case page.Done == 0: // somebody killed init, and the kernel killed the task with it
		setSignal(r, init.Signal(), false)
	case ws.Signaled():
		setSignal(r, ws.Signal(), ws.CoreDump())
	default:
		r.Exit = ws.ExitStatus()
	}
}

// reportBreak reports that a SIGINT to the launcher, or a key, ended the task or came after the task had ended.
func (p *Process) reportBreak(typed terminal.Break) {
	died := p.Report.Signal == "SIGINT"
	switch {
	case p.broken && died, p.brokenLate:
		p.Report.Break = report.BreakSent
	case typed.Typed && died, typed.Late:
		p.Report.Break = report.BreakUnsent
	}
}

// HasEnded reports whether the task has ended.
func (p *Process) HasEnded() bool { return p.taskEnded || loop.Readable(p.Taskfd) }

// setSignal reports that a signal ended the task.
func setSignal(r *report.Report, sig syscall.Signal, core bool) {
	r.Signal, r.CoreDump = signalName(sig), core
}

// signalName returns the name of a signal. The name of a real-time signal counts from SIGRTMIN, which is 34:
// signal(7).
func signalName(sig syscall.Signal) string {
	const realTime = 34
	switch name := unix.SignalName(sig); {
	case name != "":
		return name
	case sig == realTime:
		return "SIGRTMIN"
	case sig > realTime:
		return "SIGRTMIN+" + strconv.Itoa(int(sig)-realTime)
	default: // two signals that the C library keeps for itself
		return "SIGRTMIN" + strconv.Itoa(int(sig)-realTime)
	}
}

// reap waits for init. With init every process of its pid namespace has ended.
func (p *Process) reap(usage *unix.Rusage) unix.WaitStatus {
	if !p.Reaped {
		p.Status = child.Reap(p.PID, p.pidfd, usage)
		p.Reaped = true
	}
	return p.Status
}
