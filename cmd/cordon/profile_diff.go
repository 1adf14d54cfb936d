package main

import (
	"errors"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"cordon/policy/diff"
	"cordon/policy/filter"
)

type diffFlags struct {
	failOn string
	arch   string
	json   bool
}

func newProfileDiff(u *ui) *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:   "diff [flags] OLD NEW",
		Short: "Compare what a program may do under two profiles",
		Long: "Compare what a program may do under two profiles. The output lists each change from OLD to NEW, and says whether the\n" +
			"change widens, narrows or only alters what the program may do. OLD and NEW are names or files; cordon merges each with\n" +
			"all that it extends.\n\n" +
			"cordon compares the decisions of the filters for every call and every class of arguments, and what the mounts show at\n" +
			"every path that either profile names. It does not print a difference in the text that does not change the meaning.\n\n" +
			"The exit code is 1 if there is a change of the kind that --fail-on names, otherwise 0.",
		Example:               "  cordon profile diff --fail-on widen ./reviewed.yaml ./learned.yaml",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(2, "a profile"), atMost(2)),
		ValidArgsFunction:     completeProfile,
		RunE:                  func(_ *cobra.Command, args []string) error { return u.diff(&f, args[0], args[1]) },
	}
	fs := c.Flags()
	fs.StringVar(&f.failOn, "fail-on", "", "exit with 1 if there is a change of `KIND`: widen, narrow or any")
	fs.StringVar(&f.arch, "arch", runtime.GOARCH, "compare the calls of this `ARCH`: amd64, arm64 or riscv64")
	fs.BoolVar(&f.json, "json", false, "print JSON")
	_ = c.RegisterFlagCompletionFunc("fail-on", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"widen", "narrow", "any"}, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

// failing reports whether --fail-on names this kind of change.
func (f *diffFlags) failing(e diff.Effect) bool {
	switch f.failOn {
	case "widen":
		return e == diff.Widens
	case "narrow":
		return e == diff.Narrows
	}
	return f.failOn == "any"
}

func (u *ui) diff(f *diffFlags, old, new string) error {
	if f.failOn != "" && !slices.Contains([]string{"widen", "narrow", "any"}, f.failOn) {
		return &cliError{err: errors.New("profile diff: --fail-on " + f.failOn + " is not a kind of change"), hint: "use widen, narrow or any"}
	}
	if a, ok := filter.ParseArch(f.arch); !ok || a == filter.X32 || a == filter.I386 || a == filter.ARM {
		return &cliError{err: errors.New("profile diff: --arch " + f.arch + " is not an architecture that cordon makes filters for"), hint: "use --arch amd64, arm64 or riscv64"}
	}
	search := search()
	a, err := search.Load([]string{old}, nil)
	if err != nil {
		return err
	}
	b, err := search.Load([]string{new}, nil)
	if err != nil {
		return err
	}
	changes, err := diff.Compare(a, b, f.arch)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(changes, func(c diff.Change) bool { return f.failing(c.Effect) }) {
		u.code = exitNo
	}
	if f.json {
		return u.json(listedChanges(old, new, changes))
	}
	for i := range changes {
		c := &changes[i]
		line := clean(c.String())
		if at := fromTo(c.Old.Short(), c.New.Short()); at != "" {
			line += clean(" (" + at + ")")
		}
		if err := u.write(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// fromTo returns the position if only one is set, or both with an arrow between them.
func fromTo(a, b string) string {
	switch {
	case a == b || b == "":
		return a
	case a == "":
		return b
	}
	return a + " → " + b
}

// diffJSON is the output of --json.
type diffJSON struct {
	Version int          `json:"version"`
	Old     string       `json:"old"`
	New     string       `json:"new"`
	Widens  int          `json:"widens"`
	Narrows int          `json:"narrows"`
	Alters  int          `json:"alters"`
	Changes []changeJSON `json:"changes"`
}

type changeJSON struct {
	Effect  string `json:"effect"`
	Section string `json:"section"`
	What    string `json:"what,omitempty"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	OldAt   string `json:"old_at,omitempty"`
	NewAt   string `json:"new_at,omitempty"`
}

func listedChanges(old, new string, changes []diff.Change) diffJSON {
	out := diffJSON{Version: 1, Old: old, New: new, Changes: []changeJSON{}}
	for _, c := range changes {
		switch c.Effect {
		case diff.Widens:
			out.Widens++
		case diff.Narrows:
			out.Narrows++
		default:
			out.Alters++
		}
		out.Changes = append(out.Changes, changeJSON{string(c.Effect), c.Section, c.What, c.From, c.To, c.Old.Short(), c.New.Short()})
	}
	return out
}
