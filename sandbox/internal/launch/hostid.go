package launch

// The ids of the launcher's threads, and the id of the task on the host.

import (
	"encoding/binary"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
)

// taskIDs is the file of the state directory in which each id in use is a locked byte. The kernel drops a lock with the last
// copy of its descriptor, so the file needs no cleaning after a launcher that was killed.
const taskIDs = "ids"

// drawTaskID draws the task's id outside. Two sandboxes that share an id could trace and kill each other's processes
// and write each other's files, and launchers in different pid namespaces can have the same number, so the id is random.
// Launchers that share a state directory lock the id there besides; others have no place in common.
func (p *Process) drawTaskID() (int, error) {
	h := p.Cmd.Host
	if p.Cmd.Into != nil || !h.HostRoot || !h.GivesIDs() { // otherwise root starts the task, and can give it an id of its own
		return 0, nil
	}
	p.ids = openTaskIDs(h.State)
	for range 64 {
		id, err := randomTaskID()
		if err != nil {
			return 0, err
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(id), Len: 1}
		if p.ids < 0 || unix.FcntlFlock(uintptr(p.ids), unix.F_OFD_SETLK, &lock) == nil {
			return id, nil
		}
	}
	return 0, &fail.Error{Op: "draw the task's id", Err: errors.New("64 were in use, or the locks of " + paths.Join(h.State, taskIDs) + " do not work"),
		Hint: "--host-user caller runs the task as root"}
}

// openTaskIDs is -1 where there is no state directory: then the draw alone keeps ids apart.
func openTaskIDs(state string) int {
	if state == "" {
		return -1
	}
	fd, err := unix.Open(paths.Join(state, taskIDs), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return -1
	}
	return fd
}

func randomTaskID() (int, error) {
	const n = compile.LastTaskID - compile.FirstTaskID + 1
	for {
		var b [4]byte
		if _, err := unix.Getrandom(b[:], 0); err != nil {
			return 0, &fail.Error{Op: "getrandom", Err: err}
		}
		if v := binary.NativeEndian.Uint32(b[:]) >> 1; v < 2*n { // beyond, the first ids would come more often
			return compile.FirstTaskID + int(v%n), nil
		}
	}
}

// checkIDs holds the task's ids against what the profile says: proc_pid_status(5) has them as they are outside.
func (p *Process) checkIDs() error {
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.Task) + "/status")
	if err != nil {
		return &fail.Error{Op: "read back the ids", Err: err}
	}
	if err := p.Comp.CheckIDs(text); err != nil {
		return err
	}
	uid, gid := proc.First(proc.StatusField(text, "Uid")), proc.First(proc.StatusField(text, "Gid"))
	p.enforced(policy.LayerUser, "uid "+strconv.Itoa(uid)+", gid "+strconv.Itoa(gid)+" on the host", "/proc/PID/status")
	return nil
}

// credentials are a thread's ids: real, effective and saved, and that of its file accesses.
type credentials struct{ uid, gid [4]int }

func threadCredentials() (c credentials) {
	c.uid[0], c.uid[1], c.uid[2] = unix.Getresuid()
	c.gid[0], c.gid[1], c.gid[2] = unix.Getresgid()
	c.uid[3], _ = unix.SetfsuidRetUid(-1) // -1 changes nothing
	c.gid[3], _ = unix.SetfsgidRetGid(-1)
	return c
}

// mixed says what differs among the ids, "" if nothing does. Which of them the task would have outside depends on the
// call that asks.
func (c *credentials) mixed() string {
	for _, x := range [...]struct {
		key string
		ids [4]int
	}{{"user", c.uid}, {"group", c.gid}} {
		if x.ids != [4]int{x.ids[0], x.ids[0], x.ids[0], x.ids[0]} {
			return "the launcher's " + x.key + " ids differ: real " + strconv.Itoa(x.ids[0]) + ", effective " + strconv.Itoa(x.ids[1]) + ", saved " + strconv.Itoa(x.ids[2]) +
				", of the file system " + strconv.Itoa(x.ids[3])
		}
	}
	return ""
}

// checkThread refuses to start on a thread that is somebody else than the caller, or than the host was probed for: the
// child is whoever the thread is that clones it.
func (p *Process) checkThread() error {
	own, caller := threadCredentials(), p.caller
	why := own.mixed()
	switch {
	case why != "":
	case own != caller:
		why = "the calling thread is user " + strconv.Itoa(caller.uid[1]) + ", and the sandbox would start as user " + strconv.Itoa(own.uid[1])
	case own.uid[0] != p.Cmd.Host.UID || own.gid[0] != p.Cmd.Host.GID:
		why = "Host was probed as user " + strconv.Itoa(p.Cmd.Host.UID) + ", group " + strconv.Itoa(p.Cmd.Host.GID) + ", and this is user " + strconv.Itoa(own.uid[0]) + ", group " + strconv.Itoa(own.gid[0])
	default:
		return nil
	}
	return &fail.Error{Op: "start", Err: errors.New(why), Hint: "change the ids of the whole process (syscall.Setresuid, setpriv --reuid), not those of a thread"}
}
