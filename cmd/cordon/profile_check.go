package main

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/lint"
	"cordon/policy/phrase"
)

type checkFlags struct {
	reference, strict, json bool
}

// checked is the result of `profile check` for one profile, and its JSON.
type checked struct {
	Profile   string             `json:"profile"`
	OK        bool               `json:"ok"`
	Errors    []found            `json:"errors"`
	Warnings  []found            `json:"warnings"`
	Reference []*referenceReport `json:"reference,omitempty"`
	err       error
}

// found is an error or a warning, with the positions that it is about.
type found struct {
	From []string `json:"from"`
	Text string   `json:"text"`
	Hint string   `json:"hint,omitempty"`
}

func newProfileCheck(u *ui) *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check [flags] FILE|NAME...",
		Short: "Print every error and warning in the given profiles",
		Long: "Print every error in the given profiles, each with its line. Also warn of lines that have no effect, of filters that\n" +
			"prevent every program from starting, and of rules that show a dangerous socket of the host. cordon checks a profile\n" +
			"together with all the profiles that it extends.\n\n" +
			"With --reference, libseccomp compiles the same rules too. A simulator then runs both filters with the system call\n" +
			"numbers 0 to 1023 and a few larger numbers, and with arguments at the edges of the rules; the decisions of both\n" +
			"filters must be equal. The output lists what libseccomp does not know. This needs the program cordon-reference in the\n" +
			"same directory as cordon.\n\n" +
			"The exit code is 1 if there is an error or a difference. With --strict it is also 1 if there is a warning.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the profile"),
		ValidArgsFunction:     completeProfile,
		RunE:                  func(_ *cobra.Command, args []string) error { return u.check(&f, args) },
	}
	c.Flags().BoolVar(&f.reference, "reference", false, "compare the filter with the filter that libseccomp makes from the same rules")
	c.Flags().BoolVar(&f.strict, "strict", false, "treat warnings as errors")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (u *ui) check(f *checkFlags, refs []string) error {
	if f.reference { // before anything is printed about a profile
		if _, err := referencePath(); err != nil {
			return err
		}
	}
	all := []*checked{}
	for _, ref := range refs {
		c := f.one(ref)
		if !c.OK {
			u.code = exitNo
		}
		if !f.json {
			u.tell(c)
		}
		var cli *cliError
		if errors.As(c.err, &cli) { // cordon-reference could not be run
			return c.err
		}
		all = append(all, c)
	}
	if f.json {
		return u.json(all)
	}
	return nil
}

// one checks a profile.
func (f *checkFlags) one(ref string) *checked {
	c := &checked{Profile: ref, Errors: []found{}, Warnings: []found{}}
	p, err := load([]string{ref}, nil)
	if err == nil {
		c.Warnings, err = warnings(ref, p)
	}
	if err == nil {
		c.Warnings = append(c.Warnings, socketWarnings(p)...)
	}
	if err == nil && f.reference {
		c.Reference, err = compareWithReference(p)
	}
	if err != nil {
		c.err = err
		for _, e := range each(err) {
			c.Errors = append(c.Errors, foundIn(e))
		}
	}
	c.OK = err == nil && (!f.strict || len(c.Warnings) == 0)
	for _, r := range c.Reference {
		c.OK = c.OK && len(r.Differences) == 0
	}
	return c
}

func foundIn(err error) found {
	var p *policy.Error
	var r *filter.Error
	switch {
	case errors.As(err, &p):
		return found{places(p.Pos.String()), p.Msg, p.Hint}
	case errors.As(err, &r):
		return found{places(r.From), r.Msg, r.Hint}
	}
	return found{[]string{}, err.Error(), hint(err)}
}

func places(at string) []string {
	if at == "" {
		return []string{}
	}
	return []string{at}
}

// tell prints the errors, the warnings and the comparison for a profile.
func (u *ui) tell(c *checked) {
	if c.err != nil {
		var cli *cliError
		if !errors.As(c.err, &cli) {
			u.fail(c.err)
		}
	}
	for _, w := range c.Warnings {
		u.line("warning", c.Profile+": "+w.Text+phrase.Prefixed(" (", closed(strings.Join(w.From, ", "))))
		if w.Hint != "" {
			u.line("hint", w.Hint)
		}
	}
	var gaps []string
	for _, r := range c.Reference {
		for _, d := range r.Differences {
			u.line("error", c.Profile+": "+d.Text)
		}
		_ = u.write(clean(c.Profile+": "+r.Summary) + "\n")
		for _, g := range r.Gaps {
			if !slices.Contains(gaps, g.Text) {
				gaps = append(gaps, g.Text)
				_ = u.write("  " + clean(g.Text) + "\n")
			}
		}
	}
}

// warnings lists lines of a profile's filter that have no effect on this machine, or a different effect than they seem
// to have. It leaves out lines of shipped profiles, which are intended.
func warnings(ref string, p *policy.Profile) ([]found, error) {
	out := []found{}
	if src, err := search().Find(ref); err != nil || strings.HasPrefix(src.File, "embedded:") {
		return out, err
	}
	spec, err := p.Filter()
	if err != nil {
		return out, err
	}
	arch, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		return out, nil
	}
	all, err := filter.Lint(spec, arch)
	if err != nil {
		return out, err
	}
	for _, w := range all {
		if len(w.From) > 0 && !slices.ContainsFunc(w.From, func(at string) bool { return !strings.HasPrefix(at, "embedded:") }) {
			continue
		}
		from := w.From
		if from == nil {
			from = []string{}
		}
		out = append(out, found{from, w.Msg, w.Hint})
	}
	return out, nil
}

// socketWarnings lists the sockets of the host that a profile shows, and says what each socket gives access to. It
// leaves out sockets that a shipped profile shows, because these are intended.
func socketWarnings(p *policy.Profile) (out []found) {
	for _, e := range lint.Exposures(p, os.Getenv("XDG_RUNTIME_DIR")) {
		if at := e.Pos.Short(); !strings.HasPrefix(at, "embedded:") {
			out = append(out, found{places(at), e.String(), ""})
		}
	}
	return out
}
