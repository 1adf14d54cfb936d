package compile

// Who the task is outside the sandbox: credentials(7), user_namespaces(7), fcntl(2) (open file description locks, Linux 3.15).
//
// A task that is uid 0 outside reads and writes what root owns, whatever it is inside. So a task that root starts gets an
// id of its own outside, or is not started, unless the profile says user: {host: caller} in as many words.

import (
	"io/fs"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
)

// The ids that tasks of root get outside. They lie above the subordinate ids of shadow's default (SUB_UID_MAX, 600100000)
// and within systemd's for containers (524288 to 1879048191).
const (
	FirstTaskID = 1_000_000_000
	LastTaskID  = 1_879_048_191
)

// ownHostID gives the task an id of its own outside, where it would be root there.
func (c *Compilation) ownHostID() error {
	if !c.rootForbidden() {
		return nil
	}
	if !c.Host.GivesIDs() {
		return &fail.UnsupportedError{Layer: policy.LayerUser, From: c.Where("user.host"),
			Why:    "the task would be root on the host: root without the capabilities SETUID and SETGID cannot give it an id of its own",
			Remedy: "give the launcher these two (and SYS_ADMIN for what the profile writes: docker run --cap-add); or, in as many words, " + c.OrRoot()}
	}
	id := FirstTaskID
	if c.Req.TaskID != 0 { // otherwise the plan is only printed
		id = c.Req.TaskID
	}
	c.IDs.OutUID, c.IDs.OutGID, c.IDs.Own, c.IDs.Idmapped = id, id, true, c.Host.Privileged
	if j := c.Joined(unix.CLONE_NEWNS); j != nil && c.IDs.Idmapped {
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: j.Key + ": a mount of another mount namespace cannot be idmapped", From: c.Where(j.Key),
			Remedy: "join the user namespace that it belongs to as well, or keep the caller's id with user: {host: caller} or --host-user caller"}
	}
	return nil
}

// writesAsRoot refuses a part that the task is to write, and could not: it has an id of its own outside, and only an
// idmapped mount, which takes CAP_SYS_ADMIN, shows it root's files as its own.
func (c *Compilation) writesAsRoot(path string, info fs.FileInfo, from string) error {
	if !c.IDs.Own || c.IDs.Idmapped || ownerOf(info) != 0 && info.Mode().Perm()&0o002 != 0 {
		return nil
	}
	return &fail.UnsupportedError{Layer: policy.LayerMount, Why: path + ": the task cannot write it: root without CAP_SYS_ADMIN gives the task an id of its own, and no idmapped mounts",
		From: from, Remedy: c.OrRoot() + "; or give the launcher CAP_SYS_ADMIN, or the directory to another user who runs cordon"}
}

const CallerHint = "say so in as many words with user: {host: caller} or --host-user caller"
