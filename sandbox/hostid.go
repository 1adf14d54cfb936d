package sandbox

// Who the task is outside the sandbox: credentials(7), user_namespaces(7), fcntl(2) (open file description locks, Linux 3.15).
//
// A task that is uid 0 outside reads and writes what root owns, whatever it is inside. So a task that root starts gets an
// id of its own outside, or is not started, unless the profile says user: {host: caller} in as many words.

import (
	"encoding/binary"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
)

// The ids that tasks of root get outside. They lie above the subordinate ids of shadow's default (SUB_UID_MAX, 600100000)
// and within systemd's for containers (524288 to 1879048191).
const (
	firstTaskID = 1_000_000_000
	lastTaskID  = 1_879_048_191
)

// taskIDs is the file of the state directory in which each id in use is a locked byte. The kernel drops a lock with the last
// copy of its descriptor, so the file needs no cleaning after a launcher that was killed.
const taskIDs = "ids"

// needsTaskID reports whether root starts the task and can give it an id of its own.
func (c *Cmd) needsTaskID(h *Host) bool { return c.Into == nil && h.HostRoot && h.mapsIDs() }

// drawTaskID draws the task's id outside. Two sandboxes that share an id could trace and kill each other's processes
// and write each other's files, and launchers in different pid namespaces can have the same number, so the id is random.
// Launchers that share a state directory lock the id there besides; others have no place in common.
func (p *process) drawTaskID() error {
	if !p.cmd.needsTaskID(p.host) {
		return nil
	}
	p.ids = openTaskIDs(p.host.State)
	for range 64 {
		id, err := randomTaskID()
		if err != nil {
			return err
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(id), Len: 1}
		if p.ids < 0 || unix.FcntlFlock(uintptr(p.ids), unix.F_OFD_SETLK, &lock) == nil {
			p.cmd.taskID = id
			return nil
		}
	}
	return &Error{Op: "draw the task's id", Err: errText("64 were in use, or the locks of " + joinPath(p.host.State, taskIDs) + " do not work"),
		Hint: "--host-user caller runs the task as root"}
}

// openTaskIDs is -1 where there is no state directory: then the draw alone keeps ids apart.
func openTaskIDs(state string) int {
	if state == "" {
		return -1
	}
	fd, err := unix.Open(joinPath(state, taskIDs), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return -1
	}
	return fd
}

func randomTaskID() (int, error) {
	const n = lastTaskID - firstTaskID + 1
	for {
		var b [4]byte
		if _, err := unix.Getrandom(b[:], 0); err != nil {
			return 0, &Error{Op: "getrandom", Err: err}
		}
		if v := binary.NativeEndian.Uint32(b[:]) >> 1; v < 2*n { // beyond, the first ids would come more often
			return firstTaskID + int(v%n), nil
		}
	}
}

// ownHostID gives the task an id of its own outside, where it would be root there.
func (c *compilation) ownHostID() error {
	if !c.rootForbidden() {
		return nil
	}
	if !c.host.mapsIDs() {
		return &UnsupportedError{Layer: policy.LayerUser, From: c.where("user.host"),
			Why:    "the task would be root on the host: root without the capabilities SETUID and SETGID cannot give it an id of its own",
			Remedy: "give the launcher these two (and SYS_ADMIN for what the profile writes: docker run --cap-add); or, in as many words, " + c.orRoot()}
	}
	id := firstTaskID
	if c.cmd.taskID != 0 { // otherwise the plan is only printed
		id = c.cmd.taskID
	}
	c.ids.outUID, c.ids.outGID, c.ids.own, c.ids.idmapped = id, id, true, c.host.Privileged
	if j := c.joined(unix.CLONE_NEWNS); j != nil && c.ids.idmapped {
		return &UnsupportedError{Layer: policy.LayerMount, Why: j.key + ": a mount of another mount namespace cannot be idmapped", From: c.where(j.key),
			Remedy: "join the user namespace that it belongs to as well, or keep the caller's id with user: {host: caller} or --host-user caller"}
	}
	return nil
}

// writesAsRoot refuses a part that the task is to write, and could not: it has an id of its own outside, and only an
// idmapped mount, which takes CAP_SYS_ADMIN, shows it root's files as its own.
func (c *compilation) writesAsRoot(path string, info fs.FileInfo, from string) error {
	if !c.ids.own || c.ids.idmapped || ownerOf(info) != 0 && info.Mode().Perm()&0o002 != 0 {
		return nil
	}
	return &UnsupportedError{Layer: policy.LayerMount, Why: path + ": the task cannot write it: root without CAP_SYS_ADMIN gives the task an id of its own, and no idmapped mounts",
		From: from, Remedy: c.orRoot() + "; or give the launcher CAP_SYS_ADMIN, or the directory to another user who runs cordon"}
}

// checkIDs holds the task's ids against what the profile says: proc_pid_status(5) has them as they are outside.
func (p *process) checkIDs() error {
	text, err := readAll("/proc/" + itoa(p.task) + "/status")
	if err != nil {
		return &Error{Op: "read back the ids", Err: err}
	}
	if err := p.comp.checkIDs(text); err != nil {
		return err
	}
	uid, gid := first(statusField(text, "Uid")), first(statusField(text, "Gid"))
	p.enforced(policy.LayerUser, "uid "+itoa(uid)+", gid "+itoa(gid)+" on the host", "/proc/PID/status")
	return nil
}

func (c *compilation) checkIDs(status []byte) error {
	groups := strings.Fields(statusField(status, "Groups"))
	if c.rootForbidden() && slices.Contains(groups, "0") || c.ids.own && len(groups) > 0 {
		return &Error{Op: "read back the ids", Err: errText("the task would have root's groups on the host: " + strings.Join(groups, " ")), Hint: callerHint}
	}
	for _, x := range [...]struct {
		key  string
		want int
	}{{"Uid", c.ids.outUID}, {"Gid", c.ids.outGID}} {
		for _, id := range strings.Fields(statusField(status, x.key)) {
			switch {
			case id == "0" && c.rootForbidden():
				return &Error{Op: "read back the ids", Err: errText("the task would be root on the host: " + x.key + " is 0"), Hint: callerHint}
			case x.want >= 0 && id != itoa(x.want):
				return &Error{Op: "read back the ids", Err: errText(x.key + " is " + id + ", not " + itoa(x.want))}
			}
		}
	}
	return nil
}

const callerHint = "say so in as many words with user: {host: caller} or --host-user caller"

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
			return "the launcher's " + x.key + " ids differ: real " + itoa(x.ids[0]) + ", effective " + itoa(x.ids[1]) + ", saved " + itoa(x.ids[2]) +
				", of the file system " + itoa(x.ids[3])
		}
	}
	return ""
}

// checkThread refuses to start on a thread that is somebody else than the caller, or than the host was probed for: the
// child is whoever the thread is that clones it.
func (p *process) checkThread() error {
	own, caller := threadCredentials(), p.caller
	why := own.mixed()
	switch {
	case why != "":
	case own != caller:
		why = "the calling thread is user " + itoa(caller.uid[1]) + ", and the sandbox would start as user " + itoa(own.uid[1])
	case own.uid[0] != p.host.UID || own.gid[0] != p.host.GID:
		why = "Host was probed as user " + itoa(p.host.UID) + ", group " + itoa(p.host.GID) + ", and this is user " + itoa(own.uid[0]) + ", group " + itoa(own.gid[0])
	default:
		return nil
	}
	return &Error{Op: "start", Err: errText(why), Hint: "change the ids of the whole process (syscall.Setresuid, setpriv --reuid), not those of a thread"}
}

// rootOutside reports whether a user is root of the host, in the caller's user namespace or in any around it. The kernel's
// own files belong to the host's root, and stat(2) says which number that is here.
func rootOutside(uid int) bool {
	var st unix.Stat_t
	if err := unix.Stat("/proc/sys/kernel/cap_last_cap", &st); err != nil {
		return uid == 0
	}
	const overflow = 65534 // what an id without a number here is shown as
	if uid != overflow {
		return int(st.Uid) == uid
	}
	text, err := readSome("/proc/self/uid_map", 64)
	f := strings.Fields(string(text))
	return err == nil && len(f) > 1 && f[0] == itoa(overflow) && f[1] == "0"
}
