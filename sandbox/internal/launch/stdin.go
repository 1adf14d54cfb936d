package launch

// The launcher's part if standard input is a regular file: see stdio.go of internal/compile.

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
)

// keepStdin makes sure that the task has opened the caller's file, read-only. Then it moves the task's descriptor to
// where the caller's is, so that the task reads on from there.
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
		// The task has opened a path, and the host may have replaced the file there.
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

// sameOffset gives one descriptor, to, the file position of another, from.
func sameOffset(from, to int) error {
	at, err := unix.Seek(from, 0, unix.SEEK_CUR)
	if err == nil {
		_, err = unix.Seek(to, at, unix.SEEK_SET)
	}
	return err
}

// leaveStdin moves the caller's descriptor to where the task has stopped reading.
func (p *Process) leaveStdin() {
	if p.stdin >= 0 {
		_ = sameOffset(p.stdin, int(p.Cmd.Stdio[0].Fd())) // a caller that has closed it does not read on
		unix.Close(p.stdin)
		p.stdin = -1
	}
}

// The launcher's part if standard input is a pipe: tee(2), splice(2), pipe(7), proc_pid_fd(5).
//
// A pipe has two directions, and whoever owns its inode can open both by /proc/PID/fd. So a task that has the
// caller's id, or that was given the pipe, could write to the pipe. The caller's later readers would take that for
// the writer's. So the task gets a pipe of its own. The launcher lends it what is in the caller's pipe, a buffer at a
// time, and takes from the caller's pipe exactly what the task has read. What the task leaves is there for the next
// reader, as if the task had the caller's pipe.
//
// Everything happens in the loop, and nothing blocks. tee(2) always begins at the head of the caller's pipe, so the
// launcher lends again only when the task has read everything. The launcher learns this from poll(2): the private
// pipe holds one buffer, and can be written once the task has read that. The launcher lends a fast writer's data as
// much at a time as its pipe holds. Then poll(2) tells only when the task begins to read. So the launcher looks again
// after times that double, and a slow task costs few looks.

// lender stands between the caller's pipe and the task's.
type lender struct {
	p    *Process
	from int // the caller's pipe
	in   int // the end that the task reads; it stays open here, so that lending never fails for want of a reader
	to   int // the other end; -1 once no more can come
	null int // takes what the task has read
	lent int // bytes that are in both pipes, or that the task has read since
	size int // what the private pipe holds at most, in bytes
	wait time.Duration
}

// bulk is what a pipe holds, in bytes, unless somebody has changed its size.
const bulk = 64 << 10

// lendStdin makes a pipe for the task.
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
		l.from, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3) // the caller may close its own
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

// ownPipe makes the task the owner of a pipe, so that the task can open it by /dev/stdin or /dev/stdout.
func (p *Process) ownPipe(fd int) {
	if p.Comp.GivesPipes() {
		_ = unix.Fchown(fd, p.Comp.IDs.OutUID, p.Comp.IDs.OutGID) // if this fails, only opening it by name fails
	}
}

// begin starts to lend when the program runs. l may be nil.
func (l *lender) begin() {
	if l != nil {
		l.p.Watch(l.from, unix.POLLIN, func(int16) { l.lend() })
	}
}

// resize sets how much the private pipe holds. The pipe must be empty.
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

// lend puts what comes next into the task's pipe, and leaves it in the caller's pipe, too.
func (l *lender) lend() {
	size := os.Getpagesize()
	if waiting, err := unix.IoctlGetInt(l.from, unix.TIOCINQ); err == nil && waiting >= bulk { // TIOCINQ is FIONREAD
		size = bulk
	}
	_ = l.resize(size) // EPERM: the user has many large pipes, and this one keeps its size
	n, err := unix.Tee(l.from, l.to, bulk, unix.SPLICE_F_NONBLOCK)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: // another reader has taken it
	case n > 0:
		l.lent, l.wait = int(n), firstWait
		l.p.Unwatch(l.from)
		l.p.Watch(l.to, unix.POLLOUT, func(int16) { l.settle() })
	default: // the writers are gone
		l.p.Unwatch(l.from)
		// The task reads the end of its pipe, too.
		unix.Close(l.to)
		l.to = -1
	}
}

// firstWait is the time after which the launcher looks again whether a task that has begun to read has read everything.
const firstWait = 20 * time.Microsecond

// settle takes out of the caller's pipe what the task has read. If that is everything, it lends again.
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

// takeRead takes out of the caller's pipe what the task has read.
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
			break // another reader has taken it
		}
		read -= int(max(n, 0))
	}
	l.lent = left
}

// finish ends the lending when the sandbox is gone. What nobody has read stays in the caller's pipe. l may be nil.
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
