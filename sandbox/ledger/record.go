package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// These are the files of a place. The lock file is never replaced. A process locks the file's first byte to read or
// write the records. The launcher of run ID locks byte ID as long as the run lives. The locks belong to open file
// descriptions: fcntl(2), F_OFD_SETLK.
const (
	runsFile = "runs"
	lockFile = "lock"
)

// maxRuns is the size of the text, in bytes, above which add merges the records before it adds more. The merged text is
// at most half as long, because otherwise each run would have to write the whole text anew.
const maxRuns = 512 << 10

// Run is a run that can write the host's files. It exists as long as the run goes on. The nil Run records nothing.
type Run struct {
	place int // descriptor
	lock  int // a descriptor that holds the lock on byte id
	id    int64
	start moment
	from  int64 // when the launcher let the task start
	end   int64 // when every process of the sandbox had ended; 0 before
}

// moment is a time on two clocks: the clock from which files get their times, and a clock that nobody can set.
type moment struct{ real, boot int64 }

// now returns the time of the last tick of the kernel's clock. A file that is written from now on gets this time, or a
// later one (Linux 6.13), but never an earlier one.
func now() moment { return moment{gettime(unix.CLOCK_REALTIME_COARSE), gettime(unix.CLOCK_BOOTTIME)} }

func gettime(clock int32) int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(clock, &t) // cannot fail
	return t.Nano()
}

// Begin records that a sandbox can write these files and directories of the host from now on, until End or the end of
// this process. When it returns, the record is on the disk.
//
// Begin also stores the texts of the run's profiles that the sandbox can write, so that a later command can show what
// has changed. hidden are state directories that the sandbox can neither see nor replace: see [Reached].
func Begin(places []Place, paths []string, texts []Text, hidden ...string) (*Run, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	place, err := openFirst(places)
	if err != nil {
		return nil, err
	}
	r := &Run{place: place, lock: -1, start: now()}
	if err := r.begin(paths, texts, hidden); err != nil {
		where := Where(place)
		r.close()
		return nil, &Error{"record what the sandbox can write, in " + where, err, remedy}
	}
	return r, nil
}

// Where returns the path of an open directory, for messages.
func Where(fd int) string {
	path, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return path
}

func (r *Run) begin(shown []string, texts []Text, hidden []string) error {
	unlock, err := exclusive(r.place)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.hold(); err != nil {
		return err
	}
	var text []byte
	for _, p := range shown {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return &os.PathError{Op: "look at", Path: p, Err: err}
		}
		text = appendRun(text, span{id: r.id, start: r.start.real, boot: r.start.boot}, &dir{path: p, dev: st.Dev, ino: st.Ino})
	}
	for _, dir := range hidden {
		text = appendHid(text, r.id, dir)
	}
	if err := add(r.place, text, true); err != nil {
		return err
	}
	for _, t := range texts {
		if !t.Doubtful && slices.ContainsFunc(shown, func(p string) bool { return paths.Below(t.Path, p) }) {
			_ = keep(r.place, t) // if this fails, a later command shows the whole text instead of the changes
		}
	}
	return nil
}

// hold chooses a random number for the run, and locks the byte of that number.
func (r *Run) hold() (err error) {
	if r.lock, err = openLock(r.place); err != nil {
		return err
	}
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		r.id = int64(binary.NativeEndian.Uint64(b[:])>>2) | 1
		if err = lockByte(r.lock, r.id); err != unix.EAGAIN && err != unix.EACCES {
			return err
		}
	}
}

// Go records in memory that the launcher lets the task start now.
func (r *Run) Go() {
	if r != nil {
		r.from = now().real
	}
}

// Stop records in memory that every process of the sandbox has ended.
func (r *Run) Stop() {
	if r != nil && r.end == 0 {
		r.end = gettime(unix.CLOCK_REALTIME)
	}
}

// End writes the end of the run to the records. If that fails, the records look as if the launcher was killed: until
// another process sees that the run's lock is free, the run is taken to go on.
func (r *Run) End() {
	if r == nil {
		return
	}
	defer r.close()
	r.Stop()
	if unlock, err := exclusive(r.place); err == nil {
		_ = add(r.place, r.ending(), false)
		unlock()
	}
	// End waits for the next tick, so that a change after this process has ended gets a later time than the recorded
	// end.
	for range 20 {
		if gettime(unix.CLOCK_REALTIME_COARSE) > r.end {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// ending returns the lines that record the end of the run.
func (r *Run) ending() []byte {
	from, end := max(r.start.real, r.from), r.end
	// If the clock was set back during the run, files of the run may have times before its start or after its end.
	if back := (gettime(unix.CLOCK_BOOTTIME) - r.start.boot) - (gettime(unix.CLOCK_REALTIME) - r.start.real); back > slack {
		from, end = r.start.real-back, end+back
	}
	text := appendLine(nil, "from", uint64(r.id), uint64(from))
	return appendLine(text, "end", uint64(r.id), uint64(end))
}

func (r *Run) close() {
	unix.Close(r.place)
	if r.lock >= 0 {
		unix.Close(r.lock)
	}
	r.place, r.lock = -1, -1
}

// add appends lines to the records. If it fails, the file stays as it was. If durable is set, the lines are on the disk
// when it returns.
func add(place int, lines []byte, durable bool) error {
	fd, err := unix.Openat(place, runsFile, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), runsFile)
	defer f.Close()
	size, err := whole(f)
	if err != nil {
		return err
	}
	if size > maxRuns {
		return rewrite(place, f, lines)
	}
	if size == 0 {
		if err := f.Chmod(0o600); err != nil { // whatever the umask is
			return fail.Bare(err)
		}
		lines = append([]byte(header), lines...)
	}
	if _, err = f.WriteAt(lines, size); err == nil && durable {
		err = unix.Fdatasync(fd)
	}
	if err == nil && durable && size == 0 {
		err = unix.Fsync(place)
	}
	if err != nil {
		_ = f.Truncate(size)
	}
	return fail.Bare(err)
}

// whole returns the size of the file. If the last line is incomplete, whole first removes that line, which a killed
// launcher may have left.
func whole(f *os.File) (int64, error) {
	i, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size, last := i.Size(), make([]byte, min(i.Size(), 64<<10))
	if _, err := f.ReadAt(last, size-int64(len(last))); err != nil && err != io.EOF {
		return 0, err
	}
	keep := size - int64(len(last)) + int64(bytes.LastIndexByte(last, '\n')) + 1
	if keep < size {
		err = f.Truncate(keep)
	}
	return keep, err
}

// rewrite replaces the file by its merged text, followed by the lines.
func rewrite(place int, f *os.File, lines []byte) error {
	r, err := readRuns(place, f, false)
	if err != nil {
		return err
	}
	r.merge()
	return replace(place, runsFile, append(r.text(), lines...))
}

// replace writes a new file and renames it to the name of the old file. The new file is complete and on the disk when
// it gets that name. After an error the old file is still there.
func replace(place int, name string, text []byte) error {
	tmp := "." + name + ".new"
	_ = unix.Unlinkat(place, tmp, 0)
	fd, err := unix.Openat(place, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	if err = f.Chmod(0o600); err == nil { // whatever the umask is
		_, err = f.Write(text)
	}
	if err == nil {
		err = unix.Fdatasync(fd)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = unix.Renameat(place, tmp, place, name)
	}
	if err == nil {
		return unix.Fsync(place)
	}
	_ = unix.Unlinkat(place, tmp, 0)
	return fail.Bare(err)
}

// readRuns reads the records. If the launcher of a run has ended without recording the run's end, readRuns gives the
// run an end. If note is set, it also writes this end to the records, because a later reader would assume a later end.
func readRuns(place int, f *os.File, note bool) (*runs, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<20))
	if err != nil {
		return nil, fail.Bare(err)
	}
	r, err := parse(string(text))
	if err != nil {
		return nil, err
	}
	lock, err := openLock(place)
	if err != nil {
		return nil, err
	}
	defer unix.Close(lock)
	end := time.Now().Add(linger).UnixNano()
	var lines []byte
	r.unended(func(id int64) int64 {
		if held(lock, id) {
			return open
		}
		lines = appendLine(lines, "end", uint64(id), uint64(end))
		return end
	})
	if note && len(lines) > 0 {
		_ = add(place, lines, false) // if this fails (a full disk), the next reader assumes a later end
	}
	return r, nil
}

// linger is the longest time for which a task may live on after its launcher was killed, until the kernel kills the
// task.
const linger = time.Second

// read returns the records in a place, or nil if there are none.
func read(place int) (*runs, error) {
	fd, err := unix.Openat(place, runsFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	unix.Close(fd)
	unlock, err := exclusive(place)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if fd, err = unix.Openat(place, runsFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil { // it may have been replaced
		return nil, err
	}
	f := os.NewFile(uintptr(fd), runsFile)
	defer f.Close()
	return readRuns(place, f, true)
}

func openLock(place int) (int, error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(place, lockFile, flags|unix.O_CREAT, 0o600)
	if err == unix.EACCES && unix.Fchmodat(place, lockFile, 0o600, 0) == nil { // a umask took the caller's own rights
		fd, err = unix.Openat(place, lockFile, flags, 0)
	}
	return fd, err
}

func byteLock(at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: at, Len: 1}
}

func lockByte(fd int, at int64) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, byteLock(at))
}

// held reports whether a process has locked the byte. If it cannot find that out, it returns true.
func held(fd int, at int64) bool {
	l := byteLock(at)
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, l)
	return err != nil || l.Type != unix.F_UNLCK
}

// exclusive locks the records, so that no other process can read or write them until unlock is called. The caller must
// call unlock soon, because other processes wait at most 5 seconds.
func exclusive(place int) (unlock func(), err error) {
	fd, err := openLock(place)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		err := lockByte(fd, 0)
		if err == nil {
			return func() { unix.Close(fd) }, nil
		}
		if err != unix.EAGAIN && err != unix.EACCES && err != unix.EINTR || time.Now().After(deadline) {
			unix.Close(fd)
			return nil, &os.PathError{Op: "lock", Path: lockFile, Err: err}
		}
	}
}
