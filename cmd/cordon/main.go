// Command cordon runs a program in a sandbox that a profile describes.
//
// This file contains the table of subcommands. cordon builds only the requested subcommand, so that a launch does not
// spend time on the flags of the others. The comment in ui.go describes what the user sees.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"cordon/sandbox"
)

// commands lists the subcommands in the order of the help text. Each belongs to the group whose title stands before it.
var commands = [...]struct {
	group string // the title of the group that begins here
	name  string
	make  func(*ui) *cobra.Command
}{
	{"Run", "run", newRun},
	{"", "exec", newExec},
	{"", "plan", newPlan},
	{"Look at sandboxes", "ps", newPs},
	{"", "inspect", newInspect},
	{"", "stats", newStats},
	{"", "logs", newLogs},
	{"", "why", newWhy},
	{"", "pause", newPause},
	{"", "resume", newResume},
	{"", "kill", newKill},
	{"", "wait", newWait},
	{"", "rm", newRm},
	{"Write profiles", "profile", newProfile},
	{"", "record", newRecord},
	{"", "learn", newLearn},
	{"", "audit", newAudit},
	{"", "filter", newFilter},
	{"", "report", newReport},
	{"This machine", "cache", newCache},
	{"", "doctor", newDoctor},
	{"", "version", newVersion},
	{"", "completion", newCompletion},
	{"", "manual", newManual},
}

func main() {
	_ = roomy(0)
	u := &ui{out: os.Stdout, err: os.Stderr}
	code := u.main(os.Args[1:])
	sandbox.PassBreak(u.broken)
	os.Exit(code)
}

// roomy makes the stack grow once to the size that a launch needs, because a launch has large frames. Growing early is
// cheap, because the runtime has little to copy to the new stack yet.
//
//go:noinline
func roomy(n int) byte {
	if n == 0 {
		return 0
	}
	var room [40 << 10]byte
	room[n] = 1
	return room[n/2]
}

// main runs the whole program and returns the exit code.
func (u *ui) main(args []string) int {
	if err := refusePrivilege(); err != nil {
		return u.fail(err)
	}
	if len(args) == 1 && args[0] == "--version" {
		args = []string{"version"}
	}
	args = ownWords(args)
	u.args, u.lean = args, lean(args)
	var f runFlags
	if command, ok := f.direct(args); ok {
		if err := u.run(&f, command); err != nil {
			return u.fail(err)
		}
		return u.code
	}
	root := newRoot(u, args)
	if err := root.Execute(); err != nil {
		u.failedEarly(root, err)
		return u.fail(err)
	}
	return u.code
}

// newRoot builds the part of the command tree that args need.
func newRoot(u *ui, args []string) *cobra.Command {
	cobra.EnableCommandSorting = false // keep the order of the table
	root := &cobra.Command{
		Use:   "cordon COMMAND [ARG...]",
		Short: "Run a program in a sandbox that a profile describes",
		Long: "Run a program in a sandbox that a profile describes.\n\n" +
			"  cordon run ./tool                 wrap a program: it runs in the profile \"default\"\n" +
			"  cordon run -p build -- make       run a step of a CI job: make runs in the profile \"build\"\n" +
			"  cordon record -o r -- ./tool      write a profile: record what the program does,\n" +
			"  cordon learn r > tool.yaml        and allow just that",
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  u.needCommand,
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetArgs(args)
	root.SetOut(u.out)
	root.SetErr(u.err)
	root.SetHelpFunc(help)
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(flagError)
	for i := range commands {
		if len(args) == 0 || !named(args[0]) || args[0] == "manual" || args[0] == commands[i].name {
			root.AddCommand(commands[i].make(u))
		}
	}
	return root
}

// needCommand prints the help on stderr if the subcommand is missing, and returns an error.
func (u *ui) needCommand(c *cobra.Command, _ []string) error {
	c.SetOut(u.err)
	c.HelpFunc()(c, nil)
	return quiet(exitLauncher)
}

// named reports whether name is a subcommand.
func named(name string) bool {
	for i := range commands {
		if commands[i].name == name {
			return true
		}
	}
	return false
}

// completing reports whether a shell asks for completions. Only then do commands register functions for completion.
func completing() bool {
	return len(os.Args) > 1 && (os.Args[1] == cobra.ShellCompRequestCmd || os.Args[1] == cobra.ShellCompNoDescRequestCmd)
}
