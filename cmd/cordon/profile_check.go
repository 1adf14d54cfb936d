package main

import (
	"os"

	"github.com/spf13/cobra"

	"cordon/profiles"
)

func newProfileCheck(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE|NAME...",
		Short: "Print every error of every profile given",
		Long: "Print every error of every profile given, each with its line. A profile is checked as it would be used,\n" +
			"merged with all that it extends. The exit code is 1 if there is an error.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the profile"),
		ValidArgsFunction:     completeProfile,
		RunE: func(_ *cobra.Command, args []string) error {
			s := profiles.DefaultSearch(os.Getenv)
			for _, ref := range args {
				if _, err := s.Load([]string{ref}, nil); err != nil {
					u.fail(err)
					u.code = exitNo
				}
			}
			return nil
		},
	}
}
