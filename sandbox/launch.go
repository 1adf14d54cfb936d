package sandbox

// The launch: it opens what the plan names, clones, and hands the plan over. clone3(2) Linux 5.3.

import (
	"cmp"
	"runtime"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/child"
)

// Start launches a command. On an error nothing is left.
func (p *process) Start(cmd *Command) error {
	p.cmd = cmd
	host.MakeStateDirs(cmd.Host)
	return p.launchAll()
}

// launchAll launches; on an error everything is undone.
func (p *process) launchAll() error {
	err := p.launch()
	if err != nil {
		p.abort()
		err = cmp.Or(p.interrupted(), p.guardErr, p.sandboxGone(err), p.fault(), err) // each says more than what it led to
		p.image.Release()
		return err
	}
	if p.comp.into == nil {
		p.keepLimits()
		p.guardMounts()
	} else {
		p.joined()
	}
	p.lender.begin()
	p.beginTerminal()
	return nil
}

func (p *process) launch() error {
	if err := p.checkThread(); err != nil {
		return err
	}
	if err := p.compile(); err != nil {
		return err
	}
	if p.cmd.Note != nil {
		for _, text := range p.comp.notes {
			p.cmd.Note(text)
		}
	}
	if p.cmd.Exclusive { // not before: a child that is not dumpable cannot write its id maps
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // cannot fail: prctl(2)
	}
	p.mu.Lock()
	p.last = len(p.comp.plan.Steps)
	p.mu.Unlock()
	if err := p.recordWrites(); err != nil { // before the task is let go
		return err
	}
	if err := p.converse(); err != nil {
		return err
	}
	if err := p.identify(); err != nil {
		return err
	}
	if err := p.confirm(); err != nil {
		return err
	}
	if err := p.keepState(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = true
	if p.killed {
		return &SignalError{Signal: p.early}
	}
	for _, sig := range p.waiting {
		_ = unix.PidfdSendSignal(p.taskfd, sig, nil, 0) // a task that is gone has no use for it
	}
	return nil
}

// compile compiles the plan, and hands it over part by part.
func (p *process) compile() (err error) {
	r := p.cmd.Request()
	if r.TaskID, err = p.drawTaskID(); err != nil {
		return err
	}
	if r.Nonce, err = p.cmd.nonce(); err != nil {
		return err
	}
	if r.MakeDir = makeOwnDir; r.Into == nil {
		p.groups = p.makeGroups()
		r.Groups = p.groups
	}
	for c, err := range Parts(p.cmd.Profile, p.cmd.Host, r) {
		if err == nil {
			err = p.handOver(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handOver takes what is compiled so far. The first time the child is cloned; then it is told that there is more.
func (p *process) handOver(c *compilation) error {
	var err error
	if p.comp == nil {
		p.comp = c
		err = p.begin()
	} else if err = p.add(); err == nil {
		err = p.send(nil)
	}
	if err != nil {
		return err
	}
	return p.sendSources()
}

// begin clones the child with its first steps, and maps its ids.
func (p *process) begin() error {
	defer p.files.closeAll()
	if err := p.open(); err != nil {
		return err
	}
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
	if !p.comp.ids.launcherMaps {
		return nil
	}
	if err := p.writeMaps(); err != nil {
		return err
	}
	return p.send(nil)
}

// add links what was compiled since the last time.
func (p *process) add() error {
	steps, init := p.comp.plan.Steps, p.comp.plan.Init
	err := p.image.AddInit(init[p.addedInit:], p.files.fds)
	if err == nil {
		err = p.image.Add(steps[p.added:], p.files.fds)
	}
	if err != nil {
		return &Error{Op: "link the plan", Err: err}
	}
	p.added, p.addedInit = len(steps), len(init)
	return nil
}

// open makes what the plan's files stand for, and links the plan to their numbers.
func (p *process) open() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: "socketpair", Err: err}
	}
	p.link = pair[0]
	p.files.base = int(p.comp.firstFD())
	if p.comp.reports {
		p.files.base++ // the number itself is the listener's
	}
	p.files.borrow(fileLauncher, p.link)
	if err := p.files.add(fileSync, pair[1]); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(p.link, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return &Error{Op: "setsockopt SO_PASSCRED", Err: err}
	}
	if p.gate, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_SEMAPHORE); err != nil {
		return &Error{Op: "eventfd", Err: err}
	}
	if err := p.files.dup(fileGate, p.gate); err != nil {
		return err
	}
	if err := p.files.dup(fileBeneath, p.gate); err != nil {
		return err
	}
	zero, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: "/dev/zero", Err: err}
	}
	if err := p.files.add(fileZero, zero); err != nil {
		return err
	}
	if err := p.openResources(); err != nil {
		return err
	}
	if p.image, err = child.New(p.comp.plan.Clone); err != nil {
		return &Error{Op: "link the plan", Err: err}
	}
	p.image.Cgroup(p.files.fds[fileCgroup])
	p.image.Fail(p.cmd.FailStep - 1)
	p.image.FailInit(p.cmd.FailInit - 1)
	return nil
}

// clone enters the namespaces that are joined, and makes the child.
func (p *process) clone() error {
	if len(p.comp.joins) > 0 { // the thread that joins is not like the others any more
		runtime.LockOSThread()
	}
	if err := p.enterJoined(); err != nil {
		return err
	}
	if err := p.catchSignals(); err != nil {
		return err
	}
	if err := p.adoptOrphans(); err != nil {
		return err
	}
	pid, pidfd, err := p.image.Start()
	if err != nil {
		return p.cloneError(err)
	}
	p.mu.Lock()
	p.pid, p.pidfd = pid, pidfd
	p.mu.Unlock()
	return nil
}
