package convert

import (
	"slices"
	"strings"

	"cordon/policy/filter"
)

// This file writes the format of systemd.exec(5). A filter is a list of allowed names or, after ~, of refused names.
// Since version 247 each refused name may have its own action. The format cannot compare arguments.

// lineWidth is the width at which fill breaks lists of names. Several lines with the same key form one list.
const lineWidth = 110

func (e *exporter) systemd() []byte {
	var b strings.Builder
	b.WriteString("[Service]\nSystemCallArchitectures=native")
	for _, a := range e.foreign {
		b.WriteString(" " + systemdArch(a))
	}
	b.WriteString("\n")
	allow, logged := e.passing()
	if e.deflt.Passes() {
		e.refuse(&b)
		if e.deflt.Kind == filter.Log {
			fill(&b, "SystemCallLog=~", allow)
		}
	} else {
		names := append(allow, logged...)
		if len(names) == 0 { // without a line systemd would allow every call; exit_group is always allowed, see noteSystemd
			names = []string{"exit_group"}
		}
		fill(&b, "SystemCallFilter=", names)
		e.refuse(&b)
		if e.deflt.Kind == filter.Errno && e.deflt.Errno > 0 {
			b.WriteString("SystemCallErrorNumber=" + errnoName(e.deflt) + "\n")
		}
	}
	if e.deflt.Kind != filter.Log {
		fill(&b, "SystemCallLog=", logged)
	}
	e.noteSystemd(append(allow, logged...))
	return []byte(b.String())
}

func systemdArch(a filter.Arch) string {
	if a == filter.I386 {
		return "x86"
	}
	return a.String()
}

// passing returns the calls that pass, and those of them that are also logged. If the arguments decide whether a call
// passes, the call is in the result only with the option Lossy.
func (e *exporter) passing() (allow, logged []string) {
	for i := range e.decisions {
		d := &e.decisions[i]
		a, ok := fixed(d)
		switch {
		case ok && a.Kind == filter.Log, !ok && e.Lossy && mayPass(d) && !mayBe(d, filter.Allow):
			logged = append(logged, d.Call)
		case ok && a.Kind == filter.Allow, !ok && (e.Lossy || alwaysPasses(d)) && mayPass(d):
			allow = append(allow, d.Call)
		}
	}
	return allow, logged
}

func mayBe(d *filter.Decision, k filter.Kind) bool {
	return slices.ContainsFunc(d.Cases, func(c filter.Case) bool { return c.Action.Kind == k })
}

// alwaysPasses reports whether a call passes with all arguments. It may be logged with some of them.
func alwaysPasses(d *filter.Decision) bool {
	return !slices.ContainsFunc(d.Cases, func(c filter.Case) bool { return !c.Action.Passes() })
}

func mayPass(d *filter.Decision) bool { return mayBe(d, filter.Allow) || mayBe(d, filter.Log) }

// refuse writes the calls that are denied with another action than the default.
func (e *exporter) refuse(b *strings.Builder) {
	var names []string
	for i := range e.decisions {
		d := &e.decisions[i]
		a, ok := fixed(d)
		if !ok {
			if e.Lossy && mayPass(d) || !e.deflt.Passes() {
				continue
			}
			a = worst(d)
		}
		if a == e.deflt || a.Passes() || !e.deflt.Passes() && systemdAction(a) == systemdAction(e.deflt) {
			continue
		}
		names = append(names, d.Call+":"+systemdAction(a))
	}
	fill(b, "SystemCallFilter=~", names)
}

func worst(d *filter.Decision) (a filter.Action) {
	for _, k := range d.Cases {
		if k.Action.Kind > a.Kind {
			a = k.Action
		}
	}
	return a
}

// systemdAction returns the action for a refused call in systemd's words: the name of an error, or kill.
func systemdAction(a filter.Action) string {
	if a.Kind == filter.Errno && a.Errno > 0 {
		return errnoName(a)
	}
	return "kill"
}

// errnoName returns the name of an error, or its number if it has no name.
func errnoName(a filter.Action) string {
	return strings.TrimSuffix(strings.TrimPrefix(a.String(), "errno("), ")")
}

// fill writes a list over as many lines as it needs.
func fill(b *strings.Builder, key string, names []string) {
	width := 0
	for i, n := range names {
		switch {
		case i == 0 || width+1+len(n) > lineWidth:
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(key + n)
			width = len(key) + len(n)
		default:
			b.WriteString(" " + n)
			width += 1 + len(n)
		}
	}
	if len(names) > 0 {
		b.WriteByte('\n')
	}
}

func (e *exporter) noteSystemd(passing []string) {
	switch {
	case e.deflt.Passes(), systemdExact(e.deflt):
		e.scalarNote("default", "default: "+e.deflt.String(), Exact, Same, "")
	default:
		e.scalarNote("default", "default: "+e.deflt.String(), Approximated, Same, "systemd knows errors and kill, which it is now")
	}
	e.noteUnknown("they get the default, " + e.deflt.String())
	e.scalarNote("arches", "other architectures", Approximated, Same, "how their calls end is systemd's")
	e.noteItems(e.judgeSystemd)
	if e.deflt.Passes() {
		e.noteNewer()
		return
	}
	var open []string
	for _, n := range filter.Members("@default") {
		if d := e.decision(n); d != nil && !slices.Contains(passing, n) {
			open = append(open, n)
		}
	}
	if len(open) > 0 {
		e.note(Note{At: "syscalls", Rule: "@default", Class: Approximated, Effect: Wider,
			How: "systemd adds its own @default to every list of allowed calls, these among them as far as it has them: " + strings.Join(open, " ")})
	}
	e.noteNewer()
}

func systemdExact(a filter.Action) bool {
	return a.Kind == filter.Kill || a.Kind == filter.Errno && a.Errno > 0
}

func (e *exporter) judgeSystemd(d *filter.Decision) Note {
	a, ok := fixed(d)
	switch {
	case ok && d.Narrowed != "":
		return Note{Class: Approximated, Effect: Tighter, How: d.Call + ": " + d.Narrowed + ", and the more severe action holds"}
	case ok && !a.Passes() && !systemdExact(a) && a != e.deflt:
		return Note{Class: Approximated, Effect: Same, How: d.Call + ": systemd knows errors and kill, which it is now"}
	case ok:
		return Note{}
	case alwaysPasses(d):
		return Note{Class: Approximated, Effect: Same, How: d.Call + " passes with all arguments, and is not logged"}
	case !mayPass(d):
		return Note{Class: Approximated, Effect: Same, How: d.Call + " is refused in one way, whatever its arguments"}
	case e.Lossy:
		return Note{Class: Approximated, Effect: Wider, How: d.Call + " passes whatever its arguments, which systemd does not look at" + beside(d.Call)}
	}
	return Note{Class: Dropped, Effect: Tighter, How: "systemd does not look at arguments: " + d.Call + " is refused" + beside(d.Call)}
}

// beside names another setting of systemd that has a part of the effect of the rule that profiles usually have for a
// call.
func beside(call string) string {
	switch call {
	case "socket":
		return "; RestrictAddressFamilies= restricts families"
	case "clone", "clone3", "unshare", "setns":
		return "; RestrictNamespaces= restricts namespaces"
	case "personality":
		return "; LockPersonality= locks it"
	case "mmap", "mprotect":
		return "; MemoryDenyWriteExecute= is about the same"
	}
	return ""
}
