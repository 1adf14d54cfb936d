package sandbox

import "cordon/sandbox/internal/fail"

// StepError reports a system call of the plan that failed in the child.
//
//	Index  int            of the step in the printed plan, from 0
//	Step   string         the step as the plan prints it
//	From   string         the line of the profile that asked for it
//	Errno  syscall.Errno  why; Unwrap returns it
//	Signal syscall.Signal what ended the child, if Errno is 0
//	Hint   string         what to do about it; "" if nothing is known
type StepError = fail.StepError

// UnsupportedError reports a layer that the profile asks for and that this machine cannot provide.
//
//	Layer  policy.Layer  "landlock"
//	Why    string        what is lacking
//	Remedy string        what to do about it
//	From   string        the line of the profile that asked for it
type UnsupportedError = fail.UnsupportedError

// LookupError reports a program that cannot be run. Unwrap returns exec.ErrNotFound for a name, fs.ErrNotExist for a
// path, or fs.ErrPermission.
//
//	Name string  as in Args[0]
//	Why  string  in words
//	Code int     the exit code of env(1): 127 if it was not found, 126 if it cannot be executed
//	Hint string  what to do about it; "" if nothing is known
type LookupError = fail.LookupError

// Error reports that nothing was run, for any other reason.
//
//	Op   string  the operation and its object
//	Err  error   the cause; Unwrap returns it
//	From string  the line of the profile, if one is to blame
//	Hint string  what to do about it; "" if nothing is known
type Error = fail.Error

// TimeoutError reports that limits.wall was reached before the program ran, while the launcher searched for the files
// that hide rules and `git: protect` mean.
//
//	Limit time.Duration
//	Names int            number of names that had been looked at
type TimeoutError = fail.TimeoutError

// SignalError reports a signal that ended the launch before the program ran. Its field is Signal, a syscall.Signal.
type SignalError = fail.SignalError
