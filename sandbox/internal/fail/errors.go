package fail

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"cordon/policy"
)

// StepError reports that a system call of the plan failed in the child.
type StepError struct {
	Index  int    // the index of the step in the plan (the list of the launch's system calls), from 0
	Step   string // the step as the plan prints it
	From   string // the position in the profile that asked for the step
	Errno  syscall.Errno
	Signal syscall.Signal // if Errno is 0: the signal that ended the child at this step
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

// UnsupportedError reports that the profile asks for a layer that this host cannot enforce.
type UnsupportedError struct {
	Layer  policy.Layer
	Why    string
	Remedy string
	From   string
	Err    error // the error of the call that failed; nil if nothing was tried
}

// Unwrap returns the error of the call that failed, or nil if nothing was tried.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Error names the layer, the cause and the place in the profile.
func (e *UnsupportedError) Error() string {
	s := string(e.Layer) + ": " + e.Why
	if e.From != "" {
		s += " (" + e.From + ")"
	}
	return s
}

// LookupError reports that a program cannot be run. The exit code is 127 if it was not found, and 126 if it cannot be
// executed.
type LookupError struct {
	Name string
	Why  string
	Code int
	Hint string
	// Err is the result of Unwrap: exec.ErrNotFound, fs.ErrNotExist for a path, or fs.ErrPermission. It is nil before
	// package sandbox sets it.
	Err error
}

// Error names the program and the cause.
func (e *LookupError) Error() string { return e.Name + ": " + e.Why }

// Unwrap returns the kind of the error, as os/exec defines it.
func (e *LookupError) Unwrap() error { return e.Err }

// Error is any other reason why cordon ran nothing.
type Error struct {
	Op   string // the operation and its object
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

// HintOf returns the hint of an error that is the cause of another error.
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// TimeoutError reports that the wall-clock limit was reached before the program ran, while the launcher searched the
// directories that the sandbox binds.
type TimeoutError struct {
	Limit time.Duration
	Names int // how many names the launcher had looked at
}

// Error says what took so long.
func (e *TimeoutError) Error() string {
	return "launch: the wall-clock limit of " + e.Limit.String() + " was reached before the program ran, after " +
		strconv.Itoa(e.Names) + " names of the search for what hide rules and `git: protect` mean"
}

// Hint says what to do about it.
func (*TimeoutError) Hint() string {
	return "the limit counts this search: allow more time, or start in a smaller directory"
}

// SignalError reports that a signal ended the launch before the program ran.
type SignalError struct{ Signal syscall.Signal }

// Error names the signal.
func (e *SignalError) Error() string { return "launch: ended by " + e.Signal.String() }
