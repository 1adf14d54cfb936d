package main

import (
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/phrase"
)

// A question is a kind of question that `cordon why` answers.
type question struct {
	prefix string // the prefix of the argument: "open:" in "open:/etc/passwd"; "" for a system call
	about  string // the description in the help
	ask    func(u *ui, f *whyFlags, p *policy.Profile, what string) (*answer, error)
}

// questions returns the kinds of questions, the system call last. It is a function and not a variable because the help
// also prints the kinds.
func questions() []question {
	return []question{
		{"open:", "open:PATH[:rwx]          may the program read (the default), write or execute this file?", (*ui).whyOpen},
		{"exec:", "exec:PROGRAM             can the sandbox run this program? also looks at interpreters and set-user-ID bits", (*ui).whyExec},
		{"cap:", "cap:NET_ADMIN            does the program have this capability?", (*ui).whyCap},
		{"connect:", "connect:HOST:PORT        may the program connect to this address, unix socket (PATH) or abstract socket (@NAME)?", (*ui).whyConnect},
		{"signal:", "signal:PID               can the program send a signal to this process of the host?", (*ui).whySignal},
		{"limit:", "limit:memory=2GiB        can the program use this much? a flag for limits and a value: limit:rlimit=nofile=4096", (*ui).whyLimit},
		{"", "'socket(AF_INET, …)'     may the program make this system call? by name, by number (435), or with arguments", (*ui).whySyscall},
	}
}

// answer is the answer of `why`, and its JSON.
type answer struct {
	Version  int       `json:"version"`
	Question string    `json:"question"`
	Profile  string    `json:"profile"`
	Layer    string    `json:"layer"`
	Verdict  string    `json:"verdict"` // allow, deny, or depends
	Outcomes []outcome `json:"outcomes"`
	RuledOut []string  `json:"ruled_out,omitempty"` // layers that were asked too and do not deny it
	Call     *callInfo `json:"call,omitempty"`      // the system call, if the question is about one
	Path     []step    `json:"path,omitempty"`      // the instructions of the filter that the call executes
	Notes    []string  `json:"notes,omitempty"`
}

// outcome is one possible result, with the rule that causes it. If several results are possible, each has an example.
type outcome struct {
	Action  string   `json:"action"`
	Allowed bool     `json:"allowed"`
	Why     string   `json:"why"`
	From    []string `json:"from"`
	Rules   []string `json:"rules,omitempty"`
	Example string   `json:"example,omitempty"`
	Fix     *fix     `json:"fix,omitempty"`
}

// fix is the narrowest change that would allow what was asked; why has tried it. If there is none, Note says why.
type fix struct {
	Flags []string `json:"flags,omitempty"` // flags for the command line, as NAME and VALUE in turn
	YAML  string   `json:"yaml,omitempty"`
	Also  string   `json:"also,omitempty"` // what else the change would allow
	Note  string   `json:"note,omitempty"`
}

type whyFlags struct {
	runFlags
	arch  string
	quiet bool
	last  bool
}

const (
	verdictAllow   = "allow"
	verdictDeny    = "deny"
	verdictDepends = "depends"
)

func newWhy(u *ui) *cobra.Command {
	var f whyFlags
	c := &cobra.Command{
		Use:   "why [flags] QUESTION",
		Short: "Say whether a profile allows something, which line decides, and what would allow it",
		Long: "Say whether a profile allows something, which layer (the filter, the mounts, Landlock …) and which line decide, and\n" +
			"what else cordon why checked. If the profile denies it, cordon why also gives the narrowest change that would allow\n" +
			"it, and says what else that change allows. It tries the change in a simulation first. cordon why runs nothing.\n\n" +
			aboutQuestions() + "\n" +
			"  cordon why --last                                    explain the last run that failed\n" +
			"  cordon why -p build open:/etc/shadow\n" +
			"  cordon why open:~/.ssh/id_rsa:r\n" +
			"  cordon why -p build 'socket(AF_INET, SOCK_STREAM, 0)'\n" +
			"  cordon why 'openat(AT_FDCWD, \"/x\", flags=O_RDONLY)'   arguments by position or by name\n" +
			"  cordon why --arch i386 'socketcall(1)'               a call of another architecture\n\n" +
			"A call may lack arguments, or have _ in their place: such an argument can have any value. If its value matters,\n" +
			"cordon why lists every outcome with an example. The exit code is 0 if the profile allows what you ask about,\n" +
			"whatever the missing arguments are; 1 if it does not; and 125 if cordon why cannot answer.",
		DisableFlagsInUseLine: true,
		Args: cobra.MatchAll(func(c *cobra.Command, args []string) error {
			if f.last {
				return noArgs(c, args)
			}
			return needArgs(1, "the question")(c, args)
		}, atMost(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if f.last {
				return u.whyLast(&f)
			}
			return u.why(&f, args[0])
		},
	}
	addQueryFlags(c, &f.runFlags, "")
	c.Flags().StringVar(&f.arch, "arch", "", "`NAME` of the call's architecture: amd64, i386, x32, arm64, arm or riscv64")
	c.Flags().BoolVar(&f.last, "last", false, "explain the last cordon run that failed, with its profile and directory")
	c.Flags().BoolVarP(&f.quiet, "quiet", "q", false, "print nothing; the exit code alone is the answer")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (u *ui) why(f *whyFlags, what string) error {
	what = bareQuestion(what)
	q := questionOf(what)
	p, err := load(f.profiles, f.fields)
	if err != nil {
		return err
	}
	a, err := q.ask(u, f, p, strings.TrimPrefix(what, q.prefix))
	if err != nil {
		return err
	}
	a.Version, a.Question, a.Profile = 1, what, p.Name
	if a.Verdict != verdictAllow {
		u.code = exitNo
	}
	switch {
	case f.quiet:
		return nil
	case f.json:
		return u.json(a)
	}
	return u.write(a.text())
}

// questionOf finds the kind of a question. A question without a known prefix is about a system call.
func questionOf(what string) question {
	all := questions()
	i := 0
	for !strings.HasPrefix(what, all[i].prefix) {
		i++
	}
	return all[i]
}

func aboutQuestions() (text string) {
	for _, q := range questions() {
		text += "  " + q.about + "\n"
	}
	return text
}

// text returns the answer as text for people: the verdict, the rule that decides, a change that would give another
// verdict, and the instructions of the filter that lead to it.
func (a *answer) text() string {
	var b strings.Builder
	b.WriteString(clean(a.Question) + ": " + a.headline() + "\n")
	if c := a.Call; c != nil {
		b.WriteString("  " + clean(c.String()) + "\n")
	}
	for i := range a.Outcomes {
		a.Outcomes[i].text(&b, len(a.Outcomes) > 1)
	}
	label := "  ruled out: "
	if a.Verdict == verdictAllow {
		label = "  looked at: "
	}
	for _, r := range a.RuledOut {
		b.WriteString(label + clean(r) + "\n")
	}
	for _, n := range a.Notes {
		b.WriteString("  note: " + clean(n) + "\n")
	}
	if len(a.Path) > 0 {
		writePath(&b, a.Path)
	}
	return b.String()
}

func (a *answer) headline() string {
	if a.Verdict == verdictDepends {
		return "it depends on what is left out"
	}
	o := &a.Outcomes[0]
	if o.Action == a.Verdict {
		return a.Verdict
	}
	return a.Verdict + ", " + o.Action
}

func (o *outcome) text(b *strings.Builder, several bool) {
	why := o.Why
	if len(o.From) > 0 {
		why += " (" + strings.Join(o.From, ", ") + ")"
	}
	if several {
		why = o.Action + ": " + why
	}
	b.WriteString("  " + clean(why) + "\n")
	for _, r := range o.Rules {
		b.WriteString("    " + clean(r) + "\n")
	}
	if o.Example != "" {
		b.WriteString("    for example " + clean(o.Example) + "\n")
	}
	o.Fix.text(b)
}

func (f *fix) text(b *strings.Builder) {
	if f == nil {
		return
	}
	if len(f.Flags) > 0 {
		b.WriteString("  to allow it:" + clean(f.line()) + "\n")
	}
	for l := range strings.Lines(f.YAML) {
		b.WriteString("      " + clean(strings.TrimSuffix(l, "\n")) + "\n")
	}
	if f.Also != "" {
		b.WriteString("  which gives " + clean(f.Also) + "\n")
	}
	if f.Note != "" {
		b.WriteString("  " + clean(f.Note) + "\n")
	}
}

// line joins the flags, quoted for a shell.
func (f *fix) line() string {
	s := ""
	for _, word := range f.Flags {
		s += " " + phrase.Shell(word)
	}
	return s
}
