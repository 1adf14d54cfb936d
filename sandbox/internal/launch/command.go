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
	Profile *policy.Profile
	Host    *host.Host
	Args    []string
	Env     []string

	Stdio      [3]*os.File // standard input, output and error; nil means /dev/null
	ExtraFiles []*os.File

	Terminal  bool
	RecordTTY io.Writer
	Keep      bool // keep the descriptors that other programs need to join the sandbox
	Into      *attach.Attached
	Dir       string

	KillAfter time.Duration
	WaitDelay time.Duration // how long the launcher waits for slow readers of copied output; 0 means for ever
	State     *state.Entry
	Profiles  []ledger.Text
	Search    []string
	Exclusive bool
	Brief     bool
	Note      func(text string)
	Missing   func(report.Missing)
	Progress  func(names int)
	Observer  Observer

	WhyInPlace string // why the host makes no namespaces, if the profile permits that; see WithoutNamespaces

	// The fields below are for tests only.
	FailStep, FailInit int    // the step that is made to fail: one of the child and the task, and one of init; from 1
	Exposed            bool   // a program that joins the sandbox is not hidden from the processes inside
	Hold               func() // called while a joining program waits before its filter is in place
	Ran                func() // called when the program runs, before the launcher reads anything back
}

// Request describes the command as data for the compiler. It examines the command's files now.
func (c *Command) Request() *compile.Request {
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
	for nonce == 0 {
		if nonce, err = child.Random(); err != nil {
			return 0, &fail.Error{Op: "getrandom", Err: err}
		}
	}
	return nonce, nil
}
