package sandbox

// What is remembered of denied calls.

import (
	"strings"
	"syscall"

	"cordon/policy/filter"
	"cordon/sandbox/report"
)

// maxDenials bounds the kinds that are remembered, and so the memory that a task can make the launcher use.
const maxDenials = 256

// denials collects while the task runs. It asks nothing of the kernel.
type denials struct {
	comp  *compilation
	plain *filter.Program // the filter without reports: it has the errno of each call
	free  *filter.Program // plain without the rules about set-id bits; nil if the profile has none
	modes map[callKey]string
	masks map[callKey][6]uint64
	kinds map[kindKey]*denied
	order []*denied
	total uint64
	lost  uint64

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

// count counts a call, and says what it fails with. What is returned is new and has to be described.
func (d *denials) count(call *filter.Data) (errno syscall.Errno, fresh *denied) {
	errno = d.errno(call)
	return errno, d.add(call, errno)
}

// add counts a call that got errno: 0 if the launcher has made it, without set-id bits. What is returned is new.
func (d *denials) add(call *filter.Data, errno syscall.Errno) (fresh *denied) {
	d.total++
	key := kindKey{callKey: callKey{call.Arch, call.Nr}, errno: uint16(errno)}
	for i, m := range d.mask(key.callKey) {
		key.constants[i] = call.Args[i] & m
	}
	if known := d.kinds[key]; known != nil {
		known.Count++
		return nil
	}
	if len(d.order) == maxDenials {
		d.lost++
		return nil
	}
	fresh = &denied{Denial: report.Denial{Count: 1}, call: *call}
	if errno == 0 {
		fresh.Instead = "done without the bits"
	}
	d.kinds[key] = fresh
	d.order = append(d.order, fresh)
	return fresh
}

// errno is what the profile says. That it says anything else cannot be; the call is denied then, too.
func (d *denials) errno(call *filter.Data) syscall.Errno {
	if d.plain == nil {
		d.prepare()
	}
	if a := d.plain.Action(call); a.Kind == filter.Errno && a.Errno != 0 {
		return syscall.Errno(a.Errno)
	}
	return syscall.EPERM
}

// prepare makes what the first denial needs.
func (d *denials) prepare() {
	d.masks, d.kinds, d.modes = map[callKey][6]uint64{}, map[kindKey]*denied{}, map[callKey]string{}
	d.plain = &filter.Program{}
	spec, err := d.comp.spec()
	if err != nil {
		return // it was compiled before; a program without instructions denies
	}
	if prog, err := filter.Compile(spec, d.comp.arch); err == nil {
		d.plain = prog
	}
	if d.comp.profile.MaySetID() {
		return
	}
	if spec, err = d.comp.profile.Syscalls.Filter(); err == nil {
		d.free, _ = filter.Compile(spec, d.comp.arch) // nil: no call is made in the task's place
	}
}

// mask is filter.Constants, remembered: it takes longer than all the rest. A task cannot make this grow beyond the calls
// that there are, because a number without a name is never asked about.
func (d *denials) mask(k callKey) [6]uint64 {
	m, ok := d.masks[k]
	if !ok {
		m = filter.Constants(k.arch, k.nr)
		d.masks[k] = m
	}
	return m
}

// reportDenials completes the report.
func (p *process) reportDenials() {
	if !p.comp.reports || p.comp.observed() {
		return
	}
	d := &p.denials
	out := &report.Denials{Total: d.total, Dropped: d.lost, List: make([]report.Denial, 0, len(d.order))}
	for _, x := range d.order {
		if x.Instead == "" {
			x.Errno = strings.TrimSuffix(strings.TrimPrefix(d.plain.Action(&x.call).String(), "errno("), ")")
		}
		x.Rule, x.Remedy = blame(p.comp, x.Call, &x.call)
		out.List = append(out.List, x.Denial)
	}
	p.report.Denials = out
}
