package main

import (
	"github.com/spf13/cobra"

	"cordon/sandbox/statedir"
)

func newPause(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "pause SANDBOX...",
		Short: "Stop every process of a sandbox for a while",
		Long: "Stop every process of a sandbox for a while: by its cgroup's freezer, or, where it has none, by SIGSTOP to each\n" +
			"process, which is said. Time limits go on. See cordon resume.",
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
		u.line("hint", "sandbox "+label(&e.State)+" has no cgroup that can be frozen: its processes were stopped by "+by+", which a program sees when it goes on")
	}
	return err
}

func newResume(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:                   "resume SANDBOX...",
		Short:                 "Let a paused sandbox go on",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the sandbox"),
		ValidArgsFunction:     completeSandboxes(statedir.StatusRunning),
		RunE: func(_ *cobra.Command, args []string) error {
			return u.eachSandbox(args, (*statedir.Entry).Resume)
		},
	}
}
