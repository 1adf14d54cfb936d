package main

import "github.com/spf13/cobra"

func newProfile(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "List, show, check, format and begin profiles",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			c.SetOut(u.err)
			c.HelpFunc()(c, nil)
			return quiet(exitLauncher)
		},
	}
	return c
}
