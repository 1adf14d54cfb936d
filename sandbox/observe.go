package sandbox

// A run that is watched and not confined by seccomp: for a recorder. seccomp_unotify(2): the answer "go on" leaves the
// call to the kernel, which reads the task's memory once more. Whoever can write that memory, another thread of the
// task, can change what is behind a pointer between the look and the call. So what an Observer sees is evidence and
// never a decision, and such a run reports no seccomp layer.

import (
	"time"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
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
func (c *Call) Who() (comm string, pid int) { return whoIs(c.TID) }

// Decode names the call and its arguments, and reads the paths among them.
func (c *Call) Decode() filter.Decoded {
	return filter.Decode(&c.Data, func(addr uint64) (string, bool) { return readText(c.TID, addr) })
}

// Memory reads what the thread's process has at an address, as far as it can be read, and says how much that is.
func (c *Call) Memory(addr uint64, buf []byte) int { return child.ReadMemory(c.TID, addr, buf) }

// watched reports whether the task gets an observer's filter.
func (c *compilation) watched() bool { return c.observed() && c.cmd.Observer.Filter() != nil }

// observed reports whether somebody watches in the profile's place.
func (c *compilation) observed() bool { return c.cmd.Observer != nil }

// asItIs reports whether the task gets the host's tree with all that the caller may do in it. No profile can say that: it
// is for a program that is watched.
func (c *compilation) asItIs() bool {
	return c.observed() && c.profile.Root.Kind == policy.RootHost && c.profile.Root.Write
}

// watch installs the observer's filter. The launcher's own call is an execveat with a number in it that nobody knows:
// every other execve can then be notified of.
func (c *compilation) watch() error {
	spec := c.cmd.Observer.Filter()
	if spec == nil {
		return nil
	}
	watching := *spec
	watching.Rules = append(watching.Rules[:len(watching.Rules):len(watching.Rules)],
		filter.Rule{Call: "execveat", Expr: "nonce == 0x" + hex16(c.nonce), Else: filter.Action{Kind: filter.Notify}})
	prog, err := filter.Compile(watching, c.arch)
	if err != nil {
		return err
	}
	c.listenWith(own("observer"), own("observer"), prog)
	return nil
}

// A program that makes one call that is watched makes another soon. So a few are awaited on the listener alone before the
// loop looks at all else: that long a signal or a limit may be late.
const (
	watchedInRow = 64
	watchedSoon  = 200 * time.Microsecond
)

// observeAll tells the observer of the notification that is there, and of those that follow at once.
func (p *process) observeAll() {
	for range watchedInRow {
		var n child.Notification
		if child.NextNotification(p.listener, &n) != 0 {
			return // killed since
		}
		p.observe(&n)
		if !child.AwaitNotification(p.listener, watchedSoon) {
			return
		}
	}
}

// observe tells the observer of a notification, and lets the call go on.
func (p *process) observe(n *child.Notification) {
	p.cmd.Observer.Call(&Call{
		Data:     filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args},
		TID:      int(n.PID),
		listener: p.listener,
		id:       n.ID,
	})
	_ = child.Continue(p.listener, n.ID) // ENOENT: killed since
}

// planObserver makes room for the listener of an observer's filter, without which nothing would be seen.
func (c *compilation) planObserver() error {
	if !c.watched() {
		return nil
	}
	if why := c.noListener(); why != "" {
		return &UnsupportedError{Layer: policy.LayerDenials, Why: why, Remedy: "cordon doctor says what this host lacks"}
	}
	c.reserveListener(own("observer"))
	return nil
}

// ready tells the observer that the task waits at the barrier.
func (p *process) ready() error {
	if p.cmd.Observer == nil {
		return nil
	}
	if err := p.cmd.Observer.Ready(p.task); err != nil {
		return &Error{Op: "observer", Err: err}
	}
	return nil
}
