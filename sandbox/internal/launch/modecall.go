package launch

// chmod(2), fchmod(2), fchmodat(2) and fchmodat2(2) with set-id bits. A filter cannot tell a directory, where the bits only
// hand on a group, from a file, where they hand on rights. So the launcher makes such a call in the task's place: with the
// bits for a directory, without them for anything else.
//
// It opens what the task means once, looks at it and changes that very thing by its descriptor, so that nothing can be
// swapped in between. It does so with less than the task's rights: on a thread that has the task's ids for files and no
// capability. The call is thus never the launcher's but one that the task could have made without the bits. What the
// task's capabilities would permit besides fails with EPERM.

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

const setID = unix.S_ISUID | unix.S_ISGID

// modeCall is a call that changes the mode of a file.
type modeCall struct {
	listener int
	id       uint64 // of the notification
	tid      int    // of the thread that waits
	dir      int32  // a descriptor of the task, or AT_FDCWD
	byFD     bool   // dir is the file itself; there is no path
	path     uint64 // where the path is in the task's memory
	mode     uint32
	flags    uint32
}

// modeArgs says in which argument the mode of a call is; 0 if the call changes no mode.
func modeArgs(call string) int {
	switch call {
	case "chmod", "fchmod":
		return 1
	case "fchmodat", "fchmodat2":
		return 2
	}
	return 0
}

// modeCallOf makes a modeCall of a notification.
func modeCallOf(call string, listener int, n *child.Notification) modeCall {
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

// changed is what became of a modeCall.
type changed struct {
	errno   syscall.Errno
	without bool // the file got its mode without the bits
	refused bool // the launcher could not make the call
}

var refusedChange = changed{errno: unix.EPERM, refused: true}

// modeWorker makes the calls, one after the other, on a thread of its own.
type modeWorker struct {
	in   chan modeCall
	out  chan changed
	busy bool // a call has not come back in time
}

// modePatience bounds how long a file system that does not answer keeps the launcher from its other work.
const modePatience = 200 * time.Millisecond

func newModeWorker() *modeWorker {
	w := &modeWorker{in: make(chan modeCall), out: make(chan changed, 1)}
	go func() {
		runtime.LockOSThread() // and never unlock: the thread, whose ids have changed, ends with the goroutine
		for m := range w.in {
			w.out <- m.make()
		}
	}()
	return w
}

// end ends the worker, whether there is one or not.
func (w *modeWorker) end() {
	if w != nil {
		close(w.in)
	}
}

// do has a call made. While an earlier one hangs, others fail with EPERM.
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

// make opens everything of the task's while it surely waits, and goes on with the task's rights.
func (m *modeCall) make() changed {
	opened := taskFiles{root: -1, start: -1, file: -1}
	defer opened.close()
	path, errno := m.open(&opened)
	if errno != 0 {
		return changed{errno: errno}
	}
	creds, err := fileIDsOf(m.tid)
	if err != nil || !child.Waits(m.listener, m.id) {
		return refusedChange
	}
	var c changed
	if !creds.as(func() { c = m.change(&opened, path) }) {
		return refusedChange
	}
	return c
}

// taskFiles are descriptors of what the task has.
type taskFiles struct {
	root, start int // its root directory, and the directory at which its path begins
	file        int // the file itself, if the call names a descriptor
}

func (f *taskFiles) close() {
	for _, fd := range []int{f.root, f.start, f.file} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// open reads the path and opens where it begins. The flags are those that fchmodat2 knows.
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

// openPath opens what a link of /proc leads to. A descriptor that the task does not have is EBADF.
func openPath(link string) (fd int, errno syscall.Errno) {
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return fd, 0
	case unix.ENOENT:
		return -1, unix.EBADF
	}
	return -1, unix.EPERM
}

// ownDescriptor is the number in a path by which a process names a descriptor of its own, as libc does in fchmodat(3).
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

// change changes the mode, with the rights of whoever calls it.
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
	case unix.S_IFLNK:
		return changed{errno: unix.EOPNOTSUPP}
	default:
		mode, without = m.mode&^setID, true
	}
	err := unix.Fchmodat(f.file, "", mode, unix.AT_EMPTY_PATH)
	if err == unix.EOPNOTSUPP || err == unix.EINVAL || err == unix.ENOSYS { // before Linux 6.6
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(f.file), mode)
	}
	return changed{errno: fail.Errno(err), without: err == nil && without}
}

// fileIDs are what a thread is to the file system.
type fileIDs struct {
	uid, gid int
	groups   []uint32
}

// fileIDsOf returns those of a thread: proc_pid_status(5), the numbers as the launcher's user namespace has them.
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

// lastID is the file system's id, the last of the four in a line.
func lastID(line string) (int, error) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return 0, unix.EINVAL
	}
	return strconv.Atoi(f[3])
}

// as runs what with these ids and without capabilities, on this thread alone. It reports false, and runs nothing, if the
// thread may not have the ids.
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
			if dumpable == 1 { // a change of ids clears it, for the whole process: prctl(2)
				_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
			}
		}()
		_, _ = unix.SetfsgidRetGid(c.gid)
		_, _ = unix.SetfsuidRetUid(c.uid)
		if currentFSID(unix.SetfsuidRetUid) != c.uid || currentFSID(unix.SetfsgidRetGid) != c.gid {
			return false
		}
	}
	if unix.Capset(&hdr, &none[0]) != nil {
		return false
	}
	what()
	return unix.Capset(&hdr, &had[0]) == nil
}

// currentFSID asks for an id: the calls return the one before, and no id is -1 (setfsuid(2)).
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

// --- the launcher's loop

// handleModeCall makes a call that only the rules about set-id bits deny, if it is one.
func (p *Process) handleModeCall(n *child.Notification, call *filter.Data) bool {
	name := p.denials.modeCall(call)
	if name == "" {
		return false
	}
	if p.modes == nil {
		p.modes = newModeWorker()
	}
	done := p.modes.do(modeCallOf(name, p.Listener, n))
	if done.refused || done.without {
		if fresh := p.denials.add(call, done.errno); fresh != nil {
			p.describe(fresh, n)
		}
	}
	_ = child.Answer(p.Listener, n.ID, done.errno) // ENOENT: killed since
	return true
}

// modeCall is the name of a call that changes a mode and that the profile would let pass but for the rules about set-id
// bits; "" for any other call.
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
