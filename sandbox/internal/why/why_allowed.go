package why

// This file asks Landlock, and checks a file's permissions.

import (
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/paths"
)

// landlockAllows asks the Landlock ruleset. For each needed right that the ruleset handles, a rule at the path or above
// it must grant the right.
func (q *Query) landlockAllows(r *Reason, inside string, a Access) bool {
	c := q.comp
	if !c.Land.On {
		return r.pass("landlock: off")
	}
	isDir, exists := c.Tree.Stat(inside)
	for _, need := range neededRights(a, isDir, exists) {
		if grantedAt(c, inside)&need.right != 0 || c.Land.Handled&need.right == 0 {
			continue
		}
		key := "landlock." + need.list
		r.Try = []Change{{"landlock-" + need.list, inside}}
		r.Grants = grants(inside, isDir, a.Write)
		return r.deny(string(policy.LayerLandlock), unix.EACCES, "no rule of "+key+" reaches "+inside, landlockPos(c, need.list))
	}
	return r.pass("landlock: a rule allows it")
}

// grantedAt returns the Landlock rights that the rules at a path or above grant.
func grantedAt(c *compile.Compilation, path string) (rights uint64) {
	for i := range c.Land.Rules {
		if paths.Below(path, c.Land.Rules[i].Path) {
			rights |= c.Land.Rules[i].Access
		}
	}
	return rights
}

// need is a Landlock right, and the list in the profile that would grant it.
type need struct {
	right uint64
	list  string
}

func neededRights(a Access, isDir, exists bool) (all []need) {
	if a.Read && isDir {
		all = append(all, need{compile.LandReadDir, "read"})
	} else if a.Read {
		all = append(all, need{compile.LandReadFile, "read"})
	}
	if a.Write && !exists {
		all = append(all, need{compile.LandMakeReg, "write"})
	} else if a.Write {
		all = append(all, need{compile.LandWriteFile, "write"})
	}
	if a.Execute {
		all = append(all, need{compile.LandExec, "execute"})
		if !isDir && !a.Read { // execve(2) opens the file for reading too
			all = append(all, need{compile.LandReadFile, "read"})
		}
	}
	return all
}

// landlockPos returns the position of the list that decides.
func landlockPos(c *compile.Compilation, list string) policy.Pos {
	l := &c.Profile.Landlock
	items := map[string]policy.Opt[[]policy.PathItem]{"read": l.Read, "write": l.Write, "execute": l.Execute}[list]
	if len(items.V) > 0 {
		return items.V[0].Pos
	}
	return c.Profile.Source("landlock." + list)
}

// permitted checks the file's own permissions: path_resolution(7). It considers access control lists only if the task
// has the caller's id.
func (q *Query) permitted(r *Reason, inside string, a Access) bool {
	c := q.comp
	host := c.Tree.HostPath(inside)
	if host == "" || c.Tree.At(inside).What == "proc" {
		return r.pass("file: " + inside + " is the sandbox's own")
	}
	if at := closedAbove(c, inside); at != "" {
		info, _ := c.Tree.Lstat(at)
		r.NoFlag = "the directory's owner decides: chmod(1), setfacl(1)"
		return r.deny(layerFile, unix.EACCES, "the permissions of "+at+" ("+info.Mode().String()+ownerText(info)+") do not let the task pass", policy.Pos{})
	}
	checked := host
	if _, exists := c.Tree.Stat(inside); !exists {
		checked, _ = paths.Split(host)
	}
	if deniedByMode(c, inside, checked, a) {
		info, _ := c.Tree.Lstat(checked)
		r.NoFlag = "the file's owner decides: chmod(1), setfacl(1); a profile cannot give a right that you lack"
		if c.IDs.Idmapped {
			r.NoFlag += ". Started by root, the task has an id of its own outside; --host-user caller keeps root's"
		}
		return r.deny(layerFile, unix.EACCES, "the permissions of "+checked+" ("+info.Mode().String()+ownerText(info)+") do not allow it to the task", policy.Pos{})
	}
	return r.pass("file: the permissions of " + checked + " give it to the task")
}

// closedAbove returns the nearest directory of the host above a path in the sandbox that the task may not search, or
// "" if there is none.
func closedAbove(c *compile.Compilation, inside string) string {
	for dir, _ := paths.Split(inside); dir != "/"; dir, _ = paths.Split(dir) {
		if at := c.Tree.HostPath(dir); at != "" && unsearchable(c, dir, at) {
			return at
		}
	}
	return ""
}

// unsearchable reports whether the task may not search a directory of the host, not even with its capabilities.
func unsearchable(c *compile.Compilation, inside, host string) bool {
	return deniedByMode(c, inside, host, Access{Execute: true}) && !hasInEffect(c, "DAC_READ_SEARCH") && !hasInEffect(c, "DAC_OVERRIDE")
}

func (a Access) mode() (bits uint32) {
	if a.Read {
		bits |= unix.R_OK
	}
	if a.Write {
		bits |= unix.W_OK
	}
	if a.Execute {
		bits |= unix.X_OK
	}
	return bits
}

// deniedByMode reports whether the file's mode denies the access. The task has the rights of the caller if it has the
// caller's id or the bind is idmapped; otherwise it has the rights of other users.
func deniedByMode(c *compile.Compilation, inside, hostPath string, a Access) bool {
	part := c.Tree.At(inside)
	if !c.IDs.Idmapped && c.IDs.OutUID == c.Host.UID && c.Host.UID != 0 {
		return c.Host.Files.Access(hostPath, a.mode()) != nil
	}
	info, err := c.Tree.Lstat(hostPath)
	if err != nil {
		return false
	}
	st, ok := host.StatOf(info)
	if !ok {
		return false
	}
	shift, own := 0, strings.HasPrefix(part.What, "a bind") && !part.Plain || part.What == "the root directory"
	if part.What == "a device" && c.Host.Since(6, 15) { // the launcher makes a device node that the task owns
		own = true
	}
	switch caller := uint32(c.Host.UID); { //nolint:gosec // ids are not negative
	case c.IDs.Idmapped && own && st.Uid == caller, !c.IDs.Idmapped && int(st.Uid) == c.IDs.OutUID:
		shift = 6
		if hasInEffect(c, "DAC_OVERRIDE") && !a.Execute {
			return false
		}
	case c.IDs.Idmapped && own && int(st.Gid) == c.Host.GID, !c.IDs.Idmapped && int(st.Gid) == c.IDs.OutGID:
		shift = 3
	}
	return uint32(info.Mode().Perm())>>shift&a.mode() != a.mode()
}

// hasInEffect reports whether the task has a capability in its own user namespace.
func hasInEffect(c *compile.Compilation, name string) bool {
	n, _ := policy.CapabilityNumber(name)
	return c.Keep&(1<<n) != 0 && (c.IDs.InUID == 0 || c.Ambient&(1<<n) != 0)
}
