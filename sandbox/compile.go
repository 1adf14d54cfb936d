package sandbox

import (
	"errors"
	"iter"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// compilation is what a profile becomes on a host: the plan, and what the launcher has to open, to do and to expect.
type compilation struct {
	profile *policy.Profile
	host    *host.Host
	req     *Request

	plan     plan.Plan
	arch     filter.Arch
	reports  bool   // denied calls are reported
	nonce    uint64 // of the launcher's execveat with syscalls.exec: once; 0 in a plan that is only printed
	ids      identity
	tree     tree
	made     uint64                  // CLONE_* flags of the namespaces that are new
	newTime  bool                    // the task gets a time namespace
	into     *Attached               // the running sandbox that is joined; nil where one is made
	joins    []join                  // namespaces that exist and are entered
	outside  host.Files              // the launcher's tree, where host.Files is that of a joined mount namespace; else nil
	sources  []source                // detached mounts that the launcher makes, because the child may not
	handOver func(*compilation) bool // gives the launcher what is compiled so far, and asks for more; nil where nothing is run
	program  program
	workdir  string
	ownNet   bool   // the network namespace is new
	keep     uint64 // capabilities of the task
	ambient  uint64
	rootFD   plan.Arg // the new root
	scratch  scratch
	layers   []keptLayer
	covered  []string           // sockets of the host
	lost     []host.BoundSocket // bound sockets whose files were not found
	hidden   int                // matches of hide rules
	spared   map[string]bool    // links to what is hidden that were not followed
	outdoors tree               // the host's own tree: see hostTree
	table    *hostMounts        // see mountsOfHost
	homeList []string           // see homes
	bounds   []bound            // see bound
	followed map[string]string  // what links in the home lead to: see bindSource
	searched *finder            // see search
	lifted   []lifted           // see findLifted
	gitSeen  *gitSeen           // see git
	callers  map[string]string  // see variable
	land     landlock
	ownTTY   bool // the task has a terminal of its own
	ownPts   bool // and it is of the sandbox's devpts
	shownPts bool // which is mounted

	devTarget string // where that is
	groups    groups

	stdin   string   // the path of standard input, where the task opens it again; ""
	private []string // where the task may make files with set-id bits and capabilities: what it writes, if nobody else can reach it
	missing []report.Missing
	added   []report.Added
	notes   []string       // for Report.Notes
	left    []report.Added // for Report.LeftOut
}

// compilePlan compiles everything at once. The error is a *policy.Error, *UnsupportedError, *LookupError or *Error.
func compilePlan(p *policy.Profile, h *host.Host, r *Request) (*plan.Plan, error) {
	c, err := compile(p, h, r, nil)
	if err != nil {
		return nil, err
	}
	return &c.plan, nil
}

// Parts compiles, and stops at each place where the launcher can do something with what is compiled so far: the child
// makes its namespaces while the launcher compiles the mounts. Each part is the same compilation, which has grown.
func Parts(p *policy.Profile, h *host.Host, r *Request) iter.Seq2[*compilation, error] {
	return func(yield func(*compilation, error) bool) {
		_, err := compile(p, h, r, func(c *compilation) bool { return yield(c, nil) })
		if err == errStopped {
			return
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// errStopped ends a compilation of which no further part is asked for.
var errStopped = errors.New("nobody asks for more")

// order is the life of the child. Each line that must stand where it stands says why.
var order = [...]func(*compilation) error{
	(*compilation).settleSetID,
	(*compilation).checkSupport,
	(*compilation).findArch,
	(*compilation).findTerminal,
	(*compilation).settleStdin,
	(*compilation).planReports,
	// The cgroup before anything that takes memory: the steps that join one come first.
	(*compilation).cgroup,
	(*compilation).namespaces,
	// Its namespace behind that: the root is the group that its maker is in.
	(*compilation).cgroupNamespace,
	// The score before identity: behind a change of credentials /proc/self belongs to root.
	(*compilation).adjust,
	// Identity before the mounts: what is made on the sandbox's own file systems belongs to the task's ids.
	(*compilation).identity,
	// The parent-death signal after identity, because a change of credentials clears it (prctl(2)).
	(*compilation).tieToLauncher,
	(*compilation).keyring,
	// The network namespace before the fork, because the launcher has the rest of the plan to compile meanwhile; and while
	// the child has the capabilities that it takes.
	(*compilation).network,
	// The launcher clones here: what follows is compiled while the child does what is compiled so far. Each further part is
	// handed over as soon as it is there.
	(*compilation).publish,
	(*compilation).settleGroups,
	// The user's limits while the child has every capability in its user namespace, and sees the host's /proc.
	(*compilation).userLimits,
	// The bounding set while CAP_SETPCAP is still there; before the fork, so that init has none either.
	(*compilation).boundingSet,
	// no_new_privs before Landlock and seccomp: without CAP_SYS_ADMIN both require it (landlock(7), seccomp(2)).
	(*compilation).noNewPrivs,
	// The terminal before the fork, because init leads the session; behind the ids, to which it belongs.
	(*compilation).terminal,
	// The fork before the mounts: init confines itself while the task mounts.
	(*compilation).fork,
	// From here on it is the task, and init has all its steps with the next part.
	(*compilation).taskBegins,
	(*compilation).root,
	(*compilation).publish,
	(*compilation).mounts,
	(*compilation).publish,
	// The launcher's own directories before the hide rules, which cover what is there.
	(*compilation).makeOwn,
	// What git runs before the hide rules, which cover what lies in it.
	(*compilation).git,
	// Hide rules after every mount of the profile, so that no mount uncovers what they hide.
	(*compilation).hide,
	(*compilation).hideState,
	(*compilation).hideLayers,
	// Behind the hide rules: what is hidden needs no protection.
	(*compilation).guardOwn,
	(*compilation).undone,
	(*compilation).coverSockets,
	// The program's own file last, because mounts and hide rules decide whether it is visible or hidden on purpose.
	(*compilation).lookup,
	// Read-only after the last thing was made on the launcher's own file systems.
	(*compilation).seal,
	(*compilation).enterRoot,
	// What follows until the barrier goes on while the launcher reads the mounts back.
	(*compilation).landlockRules,
	(*compilation).hostname,
	(*compilation).session,
	(*compilation).changeDir,
	(*compilation).capabilities,
	// Landlock after the last mount: it forbids mounting.
	(*compilation).landlockEnforce,
	(*compilation).descriptors,
	// rlimits behind the last descriptor that is opened: the launcher may hold more than the task is allowed.
	(*compilation).rlimits,
	// The barrier behind everything that does not need it, because the launcher reads the mounts back meanwhile: it can
	// still refuse, and init is confined before the program can see it. It takes three calls that the filter need not
	// allow.
	(*compilation).barrier,
	// seccomp last: execve is the only call made under the filter.
	(*compilation).seccomp,
	(*compilation).exec,
}

func compile(p *policy.Profile, h *host.Host, r *Request, handOver func(*compilation) bool) (*compilation, error) {
	if len(r.Args) == 0 {
		return nil, &Error{Op: "command", Err: errors.New("none given"), Hint: "cordon run -- CMD [ARG…]"}
	}
	if err := r.check(p); err != nil {
		return nil, err
	}
	c := &compilation{profile: p, host: h, req: r, nonce: r.Nonce, tree: tree{files: h.Files}, handOver: handOver, into: r.Into}
	c.plan.Steps, c.plan.Init = make([]plan.Step, 0, 512), make([]plan.Step, 0, 16)
	c.tree.parts = make([]part, 0, 64)
	c.plan.Files = append(c.plan.Files, fileZero, fileLauncher, fileSync, fileGate, fileBeneath)
	// A child that held the launcher's end would wait for ever for a launcher that was killed.
	c.do(own("launcher"), plan.CloseStep(plan.F(fileLauncher)))
	phases := order[:]
	if c.into != nil {
		phases = execOrder[:]
	}
	for _, phase := range phases {
		if err := phase(c); err != nil {
			return nil, err
		}
	}
	return c, c.give()
}

// publish makes the child wait for what follows, and the launcher hand over what there is.
func (c *compilation) publish() error {
	c.do(own("launcher"), plan.RecvByte(plan.F(fileSync)))
	return c.give()
}

func (c *compilation) give() error {
	if c.handOver != nil && !c.handOver(c) {
		return errStopped
	}
	return nil
}

// forget drops what nobody needs once the plan has been carried out.
func (c *compilation) forget() { c.plan.Steps, c.plan.Init, c.tree.known = nil, nil, nil }

// taskBegins tells the launcher the task's number.
func (c *compilation) taskBegins() error {
	c.do(own("launcher"), say(msgBegin))
	return nil
}

// The messages of the child: a letter each, since a seqpacket socket keeps them apart.
const (
	msgBorn    = 'N' // the child is another process than the one that was cloned
	msgBegin   = 'B' // the task has begun
	msgAlive   = 'P' // asks only whether the launcher is there
	msgRoot    = 'R' // the root is entered: nothing is mounted any more
	msgInit    = 'I' // init is confined
	msgTask    = 'T' // the task waits for the word to go on
	msgRules   = 'K' // Landlock's ruleset, to be kept
	msgEntered = 'E' // the child has entered a sandbox that is joined
	// msgTerminal, in tty.go
	msgReady = 'L' // init: the program runs, or the task is gone; with it comes the listener
)

// The files that every plan has.
const (
	fileZero     = "zero"     // /dev/zero
	fileLauncher = "launcher" // the launcher's end of the socket pair; the child's copy is the first thing to go
	fileSync     = "sync"     // the child's end of a socket pair with the launcher
	fileGate     = "gate"     // an eventfd that lets init begin to reap
	fileBeneath  = "beneath"  // a number where descriptors are put that a Landlock rule names
)

func (c *compilation) do(from plan.From, steps ...plan.Step) {
	for _, s := range steps {
		s.From = from
		c.plan.Steps = append(c.plan.Steps, s)
	}
}

// doInit is do for init's own steps.
func (c *compilation) doInit(from plan.From, steps ...plan.Step) {
	for _, s := range steps {
		s.From = from
		c.plan.Init = append(c.plan.Init, s)
	}
}

// own is the From of what no line of the profile asks for.
func own(what string) plan.From { return plan.From{Section: what, Index: -1} }

// at is the From of a list item.
func at(section string, i int, pos policy.Pos) plan.From {
	return plan.From{Section: section, Index: i, File: pos.File, Line: pos.Line, Flag: pos.Flag}
}

// scalar is the From of the scalar at a path of the profile.
func (c *compilation) scalar(path string) plan.From { return at(path, -1, c.profile.Source(path)) }

// tieToLauncher makes the child die with the launcher. If it is gone already, its end of the socket is closed and the
// send fails.
func (c *compilation) tieToLauncher() error {
	c.do(own("launcher"),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)),
		say(msgAlive),
		plan.UmaskStep(0).Into(plan.Mask))
	return nil
}

// keyring leaves the caller's session keyring (threat: keys of the user), unless no call reaches it: each new one is a key
// of the user's, who has 200 (kernel.keys.maxkeys), and hundreds of sandboxes would leave none for anybody else.
func (c *compilation) keyring() error {
	if slices.ContainsFunc(c.profile.Syscalls.Deny, func(x policy.SyscallItem) bool { return x.Name == "@keyring" }) {
		return nil
	}
	c.do(own("keyring"), plan.JoinSessionKeyring().OrElse(plan.ENOSYS))
	return nil
}

// fork splits init from the task, and confines init: no capability, no descriptor but its two, not dumpable, and a
// filter for the calls of its loop. Its root is the task's: pivot_root(2) changes it for every process that has the
// old one.
func (c *compilation) fork() error {
	from := own("init")
	twoFiles := [...]plan.Step{
		plan.Dup(plan.F(fileGate), plan.Number(0), 0),
		plan.Dup(plan.F(fileSync), plan.Number(1), 0),
		plan.CloseFrom(2, 0),
	}
	fork := plan.ForkStep()
	if c.reports {
		fork = plan.OwnedFork()
	}
	if c.ownTTY {
		fork = fork.WithSelf()
	}
	c.do(from, fork)
	if c.reports {
		c.do(c.scalar("on-denial"), plan.HoldOwner())
		if c.ownsPID() {
			c.do(c.scalar("on-denial"), plan.MarkOwner().OrElse(plan.EINVAL))
		}
	} else {
		c.doInit(from, plan.UnshareStep(unix.CLONE_FILES))
	}
	c.tieToInit()
	c.doInit(from,
		plan.WipeArgs(plan.F(fileZero))) // or /proc/1/cmdline shows paths of the host
	if !c.reports {
		c.doInit(from, twoFiles[:]...)
	}
	c.doInit(from,
		plan.ChdirStep("/"),
		plan.ThreadName("cordon-init"),
		plan.PrctlStep(unix.PR_SET_DUMPABLE, 0),
		plan.CapsetStep(0, 0, 0))
	if c.reports {
		c.sendListener()
		c.doInit(from, twoFiles[:]...)
		c.doInit(from, plan.SetFilter(0, initFilter(c.arch, initCalls[:])))
	} else {
		c.doInit(from, plan.SetFilter(0, initFilter(c.arch, initCalls[:])), plan.SendByte(plan.Number(1), string(rune(msgInit))))
	}
	c.doInit(from,
		plan.CloseStep(plan.Number(1)),
		plan.ReadStep(plan.Number(0), 8))
	return nil
}

// tieToInit lets the task die with init where that is not pid 1, whose end would end the task. Where init ends before
// this, so does the launch: the launcher closes its end of the socket, and the task's next word ends the task.
func (c *compilation) tieToInit() {
	if !c.ownsPID() {
		c.do(own("init"), plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)))
	}
}

// ownsPID reports whether init is pid 1 of a pid namespace of the sandbox's own.
func (c *compilation) ownsPID() bool { return c.made&unix.CLONE_NEWPID != 0 }

// barrier tells the launcher that everything is in place and waits for its word. A launcher that died meanwhile has
// closed its end: the second send then fails, and the program is never run.
func (c *compilation) barrier() error {
	c.do(own("launcher"),
		say(msgTask),
		plan.RecvByte(plan.F(fileSync)),
		say(msgAlive))
	return nil
}

func say(msg byte) plan.Step { return plan.SendByte(plan.F(fileSync), string(rune(msg))) }

// session puts the task into a session of its own, without a controlling terminal unless it has its own, and undoes an
// inherited signal mask.
func (c *compilation) session() error {
	if c.ownTTY {
		c.jobControl()
	} else {
		c.do(own("session"), plan.NewSession())
	}
	c.do(own("session"), plan.UnblockSignals())
	if c.into != nil {
		c.do(own("process.umask"), plan.UmaskStep(uint64(c.into.Umask)))
	} else if u := c.profile.Process.Umask; u.Set {
		c.do(c.scalar("process.umask"), plan.UmaskStep(uint64(u.V)))
	} else {
		c.do(own("process.umask"), plan.SetUmask(plan.R(plan.Mask)))
	}
	return nil
}

// changeDir enters the working directory. The caller's own is a wish: where the task may not search it, it stays in /.
func (c *compilation) changeDir() error {
	switch {
	case c.profile.Process.Workdir != "":
		c.do(c.scalar("process.workdir"), plan.ChdirStep(c.workdir))
	case c.workdir != "/":
		c.do(own("process.workdir"), plan.ChdirStep(c.workdir).OrElse(plan.EACCES))
	}
	return nil
}

// adjust sets the attributes that take a file of the host's /proc.
func (c *compilation) adjust() error {
	p := &c.profile.Process
	if p.Nice.Set {
		c.do(c.scalar("process.nice"), plan.Nice(p.Nice.V))
	}
	if p.OOMScoreAdj.Set {
		c.writeFile(c.scalar("process.oom-score-adj"), "self/oom_score_adj", strconv.Itoa(p.OOMScoreAdj.V))
	}
	return nil
}

// writeFile writes a short text to a file of the host's /proc that is the child's own.
func (c *compilation) writeFile(from plan.From, name, text string) {
	dir, path := c.ownProc(name)
	c.do(from,
		plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File),
		plan.WriteStep(plan.R(plan.File), text),
		plan.CloseStep(plan.R(plan.File)))
}

// execCall is the call that runs the program.
func (c *compilation) execCall() plan.Call {
	if c.profile.Syscalls.Exec == policy.ExecOnce || c.into != nil || c.watched() {
		return plan.Execveat
	}
	return plan.Execve
}

func (c *compilation) exec() error {
	args, env := join0(c.req.Args), join0(c.program.env)
	if c.execCall() == plan.Execveat {
		c.do(own("command"), plan.ExecOnce(c.program.path, args, env, c.nonce))
		return nil
	}
	c.do(own("command"), plan.Exec(c.program.path, args, env))
	return nil
}

// join0 is the strings one after the other, each ended by a NUL.
func join0(list []string) string {
	n := 0
	for _, s := range list {
		n += len(s) + 1
	}
	b := make([]byte, 0, n)
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return string(b)
}
