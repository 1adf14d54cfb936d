package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// Cmd is a program that is run in a sandbox, once. It is made by Command, or as a value. Its fields and methods mean what
// those of os/exec.Cmd mean; those below Report have no counterpart there.
type Cmd struct {
	// Profile says what the program may do. It is effective: extended, merged and valid, as profiles.Load returns it.
	// nil is the zero profile, which allows next to nothing.
	Profile *policy.Profile
	// Args are the program's arguments, its name first: a name without a slash is looked up in PATH inside the sandbox.
	Args []string
	// Env is what Profile.Env picks from, each NAME=VALUE, the last of a name; nil means os.Environ().
	Env []string
	// Dir is the working directory, a path inside the sandbox. "" is the profile's, and with Into the sandbox's.
	Dir string

	// Stdin is what the program reads. An *os.File is handed over as it is. Anything else is copied into a pipe by a
	// goroutine, which Wait waits for. nil is /dev/null.
	Stdin io.Reader
	// Stdout and Stderr take what the program writes. An *os.File is handed over as it is. Anything else gets a pipe
	// and a goroutine, one for both if they are equal. nil is /dev/null.
	Stdout, Stderr io.Writer
	// ExtraFiles are further files: entry i becomes descriptor 3+i. All other descriptors are closed. A file, standard or
	// extra, is a regular file, a pipe, a socket, a terminal, or a device like /dev/null. Anything else is an error,
	// because the task could reach more through it: the host's tree from a directory, a process from a pidfd.
	// A socket keeps the network, and a connected peer the rights, that it was made with. A terminal in ExtraFiles needs
	// a profile with tty: inherit.
	ExtraFiles []*os.File

	// Cancel is called when the context of CommandContext is done, and should end the program. CommandContext sets it to
	// Process.Kill. Without a context it must be nil.
	Cancel func() error
	// WaitDelay is how long Wait waits for the copying goroutines after the program has ended, and for the program after
	// Cancel was called. Then the program is killed, the pipes are closed, and the error is exec.ErrWaitDelay if the
	// program ended well. 0 means without an end.
	WaitDelay time.Duration

	// Process is the task, once Start has returned without an error.
	Process *Process
	// Report says how the program ended and what was enforced, once Wait has returned.
	Report *report.Report

	// Terminal gives the task a terminal of its own as stdin, stdout and stderr, whatever these are and the profile says.
	// What the task writes there goes to Stdout.
	Terminal bool
	// RecordTTY takes a recording of the task's own terminal, in the format asciicast v2. It is an error if the task has
	// no terminal of its own.
	RecordTTY io.Writer
	// Attachable keeps what Attach needs to start other programs in the sandbox.
	Attachable bool
	// Into is a running sandbox in which the program is started. The program gets the profile and the environment of the
	// sandbox, whatever Profile says; Env is set over that environment. Into must stay open until Start has returned.
	Into *Attached

	// Host is the machine as the plan is compiled for it; nil means host.Probe().
	Host *host.Host
	// KillAfter is the time from SIGTERM to SIGKILL; 0 means 2 s at the wall-clock limit, and never after a signal that
	// was passed on.
	KillAfter time.Duration
	// State is the entry of the state directory by which other processes find the sandbox; nil means that none does. It
	// must be this process's own: statedir.Dir.Create. From Start on the launcher listens at its control socket.
	State *statedir.Entry
	// Profiles are the files that Profile was read from. The sandbox cannot write them, and a change that an earlier
	// sandbox could have made in them is told.
	Profiles []ledger.Text
	// Search are the directories where profiles are looked for by name. The sandbox can neither write nor make them.
	Search []string
	// Exclusive says that the process is a launcher and nothing else. Start and Wait then run on the caller's
	// goroutine, signals that reach the process are passed on to the task, and the process is made non-dumpable
	// while it holds more rights than the task.
	Exclusive bool
	// Brief says that nobody reads what the run has used. Of what its groups have counted the report then has what tells of
	// a limit that was reached; if one was, it has all.
	Brief bool
	// Note, unless nil, is called with each of Report.Notes before the program runs.
	Note func(text string)
	// Observer, unless nil, watches the task. No system call filter of the profile confines the task then.
	Observer Observer

	failStep, failInit int // for tests: the step of the child and task, or of init, that fails, from 1

	exposed bool   // for tests: a program that joins a sandbox is not concealed from who is inside, and is run by its path
	hold    func() // for tests: called while the program waits before its filter is in place
	ran     func() // for tests: called when the program runs, before it is read back

	ctx     context.Context // of CommandContext; nil without
	streams streams
	proc    *launch.Process
	ended   bool         // Wait was called
	done    chan waited  // from the goroutine that owns the thread, unless Exclusive
	watched chan watched // from the goroutine that waits for the context; nil without
}

type waited struct {
	report *report.Report
	err    error
}

// Command returns the command that runs a program in a sandbox that profile describes. It sets Profile and Args only.
func Command(profile *policy.Profile, name string, args ...string) *Cmd {
	return &Cmd{Profile: profile, Args: append([]string{name}, args...)}
}

// CommandContext is Command with a context: when ctx is done, Cancel is called, which kills the program unless the caller
// has set it to something else. A context that is done already makes Start return its error.
func CommandContext(ctx context.Context, profile *policy.Profile, name string, args ...string) *Cmd {
	if ctx == nil {
		panic("sandbox: CommandContext without a context")
	}
	c := Command(profile, name, args...)
	c.ctx = ctx
	c.Cancel = func() error { return c.Process.Kill() }
	return c
}

// String returns the arguments with a blank between them: it is for people, and quotes nothing.
func (c *Cmd) String() string { return strings.Join(c.Args, " ") }

// Environ returns the environment that the program gets: what the profile keeps of Env, and what it sets. A profile with
// git: protect may add variables for git.
func (c *Cmd) Environ() []string {
	return compile.Environ(c.profile(), &compile.Request{Env: c.env(), Into: c.Into})
}

// Plan compiles the command without running anything. The errors are those of Compile.
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
	r, err := c.request(p, h)
	if err != nil {
		return nil, err
	}
	pl, err := compile.Plan(c.inDir(p), h, r)
	return pl, found(err)
}

// NewQuery compiles as far as questions need it. c may be without Args. The errors are those of Compile.
func NewQuery(p *policy.Profile, h *host.Host, c *Cmd) (*Query, error) {
	r, err := c.request(p, h)
	if err != nil {
		return nil, err
	}
	return why.NewQuery(c.inDir(p), h, r)
}

// request describes the command as data. What would be a pipe is one for a moment.
func (c *Cmd) request(p *policy.Profile, h *host.Host) (*compile.Request, error) {
	var s streams
	defer s.close()
	files, err := s.open(c)
	if err != nil {
		return nil, err
	}
	return c.command(c.inDir(p), h, files).Request(), nil
}

// command is what the launcher starts, with the files that stand for Stdin, Stdout and Stderr.
func (c *Cmd) command(p *policy.Profile, h *host.Host, files [3]*os.File) *launch.Command {
	return &launch.Command{Profile: p, Host: h, Args: c.Args, Env: c.Env, Stdio: files, ExtraFiles: c.ExtraFiles,
		Terminal: c.Terminal, RecordTTY: c.RecordTTY, Keep: c.Attachable || c.State != nil, Into: c.Into, Dir: c.Dir,
		KillAfter: c.KillAfter, WaitDelay: c.WaitDelay, State: c.State, Profiles: c.Profiles, Search: c.Search,
		Exclusive: c.Exclusive, Brief: c.Brief, Note: c.Note,
		Observer: c.Observer, FailStep: c.failStep, FailInit: c.failInit, Exposed: c.exposed, Hold: c.hold, Ran: c.ran}
}

// profile returns the sandbox's profile.
func (c *Cmd) profile() *policy.Profile {
	if c.Into != nil {
		return c.Into.Profile
	}
	return c.inDir(c.Profile)
}

// inDir returns p with Dir as its working directory. A relative Dir starts at the caller's, as with os/exec. With Into it
// is the launcher that goes there.
func (c *Cmd) inDir(p *policy.Profile) *policy.Profile {
	p = orZero(p)
	if c.Dir == "" || c.Into != nil {
		return p
	}
	moved := *p
	moved.Process.Workdir = c.Dir
	if wd, err := os.Getwd(); err == nil && !filepath.IsAbs(c.Dir) {
		moved.Process.Workdir = filepath.Join(wd, c.Dir)
	}
	return &moved
}

// orZero returns the zero profile for nil.
func orZero(p *policy.Profile) *policy.Profile {
	if p == nil {
		return &policy.Profile{}
	}
	return p
}

// env returns the environment that the profile picks from.
func (c *Cmd) env() []string {
	if c.Env == nil && c.Into == nil {
		return os.Environ()
	}
	return c.Env
}

func (c *Cmd) host() (*host.Host, error) {
	if c.Host != nil {
		return c.Host, nil
	}
	return host.Probe()
}

// Attach gives what it takes to start another program in the sandbox, for Cmd.Into. The sandbox must have been started with
// Attachable. The caller must close it.
func (c *Cmd) Attach() (*Attached, error) {
	if c.Process == nil {
		return nil, &Error{Op: "attach", Err: errors.New("not started")}
	}
	return c.proc.Share()
}
