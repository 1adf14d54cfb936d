package sandbox

import "cordon/sandbox/internal/fail"

// StepError is a system call of the plan that failed in the child.
type StepError = fail.StepError

// UnsupportedError is a layer that was asked for and cannot be had.
type UnsupportedError = fail.UnsupportedError

// LookupError is a program that cannot be run: exit code 127 when it was not found, 126 when it cannot be executed.
type LookupError = fail.LookupError

// Error is any other reason for which nothing was run.
type Error = fail.Error

// SignalError is a signal that ended the launch before the program was run.
type SignalError = fail.SignalError
