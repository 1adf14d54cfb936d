package launch

// This file handles standard input. Its first part is about a regular file: see stdio.go of internal/compile.

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
)

// keepStdin makes sure that the task has opened the caller's own file, read-only. Then it sets the position of the
// task's descriptor to the position of the caller's, so that the task continues reading from there.
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
		// The task has opened stdin again by its path. Somebody on the host may have put another file at this path
		// meanwhile.
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

// sameOffset sets the file position of the descriptor to to the position of the descriptor from.
func sameOffset(from, to int) error {
	at, err := unix.Seek(from, 0, unix.SEEK_CUR)
	if err == nil {
		_, err = unix.Seek(to, at, unix.SEEK_SET)
	}
	return err
}

// leaveStdin sets the position of the caller's descriptor to the position at which the task has stopped reading.
func (p *Process) leaveStdin() {
	if p.stdin >= 0 {
		_ = sameOffset(p.stdin, int(p.Cmd.Stdio[0].Fd())) // a caller that has closed its descriptor will not read on
		unix.Close(p.stdin)
		p.stdin = -1
	}
}

// The second part is about standard input that is a pipe: tee(2), splice(2), pipe(7), proc_pid_fd(5).
//
// The owner of a pipe can open both its ends through /proc/PID/fd. So a task that has the caller's id, or that was
// given the pipe, could write to the pipe, and later readers would take the task's data for the writer's. So the task
// gets a pipe of its own. The launcher copies the data in the caller's pipe to the task's pipe, a buffer at a time, and
// removes from the caller's pipe exactly what the task has read. The rest stays in the caller's pipe for the next
// reader, as if the task had read from that pipe itself.
//
// Everything happens in the loop, and nothing blocks. tee(2) always begins at the head of the caller's pipe, so the
// launcher copies again only when the task has read everything. How the launcher learns that depends on the writer.
// Usually the task's pipe holds one buffer, and poll(2) reports that it is writable once the task has read the buffer.
// If the writer is fast, the launcher copies as much as the task's pipe holds. Then poll(2) only reports that the task
// begins to read. So the launcher checks again at intervals that double, so that it needs few checks for a slow task.

// lender passes data from the caller's pipe to the task's: it copies the data, and removes from the caller's pipe what
// the task has read.
type lender struct {
	p    *Process
	from int // the caller's pipe
	in   int // the end that the task reads; it stays open here, so that a write never fails for lack of a reader
	to   int // the end that the launcher writes; -1 once no more data can come
	null int // /dev/null, to which read data is discarded
	lent int // number of bytes that were copied to the task's pipe and not yet removed from the caller's
	size int // capacity of the task's pipe in bytes
	wait time.Duration
}

// bulk is the default capacity of a pipe in bytes.
const bulk = 64 << 10

// lendStdin makes a pipe for the task and prepares to pass the caller's data to it.
func (p *Process) lendStdin(f *os.File) error {
	l := &lender{p: p, from: -1, in: -1, to: -1, null: -1}
	p.lender = l
	var ends [2]int
	err := unix.Pipe2(ends[:], unix.O_CLOEXEC)
	if err == nil {
		l.in, l.to = ends[0], ends[1]
		err = l.resize(os.Getpagesize())
	}
	if err == nil {
		l.from, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3) // because the caller may close its own
	}
	if err == nil {
		l.null, err = unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return &fail.Error{Op: "a pipe for stdin", Err: err}
	}
	p.ownPipe(l.in)
	return p.files.Dup(compile.StdioNames[0], l.in)
}

// ownPipe makes the task the owner of a pipe, so that the task can open it as /dev/stdin or /dev/stdout.
func (p *Process) ownPipe(fd int) {
	if p.Comp.GivesPipes() {
		_ = unix.Fchown(fd, p.Comp.IDs.OutUID, p.Comp.IDs.OutGID) // if this fails, only opening it by name fails
	}
}

// begin starts to pass data when the program runs. l may be nil.
func (l *lender) begin() {
	if l != nil {
		l.p.Watch(l.from, unix.POLLIN, func(int16) { l.lend() })
	}
}

// resize sets the capacity of the task's pipe, which must be empty.
func (l *lender) resize(size int) error {
	if l.size == size {
		return nil
	}
	_, err := unix.FcntlInt(uintptr(l.to), unix.F_SETPIPE_SZ, size)
	if err == nil {
		l.size = size
	}
	return err
}

// lend copies the next data to the task's pipe, and leaves it in the caller's pipe too.
func (l *lender) lend() {
	size := os.Getpagesize()
	if waiting, err := unix.IoctlGetInt(l.from, unix.TIOCINQ); err == nil && waiting >= bulk { // TIOCINQ is FIONREAD
		size = bulk
	}
	_ = l.resize(size) // EPERM: the user has many large pipes, and this one keeps its size
	n, err := unix.Tee(l.from, l.to, bulk, unix.SPLICE_F_NONBLOCK)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: // another reader has taken the data
	case n > 0:
		l.lent, l.wait = int(n), firstWait
		l.p.Unwatch(l.from)
		l.p.Watch(l.to, unix.POLLOUT, func(int16) { l.settle() })
	default: // the writers have closed the pipe
		l.p.Unwatch(l.from)
		// The task must see the end of its pipe too.
		unix.Close(l.to)
		l.to = -1
	}
}

// firstWait is the time after which the launcher first checks whether a task that has begun to read has read
// everything.
const firstWait = 20 * time.Microsecond

// settle removes from the caller's pipe what the task has read. If the task has read everything, settle copies the next
// data.
func (l *lender) settle() {
	l.p.Unwatch(l.to)
	l.takeRead()
	switch {
	case l.from < 0: // the run is over
	case l.lent == 0:
		l.p.Watch(l.from, unix.POLLIN, func(int16) { l.lend() })
	default:
		l.p.At(time.Now().Add(l.wait), l.settle)
		l.wait = min(2*l.wait, 100*time.Millisecond)
	}
}

// takeRead removes from the caller's pipe what the task has read.
func (l *lender) takeRead() {
	if l.lent == 0 {
		return
	}
	left, err := unix.IoctlGetInt(l.in, unix.TIOCINQ)
	if err != nil {
		left = 0
	}
	for read := l.lent - left; read > 0; {
		n, err := unix.Splice(l.from, nil, l.null, nil, read, unix.SPLICE_F_NONBLOCK)
		if n <= 0 && err != unix.EINTR {
			break // another reader has taken the data
		}
		read -= int(max(n, 0))
	}
	l.lent = left
}

// finish stops passing data when the sandbox has ended. Data that the task has not read stays in the caller's pipe. l
// may be nil.
func (l *lender) finish() {
	if l == nil {
		return
	}
	l.takeRead()
	for _, fd := range [...]*int{&l.from, &l.in, &l.to, &l.null} {
		if *fd >= 0 {
			l.p.Unwatch(*fd)
			unix.Close(*fd)
			*fd = -1
		}
	}
	l.lent = 0
}
