package compile

// This file decides ids and capabilities: user_namespaces(7), newuidmap(1), subuid(5).

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// identity holds the ids of the task, inside the sandbox and on the host.
type identity struct {
	NewUser        bool // the task is in another user namespace than the launcher: a new one or a joined one
	InUID, InGID   int  // the ids inside the user namespace
	OutUID, OutGID int  // the ids on the host; -1 if not known
	LauncherMaps   bool // the launcher writes the id maps, not the child
	Own            bool // root started the task, and the task has an id of its own on the host
	Ranges         bool // the sandbox maps the user's ranges of subordinate ids
	Idmapped       bool // binds are idmapped: files of the caller appear as the task's
}

// Identity chooses the task's ids and how they are mapped. The child of an ordinary user maps the user's only id
// itself. Any other map needs rights over the parent namespace, so the launcher writes it while the child waits.
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
	if err := c.nestIdentity(); err != nil {
		return err
	}
	if err := c.ownHostID(); err != nil {
		return err
	}
	id.Ranges = u.Ranges
	id.LauncherMaps = c.Host.Privileged || id.Ranges || id.Own
	if id.LauncherMaps {
		from := c.scalar("user")
		c.do(from, plan.RecvByte(plan.F(FileSync)))
		c.timeOffsets() // before the ids change, because /proc/self then belongs to root
		c.leaveGroups(from)
		c.do(from, plan.SetGID(uint64(id.InGID)), plan.SetUID(uint64(id.InUID)))
		c.staysReadable(from)
	} else {
		// The kernel refuses a gid_map from an ordinary user until setgroups(2) is denied: user_namespaces(7).
		c.writeFile(own("user"), "self/setgroups", "deny")
		c.writeFile(c.scalar("user.uid"), "self/uid_map", IDMap(id.InUID, id.OutUID, 1))
		c.writeFile(c.scalar("user.gid"), "self/gid_map", IDMap(id.InGID, id.OutGID, 1))
		c.timeOffsets()
	}
	return nil
}

// hostIdentity decides the ids of a task that stays in the caller's user namespace.
func (c *Compilation) hostIdentity() error {
	u := &c.Profile.User
	id := &c.IDs
	if !c.Host.Privileged {
		return &fail.UnsupportedError{Layer: policy.LayerUser, Why: "namespaces.user: host: without a user namespace the other namespaces need CAP_SYS_ADMIN",
			From: c.Where("namespaces.user"), Remedy: "leave out namespaces.user, whose default is new; or run as root"}
	}
	if u.Host != policy.HostCaller && (id.InUID == 0 || id.InGID == 0) {
		return &fail.Error{Op: "namespaces.user", Err: errors.New("host: the task would be root on the host, or in root's group"), From: c.Where("namespaces.user"),
			Hint: "set user.uid and user.gid to other ids than 0; or " + CallerHint}
	}
	if u.Ranges {
		return &fail.Error{Op: "user.ranges", Err: errors.New("id ranges need a user namespace"), From: c.Where("user.ranges")}
	}
	id.OutUID, id.OutGID = id.InUID, id.InGID
	c.timeOffsets()
	return nil
}

// IDMap returns a line of an id map: user_namespaces(7).
func IDMap(inside, outside, count int) string {
	return strconv.Itoa(inside) + " " + strconv.Itoa(outside) + " " + strconv.Itoa(count)
}

// This part is about the task's ids on the host: credentials(7), user_namespaces(7), fcntl(2) (open file description
// locks, Linux 3.15).
//
// A task with uid 0 on the host can read and write root's files, whatever id it has inside. So if root starts a task,
// the task gets another id on the host, or cordon refuses, unless the profile explicitly says user: {host: caller}.

// These constants are the range of host ids for tasks that root starts. The range lies above the subordinate ids of
// shadow's default (SUB_UID_MAX, 600100000) and within systemd's range for containers (524288 to 1879048191).
const (
	FirstTaskID = 1_000_000_000
	LastTaskID  = 1_879_048_191
)

// ownHostID gives the task an unprivileged id of the host if it would otherwise be root there.
func (c *Compilation) ownHostID() error {
	if !c.rootForbidden() {
		c.rootOfContainer()
		return nil
	}
	if !c.Host.GivesIDs() {
		return &fail.UnsupportedError{Layer: policy.LayerUser, From: c.Where("user.host"),
			Why:    "the task would be root on the host: without the capabilities SETUID and SETGID, root cannot give it an unprivileged id",
			Remedy: "give the launcher these two (and SYS_ADMIN for what the profile writes: docker run --cap-add); or, in as many words, " + c.OrRoot()}
	}
	id := FirstTaskID
	if c.Req.TaskID != 0 { // it is 0 if the plan is only printed
		id = c.Req.TaskID
	}
	c.IDs.OutUID, c.IDs.OutGID, c.IDs.Own, c.IDs.Idmapped = id, id, true, c.Host.Privileged
	if j := c.Joined(unix.CLONE_NEWNS); j != nil && c.IDs.Idmapped {
		return &fail.UnsupportedError{Layer: policy.LayerMount, Why: j.Key + ": a mount of another mount namespace cannot be idmapped", From: c.Where(j.Key),
			Remedy: "also join the user namespace that owns it, or keep your own id with user: {host: caller} or --host-user caller"}
	}
	return nil
}

// rootOfContainer notes in the report that the task has the id to which the files of a container belong. This is so if
// the caller is root of a user namespace that maps other ids too, as in a rootless container: user_namespaces(7).
func (c *Compilation) rootOfContainer() {
	if c.Host.UID != 0 || c.Host.HostRoot || c.Profile.User.Host == policy.HostCaller {
		return
	}
	text, err := c.launcherFiles().Read("/proc/self/uid_map", 4096)
	if f := strings.Fields(string(text)); err != nil || len(f) < 3 || len(f) == 3 && f[2] == "1" {
		return
	}
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerUser,
		Why:     "the task has the id of the container's root, which owns the container's files: only the host's root can give a task another id",
		Instead: "the task has no capability outside; start cordon as another user of the container, or say user: {host: caller}"})
}

// writesAsRoot refuses a writable mount of root's files if the task could not write them. The task has an unprivileged
// id on the host. Only an idmapped mount, which needs CAP_SYS_ADMIN, would show root's files as the task's own.
func (c *Compilation) writesAsRoot(path string, info fs.FileInfo, from string) error {
	if !c.IDs.Own || c.IDs.Idmapped || ownerOf(info) != 0 && info.Mode().Perm()&0o002 != 0 {
		return nil
	}
	if c.InPlace() {
		return &fail.UnsupportedError{Layer: policy.LayerMount, From: from, Remedy: c.OrRoot() + "; or start cordon as the directory's owner",
			Why: path + ": the task cannot write it: root gives the task an unprivileged id, and in place there are no idmapped mounts"}
	}
	return &fail.UnsupportedError{Layer: policy.LayerMount, Why: path + ": the task cannot write it: without CAP_SYS_ADMIN, root gives the task an unprivileged id but no idmapped mounts",
		From: from, Remedy: c.OrRoot() + "; or give the launcher CAP_SYS_ADMIN, or the directory to another user who runs cordon"}
}

const CallerHint = "if you want that, use user: {host: caller} or --host-user caller"

// Set-user-ID and set-group-ID bits and file capabilities (capabilities(7)) give rights to whoever runs the file.
// Inside the sandbox they have no effect, because every mount is nosuid. On the host they have an effect, if the file
// lies in a tree that the task may write. So a task may make such files only if nobody but the caller can reach them.

// bitCapabilities lists the capabilities that let a task set set-id bits or file capabilities, or keep them on a file
// that the task writes. File capabilities have an effect only in the user namespace of the task that set them, so
// SETFCAP matters only if the host's root starts the task. MKNOD matters only if the task is in the host's user
// namespace.
func (c *Compilation) bitCapabilities() []string {
	names := []string{policy.SetIDCapability}
	if c.Host.HostRoot {
		names = append(names, "SETFCAP")
	}
	if c.Profile.Namespaces.User.Mode == policy.NSHost {
		names = append(names, "MKNOD")
	}
	return names
}

// settleSetID removes the capabilities of bitCapabilities from the profile, unless every directory of the host that the
// task may write is private. policy.Profile.Filter derives the rules about set-id bits from the capabilities that
// remain. settleSetID comes first, because every later phase reads the changed profile.
func (c *Compilation) settleSetID() error {
	if c.Into != nil || c.AsItIs() || !slices.ContainsFunc(c.Profile.Capabilities.Keep, c.carriesBits) {
		return nil
	}
	for _, dir := range c.writtenTrees() {
		dir, err := c.hostSource(dir)
		if err != nil {
			return nil //nolint:nilerr // the phase that mounts the directory reports the error
		}
		if err := c.privateEverywhere(dir); err != nil {
			c.withholdBits(dir, err)
			return nil
		}
		c.Private = append(c.Private, dir)
	}
	return nil
}

// privateEverywhere checks that a directory is private under every path at which the host mounts the directory or a
// part of it, because another path may be open to other users.
func (c *Compilation) privateEverywhere(dir string) error {
	names, err := c.hostNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := c.Host.Files.Private(name)
		switch {
		case err == nil:
		case name == dir:
			return err
		default:
			return errors.New("it is mounted at " + name + " too: " + fail.Bare(err).Error())
		}
	}
	return c.privateInOverlays(names)
}

// privateInOverlays checks each overlay that has the directory, or a part of it, as a layer: the overlay must be
// private too. The mount table contains the names of the layers as somebody typed them. In another root directory, or
// through links, such a name may mean another directory. A name that does not begin with "/" may mean any directory, so
// privateInOverlays treats it as the name of this one.
func (c *Compilation) privateInOverlays(names []string) error {
	for i := range c.table.List {
		m := &c.table.List[i]
		shows := func(layer string) bool {
			return layer[0] != '/' || slices.ContainsFunc(names, func(name string) bool { return paths.Below(layer, name) || paths.Below(name, layer) })
		}
		if !c.table.Reachable(m) || !slices.ContainsFunc(m.Layers(), shows) {
			continue
		}
		if err := c.Host.Files.Private(m.Point); err != nil {
			return errors.New("the overlay at " + m.Point + " may show it: " + fail.Bare(err).Error())
		}
	}
	return nil
}

// StillPrivate checks once more, with the current mounts, that these directories are private.
func (c *Compilation) StillPrivate() error {
	for _, dir := range c.Private {
		c.table = nil
		if err := c.privateEverywhere(dir); err != nil {
			return &fail.Error{Op: dir, Err: err, Hint: PrivateHint}
		}
	}
	return nil
}

// PrivateHint is the remedy that cordon gives if it does not start a task that may make files with set-id bits.
const PrivateHint = "set-id bits are allowed there, so the directory must stay below a directory that only you can enter"

// carriesBits reports whether a capability is among bitCapabilities.
func (c *Compilation) carriesBits(k policy.Capability) bool {
	return slices.Contains(c.bitCapabilities(), k.Name)
}

// writtenTrees lists the directories of the host to which the task's writes go.
func (c *Compilation) writtenTrees() (dirs []string) {
	add := func(write bool, dir, layer string) {
		switch {
		case layer == "" && write:
			dirs = append(dirs, dir)
		case layer != "" && layer != "tmp":
			dirs = append(dirs, layer)
		}
	}
	r := &c.Profile.Root
	if add(r.Write, r.Dir, r.Overlay); r.Kind == policy.RootHost && r.Write {
		dirs = append(dirs, "/")
	}
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if m.Kind == policy.MountBind && c.isDevices(m) {
			continue // no file can be made there
		}
		if m.Kind == policy.MountBind || m.Kind == policy.MountOverlay {
			add(m.Write, m.Source, m.Upper)
		}
	}
	return append(dirs, c.outputPaths()...)
}

// withholdBits replaces the profile by a copy without the capabilities of bitCapabilities. The filter then passes each
// chmod with such bits to the launcher, which sets the bits only on directories: see modecall.go of internal/launch.
func (c *Compilation) withholdBits(dir string, why error) {
	p := *c.Profile
	var gone []string
	p.Capabilities.Keep = slices.DeleteFunc(slices.Clone(p.Capabilities.Keep), func(k policy.Capability) bool {
		if !c.carriesBits(k) {
			return false
		}
		gone = append(gone, k.Name)
		return true
	})
	p.Capabilities.Ambient = slices.DeleteFunc(slices.Clone(p.Capabilities.Ambient), c.carriesBits)
	if p.Source("on-denial") == (policy.Pos{}) {
		p.OnDenial = policy.DenialReport
	}
	c.Profile, c.Private = &p, nil
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerCaps,
		Why:     strings.Join(gone, ", ") + ": other users could run files that the task makes: " + dir + ": " + why.Error(),
		Instead: "files get no set-id bits; put it below a directory of yours with mode 0700"})
}

// The constants are secure bits, each with its lock: capabilities(7), securebits.
const (
	secureNoRoot   = 1 << 0
	secureLocks    = 1<<1 | 1<<3 | 1<<7 // the locks of the other three bits
	secureFixup    = 1 << 2             // a change of ids changes no capabilities
	secureKeepLock = 1 << 5             // prctl(PR_SET_KEEPCAPS) fails
	secureNoRise   = 1 << 6             // no ambient capability can be added any more
)

// secureBits returns the securebits that the task has for ever. If the task keeps capabilities as root inside, it has
// them as root has them on a host: because its uid is 0. So a program that becomes another user loses them. With
// secureFixup such a program would keep them all, SETUID too, and could become root again. A program that wants to keep
// some of its capabilities can ask for that before it changes its user (PR_SET_KEEPCAPS), as setpriv(1) does.
func (c *Compilation) secureBits() uint64 {
	bits := uint64(secureLocks | secureNoRise)
	if c.Keep == 0 || c.IDs.InUID != 0 {
		bits |= secureNoRoot | secureFixup
		if c.Keep>>unix.CAP_SETUID&1 == 0 {
			bits |= secureKeepLock
		}
	}
	return bits
}

// BoundingSet drops from the bounding set every capability that the task may never get again.
func (c *Compilation) BoundingSet() error {
	caps := &c.Profile.Capabilities
	for i := range caps.Keep {
		n, err := c.capNumber(&caps.Keep[i])
		if err != nil {
			return err
		}
		if c.Profile.Namespaces.User.Mode == policy.NSHost && c.Into == nil && c.Host.Permitted>>n&1 == 0 {
			return missingCap(&caps.Keep[i])
		}
		c.Keep |= 1 << n
	}
	for i := range caps.Ambient {
		n, err := c.capNumber(&caps.Ambient[i])
		if err != nil {
			return err
		}
		c.Ambient |= 1 << n
	}
	from := own("capabilities")
	if c.Unbound() {
		return nil
	}
	for n := 0; n <= c.Host.LastCap; n++ {
		if c.Keep>>n&1 == 0 {
			c.do(from, plan.PrctlStep(unix.PR_CAPBSET_DROP, uint64(n)))
		}
	}
	return nil
}

func (c *Compilation) capNumber(k *policy.Capability) (int, error) {
	n, ok := policy.CapabilityNumber(k.Name)
	if !ok || n > c.Host.LastCap {
		return 0, &fail.UnsupportedError{Layer: policy.LayerCaps, Why: "this kernel has no capability " + k.Name, From: k.Pos.Short(),
			Remedy: "leave it out; the last one here is number " + strconv.Itoa(c.Host.LastCap)}
	}
	return n, nil
}

func (c *Compilation) noNewPrivs() error {
	c.do(own("no_new_privs"), plan.PrctlStep(unix.PR_SET_NO_NEW_PRIVS, 1))
	return nil
}

// capabilities sets the task's five capability sets. The ids change first, while the child still has the right to
// change them.
func (c *Compilation) capabilities() error {
	from := c.scalar("capabilities.keep")
	all := uint64(1)<<(c.Host.LastCap+1) - 1
	if !c.IDs.NewUser {
		all = c.Host.Permitted
	}
	if c.leaveRoot() { // the change of ids has emptied the effective set
		c.do(from, plan.CapsetStep(all, all, 0))
	}
	// A capability can be made ambient only if it is permitted and inheritable: capabilities(7).
	if c.Ambient != 0 {
		c.do(from, plan.CapsetStep(all, all, c.Ambient))
		for n := range 64 {
			if c.Ambient>>n&1 == 1 {
				c.do(from, plan.PrctlStep(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(n)))
			}
		}
	} else {
		c.do(from, plan.PrctlStep(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL))
	}
	// The securebits come before the last capset, which takes CAP_SETPCAP away.
	if !c.Unbound() {
		c.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, c.secureBits()))
	}
	c.do(from, plan.CapsetStep(c.Keep, c.Keep, c.Ambient))
	return nil
}

// AmidExec reports whether a /proc/PID/status shows a task amid an execve, which has yet to lose capabilities by it.
func (c *Compilation) AmidExec(status []byte) bool {
	return c.Keep != c.HeldCaps() && proc.StatusField(status, "CapPrm") == proc.Hex16(c.Keep)
}

// HeldCaps returns the permitted capabilities after execve, by the rules of capabilities(7). If the uid inside is 0,
// the task keeps what the bounding set allows; with any other id it keeps the ambient capabilities.
func (c *Compilation) HeldCaps() uint64 {
	if c.IDs.InUID == 0 {
		return c.Keep
	}
	return c.Ambient
}

// CheckIDs compares the ids in a task's /proc/PID/status with the ids of the plan.
func (c *Compilation) CheckIDs(status []byte) error {
	groups := strings.Fields(proc.StatusField(status, "Groups"))
	if c.rootForbidden() && slices.Contains(groups, "0") || c.IDs.Own && len(groups) > 0 {
		return &fail.Error{Op: "read back the ids", Err: errors.New("the task would have root's groups on the host: " + strings.Join(groups, " ")), Hint: CallerHint}
	}
	for _, x := range [...]struct {
		key  string
		want int
	}{{"Uid", c.IDs.OutUID}, {"Gid", c.IDs.OutGID}} {
		for _, id := range strings.Fields(proc.StatusField(status, x.key)) {
			switch {
			case id == "0" && c.rootForbidden():
				return &fail.Error{Op: "read back the ids", Err: errors.New("the task would be root on the host: " + x.key + " is 0"), Hint: CallerHint}
			case x.want >= 0 && id != strconv.Itoa(x.want):
				return &fail.Error{Op: "read back the ids", Err: errors.New(x.key + " is " + id + ", not " + strconv.Itoa(x.want))}
			}
		}
	}
	return nil
}
