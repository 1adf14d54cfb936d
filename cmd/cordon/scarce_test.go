package main

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox"
)

// TestScarceHint checks that the hint names what has run out, whatever operation failed. An error that knows the host
// better keeps its own advice.
func TestScarceHint(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "r.json", Err: unix.ENOSPC}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&cliError{err: because("report", full), hint: "name a file"}, "the file system is full"},
		{errors.Join(&sandbox.Error{Op: "state", Err: unix.EFBIG}), "ulimit -f"},
		{&sandbox.StepError{Errno: unix.EMFILE}, "ulimit -n"},
		{&sandbox.Error{Op: "clone3", Err: unix.EAGAIN, Hint: "its own"}, "its own"},
		{&sandbox.UnsupportedError{Err: unix.ENOSPC, Remedy: "sysctl -w user.max_user_namespaces=15000"}, "sysctl -w"},
		{&cliError{err: because("report", unix.EACCES), hint: "name a file"}, "name a file"},
	} {
		if got := hint(tt.err); !strings.HasPrefix(got, tt.want) && !strings.Contains(got, tt.want) {
			t.Errorf("%v: hint %q, want %q", tt.err, got, tt.want)
		}
	}
	if got := because("report", full).Error(); got != "report: no space left on device" {
		t.Error(got)
	}
}
