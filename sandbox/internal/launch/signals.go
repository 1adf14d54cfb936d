package launch

// This file passes the signals that the launcher receives to the task: signal(7), credentials(7), timeout(1).
// pidfd_send_signal(2) needs Linux 5.1, PIDFD_SIGNAL_PROCESS_GROUP 6.9.
//
// A terminal sends some signals to a whole job: SIGINT, SIGQUIT, SIGWINCH, and the signals that stop and continue a
// process. The launcher sends these to the task's process group, or to the foreground group of the task's own terminal.
// Other signals are meant for one process: SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2. The launcher sends these to the task
// only.

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/terminal"
)

// forwarded lists the signals that the launcher passes on to the task.
var forwarded = [...]syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2,
	unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT}

// catchSignals begins to catch signals for the task. Before that, signals have their default effect on the launcher.
func (p *Process) catchSignals() (err error) {
	if !p.Cmd.Exclusive {
		return nil
	}
	if p.Signals, err = child.CatchSignals(forwarded[:]...); err != nil {
		return &fail.Error{Op: "catch signals", Err: err}
	}
	p.Watch(p.Signals, unix.POLLIN, func(int16) { p.Forward() })
	return nil
}

// Forward passes on the signals that have arrived. It does nothing if the task has ended.
func (p *Process) Forward() {
	var buf [64]byte
	n, _ := unix.Read(p.Signals, buf[:]) // EAGAIN: nothing has arrived yet
	for _, b := range buf[:max(n, 0)] {
		p.pass(syscall.Signal(b))
	}
}

// pass handles one signal: it sends the signal to the task, or stops or continues the task.
func (p *Process) pass(sig syscall.Signal) {
	switch sig {
	case unix.SIGTSTP:
		p.stop()
		return
	case unix.SIGCONT:
		p.resume()
		return
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT:
		p.told, p.hurry = true, p.gone
	}
	if sig == unix.SIGINT {
		p.broken, p.brokenLate = true, p.brokenLate || p.isRunning() && p.HasEnded()
	}
	switch {
	case p.draining:
		_ = p.Signal(sig)
	case !p.isRunning(): // not yet, or the program runs and the launcher has not noticed yet
		_ = p.Signal(sig)
		p.escalate(sig)
	case sig == unix.SIGWINCH && p.terminal != nil:
		p.terminal.Resize()
	case sig == unix.SIGHUP && p.terminal != nil && p.terminal.IsGone():
		p.terminal.HangUp()
	case sig == unix.SIGINT:
		p.interrupt()
	case sig == unix.SIGQUIT || sig == unix.SIGWINCH:
		_ = p.signalJob(sig)
	default:
		_ = p.Signal(sig)
		p.escalate(sig)
	}
}

// escalate kills a task that has not ended by SIGTERM or by a second SIGINT.
func (p *Process) escalate(sig syscall.Signal) {
	switch sig {
	case unix.SIGTERM:
		p.killLater()
	case unix.SIGINT:
		p.countInterrupt()
	}
}

// killLater arranges that a task is killed if SIGTERM does not end it, provided that the caller has asked for that.
func (p *Process) killLater() {
	if p.Cmd.KillAfter != 0 {
		p.At(time.Now().Add(p.Cmd.KillAfter), p.EndNow)
	}
}

// interrupt passes SIGINT on to the task. At a second SIGINT it ends a task that the first has not ended.
func (p *Process) interrupt() {
	p.countInterrupt()
	_ = p.signalJob(unix.SIGINT)
}

// countInterrupt ends the sandbox at the second SIGINT. A SIGINT within terminal.Soonest of the first is not a second
// one, because another program may have passed on the same key press as well.
func (p *Process) countInterrupt() {
	now := time.Now()
	if terminal.IsSecond(p.lastInt, now) {
		p.EndNow()
	}
	if now.Sub(p.lastInt) >= terminal.Soonest {
		p.lastInt = now
	}
}

// stop stops the task and then the launcher, so that the user's shell notices. If the task has a terminal of its own,
// it gets SIGTSTP, as from Ctrl-Z, and has a moment to stop itself.
func (p *Process) stop() {
	if p.terminal == nil || !p.isRunning() {
		_ = p.SignalGroup(unix.SIGSTOP)
		p.stopSelf(false)
		p.resume()
		return
	}
	_ = p.terminal.Raise(unix.SIGTSTP)
	p.terminal.Expect(time.Now())
	p.mustStop = true
	p.At(time.Now().Add(200*time.Millisecond), p.mustStopNow)
}

// mustStopNow stops a task by SIGSTOP if the task has not stopped by SIGTSTP in time. A slow program that handles
// SIGTSTP, such as an editor on a busy machine, may then answer the SIGTSTP only after somebody has continued it. So it
// would stop once more, which nobody wants: see answersLate.
func (p *Process) mustStopNow() {
	if !p.mustStop {
		return
	}
	_ = p.SignalGroup(unix.SIGSTOP)
	p.terminal.Suspend(false)
	p.lateStop = time.Now()
	p.terminal.Expect(p.lateStop)
}

// answersLate reports whether the task has just stopped because of an earlier SIGTSTP that it had not answered before
// SIGSTOP stopped it. It takes that to be so if nothing was typed and no SIGTSTP was sent since the task was continued.
func (p *Process) answersLate() bool {
	late := !p.lateStop.IsZero() && p.terminal.LastKey.Equal(p.lateStop)
	p.lateStop = time.Time{}
	return late
}

// FollowStop stops the launcher if the task has been stopped. If the task has only answered an earlier SIGTSTP late,
// FollowStop continues the task instead.
func (p *Process) FollowStop() {
	if p.gone || !p.taskStopped() {
		return
	}
	if p.answersLate() {
		_ = p.SignalGroup(unix.SIGCONT)
		return
	}
	fromKey := !p.mustStop
	p.mustStop = false
	p.terminal.Suspend(fromKey)
}

// taskStopped reports whether the task is stopped: proc_pid_status(5). As long as the task's pidfd says that the task
// lives, no other process has its pid.
func (p *Process) taskStopped() bool {
	text, err := p.taskStatus() // the file is already open, because a /proc with hidepid may hide the task by now
	return err == nil && strings.HasPrefix(proc.StatusField(text, "State"), "T") && !loop.Readable(p.Taskfd)
}

// resume continues the task after somebody has continued the launcher.
func (p *Process) resume() {
	p.mustStop = false
	if p.terminal != nil && p.terminal.Copying {
		p.terminal.Resumed()
	}
	_ = p.SignalGroup(unix.SIGCONT)
}

// isRunning reports whether the launch is over: the program runs or has run.
func (p *Process) isRunning() bool {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	return p.running
}

// signalJob sends the task's job a signal that a key of the terminal has caused. For example, Ctrl-C causes SIGINT.
func (p *Process) signalJob(sig syscall.Signal) error {
	if p.terminal != nil && (sig == unix.SIGINT || sig == unix.SIGQUIT) {
		return p.terminal.Raise(sig)
	}
	return p.SignalGroup(sig)
}

// SignalGroup sends a signal to the process group that the task leads.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if !p.reached() {
		return unix.ESRCH
	}
	return p.sendGroup(sig)
}

// reached reports whether the program runs, or is about to run. p.Mu must be held.
func (p *Process) reached() bool {
	return p.Taskfd >= 0 && (p.running || p.last != 0 && int(p.Image.Page().Task.Step) == p.last)
}

// sendGroup sends a signal to the task's process group. Before Linux 6.9 it uses the task's pid, which is the group's
// id as long as the task lives. p.Mu must be held.
func (p *Process) sendGroup(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(p.Taskfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.EINVAL && !loop.Readable(p.Taskfd) {
		err = unix.Kill(-p.Task, sig)
	}
	return err
}

// Signal sends a signal to the task, once the task is about to run the program. Before that, a signal that would end
// the program ends the sandbox. Any other signal that a program may handle waits until the program runs.
func (p *Process) Signal(sig syscall.Signal) error {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	switch {
	case p.draining:
		p.giveUp(sig)
		return unix.ESRCH
	case p.pidfd < 0:
		return unix.ESRCH
	case p.running:
		return unix.PidfdSendSignal(p.Taskfd, sig, nil, 0)
	}
	if ends(sig) {
		p.early = sig
	}
	switch {
	// The launcher has not confirmed the sandbox yet, but the program may already run, and then it must get the signal.
	case p.reached():
		if sig == unix.SIGTERM || sig == unix.SIGHUP || sig == unix.SIGUSR1 || sig == unix.SIGUSR2 {
			return unix.PidfdSendSignal(p.Taskfd, sig, nil, 0)
		}
		return p.sendGroup(sig)
	case ends(sig):
		p.killed = true
		return unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	p.waiting = append(p.waiting, sig)
	return nil
}

// ends reports whether a signal is meant to end a program.
func ends(sig syscall.Signal) bool {
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL:
		return true
	}
	return false
}

// interrupted returns the error of a launch that a signal has ended, or nil if no signal has ended it.
func (p *Process) interrupted() error {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	if p.early == 0 {
		return nil
	}
	return &fail.SignalError{Signal: p.early}
}

// keepInitGoing makes sure that the run ends when the task ends. For that, init must reap the task, but somebody
// outside may have stopped init. So the launcher continues init again and again until init ends.
func (p *Process) keepInitGoing() {
	p.Watch(p.Taskfd, unix.POLLIN, func(int16) {
		p.Unwatch(p.Taskfd)
		p.taskEnded = true
		p.endGuards()
		p.letInitEnd()
		p.At(time.Now().Add(InitStep), p.continueInit)
	})
}

// InitStep is the interval between two SIGCONT to an init that may have been stopped.
const InitStep = 200 * time.Millisecond

// InitSteps is how many SIGCONT init gets before the launcher gives up, after 10 s. Time in which the launcher is
// stopped, as by Ctrl-Z, is not part of these 10 s. If the sandbox is paused, the launcher starts to count again.
const InitSteps = 50

// continueStart sends SIGCONT to init until init has said that the program runs. Until then the launcher enforces no
// limit, although the program may run already. If nobody has stopped init, init waits only until the kernel has
// released the task's old memory.
func (p *Process) continueStart() {
	if p.pidfd >= 0 && !p.gone && !p.isRunning() {
		if p.Image.Page().Released() && p.initLate() {
			return
		}
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGCONT, nil, 0)
		p.At(time.Now().Add(InitStep), p.continueStart)
	}
}

// initLate kills an init that does not go on although the task has done its part. A tracer outside may have stopped
// init in a way that SIGCONT does not undo. initLate reports whether init has used up its time.
func (p *Process) initLate() bool {
	if p.initWaits++; p.initWaits < InitSteps {
		return false
	}
	if place := p.place(); place != nil {
		if frozen, err := place.Frozen(); err == nil && frozen {
			p.initWaits = 0
			return false
		}
	}
	// In this case init has not yet recorded how the task ended.
	if p.Image.Page().Done == 0 {
		p.guardErr = &fail.Error{Op: "init", Err: errors.New("it has not gone on for " + (InitSteps * InitStep).String() + ", and nobody knows how the program ended"),
			Hint: "does a tracer (ptrace, gdb) outside hold the sandbox's processes?"}
	}
	p.Kill()
	return true
}

// letInitEnd lets init end, and with init the task's terminal. It does so after the task's end, and once init may reap.
func (p *Process) letInitEnd() {
	if p.terminal == nil || !p.reaping || !p.taskEnded {
		return
	}
	// KeepUnread takes the unread input out of the terminal, and init must not have ended by then.
	p.terminal.KeepUnread()
	loop.Tell(p.gate)
}

// continueInit sends SIGCONT to init every InitStep after the task's end, because init may have been stopped.
func (p *Process) continueInit() {
	if p.pidfd >= 0 && !p.gone && !p.initLate() {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGCONT, nil, 0) // init may have ended meanwhile
		p.At(time.Now().Add(InitStep), p.continueInit)
	}
}

// The launcher stops together with its task, as by Ctrl-Z. A stopped launcher cannot watch time limits, but other
// processes of the sandbox may go on: the main process can even stop itself in order to stop the launcher. So before
// the launcher stops, it sets a timer of the kernel. The timer continues the launcher when a time limit is due.

// stopSelf stops the launcher until somebody continues it or a time limit is reached. If group is true, it also stops
// the other processes of the launcher's process group.
func (p *Process) stopSelf(group bool) {
	for p.limit == "" {
		due := p.nextLimit()
		if due.IsZero() {
			child.Suspend(group)
			return
		}
		cancel := child.ContinueAfter(time.Until(due))
		child.Suspend(group)
		cancel()
		if time.Now().Before(due) || p.timeOver() || p.terminal != nil && p.terminal.Foreground() {
			return
		}
		// No limit is reached, so only the timer can have continued the launcher. The launcher stops again, alone.
		group = false
	}
}

// nextLimit returns the earliest time at which a time limit can be reached, or zero if there is none.
func (p *Process) nextLimit() (due time.Time) {
	limits := &p.Comp.Profile.Limits
	if limits.CPUTime.Set {
		left := limits.CPUTime.V - p.cpuUsed()
		due = time.Now().Add(max(compile.CPUStep, left/time.Duration(Processors())))
	}
	if limits.Wall.Set && (due.IsZero() || p.wallEnds.Before(due)) {
		due = p.wallEnds
	}
	return due
}

// timeOver reports whether a time limit is reached.
func (p *Process) timeOver() bool {
	limits := &p.Comp.Profile.Limits
	return limits.Wall.Set && !time.Now().Before(p.wallEnds) || limits.CPUTime.Set && p.cpuUsed() >= limits.CPUTime.V
}

// The next part is the loop in which the launcher waits for the child and for other events. There is one loop, on the
// launcher's thread. A layer that wants to know of an event adds a watch or a timer with a function, which must not
// block. The loop uses ppoll(2), which needs one call for so few descriptors; epoll(7) would need three.

// await waits until fd or other is readable, or until the other end of one of them is closed. Meanwhile the loop serves
// watches and timers.
func (p *Process) await(fd, other int) error {
	return p.awaitEvent(unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}, other)
}

// awaitEvent does what await does, with any events of poll(2) for the first descriptor.
func (p *Process) awaitEvent(fd unix.PollFd, other int) error {
	fds := [...]unix.PollFd{fd, {Fd: int32(other), Events: unix.POLLIN}}
	for fds[0].Revents == 0 && fds[1].Revents == 0 {
		if err := p.Poll(fds[:]); err != nil {
			return &fail.Error{Op: "ppoll", Err: err}
		}
	}
	return nil
}
