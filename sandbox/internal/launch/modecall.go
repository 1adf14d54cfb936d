package launch

// This file handles chmod(2), fchmod(2), fchmodat(2) and fchmodat2(2) with set-id bits. On a directory these bits only
// decide the group of new files; on a file they give rights to whoever runs the file. A filter cannot tell a directory
// from a file. So the launcher makes such a call in the task's place. A directory gets the set-group-ID bit, but never
// the set-user-ID bit, which has no effect on a directory. Any other file gets neither bit.
//
// The launcher opens the file at the task's path once, checks the file, and changes the file by its descriptor, so that
// nobody can replace the file in between. The launcher makes the call with fewer rights than the task has: on a thread
// with the ids that the task uses for files, and without capabilities. So the task could have made the same call
// without the bits. A call that needs the task's capabilities fails with EPERM.

import (
	"cmp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
)

// setID holds the two set-id bits of a mode.
const setID = unix.S_ISUID | unix.S_ISGID

// modeCall is a task's system call that changes the mode of a file.
type modeCall struct {
	listener int
	id       uint64 // the id of the notification
	tid      int    // the thread that waits
	dir      int32  // a descriptor number of the task, or AT_FDCWD
	byFD     bool   // dir is the file itself; there is no path
	path     uint64 // the address of the path in the task's memory
	mode     uint32
	flags    uint32
}

// modeArgs returns the index of the mode among a call's arguments, or 0 if the call changes no mode.
func modeArgs(call string) int {
	switch call {
	case "chmod", "fchmod":
		return 1
	case "fchmodat", "fchmodat2":
		return 2
	}
	return 0
}

// modeCallOf makes a modeCall from a notification. call is one of the four names that modeArgs knows. The arguments are
// the kernel's copy of the task's registers.
func modeCallOf(call string, listener int, n *child.Notification) modeCall {
	// Only these bits of a mode have a meaning; the kernel ignores all other bits.
	m := modeCall{listener: listener, id: n.ID, tid: int(n.PID), dir: unix.AT_FDCWD, path: n.Args[0],
		mode: uint32(n.Args[modeArgs(call)]) & 0o7777}
	switch call {
	case "fchmod":
		m.dir, m.byFD = int32(n.Args[0]), true
	case "fchmodat2":
		m.flags = uint32(n.Args[3])
		fallthrough
	case "fchmodat":
		m.dir, m.path = int32(n.Args[0]), n.Args[1]
	}
	return m
}

// changed is the result of a modeCall. errno 0 means success.
type changed struct {
	errno   syscall.Errno
	without bool // the file got its mode, but without the set-id bits
	refused bool // the launcher could not make the call
}

// refusedChange is the result if the launcher cannot make the call. The task's call then fails with EPERM.
var refusedChange = changed{errno: unix.EPERM, refused: true}

// modeWorker makes chmod calls for the task, one after the other, on a thread of its own. There are two reasons for
// that thread: its ids and capabilities differ from the launcher's, and a file system of the task, such as FUSE, can
// delay the call.
type modeWorker struct {
	in   chan modeCall
	out  chan changed
	busy bool // a call has not returned in time
}

// modePatience bounds how long the launcher waits for a file system that does not answer.
const modePatience = 200 * time.Millisecond

// newModeWorker starts the worker's thread.
func newModeWorker() *modeWorker {
	// out has room for one result, so that the thread does not block for ever after do has stopped waiting.
	w := &modeWorker{in: make(chan modeCall), out: make(chan changed, 1)}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread's ids have changed, so it ends with the goroutine
		for m := range w.in {
			w.out <- m.make()
		}
	}()
	return w
}

// end ends the worker. w may be nil. If a call hangs, end does not wait for it: the thread ends when the call returns.
func (w *modeWorker) end() {
	if w != nil {
		close(w.in)
	}
}

// do passes a call to the worker and waits for the result, but no longer than modePatience. While an earlier call
// hangs, every other call fails with EPERM. The wait is short because the launcher serves signals and limits in the
// same loop.
func (w *modeWorker) do(m modeCall) changed {
	if w.busy {
		select {
		case <-w.out:
			w.busy = false
		default:
			return refusedChange
		}
	}
	w.in <- m
	select {
	case c := <-w.out:
		return c
	case <-time.After(modePatience):
		w.busy = true
		return refusedChange
	}
}

// make opens the task's files while the task is known to wait, and then makes the call with the task's rights.
func (m *modeCall) make() changed {
	opened := taskFiles{root: -1, start: -1, file: -1}
	defer opened.close()
	path, errno := m.open(&opened)
	if errno != 0 {
		return changed{errno: errno}
	}
	creds, err := fileIDsOf(m.tid)
	// This check comes after everything was opened and read. If the task still waits, the pid has belonged to the task
	// all the time.
	if err != nil || !child.Waits(m.listener, m.id) {
		return refusedChange
	}
	var c changed
	if !creds.as(func() { c = m.change(&opened, path) }) {
		return refusedChange
	}
	return c
}

// taskFiles holds descriptors of the task's files.
type taskFiles struct {
	root, start int // its root directory, and the directory in which its path begins
	file        int // the file itself, if the call names a descriptor
}

// close closes the descriptors that are open.
func (f *taskFiles) close() {
	for _, fd := range []int{f.root, f.start, f.file} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// open reads the path from the task's memory, and opens the directory in which the path begins. It accepts the flags
// that fchmodat2 knows.
func (m *modeCall) open(f *taskFiles) (path string, errno syscall.Errno) {
	dir := "/proc/" + strconv.Itoa(m.tid)
	if m.flags&^(unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH) != 0 {
		return "", unix.EINVAL
	}
	if !m.byFD {
		if path, errno = readPath(m.tid, m.path); errno != 0 {
			return "", errno
		}
	}
	start := dir + "/cwd"
	if m.dir != unix.AT_FDCWD {
		start = dir + "/fd/" + strconv.Itoa(int(m.dir))
	}
	fd, own := ownDescriptor(path)
	switch {
	case m.byFD || path == "" && m.flags&unix.AT_EMPTY_PATH != 0:
		f.file, errno = openPath(start)
	case path == "":
		return "", unix.ENOENT
	case own && m.flags&unix.AT_SYMLINK_NOFOLLOW == 0:
		f.file, errno = openPath(dir + "/fd/" + fd)
	default:
		if f.root, errno = openPath(dir + "/root"); errno != 0 {
			return "", errno
		}
		if strings.HasPrefix(path, "/") {
			start = dir + "/root"
		}
		f.start, errno = openPath(start)
	}
	return path, errno
}

// openPath opens the target of a link in /proc. If the link does not exist, the task has no such descriptor, and
// openPath returns EBADF.
func openPath(link string) (fd int, errno syscall.Errno) {
	// Opening with O_PATH has no effect on a device or a FIFO, and needs no right to the file itself: open(2).
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return fd, 0
	case unix.ENOENT:
		return -1, unix.EBADF
	}
	return -1, unix.EPERM
}

// ownDescriptor returns the number of a descriptor if path names one of the process's own descriptors, as libc does in
// fchmodat(3). The launcher cannot look such a path up itself, because for the launcher /proc/self is the launcher.
func ownDescriptor(path string) (fd string, ok bool) {
	for _, dir := range [...]string{"/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"} {
		if fd, ok = strings.CutPrefix(path, dir); ok {
			_, err := strconv.ParseUint(fd, 10, 31)
			return fd, err == nil
		}
	}
	return "", false
}

// readPath reads a path from a task's memory.
func readPath(tid int, addr uint64) (string, syscall.Errno) {
	buf := make([]byte, unix.PathMax)
	text, whole := readString(tid, addr, buf)
	switch {
	case whole:
		return text, 0
	case len(text) == len(buf):
		return "", unix.ENAMETOOLONG
	}
	return "", unix.EFAULT
}

// change changes the file's mode, with the rights of the current thread.
func (m *modeCall) change(f *taskFiles, path string) changed {
	if f.file < 0 {
		flags := unix.O_PATH
		if m.flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
			flags |= unix.O_NOFOLLOW
		}
		fd, err := walk.From(f.root, f.start, path, flags)
		if err != nil {
			return changed{errno: fail.Errno(err)}
		}
		f.file = fd
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.file, &st); err != nil {
		return changed{errno: fail.Errno(err)}
	}
	mode, without := m.mode&^unix.S_ISUID, false
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		without = m.mode&unix.S_ISUID != 0
	// Linux does not change the mode of a symbolic link.
	case unix.S_IFLNK:
		return changed{errno: unix.EOPNOTSUPP}
	default:
		mode, without = m.mode&^setID, true
	}
	// fchmod(2) refuses a descriptor opened with O_PATH; fchmodat2(2) and the link in /proc accept it.
	err := unix.Fchmodat(f.file, "", mode, unix.AT_EMPTY_PATH)
	if err == unix.EOPNOTSUPP || err == unix.EINVAL || err == unix.ENOSYS { // there is no fchmodat2(2) before Linux 6.6
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(f.file), mode)
	}
	return changed{errno: fail.Errno(err), without: err == nil && without}
}

// fileIDs holds the ids with which a thread accesses files.
type fileIDs struct {
	uid, gid int
	groups   []uint32
}

// fileIDsOf returns the ids with which a thread accesses files, as ids of the launcher's user namespace:
// proc_pid_status(5).
func fileIDsOf(tid int) (fileIDs, error) {
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return fileIDs{}, err
	}
	uid, errUID := lastID(proc.StatusField(text, "Uid"))
	gid, errGID := lastID(proc.StatusField(text, "Gid"))
	c := fileIDs{uid: uid, gid: gid}
	for _, g := range strings.Fields(proc.StatusField(text, "Groups")) {
		n, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return c, err
		}
		c.groups = append(c.groups, uint32(n))
	}
	return c, cmp.Or(errUID, errGID)
}

// lastID returns the last of the four ids in a line, which is the id for file accesses.
func lastID(line string) (int, error) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return 0, unix.EINVAL
	}
	return strconv.Atoi(f[3])
}

// as calls what with these ids and without capabilities, on this thread only. If the thread may not take the ids, as
// does not call what, and returns false.
func (c *fileIDs) as(what func()) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had, none [2]unix.CapUserData
	if unix.Capget(&hdr, &had[0]) != nil {
		return false
	}
	none = had
	none[0].Effective, none[1].Effective = 0, 0
	uid, gid := currentFSID(unix.SetfsuidRetUid), currentFSID(unix.SetfsgidRetGid)
	if c.uid != uid || c.gid != gid {
		groups, err := unix.Getgroups()
		if err != nil || child.SetGroups(c.groups) != 0 {
			return false
		}
		dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		defer func() {
			_, _ = unix.SetfsuidRetUid(uid)
			_, _ = unix.SetfsgidRetGid(gid)
			_ = child.SetGroups(ids32(groups))
			if dumpable == 1 { // a change of ids clears the flag for the whole process: prctl(2)
				_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
			}
		}()
		_, _ = unix.SetfsgidRetGid(c.gid)
		_, _ = unix.SetfsuidRetUid(c.uid)
		// setfsuid(2) and setfsgid(2) report no error, so the ids are read back.
		if currentFSID(unix.SetfsuidRetUid) != c.uid || currentFSID(unix.SetfsgidRetGid) != c.gid {
			return false
		}
	}
	// The capabilities are dropped last, because the calls above may need them. The thread gets them back before the
	// deferred calls run.
	if unix.Capset(&hdr, &none[0]) != nil {
		return false
	}
	what()
	_ = unix.Capset(&hdr, &had[0]) // the call is made, whatever this returns
	return true
}

// currentFSID returns the thread's id for file accesses. It calls set with -1, which changes nothing, because -1 is no
// valid id, and returns the current id: setfsuid(2).
func currentFSID(set func(int) (int, error)) int {
	id, _ := set(-1)
	return id
}

func ids32(ids []int) []uint32 {
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out
}

// handleModeCall makes a chmod that the profile allows except for its set-id bits. It returns false for any other call.
// It is called in the launcher's loop.
func (p *Process) handleModeCall(n *child.Notification, call *filter.Data) bool {
	name := p.denials.modeCall(call)
	if name == "" {
		return false
	}
	if p.modes == nil {
		p.modes = newModeWorker()
	}
	done := p.modes.do(modeCallOf(name, p.Listener, n))
	// If the launcher has changed a directory's mode as the task wanted, that is not reported as a denial.
	if done.refused || done.without {
		if fresh := p.denials.add(call, done.errno); fresh != nil {
			p.describe(fresh, n)
		}
	}
	_ = child.Answer(p.Listener, n.ID, done.errno) // ENOENT: the task was killed meanwhile
	return true
}

// modeCall returns the name of a call that changes a mode and that is denied only because of set-id bits. It returns ""
// for any other call.
func (d *Denials) modeCall(call *filter.Data) string {
	if d.plain == nil {
		d.prepare()
	}
	key := callKey{call.Arch, call.Nr}
	name, known := d.modes[key]
	if !known {
		if name = filter.Decode(call, nil).Call; modeArgs(name) == 0 {
			name = ""
		}
		d.modes[key] = name
	}
	if name == "" || d.free == nil || call.Args[modeArgs(name)]&setID == 0 {
		return ""
	}
	if a := d.free.Action(call); a.Kind != filter.Allow && a.Kind != filter.Log {
		return ""
	}
	return name
}
