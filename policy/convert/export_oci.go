package convert

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"cordon/policy/filter"
)

// These types are the runtime specification's section and Docker's template, as they are written.

type ociProfile struct {
	DefaultAction   string     `json:"defaultAction"`
	DefaultErrnoRet *uint16    `json:"defaultErrnoRet,omitempty"`
	Architectures   []string   `json:"architectures,omitempty"`
	ArchMap         []ociHost  `json:"archMap,omitempty"`
	Syscalls        []ociEntry `json:"syscalls"`
}

type ociHost struct {
	Architecture     string   `json:"architecture"`
	SubArchitectures []string `json:"subArchitectures"`
}

type ociEntry struct {
	Names    []string `json:"names"`
	Action   string   `json:"action"`
	ErrnoRet *uint16  `json:"errnoRet,omitempty"`
	Args     []ociArg `json:"args,omitempty"`
	Comment  string   `json:"comment,omitempty"`
}

type ociArg struct {
	Index    int    `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo,omitempty"`
	Op       string `json:"op"`
}

// oci writes one entry for all calls with the same action. If the arguments of a call decide, it writes one entry for
// each case. No two cases hold for the same arguments, because libseccomp does not try a second rule after the first
// has failed.
func (e *exporter) oci() ([]byte, error) {
	out := ociProfile{Syscalls: []ociEntry{}}
	out.DefaultAction, out.DefaultErrnoRet = e.scmp(e.deflt)
	arches := []string{scmpArch(e.Arch)}
	for _, a := range e.foreign {
		arches = append(arches, scmpArch(a))
	}
	if e.Format == Docker {
		out.ArchMap = []ociHost{{arches[0], arches[1:]}}
	} else {
		out.Architectures = arches
	}
	out.Syscalls = append(out.Syscalls, e.plain()...)
	for i := range e.decisions {
		if d := &e.decisions[i]; len(d.Cases) > 1 {
			out.Syscalls = append(out.Syscalls, e.cases(d)...)
		}
	}
	e.noteOCI()
	text, err := json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}

// plain returns the entries for calls whose arguments do not matter, one for each action.
func (e *exporter) plain() (entries []ociEntry) {
	var seen []filter.Action
	for i := range e.decisions {
		a, ok := fixed(&e.decisions[i])
		if !ok || a == e.deflt {
			continue
		}
		k := slices.Index(seen, a)
		if k < 0 {
			k = len(seen)
			seen = append(seen, a)
			entries = append(entries, e.entry(a, ""))
		}
		entries[k].Names = append(entries[k].Names, e.decisions[i].Call)
	}
	return entries
}

func (e *exporter) entry(a filter.Action, call string) (out ociEntry) {
	out.Action, out.ErrnoRet = e.scmp(a)
	if call == "" {
		return out
	}
	out.Names = []string{call}
	if e.Format == Docker { // the runtime specification has no field for a comment
		out.Comment = e.source(call)
	}
	return out
}

// source returns the positions of the rules about a call.
func (e *exporter) source(call string) string {
	var at []string
	for _, r := range e.profile.Syscalls.Rules {
		if canonical(r.Call) == call && r.Pos.Short() != "" {
			at = append(at, r.Pos.Short())
		}
	}
	return strings.Join(at, ", ")
}

// cases returns the entries of a call whose arguments decide.
func (e *exporter) cases(d *filter.Decision) (entries []ociEntry) {
	fit, all := e.fit(d)
	if k, other, ok := allBut(d.Cases, e.deflt); ok && all && (!e.narrow() || !high(&k)) {
		out := e.entry(other, d.Call)
		out.Args = comparisons(&k)
		out.Args[0].Op = "SCMP_CMP_NE"
		return []ociEntry{out}
	}
	for i := range fit {
		if k := &fit[i]; k.Action != e.deflt {
			out := e.entry(k.Action, d.Call)
			out.Args = comparisons(k)
			entries = append(entries, out)
		}
	}
	return entries
}

// narrow reports whether libseccomp compares only the low half of an argument on one of the ABIs.
func (e *exporter) narrow() bool {
	return old(e.foreign) || old([]filter.Arch{e.Arch}) || slices.Contains(e.foreign, filter.X32)
}

// high reports whether a case needs a bit set in the high half of an argument.
func high(k *filter.Case) bool {
	return slices.ContainsFunc(k.Args[:], func(m filter.Masked) bool { return m.Value>>32 != 0 })
}

// fit handles ABIs on which libseccomp compares only the low halves of arguments. It omits a case that needs a bit of
// the high half, if other cases decide about the same low halves. The values of that case then get the default. If the
// default would allow values that the profile refuses, fit uses the most severe action of the call for all values.
func (e *exporter) fit(d *filter.Decision) (cases []filter.Case, all bool) {
	if !e.narrow() {
		return d.Cases, true
	}
	for i := range d.Cases {
		k := &d.Cases[i]
		if k.Action == e.deflt || !high(k) || !slices.ContainsFunc(d.Cases, func(o filter.Case) bool { return o.Action != k.Action && !high(&o) && meet(k, &o) }) {
			cases = append(cases, *k)
		} else if e.deflt.Passes() && !k.Action.Passes() {
			return []filter.Case{{Action: worst(d)}}, false
		}
	}
	return cases, len(cases) == len(d.Cases)
}

// meet reports whether the low halves of two cases have a value in common.
func meet(a, b *filter.Case) bool {
	for i := range a.Args {
		both := uint32(a.Args[i].Mask & b.Args[i].Mask)
		if uint32(a.Args[i].Value)&both != uint32(b.Args[i].Value)&both {
			return false
		}
	}
	return true
}

// allBut looks for a call with only two actions: the default for a single value of a single argument, and another
// action for every other value.
func allBut(cases []filter.Case, deflt filter.Action) (but filter.Case, other filter.Action, ok bool) {
	for _, k := range cases {
		args := comparisons(&k)
		switch {
		case k.Action == deflt && !ok && len(args) == 1 && args[0].Op == "SCMP_CMP_EQ":
			but, ok = k, true
		case k.Action == deflt || len(args) != 1 || other.Kind != filter.Unset && other != k.Action:
			return but, other, false
		default:
			other = k.Action
		}
	}
	for _, k := range cases { // all cases must be about this argument
		for i := range k.Args {
			if k.Args[i].Mask != 0 && but.Args[i].Mask == 0 {
				return but, other, false
			}
		}
	}
	return but, other, ok && other.Kind != filter.Unset
}

func comparisons(k *filter.Case) (args []ociArg) {
	for i, m := range k.Args {
		switch m.Mask {
		case 0:
		case 1<<64 - 1:
			args = append(args, ociArg{Index: i, Value: m.Value, Op: "SCMP_CMP_EQ"})
		default:
			args = append(args, ociArg{Index: i, Value: m.Mask, ValueTwo: m.Value, Op: "SCMP_CMP_MASKED_EQ"})
		}
	}
	return args
}

// scmp returns libseccomp's name of an action.
func (e *exporter) scmp(a filter.Action) (name string, errno *uint16) {
	switch a.Kind {
	case filter.KillThread:
		return "SCMP_ACT_KILL_THREAD", nil
	case filter.Errno, filter.Trace:
		errno = &a.Errno
	}
	for _, x := range actions {
		if x.kind == a.Kind {
			return x.name, errno
		}
	}
	return "SCMP_ACT_KILL_PROCESS", nil
}

func scmpArch(a filter.Arch) string {
	for _, x := range architectures {
		if x.arch == a {
			return x.name
		}
	}
	return ""
}

func (e *exporter) noteOCI() {
	e.scalarNote("default", "default: "+e.deflt.String(), Exact, Same, "")
	e.noteUnknown("runc answers ENOSYS to calls newer than all that the file names; others get the default, " + e.deflt.String())
	e.scalarNote("arches", "other architectures", Approximated, Same, "libseccomp ends the thread that makes their calls, not the process")
	e.noteItems(func(d *filter.Decision) Note {
		switch {
		case d.Narrowed != "":
			return Note{Class: Approximated, Effect: Tighter, How: d.Call + ": " + d.Narrowed + ", and the more severe action holds"}
		case !e.fits(d):
			return Note{Class: Approximated, Effect: Tighter, How: d.Call + ": values of more than 32 bits get the default, " + e.deflt.String() + ": a 32-bit call's are compared by their low half"}
		case e.opens(d):
			return Note{Class: Approximated, Effect: Wider, How: "libseccomp opens " + d.Call + " on i386 for what its rules for the single calls allow, whatever their arguments"}
		case slices.Contains(e.foreign, filter.X32) && wide(d):
			return Note{Class: Approximated, Effect: Wider, How: "of x32's arguments libseccomp compares 32 bits"}
		case trapData(d):
			return Note{Class: Approximated, Effect: Same, How: "the number that goes with the signal is lost"}
		}
		return Note{}
	})
	e.noteNewer()
}

func (e *exporter) fits(d *filter.Decision) bool {
	_, all := e.fit(d)
	return all
}

// opens reports whether libseccomp would allow a call that cordon denies. cordon denies the call because it can do the
// work of other calls, which are denied.
func (e *exporter) opens(d *filter.Decision) bool {
	a, ok := fixed(d)
	return slices.Contains(e.foreign, filter.I386) && (d.Call == "socketcall" || d.Call == "ipc") && (!ok || !a.Passes())
}

// wide reports whether a case depends on more than the low half of an argument.
func wide(d *filter.Decision) bool {
	for _, k := range d.Cases {
		for _, m := range k.Args {
			if m.Mask>>32 != 0 {
				return true
			}
		}
	}
	return false
}

func trapData(d *filter.Decision) bool {
	return slices.ContainsFunc(d.Cases, func(k filter.Case) bool { return k.Action.Kind == filter.Trap && k.Action.Errno != 0 })
}

// SecurityContext returns the part of a Kubernetes container or pod that uses a localhost profile. file is the name
// of the profile's file.
func SecurityContext(file string) []byte {
	name := "profiles/" + file
	if strings.ContainsFunc(file, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && !('0' <= r && r <= '9') && !('a' <= r|0x20 && r|0x20 <= 'z')
	}) {
		name = strconv.QuoteToASCII(name)
	}
	return []byte("# The file's place on every node is /var/lib/kubelet/seccomp/profiles/.\n" +
		"securityContext:\n  seccompProfile:\n    type: Localhost\n    localhostProfile: " + name + "\n")
}
