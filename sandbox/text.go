package sandbox

// Errors as texts, and the causes that lie in them.

import (
	"errors"
	"io/fs"
)

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// pathError is what is wrong with a path, without the name of an operation.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }

func (e *pathError) Unwrap() error { return e.err }

// bare is an error without the path that the caller says itself.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func said(what, where string) string {
	if where == "" {
		return what
	}
	return what + " (" + where + ")"
}
