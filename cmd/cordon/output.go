package main

// This file writes output files: reports, recordings, profiles, filters. A task (a program in a sandbox) of an earlier
// run may own the directory of the file, and may have put a link, a FIFO or another hard link there.

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// place opens the directory of the output file. If the file's name is a symbolic link and follow is true, place follows
// the link, unless a task may have made it.
func (r *reportFile) place(follow bool) error {
	g := newGuard(false)
	defer g.Close()
	out, err := g.Output(r.path, follow)
	if err != nil {
		return err
	}
	r.dir, r.name = out.Dir, out.Name
	switch out.Mode & unix.S_IFMT {
	case 0, unix.S_IFLNK:
		return nil
	case unix.S_IFREG:
		if r.mode != 0 {
			r.mode = out.Mode & 0o777
		}
		return nil
	}
	defer func() { unix.Close(r.dir); r.dir = -1 }()
	fd, err := unix.Openat(r.dir, r.name, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		r.file = os.NewFile(uintptr(fd), r.path)
	}
	return err
}

// putFile writes a file that the user has named, for example with -o. It writes the whole file or nothing, and never
// writes to another hard link of an existing file. An existing file keeps its mode. If the path is not a regular file,
// putFile writes to it directly.
func putFile(path, what string, text []byte) error {
	r := &reportFile{dir: -1, path: path, what: what, mode: 0o666 &^ umask()}
	err := r.open(true)
	if err == nil {
		err = r.put(func(w io.Writer) error { _, err := w.Write(text); return err }, true)
	}
	if err == nil && r.file != nil {
		err = r.file.Close()
	}
	if err == nil {
		return nil
	}
	e := r.error(err)
	e.err = errors.New(strings.TrimPrefix(e.err.Error(), " "))
	e.hint = plantedHint(err)
	return e
}

// plantedHint returns advice about a link that a task may have made.
func plantedHint(err error) string {
	var planted *ledger.Planted
	if errors.As(err, &planted) {
		return "look where it leads; remove it, or name the place that is meant"
	}
	return ""
}

func umask() uint32 {
	old := unix.Umask(0)
	unix.Umask(old)
	return uint32(old)
}

// removeOld removes the report of an earlier run. A reader could take an old report for the report of a run that fails
// to start.
func (r *reportFile) removeOld() error {
	if r == nil || r.file != nil {
		return nil
	}
	if err := unix.Unlinkat(r.dir, r.name, 0); err != nil && err != unix.ENOENT {
		return r.error(err)
	}
	return nil
}

// failed writes the report of a run that did not start, or whose end cordon did not see.
func (o *outFiles) failed(args []string, failure error) {
	if o.report == nil && o.summary == nil || o.written {
		return
	}
	o.written = true
	rep := &report.Report{Version: 1, Args: args, Exit: exitCode(failure), Error: failure.Error(), Enforced: []report.Enforced{}}
	if h := hint(failure); h != "" {
		rep.Hints = []report.Hint{{Text: h}}
	}
	if o.report != nil {
		_ = o.report.write(rep) // the first failure matters more than this error
	}
	if o.summary != nil {
		_ = o.summary.add(failureMarkdown(rep))
	}
}
