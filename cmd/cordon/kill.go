package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cordon/sandbox/statedir"
)

func newKill(u *ui) *cobra.Command {
	name := "TERM"
	c := &cobra.Command{
		Use:   "kill [-s SIGNAL] SANDBOX...",
		Short: "Send a signal to the program in a sandbox",
		Long: "Send a signal to the program in a sandbox, SIGTERM by default.\n\n" +
			"KILL ends the whole sandbox, even if it is paused. If the program is paused, it gets any other signal only after\n" +
			"you have run cordon resume.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(statedir.StatusRunning, statedir.StatusStarting),
		RunE: func(_ *cobra.Command, args []string) error {
			sig, err := parseSignal(name)
			if err != nil {
				return err
			}
			return u.eachSandbox(args, func(e *statedir.Entry) error { return u.killOne(e, sig) })
		},
	}
	c.Flags().StringVarP(&name, "signal", "s", name, "send this `SIGNAL`, by name or number")
	if completing() {
		_ = c.RegisterFlagCompletionFunc("signal", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return signalNames(), cobra.ShellCompDirectiveNoFileComp
		})
	}
	return c
}

func (u *ui) killOne(e *statedir.Entry, sig unix.Signal) error {
	if e.Ending() != nil {
		return &cliError{err: errors.New("sandbox " + label(&e.State) + ": has ended"), hint: "to remove it: cordon rm"}
	}
	if err := e.Signal(sig); err != nil {
		return err
	}
	if sig == unix.SIGKILL || sig == unix.SIGCONT {
		return nil
	}
	t, err := statedir.Processes()
	if err == nil && e.Paused(t) {
		u.line("hint", "sandbox "+label(&e.State)+" is paused: "+unix.SignalName(sig)+" arrives once it is resumed")
	}
	return err
}

// signalNames returns the names of all signals except real-time signals, as kill(1) spells them.
func signalNames() []string {
	var names []string
	for n := range unix.Signal(32) {
		if name := unix.SignalName(n); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	return names
}
