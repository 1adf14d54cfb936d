package compile

// This file plans namespaces: namespaces(7), clone(2), setns(2), time_namespaces(7). It uses the features that clone3
// has had since Linux 5.6.

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// NsMode returns the profile's choice for one kind of namespace. For the network it also reads the section network:
// network: host means the host's network namespace.
func (c *Compilation) NsMode(k *host.Kind) policy.Namespace {
	n := &c.Profile.Namespaces
	switch k.Flag {
	case unix.CLONE_NEWUSER:
		return n.User
	case unix.CLONE_NEWNS:
		return n.Mount
	case unix.CLONE_NEWPID:
		return n.PID
	case unix.CLONE_NEWIPC:
		return n.IPC
	case unix.CLONE_NEWUTS:
		return n.UTS
	case unix.CLONE_NEWCGROUP:
		return n.Cgroup
	}
	if c.Profile.Network.Mode == policy.NetworkHost {
		return policy.Namespace{Mode: policy.NSHost}
	}
	return n.Net
}

// Namespaces chooses which namespaces the child makes and which it joins. A joined namespace belongs to another user
// namespace than the sandbox's own, in which the child has no rights over the joined namespace. So the child joins it
// before it makes the sandbox's user namespace.
func (c *Compilation) Namespaces() error {
	for i := range host.CloneKinds() {
		k := &host.Kinds[i]
		switch ns := c.NsMode(k); ns.Mode {
		case policy.NSNew:
			c.made |= k.Flag
		case policy.NSJoin:
			c.addJoin(k.Name, "namespaces."+k.ProfileName(), ns.Path, k.Flag, k.Layer)
		}
	}
	if c.Joined(unix.CLONE_NEWNS) != nil {
		c.made |= unix.CLONE_NEWNS // a copy of the joined namespace, so that it gets none of the new mounts
	}
	if c.made&unix.CLONE_NEWNS == 0 {
		return &fail.Error{Op: "namespaces.mount", Err: errors.New("a root and mounts need a new mount namespace"),
			From: c.Where("namespaces.mount"), Hint: "leave out namespaces.mount, whose default is new"}
	}
	c.Plan.Clone = c.made &^ unix.CLONE_NEWNET // Network makes it later
	if c.Host.NoClone3 {
		c.way(policy.LayerSeccomp, "a filter around the launcher refuses clone3", "the child is made by clone, and resets its signal handlers itself")
	}
	if err := c.timeNamespace(); err != nil {
		return err
	}
	return c.enter()
}

// timeNamespace chooses the task's time namespace. The offsets of a new one can be written only while no process is in
// it. So the child makes it by unshare(2) (timeOffsets), and the process that the child forks is in it. If the time
// namespace exists already, the child enters it by setns(2).
func (c *Compilation) timeNamespace() error {
	t := &c.Profile.Namespaces.Time
	if !t.New && t.Path == "" {
		return nil
	}
	if !c.Host.Since(5, 6) {
		return c.lacking(policy.LayerTime, "time namespaces need Linux 5.6", "", c.Where("namespaces.time"), "upgrade the kernel")
	}
	c.NewTime = t.New
	if t.Path != "" {
		c.addJoin("time", "namespaces.time", t.Path, unix.CLONE_NEWTIME, policy.LayerTime)
	}
	return nil
}

// timeOffsets makes the time namespace and writes its offsets. It comes after the ids are mapped, because the file of
// the offsets belongs to the root of the user namespace.
func (c *Compilation) timeOffsets() {
	t := &c.Profile.Namespaces.Time
	if !c.NewTime {
		return
	}
	from := c.scalar("namespaces.time")
	c.do(from, plan.UnshareStep(unix.CLONE_NEWTIME))
	text := ""
	if t.Monotonic != 0 {
		text += "monotonic " + seconds(t.Monotonic) + "\n"
	}
	if t.Boottime != 0 {
		text += "boottime " + seconds(t.Boottime) + "\n"
	}
	if text != "" {
		c.writeFile(from, "self/timens_offsets", text)
	}
}

// seconds formats a duration as the kernel reads it: whole seconds, and then nanoseconds, which are never negative.
func seconds(d time.Duration) string {
	s, ns := int64(d/time.Second), int64(d%time.Second)
	if ns < 0 {
		s, ns = s-1, ns+int64(time.Second)
	}
	return strconv.FormatInt(s, 10) + " " + strconv.FormatInt(ns, 10)
}

// hostname sets the host name in the new UTS namespace.
func (c *Compilation) hostname() error {
	if c.made&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	c.do(c.scalar("hostname"), plan.Hostname(c.hostnameText()))
	return nil
}

// hostnameText returns the sandbox's host name: the profile's, or "cordon".
func (c *Compilation) hostnameText() string {
	if c.Profile.Hostname == "" {
		return "cordon"
	}
	return c.Profile.Hostname
}

// The next part enters existing namespaces: setns(2), nsenter(1), user_namespaces(7). A time namespace needs Linux 5.6.
//
// A process with several threads cannot enter a user or a time namespace, and a process that shares its root directory
// cannot enter a mount namespace. The child has one thread and shares no root. So the child itself enters namespaces of
// these kinds, makes the new namespaces, and forks, because setns(2) with a pid or time namespace moves only later
// children. If the sandbox joins no user, time or mount namespace, the launcher's thread enters the namespaces before
// it clones the child.

// A join is an existing namespace that the sandbox enters.
type join struct {
	Kind  string // the kind's name in /proc/PID/ns
	Key   string // the kind's key in the profile
	Path  string
	Flag  int
	layer policy.Layer
}

// addJoin records a namespace to enter. The launcher opens the namespace's file before the clone, and in the plan the
// descriptor has the name of the kind.
func (c *Compilation) addJoin(kind, key, path string, flag uint64, layer policy.Layer) {
	c.Joins = append(c.Joins, join{Kind: kind, Key: key, Path: path, Flag: int(flag), layer: layer})
	c.Plan.Files = append(c.Plan.Files, kind)
}

// Joined returns the namespace of a kind that the sandbox enters, or nil if it enters none.
func (c *Compilation) Joined(flag int) *join {
	for i := range c.Joins {
		if c.Joins[i].Flag == flag {
			return &c.Joins[i]
		}
	}
	return nil
}

// JoinedAs does what Joined does, for the name of a kind.
func (c *Compilation) JoinedAs(kind string) *join {
	for i := range c.Joins {
		if c.Joins[i].Kind == kind {
			return &c.Joins[i]
		}
	}
	return nil
}

// Staged reports whether the child, and not the launcher, enters the joined namespaces.
func (c *Compilation) Staged() bool {
	return c.Into != nil || c.Joined(unix.CLONE_NEWUSER) != nil || c.Joined(unix.CLONE_NEWNS) != nil || c.Joined(unix.CLONE_NEWTIME) != nil
}

// joinedWithUser reports whether the sandbox joins a namespace of a kind together with a user namespace. That user
// namespace may own the other one.
func (c *Compilation) joinedWithUser(flag int) bool {
	return c.Joined(flag) != nil && c.Joined(unix.CLONE_NEWUSER) != nil
}

// enter adds the steps that join the existing namespaces.
func (c *Compilation) enter() error {
	if len(c.Joins) == 0 {
		return nil
	}
	if user := c.Joined(unix.CLONE_NEWUSER); user == nil && !c.Host.Privileged {
		j := &c.Joins[0]
		return &fail.UnsupportedError{Layer: j.layer, Why: j.Key + ": joining " + j.Path + " needs CAP_SYS_ADMIN over it", From: c.Where(j.Key),
			Remedy: "also join the user namespace that owns it (namespaces: {user: /proc/PID/ns/user}), or run as root"}
	}
	if !c.Staged() {
		for i := range c.Joins {
			c.Plan.Join = append(c.Plan.Join, c.setns(&c.Joins[i]))
		}
		return nil
	}
	if err := c.lookThrough(); err != nil {
		return err
	}
	// The clone makes no namespaces. The child makes them after it has joined the others, so that they belong to the
	// joined user namespace.
	c.Plan.Clone = 0
	if c.Host.Privileged && c.Joined(unix.CLONE_NEWUSER) != nil && !c.groupsLocked() {
		c.do(c.scalar("namespaces.user"), plan.NoGroups()) // drop root's groups while the child may
	}
	c.enterInOrder()
	from := own("namespaces")
	if flags := c.made &^ unix.CLONE_NEWNET; flags != 0 { // Network makes the rest
		c.do(from, plan.UnshareStep(flags))
	}
	c.do(from, plan.RespawnStep(), Say(MsgBorn))
	return nil
}

// enterInOrder enters the joined namespaces. If only the user namespace gives the child the rights over the others, the
// child enters the user namespace first. If the caller has these rights already, the child enters it last, because
// inside it the child loses them.
func (c *Compilation) enterInOrder() {
	user := c.Joined(unix.CLONE_NEWUSER)
	first := user != nil && !c.Host.Privileged
	if first {
		c.do(c.scalar(user.Key), c.setns(user))
	}
	for i := range c.Joins {
		if j := &c.Joins[i]; j != user {
			c.do(c.scalar(j.Key), c.setns(j))
		}
	}
	if user != nil && !first {
		c.do(c.scalar(user.Key), c.setns(user))
	}
}

// setns returns the step that enters a namespace. The kernel checks that the file is of the kind that Flag names.
func (c *Compilation) setns(j *join) plan.Step { return plan.SetnsStep(plan.F(j.Kind), uint64(j.Flag)) }

// lookThrough makes the compilation see the files of a joined mount namespace. It keeps a descriptor of the caller's
// own /proc for the child, because the other tree may have no /proc, or the /proc of another pid namespace.
func (c *Compilation) lookThrough() error {
	j := c.Joined(unix.CLONE_NEWNS)
	if j == nil {
		return nil
	}
	dir, ok := strings.CutSuffix(j.Path, "/ns/mnt")
	if !ok || !paths.Below(j.Path, "/proc") {
		return &fail.UnsupportedError{Layer: j.layer, Why: j.Key + ": the tree of " + j.Path + " cannot be examined before the child joins it", From: c.Where(j.Key),
			Remedy: "name a process that is in it: /proc/PID/ns/mnt"}
	}
	// /proc/PID/root leads to that process's root directory in its mount namespace. The launcher reads there only to
	// take decisions; the plan's steps open each path again inside.
	inside := *c.Host
	inside.Files = c.Host.Files.At(dir + "/root")
	if _, err := inside.Files.Lstat("/"); err != nil {
		return &fail.Error{Op: j.Key + ": " + dir + "/root", Err: fail.Bare(err), From: c.Where(j.Key), Hint: "the process is gone, or belongs to somebody else"}
	}
	c.Outside = c.Host.Files
	c.Host, c.Tree.Files = &inside, inside.Files
	c.do(c.scalar(j.Key), plan.OpenStep(plan.CWD, "/proc", walk.OpenDir, 0).Into(plan.HostProc))
	return nil
}

// ownProc returns the directory and the name by which the child opens a file of the caller's /proc.
func (c *Compilation) ownProc(name string) (dir plan.Arg, path string) {
	if c.Joined(unix.CLONE_NEWNS) != nil {
		return plan.R(plan.HostProc), name
	}
	return plan.CWD, "/proc/" + name
}

// joinedIdentity chooses the ids in an existing user namespace. Nothing is mapped: the task gets an id that the
// namespace already maps. If root starts the task, the task gets no id that is root on the host, unless the profile
// explicitly allows that.
func (c *Compilation) joinedIdentity(j *join) error {
	u, id := &c.Profile.User, &c.IDs
	id.NewUser = true
	for _, x := range [...]struct {
		key, file string
		own       int
		wanted    policy.Opt[uint32]
		in, out   *int
	}{
		{"user.uid", "uid_map", c.Host.UID, u.UID, &id.InUID, &id.OutUID},
		{"user.gid", "gid_map", c.Host.GID, u.GID, &id.InGID, &id.OutGID},
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
			return &fail.Error{Op: j.Key + " " + j.Path, Err: noID(maps, x.key, x.own, x.wanted), From: c.Where(j.Key),
				Hint: "name " + x.key + ", a number inside that it maps" + phrase.Prefixed(": ", maps.String())}
		}
		if !c.Host.Privileged && maps != nil && *x.out != x.own {
			own, _ := maps.inside(x.own)
			return &fail.Error{Op: x.key, Err: errors.New("in a joined user namespace, an ordinary user's task keeps the user's id, because cordon could not verify another one"),
				From: c.Where(x.key), Hint: "keep, which is " + strconv.Itoa(own) + " in " + j.Path + "; or run as root"}
		}
		if *x.out == 0 && c.rootForbidden() {
			return c.rootInside(j)
		}
	}
	c.timeOffsets() // before the ids change, because /proc/self then belongs to root
	c.takeIDs(j)
	return nil
}

// rootForbidden reports whether the task may not have root's id on the host.
func (c *Compilation) rootForbidden() bool {
	return c.Host.HostRoot && c.Profile.User.Host != policy.HostCaller
}

// rootInside returns the error for a task that would be root on the host although the profile does not allow that.
func (c *Compilation) rootInside(j *join) error {
	return &fail.Error{Op: j.Key + " " + j.Path, Err: errors.New("the task would be root on the host"), From: c.Where(j.Key),
		Hint: "set user.uid and user.gid to ids that are not root on the host; or " + CallerHint}
}

// takeIDs changes the ids to those inside. The child keeps its capabilities until the mounts are made.
func (c *Compilation) takeIDs(j *join) {
	from := c.scalar("user")
	if !c.Host.Privileged {
		if s := plan.NoGroups(); c.mapped(j, "setgroups") == "" {
			c.do(from, s.OrElse(plan.EPERM)) // a user namespace may deny this to an ordinary user
		} else if strings.TrimSpace(c.mapped(j, "setgroups")) != "deny" {
			c.do(from, s)
		}
	}
	// secureFixup keeps the capabilities when the user id changes, because the mounts need them.
	c.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(c.IDs.InGID)), plan.SetUID(uint64(c.IDs.InUID)))
}

// mapped returns the text of the uid_map or gid_map that belongs to a joined user namespace, or "" if it cannot be
// read.
func (c *Compilation) mapped(j *join, name string) string {
	dir, ok := strings.CutSuffix(j.Path, "/ns/user")
	if !ok {
		return ""
	}
	text, err := c.launcherFiles().Read(dir+"/"+name, 64<<10)
	if err != nil {
		return ""
	}
	return string(text)
}

// launcherFiles returns the files as the launcher itself sees them.
func (c *Compilation) launcherFiles() host.Files {
	if c.Outside != nil {
		return c.Outside
	}
	return c.Host.Files
}

// idMaps are the lines of a uid_map or gid_map: first id inside, first id outside, count. nil means that they are not
// known.
type idMaps [][3]int

// mapsOf reads the uid_map or gid_map of a joined user namespace. It returns nil if the map cannot be read, or is not
// in the form of user_namespaces(7).
func (c *Compilation) mapsOf(j *join, file string) idMaps {
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

// outside returns the outer id to which an inner id is mapped.
func (maps idMaps) outside(in int) (out int, ok bool) {
	for _, m := range maps {
		if in >= m[0] && in-m[0] < m[2] && m[1] != unmappedID { // in-m[0], because m[0]+m[2] could overflow
			return m[1] + in - m[0], true
		}
	}
	return -1, false
}

// inside returns the inner id that is mapped to an outer id.
func (maps idMaps) inside(out int) (in int, ok bool) {
	for _, m := range maps {
		if out >= m[1] && out-m[1] < m[2] && m[1] != unmappedID {
			return m[0] + out - m[1], true
		}
	}
	return -1, false
}

// String lists the ids inside, for an error: "0, 1000 to 1999".
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

// noID returns the error for an id that the joined user namespace does not map.
func noID(maps idMaps, key string, own int, wanted policy.Opt[uint32]) error {
	switch {
	case wanted.Set:
		return errors.New(key + " " + strconv.Itoa(int(wanted.V)) + " is not mapped in it")
	case maps == nil:
		return errors.New("the path does not show which ids it maps")
	}
	return errors.New("the caller's id, " + strconv.Itoa(own) + ", is not mapped in it")
}
