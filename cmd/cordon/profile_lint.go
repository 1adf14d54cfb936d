package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy/lint"
	"cordon/profiles"
)

type lintFlags struct {
	format string
	failOn string
	arch   string
	rules  bool
}

func newProfileLint(u *ui) *cobra.Command {
	var f lintFlags
	c := &cobra.Command{
		Use:   "lint [flags] FILE|NAME...",
		Short: "Find what a profile should not allow, what it lacks, and what has no effect",
		Long: "Find what a profile should not allow, what it lacks, and what has no effect. cordon looks at a profile together with\n" +
			"all that it extends. Each finding has a code, the responsible line, the consequence and the remedy.\n\n" +
			"To accept a finding, put a comment with its code and a reason on the same line, or on the line above. For a finding\n" +
			"without a line, put a comment with lint:ignore-file anywhere in the file:\n\n" +
			"  tty: inherit # lint:ignore CL018 it is run from a shell\n\n" +
			"The exit code is 1 if a finding has at least the level that --fail-on names.",
		Example:               "  cordon profile lint --format sarif ./ci.yaml > lint.sarif",
		DisableFlagsInUseLine: true,
		Args: func(c *cobra.Command, args []string) error {
			if f.rules {
				return noArgs(c, args)
			}
			return needArgs(1, "the profile")(c, args)
		},
		ValidArgsFunction: completeProfile,
		RunE:              func(_ *cobra.Command, args []string) error { return u.lint(&f, args) },
	}
	fs := c.Flags()
	fs.StringVar(&f.format, "format", "text", "`FORMAT` of the output: text, json or sarif (2.1.0)")
	fs.StringVar(&f.failOn, "fail-on", "warning", "exit with 1 if a finding has at least this `LEVEL`: error, warning, note or never")
	fs.StringVar(&f.arch, "arch", runtime.GOARCH, "look at the calls of this `ARCH`: amd64, arm64 or riscv64")
	fs.BoolVar(&f.rules, "rules", false, "list the rules")
	for name, words := range map[string][]string{"format": {"text", "json", "sarif"}, "fail-on": {"error", "warning", "note", "never"}} {
		_ = c.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return words, cobra.ShellCompDirectiveNoFileComp
		})
	}
	return c
}

// levels lists the levels of findings, the most serious first.
var levels = []lint.Level{lint.LevelError, lint.LevelWarning, lint.LevelNote}

func (f *lintFlags) check() error {
	if !slices.Contains([]string{"text", "json", "sarif"}, f.format) {
		return &cliError{err: errors.New("profile lint: --format " + f.format + " is not a format"), hint: "use text, json or sarif"}
	}
	if f.failOn != "never" && !slices.Contains(levels, lint.Level(f.failOn)) {
		return &cliError{err: errors.New("profile lint: --fail-on " + f.failOn + " is not a level"), hint: "use error, warning, note or never"}
	}
	return nil
}

func (u *ui) lint(f *lintFlags, refs []string) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.rules {
		return u.listRules(f)
	}
	var all []lint.Finding
	for _, ref := range refs {
		found, err := f.one(ref)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	for _, x := range all {
		if x.Ignored == "" && f.failOn != "never" && slices.Index(levels, x.Rule.Level) <= slices.Index(levels, lint.Level(f.failOn)) {
			u.code = exitNo
		}
	}
	switch f.format {
	case "json":
		return u.json(listedFindings(all))
	case "sarif":
		return u.json(sarifOf("cordon profile lint", lintRulesSARIF(), findingsSARIF(all)))
	}
	return u.tellFindings(all)
}

// one returns the findings about one profile.
func (f *lintFlags) one(ref string) ([]lint.Finding, error) {
	search := search()
	p, err := search.Load([]string{ref}, nil)
	if err != nil {
		return nil, err
	}
	src, err := search.Find(ref)
	if err != nil {
		return nil, err
	}
	return lint.Check(p, lint.Options{
		File: src.File, Arch: f.arch, RuntimeDir: os.Getenv("XDG_RUNTIME_DIR"), Names: namesOf(src.File),
		Text: func(file string) []byte { return lintText(search, src, file) },
	})
}

// namesOf returns the paths under which a bind could show a profile's file. A shipped profile has none.
func namesOf(file string) []string {
	if strings.HasPrefix(file, "embedded:") {
		return nil
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	names := []string{abs}
	if cwd, err := os.Getwd(); err == nil {
		if rest, ok := strings.CutPrefix(abs, strings.TrimSuffix(cwd, "/")+"/"); ok {
			names = append(names, "./"+rest)
		}
	}
	if home := os.Getenv("HOME"); home != "" {
		if rest, ok := strings.CutPrefix(abs, strings.TrimSuffix(home, "/")+"/"); ok {
			names = append(names, "~/"+rest)
		}
	}
	return names
}

// lintText returns the text of the profile that a position names, or nil if it can no longer be read.
func lintText(search profiles.Search, src *profiles.Source, file string) []byte {
	if file == src.File {
		return src.Data
	}
	if name, ok := strings.CutPrefix(file, "embedded:"); ok {
		text, _ := profiles.Text(strings.TrimSuffix(name, ".yaml"))
		return text
	}
	if !strings.Contains(file, "/") {
		return nil
	}
	if other, err := search.Find(file); err == nil {
		return other.Data
	}
	return nil
}

func (u *ui) listRules(f *lintFlags) error {
	if f.format != "text" {
		return u.json(lintRulesSARIF())
	}
	for _, r := range lint.Rules() {
		if err := u.write(r.Code + " " + r.Name + " (" + string(r.Level) + "): " + r.About + "\n    " + r.Why + "\n    fix: " + r.Fix + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// tellFindings prints a line for each finding, with its consequence and the remedy.
func (u *ui) tellFindings(all []lint.Finding) error {
	for _, x := range all {
		if x.Ignored != "" {
			continue
		}
		text := clean(x.Pos.String()+": "+string(x.Rule.Level)+": "+x.Text) + " [" + x.Rule.Code + " " + x.Rule.Name + "]\n" +
			"    " + x.Rule.Why + "\n    fix: " + x.Rule.Fix + "\n"
		if err := u.write(text); err != nil {
			return err
		}
	}
	return nil
}

// findingJSON is an item of --format json.
type findingJSON struct {
	Code    string `json:"code"`
	Rule    string `json:"rule"`
	Level   string `json:"level"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Text    string `json:"text"`
	Why     string `json:"why"`
	Fix     string `json:"fix"`
	Ignored string `json:"ignored,omitempty"`
}

func listedFindings(all []lint.Finding) any {
	out := struct {
		Version  int           `json:"version"`
		Findings []findingJSON `json:"findings"`
	}{1, []findingJSON{}}
	for _, x := range all {
		out.Findings = append(out.Findings, findingJSON{x.Rule.Code, x.Rule.Name, string(x.Rule.Level), x.Pos.File, x.Pos.Line, x.Pos.Col, x.Text, x.Rule.Why, x.Rule.Fix, x.Ignored})
	}
	return out
}

func lintRulesSARIF() []sarifRule {
	var out []sarifRule
	for _, r := range lint.Rules() {
		out = append(out, sarifRule{ID: r.Code, Name: r.Name, Short: sarifText{r.About}, Full: sarifText{r.Why}, Help: sarifText{"Fix: " + r.Fix},
			Configuration: sarifLevel{string(r.Level)}})
	}
	return out
}

func findingsSARIF(all []lint.Finding) []sarifResult {
	out := []sarifResult{}
	for _, x := range all {
		r := sarifResult{RuleID: x.Rule.Code, Level: string(x.Rule.Level), Message: sarifText{x.Text + ". " + x.Rule.Why + " Fix: " + x.Rule.Fix}, Locations: sarifAt(x.Pos)}
		if x.Ignored != "" {
			r.Suppressions = []sarifSuppression{{"inSource", x.Ignored}}
		}
		out = append(out, r)
	}
	return out
}
