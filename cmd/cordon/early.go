package main

// The files of a run whose command line is an error. Nothing is run, and the report of an earlier run must not pass for that of
// this one: so --report and --summary-file are looked for before the flags as a whole are understood.

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// failedEarly writes the files of a run that ended with an error before run opened them.
func (u *ui) failedEarly(root *cobra.Command, failure error) {
	if u.opened || len(u.args) == 0 || u.args[0] != "run" && u.args[0] != "exec" {
		return
	}
	c, _, err := root.Find(u.args[:1])
	if err != nil || c == root {
		return
	}
	var f runFlags
	args := f.readFiles(c.Flags(), u.args[1:])
	if f.dryRun {
		return
	}
	if out, err := openFiles(&f); err == nil {
		out.failed(args, failure)
	}
}

// readFiles takes the two flags out of a command line that may have mistakes, and returns the command. The first word that
// belongs to no flag ends the flags, as pflag has it; a flag that nobody knows is taken to have no value.
func (f *runFlags) readFiles(known *pflag.FlagSet, args []string) (command []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return args[i+1:]
		}
		if len(arg) < 2 || arg[0] != '-' {
			return args[i:]
		}
		name, value, joined := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		var flag *pflag.Flag
		switch {
		case strings.HasPrefix(arg, "--"):
			flag = known.Lookup(name)
		case len(arg) == 2: // -p NAME; -pNAME has its value
			flag = known.ShorthandLookup(arg[1:])
		}
		if flag == nil {
			continue
		}
		if !joined && flag.NoOptDefVal == "" && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch flag.Name {
		case "report":
			f.report = value
		case "summary-file":
			f.sumFile = value
		case "dry-run":
			f.dryRun = value != "false"
		}
	}
	return nil
}
