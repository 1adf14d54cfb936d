package sandbox

import (
	"errors"
	"os"
	"syscall"
	"time"

	"cordon/policy"
	"cordon/sandbox/plan"
)

// Cmd is a program to be run in a sandbox. Like an os/exec.Cmd it is used once.
type Cmd struct {
	Profile *policy.Profile // effective: extended, merged, validated; nil is the zero profile
	Args    []string        // Args[0] is looked up in PATH inside the sandbox unless it has a slash
	Env     []string        // the environment that Profile.Env picks from; nil means os.Environ()
	Dir     string          // the caller's working directory; "" means getcwd(2)

	Stdin, Stdout, Stderr *os.File   // nil means /dev/null
	ExtraFiles            []*os.File // entry i becomes descriptor 3+i; everything else is closed

	Host      *Host         // nil means Probe()
	KillAfter time.Duration // from SIGTERM at the wall-clock limit to SIGKILL; 0 means 2 s
}

// Plan compiles the command without running anything.
func (c *Cmd) Plan() (*plan.Plan, error) { return nil, errors.New("not written yet") }

// Start launches the sandbox and returns once the program has been exec'd.
func (c *Cmd) Start() error { return errors.New("not written yet") }

// Wait waits until the sandbox is gone and reports.
func (c *Cmd) Wait() (*Report, error) { return nil, errors.New("not written yet") }

// Run is Start and Wait.
func (c *Cmd) Run() (*Report, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	return c.Wait()
}

// Signal sends a signal to the task.
func (c *Cmd) Signal(sig syscall.Signal) error { return errors.New("not written yet") }

// Compile turns a profile into a plan for a host. It is pure: what it knows of the machine is in h.
func Compile(p *policy.Profile, h *Host, c *Cmd) (*plan.Plan, error) {
	return nil, errors.New("not written yet")
}
