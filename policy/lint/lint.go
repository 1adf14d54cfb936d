package lint

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/filter"
)

// Level says how much a finding matters.
type Level string

// The levels have the names that SARIF uses.
const (
	LevelError   Level = "error"   // the sandbox does not stop a program that tries to leave it
	LevelWarning Level = "warning" // a way out, or a loss, that the author probably did not intend
	LevelNote    Level = "note"    // many authors intend it, but the reader should know
)

// Rule is one thing that Check looks for. A code is never used again for another rule.
type Rule struct {
	Code  string // "CL001"
	Name  string // a name for the rule: "default-allow"
	Level Level
	About string // what the rule looks for
	Why   string // why it matters
	Fix   string // how to correct it
	find  func(l *linter)
}

// A Finding is a problem that a rule found in a profile.
type Finding struct {
	Rule    *Rule
	Text    string     // such as "syscalls: io_uring_setup is allowed"
	Pos     policy.Pos // the responsible line; if something is missing, only the file
	Ignored string     // the reason, if a comment says that the finding is intended
}

// Options holds what Check needs to know and the profile does not say.
type Options struct {
	File       string                   // the file to check; a finding without a line is in this file
	Arch       string                   // "amd64"
	RuntimeDir string                   // the caller's XDG_RUNTIME_DIR; "" if it has none
	Names      []string                 // paths of File: absolute, and ./… in the working directory
	Text       func(file string) []byte // returns the text of a file, for the comments in it; may be nil
}

// Check finds what an effective profile should not allow, what has no effect in it, and what it lacks. A comment with a
// reason, on the line of a finding or on the line above, marks the finding as Ignored:
//
//	tty: inherit # lint:ignore CL018 it is run from a shell
//
// For a finding without a line, the comment can be anywhere in the file: # lint:ignore-file CL017 REASON. An error says
// that opts.Arch is unknown or that the filter cannot be built.
func Check(p *policy.Profile, opts Options) ([]Finding, error) {
	l := &linter{p: p, opts: opts, files: map[string]*remarks{}}
	var ok bool
	if l.arch, ok = filter.ParseArch(opts.Arch); !ok {
		return nil, &policy.Error{Msg: policy.Quote(opts.Arch) + " is not an architecture"}
	}
	var err error
	if l.spec, err = p.Filter(); err != nil {
		return nil, err
	}
	if l.warnings, err = filter.Lint(l.spec, l.arch); err != nil {
		return nil, err
	}
	for i := range rules {
		l.rule = &rules[i]
		l.rule.find(l)
	}
	l.remarks()
	slices.SortStableFunc(l.found, func(a, b Finding) int { return cmp.Compare(a.Rule.Code, b.Rule.Code) })
	return l.found, nil
}

// Rules lists every rule, in the order of the codes.
func Rules() []Rule { return slices.Clone(rules[:]) }

type linter struct {
	p        *policy.Profile
	opts     Options
	arch     filter.Arch
	spec     filter.Spec
	warnings []filter.Warning
	rule     *Rule
	found    []Finding
	files    map[string]*remarks
}

func (l *linter) say(at policy.Pos, text string) {
	f := Finding{Rule: l.rule, Text: text, Pos: at}
	if f.Pos.File == "" {
		f.Pos.File = l.opts.File
	}
	f.Ignored = l.ignored(&f)
	l.found = append(l.found, f)
}

// remark is a comment that marks a finding as intended.
type remark struct {
	line   int
	own    bool // it is alone on its line, so it is about the next line
	file   bool // it is about findings without a line
	codes  []string
	reason string
}

type remarks struct{ list []remark }

const ignoreMark = "# lint:ignore"

// of returns the remarks of a file. It reads each file once.
func (l *linter) of(file string) *remarks {
	r, ok := l.files[file]
	if !ok {
		r = &remarks{}
		l.files[file] = r
		if l.opts.Text != nil && file != "" && file != policy.CommandLine {
			r.list = readRemarks(string(l.opts.Text(file)))
		}
	}
	return r
}

func readRemarks(text string) (list []remark) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		i := strings.Index(line, ignoreMark)
		if i < 0 {
			continue
		}
		rest := line[i+len(ignoreMark):]
		m := remark{line: n, own: strings.TrimSpace(line[:i]) == ""}
		rest, m.file = strings.CutPrefix(rest, "-file")
		if rest != "" && rest[0] != ' ' && rest[0] != '\n' && rest[0] != '\r' {
			continue
		}
		words := strings.Fields(rest)
		for len(words) > 0 && strings.HasPrefix(words[0], "CL") {
			m.codes = append(m.codes, strings.TrimSuffix(words[0], ","))
			words = words[1:]
		}
		m.reason = strings.Join(words, " ")
		list = append(list, m)
	}
	return list
}

// ignored returns the reason for ignoring a finding, or "" if no comment gives one.
func (l *linter) ignored(f *Finding) string {
	for _, m := range l.of(f.Pos.File).list {
		here := m.line == f.Pos.Line || m.own && m.line == f.Pos.Line-1
		if m.file {
			here = f.Pos.Line == 0 && f.Pos.File == l.opts.File
		}
		if here && m.reason != "" && slices.Contains(m.codes, f.Rule.Code) {
			return m.reason
		}
	}
	return ""
}

// remarks checks the comments themselves. A comment without a reason, or with an unknown code, ignores nothing.
func (l *linter) remarks() {
	l.rule = &rules[0]
	for _, m := range l.of(l.opts.File).list {
		at := policy.Pos{File: l.opts.File, Line: m.line}
		if len(m.codes) == 0 || m.reason == "" {
			l.say(at, "lint:ignore ignores nothing: it has a code and a reason")
		}
		for _, code := range m.codes {
			if !slices.ContainsFunc(rules[:], func(r Rule) bool { return r.Code == code }) {
				l.say(at, "lint:ignore: "+policy.Quote(code)+" is no rule")
			}
		}
	}
}

// passes reports whether the filter allows a call with at least some arguments. call may fix some of the arguments:
// "socket(AF_ALG)".
func (l *linter) passes(call string) (at policy.Pos, yes bool) {
	q, err := filter.ParseQuery(call, l.arch)
	if err != nil {
		return policy.Pos{}, false // the architecture does not have the call
	}
	found, err := filter.Ask(l.spec, l.arch, q)
	if err != nil {
		return policy.Pos{}, false
	}
	for _, o := range found {
		if name, _, _ := strings.Cut(call, "("); o.Action.Passes() && l.p.Nest && slices.Contains(policy.NestCalls[:], name) {
			return l.p.Source("nest"), true
		}
		if o.Action.Passes() {
			return l.placeOf(o.From), true
		}
	}
	return policy.Pos{}, false
}

// placeOf returns the position that a verdict names. If it names none, placeOf returns the position of
// syscalls.default.
func (l *linter) placeOf(from []string) policy.Pos {
	if len(from) > 0 {
		for _, at := range callPositions(l.p) {
			if at.Short() == from[0] {
				return at
			}
		}
	}
	return l.p.Source("syscalls.default")
}

// callPositions returns the positions of all lines about a call.
func callPositions(p *policy.Profile) (list []policy.Pos) {
	for _, x := range p.Syscalls.Allow {
		list = append(list, x.Pos)
	}
	for _, x := range p.Syscalls.Deny {
		list = append(list, x.Pos)
	}
	for _, r := range p.Syscalls.Rules {
		list = append(list, r.Pos)
	}
	return list
}

// calls finds the calls in a list that the filter allows. It makes one finding for each responsible line.
func (l *linter) calls(list string) {
	var places []policy.Pos
	byPlace := map[policy.Pos][]string{}
	for call := range strings.FieldsSeq(list) {
		if at, yes := l.passes(call); yes {
			if byPlace[at] == nil {
				places = append(places, at)
			}
			byPlace[at] = append(byPlace[at], call)
		}
	}
	for _, at := range places {
		l.say(at, "syscalls: "+strings.Join(byPlace[at], ", ")+" can be called")
	}
}

// reaches reports whether the task can reach a path of the host, and because of which rule. host may contain wildcards,
// which hostNames also accepts.
func (l *linter) reaches(host string, write bool) (rule string, at policy.Pos, yes bool) {
	target := hostNames(host, "")
	show := func(source []string, place []string, later int) bool {
		if source == nil || !above(source, target) {
			return false
		}
		inside := target
		if place != nil {
			inside = append(slices.Clone(place), target[len(source):]...)
		}
		return !covered(l.p, target, inside, later, l.opts.RuntimeDir)
	}
	if l.p.Root.Kind == policy.RootHost && !write && show([]string{}, nil, 0) {
		return "root", l.p.Source("root"), true
	}
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountBind || write && !m.Write {
			continue
		}
		source := hostNames(m.Source, l.opts.RuntimeDir)
		if len(source) > 0 && source[0] == "root" { // treat root's home like any other home
			source = append([]string{"home", "*"}, source[1:]...)
		}
		if show(source, hostNames(m.Place(), l.opts.RuntimeDir), i+1) {
			return mountAt(i), m.Pos, true
		}
	}
	return "", policy.Pos{}, false
}

// paths finds which paths of the host the task can reach. It makes one finding for each rule that shows some of them.
func (l *linter) paths(list []string, write bool, how string) {
	var rules []string
	byRule := map[string][]string{}
	where := map[string]policy.Pos{}
	for _, p := range list {
		rule, at, yes := l.reaches(p, write)
		if !yes {
			continue
		}
		if byRule[rule] == nil {
			rules = append(rules, rule)
		}
		byRule[rule], where[rule] = append(byRule[rule], p), at
	}
	for _, rule := range rules {
		l.say(where[rule], rule+": "+strings.Join(byRule[rule], ", ")+" "+how)
	}
}

// coveredMounts finds mounts that are invisible because a later mount covers them.
func (l *linter) coveredMounts() {
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		for j := i + 1; j < len(l.p.Mounts); j++ {
			o := &l.p.Mounts[j]
			if _, under := policy.Beneath(o.Place(), m.Place()); under && !o.Optional && o.Kind != policy.MountSymlink && o.Kind != policy.MountDir && path.IsAbs(o.Place()) == path.IsAbs(m.Place()) {
				l.say(m.Pos, mountAt(i)+": "+m.Place()+" is covered by "+mountAt(j)+", "+o.Place())
				break
			}
		}
	}
}

func mountAt(i int) string { return "mounts[" + strconv.Itoa(i) + "]" }
