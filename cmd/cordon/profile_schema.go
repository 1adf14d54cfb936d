package main

import (
	"github.com/spf13/cobra"

	"cordon/policy"
)

func newProfileSchema(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the profile language, for editors",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return u.write(string(policy.Schema())) },
	}
}
