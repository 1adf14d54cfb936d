package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/statedir"
)

// This file contains code that several commands about running sandboxes share.

// eachSandbox opens each named sandbox and calls do for it. If a sandbox does not exist, it reports that and continues
// with the others.
func (u *ui) eachSandbox(refs []string, do func(*statedir.Entry) error) error {
	d, err := u.openState()
	if err != nil {
		return err
	}
	defer d.Close()
	var errs []error
	for _, ref := range refs {
		e, err := d.Find(ref)
		if err == nil {
			err = do(e)
			e.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// oneSandbox opens the named sandbox.
func (u *ui) oneSandbox(ref string, do func(*statedir.Entry) error) error {
	return u.eachSandbox([]string{ref}, do)
}

// completeSandboxes completes the names and IDs of sandboxes with one of the wanted states.
func completeSandboxes(wanted ...statedir.Status) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		d, err := statedir.Open(host.StatePath(os.Getenv))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := d.Entries() // a sandbox that cannot be listed is not offered
		var out []string
		for _, e := range all {
			s := &e.State
			if len(wanted) > 0 && !slices.Contains(wanted, e.Status()) || slices.Contains(args, s.ID) || slices.Contains(args, s.Name) {
				continue
			}
			about := clean(strings.Join(s.Args, " ")) // a shell shows this text on a terminal
			if s.Name != "" && printable(s.Name) {
				out = append(out, cobra.CompletionWithDesc(s.Name, about))
			}
			out = append(out, cobra.CompletionWithDesc(s.ID, about))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// status returns the status of a sandbox. It needs the process table to tell whether the sandbox is paused.
func status(e *statedir.Entry, t statedir.ProcTable) statedir.Status {
	s := e.Status()
	if s == statedir.StatusRunning && e.Paused(t) {
		return statedir.StatusPaused
	}
	return s
}

// notExist reports whether err means that a file of a sandbox's entry does not exist yet, or no longer.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// age returns a duration in its largest unit.
func age(d time.Duration) string {
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= 2*u.unit {
			return itoa(int(d/u.unit)) + u.name
		}
	}
	return itoa(int(max(0, d)/time.Second)) + "s"
}

// size formats a number of bytes in the unit that gives the shortest text.
func size(n int64) string {
	for _, u := range [...]struct {
		factor int64
		name   string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.factor {
			tenths := n * 10 / u.factor
			if tenths >= 1000 {
				return itoa(int(tenths/10)) + u.name
			}
			return itoa(int(tenths/10)) + "." + itoa(int(tenths%10)) + u.name
		}
	}
	return itoa(int(n)) + "B"
}

// columns lays rows out in columns. It does not pad the last column.
func columns(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, cell := range r {
			line += cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// maxSignal is the number of the last signal: signal(7).
const maxSignal = 64

// parseSignal parses the name or number of a signal: SIGTERM, TERM, term, RTMIN+3 or 15.
func parseSignal(s string) (unix.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	n := signalNumber("SIG" + name)
	if rt, found := strings.CutPrefix(name, "RTMIN"); found && rt != "" {
		if _, err := strconv.ParseUint(strings.TrimPrefix(rt, "+"), 10, 8); err != nil {
			n = 0
		}
	}
	if n == 0 {
		number, _ := strconv.ParseUint(s, 10, 8) // 0 if s is not a number
		n = int(number)
	}
	if n > 0 && n <= maxSignal {
		return unix.Signal(n), nil
	}
	e := &cliError{err: errors.New("no signal is called " + strconv.Quote(s)), hint: "for example TERM, SIGKILL or 9; see signal(7)"}
	if near := policy.Suggest(name, signalNames()); near != "" {
		e.hint = "did you mean " + near + "?"
	}
	return 0, e
}

func itoa(n int) string { return strconv.Itoa(n) }
