package launch

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/output"
	"cordon/sandbox/internal/terminal"
	"cordon/sandbox/report"
)

// keepOutputLimit prepares to count the output. It is called before anything is copied. Until the launch is over,
// reaching the limit ends nothing, because a program may reach the limit before the launcher has read back what is
// enforced.
func (p *Process) keepOutputLimit() error {
	limit := p.Comp.Profile.Limits.Output
	if !limit.Set {
		return nil
	}
	err := p.beginCopying()
	if err == nil {
		// The meter counts bytes of both streams together.
		p.output, err = output.NewMeter(limit.V)
	}
	if err != nil {
		return err
	}
	p.copying.Meter = p.output
	return nil
}

// watchOutput ends the sandbox when the output limit is reached, or at once if it was reached during the launch.
func (p *Process) watchOutput() {
	if p.output == nil {
		return
	}
	// Over is an eventfd. When the output passes the limit, the relay writes to Over, and cuts the output off exactly
	// at the limit.
	p.Watch(p.output.Over, unix.POLLIN, func(int16) {
		p.Unwatch(p.output.Over)
		p.exceeded(report.LimitOutput)
	})
}

// beginCopying makes, on the first call, the files that all relays share.
func (p *Process) beginCopying() error {
	if p.copying != nil {
		return nil
	}
	c := &output.Copying{Ended: -1, Quit: -1, Done: -1}
	c.Users.Store(1)
	for _, fd := range [...]*int{&c.Ended, &c.Quit, &c.Done} {
		flags := unix.EFD_CLOEXEC | unix.EFD_NONBLOCK
		if fd == &c.Done { // a semaphore: each read counts the end of one relay
			flags |= unix.EFD_SEMAPHORE
		}
		var err error
		if *fd, err = unix.Eventfd(0, flags); err != nil {
			c.Leave()
			return &fail.Error{Op: "eventfd", Err: err}
		}
	}
	p.copying = c
	return nil
}

// RelayTo makes a pipe for the task, and begins to copy to f everything that the task writes to the pipe.
func (p *Process) RelayTo(name string, f *os.File) (*output.Relay, error) {
	if err := p.beginCopying(); err != nil {
		return nil, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, &fail.Error{Op: "pipe", Err: err}
	}
	// In is the end of the pipe that the task gets, and Out is the launcher's end.
	r := &output.Relay{Name: name, In: ends[1], Out: ends[0], Meter: p.output}
	// A program's messages come on stderr, or on stdout if the caller's stderr is the same file: see relayStdio.
	r.Keep = name == compile.StdioNames[2] || SameFile(p.Cmd.Stdio[1], p.Cmd.Stdio[2])
	_, _ = unix.FcntlInt(uintptr(r.Out), unix.F_SETPIPE_SZ, output.RelayPipe) // EPERM: the user has many large pipes
	err := unix.SetNonblock(r.Out, true)
	if err == nil {
		// The relay uses a duplicate, because the caller may close its file while the relay still waits.
		r.To, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		unix.Close(r.In)
		unix.Close(r.Out)
		return nil, &fail.Error{Op: name, Err: err}
	}
	c := p.copying
	c.Relays = append(c.Relays, r)
	c.Users.Add(1)
	go r.Run(c)
	return r, nil
}

// relayStdio gives the task a pipe in place of a standard file. If stdout and stderr are the same file, they share one
// pipe, so that the task's output stays in order.
func (p *Process) relayStdio(i int, f *os.File) error {
	if i == 2 && SameFile(p.Cmd.Stdio[1], f) && p.copying != nil && len(p.copying.Relays) > 0 {
		return p.files.Dup(compile.StdioNames[i], p.copying.Relays[0].In)
	}
	r, err := p.RelayTo(compile.StdioNames[i], f)
	if err != nil {
		return err
	}
	p.ownPipe(r.In)
	return p.files.Dup(compile.StdioNames[i], r.In)
}

// messages returns the end of what the task has written to stderr, if the launcher copies stderr. The text is used for
// hints, and for nothing else.
func (p *Process) messages() []byte {
	if p.copying == nil {
		return nil
	}
	for _, r := range p.copying.Relays {
		if text := r.Last(); len(text) > 0 {
			return text
		}
	}
	return nil
}

// SameFile reports whether two files are the same: the same pipe, socket or device, or the same opened file. If a
// regular file is opened twice, the two are different, because each has its own position: kcmp(2). If kcmp(2) fails, as
// under a container's filter, SameFile takes two regular files for different ones. Then each gets a pipe of its own,
// and only the order of their output may suffer.
func SameFile(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	var x, y unix.Stat_t
	if unix.Fstat(int(a.Fd()), &x) != nil || unix.Fstat(int(b.Fd()), &y) != nil || x.Dev != y.Dev || x.Ino != y.Ino {
		return false
	}
	if x.Mode&unix.S_IFMT != unix.S_IFREG {
		return true
	}
	const kcmpFile = 0
	self := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, self, self, kcmpFile, a.Fd(), b.Fd(), 0)
	return errno == 0 && order == 0
}

// Drain copies the output that the sandbox has left in the pipes. It waits for slow readers as long as they take, as
// the task would have waited. But if a limit or a signal has told the run to end, or SIGKILL has ended the whole
// sandbox, it waits no longer than the grace period. WaitDelay limits the wait in any case. A signal that would end the
// task, and the wall-clock limit, end the wait at once.
func (p *Process) Drain() {
	c := p.copying
	if c == nil {
		return
	}
	p.Mu.Lock()
	p.draining = true
	p.Mu.Unlock()
	// The launcher closes its own ends for writing, because otherwise the relays would never see the end of a pipe.
	c.CloseIn()
	loop.Tell(c.Ended)
	// If a run was cut short, it must end in bounded time, even if the reader of its output hangs.
	if p.limit != "" || p.told || p.Status.Signal() == unix.SIGKILL {
		p.At(time.Now().Add(p.grace()), func() { loop.Tell(c.Quit) })
	}
	if d := p.Cmd.WaitDelay; d > 0 {
		p.At(time.Now().Add(d), func() { loop.Tell(c.Quit) })
	}
	for range c.Relays {
		// Each relay adds one to Done when it ends.
		if err := p.await(c.Done, c.Quit); err != nil || loop.Readable(c.Quit) {
			p.Report.Hints = append(p.Report.Hints, report.Hint{Text: "nobody read the end of the program's output, which is lost"})
			return
		}
		_, _ = unix.Read(c.Done, make([]byte, 8)) // counts the end of one relay
	}
	for _, r := range c.Relays {
		if r.Err != nil && r.Err != unix.EPIPE {
			p.Report.Hints = append(p.Report.Hints, report.Hint{Text: r.Name + ": " + r.Err.Error() + ": the program's output after that is lost"})
		}
	}
}

// StopCopying ends the relays, whatever is left in the pipes. It may be called more than once.
func (p *Process) StopCopying() {
	if p.output != nil {
		p.Unwatch(p.output.Over)
	}
	if c := p.copying; c != nil {
		p.Mu.Lock()
		p.copying = nil
		p.Mu.Unlock()
		c.CloseIn()
		// Ended makes the relays end once the pipes are empty, and Quit makes them end even before that.
		loop.Tell(c.Ended)
		loop.Tell(c.Quit)
		c.Leave()
	}
}

// giveUp stops waiting for slow readers if sig is meant to end the program. p.Mu must be held. The user who sends such
// a signal wants the run to end now, and not after the last byte.
func (p *Process) giveUp(sig syscall.Signal) {
	if p.copying != nil && ends(sig) {
		loop.Tell(p.copying.Quit)
	}
}

// openTerminal prepares the launcher's side of the task's terminal. If the sandbox shows no devpts of its own, the
// launcher also makes the terminal.
func (p *Process) openTerminal() error {
	if !p.Comp.OwnTTY {
		return nil
	}
	var err error
	if p.terminal, err = terminal.New(p, &p.Loop, p.Cmd.Stdio, p.Cmd.Terminal); err != nil {
		return err
	}
	if p.Comp.OwnPts {
		return nil
	}
	master, slave, err := terminal.OpenPTY()
	if err != nil {
		return &fail.Error{Op: "open a terminal", Err: err, From: p.Comp.Where("tty"),
			Hint: "use mounts: [{dev: /dev}] to give the sandbox terminals of its own, or --tty none to run without one"}
	}
	if err := p.terminal.Take(master); err != nil {
		unix.Close(slave)
		return err
	}
	// If this fails, the only consequence is that the task cannot open /dev/pts/N by name, in a sandbox that shows it.
	_ = unix.Fchown(slave, p.Comp.IDs.OutUID, p.Comp.IDs.OutGID)
	return p.files.Add(compile.FileSlave, slave)
}

// beginTerminal starts to copy between the terminals when the program runs.
func (p *Process) beginTerminal() {
	if p.terminal == nil {
		return
	}
	if p.Cmd.RecordTTY != nil {
		p.terminal.Record(p.Cmd.RecordTTY, p.Comp.Program.Env)
	}
	p.terminal.Begin(p.PID, p.output, p.copying)
}

// checkTerminal makes sure that the task is in the foreground of its own terminal, before the launcher lets the task
// run its program. A terminal's foreground contains only members of the terminal's own session, so this also proves
// that the task is in that session.
func (p *Process) checkTerminal() error {
	if p.terminal == nil {
		return nil
	}
	if p.terminal.Master < 0 {
		return &fail.Error{Op: "read back the terminal", Err: errors.New("it did not come")}
	}
	group, err := unix.IoctlGetInt(p.terminal.Master, unix.TIOCGPGRP)
	if err != nil {
		return &fail.Error{Op: "read back the terminal", Err: err}
	}
	if group != p.Task && group != 0 { // 0 if the task's pid namespace is not below the launcher's
		return &fail.Error{Op: "read back the terminal", Err: errors.New("process group " + strconv.Itoa(group) + " is in its foreground, not the task's")}
	}
	p.enforced("tty", "a terminal of the task's own", "TIOCGPGRP")
	return nil
}

// HungUp sends the task SIGHUP, as the kernel does when a terminal is hung up, and kills the sandbox after a grace
// period. The kernel's own SIGHUP goes to the session's leader, which is init, and init takes no signal.
func (p *Process) HungUp() {
	p.told = true
	_ = p.SignalGroup(unix.SIGHUP) // a task that has ended needs no signal
	_ = p.SignalGroup(unix.SIGCONT)
	p.At(time.Now().Add(p.grace()), p.EndNow)
}

// StopWith stops the launcher, and if group is true also the other processes of the launcher's process group. When
// somebody continues the launcher, it continues the task. The process of a library's user does not stop, and the task
// goes on.
func (p *Process) StopWith(group bool) {
	if p.Cmd.Exclusive {
		p.stopSelf(group)
	}
	p.resume()
}

// IsTold reports whether a signal or a limit has told the run to end.
func (p *Process) IsTold() bool { return p.told }

// IsHurried reports whether the launcher has stopped waiting for readers of the output.
func (p *Process) IsHurried() bool { return p.hurry }

// HurryUp makes the launcher stop waiting for readers of the output.
func (p *Process) HurryUp() { p.hurry = true }
