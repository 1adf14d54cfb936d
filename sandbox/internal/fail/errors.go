package fail

import (
	"errors"
	"fmt"
	"syscall"

	"cordon/policy"
)

// StepError is a system call of the plan that failed in the child.
type StepError struct {
	Index  int    // of the step in the plan, from 0
	Step   string // as the plan prints it
	From   string // the profile position that asked for it
	Errno  syscall.Errno
	Signal syscall.Signal // where Errno is 0: what ended the child at this step
	Hint   string
}

// Error names the step, the cause and the place in the profile.
func (e *StepError) Error() string {
	var why error = e.Errno
	if e.Errno == 0 {
		why = errors.New("ended by " + e.Signal.String())
	}
	s := fmt.Sprintf("step %d: %s: %v", e.Index, e.Step, why)
	if e.From != "" {
		s += " (" + e.From + ")"
	}
	return s
}

// Unwrap returns the errno, or nil if there is none.
func (e *StepError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// UnsupportedError is a layer that was asked for and cannot be had.
type UnsupportedError struct {
	Layer  policy.Layer
	Why    string
	Remedy string
	From   string
	Err    error // what was tried and failed for it; nil where nothing was
}

// Unwrap returns what failed, if anything was tried.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Error names the layer, the cause and the place in the profile.
func (e *UnsupportedError) Error() string {
	s := string(e.Layer) + ": " + e.Why
	if e.From != "" {
		s += " (" + e.From + ")"
	}
	return s
}

// LookupError is a program that cannot be run: exit code 127 when it was not found, 126 when it cannot be executed.
type LookupError struct {
	Name string
	Why  string
	Code int
	Hint string
	// Err is what Unwrap returns: exec.ErrNotFound, fs.ErrNotExist for a path, fs.ErrPermission; nil before package
	// sandbox sets it.
	Err error
}

// Error names the program and the cause.
func (e *LookupError) Error() string { return e.Name + ": " + e.Why }

// Unwrap returns the kind of the error, as os/exec names it.
func (e *LookupError) Unwrap() error { return e.Err }

// Error is any other reason for which nothing was run.
type Error struct {
	Op   string // operation and object
	Err  error
	From string
	Hint string
}

// Error names the operation, the cause and the place in the profile.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Err.Error()
	if e.From != "" {
		s += " (" + e.From + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HintOf returns the hint of an error that becomes the cause of another one.
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// SignalError is a signal that ended the launch before the program was run.
type SignalError struct{ Signal syscall.Signal }

// Error names the signal.
func (e *SignalError) Error() string { return "launch: ended by " + e.Signal.String() }
