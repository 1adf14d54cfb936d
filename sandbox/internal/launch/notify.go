package launch

// The launcher answers the notifications of the filter's listener.

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

// listen takes over the listener that init sent.
func (p *Process) listen(fd int) {
	if fd < 0 || p.denials.Comp != nil || !child.IsListener(fd) {
		if fd >= 0 {
			unix.Close(fd)
		}
		return // checkListener returns the error
	}
	child.SyncWakeUp(fd)
	p.Listener = fd
	p.Watch(fd, unix.POLLIN, p.handleNotification)
	p.denials.Comp = p.Comp
}

// checkListener makes sure that the launcher can answer a program whose calls wait for an answer.
func (p *Process) checkListener() error {
	// listen took no listener. p.Listener would not tell, because the listener may be gone again, with the program.
	if p.Comp.Reports && p.denials.Comp == nil {
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

// handleNotification answers one denied call, if there is one. revents is what poll(2) says of the listener. It never
// blocks.
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
		return // the task was killed meanwhile
	}
	call := filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args}
	if !p.handleModeCall(&n, &call) {
		errno, fresh := p.denials.Count(&call)
		if fresh != nil {
			p.describe(fresh, &n)
		}
		_ = child.Deny(p.Listener, n.ID, errno) // ENOENT: the task was killed meanwhile
	}
	if p.denials.throttle.spend(time.Now) {
		p.rest()
	}
}

// describe adds to a denial what the launcher can learn only while the task waits: which process it is, and the text
// of paths. It believes what it has read only if the task still waits afterwards. Otherwise the number may have
// become another process's.
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

// maxText bounds how many bytes of a path the launcher reads.
const maxText = 256

// readText reads a text that ends with a NUL. It cuts a longer text off, and marks that with an ellipsis.
func readText(pid int, addr uint64) (string, bool) {
	var buf [maxText]byte
	text, whole := readString(pid, addr, buf[:])
	if !whole && len(text) == len(buf) {
		return text + "…", true
	}
	return text, whole
}

// readString reads a text into buf, page by page, because the page after the text may not be there. If whole is true,
// the text ended within buf. Otherwise text is what could be read.
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

// This part serves an observer of the task.

// Observer watches a task. Its methods are called on the thread that waits for the task, and hold it up.
type Observer interface {
	// Filter returns the filter that the task gets instead of the profile's. It must ask about the calls that Call
	// wants to see, and allow everything else. nil means no filter at all.
	Filter() *filter.Spec
	// Ready gets the task's number when the task's next step is to run the program. An error ends the launch.
	Ready(task int) error
	// Call gets a call of which the filter notifies. The task waits until Call returns. Then the kernel makes the
	// call.
	Call(c *Call)
}

// Call is a system call that waits.
type Call struct {
	filter.Data
	TID int // the thread, in the launcher's pid namespace

	listener int
	id       uint64
}

// Waits reports whether the task still waits. If it does, what was read about the thread TID was read about the right
// thread.
func (c *Call) Waits() bool { return child.Waits(c.listener, c.id) }

// Who returns the name of the thread's process, which the process may have chosen, and the number of the process in
// the innermost pid namespace.
func (c *Call) Who() (comm string, pid int) { return proc.WhoIs(c.TID) }

// Decode names the call and its arguments, and reads the paths among them.
func (c *Call) Decode() filter.Decoded {
	return filter.Decode(&c.Data, func(addr uint64) (string, bool) { return readText(c.TID, addr) })
}

// Memory reads the memory of the thread's process at an address, as far as it can be read. It returns the number of
// bytes.
func (c *Call) Memory(addr uint64, buf []byte) int { return child.ReadMemory(c.TID, addr, buf) }

// A program that makes one watched call soon makes another. So the launcher waits for a few of them on the listener
// alone before it looks at anything else. A signal or a limit may be late by that time.
const (
	watchedInRow = 64
	watchedSoon  = 200 * time.Microsecond
)

// observeAll tells the observer of the notification that is there, and of the notifications that follow at once.
func (p *Process) observeAll() {
	for range watchedInRow {
		var n child.Notification
		// The kernel refuses a structure that is not zero, and then fills it in. So each call gets a new one.
		if child.NextNotification(p.Listener, &n) != 0 {
			return // the task was killed meanwhile
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
	_ = child.Continue(p.Listener, n.ID) // ENOENT: the task was killed meanwhile
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

// The launcher limits how many denied calls it answers. Each call costs the launcher about as much time as the task.
// Nobody charges the sandbox for that time, because the launcher is outside of the sandbox's cgroup. So a task that
// makes denied calls without end waits longer for the answers. Other calls do not wait longer.

const (
	denialBurst = 1 << 16               // calls that the launcher answers as they come
	denialRate  = 10_000                // calls per second beyond those: about a tenth of a processor
	denialPause = 10 * time.Millisecond // how long the launcher looks away when it has given all answers that it may
)

// throttle counts the answers that the launcher has given, so that it can tell how many it may still give at once.
type throttle struct {
	used  int       // answers that still count, because the rate has not made up for them
	since time.Time // when the rate last reduced used; zero before the first burst is used up
}

// spend takes one answer, and reports whether it was the last for now. It reads the clock only after many answers.
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

// rest leaves the listener alone for denialPause.
func (p *Process) rest() {
	p.Unwatch(p.Listener)
	p.At(time.Now().Add(denialPause), func() {
		if p.Listener >= 0 {
			p.Watch(p.Listener, unix.POLLIN, p.handleNotification)
		}
	})
}

// This part remembers denied calls.

// MaxDenials bounds the kinds of denied calls that the launcher remembers, and so the memory that a task can make it
// use.
const MaxDenials = 256

// Denials collects denied calls while the task runs. It asks nothing of the kernel.
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

// denied is a kind of denied call. call is the first call of the kind.
type denied struct {
	report.Denial
	call filter.Data
}

// callKey names a system call by its architecture and number.
type callKey struct {
	arch uint32
	nr   int32
}

// kindKey tells the kinds of denied calls apart.
type kindKey struct {
	callKey
	errno     uint16
	constants [6]uint64
}

// Count counts a call, and returns the errno with which it fails. If fresh is not nil, the kind is new, and the
// caller has to describe it.
func (d *Denials) Count(call *filter.Data) (errno syscall.Errno, fresh *denied) {
	errno = d.errno(call)
	return errno, d.add(call, errno)
}

// add counts a call that got errno, which is 0 if the launcher has made the call without set-id bits. If fresh is not
// nil, the kind is new.
func (d *Denials) add(call *filter.Data, errno syscall.Errno) (fresh *denied) {
	d.Total++
	// Addresses and lengths differ from call to call. Only arguments that are constants tell kinds apart.
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

// errno returns the errno that the profile gives a call. If the profile gave none, which cannot be, the call would be
// denied, too.
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
		return // impossible, because it compiled before; a program without instructions denies
	}
	if prog, err := filter.Compile(spec, d.Comp.Arch); err == nil {
		d.plain = prog
	}
	if d.Comp.Profile.MaySetID() {
		return
	}
	if spec, err = d.Comp.Profile.SectionFilter(); err == nil {
		d.free, _ = filter.Compile(spec, d.Comp.Arch) // nil: the launcher makes no call in the task's place
	}
}

// mask returns filter.Constants and remembers it, because it takes longer than all the rest. A task cannot make the
// map grow beyond the calls that exist, because the filter does not notify of a number without a name.
func (d *Denials) mask(k callKey) [6]uint64 {
	m, ok := d.Masks[k]
	if !ok {
		m = filter.Constants(k.arch, k.nr)
		d.Masks[k] = m
	}
	return m
}

// reportDenials adds the denied calls to the report.
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
