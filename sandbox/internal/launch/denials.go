package launch

// What is remembered of denied calls.

import (
	"strings"
	"syscall"

	"cordon/policy/filter"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/report"
)

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
		out.List = append(out.List, x.Denial)
	}
	p.Report.Denials = out
}
