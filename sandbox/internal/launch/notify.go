package launch

// The launcher's part of the listener: it answers.

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/filter"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/report"
)

// listen takes the listener that init sent.
func (p *Process) listen(fd int) {
	if fd < 0 || p.denials.Comp != nil || !child.IsListener(fd) {
		if fd >= 0 {
			unix.Close(fd)
		}
		return // checkListener says so
	}
	child.SyncWakeUp(fd)
	p.Listener = fd
	p.Watch(fd, unix.POLLIN, p.handleNotification)
	p.denials.Comp = p.Comp
}

// checkListener makes sure that a program whose calls wait for an answer has somebody who answers.
func (p *Process) checkListener() error {
	if p.Comp.Reports && p.denials.Comp == nil { // listen was not reached; a listener may be gone again, with the program
		switch {
		case p.killedWithin():
			return nil
		case p.dying():
			return ErrEnded
		}
		return &fail.Error{Op: "on-denial", Err: errors.New("the listener did not arrive"), From: p.Comp.Where("on-denial"), Hint: "use --on-denial silent to run without it"}
	}
	return nil
}

// handleNotification answers one denied call, if there is one, given what poll(2) says of the listener. It never blocks.
func (p *Process) handleNotification(revents int16) {
	if revents&unix.POLLIN == 0 { // the last process under the filter is gone
		p.Unwatch(p.Listener)
		unix.Close(p.Listener)
		p.Listener = -1
		return
	}
	if p.Cmd.Observer != nil {
		p.observeAll()
		return
	}
	var n child.Notification
	if child.NextNotification(p.Listener, &n) != 0 {
		return // killed since
	}
	call := filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args}
	if !p.handleModeCall(&n, &call) {
		errno, fresh := p.denials.Count(&call)
		if fresh != nil {
			p.describe(fresh, &n)
		}
		_ = child.Deny(p.Listener, n.ID, errno) // ENOENT: killed since
	}
	if p.denials.throttle.spend(time.Now) {
		p.rest()
	}
}

// describe adds to a denial what is known only while its task waits: who it is, and the text of paths. What was read is
// believed if the task still waits behind it; a number that belongs to another process meanwhile is not its.
func (p *Process) describe(d *denied, n *child.Notification) {
	tid := int(n.PID)
	read := func(addr uint64) (string, bool) { return readText(tid, addr) }
	decoded := filter.Decode(&d.call, read)
	comm, pid := proc.WhoIs(tid)
	if !child.Waits(p.Listener, n.ID) {
		decoded, comm, pid = filter.Decode(&d.call, nil), "", 0
	}
	d.Call, d.Args, d.Text, d.Comm, d.PID = decoded.Call, d.call.Args[:], decoded.String(), comm, pid
	if native := p.Comp.Arch; decoded.Arch != native {
		d.Arch = decoded.Arch.String()
	}
}

// maxText is how much of a path is read.
const maxText = 256

// readText reads a text that ends with a NUL, page by page, since a page behind it may not be there.
func readText(pid int, addr uint64) (string, bool) {
	var buf [maxText]byte
	text, whole := readString(pid, addr, buf[:])
	if !whole && len(text) == len(buf) {
		return text + "…", true
	}
	return text, whole
}

// readString reads into buf. whole reports that the text ended within; otherwise it is what could be read.
func readString(pid int, addr uint64, buf []byte) (text string, whole bool) {
	const page = 4096
	got := 0
	for got < len(buf) {
		n := child.ReadMemory(pid, addr+uint64(got), buf[got:min(len(buf), got+int(page-(addr+uint64(got))%page))])
		for i := got; i < got+n; i++ {
			if buf[i] == 0 {
				return string(buf[:i]), true
			}
		}
		if n == 0 {
			return string(buf[:got]), false
		}
		got += n
	}
	return string(buf), false
}

// An observer of the task.

// Observer watches a task. Its methods are called on the thread that waits for the task, and hold it up.
type Observer interface {
	// Filter returns the filter that the task gets instead of the profile's. It must ask about the calls that Call
	// wants to see, and allow everything else. nil means no filter at all.
	Filter() *filter.Spec
	// Ready gets the task's number when the task's next step is to run the program. An error ends the launch.
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

// Waits reports whether the call still waits. If it does, what was read about the thread of that number was read about
// the right thread.
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
		// The kernel wants zeros in the structure that it fills in, and refuses anything else: it is new each time.
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

// How many denied calls the launcher answers. Each costs the launcher about as much as the task, and nobody charges the
// sandbox for it: the launcher is outside of its cgroup. So a task that makes denied calls without end waits longer for the
// answers, and no other call does.

const (
	denialBurst = 1 << 16               // calls that are answered as they come
	denialRate  = 10_000                // calls per second beyond those: about a tenth of a processor
	denialPause = 10 * time.Millisecond // how long the launcher looks away when it has answered as many as it may
)

// throttle counts the answers that the launcher may still give at once.
type throttle struct {
	used  int       // since
	since time.Time // zero before the first burst is used up
}

// spend takes one answer, and reports whether it was the last for now. It asks for the time only where many were taken.
func (t *throttle) spend(now func() time.Time) (last bool) {
	if t.used++; t.used < denialBurst {
		return false
	}
	at := now()
	if !t.since.IsZero() {
		t.used = max(0, t.used-int(min(at.Sub(t.since), time.Hour)*denialRate/time.Second))
	}
	t.since = at
	return t.used >= denialBurst
}

// rest leaves the listener alone for a moment.
func (p *Process) rest() {
	p.Unwatch(p.Listener)
	p.At(time.Now().Add(denialPause), func() {
		if p.Listener >= 0 {
			p.Watch(p.Listener, unix.POLLIN, p.handleNotification)
		}
	})
}

// What is remembered of denied calls.

// MaxDenials bounds the kinds that are remembered, and so the memory that a task can make the launcher use.
const MaxDenials = 256

// Denials collects while the task runs. It asks nothing of the kernel.
type Denials struct {
	Comp  *compile.Compilation
	plain *filter.Program // the filter without reports: it has the errno of each call
	free  *filter.Program // plain without the rules about set-id bits; nil if the profile has none
	modes map[callKey]string
	Masks map[callKey][6]uint64
	Kinds map[kindKey]*denied
	Order []*denied
	Total uint64
	Lost  uint64

	throttle throttle
}

// denied is a kind of denied call, with the first of them.
type denied struct {
	report.Denial
	call filter.Data
}

type callKey struct {
	arch uint32
	nr   int32
}

type kindKey struct {
	callKey
	errno     uint16
	constants [6]uint64
}

// Count counts a call, and says what it fails with. What is returned is new and has to be described.
func (d *Denials) Count(call *filter.Data) (errno syscall.Errno, fresh *denied) {
	errno = d.errno(call)
	return errno, d.add(call, errno)
}

// add counts a call that got errno: 0 if the launcher has made it, without set-id bits. What is returned is new.
func (d *Denials) add(call *filter.Data, errno syscall.Errno) (fresh *denied) {
	d.Total++
	// Addresses and lengths differ from call to call; only arguments that are constants tell kinds apart.
	key := kindKey{callKey: callKey{call.Arch, call.Nr}, errno: uint16(errno)}
	for i, m := range d.mask(key.callKey) {
		key.constants[i] = call.Args[i] & m
	}
	if known := d.Kinds[key]; known != nil {
		known.Count++
		return nil
	}
	if len(d.Order) == MaxDenials {
		d.Lost++
		return nil
	}
	fresh = &denied{Denial: report.Denial{Count: 1}, call: *call}
	if errno == 0 {
		fresh.Instead = "done without the bits"
	}
	d.Kinds[key] = fresh
	d.Order = append(d.Order, fresh)
	return fresh
}

// errno is what the profile says. That it says anything else cannot be; the call is denied then, too.
func (d *Denials) errno(call *filter.Data) syscall.Errno {
	if d.plain == nil {
		d.prepare()
	}
	if a := d.plain.Action(call); a.Kind == filter.Errno && a.Errno != 0 {
		return syscall.Errno(a.Errno)
	}
	return syscall.EPERM
}

// prepare makes what the first denial needs.
func (d *Denials) prepare() {
	d.Masks, d.Kinds, d.modes = map[callKey][6]uint64{}, map[kindKey]*denied{}, map[callKey]string{}
	d.plain = &filter.Program{}
	spec, err := d.Comp.Spec()
	if err != nil {
		return // it was compiled before; a program without instructions denies
	}
	if prog, err := filter.Compile(spec, d.Comp.Arch); err == nil {
		d.plain = prog
	}
	if d.Comp.Profile.MaySetID() {
		return
	}
	if spec, err = d.Comp.Profile.Syscalls.Filter(); err == nil {
		d.free, _ = filter.Compile(spec, d.Comp.Arch) // nil: no call is made in the task's place
	}
}

// mask is filter.Constants, remembered: it takes longer than all the rest. A task cannot make this grow beyond the calls
// that there are, because a number without a name is never asked about.
func (d *Denials) mask(k callKey) [6]uint64 {
	m, ok := d.Masks[k]
	if !ok {
		m = filter.Constants(k.arch, k.nr)
		d.Masks[k] = m
	}
	return m
}

// reportDenials completes the report.
func (p *Process) reportDenials() {
	if !p.Comp.Reports || p.Comp.Observed() {
		return
	}
	d := &p.denials
	out := &report.Denials{Total: d.Total, Dropped: d.Lost, List: make([]report.Denial, 0, len(d.Order))}
	for _, x := range d.Order {
		if x.Instead == "" {
			x.Errno = strings.TrimSuffix(strings.TrimPrefix(d.plain.Action(&x.call).String(), "errno("), ")")
		}
		x.Rule, x.Remedy = why.Blame(p.Comp, x.Call, &x.call)
		if x.Quiet = why.Expected(p.Comp, &x.call); x.Quiet {
			out.Quiet += x.Count
		}
		out.List = append(out.List, x.Denial)
	}
	p.Report.Denials = out
}
