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
	Keep      bool // keep what other programs need to join the sandbox
	Into      *attach.Attached
	Dir       string

	KillAfter time.Duration
	WaitDelay time.Duration // how long the launcher waits for the readers of copied output; 0 means without a limit
	State     *state.Entry
	Profiles  []ledger.Text
	Search    []string
	Exclusive bool
	Brief     bool
	Note      func(text string)
	Missing   func(report.Missing)
	Observer  Observer

	WhyInPlace string // why the host makes no namespaces, if the profile permits that; see WithoutNamespaces

	// The fields below are for tests.
	FailStep, FailInit int    // the step of the child and task, or of init, that is made to fail; from 1
	Exposed            bool   // a program that joins a sandbox is not concealed from the processes inside
	Hold               func() // called while a joining program waits before its filter is in place
	Ran                func() // called when the program runs, before the launcher reads anything back
}

// Request describes the command as data. It looks at the command's files now.
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

// nonce draws a new nonce if the plan needs one, and returns 0 otherwise. Printed plans have the nonce 0.
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
