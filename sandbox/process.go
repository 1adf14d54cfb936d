package sandbox

// This file presents the task in the form of os.Process, and reports how the task ended.

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/launch"
	"cordon/sandbox/report"
)

// Process is the task of a sandbox: the program that was started, not its launcher and not the sandbox's pid 1.
type Process struct {
	Pid  int // its pid in the launcher's pid namespace
	proc *launch.Process
}

// Signal sends a signal, which must be a syscall.Signal, to the task. The error is os.ErrProcessDone if the task has
// ended.
func (p *Process) Signal(sig os.Signal) error {
	if p == nil {
		return &Error{Op: "signal", Err: errors.New("not started")}
	}
	s, ok := sig.(syscall.Signal)
	if !ok {
		return &Error{Op: "signal", Err: errors.New("not a signal of the system: " + sig.String())}
	}
	err := p.proc.Signal(s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Kill ends every process of the sandbox at once, the task too. It also ends a paused sandbox.
func (p *Process) Kill() error {
	err := p.Signal(syscall.SIGKILL)
	if err == nil {
		p.proc.Thaw()
	}
	return err
}

// ExitError reports that the program ran and ended badly: it exited with a status other than 0, a signal or a limit
// ended it, or it ended with the sandbox that it had joined.
type ExitError struct {
	Report *report.Report
	Stderr []byte // the beginning and the end of stderr, if Cmd.Output ran the program and Cmd.Stderr was nil
}

// Error says how the program ended: "exit status 3", "signal: killed", "exit status 0 (limit: timeout)".
func (e *ExitError) Error() string {
	s := "exit status " + strconv.Itoa(e.Report.Exit)
	if e.Report.Signal != "" {
		s = "signal: " + signalText(e.Report.Signal)
	}
	if e.Report.CoreDump {
		s += " (core dumped)"
	}
	switch {
	case e.Report.Limit != "":
		s += " (limit: " + e.Report.Limit + ")"
	case e.Report.Ended:
		s += " (the sandbox has ended)"
	}
	return s
}

// ExitCode returns the exit status, or -1 if a signal ended the program. It may be 0 if a limit ended the run.
func (e *ExitError) ExitCode() int { return e.Report.Exit }

// endedBadly reports whether the end of a run is an error.
func endedBadly(r *report.Report) bool {
	return r.Exit != 0 || r.Signal != "" || r.Limit != "" || r.Ended
}

// signalText describes a signal in words: "killed" for SIGKILL. For an unknown signal it returns the name.
func signalText(name string) string {
	if sig := unix.SignalNum(name); sig != 0 {
		return sig.String()
	}
	return name
}
