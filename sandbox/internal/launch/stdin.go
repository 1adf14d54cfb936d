package launch

// The launcher's part of a regular file on standard input: see ownstdin.go.

import (
	"errors"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
)

// keepStdin makes sure that the task has opened the caller's file, read-only, and lets it read on where the caller was.
func (p *Process) keepStdin(fd int) error {
	if fd < 0 || p.stdin >= 0 || p.Comp.Stdin == "" {
		if fd >= 0 {
			unix.Close(fd)
		}
		return &fail.Error{Op: "stdin", Err: errors.New("the task sent none")}
	}
	p.stdin = fd
	own := int(p.Cmd.Stdio[0].Fd())
	var st unix.Stat_t
	var mount unix.Statfs_t
	err := unix.Fstat(own, &st)
	if err == nil {
		err = host.SameAs(fd, &st)
	}
	if err == nil {
		err = unix.Fstatfs(fd, &mount)
	}
	if err == nil && mount.Flags&unix.ST_RDONLY == 0 {
		err = errors.New("it is not read-only")
	}
	if err == nil {
		err = sameOffset(own, fd)
	}
	if err != nil {
		return &fail.Error{Op: "stdin " + p.Comp.Stdin, Err: err}
	}
	return nil
}

// sameOffset moves a descriptor to where another is.
func sameOffset(from, to int) error {
	at, err := unix.Seek(from, 0, unix.SEEK_CUR)
	if err == nil {
		_, err = unix.Seek(to, at, unix.SEEK_SET)
	}
	return err
}

// leaveStdin moves the caller's descriptor to where the task has come to.
func (p *Process) leaveStdin() {
	if p.stdin >= 0 {
		_ = sameOffset(p.stdin, int(p.Cmd.Stdio[0].Fd())) // a caller that has closed it does not read on
		unix.Close(p.stdin)
		p.stdin = -1
	}
}
