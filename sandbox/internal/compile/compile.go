package compile

import (
	"errors"
	"iter"
	"slices"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// Compilation is the result of compiling a profile for a host. It holds the plan, which lists the system calls that the
// child makes, and what the launcher must do for the plan.
type Compilation struct {
	Profile *policy.Profile
	Host    *host.Host
	Req     *Request

	Plan     plan.Plan
	Arch     filter.Arch
	Reports  bool   // denied calls are reported: the launcher answers them and lists them at the end
	Nonce    uint64 // the number in the launcher's execveat (see execCall); 0 in a plan that is only printed
	IDs      identity
	Tree     picture.Tree
	made     uint64                  // CLONE_* flags of the namespaces that are new
	NewTime  bool                    // the task gets a time namespace
	Into     *attach.Attached        // the running sandbox that the program joins (cordon exec); nil for a new sandbox
	Joins    []join                  // existing namespaces that the child enters
	Outside  host.Files              // the host's files, if Host.Files shows a joined mount namespace; else nil
	Sources  []Source                // detached mounts that the launcher makes because the child lacks the rights
	handOver func(*Compilation) bool // passes on the steps compiled so far; nil if nothing is run
	Program  program
	Workdir  string
	byNames  bool    // the root is the launcher's own directory: see rootByNames
	OwnNet   bool    // the sandbox has a network namespace of its own
	Egress   *Egress // nil unless the profile has an allow-list
	Keep     uint64  // the capabilities that the task keeps, as a bit mask
	Ambient  uint64
	rootFD   plan.Arg // the descriptor of the sandbox's root
	left     int      // see leave
	kept     int      // see keeper
	scratch  scratch
	layers   []keptLayer
	covered  []string           // paths of the host's sockets that are covered
	lost     []host.BoundSocket // bound sockets whose files were not found
	noDiag   bool               // sock_diag(7) is refused
	hidden   int                // number of files that hide rules match
	spared   map[string]bool    // links to hidden things that a hide rule did not follow
	outdoors picture.Tree       // the host's own file tree: see hostTree
	table    *hostMounts        // see mountsOfHost
	homeList []string           // see homes
	bounds   []picture.Bound    // see bound
	followed map[string]string  // what links in the home lead to: see bindSource
	searched *searched          // see search
	lifted   []lifted           // see findLifted
	GitSeen  *gitSeen           // see git
	callers  map[string]string  // see variable
	Land     landlock
	OwnTTY   bool // the task has a terminal of its own
	OwnPts   bool // that terminal belongs to the sandbox's own devpts
	shownPts bool // the sandbox shows that devpts in a /dev

	devTarget string // the path of that /dev in the sandbox

	handsStatus bool // see keepHostProc
	groups      groups

	Stdin string // the path of standard input, if the task opens it again; otherwise ""
	// Private lists the directories that the task may write and nobody else can reach. There the task may make files
	// with set-id bits and capabilities.
	Private []string
	Caches  taken // see AddCaches
	Missing []report.Missing
	Ways    []report.Way
	Added   []report.Added
	Notes   []string       // for Report.Notes
	Left    []report.Added // for Report.LeftOut
}

// Plan compiles a whole plan at once. The error is a *policy.Error, *UnsupportedError, *LookupError or *Error.
func Plan(p *policy.Profile, h *host.Host, r *Request) (*plan.Plan, error) {
	c, err := Compile(p, h, r, nil)
	if err != nil {
		return nil, err
	}
	return &c.Plan, nil
}

// Parts compiles a plan in parts. After each part Parts yields the Compilation, always the same one, which then also
// holds the steps of that part. So the child can make its namespaces while the launcher still compiles the mounts.
func Parts(p *policy.Profile, h *host.Host, r *Request) iter.Seq2[*Compilation, error] {
	return func(yield func(*Compilation, error) bool) {
		_, err := Compile(p, h, r, func(c *Compilation) bool { return yield(c, nil) })
		if err == errStopped {
			return
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// errStopped ends a compilation whose caller asks for no further part.
var errStopped = errors.New("nobody asks for more")

// order lists the phases in which a new sandbox's plan is compiled. If a phase's place matters, a comment says why.
var order = [...]func(*Compilation) error{
	// The caches come before everything that looks at the profile's mounts and variables, because they add some.
	(*Compilation).AddCaches,
	(*Compilation).settleSetID,
	(*Compilation).CheckSupport,
	(*Compilation).FindArch,
	(*Compilation).findTerminal,
	(*Compilation).settleStdin,
	(*Compilation).PlanReports,
	// The cgroup comes before every phase that uses memory, because the group must count all of that memory. The steps
	// that join a group come first.
	(*Compilation).cgroup,
	(*Compilation).Namespaces,
	// The cgroup namespace comes after the cgroup, because the group of the process that makes it becomes its root.
	(*Compilation).cgroupNamespace,
	// The OOM score is set before the ids change: after a change of credentials, the files in /proc/self belong to
	// root.
	(*Compilation).adjust,
	// The identity comes before the mounts, so that files on the sandbox's own file systems belong to the task's ids.
	(*Compilation).Identity,
	// The parent-death signal comes after the identity, because a change of credentials clears it (prctl(2)).
	(*Compilation).tieToLauncher,
	(*Compilation).keyring,
	// The network namespace comes before the fork, for two reasons: the launcher compiles the rest of the plan while
	// the child makes this namespace, and the child still has the necessary capabilities.
	(*Compilation).Network,
	// Here the launcher clones the child. The launcher compiles the rest of the plan while the child executes the first
	// steps, and passes on each further part as soon as that part is compiled.
	(*Compilation).publish,
	(*Compilation).settleGroups,
	// The limits per user namespace are lowered while the child has every capability in its user namespace, and sees
	// the host's /proc.
	(*Compilation).userLimits,
	// The bounding set is dropped while the child still has CAP_SETPCAP, and before the fork, so that init loses it
	// too.
	(*Compilation).BoundingSet,
	// no_new_privs comes before Landlock and seccomp: without CAP_SYS_ADMIN both require it (landlock(7),
	// seccomp(2)).
	(*Compilation).noNewPrivs,
	// The terminal comes before the fork, because init leads the session that the terminal belongs to. The terminal
	// comes after the change of ids, because it belongs to the new id.
	(*Compilation).terminal,
	// The fork comes before the mounts, so that init confines itself while the task mounts.
	(*Compilation).fork,
	// From here on the task executes everything. With the next part of the plan, init has all of its steps.
	(*Compilation).taskBegins,
	(*Compilation).Root,
	(*Compilation).publish,
	(*Compilation).Mounts,
	(*Compilation).Names,
	// The tools of the home come before the hide rules, because these also hide secrets inside the tools' directories.
	(*Compilation).tools,
	(*Compilation).publish,
	// The directories that the launcher makes come before the hide rules, because a hide rule covers only what exists.
	(*Compilation).makeOwn,
	// The protection of the files that git runs comes before the hide rules, because these also hide secrets inside the
	// protected directories.
	(*Compilation).git,
	// Hide rules come after every mount of the profile, so that no mount uncovers what they hide.
	(*Compilation).Hide,
	(*Compilation).hideState,
	(*Compilation).HideLayers,
	// The protection of cordon's own files comes after the hide rules, because a hidden file needs no protection.
	(*Compilation).guardOwn,
	(*Compilation).undone,
	(*Compilation).CoverSockets,
	// The sandbox's own name comes after the hide rules, so that a hidden file stays hidden.
	(*Compilation).ownName,
	// The program is looked up last, because mounts and hide rules decide whether its file is visible, or hidden on
	// purpose.
	(*Compilation).lookup,
	// The launcher's own file systems become read-only once nothing more is made on them.
	(*Compilation).seal,
	(*Compilation).enterRoot,
	// While the launcher reads the mount table back, the task executes the phases up to the barrier, where it waits for
	// the launcher.
	(*Compilation).LandlockRules,
	(*Compilation).hostname,
	(*Compilation).session,
	(*Compilation).changeDir,
	(*Compilation).capabilities,
	// Landlock comes after the last mount, because it forbids mounting.
	(*Compilation).landlockEnforce,
	(*Compilation).descriptors,
	// The rlimits come after the last open, because the launcher may hold more descriptors than the task may.
	(*Compilation).rlimits,
	// The barrier comes as late as possible, because the launcher reads the mounts back in the meantime. At the barrier
	// the launcher can still refuse to start the program, and init is confined before the program can see init. The
	// barrier comes before the seccomp filter, because it makes two system calls that the filter need not allow.
	(*Compilation).barrier,
	// seccomp comes last: execve is the only call made under the filter.
	(*Compilation).seccomp,
	(*Compilation).exec,
}

// Compile makes a plan. Whenever the launcher can begin to carry out the steps compiled so far, Compile calls handOver.
// handOver returns false to end the compilation, and is nil if the plan will not be run.
func Compile(p *policy.Profile, h *host.Host, r *Request, handOver func(*Compilation) bool) (*Compilation, error) {
	if len(r.Args) == 0 {
		return nil, &fail.Error{Op: "command", Err: errors.New("none given"), Hint: "cordon run -- CMD [ARG…]"}
	}
	if err := r.check(p); err != nil {
		return nil, err
	}
	c := &Compilation{Profile: p, Host: h, Req: r, Nonce: r.Nonce, Tree: picture.Tree{Files: h.Files}, handOver: handOver, Into: r.Into}
	c.Plan.Steps, c.Plan.Init = make([]plan.Step, 0, 512), make([]plan.Step, 0, 16)
	c.Tree.Parts = make([]picture.Part, 0, 64)
	c.Plan.Files = append(c.Plan.Files, FileZero, FileLauncher, FileSync, FileGate)
	// The child closes its copy of the launcher's end of the socket. Otherwise it would wait for ever if the launcher
	// is killed.
	c.do(own("launcher"), plan.CloseStep(plan.F(FileLauncher)))
	phases := order[:]
	switch {
	case c.Into != nil:
		phases = execOrder[:]
	case p.Namespaces.None:
		phases = placeOrder[:]
	}
	for _, phase := range phases {
		if err := phase(c); err != nil {
			return nil, err
		}
	}
	return c, c.give()
}

// publish makes the child wait for a byte from the launcher, and gives the launcher the steps so far.
func (c *Compilation) publish() error {
	c.do(own("launcher"), plan.RecvByte(plan.F(FileSync)))
	return c.give()
}

// give passes the steps compiled so far to handOver. It returns errStopped if handOver wants no more.
func (c *Compilation) give() error {
	if c.handOver != nil && !c.handOver(c) {
		return errStopped
	}
	return nil
}

// taskBegins tells the launcher the task's pid: the task sends a message, and the kernel adds the sender's pid.
func (c *Compilation) taskBegins() error {
	c.do(own("launcher"), Say(MsgBegin))
	return nil
}

const (
	MsgBorn    = 'N' // the child is another process than the one that the launcher cloned
	MsgBegin   = 'B' // the task has begun its steps
	MsgRoot    = 'R' // the child has entered the new root, and is about to unmount the old one
	MsgInit    = 'I' // init is confined
	MsgTask    = 'T' // the task has reached the barrier and waits for the launcher's answer
	MsgRules   = 'K' // carries the descriptor of Landlock's ruleset, which the launcher keeps
	MsgStatus  = 'V' // carries the task's /proc/PID/status, if /proc hides the task from its launcher
	MsgEntered = 'E' // the child has entered the sandbox that it joins
	MsgReady   = 'L' // from init: the program runs, or the task has ended; carries the seccomp listener's descriptor
)

// Names of the files that every plan uses.
const (
	FileZero     = "zero"     // /dev/zero
	FileLauncher = "launcher" // the launcher's end of the socket pair; the child closes its copy first
	FileSync     = "sync"     // the child's end of a socket pair with the launcher
	FileGate     = "gate"     // an eventfd; init begins to reap once the launcher has written to it
)

func (c *Compilation) do(from plan.From, steps ...plan.Step) {
	c.Plan.Steps = appendSteps(c.Plan.Steps, from, steps)
}

// doInit adds steps that init executes.
func (c *Compilation) doInit(from plan.From, steps ...plan.Step) {
	c.Plan.Init = appendSteps(c.Plan.Init, from, steps)
}

// appendSteps adds steps with the same origin (From) to a list. It copies each step only once, because a step is large.
func appendSteps(list []plan.Step, from plan.From, steps []plan.Step) []plan.Step {
	n := len(list)
	list = append(list, steps...)
	for i := n; i < len(list); i++ {
		list[i].From = from
	}
	return list
}

// own returns the origin of steps that cordon adds by itself, without a line of the profile.
func own(what string) plan.From { return plan.From{Section: what, Index: -1} }

// at returns the origin of steps that come from an item of a list in the profile.
func at(section string, i int, pos policy.Pos) plan.From {
	return plan.From{Section: section, Index: i, File: pos.File, Line: pos.Line, Flag: pos.Flag}
}

// scalar returns the origin of steps that come from a single value of the profile. path names the value: "limits.wall".
func (c *Compilation) scalar(path string) plan.From { return at(path, -1, c.Profile.Source(path)) }

// tieToLauncher makes the kernel kill the child when the launcher dies. If the launcher has died already, its end of
// the socket is closed, and the child never gets the byte for which publish makes it wait. tieToLauncher also sets the
// umask to 0, so that files get exactly the modes that the plan says. session restores the old umask.
func (c *Compilation) tieToLauncher() error {
	c.do(own("launcher"),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)),
		plan.UmaskStep(0).Into(plan.Mask))
	return nil
}

// keyring makes the task leave the caller's session keyring, so that the task cannot use the user's keys. If the filter
// denies every call for keys anyway, keyring does nothing. The reason is that each new keyring counts as a key of the
// user, who may have 200 (kernel.keys.maxkeys); hundreds of sandboxes would leave no keys for other programs.
func (c *Compilation) keyring() error {
	if slices.ContainsFunc(c.Profile.Syscalls.Deny, func(x policy.SyscallItem) bool { return x.Name == "@keyring" }) {
		return nil
	}
	c.do(own("keyring"), plan.JoinSessionKeyring().OrElse(plan.ENOSYS))
	return nil
}

// fork makes two processes of the child, init and the task, and confines init: init has no capability and only two
// descriptors, is not dumpable, and has a filter that allows only the calls of its loop. The root of init changes
// together with the root of the task, because pivot_root(2) changes the root of every process that has the old root.
func (c *Compilation) fork() error {
	from := own("init")
	itsFiles := []plan.Step{
		plan.Dup(plan.F(FileGate), plan.Number(0), 0),
		plan.Dup(plan.F(FileSync), plan.Number(1), 0),
		plan.CloseFrom(2, 0),
	}
	if c.InPlace() {
		itsFiles = append(itsFiles[:2], plan.Dup(plan.R(plan.File), plan.Number(2), 0), plan.CloseFrom(3, 0))
	}
	fork := plan.ForkStep()
	if c.InPlace() { // a container's filter may deny unshare(2)
		fork = fork.Apart()
	}
	if c.Reports {
		fork = plan.OwnedFork()
	}
	if c.OwnTTY {
		fork = fork.WithSelf()
	}
	if c.First() {
		from, fork = c.scalar("process.init"), fork.First()
	}
	c.do(from, fork)
	from = own("init")
	if c.Reports {
		c.holdOwner()
	} else if !c.InPlace() {
		c.doInit(from, plan.UnshareStep(unix.CLONE_FILES))
	}
	c.tieToInit()
	c.doInit(from,
		plan.WipeArgs(plan.F(FileZero))) // otherwise /proc/1/cmdline would show paths of the host
	if c.InPlace() {
		c.guardSteps()
	}
	if !c.Reports {
		c.doInit(from, itsFiles...)
	}
	c.doInit(from,
		plan.ChdirStep("/"),
		plan.ThreadName("cordon-init"),
		plan.PrctlStep(unix.PR_SET_DUMPABLE, 0),
		plan.CapsetStep(0, 0, 0))
	if c.Reports {
		c.sendListener()
		c.doInit(from, itsFiles...)
		c.doInit(from, plan.SetFilter(0, initFilter(c.Arch, c.initCalls())))
	} else {
		c.doInit(from, plan.SetFilter(0, initFilter(c.Arch, c.initCalls())), plan.SendByte(plan.Number(1), string(rune(MsgInit))))
	}
	c.doInit(from,
		plan.CloseStep(plan.Number(1)),
		plan.ReadStep(plan.Number(0), 8))
	return nil
}

// tieToInit makes the task die with init if init is not pid 1. (If init is pid 1, the kernel ends the whole pid
// namespace together with init.) If init ends before this step, the launcher closes its end of the socket, and the task
// ends when it sends its next message.
func (c *Compilation) tieToInit() {
	if !c.OwnsPID() {
		c.do(own("init"), plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)))
	}
}

// OwnsPID reports whether init is pid 1 of a pid namespace of the sandbox's own.
func (c *Compilation) OwnsPID() bool { return c.made&unix.CLONE_NEWPID != 0 }

// First reports whether the program is pid 1 of a pid namespace of its own. In that case init is outside of that
// namespace, as pid 1 of another namespace above it. So init still reaps the program and reports its end, and both
// namespaces end when init ends.
func (c *Compilation) First() bool { return c.Profile.Process.Init == policy.InitNone && c.Into == nil }

// barrier tells the launcher that everything is in place, and waits for its answer. If the launcher has died meanwhile,
// there is no answer; that is an error (plan.RecvByte), and the program never runs.
func (c *Compilation) barrier() error {
	c.do(own("launcher"),
		Say(MsgTask),
		plan.RecvByte(plan.F(FileSync)))
	return nil
}

// Say returns the step by which the child sends the launcher a message.
func Say(msg byte) plan.Step { return plan.SendByte(plan.F(FileSync), string(rune(msg))) }

// session puts the task into a new session, and unblocks every signal, because the task may have inherited a mask that
// blocks some. The session has no controlling terminal unless the task has a terminal of its own.
func (c *Compilation) session() error {
	if c.OwnTTY {
		c.jobControl()
	} else {
		c.do(own("session"), plan.NewSession())
	}
	c.do(own("session"), plan.UnblockSignals())
	if c.Into != nil {
		c.do(own("process.umask"), plan.UmaskStep(uint64(c.Into.Umask)))
	} else if u := c.Profile.Process.Umask; u.Set {
		c.do(c.scalar("process.umask"), plan.UmaskStep(uint64(u.V)))
	} else {
		c.do(own("process.umask"), plan.SetUmask(plan.R(plan.Mask)))
	}
	return nil
}

// changeDir enters the working directory. If the profile names no working directory, the task tries to enter the
// caller's; if the task may not search that directory, it stays in /.
func (c *Compilation) changeDir() error {
	switch {
	case c.Profile.Process.Workdir != "":
		c.do(c.scalar("process.workdir"), plan.ChdirStep(c.Workdir))
	case c.Workdir != "/":
		c.do(own("process.workdir"), plan.ChdirStep(c.Workdir).OrElse(plan.EACCES))
	}
	return nil
}
