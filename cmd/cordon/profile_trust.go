package main

import (
	"bufio"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cordon/sandbox/ledger"
)

func newProfileTrust(u *ui) *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:   "trust [--yes] FILE|NAME",
		Short: "Show how a profile changed while a sandbox could write it, and allow its use",
		Long: "Show how a profile changed while a sandbox could write it, and allow its use.\n\n" +
			"cordon refuses a profile that changed, or that somebody moved to its place, while a sandbox could write it. Otherwise\n" +
			"the program in that sandbox could decide what the next program may do. For the profile and all that it extends, this\n" +
			"command prints what changed since the last use, or the whole text, and asks whether you trust it. If you answer yes,\n" +
			"cordon uses the profile until its content changes again. If you edit a profile while no sandbox can write it, you do\n" +
			"not need this command.",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the profile"), atMost(1)),
		ValidArgsFunction:     completeProfile,
		RunE:                  func(_ *cobra.Command, args []string) error { return u.trust(args[0], yes) },
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (u *ui) trust(ref string, yes bool) error {
	refused, err := refusedFiles(ref)
	if err != nil {
		return err
	}
	if len(refused) == 0 {
		u.line("trusted", ref+": it is used as it is: no sandbox could have changed it, or its content is trusted already")
		return nil
	}
	for _, r := range refused {
		u.line("changed", r.Text.Path+": "+r.Error())
		if err := u.write(changedText(r)); err != nil {
			return err
		}
		if !yes {
			if err := u.ask(r.Text.Path); err != nil {
				return err
			}
		}
		if _, err := guarded(nil, ledger.Trust(ledger.Places(os.Getenv), r.Text)); err != nil {
			return err
		}
		u.line("trusted", r.Text.Path+": it is used until its content changes")
	}
	return nil
}

// refusedFiles returns those files of a profile that a task may have written.
func refusedFiles(ref string) (list []*ledger.Refused, err error) {
	g := newGuard(false)
	defer g.Close()
	s := guardedSearch(g)
	read := s.Read
	s.Read = func(file string, max int64) ([]byte, error) {
		data, err := read(file, max)
		var r *ledger.Refused
		if errors.As(err, &r) {
			list = append(list, r)
			return r.Text.Data, nil
		}
		return data, err
	}
	_, err = s.Load([]string{ref}, nil)
	return list, err
}

// changedText returns the changes to a file since cordon trusted it, or the whole text if the earlier text is unknown.
func changedText(r *ledger.Refused) string {
	if r.Old != nil && string(r.Old.Data) != string(r.Text.Data) {
		return lineDiff(r.Text.Path+" used last", r.Text.Path+" now", string(r.Old.Data), string(r.Text.Data))
	}
	var b strings.Builder
	b.WriteString("+++ " + clean(r.Text.Path) + "\n")
	for line := range strings.Lines(string(r.Text.Data)) {
		b.WriteString(" " + clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}

// ask asks the user whether cordon may use a profile from now on. Any answer but yes is an error.
func (u *ui) ask(path string) error {
	refuse := func(text string) error {
		return &cliError{err: errors.New("profile trust: " + text), hint: "use cordon profile trust --yes, which does not ask"}
	}
	if !terminal(os.Stdin) || !terminal(os.Stderr) {
		return refuse("nobody can be asked: stdin and stderr are no terminal")
	}
	_, _ = u.err.Write([]byte("cordon: trust " + clean(path) + "? [y/N] "))
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return refuse("not trusted: " + path)
}
