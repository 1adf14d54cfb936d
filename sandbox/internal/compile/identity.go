package compile

// Ids: user_namespaces(7), newuidmap(1), subuid(5).

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
)

// identity is who the task is, inside and outside.
type identity struct {
	NewUser        bool // in another user namespace than the launcher: a new one, or one that is joined
	InUID, InGID   int  // inside the user namespace
	OutUID, OutGID int  // on the host; -1 is not known
	LauncherMaps   bool
	Own            bool // root started the task, and it has an id of its own outside
	Ranges         bool
	Idmapped       bool // binds get an idmapped mount: on disk the caller's ids, inside the task's
}

// Identity decides the ids and maps them. An ordinary user's child maps its one id itself; everything else takes
// rights over the parent namespace, so the launcher writes the maps while the child waits.
func (c *Compilation) Identity() error {
	u := &c.Profile.User
	id := &c.IDs
	*id = identity{InUID: c.Host.UID, InGID: c.Host.GID, OutUID: c.Host.UID, OutGID: c.Host.GID}
	if j := c.Joined(unix.CLONE_NEWUSER); j != nil {
		return c.joinedIdentity(j)
	}
	id.NewUser = c.made&unix.CLONE_NEWUSER != 0
	if u.UID.Set {
		id.InUID = int(u.UID.V)
	}
	if u.GID.Set {
		id.InGID = int(u.GID.V)
	}
	if !id.NewUser {
		return c.hostIdentity()
	}
	if err := c.ownHostID(); err != nil {
		return err
	}
	id.Ranges = u.Ranges
	id.LauncherMaps = c.Host.Privileged || id.Ranges || id.Own
	if id.LauncherMaps {
		from := c.scalar("user")
		c.do(from, plan.RecvByte(plan.F(FileSync)))
		c.timeOffsets() // before the ids change: behind that /proc/self belongs to root
		if !c.groupsLocked() {
			c.do(from, plan.NoGroups())
		}
		c.do(from, plan.SetGID(uint64(id.InGID)), plan.SetUID(uint64(id.InUID)))
		if id.Own && !id.Idmapped { // the change took that away, and a launcher without SYS_PTRACE could not read anything back
			c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 1))
		}
	} else {
		c.writeFile(own("user"), "self/setgroups", "deny")
		c.writeFile(c.scalar("user.uid"), "self/uid_map", IDMap(id.InUID, id.OutUID, 1))
		c.writeFile(c.scalar("user.gid"), "self/gid_map", IDMap(id.InGID, id.OutGID, 1))
		c.timeOffsets()
	}
	return nil
}

// groupsLocked reports whether the launcher runs in a user namespace that has no setgroups(2): user_namespaces(7).
func (c *Compilation) groupsLocked() bool {
	text, err := c.launcherFiles().Read("/proc/self/setgroups", 8)
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}

// hostIdentity is for a task that stays in the caller's user namespace.
func (c *Compilation) hostIdentity() error {
	u := &c.Profile.User
	id := &c.IDs
	if !c.Host.Privileged {
		return &fail.UnsupportedError{Layer: policy.LayerUser, Why: "namespaces.user: host: without a user namespace the other namespaces need CAP_SYS_ADMIN",
			From: c.Where("namespaces.user"), Remedy: "leave out namespaces.user: new is the default; or run as root"}
	}
	if u.Host != policy.HostCaller && (id.InUID == 0 || id.InGID == 0) {
		return &fail.Error{Op: "namespaces.user", Err: errors.New("host: the task would be root on the host, or in root's group"), From: c.Where("namespaces.user"),
			Hint: "name user.uid and user.gid that are not 0; or " + CallerHint}
	}
	if u.Ranges {
		return &fail.Error{Op: "user.ranges", Err: errors.New("id ranges need a user namespace"), From: c.Where("user.ranges")}
	}
	id.OutUID, id.OutGID = id.InUID, id.InGID
	c.timeOffsets()
	return nil
}

// leaveRoot gives up root's ids where there is no user namespace; the mounts needed them.
func (c *Compilation) leaveRoot() bool {
	id := &c.IDs
	if c.Into != nil || id.NewUser || id.InUID == c.Host.UID && id.InGID == c.Host.GID {
		return false
	}
	c.do(c.scalar("user.uid"), plan.PrctlStep(unix.PR_SET_KEEPCAPS, 1), plan.NoGroups(), plan.SetGID(uint64(id.InGID)), plan.SetUID(uint64(id.InUID)),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)))
	return true
}

func IDMap(inside, outside, count int) string {
	return strconv.Itoa(inside) + " " + strconv.Itoa(outside) + " " + strconv.Itoa(count)
}
