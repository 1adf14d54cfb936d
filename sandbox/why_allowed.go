package sandbox

// What Landlock and the permissions of a file allow.

import (
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
)

// landlockAllows asks the ruleset: a right that is handled is needed from some rule at or above the path.
func (q *Query) landlockAllows(r *Reason, inside string, a Access) bool {
	c := q.comp
	if !c.land.on {
		return r.pass("landlock: off")
	}
	isDir, exists := c.tree.stat(inside)
	for _, need := range neededRights(a, isDir, exists) {
		if grantedAt(c, inside)&need.right != 0 || c.land.handled&need.right == 0 {
			continue
		}
		key := "landlock." + need.list
		r.Try = []Change{{"landlock-" + need.list, inside}}
		r.Grants = grants(inside, isDir, a.Write)
		return r.deny(string(policy.LayerLandlock), unix.EACCES, "no rule of "+key+" reaches "+inside, landlockPos(c, need.list))
	}
	return r.pass("landlock: a rule allows it")
}

// grantedAt returns the rights that the rules give below a path.
func grantedAt(c *compilation, path string) (rights uint64) {
	for i := range c.land.rules {
		if paths.Below(path, c.land.rules[i].path) {
			rights |= c.land.rules[i].access
		}
	}
	return rights
}

// need is a right, and the list of the profile that gives it.
type need struct {
	right uint64
	list  string
}

func neededRights(a Access, isDir, exists bool) (all []need) {
	if a.Read && isDir {
		all = append(all, need{landReadDir, "read"})
	} else if a.Read {
		all = append(all, need{landReadFile, "read"})
	}
	if a.Write && !exists {
		all = append(all, need{landMakeReg, "write"})
	} else if a.Write {
		all = append(all, need{landWriteFile, "write"})
	}
	if a.Execute {
		all = append(all, need{landExec, "execute"})
		if !isDir && !a.Read { // execve(2) opens the file for reading
			all = append(all, need{landReadFile, "read"})
		}
	}
	return all
}

// landlockPos is where the list that decides begins.
func landlockPos(c *compilation, list string) policy.Pos {
	l := &c.profile.Landlock
	items := map[string]policy.Opt[[]policy.PathItem]{"read": l.Read, "write": l.Write, "execute": l.Execute}[list]
	if len(items.V) > 0 {
		return items.V[0].Pos
	}
	return c.profile.Source("landlock." + list)
}

// permitted asks the file's own permissions: path_resolution(7). Access control lists are seen only where the caller's
// own rights are the task's.
func (q *Query) permitted(r *Reason, inside string, a Access) bool {
	c := q.comp
	host := c.tree.hostPath(inside)
	if host == "" || c.tree.at(inside).what == "proc" {
		return r.pass("file: " + inside + " is the sandbox's own")
	}
	if at := closedAbove(c, inside); at != "" {
		info, _ := c.tree.lstat(at)
		r.NoFlag = "the directory's owner decides: chmod(1), setfacl(1)"
		return r.deny(layerFile, unix.EACCES, "the permissions of "+at+" ("+info.Mode().String()+ownerText(info)+") do not let the task through", policy.Pos{})
	}
	checked := host
	if _, exists := c.tree.stat(inside); !exists {
		checked, _ = paths.Split(host)
	}
	if deniedByMode(c, inside, checked, a) {
		info, _ := c.tree.lstat(checked)
		r.NoFlag = "the file's owner decides: chmod(1), setfacl(1); a profile gives nothing that the caller does not have"
		if c.ids.idmapped {
			r.NoFlag += ". Started by root, the task has an id of its own outside; --host-user caller keeps root's"
		}
		return r.deny(layerFile, unix.EACCES, "the permissions of "+checked+" ("+info.Mode().String()+ownerText(info)+") do not give it to the task", policy.Pos{})
	}
	return r.pass("file: the permissions of " + checked + " give it to the task")
}

// closedAbove is the nearest directory of the host above a path inside that does not let the task through; "" for none.
func closedAbove(c *compilation, inside string) string {
	for dir, _ := paths.Split(inside); dir != "/"; dir, _ = paths.Split(dir) {
		if at := c.tree.hostPath(dir); at != "" && unsearchable(c, dir, at) {
			return at
		}
	}
	return ""
}

// unsearchable reports whether a directory of the host does not let the task through; a capability may.
func unsearchable(c *compilation, inside, host string) bool {
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

// deniedByMode: the task has the caller's rights where it has the caller's id, or through an idmapped bind; else those of
// anybody.
func deniedByMode(c *compilation, inside, hostPath string, a Access) bool {
	part := c.tree.at(inside)
	if !c.ids.idmapped && c.ids.outUID == c.host.UID && c.host.UID != 0 {
		return c.host.Files.Access(hostPath, a.mode()) != nil
	}
	info, err := c.tree.lstat(hostPath)
	if err != nil {
		return false
	}
	st, ok := host.StatOf(info)
	if !ok {
		return false
	}
	shift, own := 0, strings.HasPrefix(part.what, "a bind") && !part.plain || part.target == "/" && c.profile.Root.Kind == policy.RootDir
	switch caller := uint32(c.host.UID); { //nolint:gosec // ids are not negative
	case c.ids.idmapped && own && st.Uid == caller, !c.ids.idmapped && int(st.Uid) == c.ids.outUID:
		shift = 6
		if hasInEffect(c, "DAC_OVERRIDE") && !a.Execute {
			return false
		}
	case c.ids.idmapped && own && int(st.Gid) == c.host.GID, !c.ids.idmapped && int(st.Gid) == c.ids.outGID:
		shift = 3
	}
	return uint32(info.Mode().Perm())>>shift&a.mode() != a.mode()
}

// hasInEffect reports whether the task has a capability in effect, over its own user namespace.
func hasInEffect(c *compilation, name string) bool {
	n, _ := policy.CapabilityNumber(name)
	return c.keep&(1<<n) != 0 && (c.ids.inUID == 0 || c.ambient&(1<<n) != 0)
}
