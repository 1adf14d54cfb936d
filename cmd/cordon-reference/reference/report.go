package reference

import (
	"fmt"
	"strings"

	"cordon/policy/filter"
)

// Request asks for a comparison: the filter's rules, and the architecture.
type Request struct {
	Spec filter.Spec `json:"spec"`
	Arch string      `json:"arch"`
}

// Report is the result of one comparison. Summary and Text describe it in words.
type Report struct {
	Summary     string       `json:"summary"`
	Libseccomp  string       `json:"libseccomp"` // the version of libseccomp
	Arch        string       `json:"arch"`
	Optimize    int          `json:"optimize"` // SCMP_FLTATR_CTL_OPTIMIZE
	Ours        int          `json:"ours"`     // number of instructions of our program
	Theirs      int          `json:"theirs"`
	Compared    int          `json:"compared"` // number of calls that both programs have decided
	Differences []Difference `json:"differences,omitempty"`
	Gaps        []Gap        `json:"gaps,omitempty"`
}

// String returns the report in one line, without the differences and the gaps.
func (r *Report) String() string {
	verdict := "identical"
	if n := len(r.Differences); n > 0 {
		verdict = fmt.Sprintf("%d differences", n)
	}
	return fmt.Sprintf("%s: libseccomp %s, optimization %d: %s in %d calls; %d instructions, libseccomp's %d",
		r.Arch, r.Libseccomp, r.Optimize, verdict, r.Compared, r.Ours, r.Theirs)
}

// Difference is a call that the programs decide differently.
type Difference struct {
	Text   string    `json:"text"`
	Arch   string    `json:"arch"`
	Call   string    `json:"call,omitempty"`
	Nr     uint32    `json:"nr"`
	Args   [6]uint64 `json:"args"`
	Ours   string    `json:"ours"`
	Theirs string    `json:"theirs"`
	Right  string    `json:"right"` // the right decision, according to the diagrams
	From   string    `json:"from,omitempty"`
}

func (d Difference) String() string {
	s := fmt.Sprintf("%s, number %d", d.Arch, d.Nr)
	if d.Call != "" {
		s = fmt.Sprintf("%s on %s (%d)", d.Call, d.Arch, d.Nr)
	}
	s += fmt.Sprintf(", arguments %#x: %s, libseccomp %s, by the rules %s", d.Args, d.Ours, d.Theirs, d.Right)
	if d.From != "" {
		s += " (" + d.From + ")"
	}
	return s
}

// Gap is something that libseccomp cannot express, with the calls that it therefore decides differently. For these
// calls our program was compared with the rules themselves.
type Gap struct {
	Text  string   `json:"text"`
	What  string   `json:"what"`
	Calls []string `json:"calls,omitempty"`
}

func (g Gap) String() string {
	if len(g.Calls) == 0 {
		return g.What
	}
	return g.What + ": " + strings.Join(g.Calls, ", ")
}

// Skipped returns the report for an architecture for which the filter cannot be compiled.
func Skipped(arch filter.Arch, optimize int, err error) *Report {
	return &Report{Arch: arch.String(), Optimize: optimize, Summary: arch.String() + ": no filter to compare: " + err.Error()}
}

// Foreign returns those architectures of all that a kernel for native can run besides its own.
func Foreign(native filter.Arch, all []filter.Arch) (run []filter.Arch) {
	for _, a := range all {
		switch {
		case native == filter.AMD64 && (a == filter.I386 || a == filter.X32), native == filter.ARM64 && a == filter.ARM:
			run = append(run, a)
		}
	}
	return run
}
