package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
	"cordon/sandbox/statedir"
)

// restoredLines bounds how many restored mounts a run lists, because a task can make any number of names that a pattern
// hides.
const restoredLines = 20

func (u *ui) showRestored(r *report.Report) {
	for _, g := range r.Restored[:min(len(r.Restored), restoredLines)] {
		u.line("restored", g.Path+": it appeared or was replaced during the run; it is "+g.What)
	}
	if more := len(r.Restored) - restoredLines; more > 0 {
		u.line("restored", strconv.Itoa(more)+" more; the report names them")
	}
}

// showRun prints the messages about a run. The comment of type ui lists them.
func (u *ui) showRun(r *report.Report, verbose bool) {
	u.broken = r.Break
	if r.InPlace {
		u.line("in place", "no namespaces")
	}
	for _, a := range r.Added {
		if !a.Usual || verbose {
			u.line("added", a.Path+": "+a.Why)
		}
	}
	for _, m := range r.Missing {
		u.missing(m, verbose)
	}
	u.showRestored(r)
	if verbose {
		for _, l := range r.LeftOut {
			u.line("left out", l.Path+": "+l.Why)
		}
		for _, w := range r.Ways {
			u.line("way on", string(w.Layer)+": "+w.Why+"; "+w.How)
		}
		u.showCaches(r.Caches)
		u.showEnforced(r)
	}
	for i := range r.Limits {
		u.showLimit(r, &r.Limits[i])
	}
	for _, path := range r.Appeared {
		if strings.HasPrefix(path, "/") {
			path += ": git takes programs to run from it, and it was not there before, or was another one; look at it before you use git there"
		}
		u.line("appeared", path)
	}
	u.showDenials(r, verbose)
	u.showFlows(r, verbose)
	u.showUnknown(r)
	for _, h := range r.Hints {
		u.line("hint", h.Text+phrase.Prefixed(" (", closed(h.Rule.Short()))+phrase.Prefixed("; try ", h.Flag))
	}
}

// showCaches prints which caches the task had.
func (u *ui) showCaches(c *report.Caches) {
	if c == nil {
		return
	}
	text := strings.Join(c.Tools, ", ") + phrase.Prefixed("; in ", c.Dir)
	if c.Mode == policy.CacheOverlay && c.Dir == "" {
		text += "; changes are lost"
	}
	u.line("caches", text+phrase.Prefixed("; reads ", strings.Join(c.Reads, ", ")))
}

// note prints something that may surprise the user in this sandbox, before the program runs.
func (u *ui) note(text string) { u.line("note", text) }

// missing prints that a layer is missing, at most once in a run. If something else enforces the same restriction, it
// prints the line only once a day, because the line then describes only this host.
func (u *ui) missing(m report.Missing, verbose bool) {
	if slices.Contains(u.told, m) {
		return
	}
	u.told = append(u.told, m)
	text := string(m.Layer) + ": " + m.Why + phrase.Prefixed("; instead: ", m.Instead)
	if m.Usual && !verbose && toldToday(text) {
		return
	}
	u.line("missing", text)
}

// toldToday reports whether a run of the last 24 hours has printed a text. It returns false if it cannot find out, so
// that the text is printed.
func toldToday(text string) bool {
	d, err := statedir.Open(host.StatePath(os.Getenv))
	if err != nil {
		return false
	}
	defer d.Close()
	return d.Told(text, time.Now())
}

// showLimit prints which limit ended the run or was reached, and what sets the limit.
func (u *ui) showLimit(r *report.Report, l *report.LimitMet) {
	text := limitText(r, l)
	if l.Limit != r.Limit {
		text = "reached, and not what ended the program"
	}
	if l.Rule == "" {
		text += "; the profile sets no such limit: the launcher was started under it"
	}
	flag := l.Flag
	if strings.Contains(l.Rule, "(--") { // a flag of the command line sets the limit
		flag = ""
	}
	u.line(l.Limit, text+phrase.Prefixed(": ", l.Rule)+phrase.Prefixed("; to change it: ", flag))
}

// limitText says what the limit did to the run.
func limitText(r *report.Report, l *report.LimitMet) string {
	switch l.Limit {
	case report.LimitOOM:
		return "the sandbox was killed, out of memory" + inParens(l.Count, " killed by the kernel", "process", "processes")
	case report.LimitTimeout:
		return "the program was ended after " + r.Wall.Round(time.Millisecond).String() + ", at the wall-clock limit"
	case report.LimitCPUTime:
		return "the sandbox was killed after " + atLeast(r) + (r.User + r.System).Round(time.Millisecond).String() + " of processor time"
	case report.LimitOutput:
		return "what the program wrote was cut off, and it was killed"
	case report.LimitPIDs:
		return "the sandbox was killed, with as many processes and threads as it may have" + inParens(l.Count, " refused", "fork", "forks")
	case report.LimitFileSize:
		return "a process was ended by SIGXFSZ, for a file that grew too large"
	}
	return "it ended the program"
}

func inParens(n uint64, what, one, more string) string {
	if n == 0 {
		return ""
	}
	return " (" + plural(n, one, more) + what + ")"
}

func plural(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(n, 10) + " " + more
}

// showEnforced prints every layer that cordon has read back from the kernel, and the time and memory that the run has
// used.
func (u *ui) showEnforced(r *report.Report) {
	for _, e := range r.Enforced {
		u.line("enforced", string(e.Layer)+": "+e.Found+phrase.Prefixed(" (", closed(e.Where)))
	}
	u.line("used", "wall "+r.Wall.Round(time.Microsecond).String()+searchTime(r)+", "+atLeast(r)+"user "+r.User.String()+", system "+r.System.String()+
		", peak memory "+strconv.FormatInt(r.PeakRSS>>10, 10)+" KiB")
}

// searchTime says how much of the launch cordon spent searching for the files that hide rules and git: protect cover.
func searchTime(r *report.Report) string {
	if r.Names == 0 {
		return ""
	}
	return " (" + r.Search.Round(time.Microsecond).String() + " to look through " + plural(uint64(r.Names), "name", "names") + ")"
}

func closed(s string) string {
	if s == "" {
		return ""
	}
	return s + ")"
}

// runCode returns cordon's exit code for the way in which the task ended.
func runCode(r *report.Report) int {
	switch {
	case r.Limit == report.LimitTimeout, r.Limit == report.LimitCPUTime:
		return exitTimeout
	case r.Limit == report.LimitOOM, r.Limit == report.LimitPIDs, r.Limit == report.LimitOutput:
		return exitSignal + int(unix.SIGKILL)
	case r.Signal != "":
		return exitSignal + signalNumber(r.Signal)
	}
	return r.Exit
}

// signalNumber returns the number of a signal. It understands SIGKILL and, for real-time signals, SIGRTMIN+3
// (signal(7): SIGRTMIN is 34).
func signalNumber(name string) int {
	if n, found := strings.CutPrefix(name, "SIGRTMIN"); found {
		rt, _ := strconv.Atoi(n)
		return 34 + rt
	}
	return int(unix.SignalNum(name))
}

// reportFile is the destination of a report or another output file. cordon opens the directory before anything runs,
// and creates the file after everything has ended. So a task that owns the directory finds neither a file to write to
// nor a name to replace by a link.
type reportFile struct {
	dir  int    // a descriptor of the directory; -1 if file is open instead
	name string // the file's name in dir
	path string // the path that the user gave
	what string // the kind of file, for messages: "report"
	mode uint32 // the mode of a new file; 0 means 0600
	file *os.File
}

// wantReport opens the destination of --report. It opens nothing without --report, or for the value -, which means text
// on stderr.
func wantReport(path string, verbose *bool) (*reportFile, error) {
	switch path {
	case "":
		return nil, nil
	case "-":
		*verbose = true
		return nil, nil
	}
	return openReport(path)
}

// openReport opens the destination of a report. If the report could not be written, openReport fails, so that nothing
// runs. A descriptor (/dev/fd/3) and an existing file that is not regular, such as a FIFO, are written directly.
func openReport(path string) (*reportFile, error) { return openOutput(path, "report", "--report") }

// openOutput does the same as openReport for another kind of file and another flag.
func openOutput(path, what, flag string) (*reportFile, error) { return openAt(path, what, flag, false) }

// A fileName is the value of a flag that names a file to write. An empty value is an error: it would mean that nothing
// is written, and it usually comes from a variable that is not set.
type fileName string

func (n *fileName) String() string { return string(*n) }
func (n *fileName) Type() string   { return "string" }

func (n *fileName) Set(path string) error {
	if path == "" {
		return errors.New("it names no file")
	}
	*n = fileName(path)
	return nil
}

func openAt(path, what, flag string, follow bool) (*reportFile, error) {
	r := &reportFile{dir: -1, path: path, what: what}
	if err := r.open(follow); err != nil {
		return nil, &cliError{err: r.error(err).err, hint: cmp.Or(plantedHint(err), outputHint(flag))}
	}
	return r, nil
}

// open checks that cordon can write the file. If the name is a symbolic link, it follows the link only if follow is
// true.
func (r *reportFile) open(follow bool) error {
	if fd, ok := descriptor(r.path); ok {
		return r.inherit(fd)
	}
	if err := r.place(follow); err != nil || r.file != nil {
		return err
	}
	if err := r.tryWrite(); err != nil {
		unix.Close(r.dir)
		return err
	}
	return nil
}

// descriptor returns the number in a name such as /dev/fd/3, which Linux gives to open files.
func descriptor(path string) (int, bool) {
	switch path {
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, dir := range [...]string{"/dev/fd/", "/proc/self/fd/"} {
		if n, found := strings.CutPrefix(path, dir); found {
			fd, err := strconv.Atoi(n)
			return fd, err == nil
		}
	}
	return 0, false
}

// inherit duplicates a descriptor that the caller has opened. Its position and flags stay as they are.
func (r *reportFile) inherit(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		err = errors.New("not open for writing")
	}
	if err != nil {
		return err
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	r.file = os.NewFile(uintptr(dup), r.path)
	return nil
}

func outputHint(flag string) string {
	return flag + " takes a file in a directory that you may write, or /dev/fd/N; nothing was run"
}

func (r *reportFile) error(err error) *cliError {
	return &cliError{err: because(r.what+" "+strconv.Quote(r.path), err)}
}

// tryWrite checks that a file can be created and written in the directory. It uses a file without a name or, without
// O_TMPFILE, a file that it removes again.
func (r *reportFile) tryWrite() error {
	if err := unix.Faccessat(r.dir, ".", unix.W_OK|unix.X_OK, 0); err != nil {
		return err
	}
	fd, err := unix.Openat(r.dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == unix.EOPNOTSUPP || err == unix.EISDIR || err == unix.ENOENT {
		fd, err = r.create()
		r.discard()
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, make([]byte, 4096))
	return err
}

// temporary returns the name that a report has until it is complete.
func (r *reportFile) temporary() string { return "." + r.name + ".cordon-" + strconv.Itoa(os.Getpid()) }

// discard removes the temporary file, if it exists.
func (r *reportFile) discard() { _ = unix.Unlinkat(r.dir, r.temporary(), 0) }

// create makes a new temporary file. An existing file of this name was left by a killed launcher with the same pid, and
// is removed. A directory of that name is an error.
func (r *reportFile) create() (int, error) {
	r.discard()
	fd, err := unix.Openat(r.dir, r.temporary(), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil && r.mode != 0 {
		err = unix.Fchmod(fd, r.mode)
	}
	return fd, err
}

// write writes the whole report to its file, or nothing.
func (r *reportFile) write(rep *report.Report) error {
	b, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	err = r.put(func(w io.Writer) error { _, err := w.Write(b); return err }, true)
	if err != nil {
		return r.error(err)
	}
	return nil
}

// put writes to the file that the caller has opened, or to a new file that replaces the existing one when it is
// complete. last says that nothing more will be written.
func (r *reportFile) put(write func(io.Writer) error, last bool) error {
	if r.file != nil {
		return write(r.file)
	}
	if last {
		defer unix.Close(r.dir)
	}
	return r.replace(write)
}

func (r *reportFile) replace(write func(io.Writer) error) error {
	fd, err := r.create()
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), r.path)
	err = write(f)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = unix.Renameat(r.dir, r.temporary(), r.dir, r.name)
	}
	if err != nil {
		r.discard()
		return err
	}
	return r.arrived(&st)
}

// arrived checks that the given path still leads to the file that was written. A task that owns a directory above may
// have moved it, and put another file where the reader looks.
func (r *reportFile) arrived(written *unix.Stat_t) error {
	var st unix.Stat_t
	if err := unix.Stat(r.path, &st); err == nil && st.Dev == written.Dev && st.Ino == written.Ino {
		return nil
	}
	where, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(r.dir))
	if err != nil {
		where = "a directory that is gone"
	}
	return errors.New("its directory was moved or replaced during the run: what is at this path is not the launcher's, which is in " +
		strconv.Quote(where))
}

// atLeast returns the words to print before a processor time that may be incomplete: without a cgroup, the time of a
// child whose parent ignores SIGCHLD is not counted.
func atLeast(r *report.Report) string {
	if r.AtLeast {
		return "at least "
	}
	return ""
}
