package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/profiles"
	"cordon/sandbox/doctor"
	"cordon/sandbox/record"
	"cordon/sandbox/report"
)

func newDoctor(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Show what this machine supports, what is missing, and how to get it",
		Long: "Show what this machine supports. For each feature that is missing, say why it is missing and how to get it.\n\n" +
			"If possible, cordon tries each feature instead of trusting version numbers. At the end it starts every shipped profile\n" +
			"once. The exit code is 0 if the profile \"default\" starts, otherwise 1.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return u.doctor(asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// diagnosis is the result of `cordon doctor`.
type diagnosis struct {
	Version  int              `json:"version"`
	Checks   []doctor.Finding `json:"checks"`
	Profiles []started        `json:"profiles"`
}

// started says whether a shipped profile can start on this machine.
type started struct {
	Name   string `json:"name"`
	Starts bool   `json:"starts"`
	Why    string `json:"why,omitempty"`
	Remedy string `json:"remedy,omitempty"`

	Ways    []report.Way     `json:"ways_on,omitempty"` // what the host refuses, and what cordon did instead
	Missing []report.Missing `json:"missing,omitempty"` // what the sandbox lacks on this host; the profile allows that
}

func (u *ui) doctor(asJSON bool) error {
	d := diagnosis{Version: 1, Checks: append(doctor.Diagnose(doctor.ThisMachine()), record.Probe()...)}
	for _, p := range (profiles.Search{}).List() {
		d.Profiles = append(d.Profiles, tryProfile(p.Name))
	}
	u.code = d.code()
	if asJSON {
		return u.json(d)
	}
	return u.write(d.text())
}

// code returns 0 if the default profile starts, otherwise exitNo.
func (d diagnosis) code() int {
	for _, p := range d.Profiles {
		if p.Name == profiles.DefaultName && p.Starts {
			return 0
		}
	}
	return exitNo
}

// tryProfile starts true(1) under a shipped profile. If the profile has an empty root, it starts this program instead,
// which is static and needs no other file.
func tryProfile(name string) started {
	s := started{Name: name}
	p, err := profiles.Search{}.Load([]string{name}, nil)
	var r *report.Report
	switch {
	case err != nil:
	case floor(p):
		s.Why = "it allows no program to run: it is there for others to extend"
		return s
	case p.Root.Kind == policy.RootEmpty:
		p.Mounts = append(slices.Clip(p.Mounts), policy.Mount{Kind: policy.MountBind, Source: executable(), Target: "/cordon"})
		r, err = doctor.TryReport(p, "/cordon", "version")
	default:
		r, err = doctor.TryReport(p, "/bin/true")
	}
	if err != nil {
		first := each(err)[0]
		s.Why, _, _ = strings.Cut(first.Error(), "\n")
		s.Remedy = hint(first)
	}
	s.Starts = err == nil
	if r != nil {
		s.Ways, s.Missing = r.Ways, r.Missing
	}
	return s
}

// floor reports whether the profile, without profiles added to it, allows only the calls by which a program confines
// itself further.
func floor(p *policy.Profile) bool {
	other := func(x policy.SyscallItem) bool { return !filter.Names("@sandbox", x.Name) }
	return !slices.ContainsFunc(p.Syscalls.Allow, other) && p.Syscalls.Default != "allow" && p.Syscalls.Default != "log"
}

// executable returns this program's path. It ignores an error: if the file does not exist, the bind of the file will
// report that.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "/proc/self/exe"
	}
	return path
}

func (d diagnosis) text() string {
	var b strings.Builder
	for _, f := range d.Checks {
		row(&b, string(f.State), f.Name, f.Found)
		if f.State != doctor.OutcomeOK {
			detail(&b, "for", f.For)
		}
		detail(&b, "cause", f.Cause)
		detail(&b, "remedy", f.Remedy)
	}
	b.WriteString("\n")
	for _, p := range d.Profiles {
		state := "starts"
		if !p.Starts {
			state = "refuses"
		}
		row(&b, state, p.Name, p.Why)
		detail(&b, "remedy", p.Remedy)
		for _, w := range p.Ways {
			detail(&b, "way on", string(w.Layer)+": "+w.Why+"; "+w.How)
		}
		for _, m := range p.Missing {
			detail(&b, "missing", string(m.Layer)+": "+m.Why)
		}
	}
	return b.String()
}

func row(b *strings.Builder, state, name, text string) {
	b.WriteString(strings.TrimRight(pad(state, 9)+pad(name, 15)+clean(text), " ") + "\n")
}

func detail(b *strings.Builder, name, text string) {
	if text != "" {
		b.WriteString(pad("", 24) + name + ": " + clean(text) + "\n")
	}
}

// pad extends s to n columns, and leaves at least one space after it.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(1, n-len(s)))
}
