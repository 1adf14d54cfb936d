package launch

// The launcher's part: it opens what the plan names, clones, answers the child until the program has been exec'd, and
// waits for the end. clone3(2) Linux 5.3.

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

// Process is a sandbox from clone to the end. Its methods run on one thread, signal and kill on any.
type Process struct {
	Cmd   *Command
	Comp  *compile.Compilation // nil until the first steps are compiled
	files FileSet
	Image *child.Image
	added int // steps that are linked
	sent  int // sources that the child has got

	addedInit int         // of init's steps
	caller    credentials // of the thread that called Start
	ids       int         // the file in which the task's id is locked; -1 for none
	Link      int         // the launcher's end of the socket pair
	gate      int
	reaping   bool // init may reap
	taskEnded bool

	PID    int // of init, in the launcher's pid namespace
	Task   int
	Reaped bool
	Status unix.WaitStatus // of init

	Mu      sync.Mutex // guards the next seven: a signal may come at any time
	pidfd   int        // of init; -1 before and after
	Taskfd  int        // of the task; -1 before and after
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

	terminal   *terminal.Terminal // nil where the task has none of its own
	shown      []byte             // the end of what it has shown there
	lastInt    time.Time          // of the last SIGINT
	broken     bool               // there was one
	brokenLate bool               // when the task had ended
	mustStop   bool               // a SIGTSTP has been passed on, and the launcher is still to stop
	lateStop   time.Time          // when a task was continued that may still be about to answer an earlier SIGTSTP; zero for none
	Signals    int                // where signals arrive as bytes; -1 unless Cmd.Exclusive
	userNS     int                // the child's user namespace, where it is held: see holdUserNS; -1
	statusFD   int                // /proc/PID/status of the task, from the first look on; -1 before
	netstat    int                // /proc/PID/net/snmp of the sandbox, for the hint about the network; -1 if it is the host's

	stdin    int         // the task's standard input, where the task has opened it; -1
	modes    *modeWorker // makes calls that change modes; nil before the first
	Listener int         // of the task's filter; -1 before and after, and where nothing is reported
	denials  Denials

	groups  *compile.Groups // where they are; nil in a sandbox that is joined
	Cgroup  *cgroup.Group   // nil before and after, and where none was asked for
	control *control        // nil unless Cmd.State

	kept    *attach.Attached // for Cmd.Attach; nil unless Cmd.Attachable
	answer  []int            // what those who ask for it get, once somebody has
	sandbox int              // a pidfd of the init of the sandbox that is joined; -1 for none
	around  int              // filters of the task, its own not yet among them

	guards   guards
	guardErr error // why the run has ended: a guard is gone and cannot be mounted again, or init does not go on

	initWaits int // how often init was continued while it alone had something to do

	lender   *lender         // nil unless stdin is a pipe
	output   *output.Meter   // of stdout and stderr; nil without a limit
	copying  *output.Copying // nil where nothing is copied; like draining also guarded by mu once the sandbox has ended
	draining bool
	crowded  bool    // there were as many processes as there may be
	used     TreeUse // as it was before the sandbox was killed for a limit
	watched  []int   // descriptors of what tells of limits

	writes *ledger.Run // nil where the task can write nothing of the host

	ways    []report.Way      // for the report, as far as the plan did not know them
	missing []report.Missing  // what is known to be missing only since the plan was compiled
	found   map[string]uint64 // the numbers of the namespaces that are joined, by kind
	Report  report.Report
}

// New returns a process that is not started. It remembers who the calling thread is.
func New() *Process {
	return &Process{caller: threadCredentials(), began: time.Now(), ids: -1, Link: -1, gate: -1, pidfd: -1, Taskfd: -1, Signals: -1, netstat: -1, statusFD: -1, userNS: -1, Listener: -1, stdin: -1, sandbox: -1,
		guards: guards{table: -1, names: -1}, found: map[string]uint64{}}
}

// Kill ends the sandbox at once.
func (p *Process) Kill() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if p.pidfd >= 0 {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0) // gone already is as good
	}
	p.thaw()
}

// Thaw lets a sandbox that is paused go on. It may be called on any thread.
func (p *Process) Thaw() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.thaw()
}

// thaw lets the processes of the sandbox's group run, because a v1 freezer holds back even SIGKILL. p.Mu must be held.
func (p *Process) thaw() {
	if p.Cgroup != nil {
		_ = p.Cgroup.Thaw() // that there is no freezer is as good
	}
}

// exited reports whether init is gone.
func (p *Process) exited() bool { return loop.Readable(p.pidfd) }

// abort ends a sandbox that will not run, and waits until nothing is left of it.
func (p *Process) abort() {
	if p.PID != 0 {
		p.Kill()
		p.reap(nil)
		if child := p.PID; p.adopt() != nil || p.PID != child { // it had left another in its place
			p.Kill()
			p.Reaped = false
			p.reap(nil)
		}
		p.killOrphans()
	}
	p.release()
}

// release closes what is left, all but the page that the child has written.
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
	p.writes.End()
	p.writes = nil
	p.Link, p.gate, p.netstat, p.statusFD, p.userNS, p.Listener, p.sandbox, p.ids = -1, -1, -1, -1, -1, -1, -1, -1
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.kept.Close()
	for _, fd := range [...]*int{&p.pidfd, &p.Taskfd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// Wait waits for the end and completes the report.
func (p *Process) Wait() (*report.Report, error) {
	defer p.terminal.Restore() // also in a panic
	if err := p.await(p.pidfd, -1); err != nil {
		p.abort()
		return nil, err
	}
	// Init is reaped first. With it the kernel has killed and reaped every process of its pid namespace; where the profile has
	// none, orphans are left to kill.
	var usage unix.Rusage
	status := p.reap(&usage)
	p.killOrphans()
	// Every process of the sandbox is dead. The time counts: what is written in the host's files from now on is not the task's.
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
		usage = p.Image.Page().Usage
	}
	p.reportEnd(status)
	p.reportBreak(typed)
	r.Ended = r.Signal == "SIGKILL" && p.sandboxEnds()
	// Counters are read while the groups are there: release removes them.
	stats := p.endStats()
	p.reportUsage(&usage, stats)
	p.reportLimits(stats)
	p.hints()
	p.reportDenials()
	p.release()
	if !p.Cmd.Exclusive { // a launcher ends now, and its memory with it
		p.Image.Release()
	}
	return r, nil
}

// reportEnd says how the task ended, given how init did.
func (p *Process) reportEnd(init unix.WaitStatus) {
	r, page := &p.Report, p.Image.Page()
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

// reportBreak says that a SIGINT to the launcher or a key ended the task, or came when the task had ended.
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

func setSignal(r *report.Report, sig syscall.Signal, core bool) {
	r.Signal, r.CoreDump = signalName(sig), core
}

// signalName returns the name of a signal; that of a real-time signal counts from SIGRTMIN, which is 34: signal(7).
func signalName(sig syscall.Signal) string {
	const realTime = 34
	switch name := unix.SignalName(sig); {
	case name != "":
		return name
	case sig == realTime:
		return "SIGRTMIN"
	case sig > realTime:
		return "SIGRTMIN+" + strconv.Itoa(int(sig)-realTime)
	default: // two that the C library keeps for itself
		return "SIGRTMIN" + strconv.Itoa(int(sig)-realTime)
	}
}

// reap waits for init, and with it for every process of the pid namespace.
func (p *Process) reap(usage *unix.Rusage) unix.WaitStatus {
	if !p.Reaped {
		p.Status = child.Reap(p.PID, p.pidfd, usage)
		p.Reaped = true
	}
	return p.Status
}
