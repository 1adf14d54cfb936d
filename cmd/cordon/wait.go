package main

import (
	"errors"

	"github.com/spf13/cobra"

	"cordon/sandbox/statedir"
)

func newWait(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "wait SANDBOX...",
		Short: "Wait until sandboxes have ended, and print their exit codes",
		Long: "Wait until sandboxes have ended, and print the exit code of each on a line: the code with which cordon run would have\n" +
			"exited. If a sandbox has already ended and you have not removed it, cordon prints its exit code at once.\n\n" +
			"The exit code of cordon wait is the code of the sandbox that you name last, as with wait(1) in a shell.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(),
		RunE: func(_ *cobra.Command, args []string) error {
			return u.eachSandbox(args, u.waitOne)
		},
	}
}

func (u *ui) waitOne(e *statedir.Entry) error {
	end, err := e.Wait()
	if err != nil {
		return err
	}
	if end == nil {
		return &cliError{err: errors.New("sandbox " + label(&e.State) + ": its launcher was killed"), hint: "nobody knows how the program ended; every process of the sandbox is gone"}
	}
	if end.Error != "" {
		u.line("error", "sandbox "+label(&e.State)+": "+end.Error)
	}
	u.code = end.Code
	return u.write(itoa(end.Code) + "\n")
}
