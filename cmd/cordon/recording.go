package main

import (
	"bufio"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ttyRecording is a recording of a terminal. Until the run has ended, it is in a file without a name, so that the task
// finds neither that file nor the final one (see reportFile).
type ttyRecording struct {
	out   *reportFile
	spool *os.File // a file without a name; or the output file, if that is not a regular file
	buf   *bufio.Writer
	err   error // the first error of a write
}

// openRecording opens the destination of a recording. If cordon could not write the file, openRecording fails, so that
// nothing runs.
func openRecording(path string) (*ttyRecording, error) {
	out, err := openOutput(path, "recording", "--record-tty")
	if err != nil {
		return nil, err
	}
	r := &ttyRecording{out: out, spool: out.file}
	if r.spool == nil {
		if r.spool, err = unnamed(out.dir); err != nil {
			return nil, out.error(err)
		}
	}
	r.buf = bufio.NewWriterSize(r.spool, 64<<10)
	return r, nil
}

// unnamed opens a file without a name in a directory. If the file system lacks O_TMPFILE, the file is in memory:
// memfd_create(2).
func unnamed(dir int) (*os.File, error) {
	fd, err := unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.ENOENT {
		fd, err = unix.MemfdCreate("recording", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "recording"), nil
}

func (r *ttyRecording) Write(b []byte) (int, error) {
	if r.err == nil {
		_, r.err = r.buf.Write(b)
	}
	return len(b), r.err
}

// finish writes the recording to its file as a whole, or not at all.
func (r *ttyRecording) finish() error {
	if r == nil {
		return nil
	}
	err := r.err
	if err == nil {
		err = r.buf.Flush()
	}
	if err == nil && r.out.file == nil {
		if _, err = r.spool.Seek(0, io.SeekStart); err == nil {
			err = r.out.put(func(w io.Writer) error { _, err := io.Copy(w, r.spool); return err }, true)
		}
	}
	if err != nil {
		return r.out.error(err)
	}
	return nil
}
