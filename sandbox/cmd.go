package sandbox

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/ledger"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
	"cordon/sandbox/statedir"
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

	Host      *host.Host    // nil means Probe()
	KillAfter time.Duration // from SIGTERM to SIGKILL; 0 means 2 s at the wall-clock limit, and never where it was passed on

	// State is the entry of the state directory where other commands find the sandbox; nil means nowhere. It must be this
	// process's own: statedir.Dir.Create. Start completes it, and from then on the launcher listens at its control socket.
	State *statedir.Entry

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

	exposed bool   // for tests: one that joins a sandbox is not concealed from who is inside, and runs its program by the path
	hold    func() // for tests: called while it waits before its filter is in place
	ran     func() // for tests: called when the program runs, before it is read back

	proc *launch.Process
	done chan waited // from the goroutine that owns the thread, unless Exclusive
}

type waited struct {
	report *report.Report
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

// Compile turns a profile into the plan of a launch. It runs nothing and changes nothing: what it knows of the
// machine is in h. The error is a *policy.Error, *UnsupportedError, *LookupError or *Error.
func Compile(p *policy.Profile, h *host.Host, c *Cmd) (*plan.Plan, error) {
	return compile.Plan(p, h, c.command(p, h).Request())
}

// NewQuery compiles as far as questions need it. c may be without Args. The errors are those of Compile.
func NewQuery(p *policy.Profile, h *host.Host, c *Cmd) (*Query, error) {
	return why.NewQuery(p, h, c.command(p, h).Request())
}

// command is what the launcher starts.
func (c *Cmd) command(p *policy.Profile, h *host.Host) *launch.Command {
	if p == nil {
		p = &policy.Profile{}
	}
	return &launch.Command{Profile: p, Host: h, Args: c.Args, Env: c.Env, Stdio: [3]*os.File{c.Stdin, c.Stdout, c.Stderr}, ExtraFiles: c.ExtraFiles,
		Terminal: c.Terminal, RecordTTY: c.RecordTTY, Keep: c.Attachable || c.State != nil, Into: c.Into, Dir: c.Dir,
		KillAfter: c.KillAfter, State: c.State, Profiles: c.Profiles, Search: c.Search, Exclusive: c.Exclusive, Note: c.Note,
		Observer: c.Observer, FailStep: c.failStep, FailInit: c.failInit, Exposed: c.exposed, Hold: c.hold, Ran: c.ran}
}

// profile is the sandbox's.
func (c *Cmd) profile() *policy.Profile {
	if c.Into != nil {
		return c.Into.Profile
	}
	return c.Profile
}

func (c *Cmd) host() (*host.Host, error) {
	if c.Host != nil {
		return c.Host, nil
	}
	return host.Probe()
}

// Start launches the sandbox and returns once the program has been exec'd and what is enforced has been read back.
// Where it returns an error nothing is left behind. The error is a *StepError, *UnsupportedError, *LookupError,
// *policy.Error, filter.Errors or *Error.
func (c *Cmd) Start() error {
	if c.proc != nil {
		return &Error{Op: "start", Err: errors.New("already started")}
	}
	proc := launch.New()
	host, err := c.host()
	if err != nil {
		return &Error{Op: "probe", Err: err}
	}
	command := c.command(c.profile(), host)
	c.proc = proc
	if c.Exclusive {
		return c.started(proc.Start(command))
	}
	// The child dies with the thread that made it (prctl(2), PR_SET_PDEATHSIG), so one goroutine keeps that thread
	// until the sandbox is gone. It never gives it back: where namespaces were joined, it is not like the others.
	c.done = make(chan waited, 1)
	started := make(chan error, 1)
	go func() {
		defer close(started)
		runtime.LockOSThread()
		err := proc.Start(command)
		started <- err
		if err == nil {
			report, err := proc.Wait()
			c.done <- waited{report, err}
		}
	}()
	err, ok := <-started
	if !ok { // runtime.Goexit, in what the launch calls; the child dies with the thread
		err = &Error{Op: "start", Err: errors.New("the launcher's thread has ended")}
	}
	return c.started(err)
}

// started forgets a process that did not start.
func (c *Cmd) started(err error) error {
	if err != nil {
		c.proc = nil
	}
	return err
}

// Wait waits until the sandbox is gone and reports. The program's own exit status is in the report and is no error.
func (c *Cmd) Wait() (*report.Report, error) {
	switch {
	case c.proc == nil:
		return nil, &Error{Op: "wait", Err: errors.New("not started")}
	case c.Exclusive:
		return c.proc.Wait()
	}
	w, ok := <-c.done
	if !ok {
		return nil, &Error{Op: "wait", Err: errors.New("already waited for")}
	}
	close(c.done)
	return w.report, w.err
}

// Run is Start and Wait.
func (c *Cmd) Run() (*report.Report, error) {
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
	err := c.proc.Signal(sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Attach gives what it takes to start another program in the sandbox, for Cmd.Into. The sandbox must have been started with
// Attachable. What it gives is to be closed.
func (c *Cmd) Attach() (*Attached, error) {
	if c.proc == nil {
		return nil, &Error{Op: "attach", Err: errors.New("not started")}
	}
	return c.proc.Share()
}
