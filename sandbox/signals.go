package sandbox

// Signals to the launcher are the task's: signal(7), credentials(7), timeout(1). pidfd_send_signal(2), Linux 5.1;
// PIDFD_SIGNAL_PROCESS_GROUP 6.9.
//
// What a terminal sends to a whole job (SIGINT, SIGQUIT, SIGWINCH, and what stops and continues) reaches the task's process
// group, or the foreground group of its own terminal; what is sent to one process (SIGTERM, SIGHUP, SIGUSR1, SIGUSR2) the task.

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/proc"
)

// forwarded are the signals that the task gets in the launcher's place.
var forwarded = [...]syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2,
	unix.SIGWINCH, unix.SIGTSTP, unix.SIGCONT}

// catchSignals begins to keep signals for the task. Until then they do to the launcher what they do to any process.
func (p *process) catchSignals() (err error) {
	if !p.cmd.Exclusive {
		return nil
	}
	if p.signals, err = child.CatchSignals(forwarded[:]...); err != nil {
		return &Error{Op: "catch signals", Err: err}
	}
	p.Watch(p.signals, unix.POLLIN, func(int16) { p.forward() })
	return nil
}

// forward passes on what has arrived. A task that is gone needs none of it.
func (p *process) forward() {
	var buf [64]byte
	n, _ := unix.Read(p.signals, buf[:]) // there is something, or there will be
	for _, b := range buf[:max(n, 0)] {
		p.pass(syscall.Signal(b))
	}
}

func (p *process) pass(sig syscall.Signal) {
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
	switch {
	case p.draining:
		_ = p.signal(sig)
	case !p.isRunning(): // or it is, and the launcher has not seen that yet
		_ = p.signal(sig)
		p.escalate(sig)
	case sig == unix.SIGWINCH && p.terminal != nil:
		p.terminal.resize()
	case sig == unix.SIGHUP && p.terminal != nil && p.terminal.isGone():
		p.terminal.hangUp()
	case sig == unix.SIGINT:
		p.interrupt()
	case sig == unix.SIGQUIT || sig == unix.SIGWINCH:
		_ = p.signalJob(sig)
	default:
		_ = p.signal(sig)
		p.escalate(sig)
	}
}

// escalate ends a task that the signal, or a second one, does not end.
func (p *process) escalate(sig syscall.Signal) {
	switch sig {
	case unix.SIGTERM:
		p.killLater()
	case unix.SIGINT:
		p.countInterrupt()
	}
}

// killLater kills a task that a SIGTERM does not end, where that was asked for.
func (p *process) killLater() {
	if p.cmd.KillAfter != 0 {
		p.At(time.Now().Add(p.cmd.KillAfter), p.endNow)
	}
}

// A second interrupt counts within these: sooner, it is the same one, which a program between the terminal and the launcher
// has passed on.
const (
	soonest = 100 * time.Millisecond
	latest  = 2 * time.Second
)

// isSecond reports whether an interrupt is the second.
func isSecond(last, now time.Time) bool {
	return !last.IsZero() && now.Sub(last) >= soonest && now.Sub(last) <= latest
}

// interrupt passes SIGINT on; a second one ends a task that has not ended.
func (p *process) interrupt() {
	p.countInterrupt()
	_ = p.signalJob(unix.SIGINT)
}

func (p *process) countInterrupt() {
	now := time.Now()
	if isSecond(p.lastInt, now) {
		p.endNow()
	}
	if now.Sub(p.lastInt) >= soonest {
		p.lastInt = now
	}
}

// stop stops the task and then the launcher, so that its shell sees it. A task with a terminal of its own stops as it would
// by Ctrl-Z, and has a moment for that.
func (p *process) stop() {
	switch {
	case time.Since(p.ownStop) < soonest: // that of suspend
	case p.terminal == nil || !p.isRunning():
		_ = p.signalGroup(unix.SIGSTOP)
		p.stopSelf(false)
		p.resume()
	default:
		_ = p.terminal.raise(unix.SIGTSTP)
		p.terminal.lastKey = time.Now()
		p.terminal.look(20 * time.Millisecond)
		p.mustStop = true
		p.At(time.Now().Add(200*time.Millisecond), func() {
			if p.mustStop { // it did not stop
				_ = p.signalGroup(unix.SIGSTOP)
				p.terminal.suspend(false)
			}
		})
	}
}

// followStop stops the launcher where the task has been stopped.
func (p *process) followStop() {
	if p.gone || !p.taskStopped() {
		return
	}
	fromKey := !p.mustStop
	p.mustStop = false
	p.terminal.suspend(fromKey)
}

// taskStopped reads the state of the task: proc_pid_status(5). While its pidfd says that it lives, its number is nobody else's.
func (p *process) taskStopped() bool {
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.task) + "/status")
	return err == nil && strings.HasPrefix(proc.StatusField(text, "State"), "T") && !loop.Readable(p.taskfd)
}

// resume continues the task, when the launcher has been.
func (p *process) resume() {
	p.mustStop = false
	if p.terminal != nil && p.terminal.copying {
		p.terminal.resumed()
	}
	_ = p.signalGroup(unix.SIGCONT)
}

func (p *process) isRunning() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// signalJob is for a signal of the terminal's keys.
func (p *process) signalJob(sig syscall.Signal) error {
	if p.terminal != nil && (sig == unix.SIGINT || sig == unix.SIGQUIT) {
		return p.terminal.raise(sig)
	}
	return p.signalGroup(sig)
}

// signalGroup reaches the task's process group. The task leads it, so that before Linux 6.9 its number is the group's as long
// as the task lives.
func (p *process) signalGroup(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reached() {
		return unix.ESRCH
	}
	return p.sendGroup(sig)
}

// reached reports whether the program runs, or is about to. It is for who holds the lock.
func (p *process) reached() bool {
	return p.taskfd >= 0 && (p.running || p.last != 0 && int(p.image.Page().Task.Step) == p.last)
}

// sendGroup is signalGroup for who holds the lock.
func (p *process) sendGroup(sig syscall.Signal) error {
	err := unix.PidfdSendSignal(p.taskfd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	if err == unix.EINVAL && !loop.Readable(p.taskfd) {
		err = unix.Kill(-p.task, sig)
	}
	return err
}

// signal reaches the task from the step on that runs the program; before that, one that is meant to end it ends the
// sandbox, and one that a program may have a use for waits for it.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.draining:
		p.giveUp(sig)
		return unix.ESRCH
	case p.pidfd < 0:
		return unix.ESRCH
	case p.running:
		return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
	}
	if ends(sig) {
		p.early = sig
	}
	switch {
	case p.reached():
		if sig == unix.SIGTERM || sig == unix.SIGHUP || sig == unix.SIGUSR1 || sig == unix.SIGUSR2 {
			return unix.PidfdSendSignal(p.taskfd, sig, nil, 0)
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

// interrupted is the error of a launch that a signal has ended; nil if none has.
func (p *process) interrupted() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.early == 0 {
		return nil
	}
	return &SignalError{Signal: p.early}
}

// keepInitGoing lets the end of the task be the end of the run: init, which must do its part, may have been stopped from
// outside.
func (p *process) keepInitGoing() {
	p.Watch(p.taskfd, unix.POLLIN, func(int16) {
		p.Unwatch(p.taskfd)
		p.taskEnded = true
		p.endGuards()
		p.letInitEnd()
		p.At(time.Now().Add(initStep), p.continueInit)
	})
}

// initStep is the time between two signals to an init that may have been stopped.
const initStep = 200 * time.Millisecond

// initSteps is how many of these init has for its part: 10 s while the launcher runs. A launcher that is stopped, as by Ctrl-Z,
// counts none, and neither does one whose sandbox is paused.
const initSteps = 50

// continueStart continues init until it has said that the program runs. No limit holds before, and the program runs already.
// Init waits for the kernel to let go of the task's old memory, and for nothing after that.
func (p *process) continueStart() {
	if p.pidfd >= 0 && !p.gone && !p.isRunning() {
		if p.image.Page().Released() && p.initLate() {
			return
		}
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGCONT, nil, 0)
		p.At(time.Now().Add(initStep), p.continueStart)
	}
}

// initLate ends an init that does not go on although the task has done its part: a tracer outside may hold it, which no
// SIGCONT undoes. It reports whether init has had its time.
func (p *process) initLate() bool {
	if p.initWaits++; p.initWaits < initSteps {
		return false
	}
	if place := p.place(); place != nil {
		if frozen, err := place.Frozen(); err == nil && frozen {
			p.initWaits = 0
			return false
		}
	}
	if p.image.Page().Done == 0 {
		p.guardErr = &Error{Op: "init", Err: errors.New("it has not gone on for " + (initSteps * initStep).String() + ", and how the program ended is not known"),
			Hint: "does a tracer (ptrace, gdb) outside hold the sandbox's processes?"}
	}
	p.kill()
	return true
}

// letInitEnd lets init end, and the task's terminal with it, when the task has ended and init may reap.
func (p *process) letInitEnd() {
	if p.terminal == nil || !p.reaping || !p.taskEnded {
		return
	}
	p.terminal.keepUnread()
	loop.Tell(p.gate)
}

func (p *process) continueInit() {
	if p.pidfd >= 0 && !p.gone && !p.initLate() {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGCONT, nil, 0) // it may be gone meanwhile
		p.At(time.Now().Add(initStep), p.continueInit)
	}
}
