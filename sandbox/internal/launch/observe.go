package launch

// An observer of the task.

import (
	"time"

	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// Observer watches a task. Its methods are called on the thread that waits for the task, and hold it up.
type Observer interface {
	// Filter is the filter that the task gets in the profile's place, and is to notify of what Call wants to see and to
	// allow everything else; nil for no filter at all.
	Filter() *filter.Spec
	// Ready is told the task's number when there is nothing left for it to do but to run the program. An error ends the
	// launch.
	Ready(task int) error
	// Call is told of a call that the filter notifies of. The call waits until Call returns, and then goes on.
	Call(c *Call)
}

// Call is a system call that waits.
type Call struct {
	filter.Data
	TID int // the thread, in the launcher's pid namespace

	listener int
	id       uint64
}

// Waits reports whether the call still waits, so that what was read of the thread with its number was read of it.
func (c *Call) Waits() bool { return child.Waits(c.listener, c.id) }

// Who is the name of the thread's process, which may have chosen any, and its number in the innermost pid namespace.
func (c *Call) Who() (comm string, pid int) { return proc.WhoIs(c.TID) }

// Decode names the call and its arguments, and reads the paths among them.
func (c *Call) Decode() filter.Decoded {
	return filter.Decode(&c.Data, func(addr uint64) (string, bool) { return readText(c.TID, addr) })
}

// Memory reads what the thread's process has at an address, as far as it can be read, and says how much that is.
func (c *Call) Memory(addr uint64, buf []byte) int { return child.ReadMemory(c.TID, addr, buf) }

// A program that makes one call that is watched makes another soon. So a few are awaited on the listener alone before the
// loop looks at all else: that long a signal or a limit may be late.
const (
	watchedInRow = 64
	watchedSoon  = 200 * time.Microsecond
)

// observeAll tells the observer of the notification that is there, and of those that follow at once.
func (p *Process) observeAll() {
	for range watchedInRow {
		var n child.Notification
		if child.NextNotification(p.Listener, &n) != 0 {
			return // killed since
		}
		p.observe(&n)
		if !child.AwaitNotification(p.Listener, watchedSoon) {
			return
		}
	}
}

// observe tells the observer of a notification, and lets the call go on.
func (p *Process) observe(n *child.Notification) {
	p.Cmd.Observer.Call(&Call{
		Data:     filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args},
		TID:      int(n.PID),
		listener: p.Listener,
		id:       n.ID,
	})
	_ = child.Continue(p.Listener, n.ID) // ENOENT: killed since
}

// ready tells the observer that the task waits at the barrier.
func (p *Process) ready() error {
	if p.Cmd.Observer == nil {
		return nil
	}
	if err := p.Cmd.Observer.Ready(p.Task); err != nil {
		return &fail.Error{Op: "observer", Err: err}
	}
	return nil
}
