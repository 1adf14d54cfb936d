package launch

// This file is the launcher's side of a run: the process, its end and its report. The launcher opens the files that the
// plan uses, clones the child, answers the child until execve has started the program, and waits for the end:
// clone3(2), Linux 5.3.

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

// Process is a sandbox as its launcher sees it, from the clone to the end. Its methods must be called on one thread,
// except Signal, Kill and Thaw, which may be called on any thread.
type Process struct {
	// These fields say what is started, and how far the launch has come.
	Cmd   *Command
	Comp  *compile.Compilation // nil until the first steps are compiled
	files FileSet
	Image *child.Image
	added int // number of steps copied to the child's memory
	sent  int // number of detached mounts sent to the child

	addedInit int         // number of init's steps copied to the child's memory
	caller    credentials // the ids of the thread that called New
	ids       int         // the file in which the task's id is locked; -1 if there is none
	Link      int         // the launcher's end of the socket pair
	gate      int
	reaping   bool // init may reap
	taskEnded bool

	PID    int // the pid of init, in the launcher's pid namespace
	Task   int
	Reaped bool
	Status unix.WaitStatus // how init ended

	Mu      sync.Mutex // guards the seven fields below, because a signal may come at any time
	pidfd   int        // a pidfd of init; -1 before the clone and after the end
	Taskfd  int        // a pidfd of the task; -1 before it is known and after the end
	last    int        // the number of the step that runs the program, from 1; 0 before it is compiled
	running bool       // the launch is over
	early   syscall.Signal
	killed  bool             // a signal during the launch has killed init
	waiting []syscall.Signal // signals that wait for the program to run

	// These fields are for the event loop, and for what may end the run. Times are absolute.
	loop.Loop
	began    time.Time
	limit    string // the limit that has ended the run, or is about to; "" for none
	search   searching
	wallEnds time.Time // when limits.wall is reached
	gone     bool      // init has ended, and with it every process
	told     bool      // a signal or a limit has told the run to end
	hurry    bool      // the launcher no longer waits for readers of the output

	// These fields are for the task's terminal, and for the signals that a terminal sends to a whole job.
	terminal   *terminal.Terminal // nil if the task has no terminal of its own
	shown      []byte             // the end of what the task has written there
	lastInt    time.Time          // the time of the last SIGINT
	broken     bool               // there was a SIGINT
	brokenLate bool               // a SIGINT came after the task had ended
	mustStop   bool               // the launcher has passed on a SIGTSTP, and will stop itself
	lateStop   time.Time          // when a task that may still answer a SIGTSTP was continued; or zero
	Signals    int                // where signals arrive as bytes; -1 unless Cmd.Exclusive
	userNS     int                // the child's user namespace, if holdUserNS has opened it; -1 otherwise
	statusFD   int                // the task's /proc/PID/status, once it has been read; -1 before
	netstat    int                // the sandbox's /proc/PID/net/snmp, for a hint; -1 with the host's network

	// These fields are for files of the task that the launcher serves: its standard input, chmod calls, and denied
	// calls.
	stdin    int         // the task's standard input, if the task has opened it itself; -1 otherwise
	modes    *modeWorker // makes chmod calls for the task; nil before the first
	Listener int         // the listener of the task's filter; -1 if there is none
	denials  Denials

	// These fields outlive the launch: the control groups, and the socket at which other commands ask.
	groups  *compile.Groups // where the cgroups lie; nil if the program joins a sandbox
	Cgroup  *cgroup.Group   // nil before the groups are made, after they are removed, and if there are none
	control *control        // nil unless Cmd.State is set

	// These fields are for cordon exec: what this sandbox keeps for others, and the sandbox that this program has
	// joined.
	kept    *attach.Attached // what programs need to join later; nil unless Cmd.Keep
	answer  []int            // the answer to every request for kept; nil before the first request
	sandbox int              // a pidfd of the joined sandbox's init; -1 if none is joined
	around  int              // number of the task's filters, without its own

	// These fields are for the mounts that hide and protect files. The host may remove such a mount by replacing the
	// file below it: see guards.go.
	guards   guards
	guardErr error // why the launcher ended the run: a guard could not be mounted again, or init did not go on

	initWaits int // how often the launcher has continued an init that had work left

	// These fields are for what the launcher copies between the caller's files and the task's pipes, and what limits
	// it.
	lender   *lender         // nil unless stdin is a pipe
	output   *output.Meter   // counts stdout and stderr; nil without a limit
	copying  *output.Copying // nil if nothing is copied; after the sandbox's end, Mu guards this and draining
	draining bool
	crowded  bool    // the number of processes has reached its limit
	used     TreeUse // what the sandbox had used when EndNow killed it
	watched  []int   // descriptors of files that report limits

	guardTold time.Time   // when the guard of a program in place was told to end; Mu guards it
	network   network     // its descriptors are -1, and its server nil, unless the profile has an allow-list
	writes    *ledger.Run // nil if the task can write nothing of the host

	private *privateDir // for a program in place; nil if there is none

	ways    []report.Way      // for the report: methods chosen only during the launch
	missing []report.Missing  // for the report: what turned out to be missing only after the plan was compiled
	found   map[string]uint64 // the inode numbers of the joined namespaces, by kind
	Report  report.Report
}

// New returns a process that has not been started. It remembers the ids of the current thread. A descriptor that is not
// open is -1, because 0 is a valid descriptor.
func New() *Process {
	return &Process{caller: threadCredentials(), began: time.Now(), ids: -1, Link: -1, gate: -1, pidfd: -1, Taskfd: -1, Signals: -1, netstat: -1, statusFD: -1, userNS: -1, Listener: -1, stdin: -1, sandbox: -1,
		network: network{route: -1, nft: -1, relay: -1, naming: -1, seed: -1}, guards: guards{table: -1, names: -1}, found: map[string]uint64{}}
}

// Kill ends the sandbox at once. It may be called on any thread. Before the clone and after the end it does nothing.
func (p *Process) Kill() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if p.pidfd >= 0 {
		// SIGKILL comes before the thaw, so that init does nothing more. The init of a program in place kills the
		// other processes first.
		_ = unix.PidfdSendSignal(p.pidfd, p.killSignal(), nil, 0) // init may have ended already
	}
	p.thaw()
}

// Thaw continues a sandbox that is paused. It may be called on any thread.
func (p *Process) Thaw() {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.thaw()
}

// thaw thaws the sandbox's cgroup, because a v1 freezer delays even SIGKILL. p.Mu must be held.
func (p *Process) thaw() {
	if p.Cgroup != nil {
		_ = p.Cgroup.Thaw() // an error means that there is no freezer
	}
}

// exited reports whether init has ended.
func (p *Process) exited() bool { return loop.Readable(p.pidfd) }

// abort kills a sandbox that must not run, and waits until no process of the sandbox is left.
func (p *Process) abort() {
	if p.PID != 0 {
		p.Kill()
		p.reap(nil)
		// If the child enters namespaces itself (see born), it may have forked a second child before it was killed.
		if child := p.PID; p.adopt() != nil || p.PID != child { // the first child had already forked the second
			p.Kill()
			p.Reaped = false
			p.reap(nil)
		}
		p.killOrphans()
	}
	p.release()
}

// release closes all descriptors, and keeps only the page in which the child has recorded its end.
func (p *Process) release() {
	// The order matters. First nobody may ask any more. Then the copies and watches end. Last, the descriptors that
	// they used are closed.
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
	p.closeNetwork()
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

// Wait waits for the end of the sandbox and completes the report. It must be called once, after a launch without error,
// on the thread that runs the loop. The report says how the program ended. An error means that the launcher itself
// could not go on; the sandbox has then been killed.
func (p *Process) Wait() (*report.Report, error) {
	defer p.terminal.Restore() // also in a panic
	if err := p.await(p.pidfd, -1); err != nil {
		p.abort()
		return nil, err
	}
	// init is reaped first. When init has ended, the kernel has killed and reaped every process of init's pid
	// namespace. If the sandbox has no pid namespace, killOrphans kills the remaining processes.
	var usage unix.Rusage
	status := p.reap(&usage)
	p.killOrphans()
	// Every process of the sandbox has ended, so the task writes nothing more, and the record of writes ends here.
	p.writes.Stop()
	p.gone = true
	p.closeNetwork()
	p.lender.finish()
	// The pipes may still hold output of the task.
	p.Drain()
	p.terminal.Finish()
	typed := p.terminal.TypedBreak()
	if p.shown = p.terminal.Last(); p.shown == nil {
		p.shown = p.messages()
	}
	// The hints use the last messages of the program: see complaints.
	p.terminal = nil
	if p.guardErr != nil {
		p.abort()
		return nil, p.guardErr
	}
	p.reportGuards()
	p.lookForRepositories()
	p.keepSearch()
	r := &p.Report
	r.Wall, r.Search, r.Names = time.Since(p.began), p.search.took, p.search.names
	if p.Comp.Into != nil {
		// The kernel may have reaped the child itself (see joined). In that case the usage is the one that init has
		// recorded.
		usage = p.Image.Page().Usage
	}
	p.reportEnd(status)
	p.reportBreak(typed)
	r.Ended = r.Signal == "SIGKILL" && p.sandboxEnds()
	// The counters are read now, because release removes the cgroups.
	stats := p.endStats()
	p.reportUsage(&usage, stats)
	p.reportLimits(stats)
	p.hints()
	p.reportDenials()
	p.release()
	if !p.Cmd.Exclusive { // otherwise the launcher exits, and its memory is freed anyway
		p.Image.Release()
	}
	return r, nil
}

// reportEnd reports how the task ended. init is the exit status of init.
func (p *Process) reportEnd(init unix.WaitStatus) {
	r, page := &p.Report, p.Image.Page()
	// The page is memory that the launcher shares with init: init writes the task's status there before it ends. init's
	// own exit status cannot say which signal ended the task.
	r.Exit = -1
	switch ws := unix.WaitStatus(page.Status); {
	case page.Done == 0: // somebody has killed init, and the kernel has killed the task with it
		setSignal(r, init.Signal(), false)
	case ws.Signaled():
		setSignal(r, ws.Signal(), ws.CoreDump())
	default:
		r.Exit = ws.ExitStatus()
	}
}

// reportBreak reports a SIGINT to the launcher, or a typed Ctrl-C, if it ended the task or came after the task had
// ended.
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

// signalName returns the name of a signal. Real-time signals are named relative to SIGRTMIN, which is 34: signal(7).
func signalName(sig syscall.Signal) string {
	const realTime = 34
	switch name := unix.SignalName(sig); {
	case name != "":
		return name
	case sig == realTime:
		return "SIGRTMIN"
	case sig > realTime:
		return "SIGRTMIN+" + strconv.Itoa(int(sig)-realTime)
	default: // the two signals that the C library reserves for itself
		return "SIGRTMIN" + strconv.Itoa(int(sig)-realTime)
	}
}

// reap waits for init. When init has ended, every process of its pid namespace has ended too. usage may be nil. A
// second call returns the first call's result, because a process can be waited for only once.
func (p *Process) reap(usage *unix.Rusage) unix.WaitStatus {
	if !p.Reaped {
		p.Status = child.Reap(p.PID, p.pidfd, usage)
		p.Reaped = true
	}
	return p.Status
}
