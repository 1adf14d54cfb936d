package compile

// This file plans a program that joins a running sandbox: setns(2), execveat(2), Linux 5.8 for statx(2)'s mount ids.
//
// The processes inside the sandbox are hostile. They see the newcomer, which is the child and later the program, as
// soon as it is in the pid namespace. They have the newcomer's user id, and know this source. So the newcomer must
// never, at any moment, be less confined than the processes inside. Therefore:
//
//   - The child enters everything by descriptors that the sandbox's launcher opened before the task ran
//     (internal/attach), and does so while it is still outside the pid namespace. Before the child goes on, the
//     launcher reads from /proc what the child has entered.
//   - The child is not dumpable (proc(5), PR_SET_DUMPABLE) from before it can be seen inside until execve. So a process
//     without capabilities over the launcher's own user namespace can neither trace it (CVE-2016-9962) nor look at
//     its memory, its exe (CVE-2019-5736), its root, working directory or descriptors (CVE-2024-21626). Before that,
//     the child also wipes its arguments.
//   - The child follows no path that leads through one of those links of /proc: it opens the working directory and the
//     program with RESOLVE_NO_MAGICLINKS, and runs the program by its descriptor. That descriptor is close-on-exec, so
//     the kernel refuses to interpret a script: "#!/proc/self/exe" would run the launcher's own file. This file looks
//     up the interpreter of a script and runs the interpreter in the script's place.
//   - The same steps that confine a task confine the newcomer, after the same barrier, with the very same Landlock
//     ruleset and the same resource limits. If fewer things confine the joining launcher than confined the launcher
//     that made the sandbox (filters, a security module's label, groups), the joining launcher refuses.
//
// The child that is born inside makes the task and waits for it, as init does in a sandbox of its own. The task ends
// with the child, and the child ends with the launcher. The sandbox's init reaps the processes that the task leaves
// behind.

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// execOrder lists the phases of the plan of a child that joins a running sandbox.
var execOrder = [...]func(*Compilation) error{
	(*Compilation).checkJoin,
	(*Compilation).FindArch,
	(*Compilation).findTerminal,
	(*Compilation).PlanReports,
	// The nice value and OOM score are set while /proc/self still means the caller's /proc.
	(*Compilation).adjust,
	// The child enters the namespaces and the root, and gets the ids, while nobody inside can see it. Then the launcher
	// checks all three from outside.
	(*Compilation).joinGroups,
	(*Compilation).joinSandbox,
	(*Compilation).bornInside,
	(*Compilation).tieToLauncher,
	(*Compilation).keyring,
	(*Compilation).publish,
	// From here on the phases are those of a new sandbox: see order.
	(*Compilation).BoundingSet,
	(*Compilation).noNewPrivs,
	(*Compilation).terminal,
	(*Compilation).fork,
	(*Compilation).taskBegins,
	(*Compilation).handStatus,
	(*Compilation).lookupInside,
	(*Compilation).keptRuleset,
	(*Compilation).session,
	(*Compilation).capabilities,
	(*Compilation).landlockEnforce,
	// The working directory is entered after the capabilities are dropped, so that the task enters no directory that it
	// may not search itself.
	(*Compilation).changeDirInside,
	(*Compilation).descriptors,
	// The program is opened after the descriptors that are passed on have got their numbers, because one of these could
	// take the number of the program's descriptor. The program is opened before the limit on descriptors is set.
	(*Compilation).openProgram,
	(*Compilation).keptRlimits,
	(*Compilation).barrier,
	(*Compilation).seccomp,
	(*Compilation).execProgram,
}

// checkJoin refuses a join that would leave the new program weaker confined than the sandbox's task, as far as that is
// known before the child is made.
func (c *Compilation) checkJoin() error {
	a := c.Into
	if c.Profile.Namespaces.None {
		return &fail.Error{Op: "exec", Err: errors.New("the sandbox runs in place, and has no namespace that a program could join"),
			Hint: "cordon run --in-place starts another program under the same profile"}
	}
	if a.Caller != c.Host.UID {
		return &fail.Error{Op: "exec", Err: errors.New("the sandbox was started by user " + strconv.Itoa(a.Caller) + ", and only that user can join it"),
			Hint: "as root: setpriv --reuid " + strconv.Itoa(a.Caller) + " --clear-groups cordon exec …"}
	}
	if a.Ended() {
		return attach.ErrSandboxEnded
	}
	c.IDs = identity{NewUser: a.NewUser, InUID: a.UID, InGID: a.GID, OutUID: proc.First(a.UIDs), OutGID: proc.First(a.GIDs)}
	// An ordinary user's child cannot enter a namespace that belongs to the host's user namespace. The child stays in
	// the launcher's namespace. So the sandbox must use the launcher's namespace too.
	for i := range a.Spaces {
		if s := &a.Spaces[i]; s.Host && !c.Host.Privileged && c.apart(s) {
			return &fail.Error{Op: "exec", Err: errors.New("the sandbox shares the " + s.Kind + " namespace in which it was started, which differs from the one here"),
				Hint: "run cordon exec where you started the sandbox"}
		}
	}
	if pid := a.Space("pid"); !c.Host.Privileged && !c.apart(pid) && c.keepsPtrace() {
		return &fail.UnsupportedError{Layer: policy.LayerPID, Why: "exec: the sandbox sees your processes and keeps SYS_PTRACE, so it could take over the new program", From: c.Where("namespaces.pid"),
			Remedy: "leave out one of the two"}
	}
	// The filter is compiled again from the profile, and compared with the filter of the sandbox, because another
	// version of cordon may compile another filter.
	prog, err := c.JoinFilter()
	if err != nil {
		return err
	}
	if !bytes.Equal(prog, a.Filter) {
		return &fail.Error{Op: "exec", Err: errors.New("the filter is not the sandbox's"), Hint: "join it with the version of cordon that started it"}
	}
	return c.checkGroups()
}

// keepsPtrace reports whether the sandbox's task keeps CAP_SYS_PTRACE. With this capability a process can trace another
// one that is not dumpable: ptrace(2).
func (c *Compilation) keepsPtrace() bool {
	return slices.ContainsFunc(c.Profile.Capabilities.Keep, func(k policy.Capability) bool { return k.Name == "SYS_PTRACE" })
}

// JoinFilter compiles the filter of the program that joins, like PlainFilter, but decides the architecture first.
func (c *Compilation) JoinFilter() ([]byte, error) {
	if err := c.FindArch(); err != nil {
		return nil, err
	}
	return c.PlainFilter()
}

// checkGroups refuses to join if the caller has a supplementary group that the sandbox's task lacks, and the child
// cannot drop it because the user namespace denies setgroups(2). The new program could open files of that group that
// the task cannot open.
func (c *Compilation) checkGroups() error {
	if c.Host.Privileged || c.Into.SetGroups != "deny" {
		return nil
	}
	text, err := c.launcherFiles().Read("/proc/self/status", 64<<10)
	if err != nil {
		return &fail.Error{Op: "/proc/self/status", Err: fail.Bare(err)}
	}
	for _, g := range strings.Fields(proc.StatusField(text, "Groups")) {
		if !c.Into.HasGroup(g) {
			return &fail.Error{Op: "exec", Err: errors.New("the caller has the group " + g + ", which the sandbox's task does not have, and it cannot be left"),
				Hint: "run cordon exec with the same groups as cordon run"}
		}
	}
	return nil
}

// apart reports whether the launcher and the sandbox are in different namespaces of the kind that s describes.
func (c *Compilation) apart(s *attach.Space) bool {
	own, err := c.launcherFiles().Readlink("/proc/self/ns/" + s.Kind)
	return err != nil || own != s.ID
}

// joinGroups puts the child into the sandbox's cgroups before it does anything else: see join.
func (c *Compilation) joinGroups() error {
	for _, name := range slices.Sorted(maps.Keys(c.Into.Descriptors())) {
		switch {
		case name == FileCgroup:
			c.Plan.Files = append(c.Plan.Files, name)
			c.Plan.Clone |= unix.CLONE_INTO_CGROUP
		case strings.HasPrefix(name, FileTasks):
			c.Plan.Files = append(c.Plan.Files, name)
			c.do(own("limits"), plan.WriteStep(plan.F(name), "0"))
		}
	}
	return nil
}

// leaveGroups drops the caller's supplementary groups if the launcher maps the ids. If the task has an id of its own,
// the call may fail with EPERM. That does no harm, because CheckIDs has refused a task that has any group.
func (c *Compilation) leaveGroups(from plan.From) {
	switch {
	case c.IDs.Own:
		c.do(from, plan.NoGroups().OrElse(plan.EPERM))
	case !c.groupsLocked():
		c.do(from, plan.NoGroups())
	}
}

// groupsLocked reports whether the launcher runs in a user namespace that denies setgroups(2): user_namespaces(7).
func (c *Compilation) groupsLocked() bool {
	text, err := c.launcherFiles().Read("/proc/self/setgroups", 8)
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}

// joinSandbox enters the sandbox's namespaces and root, and takes its ids.
func (c *Compilation) joinSandbox() error {
	a, from := c.Into, own("exec")
	// The host's /proc must be opened while it is still visible to the child.
	c.keepHostProc(from)
	if c.Host.Privileged {
		if !c.groupsLocked() {
			c.do(from, plan.NoGroups()) // drop root's groups while the child may
		}
		if !c.Blind() {
			c.conceal(from) // root can read the child's memory all the same
		}
	}
	c.enterSpaces(from)
	// setns(2) with a mount namespace sets the root and the working directory to the root of that namespace. So the
	// child enters the sandbox's root after the namespaces, by a descriptor that the launcher has opened.
	c.Plan.Files = append(c.Plan.Files, attach.FileRoot)
	c.do(from, plan.FchdirStep(plan.F(attach.FileRoot)), plan.ChrootStep("."))
	if a.NewUser && a.SetGroups != "deny" {
		c.do(from, plan.NoGroups())
	}
	// secureFixup keeps the capabilities when the ids change, until the task gives them up.
	c.do(from, plan.PrctlStep(unix.PR_SET_SECUREBITS, secureFixup), plan.SetGID(uint64(a.GID)), plan.SetUID(uint64(a.UID)))
	if c.Host.HostRoot && (!c.Host.Privileged || c.Blind()) { // as in Identity; no process inside can see the child yet
		c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 1))
	}
	// The launcher now reads the child's namespaces, root and ids from /proc. Only after that does the launcher let the
	// child go on.
	c.do(from, Say(MsgEntered), plan.RecvByte(plan.F(FileSync)))
	return nil
}

// enterSpaces enters the sandbox's namespaces. If only the user namespace gives the child the rights to enter the
// others, the child enters it first. If the caller has these rights already, the child enters it last: see
// enterInOrder.
func (c *Compilation) enterSpaces(from plan.From) {
	enter := func(user bool) {
		for i := range host.Kinds {
			k := &host.Kinds[i]
			// A namespace that the launcher shares with the sandbox needs no step. setns(2) even refuses to enter the
			// user namespace that the process is in (EINVAL).
			if s := c.Into.Space(k.Name); s != nil && (k.Flag == unix.CLONE_NEWUSER) == user && c.apart(s) {
				c.Plan.Files = append(c.Plan.Files, attach.FileSpace+k.Name)
				c.do(from, plan.SetnsStep(plan.F(attach.FileSpace+k.Name), k.Flag))
			}
		}
	}
	enter(!c.Host.Privileged)
	enter(c.Host.Privileged)
}

// bornInside hides the child from the processes inside, and then forks the child once more, because setns(2) with a pid
// namespace moves only the children that a process makes later. bornInside comes after the change of ids, which could
// make the child dumpable again (fs.suid_dumpable).
func (c *Compilation) bornInside() error {
	from := own("exec")
	// /proc/PID/cmdline shows the arguments, which hold paths of the host, to everybody inside.
	c.do(from, plan.WipeArgs(plan.F(FileZero)))
	c.conceal(from)
	c.do(from, plan.RespawnStep(), Say(MsgBorn))
	return nil
}

// conceal makes the child not dumpable. Then a process can look into the child only if it has capabilities over the
// launcher's user namespace.
func (c *Compilation) conceal(from plan.From) {
	if !c.Req.Exposed {
		c.do(from, plan.PrctlStep(unix.PR_SET_DUMPABLE, 0))
	}
}

// lookupInside finds the program and the working directory in the sandbox's tree as the tree is at this moment.
func (c *Compilation) lookupInside() error {
	a := c.Into
	inside := *c.Host
	inside.Files = c.Host.Files.At("/proc/self/fd/" + strconv.Itoa(a.Descriptors()[attach.FileRoot]))
	// From here on, Host and Tree mean the sandbox's file tree. Outside still means the host's.
	c.Outside = c.Host.Files
	c.Host, c.Tree.Files = &inside, inside.Files
	c.Tree.Add(picture.Part{Target: "/", Source: "/", What: "the sandbox", Rule: c.Profile.Source("root")})
	for i := range c.Profile.Mounts {
		if m := &c.Profile.Mounts[i]; m.Kind == policy.MountProc { // no program is run through a link of /proc
			c.Tree.Add(picture.Part{Target: paths.Clean(m.Target), Source: paths.Clean(m.Target), What: "proc", Rule: m.Pos})
		}
	}
	// The task gets the environment of the sandbox's first program. Variables of the request replace those of the same
	// name.
	c.Program.Env = overlayEnv(a.Env, variables(c.Req.Env))
	if err := c.findDirInside(); err != nil {
		return err
	}
	return c.findInside()
}

// overlayEnv returns an environment in which the variables of over replace those of env with the same name.
func overlayEnv(env, over []string) []string {
	out := make([]string, 0, len(env)+len(over))
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if !slices.ContainsFunc(over, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			out = append(out, v)
		}
	}
	return append(out, over...)
}

// findDirInside chooses the working directory. If the request names none, findDirInside tries the working directory of
// the sandbox's first program; if that does not exist, the task starts in /.
func (c *Compilation) findDirInside() error {
	c.Workdir = c.Into.Workdir
	if c.Req.Dir != "" {
		c.Workdir = c.Req.Dir
		if !strings.HasPrefix(c.Workdir, "/") {
			c.Workdir = paths.Join(c.Into.Workdir, c.Workdir)
		}
	}
	c.Workdir = paths.Clean(c.Workdir)
	dir, err := c.Tree.Resolve(c.Workdir)
	if err == nil {
		if isDir, _ := c.Tree.Stat(dir); !isDir {
			err = errors.New("no such directory inside")
		}
	}
	switch {
	case err == nil:
		return nil
	case c.Req.Dir == "":
		c.Workdir = "/"
		return nil
	}
	return &fail.Error{Op: "working directory " + c.Req.Dir, Err: fail.Bare(err), Hint: "name one that exists inside"}
}

// findInside finds the program. For a script it finds the interpreter instead: execve(2), "Interpreter scripts".
func (c *Compilation) findInside() error {
	path, err := c.Find(c.Req.Args[0])
	if err != nil {
		return err
	}
	args := c.Req.Args
	for depth := 0; ; depth++ {
		interpreter, arg, ok := c.scriptOf(path)
		if !ok {
			break
		}
		if depth == maxInterpreters {
			return &fail.LookupError{Name: c.Req.Args[0], Why: "too many scripts interpret each other", Code: 126}
		}
		// Nothing can be mounted into a running sandbox, so the interpreter must exist in it. If it does not,
		// bindProgram refuses.
		if err := c.reach(interpreter, interpreter, byScript); err != nil {
			return interpreterError(path, interpreter, err)
		}
		// The kernel would run the interpreter with three things: its one argument, the script's path, and the
		// arguments after the program's name.
		before := []string{interpreter}
		if arg != "" {
			before = append(before, arg)
		}
		args = slices.Concat(before, []string{path}, args[1:])
		path = interpreter
	}
	c.Program.path, c.Program.args = path, args
	return nil
}

// scriptOf returns the interpreter and the argument in the first line of a script.
func (c *Compilation) scriptOf(path string) (interpreter, arg string, ok bool) {
	inside, err := c.Tree.Resolve(path)
	if err != nil {
		return "", "", false
	}
	head, err := c.Host.Files.Read(inside, scriptHead)
	if err != nil {
		return "", "", false // a file that the launcher cannot read is run as it is, or not at all
	}
	interpreter, arg, ok = shebang(head)
	return paths.Clean(interpreter), arg, ok && strings.HasPrefix(interpreter, "/")
}

// keptRuleset makes the task use the Landlock ruleset of the running sandbox. LandlockRules would make a new one.
func (c *Compilation) keptRuleset() error {
	if _, ok := c.Into.Descriptors()[attach.FileRuleset]; !ok {
		return nil
	}
	c.Land.On, c.Land.ruleset = true, plan.F(attach.FileRuleset)
	c.Plan.Files = append(c.Plan.Files, attach.FileRuleset)
	// No rule allows this file system, so that landlockEnforce can test on it whether Landlock is in force.
	c.tmpfs(own("scratch"), plan.Scratch, "700", 0, picture.AttrBase|picture.AttrNoExec)
	return nil
}

// changeDirInside enters the working directory. It follows no link of /proc to a descriptor or a root of a process:
// through such a link, a working directory of /proc/self/fd/7 has led to the host (CVE-2024-21626).
func (c *Compilation) changeDirInside() error {
	if c.Workdir == "/" {
		return nil
	}
	dir, from := plan.R(plan.Dir), own("process.workdir")
	if c.Req.Dir != "" || c.Host.NoOpenat2 {
		c.openWithLinks(from, c.Workdir, walk.OpenDir, plan.Dir)
		c.do(from, plan.FchdirStep(dir))
		return nil
	}
	// An error is ignored for the sandbox's own working directory. If the task may not enter that directory (EACCES),
	// there is no descriptor, fchdir(2) fails with EBADF, and the task stays in /.
	open := plan.Open2(plan.CWD, c.Workdir, walk.OpenDir, unix.RESOLVE_NO_MAGICLINKS).Into(plan.Dir)
	c.do(from, open.OrElse(plan.EACCES), plan.FchdirStep(dir).OrElse(plan.EBADF))
	return nil
}

// openProgram opens the program with no more rights than the task has. The program is run by that descriptor, whatever
// file its path leads to later. openProgram must come after the change of ids and capabilities, because with the
// launcher's rights the child could open a file that the task may not open.
func (c *Compilation) openProgram() error {
	c.openWithLinks(own("command"), c.Program.path, walk.OpenAny, plan.Program)
	return nil
}

// keptRlimits sets the rlimits of the sandbox's first task: the limits of the profile, and the limits with which the
// launcher of that task was started. A hard limit that is already lower stays.
func (c *Compilation) keptRlimits() error {
	for _, l := range c.Into.Limits {
		c.do(own("rlimits"), plan.SetRlimit(uint64(l.Resource), l.Soft, l.Hard).OrElse(plan.EPERM))
	}
	return nil
}

// execProgram runs the program by its descriptor. Req.Exposed, which only tests set, makes it run the program by its
// path.
func (c *Compilation) execProgram() error {
	if c.Req.Exposed {
		c.do(own("command"), plan.ExecOnce(c.Program.path, join0(c.Program.args), join0(c.Program.Env), c.Nonce))
		return nil
	}
	c.do(own("command"), plan.ExecFile(plan.R(plan.Program), join0(c.Program.args), join0(c.Program.Env), c.Nonce))
	return nil
}
