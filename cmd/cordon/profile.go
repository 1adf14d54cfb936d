package main

import (
	"github.com/spf13/cobra"
)

func newProfile(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:                   "profile COMMAND [ARG...]",
		Short:                 "List, show, check, lint, compare, format, create, convert and trust profiles",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  u.needCommand,
	}
	c.AddCommand(newProfileLs(u), newProfileShow(u), newProfileCheck(u), newProfileFmt(u), newProfileSchema(u), newProfileNew(u),
		newProfileDiff(u), newProfileLint(u), newProfileImport(u), newProfileExport(u), newProfileTrust(u))
	return c
}
