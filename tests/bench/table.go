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

// The goals.
const (
	maxBubble     = 0.95 // cordon run, as a multiple of bubblewrap
	maxFloor      = 1.5  // cordon run, as a multiple of the floor
	maxLibrary    = 1.0  // the library, as a multiple of the faster of both
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
	sorted := slices.Sorted(slices.Values(r.Times))
	return sorted[len(sorted)/2]
}

// row returns the row with that name, which must exist.
func (f *figures) row(name string) row {
	i := slices.IndexFunc(f.Rows, func(r row) bool { return r.Name == name })
	return f.Rows[i]
}

// A check is one goal, and the figure that was measured for it.
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

// checks uses means, as hyperfine's own ratios do. The table shows medians beside them.
func (f *figures) checks() []check {
	cordon, bubble, floor := f.row(nameCordon).mean(), f.row(nameBubble).mean(), f.row(nameFloor).mean()
	list := []check{
		{"cordon run against bubblewrap, same mounts", cordon / bubble, maxBubble, ratio},
		{"cordon run against bubblewrap, fewest mounts", cordon / f.row(namePlain).mean(), maxBubble, ratio},
		{"cordon run against the floor", cordon / floor, maxFloor, ratio},
		{"library against the faster of both", f.row(nameLibrary).mean() / min(bubble, floor), maxLibrary, ratio},
		{"load and compile a shipped profile (the slowest)", f.Compile.Seconds(), maxCompile.Seconds(), seconds},
		{"Docker's default imported, against no filter", f.row(nameImported).mean() - f.row(nameUnfiltered).mean(), maxImported.Seconds(), seconds},
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
	return append(list, f.bombChecks()...)
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
	fmt.Fprintf(&b, "%s. %d rounds of %d runs each.\n", on, e.Rounds, e.Runs)
	for _, f := range all {
		f.format(&b)
	}
	filters.format(&b)
	return b.String()
}

func (f *figures) format(b *strings.Builder) {
	fmt.Fprintf(b, "\n### As %s\n\n", f.who())
	fmt.Fprintf(b, "| /bin/true in | mean | median | shortest | × bubblewrap | × floor |\n|---|--:|--:|--:|--:|--:|\n")
	bubble, floor := f.row(nameBubble).mean(), f.row(nameFloor).mean()
	for _, r := range f.Rows {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %.2f | %.2f |\n", r.Name,
			seconds(r.mean()), seconds(r.median()), seconds(slices.Min(r.Times)), r.mean()/bubble, r.mean()/floor)
	}
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

// formatChecks prints the goals, and the figures that were measured.
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
	return fmt.Sprintf("%s, %d of them, load %s; Linux %s; %s; %s; %s", cpu, runtime.NumCPU(), minute, strings.TrimSpace(string(kernel)),
		runtime.Version(), firstLine("bwrap", "--version"), firstLine("hyperfine", "--version"))
}

func firstLine(program string, args ...string) string {
	out, _ := exec.Command(program, args...).Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
