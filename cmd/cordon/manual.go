package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cordon/policy/mdoc"
)

func newManual(*ui) *cobra.Command {
	return &cobra.Command{
		Use:   "manual DIR",
		Short: "Write the manual pages into a directory",
		Long: "Write a manual page for each command into the directory DIR, for a package. The pages come from the same table as\n" +
			"--help. They have today's date, or the date that SOURCE_DATE_EPOCH gives.",
		Hidden:                true,
		Args:                  needArgs(1, "the directory"),
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			return writeManual(c.Root(), args[0], date)
		},
	}
}

// sourceDate returns the time that SOURCE_DATE_EPOCH gives, in seconds since 1970, or the present if it is empty:
// https://reproducible-builds.org/specs/source-date-epoch/.
func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Now(), nil
	}
	n, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, &cliError{err: errors.New("SOURCE_DATE_EPOCH: " + strconv.Quote(epoch) + " is not a number of seconds"),
			hint: "set it to a number, such as the output of: git log -1 --format=%ct"}
	}
	return time.Unix(n, 0), nil
}

// writeManual writes the page of a command, and those of its subcommands.
func writeManual(c *cobra.Command, dir string, date time.Time) error {
	file := filepath.Join(dir, pageName(c)+".1")
	if err := os.WriteFile(file, manualPage(c, date), 0o644); err != nil { //nolint:gosec // everybody may read it
		return err
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			if err := writeManual(sub, dir, date); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageName returns the name of a command's page: cordon-profile-check.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func manualPage(c *cobra.Command, date time.Time) []byte {
	p := mdoc.New(pageName(c), "1", "cordon "+buildVersion().Version, date)
	p.Name(pageName(c), c.Short)
	_, usage, _ := strings.Cut(c.UseLine(), c.CommandPath())
	p.Synopsis(c.CommandPath(), usage)
	p.Section("DESCRIPTION")
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	p.Text(text)
	manualCommands(p, c)
	manualFlags(p, c)
	if !c.HasParent() {
		p.Section("ENVIRONMENT")
		p.List(manualEnvironment)
		p.Section("FILES")
		p.List(manualFiles)
	}
	if !c.HasParent() || c.Name() == "run" || c.Name() == "exec" {
		p.Section("EXIT STATUS")
		p.List(exitStatus)
	}
	if c.HasExample() {
		p.Section("EXAMPLES")
		p.Literal(c.Example)
	}
	p.See(related(c))
	return p.Bytes()
}

func manualCommands(p *mdoc.Page, c *cobra.Command) {
	var list []mdoc.Entry
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, mdoc.Entry{Name: sub.Name(), Text: sub.Short + ": see " + pageName(sub) + "(1)."})
		}
	}
	if list != nil {
		p.Section("COMMANDS")
		p.List(list)
	}
}

// manualFlags lists the command's own flags, and separately the flags for fields of the profile.
func manualFlags(p *mdoc.Page, c *cobra.Command) {
	own, fields := splitFlags(c.LocalFlags())
	for _, s := range []struct {
		title, about string
		set          *pflag.FlagSet
	}{
		{"OPTIONS", "", own},
		{"FIELDS OF THE PROFILE", "These flags set fields of the profile, after all profiles are merged. cordon-profile(5) describes the fields.", fields},
	} {
		if !s.set.HasAvailableFlags() {
			continue
		}
		p.Section(s.title)
		p.Text(s.about)
		var list []mdoc.Entry
		s.set.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				list = append(list, flagEntry(f))
			}
		})
		p.List(list)
	}
}

func flagEntry(f *pflag.Flag) mdoc.Entry {
	value, text := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
		text += " (default " + f.DefValue + ")"
	}
	return mdoc.Entry{Name: name, Value: value, Text: text}
}

var exitStatus = []mdoc.Entry{
	{Name: "0–255", Text: "the program's own exit code"},
	{Name: "124", Text: "a time limit ended the program"},
	{Name: "125", Text: "cordon ran nothing: wrong usage, an error in a profile, or a layer that this machine lacks"},
	{Name: "126", Text: "cordon found the program, but cannot execute it"},
	{Name: "127", Text: "cordon did not find the program"},
	{Name: "128+n", Text: "signal n ended the program"},
}

var manualEnvironment = []mdoc.Entry{
	{Name: "HOME", Text: "The home directory. A rule with ~ applies to this directory, and to the home directory in the password database."},
	{Name: "XDG_CONFIG_HOME", Text: "cordon looks for profiles in cordon/profiles below this directory. The default is ~/.config."},
	{Name: "XDG_RUNTIME_DIR", Text: "cordon keeps the state of sandboxes that run detached or have a name in cordon below this directory."},
	{Name: "XDG_STATE_HOME", Text: "cordon keeps this state below this directory if XDG_RUNTIME_DIR is not usable. The default is ~/.local/state."},
}

var manualFiles = []mdoc.Entry{
	{Name: "~/.config/cordon/profiles", Text: "The user's profiles. cordon looks for a profile here first."},
	{Name: "/etc/cordon/profiles", Text: "The profiles of this machine. cordon looks here before it looks among the shipped profiles."},
	{Name: "/run/cordon", Text: "The state of root's sandboxes."},
}

// related lists the pages that a page refers to, in the order of mdoc(7).
func related(c *cobra.Command) []string {
	var pages []string
	if c.HasParent() {
		pages = append(pages, pageName(c.Parent())+"(1)")
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			pages = append(pages, pageName(sub)+"(1)")
		}
	}
	slices.Sort(pages)
	return append(pages, "cordon-profile(5)")
}
