package main

import (
	"github.com/spf13/cobra"

	"cordon/sandbox/report"
)

func newReport(u *ui) *cobra.Command {
	c := &cobra.Command{
		Use:                   "report COMMAND [ARG...]",
		Short:                 "Describe the reports of cordon run --report",
		DisableFlagsInUseLine: true,
		Args:                  noArgs,
		RunE:                  u.needCommand,
	}
	c.AddCommand(&cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a report",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return u.write(string(report.ReportSchema())) },
	})
	return c
}
