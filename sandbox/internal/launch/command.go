package launch

// This file describes what the launcher starts: the command with its files, and how the launcher looks after it.

import (
	"io"
	"os"
	"time"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/state"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// Command describes a program to run in a sandbox, as the launcher needs it. The fields are those of sandbox.Cmd.
type Command struct {
	// Profile says what the sandbox is like, and Host what this machine can do. Args[0] is the program's name or path.
	// Env has entries NAME=VALUE. If Env is nil, it is the caller's environment. The profile then chooses from Env.
	Profile *policy.Profile
	Host    *host.Host
	Args    []string
	Env     []string

	Stdio [3]*os.File // standard input, output and error; nil means /dev/null
	// ExtraFiles become descriptors 3, 4 and so on of the task, as in exec.Cmd. The launcher uses duplicates of all
	// files, and never closes the caller's.
	ExtraFiles []*os.File

	// Terminal asks for a terminal of the task's own even if no file of Stdio is a terminal. RecordTTY, if not nil,
	// gets everything that the task's terminal shows.
	Terminal  bool
	RecordTTY io.Writer
	// Keep and Into are the two sides of cordon exec: a sandbox that others may join, and the sandbox that this program
	// joins. Dir is the working directory of a program that joins; "" means the sandbox's.
	Keep bool // keep the descriptors that other programs need to join the sandbox
	Into *attach.Attached
	Dir  string

	// KillAfter is the time between SIGTERM and SIGKILL; 0 means the default of grace.
	KillAfter time.Duration
	WaitDelay time.Duration // how long the launcher waits for slow readers of copied output; 0 means for ever
	// State is the sandbox's entry in the state directory; nil if other commands need not find the sandbox.
	State *state.Entry
	// Profiles are the texts from which the profile was made, and Search the directories in which cordon looks for
	// profiles. No task may change them, because they decide what the next run allows.
	Profiles []ledger.Text
	Search   []string
	// Exclusive says that the process exists only for this run, as the process of the command cordon does. Such a
	// process may stop itself with the task, take over signals, and leave its memory to the kernel at the end.
	Exclusive bool
	Brief     bool
	// The launcher calls Note, Missing and Progress before the program runs, to tell the caller of surprises, of
	// missing layers, and of a search that takes long. Each may be nil. An Observer records or audits the program;
	// there is then no filter that denies.
	Note     func(text string)
	Missing  func(report.Missing)
	Progress func(names int)
	Observer Observer

	WhyInPlace string // why the host makes no namespaces, if the profile permits that; see WithoutNamespaces

	// The fields below are for tests only.
	FailStep, FailInit int    // the step that is made to fail: one of the child and the task, and one of init; from 1
	Exposed            bool   // a program that joins the sandbox is not hidden from the processes inside
	Hold               func() // called while a joining program waits before its filter is in place
	Ran                func() // called when the program runs, before the launcher reads anything back
}

// Request describes the command as data for the compiler. It examines the command's files now. The compiler never sees
// a descriptor, so that the same request always gives the same plan.
func (c *Command) Request() *compile.Request {
	// Standard input is opened again read-only only if the file belongs to the task's own user: see host.DescribeStdin.
	// A program that joins a sandbox, or is recorded, keeps the caller's descriptor.
	owner := -1
	if c.Into == nil && c.Observer == nil {
		owner = compile.StdinOwner(c.Profile, c.Host)
	}
	r := &compile.Request{Args: c.Args, Env: c.Env, Terminal: c.Terminal, Recorded: c.RecordTTY != nil, Keep: c.Keep, Into: c.Into, Dir: c.Dir,
		Profiles: c.Profiles, Search: c.Search, Observed: c.Observer != nil, Exposed: c.Exposed,
		Stdio: [3]host.Stdio{host.DescribeStdin(c.Stdio[0], owner), host.DescribeFile(c.Stdio[1]), host.DescribeFile(c.Stdio[2])}}
	if r.Env == nil && c.Into == nil {
		r.Env = os.Environ()
	}
	for _, f := range c.ExtraFiles {
		r.Extra = append(r.Extra, host.DescribeFile(f))
	}
	if c.Observer != nil {
		r.Watch = c.Observer.Filter()
	}
	return r
}

// nonce returns a random number if the plan needs one to mark the launcher's execveat, and 0 otherwise.
func (c *Command) nonce() (nonce uint64, err error) {
	if c.Into == nil && c.Observer == nil && c.Profile.Syscalls.Exec != policy.ExecOnce {
		return 0, nil
	}
	// 0 means that there is no nonce, so another number is drawn.
	for nonce == 0 {
		if nonce, err = child.Random(); err != nil {
			return 0, &fail.Error{Op: "getrandom", Err: err}
		}
	}
	return nonce, nil
}
