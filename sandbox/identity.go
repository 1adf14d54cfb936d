package sandbox

// Ids: user_namespaces(7), newuidmap(1), subuid(5).

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// identity is who the task is, inside and outside.
type identity struct {
	newUser        bool // in another user namespace than the launcher: a new one, or one that is joined
	inUID, inGID   int  // inside the user namespace
	outUID, outGID int  // on the host; -1 is not known
	launcherMaps   bool
	own            bool // root started the task, and it has an id of its own outside
	ranges         bool
	idmapped       bool // binds get an idmapped mount: on disk the caller's ids, inside the task's
}

// identity decides the ids and maps them. An ordinary user's child maps its one id itself; everything else takes
// rights over the parent namespace, so the launcher writes the maps while the child waits.
func (c *compilation) identity() error {
	u := &c.profile.User
	id := &c.ids
	*id = identity{inUID: c.host.UID, inGID: c.host.GID, outUID: c.host.UID, outGID: c.host.GID}
	if j := c.joined(unix.CLONE_NEWUSER); j != nil {
		return c.joinedIdentity(j)
	}
	id.newUser = c.made&unix.CLONE_NEWUSER != 0
	if u.UID.Set {
		id.inUID = int(u.UID.V)
	}
	if u.GID.Set {
		id.inGID = int(u.GID.V)
	}
	if !id.newUser {
		return c.hostIdentity()
	}
	if err := c.ownHostID(); err != nil {
		return err
	}
	id.ranges = u.Ranges
	id.launcherMaps = c.host.Privileged || id.ranges || id.own
	if id.launcherMaps {
		from := c.scalar("user")
		c.do(from, plan.RecvByte(plan.F(fileSync)))
		c.timeOffsets() // before the ids change: behind that /proc/self belongs to root
		if !c.groupsLocked() {
			c.do(from, plan.NoGroups())
		}
		c.do(from, plan.SetGID(uint64(id.inGID)), plan.SetUID(uint64(id.inUID)))
		if id.own && !id.idmapped { // the change took that away, and a launcher without SYS_PTRACE could not read anything back
			c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 1))
		}
	} else {
		c.writeFile(own("user"), "self/setgroups", "deny")
		c.writeFile(c.scalar("user.uid"), "self/uid_map", idMap(id.inUID, id.outUID, 1))
		c.writeFile(c.scalar("user.gid"), "self/gid_map", idMap(id.inGID, id.outGID, 1))
		c.timeOffsets()
	}
	return nil
}

// groupsLocked reports whether the launcher runs in a user namespace that has no setgroups(2): user_namespaces(7).
func (c *compilation) groupsLocked() bool {
	text, err := c.launcherFiles().Read("/proc/self/setgroups", 8)
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}

// hostIdentity is for a task that stays in the caller's user namespace.
func (c *compilation) hostIdentity() error {
	u := &c.profile.User
	id := &c.ids
	if !c.host.Privileged {
		return &UnsupportedError{Layer: policy.LayerUser, Why: "namespaces.user: host: without a user namespace the other namespaces need CAP_SYS_ADMIN",
			From: c.where("namespaces.user"), Remedy: "leave out namespaces.user: new is the default; or run as root"}
	}
	if u.Host != policy.HostCaller && (id.inUID == 0 || id.inGID == 0) {
		return &Error{Op: "namespaces.user", Err: errors.New("host: the task would be root on the host, or in root's group"), From: c.where("namespaces.user"),
			Hint: "name user.uid and user.gid that are not 0; or " + callerHint}
	}
	if u.Ranges {
		return &Error{Op: "user.ranges", Err: errors.New("id ranges need a user namespace"), From: c.where("user.ranges")}
	}
	id.outUID, id.outGID = id.inUID, id.inGID
	c.timeOffsets()
	return nil
}

// leaveRoot gives up root's ids where there is no user namespace; the mounts needed them.
func (c *compilation) leaveRoot() bool {
	id := &c.ids
	if c.into != nil || id.newUser || id.inUID == c.host.UID && id.inGID == c.host.GID {
		return false
	}
	c.do(c.scalar("user.uid"), plan.PrctlStep(unix.PR_SET_KEEPCAPS, 1), plan.NoGroups(), plan.SetGID(uint64(id.inGID)), plan.SetUID(uint64(id.inUID)),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)))
	return true
}

func idMap(inside, outside, count int) string {
	return strconv.Itoa(inside) + " " + strconv.Itoa(outside) + " " + strconv.Itoa(count)
}
