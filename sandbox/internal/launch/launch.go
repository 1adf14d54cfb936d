package launch

// This file launches a sandbox. The launcher opens the files that the plan uses, clones the child, and gives it the
// plan: clone3(2), Linux 5.3.

import (
	"cmp"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/plan"
)

// Start launches a command. After an error, nothing of the sandbox is left.
func (p *Process) Start(cmd *Command) error {
	p.Cmd = cmd
	host.MakeStateDirs(cmd.Host)
	return p.LaunchAll()
}

// LaunchAll launches the command of p. After an error, nothing of the sandbox is left.
func (p *Process) LaunchAll() error {
	err := p.launch()
	if err != nil {
		p.abort()
		// abort comes first, because Fault needs init's exit status. LaunchAll returns the first of these errors that
		// is not nil, because each error explains those that follow it.
		err = cmp.Or(p.interrupted(), p.guardErr, p.sandboxGone(err), p.Fault(), err)
		err = p.explain(err)
		p.Image.Release()
		return err
	}
	if p.Comp.Into == nil {
		// The time limits, and the watches on hiding and protecting mounts, begin once the program runs.
		p.keepLimits()
		p.guardMounts()
	} else {
		p.joined()
	}
	p.lender.begin()
	p.beginTerminal()
	return nil
}

// launch launches the command. It returns once the program runs and the launcher has read back what is enforced.
func (p *Process) launch() error {
	// The thread is checked first: the child gets the credentials of the thread that clones it, and the threads of a Go
	// program can have different users.
	if err := p.checkThread(); err != nil {
		return err
	}
	if err := p.compile(); err != nil {
		return err
	}
	if p.Cmd.Note != nil {
		for _, text := range p.Comp.Notes {
			p.Cmd.Note(text)
		}
	}
	if p.Cmd.Missing != nil {
		for _, m := range p.Comp.Missing {
			p.Cmd.Missing(m)
		}
	}
	// The launcher becomes undumpable only now, because a child of an undumpable launcher cannot write its id maps.
	// From here on only a process with CAP_SYS_PTRACE can trace the launcher: ptrace(2).
	if p.Cmd.Exclusive {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // this call of prctl(2) cannot fail
	}
	// The number of the last step is known from now on. By this number, Signal recognizes that the task is about to run
	// the program.
	p.Mu.Lock()
	p.last = len(p.Comp.Plan.Steps)
	p.Mu.Unlock()
	// The record of what the task can write is made before converse lets the task go, because a running program can
	// write.
	if err := p.recordWrites(); err != nil {
		return err
	}
	if err := p.converse(); err != nil {
		return err
	}
	if p.Cmd.Ran != nil {
		p.Cmd.Ran()
	}
	// keepState completes the sandbox's entry in the state directory last, because other commands must not find a
	// sandbox that the launcher has not confirmed.
	if err := p.confirm(); err != nil {
		return err
	}
	p.reportCaches()
	if err := p.keepState(); err != nil {
		return err
	}
	p.Mu.Lock()
	defer p.Mu.Unlock()
	// If a signal that was meant to end the run came during the launch, it has killed init. Other signals have waited
	// for the program, and are sent now.
	p.running = true // Signal reads this under the same lock, so no signal is lost or sent twice
	if p.killed {
		return &fail.SignalError{Signal: p.early}
	}
	for _, sig := range p.waiting {
		_ = unix.PidfdSendSignal(p.Taskfd, sig, nil, 0) // a task that has ended needs no signal
	}
	return nil
}

// compile compiles the plan part by part, and gives each part to the child.
func (p *Process) compile() (err error) {
	r := p.Cmd.Request()
	if r.TaskID, err = p.drawTaskID(); err != nil {
		return err
	}
	if r.Nonce, err = p.Cmd.nonce(); err != nil {
		return err
	}
	// The control groups are made before the plan is compiled, because the plan depends on which groups this host
	// allows.
	if p.Cmd.Profile.Namespaces.None {
		if r.Private, err = p.makePrivate(r.TaskID); err != nil {
			return err
		}
		r.WhyInPlace = p.Cmd.WhyInPlace
	}
	if r.MakeDir = makeOwnDir; r.Into == nil {
		p.groups = p.makeGroups()
		r.Groups = p.groups
	}
	r.MakeCaches = p.makeCaches
	r.Searching, r.Two, r.Recall = p.searched, p.Cmd.Exclusive, p.recall
	defer p.endSearch()
	for c, err := range compile.Parts(p.Cmd.Profile, p.Cmd.Host, r) {
		if err == nil {
			err = p.handOver(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handOver adds the steps compiled so far to the shared memory of the child. The first call clones the child. Each
// later call tells the child that there are more steps. Then handOver sends the mounts for which the child waits.
func (p *Process) handOver(c *compile.Compilation) error {
	var err error
	if p.Comp == nil {
		p.Comp = c
		err = p.begin()
	} else if err = p.add(); err == nil {
		err = p.Send(nil)
	}
	if err != nil {
		return err
	}
	return p.sendSources()
}

// begin clones the child with its first steps. If the child cannot map its own ids, begin maps them.
func (p *Process) begin() error {
	// The launcher closes its copies of the child's files. Only the child may hold the child's end of the socket,
	// because the launcher notices the child's end by the end of that socket.
	defer p.files.CloseAll()
	if err := p.open(); err != nil {
		return err
	}
	// The names of the cgroups are in the state directory before a process is in the cgroups. If the launcher is
	// killed, a later launcher finds and removes them.
	if err := p.keepGroup(); err != nil {
		return err
	}
	if err := p.add(); err != nil {
		return err
	}
	if err := p.clone(); err != nil {
		return err
	}
	if err := p.adoptChild(); err != nil {
		return err
	}
	if err := p.born(); err != nil {
		return err
	}
	if err := p.identifyInit(); err != nil {
		return err
	}
	// If the child can map its own ids, it does so, and neither process waits for the other.
	if !p.Comp.IDs.LauncherMaps {
		return nil
	}
	if err := p.writeMaps(); err != nil {
		return err
	}
	if err := p.holdUserNS(); err != nil {
		return err
	}
	return p.Send(nil)
}

// add copies the steps that were compiled since the last call to the child's memory.
func (p *Process) add() error {
	steps, init := p.Comp.Plan.Steps, p.Comp.Plan.Init
	err := p.Image.AddInit(init[p.addedInit:], p.files.Fds)
	if err == nil {
		err = p.Image.Add(steps[p.added:], p.files.Fds)
	}
	if err != nil {
		return &fail.Error{Op: "link the plan", Err: err}
	}
	p.added, p.addedInit = len(steps), len(init)
	return nil
}

// open opens or makes every file that the plan uses, and the memory that will hold its steps.
func (p *Process) open() error {
	// SOCK_SEQPACKET keeps messages apart, and still reports when the last copy of the other end is closed: unix(7).
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &fail.Error{Op: "socketpair", Err: err}
	}
	p.Link = pair[0]
	p.files.Base = int(p.Comp.FirstFD())
	if p.Comp.Reports {
		p.files.Base++ // the listener gets that number
	}
	p.files.borrow(compile.FileLauncher, p.Link)
	if err := p.files.Add(compile.FileSync, pair[1]); err != nil {
		return err
	}
	// With SO_PASSCRED the kernel reports the sender of a message. That is how the launcher learns the task's pid,
	// which otherwise only init would know.
	if err := unix.SetsockoptInt(p.Link, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return &fail.Error{Op: "setsockopt SO_PASSCRED", Err: err}
	}
	if err := p.openGate(); err != nil {
		return err
	}
	// The plan overwrites the child's copy of the launcher's arguments with zeros, because /proc/1/cmdline would show
	// them in the sandbox.
	zero, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return noDevice("/dev/zero", err)
	}
	if err := p.files.Add(compile.FileZero, zero); err != nil {
		return err
	}
	if err := p.openResources(); err != nil {
		return err
	}
	if p.Image, err = child.New(p.Comp.Plan.Clone); err != nil {
		return &fail.Error{Op: "link the plan", Err: err}
	}
	p.Image.Cgroup(p.files.Fds[compile.FileCgroup])
	// In a library's process the other mappings may belong to the caller, so only the command hides its mappings from
	// the child.
	if p.Cmd.Exclusive {
		p.Image.Alone()
	}
	if p.Comp.InPlace() {
		p.Image.Guard()
	}
	p.Image.Fail(p.Cmd.FailStep - 1)
	p.Image.FailInit(p.Cmd.FailInit - 1)
	return nil
}

// clone enters the joined namespaces, and clones the child.
func (p *Process) clone() error {
	if len(p.Comp.Joins) > 0 { // a thread that has joined a namespace differs from the others
		runtime.LockOSThread()
	}
	if err := p.enterJoined(); err != nil {
		return err
	}
	// The launcher catches signals before it clones, so that no signal is lost between the clone and the loop.
	if err := p.catchSignals(); err != nil {
		return err
	}
	// The launcher must become a subreaper before the child can leave orphans.
	if err := p.adoptOrphans(); err != nil {
		return err
	}
	pid, pidfd, err := p.Image.Start()
	if err != nil {
		return p.CloneError(err)
	}
	p.Mu.Lock()
	p.PID, p.pidfd = pid, pidfd
	p.Mu.Unlock()
	return nil
}

// Fault returns the error of the step at which the child ended. Either the step failed, or the child's filter killed
// the child in that step. Fault returns nil if there is no such step.
func (p *Process) Fault() error {
	if p.Image == nil {
		return nil
	}
	page := p.Image.Page()
	switch init, task := page.Init, page.Task; { // init first: if init fails, the task fails too
	case init.Errno != 0:
		return p.stepError(int(init.Step)-1, syscall.Errno(init.Errno), 0)
	case init.Step != 0 && p.Reaped && p.Status.Signal() == unix.SIGSYS:
		return p.stepError(int(init.Step)-1, 0, unix.SIGSYS)
	case task.Errno != 0:
		return p.stepError(int(task.Step)-1, syscall.Errno(task.Errno), 0)
	}
	return nil
}

// stepError returns the error of step i. If the step was to run the program, the error has the exit code of env(1).
func (p *Process) stepError(i int, errno syscall.Errno, sig syscall.Signal) error {
	// The printed plan numbers init's steps after the task's steps.
	steps, n := p.Comp.Plan.Steps, i
	if i >= child.InitBase {
		steps, n = p.Comp.Plan.Init, i-child.InitBase
		i = len(p.Comp.Plan.Steps) + n
	}
	s := &steps[n]
	if s.Call == plan.Execve || s.Call == plan.Execveat || s.To == plan.Program {
		e := &fail.LookupError{Name: p.Cmd.Args[0], Why: errno.Error(), Code: execCode(errno), Hint: stepHint("execve", errno)}
		if text := p.Comp.ExecHint(); text != "" {
			e.Hint = text
			return e
		}
		if text := why.ExecDenial(p.Comp, p.Cmd.Args[0]); errno == unix.EACCES && text != "" {
			e.Hint = text
		}
		if p.Comp.Profile.Root.Kind == policy.RootEmpty && !p.Comp.Tree.ShowsHost() {
			e.Hint = "the root is empty and the profile binds no directory of the host; name a root file system with --root DIR"
		}
		return e
	}
	hint := stepHint(s.Call.String(), errno)
	if hint == "" && p.Comp.Egress != nil {
		hint = networkHint(s.Call.String())
	}
	if errno == unix.EACCES && p.Comp.IDs.Own && !p.Comp.IDs.Idmapped {
		hint = "without CAP_SYS_ADMIN, root gives the task an unprivileged id, which may not enter that directory; " + p.Comp.OrRoot()
	}
	return p.because(s, &fail.StepError{Index: i, Step: s.String(), From: s.From.String(), Errno: errno, Signal: sig, Hint: hint})
}

// execCode returns the exit code of env(1): 127 if the program does not exist, 126 if it cannot be executed.
func execCode(errno syscall.Errno) int {
	if errno == unix.ENOENT {
		return 127
	}
	return 126
}
