package main

import (
	"github.com/spf13/cobra"

	"cordon/sandbox/statedir"
)

func newPause(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "pause SANDBOX...",
		Short: "Stop every process of a sandbox until it is resumed",
		Long: "Stop every process of a sandbox until you run cordon resume, with the freezer of the sandbox's cgroup. If the sandbox\n" +
			"has no cgroup, cordon sends SIGSTOP to each process instead, and says so. Time limits keep running meanwhile.",
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
