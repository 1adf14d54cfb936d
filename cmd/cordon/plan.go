package main

import (
	"github.com/spf13/cobra"

	"cordon/sandbox"
)

func newPlan(u *ui) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "plan [flags] [--] CMD [ARG...]",
		Short: "Print the system calls that would start a program in a sandbox",
		Long: "Print the plan. It has every system call that cordon's child process would make between clone(2) and the program's\n" +
			"first instruction, each with the line of the profile that asks for it. cordon plan runs nothing and needs no\n" +
			"privilege.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the command"),
		RunE:                  func(_ *cobra.Command, args []string) error { return u.plan(&f, args) },
	}
	addRunFlags(u, c, &f)
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (u *ui) plan(f *runFlags, args []string) error {
	c, err := command(f, args)
	if err != nil {
		return err
	}
	return u.printPlan(c, f.json)
}

// printPlan prints the plan of a command.
func (u *ui) printPlan(c *sandbox.Cmd, json bool) error {
	p, err := c.Plan()
	if err != nil {
		return err
	}
	if json {
		return u.json(p)
	}
	return p.WriteText(u.out)
}
