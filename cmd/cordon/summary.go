package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/report"
)

// fact is a line of a run's summary.
type fact struct{ name, text string }

// facts returns the result of a run as lines. It leaves out numbers that were not counted.
func facts(r *report.Report) []fact {
	list := []fact{
		{"in place", noNamespaces(r)},
		{"ended", ending(r)},
		{"time", joined("wall "+short(&r.Wall), "user "+short(&r.User), "system "+short(&r.System), span("held back ", r.Throttled),
			span("waited for a processor ", r.CPUStall), span("for memory ", r.MemoryStall), span("for disks ", r.IOStall))},
		{"memory", joined(bytesText("peak ", r.PeakMemory), bytesText("largest process ", rss(r)), bytesText("swap ", r.PeakSwap), number(r.OOMKills, "process", "processes", " killed for it"))},
		{"processes", number(r.PeakPIDs, "process or thread", "processes and threads", " at most")},
		{"waits", joined(switches(r), number(r.MajorFaults, "page fault", "page faults", " that read from a disk"))},
		{"i/o", joined(bytesText("read ", r.ReadBytes), bytesText("written ", r.WriteBytes), bytesText("output ", r.OutputBytes))},
	}
	for i := range r.Limits {
		l := &r.Limits[i]
		list = append(list, fact{"limit", l.Limit + phrase.Prefixed(": ", l.Rule)})
	}
	if d := r.Denials; d != nil && d.Total > 0 {
		list = append(list, fact{"denied", plural(d.Total, "call", "calls") + " of " + plural(uint64(len(d.List)), "kind", "kinds")})
	}
	for _, m := range r.Missing {
		list = append(list, fact{"missing", string(m.Layer) + ": " + m.Why})
	}
	n := 0
	for _, f := range list {
		if f.text != "" {
			list[n] = f
			n++
		}
	}
	return list[:n]
}

// noNamespaces returns a text if the program ran in place (without namespaces), otherwise "".
func noNamespaces(r *report.Report) string {
	if r.InPlace {
		return "no namespaces"
	}
	return ""
}

// ending says how the task ended.
func ending(r *report.Report) string {
	how := "exit status " + strconv.Itoa(r.Exit)
	if r.Signal != "" {
		how = r.Signal
		if r.CoreDump {
			how += ", core dumped"
		}
	}
	if r.Limit != "" {
		how = "by the limit " + r.Limit + " (" + how + ")"
	}
	return how
}

func rss(r *report.Report) *uint64 {
	if r.PeakRSS == 0 {
		return nil
	}
	n := uint64(r.PeakRSS)
	return &n
}

func switches(r *report.Report) string {
	if r.VoluntarySwitches == nil || r.InvoluntarySwitches == nil {
		return ""
	}
	return plural(*r.VoluntarySwitches+*r.InvoluntarySwitches, "context switch", "context switches")
}

// joined joins the texts that are not empty.
func joined(list ...string) string {
	n := 0
	for _, s := range list {
		if s != "" {
			list[n] = s
			n++
		}
	}
	return strings.Join(list[:n], ", ")
}

// number formats a count with its unit. It returns "" if the count is 0 or nil.
func number(n *uint64, one, more, behind string) string {
	if n == nil || *n == 0 {
		return ""
	}
	return plural(*n, one, more) + behind
}

// span formats a duration. It returns "" if the duration is 0.
func span(what string, d *time.Duration) string {
	if d == nil || *d == 0 {
		return ""
	}
	return what + short(d)
}

// short formats a duration with three or four digits.
func short(d *time.Duration) string {
	unit := time.Microsecond
	switch {
	case *d >= 10*time.Second:
		unit = 100 * time.Millisecond
	case *d >= 10*time.Millisecond:
		unit = time.Millisecond
	}
	return d.Round(unit).String()
}

// bytesText formats a size with one decimal, in the largest unit that is not larger than the size.
func bytesText(what string, n *uint64) string {
	if n == nil {
		return ""
	}
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	size, i := float64(*n), 0
	for size >= 1024 && i < len(units)-1 {
		size, i = size/1024, i+1
	}
	if i == 0 {
		return what + strconv.FormatUint(*n, 10) + " B"
	}
	return what + strconv.FormatFloat(size, 'f', 1, 64) + " " + units[i]
}

// showSummary prints the summary of --summary.
func (u *ui) showSummary(r *report.Report) {
	for _, f := range facts(r) {
		u.line("summary", f.name+": "+f.text)
	}
}

// markdown returns the text of --summary-file, which GitHub and GitLab show as a job summary.
func markdown(r *report.Report, code int) string {
	var b strings.Builder
	b.WriteString("### cordon: " + escape(strings.Join(r.Args[:min(1, len(r.Args))], "")) + ": exit code " + strconv.Itoa(code) + "\n\n")
	b.WriteString("| | |\n|---|---|\n")
	row := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row("profile", escape(r.Profile))
	row("command", "<code>"+escape(shortened(shellWords(r.Args)))+"</code>")
	for _, f := range facts(r) {
		row(f.name, escape(f.text))
	}
	if d := r.Denials; d != nil && len(d.List) > 0 {
		b.WriteString("\n| denied call | times | by | decided by | to allow |\n|---|--:|---|---|---|\n")
		for i := range d.List[:min(len(d.List), shownDenials)] {
			x := &d.List[i]
			row("<code>"+escape(x.Text)+"</code>", strconv.FormatUint(x.Count, 10), escape(x.Comm), escape(x.Rule), "<code>"+escape(x.Remedy)+"</code>")
		}
		if n := len(d.List) - shownDenials; n > 0 {
			b.WriteString("\nand " + strconv.Itoa(n) + " more kinds of calls.\n")
		}
	}
	for _, h := range r.Hints {
		b.WriteString("\nHint: " + escape(h.Text+phrase.Prefixed(" (", closed(h.Rule.Short()))+phrase.Prefixed("; try ", h.Flag)) + "\n")
	}
	return b.String() + "\n"
}

// failureMarkdown returns the text of --summary-file for a run that did not start, or could not be finished.
func failureMarkdown(r *report.Report) string {
	text := "### cordon: " + escape(strings.Join(r.Args[:min(1, len(r.Args))], "")) + ": exit code " + strconv.Itoa(r.Exit) + "\n\n" +
		"Error: " + escape(r.Error) + "\n"
	for _, h := range r.Hints {
		text += "\nHint: " + escape(h.Text) + "\n"
	}
	return text + "\n"
}

// shellWords joins words, and quotes those that need it, so that the reader can tell them apart.
func shellWords(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; a == "" || strings.ContainsAny(a, " \t\n'\"\\$`&|<>()*?[]#~;!{}") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// maxCommand bounds how many characters of a command line a summary shows.
const maxCommand = 300

func shortened(s string) string {
	r := []rune(s)
	if len(r) <= maxCommand {
		return s
	}
	return string(r[:maxCommand]) + "…"
}

// escape makes a text that anybody may have chosen safe for a cell of a Markdown table. The reader sees the original
// text: it starts no markup, makes no link and mentions nobody. Unprintable characters become Go escapes. Punctuation
// with a meaning in Markdown, HTML, GitHub or GitLab becomes numeric character references, which never have a meaning
// (CommonMark 6.2).
func escape(s string) string {
	var b strings.Builder
	s = clean(s)
	for i, r := range s {
		if strings.ContainsRune("\\`*_{}[]<>#!|~&@:$^%", r) || r == '.' && strings.HasSuffix(strings.ToLower(s[:i]), "www") {
			b.WriteString("&#" + strconv.Itoa(int(r)) + ";")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// openSummary checks, before anything is run, that a summary can be written. cordon appends the summary to an existing
// file, as CI systems expect ($GITHUB_STEP_SUMMARY), because a job may run several commands. It opens the file after
// everything has ended, in the directory that openSummary has opened, and never through a link.
func openSummary(path string) (*reportFile, error) {
	r, err := openAt(path, "summary-file", "--summary-file", true)
	if err != nil || r.file != nil {
		return r, err
	}
	if err := unix.Faccessat(r.dir, r.name, unix.W_OK, 0); err != nil && err != unix.ENOENT {
		unix.Close(r.dir)
		return nil, &cliError{err: r.error(err).err, hint: outputHint("--summary-file")}
	}
	return r, nil
}

// add appends text to the file. It makes the file if it does not exist.
func (r *reportFile) add(text string) error {
	var err error
	if r.file != nil {
		_, err = r.file.WriteString(text)
	} else {
		err = r.appendTo(text)
	}
	if err != nil {
		return &cliError{err: because(r.what+" "+strconv.Quote(r.path), err)}
	}
	return nil
}

// appendTo appends only to a regular file with a single hard link, because the owner of the directory may have put
// something else there.
func (r *reportFile) appendTo(text string) error {
	defer unix.Close(r.dir)
	fd, err := unix.Openat(r.dir, r.name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), r.path)
	var st unix.Stat_t
	switch err = unix.Fstat(fd, &st); {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1:
		err = errors.New("it is no regular file with that name alone")
	default:
		if _, err = f.WriteString(text); err == nil {
			err = r.arrived(&st)
		}
	}
	return errors.Join(err, f.Close())
}
