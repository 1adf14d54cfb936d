package compile

// This file plans Landlock: landlock(7). The ABIs and the kernels that brought them: ABI 1 Linux 5.13, 2 5.19 (refer),
// 3 6.2 (truncate), 4 6.7 (TCP), 5 6.10 (ioctl on devices), 6 6.12 (scopes), 7 6.15 (log flags), 9 7.1 (named sockets).

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// landlock holds the rights that the Landlock ruleset restricts (Handled), and the rules that grant them.
type landlock struct {
	On      bool
	Handled uint64
	Scoped  uint64
	Rules   []landRule
	ruleset plan.Arg
}

// A landRule grants rights on a file of the sandbox, or on everything below a directory.
type landRule struct {
	Path   string
	Access uint64
	file   bool
	from   plan.From
	fd     plan.Reg // holds a descriptor of Path; 0 if none does
}

// Each constant is a group of Landlock rights. downgrade removes the rights that an ABI does not know.
const (
	LandReadFile, LandReadDir  = uint64(ll.AccessFSReadFile), uint64(ll.AccessFSReadDir)
	LandWriteFile, LandMakeReg = uint64(ll.AccessFSWriteFile), uint64(ll.AccessFSMakeReg)

	landRead  = LandReadFile | LandReadDir
	LandExec  = uint64(ll.AccessFSExecute)
	landFile  = uint64(ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev)
	landWrite = landFile | uint64(ll.AccessFSRemoveDir|ll.AccessFSRemoveFile|ll.AccessFSMakeChar|ll.AccessFSMakeDir|ll.AccessFSMakeReg|
		ll.AccessFSMakeSock|ll.AccessFSMakeFifo|ll.AccessFSMakeBlock|ll.AccessFSMakeSym|ll.AccessFSRefer)
	landUnix   = uint64(ll.AccessFSResolveUnix)                                       // connect to another domain's named socket
	landOfFile = landFile | landUnix | uint64(ll.AccessFSReadFile|ll.AccessFSExecute) // what a rule about a file may grant

	ScopeAbstract = 1 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	ScopeSignal   = 2 // LANDLOCK_SCOPE_SIGNAL
)

// rightsSince lists the rights that a Landlock ABI later than 1 has added.
var rightsSince = [...]struct {
	abi    int
	rights uint64
}{
	{2, uint64(ll.AccessFSRefer)}, {3, uint64(ll.AccessFSTruncate)}, {5, uint64(ll.AccessFSIoctlDev)},
	{resolveUnixABI, landUnix},
}

// resolveUnixABI is the first Landlock ABI that can restrict connections to named sockets.
const resolveUnixABI = 9

// downgrade removes the rights that an ABI does not know. landlock_create_ruleset(2) fails with EINVAL if a program
// asks it to handle a right that the kernel does not know.
func downgrade(rights uint64, abi int) uint64 {
	for _, r := range rightsSince {
		if abi < r.abi {
			rights &^= r.rights
		}
	}
	return rights
}

// LandlockRules derives Landlock rules from the mounts, and makes the ruleset.
func (c *Compilation) LandlockRules() error {
	if c.Profile.Landlock.Off {
		return nil
	}
	c.Land.Scoped = c.wantedScopes()
	if c.Land.On = c.Host.LandlockABI > 0; !c.Land.On {
		return c.lackLandlock()
	}
	if c.Profile.Nest {
		if err := c.lackLandlock(); err != nil {
			return err
		}
		return c.landlockForNest(c.Where("landlock"))
	}
	// If the kernel does not know landUnix, CoverSockets mounts over the host's sockets instead.
	c.Land.Handled = downgrade(landRead|LandExec|landWrite|landUnix, c.Host.LandlockABI)
	c.deriveRules()
	// The rules come first: they say which writable mounts an older ABI leaves open to truncate(2).
	if err := c.lackLandlock(); err != nil {
		return err
	}
	c.createRuleset()
	// The rules are added after the root is entered, by paths inside. A rule is about an inode: by a path of the host
	// it could be about an inode that a mount of the sandbox covers, and that the task does not see.
	for i := range c.Land.Rules {
		c.allowBeneath(&c.Land.Rules[i])
	}
	// Standard input and the output files may lie on mounts outside of the sandbox's tree, so they need rules of their
	// own.
	c.allowStdin()
	c.allowOutput()
	// The ruleset is passed to the launcher once it has all rules.
	c.keepRuleset()
	return nil
}

// signalsInit reports whether the task tries to signal init to prove that the signal scope is in force. init is outside
// of the task's domain and has the task's id, so without the scope the signal would arrive.
func (c *Compilation) signalsInit() bool {
	return c.Land.Scoped&ScopeSignal != 0 && c.OwnsPID() && !c.First()
}

// LandlockTried says what has shown that Landlock is in force, and how it has been tried: see landlockEnforce.
func (c *Compilation) LandlockTried() (found, by string) {
	switch {
	case !c.Profile.Nest:
		return "opening what no rule allows: EACCES", "tried before exec"
	case c.signalsInit():
		return "the scopes; signalling pid 1, which is outside of the domain: EPERM", "tried before exec"
	}
	return "the scopes", "landlock_restrict_self(2)"
}

// createRuleset adds the step that makes the ruleset.
func (c *Compilation) createRuleset() {
	c.do(c.scalar("landlock"), plan.CreateRuleset(c.Land.Handled, 0, c.Land.Scoped, c.rulesetSize()).Into(plan.Ruleset))
	c.Land.ruleset = plan.R(plan.Ruleset)
}

// rulesetSize returns the length of the structure that describes a ruleset. If the structure is longer than the kernel
// knows, and the rest is not zero, the kernel refuses it with E2BIG. So the length depends on the ABI: for an old
// kernel there is no field that only a newer kernel knows. The second field came with ABI 4, the third with ABI 6.
func (c *Compilation) rulesetSize() uint64 {
	switch {
	case c.Host.LandlockABI >= scopeABI:
		return 24
	case c.Host.LandlockABI >= 4:
		return 16
	}
	return 8
}

// wantedScopes returns the scopes that the profile asks for: both if it has no list, and none if its list is empty.
func (c *Compilation) wantedScopes() (scopes uint64) {
	s := c.Profile.Landlock.Scope
	if !s.Set {
		return ScopeAbstract | ScopeSignal
	}
	for _, name := range s.V {
		if name == "signal" {
			scopes |= ScopeSignal
		} else {
			scopes |= ScopeAbstract
		}
	}
	return scopes
}

// scopesInPlace chooses the scopes before the rules are known, because in place no right over files may be missing.
func (c *Compilation) scopesInPlace() error {
	c.Land.On, c.Land.Scoped = true, c.wantedScopes()
	return c.lackLandlock()
}

// ownPID reports whether the task sees only processes of the sandbox. Then kill(2) reaches no process outside
// (pid_namespaces(7)).
func (c *Compilation) ownPID() bool { return c.made&unix.CLONE_NEWPID != 0 }

// deriveRules grants what the mounts allow: reading and executing everywhere, and writing on writable mounts. If the
// profile has a list of its own for one of these rights, the list replaces the derived rules for that right, but cannot
// grant what the mounts forbid.
func (c *Compilation) deriveRules() {
	l := &c.Profile.Landlock
	derived := own("landlock")
	read, exec := landRead, LandExec
	if l.Read.Set {
		c.pathRules("landlock.read", l.Read.V, landRead)
		read = 0
	}
	if l.Execute.Set {
		c.pathRules("landlock.execute", l.Execute.V, LandExec)
		exec = 0
	}
	// One rule grants reading in the whole tree, because mounts already hide what the task must not read. Landlock adds
	// that nothing outside of the tree can be opened, in whatever way the task reaches it.
	if read|exec != 0 {
		c.Land.Rules = append(c.Land.Rules, landRule{Path: "/", Access: read | exec, from: derived})
	}
	if l.Write.Set {
		c.pathRules("landlock.write", l.Write.V, landWrite)
	}
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		switch {
		case c.Tree.At(p.Target) != p || p.Opaque || p.Guard == picture.GuardPin:
			continue // a later mount hides it, or the rule for the directory above grants the same
		// Every program writes files of /proc (comm, oom_score_adj). File modes and read-only mounts restrict that. No
		// file can be created in /proc, so this rule grants only the rights for existing files.
		case p.What == "proc":
			c.Land.Rules = append(c.Land.Rules, landRule{Path: p.Target, Access: landFile, from: derived})
		case p.What == aDevice && !p.File:
			if p.Write {
				c.Land.Rules = append(c.Land.Rules, landRule{Path: p.Target, Access: landFile, from: derived})
			}
		// If the profile has a list for writing, the devices and terminals of the sandbox's /dev stay writable all the
		// same.
		case p.Write && (!l.Write.Set || p.What == aDevice || p.What == "devpts"):
			c.Land.Rules = append(c.Land.Rules, landRule{Path: p.Target, Access: landWrite, file: p.File, from: derived, fd: p.FD})
		}
	}
	if c.LandlockResolves() {
		c.landSockets(derived)
	}
}

// pathRules adds a rule for each path of a list in the profile. It reports a path that leads to nothing, and goes on,
// because without the rule the task may do less, and never more.
func (c *Compilation) pathRules(section string, items []policy.PathItem, access uint64) {
	for i := range items {
		path, err := c.expandTarget(items[i].Path)
		if err == nil {
			path, err = c.Tree.Resolve(path)
		}
		if err != nil { // "~" without a home, or a loop of links: no rule
			c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerLandlock, Why: section + " " + items[i].Path + ": " + err.Error()})
			continue
		}
		isDir, exists := c.Tree.Stat(path)
		// A rule is attached to an inode. So a path that does not exist gets no rule, even if it is created later.
		if !exists {
			c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerLandlock, Why: section + " " + items[i].Path + ": it does not exist inside, so the rule allows nothing"})
			continue
		}
		c.Land.Rules = append(c.Land.Rules, landRule{Path: path, Access: access, file: !isDir, from: at(section, i, items[i].Pos)})
	}
}

// allowBeneath opens the path of a rule below the new root, and adds the rule to the ruleset.
func (c *Compilation) allowBeneath(r *landRule) {
	// The kernel refuses a rule (EINVAL) with a right that the ruleset does not handle, or with a right for directories
	// if the path is a file.
	access := r.Access & c.Land.Handled
	if r.file {
		access &= landOfFile
	}
	// The kernel also refuses a rule that grants nothing (ENOMSG): landlock_add_rule(2).
	if access == 0 {
		return
	}
	// The descriptor is of the mount that the path leads to: deriveRules has checked that no other mount lies on top of
	// that mount, and none is added later.
	if r.fd != plan.NoReg {
		c.do(r.from, plan.AllowBeneath(plan.R(plan.Ruleset), r.fd, access))
		return
	}
	c.openInside(r.from, r.Path, walk.OpenAny, plan.Target)
	c.do(r.from, plan.AllowBeneath(plan.R(plan.Ruleset), plan.Target, access))
	c.leave(r.from, plan.R(plan.Target), 0)
}

// landlockEnforce restricts the task, and then proves it by trying to open what no rule allows: the scratch file
// system, which belongs to the task and is no longer below any root. If Landlock is in force, the open fails, and the
// read that follows has no descriptor. If Landlock is not in force, the read fails with EISDIR, and the launch fails
// too. Without CAP_SYS_ADMIN, landlock_restrict_self(2) fails with EPERM unless the task has no_new_privs: see order.
func (c *Compilation) landlockEnforce() error {
	if !c.Land.On {
		return nil
	}
	if c.Profile.Nest { // see landlockForNest
		c.do(c.scalar("landlock"), plan.RestrictSelf(c.Land.ruleset))
		if c.signalsInit() {
			c.do(c.scalar("landlock"), plan.MaySignal(1).OrElse(plan.EPERM))
		}
		return nil
	}
	forbidden := plan.OpenStep(plan.R(plan.Scratch), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if c.InPlace() {
		forbidden = c.tryForbidden()
	}
	c.do(c.scalar("landlock"),
		plan.RestrictSelf(c.Land.ruleset),
		forbidden.Into(plan.File).OrElse(plan.EACCES),
		plan.ReadStep(plan.R(plan.File), 1).OrElse(plan.EBADF))
	return nil
}

// This part says what the Landlock of an older kernel lacks, and which part of this plan restricts the same instead:
// landlock(7), "VERSIONS". The text is computed from the plan, because on one and the same kernel a sandbox with the
// host's network or processes is more open than others.

// Each constant is the first ABI that knows a certain right or scope.
const (
	truncateABI = 3 // Linux 6.2
	ioctlABI    = 5 // Linux 6.10
	scopeABI    = 6 // Linux 6.12
)

// A lostRight is something that the profile asks Landlock to restrict and that this kernel's Landlock cannot restrict.
type lostRight struct {
	what  string // "signals"
	since string // the first kernel that can: "6.12"
	by    string // what of this plan restricts the same: "the pid namespace"; "" if nothing does
	open  string // what nothing restricts: "signals to processes of the host"; "" if by restricts all
	shut  string // what would restrict it: "namespaces: {pid: new}"
}

// lostRights lists what this kernel's Landlock cannot restrict. The rules must have been derived. Links and renames
// between directories are not in the list for ABI 1, because ABI 1 refuses all of them.
func (c *Compilation) lostRights() (list []lostRight) {
	const mounts = "the mounts"
	if c.Host.LandlockABI < truncateABI {
		r := lostRight{what: "truncate", since: "6.2", by: mounts,
			shut: "mounts that are read-only where landlock.write does not allow writing"}
		if r.open = c.truncatable(); r.open != "" {
			r.by = ""
		}
		list = append(list, r)
	}
	if c.Host.LandlockABI < ioctlABI {
		r := lostRight{what: "ioctl on devices", since: "6.10", by: mounts} // every mount but the sandbox's /dev is nodev
		if c.InPlace() {
			r.by, r.open, r.shut = "", "ioctls on devices that the task may open", "namespaces of the sandbox's own"
		} else if c.Joined(unix.CLONE_NEWNS) != nil {
			r.by, r.open = "", "ioctls on the devices of the joined mount namespace"
			r.shut = "a mount namespace of the sandbox's own"
		}
		list = append(list, r)
	}
	if c.Host.LandlockABI < scopeABI {
		list = append(list, c.lostScopes()...)
	}
	return list
}

// lostScopes lists the scopes that the profile asks for. It is called if the kernel has no scopes.
func (c *Compilation) lostScopes() (list []lostRight) {
	signals := lostRight{what: "signals", since: "6.12", by: "the pid namespace",
		shut: "namespaces: {pid: new} (--ns pid=new)"}
	if !c.ownPID() {
		signals.by, signals.open = "", "signals to processes outside"
	}
	sockets := lostRight{what: "abstract sockets", since: "6.12", by: "the network namespace",
		shut: "network: none (--net none)"}
	switch {
	case c.InPlace() && c.Profile.Network.Mode == policy.NetworkNone && !c.LandlockResolves():
		sockets.by = "the filter" // which denies every socket but pairs
	case !c.OwnNet:
		sockets.by, sockets.open = "", "connections to abstract sockets outside"
	}
	wanted := c.wantedScopes()
	if wanted&ScopeSignal != 0 {
		list = append(list, signals)
	}
	if wanted&ScopeAbstract != 0 {
		list = append(list, sockets)
	}
	return list
}

// truncatable says which files the task could truncate although no rule allows the task to write to them, on a kernel
// whose Landlock does not know truncate(2). It returns "" if the mounts keep the task from truncating any of them: on a
// read-only mount truncate(2) fails with EROFS.
func (c *Compilation) truncatable() string {
	if c.Joined(unix.CLONE_NEWNS) != nil {
		return "truncate(2) on the mounts of the joined mount namespace"
	}
	var open []string
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if !p.Write || p.Absent || c.Tree.At(p.Target) != p || p.Opaque || p.Guard == picture.GuardPin || c.mayTruncate(p.Target) {
			continue
		}
		open = append(open, p.Target)
	}
	if len(open) > 0 {
		return "truncate(2) below " + strings.Join(open, ", ") + ", where landlock.write does not allow writing"
	}
	for i := range c.Req.Extra {
		if f := &c.Req.Extra[i]; f.Regular != nil && !f.Written {
			return "truncate(2) of the file that is descriptor " + strconv.Itoa(3+i)
		}
	}
	if c.Req.Stdio[0].Regular != nil && c.Stdin == "" && c.Into == nil {
		return "truncate(2) of the file that is standard input"
	}
	return ""
}

// mayTruncate reports whether a rule allows the task to truncate every file at and below a path.
func (c *Compilation) mayTruncate(path string) bool {
	return slices.ContainsFunc(c.Land.Rules, func(r landRule) bool {
		return r.Access&uint64(ll.AccessFSTruncate) != 0 && paths.Below(path, r.Path)
	})
}

// This part plans what a launcher inside the sandbox needs to make a sandbox of its own (nest): user_namespaces(7).

// nestID is the task's id inside, if root starts a sandbox in which other sandboxes are nested.
const nestID = 1000

// nestIdentity gives the task an id inside that is not 0, unless the profile names an id. The reason: since Linux 5.12
// a launcher inside cannot map the id 0 again without CAP_SETFCAP (user_namespaces(7)), so it could make no sandbox.
func (c *Compilation) nestIdentity() error {
	u, id := &c.Profile.User, &c.IDs
	if !c.Profile.Nest || id.InUID != 0 || c.Keep&(1<<unix.CAP_SETFCAP) != 0 || slices.ContainsFunc(c.Profile.Capabilities.Keep, isSetFCap) {
		return nil
	}
	if u.UID.Set && c.Profile.Source("user.uid") != (policy.Pos{}) {
		return &fail.Error{Op: "nest", Err: errors.New("a launcher inside could not map root's id, which needs CAP_SETFCAP since Linux 5.12"), From: c.Where("user.uid"),
			Hint: "name another id: user: {uid: 1000, gid: 1000}, --uid 1000 --gid 1000"}
	}
	id.InUID = nestID
	if !u.GID.Set {
		id.InGID = nestID
	}
	c.Notes = append(c.Notes, "nest: the task has the id "+strconv.Itoa(nestID)+" inside, because a launcher inside cannot map root's")
	return nil
}

func isSetFCap(k policy.Capability) bool { return k.Name == "SETFCAP" }

// landlockForNest makes a ruleset that handles no right over files. If a domain handles such a right, the kernel
// refuses every mount(2), move_mount(2), umount(2) and pivot_root(2) in it with EPERM (security/landlock/fs.c), even in
// a user namespace of the task's own. The scopes stay, because scopes alone do not restrict mounts (Linux 6.12).
func (c *Compilation) landlockForNest(where string) error {
	if err := c.lacking(policy.LayerLandlock, "nest: no rule for files, because Landlock forbids every mount in a domain that has one",
		"the mounts, which are read-only as the profile says, and which a user namespace inside cannot undo", where,
		"list landlock under missing, or leave out nest"); err != nil {
		return err
	}
	if c.Land.Scoped == 0 {
		return nil
	}
	c.Land.On = true
	c.createRuleset()
	c.keepRuleset()
	return nil
}
