package convert

import (
	"slices"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/phrase"
)

// Format is a format that Export writes.
type Format string

// These are the formats.
const (
	OCI        Format = "oci"        // linux.seccomp of the runtime specification: runc, crun, containerd, Podman
	Docker     Format = "docker"     // Docker's template: docker run --security-opt seccomp=FILE
	Systemd    Format = "systemd"    // lines of a unit's [Service] section
	Kubernetes Format = "kubernetes" // a localhost profile: the runtime specification's section
)

// Formats lists the formats.
func Formats() []string {
	return []string{string(OCI), string(Docker), string(Systemd), string(Kubernetes)}
}

// ExportOptions say how to write a profile.
type ExportOptions struct {
	Format Format
	Arch   filter.Arch // decides the sizes of arguments and the values of constants
	Lossy  bool        // if the format cannot express a rule, allow the call with all arguments

	// Runtime allows the calls that a container runtime itself makes after it has installed the filter and before the
	// program runs. It has no effect on Systemd.
	Runtime bool
}

// Export writes the syscalls section of an effective profile in another format. If a note says that a rule is exact,
// the rule decides the same in that format, for all calls that libseccomp knows. The error is a filter.Errors if the
// section cannot be compiled for the architecture.
func Export(p *policy.Profile, opts ExportOptions) (*Result, error) {
	spec, err := p.Filter()
	if err != nil {
		return nil, err
	}
	all, err := filter.Decisions(spec, opts.Arch)
	if err != nil {
		return nil, err
	}
	e := &exporter{ExportOptions: opts, profile: p, spec: spec, decisions: all, deflt: spec.Default, unknown: spec.Unknown}
	if e.deflt.Kind == filter.Unset {
		e.deflt = filter.Action{Kind: filter.Errno, Errno: 1}
	}
	if e.unknown.Kind == filter.Unset {
		e.unknown = filter.Action{Kind: filter.Errno, Errno: 38}
	}
	for _, a := range spec.Foreign {
		if a != opts.Arch && !slices.Contains(e.foreign, a) {
			e.foreign = append(e.foreign, a)
		}
	}
	slices.Sort(e.foreign)
	e.noteExec()
	e.runtime()
	var text []byte
	if opts.Format == Systemd {
		text = e.systemd()
	} else if text, err = e.oci(); err != nil {
		return nil, err
	}
	return &Result{Text: text, Notes: e.notes}, nil
}

// exporter holds what all formats need.
type exporter struct {
	ExportOptions
	profile   *policy.Profile
	spec      filter.Spec
	decisions []filter.Decision
	deflt     filter.Action
	unknown   filter.Action
	foreign   []filter.Arch
	notes     []Note
}

func (e *exporter) note(n Note) { e.notes = append(e.notes, n) }

// scalarNote adds a note about a scalar of the section.
func (e *exporter) scalarNote(key, rule string, class Class, effect Effect, how string) {
	e.note(Note{At: "syscalls." + key, Pos: e.profile.Source("syscalls." + key), Rule: rule, Class: class, Effect: effect, How: how})
}

// noteUnknown adds a note about call numbers that no table contains. No format can express an action for them.
func (e *exporter) noteUnknown(how string) {
	rule := "unknown: " + e.unknown.String()
	switch open, passes := e.deflt.Passes(), e.unknown.Passes(); {
	case e.unknown == e.deflt:
		e.scalarNote("unknown", rule, Exact, Same, "")
	case open && !passes:
		e.scalarNote("unknown", rule, Approximated, Wider, "calls that nobody knows pass, as all that is not named")
	case passes && !open:
		e.scalarNote("unknown", rule, Approximated, Tighter, "they get the default, "+e.deflt.String())
	default:
		e.scalarNote("unknown", rule, Approximated, Same, how)
	}
}

// noteExec adds a note about `exec: once`. This key needs a launcher that passes a nonce, and the programs that read
// these formats pass none.
func (e *exporter) noteExec() {
	if e.profile.Syscalls.Exec != policy.ExecOnce {
		return
	}
	var open []string
	for _, call := range [...]string{"execve", "execveat"} {
		if d := e.decision(call); d != nil && mayPass(d) {
			open = append(open, call)
		}
	}
	effect, how := Wider, "the program can execute others: "+strings.Join(open, " and ")+" must pass for the program itself"
	if len(open) == 0 {
		effect, how = Tighter, "execve and execveat are refused, and no program can be started under it"
	}
	e.scalarNote("exec", "exec: "+string(policy.ExecOnce), Dropped, effect, how)
}

// decision returns the decision for a call, or nil if the architectures have no call of that name.
func (e *exporter) decision(call string) *filter.Decision {
	i, ok := slices.BinarySearchFunc(e.decisions, canonical(call), func(d filter.Decision, name string) int { return strings.Compare(d.Call, name) })
	if !ok {
		return nil
	}
	return &e.decisions[i]
}

// noteItems adds a note for every item and rule of the section. of judges one call, and returns a zero Note if the
// conversion is exact.
func (e *exporter) noteItems(of func(*filter.Decision) Note) {
	s := &e.profile.Syscalls
	for _, x := range s.Allow {
		e.note(Note{At: "syscalls.allow", Pos: x.Pos, Rule: x.Name, Class: Exact})
	}
	for _, x := range s.Deny {
		e.note(Note{At: "syscalls.deny", Pos: x.Pos, Rule: x.Name, Class: Exact})
	}
	said := map[string]bool{}
	for i, x := range s.Rules {
		n := Note{Class: Exact}
		calls := []string{x.Call}
		if x.Call[0] == '@' {
			calls = filter.Members(x.Call)
		}
		for _, c := range calls {
			if d := e.decision(c); d != nil {
				said[d.Call] = true
				if one := of(d); one.Class != "" {
					n = one
				}
			}
		}
		n.At, n.Pos, n.Rule = phrase.Index("syscalls.rules", i), x.Pos, x.Call+": "+shortened(x.Expr)
		e.note(n)
	}
	for i := range e.decisions { // variants of calls with rules, and calls that cordon always refuses
		if n := of(&e.decisions[i]); n.Class != "" && !said[e.decisions[i].Call] {
			n.At, n.Rule = "syscalls", e.decisions[i].Call
			e.note(n)
		}
	}
}

func shortened(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:77], "") + "…"
	}
	return s
}

// noteNewer adds notes about names that the user's libseccomp may not know; libseccomp 2.5.4, for example, ends with
// Linux 5.17. The runtimes and systemd skip names that libseccomp does not know.
func (e *exporter) noteNewer() {
	var lost, open []string
	for i := range e.decisions {
		d := &e.decisions[i]
		if !newer(d.Call) || len(d.Cases) == 1 && d.Cases[0].Action == e.deflt {
			continue
		}
		if e.deflt.Passes() {
			open = append(open, d.Call)
		} else {
			lost = append(lost, d.Call)
		}
	}
	const how = "a libseccomp that is older than the call does not know the name, and the default holds: "
	if len(lost) > 0 {
		e.note(Note{At: "syscalls", Rule: "calls since Linux 5.18", Class: Approximated, Effect: Tighter, How: how + strings.Join(lost, " ")})
	}
	if len(open) > 0 {
		e.note(Note{At: "syscalls", Rule: "calls since Linux 5.18", Class: Approximated, Effect: Wider, How: how + strings.Join(open, " ")})
	}
}

// newer reports whether a call is newer than Linux 5.17.
func newer(call string) bool {
	k, err := ParseKernel(filter.Since(call))
	return err == nil && (k.Major > 5 || k.Major == 5 && k.Minor > 17)
}

// fixed returns the action of a call. ok is true if the action does not depend on the arguments.
func fixed(d *filter.Decision) (filter.Action, bool) {
	return d.Cases[0].Action, len(d.Cases) == 1
}
