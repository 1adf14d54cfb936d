package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"cordon/policy"
)

// help and usage replace cobra's templates, so that the program need not link text/template.
func help(c *cobra.Command, _ []string) {
	w := c.OutOrStdout()
	text := c.Long
	if text == "" {
		text = c.Short
	}
	fmt.Fprintf(w, "%s\n\n", text)
	writeUsage(w, c)
}

func usage(c *cobra.Command) error {
	writeUsage(c.OutOrStderr(), c)
	return nil
}

func writeUsage(w io.Writer, c *cobra.Command) {
	fmt.Fprintf(w, "Usage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		writeCommands(w, c)
		fmt.Fprintf(w, "\n%s COMMAND --help says more about a command.\n", c.CommandPath())
	}
	if c.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	writeFlags(w, c.LocalFlags())
}

// writeCommands lists the subcommands. Those of cordon itself stand in groups.
func writeCommands(w io.Writer, c *cobra.Command) {
	group := "Commands"
	for _, s := range c.Commands() {
		if !c.HasParent() {
			group = cmp.Or(groupOf(s.Name()), group)
		}
		if group != "" {
			fmt.Fprintf(w, "\n%s:\n", group)
			group = ""
		}
		if s.IsAvailableCommand() {
			fmt.Fprintf(w, "  %-11s %s\n", s.Name(), s.Short)
		}
	}
}

// groupOf returns the title of the group that begins at a subcommand, or "" if no group begins there.
func groupOf(name string) string {
	for i := range commands {
		if commands[i].name == name {
			return commands[i].group
		}
	}
	return ""
}

// splitFlags separates a command's own flags from those for fields of the profile. It keeps their order.
func splitFlags(all *pflag.FlagSet) (own, fields *pflag.FlagSet) {
	own, fields = pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags, fields.SortFlags = false, false
	all.VisitAll(func(f *pflag.Flag) {
		if _, ok := f.Value.(*field); ok {
			fields.AddFlag(f)
		} else {
			own.AddFlag(f)
		}
	})
	return own, fields
}

// firstFlags lists the flags that most users need first. The help shows them separately if a command also has flags for
// fields of the profile.
var firstFlags = [...]string{"profile", "rw", "ro", "hide", "net", "env", "memory", "timeout", "detach", "verbose"}

// writeFlags lists the flags: the most needed ones, the command's other flags, and the other fields of the profile.
func writeFlags(w io.Writer, all *pflag.FlagSet) {
	own, fields := splitFlags(all)
	first, title := pflag.NewFlagSet("", pflag.ContinueOnError), "Flags"
	first.SortFlags = false
	if fields.HasAvailableFlags() {
		title = "More flags"
		for _, name := range firstFlags {
			if f := all.Lookup(name); f != nil {
				first.AddFlag(f)
			}
		}
		own, fields = without(own, first), without(fields, first)
	}
	for _, s := range []struct {
		title string
		set   *pflag.FlagSet
	}{{"Common flags", first}, {title, own}, {"More flags that set fields of the profile, after all profiles are merged", fields}} {
		if s.set.HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s:\n%s", s.title, s.set.FlagUsagesWrapped(widthOf(w)))
		}
	}
}

// without returns the flags of a set that are not in another one.
func without(set, other *pflag.FlagSet) *pflag.FlagSet {
	rest := pflag.NewFlagSet("", pflag.ContinueOnError)
	rest.SortFlags = false
	set.VisitAll(func(f *pflag.Flag) {
		if other.Lookup(f.Name) == nil {
			rest.AddFlag(f)
		}
	})
	return rest
}

// widthOf returns the width of the terminal to which w writes. It returns 0 if w is not a terminal, or if the terminal
// is too narrow to break lines.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col < 60 {
		return 0
	}
	return int(size.Col)
}

// flagError adds a hint to the error of a wrong flag.
func flagError(c *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		if text := guessedFlag(name); text != "" {
			return &cliError{err: err, hint: text}
		}
		if near := nearestFlag(c, name); len(name) > 1 && near != "" {
			return &cliError{err: err, hint: "did you mean --" + near + "?"}
		}
	}
	return usageError(c, err.Error())
}

// nearestFlag returns the flag that the user probably meant. It compares the command's own flags and, if the command
// takes profiles, the flags for fields of the profile.
func nearestFlag(c *cobra.Command, name string) string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if c.Flags().Lookup("profile") != nil {
		for f := range policy.AllFlags {
			names = append(names, f.Name)
		}
	}
	return policy.Suggest(name, names)
}

func usageError(c *cobra.Command, msg string) error {
	return &cliError{err: errors.New(msg), hint: c.CommandPath() + " --help lists the flags"}
}

// noArgs refuses arguments. If the first looks like a misspelt subcommand, the hint names the right one.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	e := &cliError{err: fmt.Errorf("%s: unknown command %q", c.CommandPath(), args[0]), hint: c.CommandPath() + " --help lists the commands"}
	var names []string
	for _, s := range c.Commands() {
		names = append(names, s.Name())
	}
	if text := guessedCommand(c, args); text != "" {
		e.hint = text
	} else if near := policy.Suggest(args[0], names); near != "" {
		e.hint = "did you mean " + c.CommandPath() + " " + near + "?"
	} else if text := guessedProgram(c, args); text != "" {
		e.hint = text
	}
	return e
}

// needArgs refuses fewer than n arguments. what names them in the error message.
func needArgs(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return &cliError{err: errors.New(c.CommandPath() + ": " + what + " is missing"), hint: "usage: " + c.UseLine()}
		}
		return nil
	}
}

// atMost refuses more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError(c, fmt.Sprintf("%s: %q is one argument too many", c.CommandPath(), args[n]))
		}
		return nil
	}
}
