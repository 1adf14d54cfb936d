package sandbox

// Namespaces that exist already: setns(2), nsenter(1), user_namespaces(7). Minimum kernel 5.6 for a time namespace.
//
// A process with threads cannot enter a user or a time namespace, and one that shares its root directory no mount
// namespace. The child has neither, so it enters them itself, makes what is new, and is born again inside: a pid or time
// namespace is only that of one's children. The other kinds are entered by the launcher's thread where they come alone,
// before it clones.

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// join is a namespace that exists already.
type join struct {
	kind  string // as in /proc/PID/ns
	key   string // in the profile
	path  string
	flag  int
	layer policy.Layer
}

func (c *compilation) addJoin(kind, key, path string, flag uint64, layer policy.Layer) {
	c.joins = append(c.joins, join{kind: kind, key: key, path: path, flag: int(flag), layer: layer})
	c.plan.Files = append(c.plan.Files, kind)
}

// joined is the namespace of a kind that is to be entered; nil for none.
func (c *compilation) joined(flag int) *join {
	for i := range c.joins {
		if c.joins[i].flag == flag {
			return &c.joins[i]
		}
	}
	return nil
}

// joinedAs is joined by the kind's name.
func (c *compilation) joinedAs(kind string) *join {
	for i := range c.joins {
		if c.joins[i].kind == kind {
			return &c.joins[i]
		}
	}
	return nil
}

// staged reports whether the child enters namespaces itself.
func (c *compilation) staged() bool {
	return c.into != nil || c.joined(unix.CLONE_NEWUSER) != nil || c.joined(unix.CLONE_NEWNS) != nil || c.joined(unix.CLONE_NEWTIME) != nil
}

// joinedWithUser reports whether a namespace of that kind is joined and a user namespace with it, which then may have the
// rights over it.
func (c *compilation) joinedWithUser(flag int) bool {
	return c.joined(flag) != nil && c.joined(unix.CLONE_NEWUSER) != nil
}

// enter plans how namespaces are joined.
func (c *compilation) enter() error {
	if len(c.joins) == 0 {
		return nil
	}
	if user := c.joined(unix.CLONE_NEWUSER); user == nil && !c.host.Privileged {
		j := &c.joins[0]
		return &UnsupportedError{Layer: j.layer, Why: j.key + ": joining " + j.path + " needs CAP_SYS_ADMIN over it", From: c.where(j.key),
			Remedy: "join the user namespace that it belongs to as well (namespaces: {user: /proc/PID/ns/user}), or run as root"}
	}
	if !c.staged() {
		for i := range c.joins {
			c.plan.Join = append(c.plan.Join, c.setns(&c.joins[i]))
		}
		return nil
	}
	if err := c.lookThrough(); err != nil {
		return err
	}
	c.plan.Clone = 0
	if c.host.Privileged && c.joined(unix.CLONE_NEWUSER) != nil && !c.groupsLocked() {
		c.do(c.scalar("namespaces.user"), plan.NoGroups()) // root's groups, while there is the right to it
	}
	c.enterInOrder()
	from := own("namespaces")
	if flags := c.made &^ unix.CLONE_NEWNET; flags != 0 { // see network
		c.do(from, plan.UnshareStep(flags))
	}
	c.do(from, plan.RespawnStep(), say(msgBorn))
	return nil
}

// enterInOrder enters the user namespace first where it gives the rights over the others, and last where the caller has
// them: inside it has none over what does not belong to it.
func (c *compilation) enterInOrder() {
	user := c.joined(unix.CLONE_NEWUSER)
	first := user != nil && !c.host.Privileged
	if first {
		c.do(c.scalar(user.key), c.setns(user))
	}
	for i := range c.joins {
		if j := &c.joins[i]; j != user {
			c.do(c.scalar(j.key), c.setns(j))
		}
	}
	if user != nil && !first {
		c.do(c.scalar(user.key), c.setns(user))
	}
}

func (c *compilation) setns(j *join) plan.Step { return plan.SetnsStep(plan.F(j.kind), uint64(j.flag)) }

// lookThrough makes the compilation see the tree of a mount namespace that is joined, and keeps the caller's own /proc
// for the child: the other tree may have none, or one of another pid namespace.
func (c *compilation) lookThrough() error {
	j := c.joined(unix.CLONE_NEWNS)
	if j == nil {
		return nil
	}
	dir, ok := strings.CutSuffix(j.path, "/ns/mnt")
	if !ok || !paths.Below(j.path, "/proc") {
		return &UnsupportedError{Layer: j.layer, Why: j.key + ": the tree of " + j.path + " cannot be looked at before it is entered", From: c.where(j.key),
			Remedy: "name a process that is in it: /proc/PID/ns/mnt"}
	}
	inside := *c.host
	inside.Files = c.host.Files.At(dir + "/root")
	if _, err := inside.Files.Lstat("/"); err != nil {
		return &Error{Op: j.key + ": " + dir + "/root", Err: fail.Bare(err), From: c.where(j.key), Hint: "the process is gone, or belongs to somebody else"}
	}
	c.outside = c.host.Files
	c.host, c.tree.files = &inside, inside.Files
	c.do(c.scalar(j.key), plan.OpenStep(plan.CWD, "/proc", walk.OpenDir, 0).Into(plan.HostProc))
	return nil
}

// ownProc is how the child reaches a file of the caller's /proc.
func (c *compilation) ownProc(name string) (dir plan.Arg, path string) {
	if c.joined(unix.CLONE_NEWNS) != nil {
		return plan.R(plan.HostProc), name
	}
	return plan.CWD, "/proc/" + name
}

// joinedIdentity is for a user namespace that exists: nothing is mapped, the task takes an id that the namespace has.
// Unless the profile says so in as many words, root never gives it an id that is root on the host.
func (c *compilation) joinedIdentity(j *join) error {
	u, id := &c.profile.User, &c.ids
	id.newUser = true
	for _, x := range [...]struct {
		key, file string
		own       int
		wanted    policy.Opt[uint32]
		in, out   *int
	}{
		{"user.uid", "uid_map", c.host.UID, u.UID, &id.inUID, &id.outUID},
		{"user.gid", "gid_map", c.host.GID, u.GID, &id.inGID, &id.outGID},
	} {
		maps := c.mapsOf(j, x.file)
		var ok bool
		if x.wanted.Set {
			*x.in = int(x.wanted.V)
			*x.out, ok = maps.outside(*x.in)
			ok = ok || maps == nil
		} else {
			*x.in, ok = maps.inside(x.own)
			*x.out = x.own
		}
		if !ok {
			return &Error{Op: j.key + " " + j.path, Err: noID(maps, x.key, x.own, x.wanted), From: c.where(j.key),
				Hint: "name " + x.key + ", a number inside that it maps" + fail.Prefixed(": ", maps.String())}
		}
		if !c.host.Privileged && maps != nil && *x.out != x.own {
			own, _ := maps.inside(x.own)
			return &Error{Op: x.key, Err: errors.New("an ordinary user's task keeps the caller's id in a user namespace that it joins: as another, it could not be read back"),
				From: c.where(x.key), Hint: "keep, which is " + strconv.Itoa(own) + " in " + j.path + "; or run as root"}
		}
		if *x.out == 0 && c.rootForbidden() {
			return c.rootInside(j)
		}
	}
	c.timeOffsets() // before the ids change: behind that /proc/self belongs to root
	c.takeIDs(j)
	return nil
}

// rootForbidden reports whether the task may have no id that is root on the host.
func (c *compilation) rootForbidden() bool {
	return c.host.HostRoot && c.profile.User.Host != policy.HostCaller
}

func (c *compilation) rootInside(j *join) error {
	return &Error{Op: j.key + " " + j.path, Err: errors.New("the task would be root on the host"), From: c.where(j.key),
		Hint: "name user.uid and user.gid, ids inside that are not root outside; or " + callerHint}
}

// takeIDs changes to the ids inside. The capabilities stay until the mounts are made.
func (c *compilation) takeIDs(j *join) {
	from := c.scalar("user")
	if !c.host.Privileged {
		if s := plan.NoGroups(); c.mapped(j, "setgroups") == "" {
			c.do(from, s.OrElse(plan.EPERM)) // an ordinary user may not, where the namespace does not say that it may
		} else if strings.TrimSpace(c.mapped(j, "setgroups")) != "deny" {
			c.do(from, s)
		}
	}
	c.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(c.ids.inGID)), plan.SetUID(uint64(c.ids.inUID)))
}

// mapped is the text of a file of /proc that stands beside the path of a user namespace; "" where there is none.
func (c *compilation) mapped(j *join, name string) string {
	dir, ok := strings.CutSuffix(j.path, "/ns/user")
	if !ok {
		return ""
	}
	text, err := c.launcherFiles().Read(dir+"/"+name, 64<<10)
	if err != nil {
		return ""
	}
	return string(text)
}

// launcherFiles is the tree that the launcher sees itself.
func (c *compilation) launcherFiles() host.Files {
	if c.outside != nil {
		return c.outside
	}
	return c.host.Files
}

// idMaps are the lines of a uid_map or gid_map: first inside, first outside, count. nil is not known.
type idMaps [][3]int

func (c *compilation) mapsOf(j *join, file string) idMaps {
	var maps idMaps
	for line := range strings.Lines(c.mapped(j, file)) {
		f := strings.Fields(line)
		var m [3]int
		if len(f) != len(m) {
			return nil
		}
		for i := range m {
			v, err := strconv.Atoi(f[i])
			if err != nil {
				return nil
			}
			m[i] = v
		}
		maps = append(maps, m)
	}
	return maps
}

// unmappedID is what the kernel writes for an id that the reader's user namespace does not have.
const unmappedID = 1<<32 - 1

func (maps idMaps) outside(in int) (out int, ok bool) {
	for _, m := range maps {
		if in >= m[0] && in-m[0] < m[2] && m[1] != unmappedID {
			return m[1] + in - m[0], true
		}
	}
	return -1, false
}

func (maps idMaps) inside(out int) (in int, ok bool) {
	for _, m := range maps {
		if out >= m[1] && out-m[1] < m[2] && m[1] != unmappedID {
			return m[0] + out - m[1], true
		}
	}
	return -1, false
}

func (maps idMaps) String() string {
	var list []string
	for _, m := range maps {
		text := strconv.Itoa(m[0])
		if m[2] > 1 {
			text += " to " + strconv.Itoa(m[0]+m[2]-1)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

func noID(maps idMaps, key string, own int, wanted policy.Opt[uint32]) error {
	switch {
	case wanted.Set:
		return errors.New(key + " " + strconv.Itoa(int(wanted.V)) + " is not mapped in it")
	case maps == nil:
		return errors.New("which ids it maps cannot be told from the path")
	}
	return errors.New("the caller's id, " + strconv.Itoa(own) + ", is not mapped in it")
}
