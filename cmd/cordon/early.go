package main

// This file handles --report and --summary-file if the command line has errors. cordon then runs nothing, but the file
// must not keep the report of an earlier run. So cordon reads these two flags even if it cannot parse the others.

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// failedEarly writes the output files of a run that failed before run opened them.
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

// readFiles reads the two flags from a command line that may contain errors, and returns the command. As in pflag, the
// first word that belongs to no flag ends the flags. It assumes that an unknown flag has no value.
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
		case len(arg) == 2: // -p NAME; in -pNAME the value is in the same word
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
