package main

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox"
	"cordon/sandbox/report"
	"cordon/sandbox/statedir"
)

// THE USER INTERFACE. This comment describes all of it.
//
// Streams. stdout carries only the requested data (a plan, a profile, a list, help). Under `run` stdout belongs to the
// program alone. All messages of cordon itself go to stderr, each on one line:
//
//	cordon: error: WHAT: CAUSE        nothing was run, or the run could not be finished
//	cordon: hint: ADVICE              follows the line that it belongs to; contains the whole flag or command
//	cordon: warning: WHERE: WHAT      profile check: a line has no effect, or a different effect than it seems to have
//	cordon: converted: COUNTS         profile import and export: how many rules cordon converted; before it comes
//	cordon: approximated: WHERE: …    a line for each rule that is not exact, with the direction (tighter, wider)
//	cordon: dropped: WHERE: …         and the reason, and for each rule that the other format cannot express
//	cordon: added: PATH: WHY          cordon put PATH into the sandbox although the profile does not name it
//	cordon: note: WHAT                before the program runs: something that may surprise you in this sandbox
//	cordon: missing: LAYER: WHY       before the program runs: the profile wants LAYER, this host lacks it, and the
//	                                  profile permits this; once a day if other layers restrict all that it would
//	cordon: restored: PATH: …         a hidden or protected PATH appeared or was replaced; cordon covered it again
//	cordon: appeared: PATH: …         with git: protect: a new repository that the run left at PATH
//	cordon: secret: WHAT: WHY         learn: the recording shows WHAT, which the profile does not allow: it is a secret
//	cordon: left: WHAT: WHY           learn: the same, for any other reason
//	cordon: widened: WHAT: WHY        learn: a rule that allows more than the recording shows
//	cordon: granted: WHAT: WHY        learn: a rule that you should look at
//	cordon: denied: WHAT: LAYER: WHY  learn: the profile would deny this part of the recording
//	cordon: unsure: WHAT: LAYER: WHY  learn: the profile may deny this; it depends on facts that no recording contains
//	cordon: denied: CALL ×N by NAME[PID]; to allow: FLAG
//	                                  on-denial: report: calls that the profile denied, a line for each kind
//	cordon: removed: SANDBOX          any command about running sandboxes: it removed what a killed launcher left
//	cordon: caches: TOOLS; in DIR     run --verbose: which tools have caches
//	cordon: enforced: LAYER: FOUND    run --verbose: what cordon read back from the kernel about LAYER
//	cordon: used: …                   run --verbose: how much time and memory the run used
//	cordon: left out: PATH: WHY       run --verbose: the profile names PATH, and the sandbox lacks it
//	cordon: way on: LAYER: WHY; HOW   run --verbose: WHY is what this host refuses, HOW is what cordon did instead
//	cordon: ended: …                  exec: the sandbox has ended, and so the program was ended too
//	cordon: LIMIT: …                  the limit that ended the program, with the line of the profile or the flag that
//	                                  set it: oom, timeout, cpu-time, output, pids, file-size; also each other limit
//	                                  that the run reached
//	cordon: summary: …                run --summary: how the run ended, what it used, what the profile denied
//	cordon: audit: …                  audit: the list of what the profile would deny
//	cordon: recording: …              record --pid and --of: the recording has begun
//	cordon: recorded: FILE: COUNTS    record: the content of the recording
//	cordon: incomplete: WHY           record: what the recording may lack
//	cordon: changed: FILE: WHY        profile trust: a program in a sandbox may have changed FILE
//	cordon: trusted: FILE: WHY        profile trust: cordon uses FILE from now on
//
// After an error in a profile, cordon prints the line of the profile and a caret, indented by four. It prints all
// errors of a profile.
// A successful run prints only note:, added:, missing:, restored:, appeared:, denied:, and the limits that it reached.
// With --quiet it leaves out note:, added: and denied:. cordon uses no color. If the search for the files that hide
// rules name takes longer than a second, cordon shows the progress on a terminal, in a line that it erases later. Only
// `profile trust` asks a question.
//
// Data that others chose (paths, names, values of a profile) may contain anything. cordon shows control characters, and
// bytes that are not UTF-8, as Go escapes (\x1b, \n), so that such data cannot control the reader's terminal.
//
// Exit codes of `run` and `exec`, the same as those of env(1) and timeout(1):
//
//	0-255  the program's own exit code
//	124    a time limit ended the program: timeout, cpu-time
//	125    cordon: wrong usage, an error in a profile, a layer that is not available, a report that cannot be written
//	126    cordon found the program, but cannot execute it
//	127    cordon did not find the program
//	128+n  signal n ended the program, or the launch; of these
//	130    SIGINT, by Ctrl-C or sent to cordon; cordon then ends itself by SIGINT too, so that a shell's loop ends
//	137    SIGKILL: a limit (oom, output, pids) if stderr and the report name it; otherwise somebody killed it
//	153    SIGXFSZ: a file grew beyond the limit file-size, in the program or in a child of a shell
//
// `run --detach` prints the sandbox's ID on stdout and exits with 0 once the program runs. Later messages of its
// launcher go to the log. `wait`, `audit` and `record CMD` exit with the code with which `run` would have exited, but
// `audit` exits with 3 if the profile would deny anything. `logs` writes the program's standard error to stderr.
// `stats` uses a terminal's other screen until it is interrupted.
//
// The other subcommands exit with 0. They exit with 1 if the answer is no: `profile check` found errors, `profile fmt
// -d` found a difference, `profile diff` found a change that --fail-on names, `profile lint` found something, `profile
// import` or `export` would lose something, `learn` made a profile that denies what was recorded, `doctor` found that
// the default profile cannot start here, or `why` found that a call is not certainly allowed. They exit with 125 if
// there is no answer.
//
// JSON. `run --report FILE`, --json of plan, why, audit, filter groups, learn, profile ls, check, show, diff, import
// and export, doctor, version, ps and inspect, and --format json of profile lint, write one value with a final
// newline. logs and stats write one value on each line. Keys are lower case with underscores. Durations are
// nanoseconds and their keys end in _ns; sizes are bytes and their keys end in _bytes. Later versions may add keys; an
// existing key keeps its meaning as long as its "version" does.
type ui struct {
	out, err io.Writer
	code     int // the exit code if a command returns no error
	args     []string
	opened   bool // the output files of run are open, or another process writes them
	lean     bool // build only the flags that occur in the arguments
	kept     bool // why --last can find the run
	quiet    bool // run --quiet: leave out note, added and denied
	broken   report.Break
	told     []report.Missing // missing layers that this run has named
}

const (
	exitNo       = 1
	exitTimeout  = 124
	exitLauncher = 125
	exitSignal   = 128
)

// cliError is an error with its hint and exit code; code 0 means exitLauncher.
type cliError struct {
	err  error
	hint string
	code int
}

func (e *cliError) Error() string { return e.err.Error() }
func (e *cliError) Unwrap() error { return e.err }

// quiet is an error with an exit code and no message, because the command has already printed everything.
type quiet int

func (quiet) Error() string { return "" }

// fail prints an error, with the line of the profile and the hint that belong to it, and returns the exit code.
func (u *ui) fail(err error) int {
	var q quiet
	if errors.As(err, &q) {
		return int(q)
	}
	for _, e := range each(err) {
		u.one(e)
	}
	if s := (*sandbox.SignalError)(nil); errors.As(err, &s) && s.Signal == unix.SIGINT {
		u.broken = report.BreakSent
	}
	return exitCode(err)
}

// one prints one error. For an error in a profile it also prints the line.
func (u *ui) one(err error) {
	text, excerpt, advice := err.Error(), "", hint(err)
	var p *policy.Error
	var r *filter.Error
	if errors.As(err, &r) {
		bare := *r
		bare.Hint = ""
		text, advice = bare.Error(), r.Hint
	}
	if errors.As(err, &p) {
		_, excerpt, _ = strings.Cut(p.Error(), "\n")
		text, advice = p.Msg, p.Hint
		if at := p.Pos.String(); at != "" {
			text = at + ": " + text
		}
	}
	u.line("error", text)
	for l := range strings.Lines(excerpt) {
		u.raw(clean(strings.TrimSuffix(l, "\n")))
	}
	if advice != "" {
		u.line("hint", advice)
	}
}

// each returns the single errors of a joined error.
func each(err error) []error {
	var rules filter.Errors
	if errors.As(err, &rules) {
		all := make([]error, len(rules))
		for i, e := range rules {
			all[i] = e
		}
		return all
	}
	j, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range j.Unwrap() {
		all = append(all, each(e)...)
	}
	return all
}

// exitCode returns the launcher's exit code for an error.
func exitCode(err error) int {
	var c *cliError
	var l *sandbox.LookupError
	var s *sandbox.SignalError
	switch {
	case errors.As(err, &s):
		return exitSignal + int(s.Signal)
	case errors.As(err, new(*sandbox.TimeoutError)):
		return exitTimeout
	case errors.As(err, &l) && l.Code != 0:
		return l.Code
	case errors.As(err, &c) && c.code != 0:
		return c.code
	}
	return exitLauncher
}

// hint returns the advice that goes with an error.
func hint(err error) string { return scarceHint(err, ownHint(err)) }

// ownHint returns the advice that an error contains.
func ownHint(err error) string {
	var (
		c *cliError
		l *sandbox.LookupError
		s *sandbox.StepError
		x *sandbox.UnsupportedError
		e *sandbox.Error
		n *statedir.NotFoundError
		a *advised
		t *sandbox.TimeoutError
	)
	switch {
	case errors.As(err, &c) && c.hint != "":
		return c.hint
	case errors.As(err, &a):
		return a.hint
	case errors.As(err, &l):
		return l.Hint
	case errors.As(err, &t):
		return t.Hint()
	case errors.As(err, &x): // before the error that it wraps
		return x.Remedy
	case errors.As(err, &s):
		return s.Hint
	case errors.As(err, &e):
		return e.Hint
	case errors.As(err, &n):
		return n.Hint
	}
	return ""
}

// line writes one message of cordon itself to stderr.
func (u *ui) line(kind, text string) {
	if u.quiet && (kind == "note" || kind == "added" || kind == "denied") {
		return
	}
	u.raw("cordon: " + kind + ": " + clean(text))
}

// progress shows on a terminal how far the search before a launch has come, in a line that the next one overwrites.
// -1 erases the line.
func (u *ui) progress(names int) {
	switch {
	case u.quiet || !terminal(u.err):
	case names < 0:
		_, _ = io.WriteString(u.err, "\r\x1b[K")
	default:
		_, _ = io.WriteString(u.err, "\r\x1b[Kcordon: looking for what the profile hides or protects: "+plural(uint64(names), "name", "names"))
	}
}

// raw writes a line on stderr. It ignores errors, because without stderr there is nobody to tell.
func (u *ui) raw(line string) { _, _ = io.WriteString(u.err, line+"\n") }

// write writes data to stdout. It returns an error, for example if the disk is full or the pipe is closed.
func (u *ui) write(data string) error {
	if _, err := io.WriteString(u.out, data); err != nil {
		return &cliError{err: because("stdout", err)}
	}
	return nil
}

// json writes one value to stdout.
func (u *ui) json(v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return u.write(string(b) + "\n")
}

// jsonLine writes one value on one line of stdout, for a command that prints many.
func (u *ui) jsonLine(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return u.write(string(b) + "\n")
}

// clean makes text safe for one line on a terminal: it escapes unprintable characters as Go does.
func clean(s string) string {
	if printable(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i])|0x100, 16)[1:])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}
