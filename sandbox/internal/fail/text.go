package fail

// This file turns errors into text, and finds their causes.

import (
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errno returns the errno that an error wraps, or 0 if there is none.
func Errno(err error) syscall.Errno {
	var e syscall.Errno
	errors.As(err, &e)
	return e
}

// PathError says what is wrong with a path, without the name of an operation.
type PathError struct {
	Path string
	Err  error
}

// Error names the path and the cause.
func (e *PathError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PathError) Unwrap() error { return e.Err }

// Bare returns an error without its path, for callers that name the path themselves.
func Bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Said returns a text, followed by the position in parentheses if there is one.
func Said(what, where string) string {
	if where == "" {
		return what
	}
	return what + " (" + where + ")"
}

// NotThere reports whether an error means that a path does not exist. After any other error the path may or may not
// exist.
func NotThere(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }
