package launch

// This file answers the notifications of the filter's listener: seccomp_unotify(2). A notification tells the launcher
// of a call that the filter denies; the call waits for the answer.

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

// listen starts to serve the listener that init has sent.
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

// checkListener makes sure that the launcher has got the listener, if the program's denied calls wait for an answer.
func (p *Process) checkListener() error {
	// In this case listen has got no listener. p.Listener would not show that, because it is also -1 after the program
	// has ended.
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

// handleNotification answers one denied call, if one waits. revents is what poll(2) reports for the listener.
// handleNotification never blocks.
func (p *Process) handleNotification(revents int16) {
	if revents&unix.POLLIN == 0 { // the last process under the filter has ended
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

// describe adds to a denial what can be read only while the task waits: which process it is, and the text of paths. If
// the task no longer waits after that, describe drops the result, because another process may have got the pid.
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

// readText reads a text that ends with a NUL. It shortens a text that is too long, and marks the cut with an ellipsis.
func readText(pid int, addr uint64) (string, bool) {
	var buf [maxText]byte
	text, whole := readString(pid, addr, buf[:])
	if !whole && len(text) == len(buf) {
		return text + "…", true
	}
	return text, whole
}

// readString reads a text into buf, page by page, because the page after the text may not be mapped. whole reports
// whether the text ended within buf. If it did not, text is the part that could be read.
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

// Observer watches a task, for cordon record. Its methods are called on the thread that waits for the task, so the task
// waits until they return.
type Observer interface {
	// Filter returns the filter that the task gets in place of the profile's. The filter must notify for the calls that
	// Call wants to see, and allow all other calls. nil means no filter at all.
	Filter() *filter.Spec
	// Ready gets the task's pid when the task is about to run the program. An error ends the launch.
	Ready(task int) error
	// Call gets a system call of the task. The task waits until Call returns. Then the kernel makes the call.
	Call(c *Call)
}

// Call is a system call of the task that waits for an answer.
type Call struct {
	filter.Data
	TID int // the thread, in the launcher's pid namespace

	listener int
	id       uint64
}

// Waits reports whether the task still waits for the answer. If it does, everything that was read so far about the
// thread TID was about this task, and not about a later thread with the same number.
func (c *Call) Waits() bool { return child.Waits(c.listener, c.id) }

// Who returns the name of the thread's process, and the process's pid in the innermost pid namespace. The process may
// have chosen its name itself.
func (c *Call) Who() (comm string, pid int) { return proc.WhoIs(c.TID) }

// Decode returns the name of the call and its arguments, and reads the paths among them.
func (c *Call) Decode() filter.Decoded {
	return filter.Decode(&c.Data, func(addr uint64) (string, bool) { return readText(c.TID, addr) })
}

// Memory reads the memory of the thread's process into buf, beginning at an address, as far as the memory is mapped. It
// returns the number of bytes.
func (c *Call) Memory(addr uint64, buf []byte) int { return child.ReadMemory(c.TID, addr, buf) }

// A program that makes one watched call often makes another soon. So the launcher first waits on the listener alone for
// a few more calls, before it serves other events. That may delay a signal or a limit by the same time.
const (
	watchedInRow = 64
	watchedSoon  = 200 * time.Microsecond
)

// observeAll tells the observer of the waiting notification, and of the notifications that follow at once.
func (p *Process) observeAll() {
	for range watchedInRow {
		var n child.Notification
		// The kernel accepts only a zeroed structure, which it fills in. So each call gets a new one.
		if child.NextNotification(p.Listener, &n) != 0 {
			return // the task was killed meanwhile
		}
		p.observe(&n)
		if !child.AwaitNotification(p.Listener, watchedSoon) {
			return
		}
	}
}

// observe tells the observer of a notification, and then lets the kernel make the call.
func (p *Process) observe(n *child.Notification) {
	p.Cmd.Observer.Call(&Call{
		Data:     filter.Data{Nr: n.Nr, Arch: n.Arch, IP: n.IP, Args: n.Args},
		TID:      int(n.PID),
		listener: p.Listener,
		id:       n.ID,
	})
	_ = child.Continue(p.Listener, n.ID) // ENOENT: the task was killed meanwhile
}

// ready tells the observer that the task waits to run the program.
func (p *Process) ready() error {
	if p.Cmd.Observer == nil {
		return nil
	}
	if err := p.Cmd.Observer.Ready(p.Task); err != nil {
		return &fail.Error{Op: "observer", Err: err}
	}
	return nil
}

// The launcher limits how many denied calls it answers. A denied call takes about as much of the launcher's time as of
// the task's. The launcher is outside of the sandbox's cgroup, so the sandbox is not charged for the launcher's time.
// So a task that makes denied calls without end waits longer for their answers. Its allowed calls do not wait.

const (
	denialBurst = 1 << 16               // calls that the launcher answers at once
	denialRate  = 10_000                // calls per second beyond those: about a tenth of a processor
	denialPause = 10 * time.Millisecond // how long the launcher then waits before it answers again
)

// throttle counts the answers that the launcher gives, and tells when the launcher must pause.
type throttle struct {
	used  int       // answers given that time has not yet made up for
	since time.Time // when used was last reduced; zero before the first burst is used up
}

// spend counts one answer, and reports whether the launcher must pause after it. It reads the clock only after many
// answers.
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

// rest makes the launcher answer no notifications for denialPause.
func (p *Process) rest() {
	p.Unwatch(p.Listener)
	p.At(time.Now().Add(denialPause), func() {
		if p.Listener >= 0 {
			p.Watch(p.Listener, unix.POLLIN, p.handleNotification)
		}
	})
}

// MaxDenials bounds how many kinds of denied calls the launcher remembers. So it also bounds the memory that a task can
// make the launcher use.
const MaxDenials = 256

// Denials collects the denied calls of a task. It makes no system calls.
type Denials struct {
	Comp  *compile.Compilation
	plain *filter.Program // the filter without a listener: it contains the errno of each denied call
	free  *filter.Program // plain without the rules about set-id bits; nil if there are none
	modes map[callKey]string
	Masks map[callKey][6]uint64
	Kinds map[kindKey]*denied
	Order []*denied
	Total uint64
	Lost  uint64

	throttle throttle
}

// denied is a kind of denied call: all calls with the same number and the same constant arguments. call is the first
// call of the kind.
type denied struct {
	report.Denial
	call filter.Data
}

// callKey names a system call by its architecture and number.
type callKey struct {
	arch uint32
	nr   int32
}

// kindKey identifies a kind of denied call.
type kindKey struct {
	callKey
	errno     uint16
	constants [6]uint64
}

// Count counts a call, and returns the errno with which it fails. fresh is not nil if the call is the first of its
// kind; the caller then has to describe it.
func (d *Denials) Count(call *filter.Data) (errno syscall.Errno, fresh *denied) {
	errno = d.errno(call)
	return errno, d.add(call, errno)
}

// add counts a call that failed with errno. errno is 0 if the launcher has made the call without set-id bits. fresh is
// not nil if the call is the first of its kind.
func (d *Denials) add(call *filter.Data, errno syscall.Errno) (fresh *denied) {
	d.Total++
	// Addresses and lengths differ from call to call. So only arguments that are constants, such as flags, distinguish
	// kinds.
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

// errno returns the errno with which the profile denies a call. Only calls that the profile denies come here; any other
// call would be denied too.
func (d *Denials) errno(call *filter.Data) syscall.Errno {
	if d.plain == nil {
		d.prepare()
	}
	if a := d.plain.Action(call); a.Kind == filter.Errno && a.Errno != 0 {
		return syscall.Errno(a.Errno)
	}
	return syscall.EPERM
}

// prepare compiles the filters that the first denial needs.
func (d *Denials) prepare() {
	d.Masks, d.Kinds, d.modes = map[callKey][6]uint64{}, map[kindKey]*denied{}, map[callKey]string{}
	d.plain = &filter.Program{}
	spec, err := d.Comp.Spec()
	if err != nil {
		return // impossible, because it compiled before; without instructions every call is denied
	}
	if prog, err := filter.Compile(spec, d.Comp.Arch); err == nil {
		d.plain = prog
	}
	if d.Comp.Profile.MaySetID() {
		return
	}
	if spec, err = d.Comp.Profile.SectionFilter(); err == nil {
		d.free, _ = filter.Compile(spec, d.Comp.Arch) // nil if this fails: then no call is made in the task's place
	}
}

// mask returns the result of filter.Constants. It keeps the result in a cache, because computing it takes longer than
// all the rest of answering a call. A task cannot make the cache grow beyond the existing calls, because the filter
// does not notify for unknown numbers.
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
