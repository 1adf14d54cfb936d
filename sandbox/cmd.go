package sandbox

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
)

// Cmd is a program to be run in a sandbox. Like an os/exec.Cmd it is used once.
type Cmd struct {
	Profile *policy.Profile // effective: extended, merged, validated; nil is the zero profile
	Args    []string        // Args[0] is looked up in PATH inside the sandbox unless it has a slash
	Env     []string        // what Profile.Env picks NAME=VALUE from, the last of a name; nil means os.Environ()

	Stdin, Stdout, Stderr *os.File   // nil means /dev/null
	ExtraFiles            []*os.File // entry i becomes descriptor 3+i; everything else is closed

	// A file, standard or extra, is a regular file, a pipe, a socket, a terminal, or /dev/null and its like; anything else
	// is an error, because the task could reach more through it: the host's tree from a directory, a process from a pidfd.
	// A socket keeps the network, and a connected peer the rights, that it was made with. A terminal among ExtraFiles takes
	// a profile with tty: inherit.

	// Terminal gives the task a terminal of its own as stdin, stdout and stderr, whatever these are and the profile says.
	// What it writes there goes to Stdout.
	Terminal bool
	// RecordTTY takes a recording of the task's own terminal, in the format asciicast v2. It is an error where there is none.
	RecordTTY io.Writer
	// Attachable says that other programs may be started in the sandbox later: the launcher keeps what that takes, for
	// Attach.
	Attachable bool
	// Into is a running sandbox that the program is started in: it gets the sandbox's profile and environment, whatever
	// Profile says, and Env is set over the latter. Into must stay open until Start has returned.
	Into *Attached
	Dir  string // with Into: the working directory, inside; "" is the sandbox's own

	Host      *Host         // nil means Probe()
	KillAfter time.Duration // from SIGTERM to SIGKILL; 0 means 2 s at the wall-clock limit, and never where it was passed on

	// State is the entry of the state directory where other commands find the sandbox; nil means nowhere. It must be this
	// process's own: [StateDir.Create]. Start completes it, and from then on the launcher listens at its control socket.
	State *Entry

	// Profiles are the files that Profile was read from: the sandbox cannot write them, and what it could have written is
	// told from what was there before.
	Profiles []ledger.Text
	// Search are the directories where profiles are looked for by name: the sandbox cannot write or make them.
	Search []string

	// Exclusive says that the process is a launcher and nothing else. Start and Wait then run on the caller's
	// goroutine, signals that reach the process are passed on to the task, and the process is made non-dumpable
	// while it holds more rights than the task.
	Exclusive bool

	// Note, unless nil, is called with each of Report.Notes before the program runs.
	Note func(text string)

	// Observer, unless nil, watches the task, which no system call filter of the profile confines then.
	Observer Observer

	failStep, failInit int // for tests: the step of the child and task, or of init, that fails, from 1

	makeDir func(path string) error // nil where nothing is run

	makeGroup func(*cgroup.Choice) (*cgroup.Group, error) // nil where nothing is run

	exposed bool   // for tests: one that joins a sandbox is not concealed from who is inside, and runs its program by the path
	hold    func() // for tests: called while it waits before its filter is in place

	nonce uint64 // of execveat, with syscalls.exec: once

	taskID int // the task's uid and gid on the host, where root starts it; 0 in a plan that is only printed
	proc   *process
	done   chan waited // from the goroutine that owns the thread, unless Exclusive
}

type waited struct {
	report *Report
	err    error
}

// Plan compiles the command without running anything.
func (c *Cmd) Plan() (*plan.Plan, error) {
	host, err := c.host()
	if err != nil {
		return nil, err
	}
	return Compile(c.profile(), host, c)
}

// profile is the sandbox's.
func (c *Cmd) profile() *policy.Profile {
	if c.Into != nil {
		return c.Into.Profile
	}
	return c.Profile
}

func (c *Cmd) host() (*Host, error) {
	if c.Host != nil {
		return c.Host, nil
	}
	return Probe()
}

// Start launches the sandbox and returns once the program has been exec'd and what is enforced has been read back.
// Where it returns an error nothing is left behind. The error is a *StepError, *UnsupportedError, *LookupError,
// *policy.Error, filter.Errors or *Error.
func (c *Cmd) Start() error {
	if c.proc != nil {
		return &Error{Op: "start", Err: errors.New("already started")}
	}
	proc := newProcess(c)
	host, err := c.host()
	if err != nil {
		return &Error{Op: "probe", Err: err}
	}
	if err := c.drawNonce(); err != nil {
		return err
	}
	makeStateDirs(host)
	proc.host = host
	c.makeGroup, c.makeDir = proc.makeGroup, makeOwnDir
	c.proc = proc
	if c.Exclusive {
		return c.started(proc.start())
	}
	// The child dies with the thread that made it (prctl(2), PR_SET_PDEATHSIG), so one goroutine keeps that thread
	// until the sandbox is gone. It never gives it back: where namespaces were joined, it is not like the others.
	c.done = make(chan waited, 1)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := proc.start()
		started <- err
		if err == nil {
			report, err := proc.wait()
			c.done <- waited{report, err}
		}
	}()
	return c.started(<-started)
}

// started forgets a process that did not start.
func (c *Cmd) started(err error) error {
	if err != nil {
		c.proc = nil
	}
	return err
}

// Wait waits until the sandbox is gone and reports. The program's own exit status is in the report and is no error.
func (c *Cmd) Wait() (*Report, error) {
	switch {
	case c.proc == nil:
		return nil, &Error{Op: "wait", Err: errors.New("not started")}
	case c.Exclusive:
		return c.proc.wait()
	}
	w, ok := <-c.done
	if !ok {
		return nil, &Error{Op: "wait", Err: errors.New("already waited for")}
	}
	close(c.done)
	return w.report, w.err
}

// drawNonce takes a new nonce where the profile needs one; 0 is the one that stands in printed plans.
func (c *Cmd) drawNonce() error {
	if p := c.profile(); c.Into == nil && c.Observer == nil && (p == nil || p.Syscalls.Exec != policy.ExecOnce) {
		return nil
	}
	var b [8]byte
	for c.nonce == 0 {
		if _, err := unix.Getrandom(b[:], 0); err != nil {
			return &Error{Op: "getrandom", Err: err}
		}
		c.nonce = binary.NativeEndian.Uint64(b[:])
	}
	return nil
}

// Run is Start and Wait.
func (c *Cmd) Run() (*Report, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	return c.Wait()
}

// Signal sends a signal to the task. os.ErrProcessDone says that it is gone.
func (c *Cmd) Signal(sig syscall.Signal) error {
	if c.proc == nil {
		return &Error{Op: "signal", Err: errors.New("not started")}
	}
	err := c.proc.signal(sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// attachable reports whether the sandbox can be joined: where other commands find it, it can.
func (c *Cmd) attachable() bool { return c.Attachable || c.State != nil }

// Attach gives what it takes to start another program in the sandbox, for Cmd.Into. The sandbox must have been started with
// Attachable. What it gives is to be closed.
func (c *Cmd) Attach() (*Attached, error) {
	if c.proc == nil {
		return nil, &Error{Op: "attach", Err: errors.New("not started")}
	}
	c.proc.mu.Lock()
	defer c.proc.mu.Unlock()
	if c.proc.pidfd < 0 {
		return nil, errSandboxEnded
	}
	shared, err := c.proc.attach()
	if err != nil {
		return nil, err
	}
	a := *shared
	a.fds = make(map[string]int, len(shared.fds))
	for name, fd := range shared.fds {
		if a.fds[name], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			delete(a.fds, name)
			a.Close()
			return nil, &Error{Op: "attach: duplicate " + name, Err: err}
		}
	}
	return &a, nil
}

// stdio are the command's standard files, in the order of their numbers.
func (c *Cmd) stdio() [3]*os.File { return [3]*os.File{c.Stdin, c.Stdout, c.Stderr} }
