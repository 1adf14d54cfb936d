package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// These are the goals for our filters, as multiples of libseccomp's figures for the same rules.
const (
	maxFilterCompile = 1.0 / 20
	maxFilterInsns   = 1.0 / 4
	maxFilterLoad    = 1.0 / 4
	maxFilterCall    = 1.05 // at most libseccomp's time, plus the difference between two measurements of the same thing
)

// filterFigures is the output of command seccomp. Times are in nanoseconds.
type filterFigures struct {
	Libseccomp string
	Rows       []filterRow
}

type filterRow struct {
	Rules, Compiler                 string
	Insns                           int
	Compile, Load, Allowed, Checked []float64
}

// measureFilters runs the helper that links libseccomp, which is beside this program. It returns nil if the helper
// was not built.
func measureFilters(e effort) (*filterFigures, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	helper := filepath.Join(filepath.Dir(self), "bench-seccomp")
	if _, err := os.Stat(helper); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	cmd := exec.Command(helper, "-rounds", fmt.Sprint(e.Filters))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("bench-seccomp: %w", err)
	}
	f := new(filterFigures)
	return f, json.Unmarshal(out, f)
}

func medianOf(times []float64) float64 {
	if len(times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

// checks compares the first row of each set of rules with the other rows.
func (f *filterFigures) checks() (list []check) {
	if f == nil {
		return nil
	}
	var ours filterRow
	for _, r := range f.Rows {
		switch {
		case r.Compiler == "":
			continue
		case r.Rules != ours.Rules:
			ours = r
			continue
		}
		what := r.Rules + ", against " + r.Compiler + ": "
		list = append(list,
			check{what + "compiling", medianOf(ours.Compile) / medianOf(r.Compile), maxFilterCompile, thousandths},
			check{what + "instructions", float64(ours.Insns) / float64(r.Insns), maxFilterInsns, thousandths},
			check{what + "an allowed call", medianOf(ours.Allowed) / medianOf(r.Allowed), maxFilterCall, ratio},
			check{what + "a checked call", medianOf(ours.Checked) / medianOf(r.Checked), maxFilterCall, ratio})
		if strings.HasSuffix(r.Compiler, "1") { // libseccomp's default; at 2 most is the cost of any filter
			list = append(list, check{what + "loading", medianOf(ours.Load) / medianOf(r.Load), maxFilterLoad, thousandths})
		}
	}
	return list
}

func thousandths(x float64) string { return fmt.Sprintf("%.3f ×", x) }

func (f *filterFigures) format(b *strings.Builder) {
	if f == nil {
		fmt.Fprintf(b, "\n- left out: filters against libseccomp: its headers were not there\n")
		return
	}
	us := func(x float64) string { return fmt.Sprintf("%.1f µs", x/1e3) }
	ns := func(x float64) string { return fmt.Sprintf("%.0f ns", x) }
	fmt.Fprintf(b, "\n### Filters against libseccomp %s\n\n", f.Libseccomp)
	fmt.Fprintf(b, "Medians of %d rounds; in brackets the shortest.\n\n", len(f.Rows[0].Load))
	fmt.Fprintf(b, "| rules | compiler | instructions | compiling | loading | an allowed call | a checked call |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, r := range f.Rows {
		cell := func(times []float64, show func(float64) string) string {
			if medianOf(times) == 0 {
				return ""
			}
			return show(medianOf(times)) + " (" + show(slices.Min(times)) + ")"
		}
		insns := fmt.Sprint(r.Insns)
		if r.Compiler == "" {
			insns = ""
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Rules, r.Compiler, insns,
			cell(r.Compile, us), cell(r.Load, us), cell(r.Allowed, ns), cell(r.Checked, ns))
	}
	formatChecks(b, f.checks())
}
