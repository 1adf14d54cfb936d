package main

// This file prints the denied calls of a run: one short line for each kind. `cordon why --last` prints everything else
// about them.

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"cordon/policy/phrase"
	"golang.org/x/sys/unix"

	"cordon/sandbox/report"
)

const (
	shownDenials = 20  // how many kinds of denied calls are printed if the user asks for them; the report has all kinds
	briefDenials = 5   // how many kinds are printed if the user does not ask
	briefColumns = 100 // the width of a short line
)

// showDenials prints the denied calls. If the program succeeded, it did not need these calls, and showDenials prints
// one line with their number. It names calls that the profile expects to be denied only with --verbose.
func (u *ui) showDenials(r *report.Report, verbose bool) {
	d := r.Denials
	if d == nil {
		return
	}
	if verbose {
		u.showAllDenials(d)
		return
	}
	left := d.Total - d.Quiet
	if left == 0 {
		return
	}
	if endedWell(r) {
		u.line("denied", plural(left, "call", "calls")+", and it ended with 0; "+u.whereMore("names them"))
		return
	}
	var shown []*report.Denial
	for i := range d.List {
		if x := &d.List[i]; !x.Quiet && len(shown) < briefDenials {
			shown = append(shown, x)
			left -= x.Count
		}
	}
	more := ""
	if left == 0 {
		more = u.whereMore("")
	}
	for _, x := range shown {
		line, all := briefDenial(x, more)
		if u.line("denied", line); !all {
			more = "" // only the first line that has room for this text shows it
		}
	}
	if left > 0 {
		u.line("denied", strconv.FormatUint(left, 10)+" more calls, of other kinds; "+u.whereMore("names them"))
	}
}

// endedWell reports whether the program ended successfully.
func endedWell(r *report.Report) bool { return r.Exit == 0 && r.Signal == "" && r.Limit == "" }

// whereMore returns a text that says which command or flag shows the rest of the denied calls.
func (u *ui) whereMore(does string) string {
	if !u.kept {
		return "--report FILE" + phrase.Prefixed(" ", does)
	}
	return "cordon why --last" + phrase.Prefixed(" ", does)
}

// briefDenial formats a denied call in one line. If a simple flag would allow the call, and there is room, the line
// names the flag, and all is true. Otherwise the line ends with more, and all is false.
func briefDenial(d *report.Denial, more string) (line string, all bool) {
	room := briefColumns - len("cordon: denied: ")
	who := who(d) + phrase.Prefixed("; ", d.Instead)
	if strings.HasPrefix(d.Remedy, "--") && !strings.Contains(d.Remedy, "'") {
		if line := callText(d) + who + "; to allow: " + d.Remedy; width(line) <= room {
			return line, true
		}
	}
	tail := who + phrase.Prefixed("; ", more)
	return cut(callText(d), room-width(tail)) + tail, false
}

// fullDenial formats a denied call with the rule that denies it and what would allow it.
func fullDenial(d *report.Denial) string {
	s := callText(d) + who(d) + " — " + d.Rule + phrase.Prefixed("; ", d.Instead)
	if d.Quiet {
		s += "; expected"
	}
	if !strings.HasPrefix(d.Remedy, "--") {
		return s + phrase.Prefixed("; ", d.Remedy)
	}
	return s + "; to allow: " + d.Remedy
}

// callText returns the call with its arguments. If the call's architecture is not the machine's, it adds the
// architecture.
func callText(d *report.Denial) string {
	if d.Arch != "" {
		return clean(d.Text) + " on " + d.Arch
	}
	return clean(d.Text)
}

// who says how often the call was denied, and which process was the first to make it.
func who(d *report.Denial) (s string) {
	if d.Count > 1 {
		s = " ×" + strconv.FormatUint(d.Count, 10)
	}
	if d.Comm != "" {
		s += " by " + clean(d.Comm) + "[" + strconv.Itoa(d.PID) + "]"
	}
	return s
}

func width(s string) int { return utf8.RuneCountInString(s) }

// cut shortens a text to at most n characters. The last character of a shortened text is ….
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}
	return string([]rune(s)[:max(0, n-1)]) + "…"
}

// showAllDenials prints everything about the first kinds of denied calls.
func (u *ui) showAllDenials(d *report.Denials) {
	more := d.Total
	for i := range d.List[:min(len(d.List), shownDenials)] {
		u.line("denied", fullDenial(&d.List[i]))
		more -= d.List[i].Count
	}
	if more > 0 {
		u.line("denied", strconv.FormatUint(more, 10)+" more calls, of other kinds; --report FILE lists "+strconv.Itoa(len(d.List)))
	}
}

// showUnknown prints a hint if a run failed and no reason is known. It does so only if stderr is a terminal, because
// in a script an exit code of 1 is mostly an answer.
func (u *ui) showUnknown(r *report.Report) {
	if endedWell(r) || r.Signal != "" || r.Limit != "" || len(r.Hints) > 0 || r.Denials != nil && r.Denials.Total > r.Denials.Quiet || !u.kept || u.quiet {
		return
	}
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		u.line("hint", "nothing is known to have been denied; cordon why --last, or "+cut(auditAdvice(nil, r.Args), 60))
	}
}
