package main

import (
	"github.com/spf13/cobra"

	"cordon/sandbox/statedir"
)

func newPause(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "pause SANDBOX...",
		Short: "Stop every process of a sandbox until it is resumed",
		Long: "Stop every process of a sandbox until it is resumed, with the freezer of its cgroup. A sandbox without a cgroup gets\n" +
			"SIGSTOP for each process instead, and cordon says so. Time limits keep running. See cordon resume.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(statedir.StatusRunning),
		RunE: func(_ *cobra.Command, args []string) error {
			return u.eachSandbox(args, u.pauseOne)
		},
	}
}

func (u *ui) pauseOne(e *statedir.Entry) error {
	by, err := e.Pause()
	if err == nil && by != "cgroup" {
		u.line("hint", "sandbox "+label(&e.State)+" has no cgroup that can be frozen. Its processes were stopped by "+by+", which a program can notice when it continues")
	}
	return err
}

func newResume(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:                   "resume SANDBOX...",
		Short:                 "Continue a paused sandbox",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(statedir.StatusRunning),
		RunE: func(_ *cobra.Command, args []string) error {
			return u.eachSandbox(args, (*statedir.Entry).Resume)
		},
	}
}
