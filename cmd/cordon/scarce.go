package main

// This file gives advice if something has run out: a limit of the launcher's own, a disk, memory. Some of these errors
// occur before main begins, in the Go runtime; sandbox/internal/child/entry.go handles them.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox"
)

// scarce lists what can run out, by the error that a system call returns then. If exact is set, this advice is better
// than any advice of the failed operation.
var scarce = [...]struct {
	errno unix.Errno
	exact bool
	hint  string
}{
	{unix.ENOSPC, true, "the file system is full: df; or let cordon write elsewhere: XDG_RUNTIME_DIR, XDG_STATE_HOME, XDG_CACHE_HOME"},
	{unix.EDQUOT, true, "the disk quota of this user is used up: quota"},
	{unix.EFBIG, true, "a file may not grow: ulimit -f unlimited (RLIMIT_FSIZE); the program can have a limit of its own: --rlimit fsize=SIZE"},
	{unix.EMFILE, false, "too few files can be open: ulimit -n 1024; the program can have a limit of its own: --rlimit nofile=N"},
	{unix.ENFILE, false, "the machine has too many open files: sysctl fs.file-max"},
	{unix.EAGAIN, false, "too few processes can exist: ulimit -u, or pids.max of a cgroup around this"},
	{unix.ENOMEM, false, "too little memory: ulimit -v and ulimit -d, or memory.max of a cgroup around this"},
}

// scarceHint returns the advice for an error whose cause is that something has run out. given is the advice of the
// failed operation; scarceHint returns it if it knows nothing better.
func scarceHint(err error, given string) string {
	if errors.As(err, new(*sandbox.UnsupportedError)) { // its own advice is better
		return given
	}
	for i := range scarce {
		if s := &scarce[i]; errors.Is(err, s.errno) && (s.exact || given == "") {
			return s.hint
		}
	}
	return given
}

// because returns an error that says what failed, and why. It wraps the innermost cause, which scarceHint looks at.
func because(what string, err error) error { return &causedError{what, phrase.Cause(err)} }

type causedError struct {
	what string
	err  error
}

func (e *causedError) Error() string { return e.what + ": " + e.err.Error() }
func (e *causedError) Unwrap() error { return e.err }
