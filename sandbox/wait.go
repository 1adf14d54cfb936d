package sandbox

// This file starts a command, waits for it, and ends it when its context is done.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"cordon/sandbox/internal/launch"
	"cordon/sandbox/report"
)

// Start launches the sandbox. It returns once the program has been exec'd and Start has read back what is enforced. If
// it returns an error, it leaves nothing behind. The error is a *StepError, *UnsupportedError, *LookupError,
// *policy.Error, filter.Errors, *SignalError or *Error, or the error of the context.
func (c *Cmd) Start() error {
	if c.proc != nil {
		return &Error{Op: "start", Err: errors.New("already started")}
	}
	if err := c.start(); err != nil {
		c.proc = nil
		c.streams.close()
		return found(err)
	}
	c.Process = &Process{Pid: c.proc.Task, proc: c.proc}
	if !c.Terminal { // with Terminal the launcher itself writes to these ends
		c.streams.letGo()
	}
	c.streams.begin()
	if c.ctx != nil && c.ctx.Done() != nil && (c.Cancel != nil || c.WaitDelay != 0) {
		c.watched = make(chan watched)
		go c.watch(c.watched)
	}
	return nil
}

// start checks the fields and the context, opens the files and launches.
func (c *Cmd) start() error {
	switch {
	case c.ctx == nil && c.Cancel != nil:
		return &Error{Op: "start", Err: errors.New("the field Cancel is set, and there is no context: CommandContext makes one")}
	case c.ctx != nil && c.ctx.Err() != nil:
		return c.ctx.Err()
	}
	proc := launch.New()
	host, err := c.host()
	if err != nil {
		return &Error{Op: "probe", Err: err}
	}
	files, err := c.streams.open(c)
	if err != nil {
		return err
	}
	command := c.command(c.profile(), host, files)
	c.proc = proc
	err = c.launch(command)
	if p := launch.WithoutNamespaces(command.Profile, err); p != nil {
		// The failed launch has undone everything.
		command.Profile, command.WhyInPlace = p, err.Error()
		c.proc = launch.New()
		return c.launch(command)
	}
	return err
}

// launch starts the command on this thread if the process is a dedicated launcher, and otherwise on a thread of its
// own.
func (c *Cmd) launch(command *launch.Command) error {
	if c.Exclusive {
		return c.proc.Start(command)
	}
	return c.startApart(command)
}

// startApart launches the sandbox on a thread of its own. The child dies when the thread that has cloned it ends
// (prctl(2), PR_SET_PDEATHSIG), so a goroutine keeps that thread until the sandbox has ended. The goroutine never
// releases the thread to other goroutines, because a thread that has joined namespaces differs from the others.
func (c *Cmd) startApart(command *launch.Command) error {
	proc, done, late := c.proc, make(chan waited, 1), c.Terminal
	c.done = done
	started := make(chan error, 1)
	go func() {
		defer close(started)
		runtime.LockOSThread()
		err := proc.Start(command)
		started <- err
		if err == nil {
			report, err := proc.Wait()
			if late { // a reader of the other end waits for this close
				c.streams.letGo()
			}
			done <- waited{report, err}
		}
	}()
	err, ok := <-started
	if !ok { // the launch called runtime.Goexit; the child dies with the thread
		err = &Error{Op: "start", Err: errors.New("the launcher's thread has ended")}
	}
	return err
}

// found sets the cause of a LookupError to the error that os/exec would name.
func found(err error) error {
	var e *LookupError
	if errors.As(err, &e) && e.Err == nil {
		switch {
		case e.Code != 127:
			e.Err = fs.ErrPermission
		case strings.Contains(e.Name, "/"):
			e.Err = fs.ErrNotExist
		default:
			e.Err = exec.ErrNotFound
		}
	}
	return err
}

// Run calls Start and then Wait.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Wait waits until the sandbox is gone and its input and output are copied. Then it sets Report. If the program ended
// badly, the error is an *ExitError. If the program ended well, the error is that of the context if Cancel was called,
// or an error of the copying. Any other error says that the launcher could not supervise the run to the end; Report is
// nil then.
func (c *Cmd) Wait() error {
	if c.Process == nil {
		return &Error{Op: "wait", Err: errors.New("not started")}
	}
	if c.ended {
		return &Error{Op: "wait", Err: errors.New("already waited for")}
	}
	c.ended = true
	rep, err := c.end()
	c.Report = rep
	c.streams.letGo()
	if err == nil && endedBadly(rep) {
		err = &ExitError{Report: rep}
	}
	over := c.unwatch(&err)
	if over == nil && c.WaitDelay > 0 {
		timer := time.NewTimer(c.WaitDelay)
		defer timer.Stop()
		over = timer.C
	}
	if e := c.streams.finish(over); err == nil {
		err = e
	}
	c.streams.close()
	return err
}

// end waits for the end of the sandbox.
func (c *Cmd) end() (*report.Report, error) {
	if c.Exclusive {
		return c.proc.Wait()
	}
	w := <-c.done
	return w.report, w.err
}

// watched is the result of the goroutine that waits for the context.
type watched struct {
	err  error            // the error of the context, or of Cancel
	over <-chan time.Time // readable when WaitDelay is over; nil if WaitDelay has not begun
}

// unwatch ends the goroutine that waits for the context. It stores that goroutine's error in err if err is nil.
func (c *Cmd) unwatch(err *error) <-chan time.Time {
	if c.watched == nil {
		return nil
	}
	w := <-c.watched
	if *err == nil {
		*err = w.err
	}
	return w.over
}

// watch calls Cancel when the context is done. If the program still runs after WaitDelay, watch kills the program.
func (c *Cmd) watch(result chan<- watched) {
	select {
	case result <- watched{}:
		return
	case <-c.ctx.Done():
	}
	w := watched{err: c.cancel()}
	if c.WaitDelay == 0 {
		result <- w
		return
	}
	timer := time.NewTimer(c.WaitDelay)
	w.over = timer.C
	select {
	case result <- w:
		return
	case <-timer.C:
	}
	if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		w.err = &Error{Op: "kill", Err: err}
	}
	passed := make(chan time.Time)
	close(passed)
	w.over = passed
	result <- w
}

// cancel calls Cancel, and returns the error for Wait. If the program had ended already, the error is nil, because
// nothing was cancelled.
func (c *Cmd) cancel() error {
	if c.Cancel == nil {
		return nil
	}
	switch err := c.Cancel(); {
	case err == nil:
		return c.ctx.Err()
	case errors.Is(err, os.ErrProcessDone):
		return nil
	default:
		return &Error{Op: "cancel", Err: err}
	}
}
