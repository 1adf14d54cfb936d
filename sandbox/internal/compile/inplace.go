package compile

// This file plans a program that runs in place: without any namespace (namespaces: none, --in-place). The program sees
// the host's tree, and Landlock decides which parts of it the program may open: landlock(7). The mounts and hide rules
// of the profile are compiled as always, but no step of theirs is carried out. They only give the model of the tree
// that a sandbox with mounts would show (package picture), from which internal/grant derives the Landlock rules.
//
// init stays outside the Landlock domain, adopts every orphan of the task (PR_SET_CHILD_SUBREAPER), and kills all of
// them when the task or the launcher ends: see internal/child.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/grant"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// placeOrder lists the phases in which the plan of a program that runs in place is compiled.
var placeOrder = [...]func(*Compilation) error{
	// SettleInPlace comes first, because the later phases read the profile that it changes.
	(*Compilation).SettleInPlace,
	(*Compilation).AddCaches,
	(*Compilation).settleSetID,
	(*Compilation).CheckSupport,
	(*Compilation).FindArch,
	(*Compilation).findTerminal,
	(*Compilation).PlanReports,
	(*Compilation).cgroup,
	(*Compilation).adjust,
	(*Compilation).tieToLauncher,
	(*Compilation).keyring,
	(*Compilation).publish,
	(*Compilation).settleGroups,
	(*Compilation).BoundingSet,
	(*Compilation).noNewPrivs,
	(*Compilation).terminal,
	(*Compilation).fork,
	(*Compilation).taskBegins,
	(*Compilation).publish,
	// The model of the tree comes after the fork: init confines itself while the launcher compiles.
	(*Compilation).paint,
	(*Compilation).PlaceRules,
	(*Compilation).session,
	(*Compilation).changeDir,
	// The Landlock rules come before the task gives up ids and capabilities, because the launcher may reach directories
	// that the task's id may not reach.
	(*Compilation).capabilities,
	(*Compilation).landlockEnforce,
	(*Compilation).descriptors,
	(*Compilation).rlimits,
	(*Compilation).barrier,
	(*Compilation).placeFilter,
	(*Compilation).seccomp,
	(*Compilation).exec,
}

// picturePhases are the phases whose steps would mount. In place, only the model of the tree that they fill in is used.
var picturePhases = [...]func(*Compilation) error{
	(*Compilation).Root, (*Compilation).Mounts, (*Compilation).Names, (*Compilation).tools, (*Compilation).makeOwn,
	(*Compilation).git, (*Compilation).Hide, (*Compilation).hideState, (*Compilation).HideLayers,
	(*Compilation).guardOwn, (*Compilation).undone, (*Compilation).lookup,
}

// placeABI is the first ABI of Landlock that suffices in place: before ABI 3 (Linux 6.2) truncate(2) empties any file.
const placeABI = 3

// SettleInPlace refuses what cannot be done without namespaces, and reports what is missing and what replaces it.
func (c *Compilation) SettleInPlace() error {
	where := c.Where("namespaces")
	if c.Host.LandlockABI < placeABI {
		return &fail.UnsupportedError{Layer: policy.LayerLandlock, From: where,
			Why:    "in place nothing but Landlock protects files, and it takes ABI " + strconv.Itoa(placeABI) + "; this kernel has " + strconv.Itoa(c.Host.LandlockABI),
			Remedy: "Linux 6.2 or newer with landlock in the lsm= boot parameter; or namespaces"}
	}
	if c.Profile.Landlock.Off {
		return &fail.Error{Op: "landlock", Err: errors.New("off, but in place nothing else protects files"), From: c.Where("landlock"), Hint: "leave it out"}
	}
	if err := c.refusedInPlace(); err != nil {
		return err
	}
	p := *c.Profile
	ns := &p.Namespaces
	for _, n := range [...]*policy.Namespace{&ns.User, &ns.Mount, &ns.PID, &ns.IPC, &ns.UTS, &ns.Cgroup, &ns.Net} {
		*n = policy.Namespace{Mode: policy.NSHost}
	}
	c.Profile = &p
	c.mountsInPlace()
	if err := c.idsInPlace(); err != nil {
		return err
	}
	c.missingInPlace()
	return c.scopesInPlace()
}

// refusedInPlace returns an error if the profile asks, by name, for something that only namespaces can give.
func (c *Compilation) refusedInPlace() error {
	p := c.Profile
	refuse := func(key, why, hint string) error {
		return &fail.Error{Op: key, Err: errors.New(why + ", which takes a mount namespace, and in place there is none"), From: c.Where(key), Hint: hint}
	}
	switch {
	case p.Root.Kind == policy.RootDir:
		return refuse("root.dir", "the root would be another directory", "run it with namespaces, or with a root that is the host's or empty")
	case p.Root.Overlay != "":
		return refuse("root.overlay", "writes would go to an overlay", "leave out the overlay")
	case len(p.Capabilities.Keep) > 0:
		return &fail.Error{Op: "capabilities.keep", From: p.Capabilities.Keep[0].Pos.Short(),
			Err:  errors.New("in place there is no user namespace, and the capability " + p.Capabilities.Keep[0].Name + " would be one over the host"),
			Hint: "--cap-drop ALL"}
	case p.Network.Mode == policy.NetworkAllow:
		return &fail.Error{Op: "network", Err: errors.New("an allow-list needs a network namespace, and in place there is none"), From: c.Where("network"),
			Hint: "run it with namespaces; or --net none, which Landlock holds to in place"}
	case p.Nest:
		return &fail.Error{Op: "nest", Err: errors.New("in place Landlock's rules are what confines the program, and they forbid every mount"), From: c.Where("nest"),
			Hint: "leave out nest, or run it with namespaces"}
	case p.User.Ranges:
		return &fail.Error{Op: "user.ranges", Err: errors.New("id ranges need a user namespace, and in place there is none"), From: c.Where("user.ranges")}
	}
	for _, id := range [...]struct {
		key  string
		want policy.Opt[uint32]
		own  int
	}{{"user.uid", p.User.UID, c.Host.UID}, {"user.gid", p.User.GID, c.Host.GID}} {
		if id.want.Set && int(id.want.V) != id.own {
			return &fail.Error{Op: id.key, Err: errors.New("in place the task has the id that it has on the host"), From: c.Where(id.key), Hint: "leave it out"}
		}
	}
	for i := range p.Mounts {
		if err := c.mountRefused(i, &p.Mounts[i]); err != nil {
			return err
		}
	}
	return nil
}

// mountRefused returns an error for a mount that shows anything but the host's file at that file's own path.
func (c *Compilation) mountRefused(i int, m *policy.Mount) error {
	switch m.Kind {
	case policy.MountTmpfs, policy.MountEmpty, policy.MountProc, policy.MountDev, policy.MountSysfs, policy.MountMqueue:
		return nil
	case policy.MountBind:
		if target, err := c.bindTarget(m); err != nil || slices.Contains(c.meanings(m.Source), target) {
			return nil //nolint:nilerr // the phase that mounts it reports the error
		}
	}
	if m.Optional {
		return nil // mountsInPlace leaves it out
	}
	return &fail.Error{Op: "mounts[" + strconv.Itoa(i) + "]: " + string(m.Kind), From: m.Pos.Short(),
		Err:  errors.New("in place nothing can be mounted, and " + m.Place() + " is what it is on the host"),
		Hint: "leave it out: --remove mounts=" + m.Place()}
}

// mountsInPlace leaves out the mounts that have no meaning in place.
func (c *Compilation) mountsInPlace() {
	kept := make([]policy.Mount, 0, len(c.Profile.Mounts))
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		why := ""
		switch {
		case m.Kind == policy.MountProc && m.Hidepid != "":
			why = "in place /proc is shown whole or not at all, and hidepid asks for less than the whole"
		case m.Kind == policy.MountProc && m.Target != "/proc", m.Kind == policy.MountDev && m.Target != "/dev",
			m.Kind == policy.MountMqueue, m.Kind == policy.MountSysfs, m.Optional && c.mountIsElse(m):
			why = "in place nothing can be mounted"
		}
		if why == "" {
			kept = append(kept, *m)
		} else {
			c.Left = append(c.Left, report.Added{Path: m.Place(), Why: why})
		}
	}
	c.Profile.Mounts = kept
}

func (c *Compilation) mountIsElse(m *policy.Mount) bool {
	must := *m
	must.Optional = false
	return c.mountRefused(0, &must) != nil
}

// Unbound reports whether the task keeps the caller's bounding set and secure bits, because changing them takes
// CAP_SETPCAP. This is safe: the task has no capability, and with no_new_privs no execve can give it one.
func (c *Compilation) Unbound() bool { return c.InPlace() && c.Host.Permitted>>unix.CAP_SETPCAP&1 == 0 }

// idsInPlace decides the task's ids. Root's task gets an id of its own, as with namespaces.
func (c *Compilation) idsInPlace() error {
	c.IDs = identity{InUID: c.Host.UID, InGID: c.Host.GID, OutUID: c.Host.UID, OutGID: c.Host.GID}
	if err := c.ownHostID(); err != nil {
		return err
	}
	c.IDs.InUID, c.IDs.InGID, c.IDs.Idmapped = c.IDs.OutUID, c.IDs.OutGID, false
	return nil
}

// missingInPlace reports what namespaces would protect if the sandbox had any, and what protects it instead.
func (c *Compilation) missingInPlace() {
	add := func(layer policy.Layer, why, instead string) {
		c.Missing = append(c.Missing, report.Missing{Layer: layer, Why: why, Instead: instead})
	}
	if c.Req.WhyInPlace != "" {
		add(policy.LayerInPlace, c.Req.WhyInPlace, "the program runs in place")
	}
	add(policy.LayerMount, "names, modes and owners of hidden files can be asked for, and what the task owns can be chmod-ed",
		"Landlock: what no rule allows cannot be opened, made, renamed, removed or truncated")
	if slices.ContainsFunc(c.Profile.Mounts, func(m policy.Mount) bool { return m.Kind == policy.MountProc }) {
		add(policy.LayerPID, "/proc shows every process and its command line",
			"Landlock: no process outside can be traced, nor its environment or memory read; signals by scope")
	}
	if c.Unbound() {
		add(policy.LayerCaps, "the bounding set is the caller's: to change it takes CAP_SETPCAP", "no capability in any other set, and no_new_privs")
	}
	add(policy.LayerIPC, "the host's message queues and shared memory", "the filter denies System V IPC and mq_open")
	if c.Profile.Network.Mode == policy.NetworkNone {
		add(policy.LayerNet, "the host's network", "the filter denies every socket "+c.socketText())
	}
	if f := c.Req.Stdio[0].Regular; f != nil {
		add(policy.LayerMount, "stdin: the task can change the file's mode, times and attributes", "")
	}
}

// socketText returns a text that says which sockets the filter allows although the profile says network: none.
func (c *Compilation) socketText() string {
	if c.LandlockResolves() {
		return "but those of AF_UNIX, which Landlock lets connect only to what the profile names"
	}
	return "but pairs"
}

// paint compiles the profile's mounts and hide rules only to get the model of the tree, and drops their steps.
func (c *Compilation) paint() error {
	steps, init, files, ways, sources := len(c.Plan.Steps), len(c.Plan.Init), len(c.Plan.Files), len(c.Ways), len(c.Sources)
	for _, phase := range picturePhases {
		if err := phase(c); err != nil {
			return err
		}
	}
	c.Plan.Steps, c.Plan.Init, c.Plan.Files = c.Plan.Steps[:steps], c.Plan.Init[:init], c.Plan.Files[:files]
	c.Ways, c.Sources = c.Ways[:ways], c.Sources[:sources]
	return c.privateDir()
}

// PrivateDir is, in a plan that is only printed, the path of the directory that privateDir gives the task.
const PrivateDir = "/tmp/cordon-in-place-XXXXXXXXXX"

// privateDir gives the task a directory of its own, by TMPDIR and HOME, in place of a tmpfs on /tmp or on the home.
func (c *Compilation) privateDir() error {
	dir, noexec := c.Req.Private, false
	if dir == "" {
		dir = PrivateDir
	}
	dir, err := c.hostTree().Resolve(dir) // TMPDIR may lie behind a link
	if err != nil {
		return &fail.Error{Op: c.Req.Private, Err: fail.Bare(err)}
	}
	set := func(name, value string) {
		c.Program.Env = slices.DeleteFunc(slices.Clone(c.Program.Env), func(v string) bool { return strings.HasPrefix(v, name+"=") })
		c.Program.Env = append(c.Program.Env, name+"="+value)
	}
	var stood []string
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if p.What != "a tmpfs" || c.Tree.At(p.Target) != p || paths.Below(p.Target, "/dev") {
			continue
		}
		switch home := c.homeOf(); p.Target {
		case "/tmp":
			set("TMPDIR", dir)
			noexec = noexec || p.Noexec
			if home == "/tmp" {
				set("HOME", dir)
			}
		case home:
			set("HOME", dir)
		default:
			c.Left = append(c.Left, report.Added{Path: p.Target, Why: "in place there is no tmpfs"})
			continue
		}
		stood = append(stood, p.Target)
	}
	if stood == nil {
		return nil
	}
	slices.Sort(stood)
	access := landRead | landWrite | LandExec
	if noexec {
		access &^= LandExec
	}
	if c.LandlockResolves() {
		access |= landUnix
	}
	c.Land.Rules = append(c.Land.Rules, landRule{Path: dir, Access: access, from: own("landlock")})
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerMount, Why: "an empty file system on " + strings.Join(stood, ", ") + ", with its limit of size",
		Instead: "a directory of the run's own, " + dir + ", by TMPDIR and HOME; it is removed at the end"})
	return nil
}

// homeOf returns the task's HOME without links, or "" if there is none.
func (c *Compilation) homeOf() string {
	for _, v := range c.Program.Env {
		if home, ok := strings.CutPrefix(v, "HOME="); ok && strings.HasPrefix(home, "/") {
			if at, err := c.Tree.Resolve(paths.Clean(home)); err == nil {
				return at
			}
		}
	}
	return ""
}

// PlaceRules makes the Landlock ruleset from the model of the tree, with paths of the host, which must contain no link.
func (c *Compilation) PlaceRules() error {
	rules, lost := grant.Derive(&c.Tree, c.closedToTask)
	if err := c.lostInPlace(lost); err != nil {
		return err
	}
	c.Land.On = true
	c.Land.Handled = downgrade(landRead|LandExec|landWrite|landUnix, c.Host.LandlockABI)
	for i := range rules {
		r := &rules[i]
		var access uint64
		for _, x := range [...]struct {
			right grant.Right
			land  uint64
		}{{grant.Read, landRead}, {grant.Exec, LandExec}, {grant.Write, landWrite}} {
			if r.Right&x.right != 0 {
				access |= x.land
			}
		}
		if c.LandlockResolves() && c.namedSocket(r.Part) {
			access |= landUnix
		}
		c.Land.Rules = append(c.Land.Rules, landRule{Path: r.Path, Access: access, file: r.File, from: at("landlock", -1, r.Part.Rule)})
	}
	if err := c.narrowed(); err != nil {
		return err
	}
	net := c.landNet()
	c.do(c.scalar("landlock"), plan.CreateRuleset(c.Land.Handled, net, c.Land.Scoped, c.rulesetSize()).Into(plan.Ruleset))
	c.Land.ruleset = plan.R(plan.Ruleset)
	for i := range c.Land.Rules {
		c.allowOutside(&c.Land.Rules[i])
	}
	c.allowOutput()
	return nil
}

// closedToTask reports whether the modes of a file close it to the task: the file belongs to another user, and gives
// neither its group nor others any right that the task could use. The owner could change that; the task cannot.
func (c *Compilation) closedToTask(path string) bool {
	info, err := c.Tree.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || ownerOf(info) < 0 || ownerOf(info) == c.IDs.OutUID || c.IDs.OutUID == 0 ||
		info.Mode().Perm()&0o007 != 0 {
		return false
	}
	// Root's task has no groups, so the modes decide. For the task of any other caller the kernel is asked.
	if c.IDs.Own {
		return true
	}
	for _, mode := range [...]uint32{unix.R_OK, unix.W_OK, unix.X_OK} {
		if c.Host.Files.Access(path, mode) == nil {
			return false
		}
	}
	return true
}

// narrowed refuses Landlock rules that the profile lists itself, because they would allow more than the mounts show.
func (c *Compilation) narrowed() error {
	l := &c.Profile.Landlock
	if l.Read.Set || l.Write.Set || l.Execute.Set {
		return &fail.Error{Op: "landlock", Err: errors.New("lists narrow what the mounts show, and in place the rules are made of the mounts"), From: c.Where("landlock.read"),
			Hint: "say it by mounts: bind what the program may use"}
	}
	return nil
}

// rightsOverNetwork lists the rights over sockets that each ABI has added: linux/landlock.h. ABI 4 (Linux 6.7) has bind
// and connect of TCP, ABI 10 has those of UDP: LANDLOCK_ACCESS_NET_BIND_UDP, LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP.
var rightsOverNetwork = [...]struct {
	abi    int
	rights uint64
}{{4, 1<<0 | 1<<1}, {10, 1<<2 | 1<<3}}

// landNet returns all rights over the network that the kernel's Landlock knows, if the profile says network: none, and
// otherwise no rights. The ruleset handles these rights, and no rule allows them.
func (c *Compilation) landNet() (rights uint64) {
	for _, r := range rightsOverNetwork {
		if c.Profile.Network.Mode == policy.NetworkNone && c.Host.LandlockABI >= r.abi {
			rights |= r.rights
		}
	}
	return rights
}

// lostInPlace refuses to start if hidden or read-only entries of a writable directory would stay unprotected, unless
// the profile says that their protection may be missing.
func (c *Compilation) lostInPlace(lost []grant.Lost) error {
	for _, l := range lost {
		what, layer := "hidden", policy.LayerHide
		if !l.Part.Opaque {
			what, layer = "read-only", policy.LayerMount
		}
		why := l.Path + ": Landlock cannot keep an entry " + what + " in the writable directory " + l.Above
		if layer == policy.LayerMount {
			remedy := "make " + l.Above + " read-only, or run it with namespaces"
			if c.Profile.Git == policy.GitProtect {
				remedy += "; git: protect makes repositories read-only: --git free"
			}
			return &fail.UnsupportedError{Layer: layer, Why: why, From: l.Part.Rule.Short(), Remedy: remedy}
		}
		if err := c.lacking(layer, why, "", l.Part.Rule.Short(), "move "+l.Path+" out of it, make "+l.Above+" read-only, or --missing hide"); err != nil {
			return err
		}
	}
	return nil
}

// allowOutside opens the path of a rule and adds the rule. The file may be gone by now. Then the step that would use
// the descriptor fails with EBADF, and the plan ignores that error, because the rule is not needed.
func (c *Compilation) allowOutside(r *landRule) {
	access := r.Access & c.Land.Handled
	if r.file {
		access &= landOfFile
	}
	if access == 0 {
		return
	}
	if c.Host.NoOpenat2 {
		c.openFromTop(r.from, r.Path, walk.OpenAny, plan.Target)
	} else {
		c.do(r.from, plan.Open2(plan.CWD, r.Path, walk.OpenAny, noLinks).Into(plan.Target).OrElse(plan.ENOENT))
	}
	c.do(r.from, plan.AllowBeneath(plan.R(plan.Ruleset), plan.Target, access).OrElse(plan.EBADF),
		plan.CloseStep(plan.R(plan.Target)).OrElse(plan.EBADF))
}

// tryForbidden returns the step that opens the root directory, which no rule ever allows: see landlockEnforce.
func (c *Compilation) tryForbidden() plan.Step {
	return plan.OpenStep(plan.CWD, "/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}
