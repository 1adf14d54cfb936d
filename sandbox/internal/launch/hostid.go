package launch

// This file handles ids: the ids of the launcher's threads, and the task's id on the host.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
)

// taskIDs is a file in the state directory. For each task id in use, a launcher holds a lock on one byte of this file.
// The kernel releases the lock when the launcher ends, even if the launcher was killed.
const taskIDs = "ids"

// drawTaskID chooses a random id on the host for the task, or returns 0 if the task gets none. If two sandboxes had the
// same id, they could trace and kill each other's processes and write each other's files. The launcher's pid cannot be
// used in place of a random number, because launchers in different pid namespaces can have the same pid. Launchers that
// share a state directory also lock the id there.
func (p *Process) drawTaskID() (int, error) {
	h := p.Cmd.Host
	if p.Cmd.Into != nil || !h.HostRoot || !h.GivesIDs() {
		return 0, nil
	}
	// If root starts the task, root can give it an id of its own.
	p.ids = openTaskIDs(h.State)
	for range 64 {
		id, err := randomTaskID()
		if err != nil {
			return 0, err
		}
		// The lock belongs to this open file, not to the process: fcntl(2), F_OFD_SETLK. So another sandbox of the same
		// process cannot take the byte either.
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(id), Len: 1}
		if p.ids < 0 || unix.FcntlFlock(uintptr(p.ids), unix.F_OFD_SETLK, &lock) == nil {
			return id, nil
		}
	}
	return 0, &fail.Error{Op: "draw the task's id", Err: errors.New("64 were in use, or the locks of " + paths.Join(h.State, taskIDs) + " do not work"),
		Hint: "--host-user caller runs the task as root"}
}

// openTaskIDs opens the file of locks in the state directory state, and makes the file if it does not exist. It does
// not follow a link, and does not wait for a fifo. It returns -1 if it cannot open the file. In that case only chance
// keeps the ids of two sandboxes apart.
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

// randomTaskID returns a random id from compile.FirstTaskID to compile.LastTaskID. Each is equally likely.
func randomTaskID() (int, error) {
	const n = compile.LastTaskID - compile.FirstTaskID + 1
	for {
		random, err := child.Random()
		if err != nil {
			return 0, &fail.Error{Op: "getrandom", Err: err}
		}
		if v := uint32(random) >> 1; v < 2*n { // larger numbers would make the first ids more likely
			return compile.FirstTaskID + int(v%n), nil
		}
	}
}

// checkIDs compares the task's ids on the host with those that the profile asks for: proc_pid_status(5).
func (p *Process) checkIDs() error {
	text, err := p.taskStatus()
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

// credentials holds a thread's user and group ids: real, effective, saved, and the id for file accesses. The order is
// that of proc_pid_status(5).
type credentials struct{ uid, gid [4]int }

// threadCredentials returns the ids of the calling thread. A thread of a Go program can differ from the others if
// somebody has called setresuid(2) without the runtime.
func threadCredentials() (c credentials) {
	c.uid[0], c.uid[1], c.uid[2] = unix.Getresuid()
	c.gid[0], c.gid[1], c.gid[2] = unix.Getresgid()
	c.uid[3], _ = unix.SetfsuidRetUid(-1) // -1 changes nothing and returns the id
	c.gid[3], _ = unix.SetfsgidRetGid(-1)
	return c
}

// mixed says which of a thread's ids differ from each other, or returns "" if none do. If they differ, the kernel uses
// a different id for different calls.
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

// checkThread refuses to start if the current thread has other ids than the caller, or than the ids for which the host
// was examined. It must do so because the child gets the ids of the thread that clones it.
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
	return &fail.Error{Op: "start", Err: errors.New(why), Hint: "change the ids of the whole process (syscall.Setresuid, setpriv --reuid), not of one thread"}
}

// The next part is about the subordinate ids of the caller: subuid(5), subgid(5).

// maxRangeID is the highest id inside that is mapped to a subordinate id. A usual root file system has no larger ids.
const maxRangeID = 65535

// withRanges adds the caller's subordinate ids to maps. It gives them the ids inside from 0 on, in order, and leaves
// out the task's own id.
func (p *Process) withRanges(maps []string, file string, own int) ([]string, error) {
	text, err := proc.ReadAll(file)
	if err != nil {
		return nil, &fail.UnsupportedError{Layer: policy.LayerUser, Why: "user.ranges: " + err.Error(), From: p.Comp.Where("user.ranges"),
			Remedy: "install uidmap and give the user a range with usermod --add-subuids and --add-subgids"}
	}
	next := 0
	for _, r := range subordinate(string(text), p.Comp.Host.Name, p.Comp.Host.UID) {
		for r[1] > 0 && next <= maxRangeID {
			// The task's own id is mapped already.
			if next == own {
				next++
				continue
			}
			count := min(r[1], maxRangeID+1-next)
			if next < own {
				count = min(count, own-next)
			}
			maps = append(maps, compile.IDMap(next, r[0], count))
			next, r[0], r[1] = next+count, r[0]+count, r[1]-count
		}
	}
	if next == 0 {
		return nil, &fail.UnsupportedError{Layer: policy.LayerUser, Why: "user.ranges: " + file + " has no range for this user", From: p.Comp.Where("user.ranges"),
			Remedy: "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME"}
	}
	return maps, nil
}

// subordinate returns the subordinate id ranges of a user as {first, count}, from the text of subuid(5). The user is
// given by name and number.
func subordinate(text, name string, uid int) (ranges [][2]int) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] == "" || f[0] != name && f[0] != strconv.Itoa(uid) {
			continue
		}
		first, err1 := strconv.Atoi(f[1])
		count, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && first > 0 && count > 0 {
			ranges = append(ranges, [2]int{first, count})
		}
	}
	return ranges
}

// The next part checks again, from outside of the sandbox, that directories are private.

// checkPrivate checks each mounted directory in which the task may make files with set-id bits. The directory must be
// the one that the launcher examined before, and must still be private.
func (p *Process) checkPrivate() error {
	if p.Comp.Private == nil {
		return nil
	}
	root, err := unix.Open("/proc/"+strconv.Itoa(p.Task)+"/root", walk.OpenDir, 0)
	if err != nil {
		return &fail.Error{Op: "read back the mounts", Err: err}
	}
	defer unix.Close(root)
	for i := range p.Comp.Tree.Parts {
		part := &p.Comp.Tree.Parts[i]
		in := func(dir string) bool { return paths.Below(part.Source, dir) }
		if !part.Write || part.Layer || part.Opaque || !slices.ContainsFunc(p.Comp.Private, in) || p.Comp.Tree.At(part.Target) != part {
			continue
		}
		// No other mount lies over this mount, so the task can reach it.
		if err := samePrivate(root, part); err != nil {
			return &fail.Error{Op: part.Source, Err: err, From: part.Rule.Short(),
				Hint: compile.PrivateHint}
		}
	}
	return p.Comp.StillPrivate()
}

// samePrivate returns an error if a mount in the sandbox does not show the directory that its source names on the host,
// or if that directory is no longer private. root is a descriptor of the task's root directory.
func samePrivate(root int, part *picture.Part) error {
	how := walk.OpenDir
	if part.File { // one name of a root file system that is bound name by name
		how = walk.OpenAny
	}
	inside, err := walk.InRoot(root, part.Target, how)
	if err != nil {
		return err
	}
	defer unix.Close(inside)
	outside, err := walk.NoLinks(part.Source, how)
	if err != nil {
		return err
	}
	defer unix.Close(outside)
	var a, b unix.Stat_t
	if err := unix.Fstat(inside, &a); err != nil {
		return err
	}
	if err := unix.Fstat(outside, &b); err != nil {
		return err
	}
	// Device and inode number identify a directory, whatever its path.
	if a.Dev != b.Dev || a.Ino != b.Ino {
		return errors.New("somebody has replaced it meanwhile")
	}
	if part.File {
		dir, _ := paths.Split(part.Source)
		return host.OSFiles{}.Private(dir)
	}
	return host.PrivateAbove(outside)
}
