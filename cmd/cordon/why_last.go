package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/phrase"
	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
	"cordon/sandbox/statedir"
)

// lastRun is what cordon has stored about the last failed run.
type lastRun struct {
	Version  int            `json:"version"` // the version of this format: 1
	At       time.Time      `json:"at"`
	Cwd      string         `json:"cwd"`
	Profiles []string       `json:"profiles"`
	Fields   [][2]string    `json:"fields"` // the flags that set fields of the profile
	Args     []string       `json:"args"`
	Code     int            `json:"code"`
	Error    string         `json:"error,omitempty"` // why the launch failed; "" if it did not
	Hint     string         `json:"hint,omitempty"`
	Lookup   bool           `json:"lookup,omitempty"` // the launch failed because cordon did not find the program
	Report   *report.Report `json:"report,omitempty"`
}

// keepLast stores a failed run for `why --last`. It ignores an error, because `why --last` will report that.
func (u *ui) keepLast(f *runFlags, args []string, rep *report.Report, failed error) {
	code := u.code
	if failed != nil {
		code = exitCode(failed)
	}
	if code == 0 && (rep == nil || rep.Denials == nil || rep.Denials.Total == rep.Denials.Quiet) {
		return
	}
	l := lastRun{Version: 1, At: time.Now(), Profiles: f.profiles, Args: args, Code: code, Report: rep}
	for _, x := range f.fields {
		l.Fields = append(l.Fields, [2]string{x.name, x.value})
	}
	if failed != nil {
		l.Error, l.Hint = failed.Error(), hint(failed)
		var lookup *sandbox.LookupError
		l.Lookup = errors.As(failed, &lookup)
	}
	var err error
	if l.Cwd, err = os.Getwd(); err != nil {
		return
	}
	d, err := statedir.Open(host.StatePath(os.Getenv))
	if err != nil {
		return
	}
	defer d.Close()
	if b, err := json.Marshal(l); err == nil {
		u.kept = d.KeepLast(b) == nil
	}
}

// readLast reads the stored run, and changes to the directory in which it was started, so that "." and relative names
// mean the same.
func readLast() (*lastRun, error) {
	d, err := statedir.Open(host.StatePath(os.Getenv))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := d.Last()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &cliError{err: errors.New("why --last: no run has failed"), hint: "cordon keeps failed runs in " + d.Path() + " until the machine restarts"}
	}
	var l lastRun
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err == nil && (l.Version != 1 || len(l.Args) == 0) {
		err = errors.New("another version of cordon has written it")
	}
	if err == nil {
		err = os.Chdir(l.Cwd)
	}
	if err != nil {
		return nil, &cliError{err: because("why --last", err)}
	}
	return &l, nil
}

// lastAnswer holds what is known about a failed run, and is its JSON.
type lastAnswer struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Args    []string  `json:"args"`
	Profile string    `json:"profile"`
	Code    int       `json:"code"`
	Reasons []*answer `json:"reasons"` // what the sandbox denied, the likeliest reason first
	Note    string    `json:"note,omitempty"`
}

// whyLast explains the last run that failed. The exit code is 1 if a denial is known.
func (u *ui) whyLast(f *whyFlags) error {
	l, err := readLast()
	if err != nil {
		return err
	}
	var fields []fieldValue
	for _, x := range l.Fields {
		fields = append(fields, fieldValue{x[0], x[1]})
	}
	p, err := load(l.Profiles, fields)
	if err != nil {
		return err
	}
	a := &lastAnswer{Version: 1, At: l.At, Args: l.Args, Profile: p.Name, Code: l.Code,
		Reasons: slices.Concat([]*answer{}, l.known(p), l.likely(p), l.calls(p))}
	if len(a.Reasons) > 0 {
		u.code = exitNo
	} else {
		a.Note = l.unknown(p)
	}
	switch {
	case f.quiet:
		return nil
	case f.json:
		return u.json(a)
	}
	return u.write(a.text())
}

func (a *lastAnswer) text() string {
	var b strings.Builder
	b.WriteString(clean(strings.Join(a.Args, " ")) + ", in profile " + clean(a.Profile) + ", " + a.At.Format(time.DateTime) + ": exit code " + strconv.Itoa(a.Code) + "\n")
	for _, r := range a.Reasons {
		b.WriteString(r.text())
	}
	if a.Note != "" {
		b.WriteString("  note: " + a.Note + "\n")
	}
	return b.String()
}

// known returns the reasons that the launcher has observed, except denied calls: why the program did not start, and
// limits.
func (l *lastRun) known(p *policy.Profile) (all []*answer) {
	if l.Error != "" && l.Lookup {
		all = append(all, l.asked(p, "exec:"+l.Args[0])...)
	}
	if l.Error != "" && len(all) == 0 {
		all = append(all, denied("launch", "launch", l.Error, l.Hint))
	}
	if l.Report == nil {
		return all
	}
	for _, m := range l.Report.Limits {
		why := m.Limit + " was reached"
		if m.Rule != "" {
			why += ": " + m.Rule
		}
		all = append(all, denied("limit:"+m.Limit, "limits", why, phrase.Prefixed("raise it with ", m.Flag)))
	}
	if l.Report.Signal == "SIGSYS" {
		for _, h := range l.Report.Hints {
			all = append(all, denied(l.Args[0], string(policy.LayerSeccomp), h.Text, phrase.Prefixed("try ", h.Flag)))
		}
	}
	return all
}

// calls returns the denied calls. For each it says which flag would allow the call, and what else the flag would allow.
// Calls that the profile expects to be denied come last. All calls come after the other reasons, because a program
// often continues after a denied call, but ends if a file is missing.
func (l *lastRun) calls(p *policy.Profile) (all []*answer) {
	if l.Report == nil || l.Report.Denials == nil {
		return nil
	}
	list := slices.Clone(l.Report.Denials.List)
	slices.SortStableFunc(list, func(a, b report.Denial) int { return order(a.Quiet) - order(b.Quiet) })
	for i := range list[:min(len(list), shownDenials)] {
		x := &list[i]
		why := x.Rule + ": " + cmp.Or(x.Errno, x.Instead) + ", " + plural(x.Count, "time", "times") + phrase.Prefixed(" by ", x.Comm)
		if x.Quiet {
			all = append(all, denied(x.Text, string(policy.LayerSeccomp), why+"; the profile expects it", ""))
			continue
		}
		a := denied(x.Text, string(policy.LayerSeccomp), why, x.Remedy)
		if f := l.fix(p, x); f != nil {
			a.Outcomes[0].Fix = f
		}
		all = append(all, a)
	}
	return all
}

func order(last bool) int {
	if last {
		return 1
	}
	return 0
}

// fix returns the advice about a denied call, or nil if the report does not name the call.
func (l *lastRun) fix(p *policy.Profile, x *report.Denial) *fix {
	native, abi, err := archesOf(x.Arch)
	if err != nil || len(x.Args) != 6 {
		return nil
	}
	nr, ok := filter.Number(abi, x.Call)
	if !ok {
		return nil
	}
	if abi == filter.X32 {
		nr |= filter.X32Bit
	}
	return fixOf(p, native, filter.QueryOf(&filter.Data{Nr: int32(nr), Arch: abi.Audit(), Args: [6]uint64(x.Args)})) //nolint:gosec // numbers of calls are small
}

// denied returns an answer about something that was observed, without a question.
func denied(question, layer, why, remedy string) *answer {
	o := outcome{Action: verdictDeny, Why: why, From: []string{}}
	if remedy != "" {
		o.Fix = &fix{Note: remedy}
	}
	return &answer{Version: 1, Question: question, Layer: layer, Verdict: verdictDeny, Outcomes: []outcome{o}}
}

// likely returns the reasons that follow from the command: the program itself, and the paths in its arguments.
func (l *lastRun) likely(p *policy.Profile) (all []*answer) {
	if l.Report == nil || l.Code == 0 {
		return nil
	}
	if a := l.asked(p, "exec:"+l.Args[0]); len(a) > 0 && a[0].Layer == string(policy.LayerNoNewPriv) {
		all = append(all, a...)
	}
	for _, arg := range l.Args[1:] {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value
		}
		if path := arg; l.names(path) && !strings.ContainsAny(path, "\x00\n\t ;|&$<>()") && !strings.Contains(path, "://") {
			all = append(all, l.askedPath(p, path)...)
		}
	}
	all = append(all, l.hinted(p, all)...)
	return append(all, l.guessed(p, all)...)
}

// hinted returns the reasons that the run's hints have named, except those in known.
func (l *lastRun) hinted(p *policy.Profile, known []*answer) (all []*answer) {
	for _, h := range l.Report.Hints {
		path, _, _ := strings.Cut(h.Text, " ")
		said := func(a *answer) bool {
			return strings.Contains(a.Outcomes[0].Why, path+" is ") || strings.Contains(a.Outcomes[0].Why, path+" of the host")
		}
		what, layer := "open:"+path, string(policy.LayerMount)
		switch {
		case h.Rule == p.Source("network") && h.Flag == "--net host":
			what, layer = "connect", string(policy.LayerNet)
		case !strings.HasPrefix(path, "/") || slices.ContainsFunc(known, said):
			continue
		}
		all = append(all, denied(what, layer, h.Text+phrase.Prefixed(" (", closed(h.Rule.Short())), phrase.Prefixed("to allow it: ", h.Flag)))
	}
	return all
}

// writers lists programs that write to the files that their arguments name.
var writers = [...]string{"chmod", "chown", "cp", "dd", "install", "ln", "mkdir", "mktemp", "mv", "rm", "rmdir", "tee", "touch", "truncate"}

// askedPath asks whether a path can be read. If the path does not exist, or the program is a writer, it also asks
// whether it can be written.
func (l *lastRun) askedPath(p *policy.Profile, path string) []*answer {
	read := l.asked(p, "open:"+path+":r")
	gone := len(read) > 0 && read[0].Layer == "file"
	if len(read) > 0 && !gone || len(read) == 0 && !slices.Contains(writers[:], filepath.Base(l.Args[0])) {
		return read
	}
	write := l.asked(p, "open:"+path+":w")
	if gone && (len(write) == 0 || write[0].Layer == "file") {
		return read
	}
	return write
}

// asked returns the answer to a question if the answer is no, or if it has notes.
func (l *lastRun) asked(p *policy.Profile, what string) []*answer {
	q := questionOf(what)
	a, err := q.ask(nil, &whyFlags{}, p, strings.TrimPrefix(what, q.prefix))
	if err != nil || a.Verdict == verdictAllow && len(a.Notes) == 0 {
		return nil
	}
	a.Version, a.Question, a.Profile = 1, what, p.Name
	return []*answer{a}
}
