package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// These are the goals.
const (
	maxBubble     = 0.90 // cordon run, as a multiple of bubblewrap with the same mounts
	maxPlain      = 1.05 // cordon run, as a multiple of bubblewrap with the fewest mounts
	maxFloor      = 1.5  // cordon run, as a multiple of the floor
	maxLibrary    = 1.15 // the library, as a multiple of the floor
	maxGroups     = 1.10 // with limits of memory and processes, as a multiple of a launch without these limits
	maxCompile    = 500 * time.Microsecond
	maxImported   = time.Millisecond // in addition to the time without a filter
	maxBinds      = 200 * time.Millisecond
	maxPID1Memory = 300_000 // bytes
)

func (r row) mean() float64 {
	sum := 0.0
	for _, t := range r.Times {
		sum += t
	}
	return sum / float64(len(r.Times))
}

func (r row) median() float64 {
	return median(slices.Clone(r.Times))
}

// row returns the row with that name, which must exist.
func (f *figures) row(name string) row {
	i := slices.IndexFunc(f.Rows, func(r row) bool { return r.Name == name })
	return f.Rows[i]
}

func (f *figures) has(name string) bool {
	return slices.ContainsFunc(f.Rows, func(r row) bool { return r.Name == name })
}

// A check is one goal, and the measured figure.
type check struct {
	what      string
	got, most float64
	show      func(float64) string
}

func ratio(x float64) string   { return fmt.Sprintf("%.2f ×", x) }
func seconds(x float64) string { return time.Duration(x * 1e9).Round(10 * time.Microsecond).String() }
func count(x float64) string   { return fmt.Sprint(int(x)) }
func kilobytes(x float64) string {
	return fmt.Sprintf("%.0f kB", x/1000)
}

// against returns the ratio of the times of two rows, by pairs.
func (f *figures) against(a, b string) float64 { return pairs(f.row(a).Times, f.row(b).Times).median }

// checks returns the goals with their figures, which are medians of pairs.
func (f *figures) checks() []check {
	list := []check{
		{"cordon run against bubblewrap, same mounts", f.against(nameCordon, nameBubble), maxBubble, ratio},
		{"cordon run against bubblewrap, fewest mounts", f.against(nameCordon, namePlain), maxPlain, ratio},
		{"cordon run against the floor", f.against(nameCordon, nameFloor), maxFloor, ratio},
		{"library against the floor", f.against(nameLibrary, nameFloor), maxLibrary, ratio},
		{"load and compile a shipped profile (the slowest)", f.Compile.Seconds(), maxCompile.Seconds(), seconds},
		{"Docker's default imported, against no filter", f.row(nameImported).median() - f.row(nameUnfiltered).median(), maxImported.Seconds(), seconds},
		{fmt.Sprintf("launch with %d binds", f.Binds[0].Count), f.Binds[0].Took.Seconds(), maxBinds.Seconds(), seconds},
		f.denialCheck(),
		f.joinedCheck(),
	}
	for _, m := range f.Memory {
		if m.Name == "cordon, pid 1" {
			list = append(list,
				check{"private memory of pid 1", float64(m.Private), maxPID1Memory, kilobytes},
				check{"threads of pid 1", float64(m.Threads), 1, count})
		}
	}
	if f.has(nameGroups) {
		list = append(list, check{"--memory and --pids against without", f.against(nameGroups, nameCordon), maxGroups, ratio})
	}
	return slices.Concat(list, f.leanChecks(), f.bombChecks())
}

// verdict returns an error that names every missed goal.
func verdict(all []*figures, filters *filterFigures) error {
	var errs []error
	for _, c := range filters.checks() {
		if c.got > c.most {
			errs = append(errs, fmt.Errorf("%s: %s, asked: at most %s", c.what, c.show(c.got), c.show(c.most)))
		}
	}
	for _, f := range all {
		for _, c := range f.checks() {
			if c.got > c.most {
				errs = append(errs, fmt.Errorf("as %s: %s: %s, asked: at most %s", f.who(), c.what, c.show(c.got), c.show(c.most)))
			}
		}
	}
	return errors.Join(errs...)
}

func (f *figures) who() string {
	if f.UID == 0 {
		return "root"
	}
	return "an ordinary user"
}

// format returns all figures as Markdown.
func format(on string, all []*figures, filters *filterFigures, e effort) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %d runs of each command, in turns, with %d copies of each program.\n", on, e.Turns, copies)
	for _, f := range all {
		f.format(&b)
	}
	filters.format(&b)
	return b.String()
}

func (f *figures) format(b *strings.Builder) {
	fmt.Fprintf(b, "\n### As %s\n\n", f.who())
	formatRows(b, f)
	f.formatSearch(b)
	f.formatDenials(b)
	f.formatBombs(b)
	formatChecks(b, f.checks())
	fmt.Fprintln(b)
	for _, t := range f.Binds[1:] {
		fmt.Fprintf(b, "- %s with %d binds: %s\n", t.Name, t.Count, seconds(t.Took.Seconds()))
	}
	for _, m := range f.Memory {
		fmt.Fprintf(b, "- %s: %s private, threads: %d\n", m.Name, kilobytes(float64(m.Private)), m.Threads)
	}
	for _, why := range f.LeftOut {
		fmt.Fprintf(b, "- left out: %s\n", why)
	}
}

// formatRows prints the times of the rows, and their ratios by pairs: of the time, and of the processor time.
func formatRows(b *strings.Builder, f *figures) {
	fmt.Fprintf(b, "| /bin/true in | median | processor | × bubblewrap, same mounts | × fewest mounts | × floor | processor × floor |\n")
	fmt.Fprintf(b, "|---|--:|--:|--:|--:|--:|--:|\n")
	bubble, plain, floor := f.row(nameBubble), f.row(namePlain), f.row(nameFloor)
	for _, r := range f.Rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Name, seconds(r.median()), seconds(median(slices.Clone(r.CPU))),
			pairs(r.Times, bubble.Times), pairs(r.Times, plain.Times), pairs(r.Times, floor.Times), pairs(r.CPU, floor.CPU))
	}
}

// formatChecks prints the goals, and the measured figures.
func formatChecks(b *strings.Builder, checks []check) {
	fmt.Fprintf(b, "\n| asked | at most | found | |\n|---|--:|--:|---|\n")
	for _, c := range checks {
		word := "reached"
		if c.got > c.most {
			word = "**missed**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", c.what, c.show(c.most), c.show(c.got), word)
	}
}

// machine describes the machine that was measured.
func machine() string {
	cpu := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	if _, rest, found := strings.Cut(string(text), "model name"); found {
		line, _, _ := strings.Cut(rest, "\n")
		cpu = strings.TrimLeft(line, "\t: ")
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	minute, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d of them, load %s; Linux %s; %s; %s", cpu, runtime.NumCPU(), minute, strings.TrimSpace(string(kernel)),
		runtime.Version(), firstLine("bwrap", "--version"))
}

func firstLine(program string, args ...string) string {
	out, _ := exec.Command(program, args...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
