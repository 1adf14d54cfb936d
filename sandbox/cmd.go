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

// Cmd runs a program in a sandbox, once. Command returns a Cmd, or the caller fills in a value. Its fields and methods
// mean the same as those of os/exec.Cmd, except for the fields after Report, which os/exec.Cmd does not have.
type Cmd struct {
	// Profile says what the program may do. It must be effective (extended, merged and valid), as the profiles that
	// profiles.Load returns are. nil means the zero profile, which allows next to nothing.
	Profile *policy.Profile
	// Args holds the program's name and arguments. Start looks up a name that contains no slash in PATH, inside the
	// sandbox.
	Args []string
	// Env holds the variables from which Profile.Env selects, each NAME=VALUE. If a name occurs several times, its last
	// value is used. nil means os.Environ().
	Env []string
	// Dir is the working directory, a path inside the sandbox. "" means the working directory of the profile, or of
	// Into.
	Dir string

	// Stdin is what the program reads. If it is an *os.File, the program gets the file itself. A goroutine copies any
	// other reader into a pipe, and Wait waits for that goroutine. nil means /dev/null.
	Stdin io.Reader
	// Stdout and Stderr receive what the program writes. If a field is an *os.File, the program gets the file itself.
	// Any other writer gets a pipe and a goroutine; if both fields are equal, they share one pipe. nil means /dev/null.
	Stdout, Stderr io.Writer
	// ExtraFiles are further files: entry i becomes descriptor 3+i. All other descriptors are closed. Each file,
	// standard or extra, must be a regular file, a pipe, a socket, a terminal, or a device like /dev/null. Start
	// refuses any other file, because through it the task could reach more: through a directory the host's tree,
	// through a pidfd a process. A socket stays in the network in which it was made, and a connected peer keeps the
	// rights that it had. A terminal in ExtraFiles needs a profile with tty: inherit.
	ExtraFiles []*os.File

	// Cancel is called when the context of CommandContext is done, and should end the program. CommandContext sets
	// Cancel to Process.Kill. Without a context Cancel must be nil.
	Cancel func() error
	// WaitDelay limits two waits of Wait: the wait for the copying goroutines after the program has ended, and the wait
	// for the program after the call of Cancel. After that time the program is killed and the pipes are closed. If the
	// program ended well, Wait then returns exec.ErrWaitDelay. 0 means that Wait waits without a limit.
	WaitDelay time.Duration

	// Process is the task, once Start has returned without an error.
	Process *Process
	// Report says how the program ended and what was enforced, once Wait has returned.
	Report *report.Report

	// Terminal gives the task a terminal of its own as stdin, stdout and stderr, whatever Stdin, Stdout, Stderr and the
	// profile say. What the task writes to the terminal goes to Stdout.
	Terminal bool
	// RecordTTY receives a recording of the task's own terminal, in the format asciicast v2. Start returns an error
	// if the task has no terminal of its own.
	RecordTTY io.Writer
	// Attachable makes the launcher keep what Attach needs to start other programs in the sandbox.
	Attachable bool
	// Into is a running sandbox in which to start the program. The program gets the profile and the environment of
	// the sandbox, whatever Profile says. Env overrides variables of that environment. Into must stay open until
	// Start has returned.
	Into *Attached

	// Host describes the machine for which the plan is compiled; nil means host.Probe().
	Host *host.Host
	// KillAfter is the time from SIGTERM to SIGKILL. If it is 0, the time is 2 s at the wall-clock limit, and no
	// SIGKILL follows a signal that the launcher has passed on.
	KillAfter time.Duration
	// State is the sandbox's entry in the state directory, by which other processes find the sandbox. If it is nil, no
	// other process can find the sandbox. This process must have made the entry with Dir.Create. From Start on the
	// launcher listens at the entry's control socket.
	State *statedir.Entry
	// Profiles are the files from which Profile was read. The sandbox cannot write them. If an earlier sandbox could
	// have changed one of them, Start warns about that.
	Profiles []ledger.Text
	// Search lists the directories in which profiles are looked up by name. The sandbox can neither write nor make
	// them.
	Search []string
	// Exclusive says that the process is a dedicated launcher. Start and Wait then run on the caller's goroutine, the
	// launcher passes signals that reach the process on to the task, and the process is non-dumpable while it holds
	// more rights than the task.
	Exclusive bool
	// Brief says that nobody reads what the run has used. The report then has only those counters of the run's cgroups
	// that show whether a limit was reached. If a limit was reached, the report has all counters.
	Brief bool
	// Note is called with each of Report.Notes before the program runs, unless Note is nil.
	Note func(text string)
	// Missing is called before the program runs with each entry of Report.Missing that is known by then, unless Missing
	// is nil.
	Missing func(report.Missing)
	// Progress is called, unless it is nil, if Start searches for longer than a second. (Start searches what is bound
	// for the files that hide rules and `git: protect` mean.) Progress gets the number of names so far, at most five
	// times a second, and -1 at the end.
	Progress func(names int)
	// Observer watches the task, unless it is nil. In that case the profile's system call filter does not confine the
	// task.
	Observer Observer

	failStep, failInit int // for tests: the numbers of the steps that fail, from 1: a step of the child or task, and a step of init

	exposed bool   // for tests: a joining program is not hidden from processes inside, and is run by its path
	hold    func() // for tests: called while the program waits before its filter is in place
	ran     func() // for tests: called when the program runs, before its state is read back

	ctx     context.Context // the context of CommandContext; otherwise nil
	streams streams
	proc    *launch.Process
	ended   bool         // Wait has been called
	done    chan waited  // the result of the goroutine that keeps the thread; nil with Exclusive
	watched chan watched // the result of the goroutine that waits for the context; nil without a context
}

type waited struct {
	report *report.Report
	err    error
}

// Command returns a Cmd that runs a program in the sandbox that profile describes. It sets only Profile and Args.
func Command(profile *policy.Profile, name string, args ...string) *Cmd {
	return &Cmd{Profile: profile, Args: append([]string{name}, args...)}
}

// CommandContext returns what Command returns, with a context. When ctx is done, Cancel is called, which kills the
// program unless the caller has set Cancel to something else. If ctx is already done, Start returns the error of ctx.
func CommandContext(ctx context.Context, profile *policy.Profile, name string, args ...string) *Cmd {
	if ctx == nil {
		panic("sandbox: CommandContext without a context")
	}
	c := Command(profile, name, args...)
	c.ctx = ctx
	c.Cancel = func() error { return c.Process.Kill() }
	return c
}

// String returns the arguments with a blank between them. The text is for people, so String quotes nothing.
func (c *Cmd) String() string { return strings.Join(c.Args, " ") }

// Environ returns the environment that the program gets: the variables of Env that the profile keeps, and the variables
// that the profile sets. A profile with git: protect may add variables for git.
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

// Compile turns a profile into the plan of a launch. It runs nothing and changes nothing, and takes everything that it
// knows of the machine from h. The error is a *policy.Error, *UnsupportedError, *LookupError or *Error.
func Compile(p *policy.Profile, h *host.Host, c *Cmd) (*plan.Plan, error) {
	r, err := c.request(p, h)
	if err != nil {
		return nil, err
	}
	pl, err := compile.Plan(c.inDir(p), h, r)
	return pl, found(err)
}

// NewQuery makes a Query. For that it compiles only a part of the plan. c.Args may be empty. The errors are those of
// Compile.
func NewQuery(p *policy.Profile, h *host.Host, c *Cmd) (*Query, error) {
	r, err := c.request(p, h)
	if err != nil {
		return nil, err
	}
	return why.NewQuery(c.inDir(p), h, r)
}

// request describes the command as data for the compiler. It opens the command's pipes to describe them, and closes
// them before it returns.
func (c *Cmd) request(p *policy.Profile, h *host.Host) (*compile.Request, error) {
	var s streams
	defer s.close()
	files, err := s.open(c)
	if err != nil {
		return nil, err
	}
	return c.command(c.inDir(p), h, files).Request(), nil
}

// command returns the description of the command for the launcher. files stand for Stdin, Stdout and Stderr.
func (c *Cmd) command(p *policy.Profile, h *host.Host, files [3]*os.File) *launch.Command {
	return &launch.Command{Profile: p, Host: h, Args: c.Args, Env: c.Env, Stdio: files, ExtraFiles: c.ExtraFiles,
		Terminal: c.Terminal, RecordTTY: c.RecordTTY, Keep: c.Attachable || c.State != nil, Into: c.Into, Dir: c.Dir,
		KillAfter: c.KillAfter, WaitDelay: c.WaitDelay, State: c.State, Profiles: c.Profiles, Search: c.Search,
		Exclusive: c.Exclusive, Brief: c.Brief, Note: c.Note, Missing: c.Missing, Progress: c.Progress,
		Observer: c.Observer, FailStep: c.failStep, FailInit: c.failInit, Exposed: c.exposed, Hold: c.hold, Ran: c.ran}
}

// profile returns the command's profile. If Into is set, it returns the profile of the joined sandbox.
func (c *Cmd) profile() *policy.Profile {
	if c.Into != nil {
		return c.Into.Profile
	}
	return c.inDir(c.Profile)
}

// inDir returns p with Dir as its working directory. A relative Dir is relative to the caller's directory, as in
// os/exec. If Into is set, inDir returns p unchanged, because the launcher itself changes to Dir.
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

// orZero returns p, or the zero profile if p is nil.
func orZero(p *policy.Profile) *policy.Profile {
	if p == nil {
		return &policy.Profile{}
	}
	return p
}

// env returns the variables from which the profile selects.
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

// Attach returns a value for Cmd.Into, with which another program can be started in the sandbox. The sandbox must have
// been started with Attachable. The caller must close the value.
func (c *Cmd) Attach() (*Attached, error) {
	if c.Process == nil {
		return nil, &Error{Op: "attach", Err: errors.New("not started")}
	}
	return c.proc.Share()
}
