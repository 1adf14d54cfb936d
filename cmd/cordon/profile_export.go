package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/convert"
)

func newProfileExport(u *ui) *cobra.Command {
	var f conversion
	format, runtime := "", false
	c := &cobra.Command{
		Use:   "export [flags] --format FORMAT NAME|FILE",
		Short: "Write a profile's system calls in the format of another program",
		Long: "Write a profile's system calls in the format of another program, together with all that the profile extends. The\n" +
			"formats:\n\n" +
			"  oci          linux.seccomp of the OCI runtime specification: runc, crun, containerd, Podman\n" +
			"  docker       for docker run --security-opt seccomp=FILE\n" +
			"  systemd      lines for the [Service] section of a unit\n" +
			"  kubernetes   a localhost profile; with -o cordon prints the securityContext that uses it\n\n" +
			"stderr lists every rule that cordon cannot convert exactly. If the result would lose a rule or allow more calls,\n" +
			"cordon writes nothing and exits with 1; with --lossy it writes the result in spite of this.",
		Example: "  cordon profile export container --format docker -o cordon.json\n" +
			"  docker run --security-opt seccomp=cordon.json …",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the profile"), atMost(1)),
		ValidArgsFunction:     completeProfile,
		RunE: func(c *cobra.Command, args []string) error {
			arch, err := f.check(c)
			if err != nil {
				return err
			}
			if !slices.Contains(convert.Formats(), format) {
				return formatError(format)
			}
			p, err := load(args[:1], nil)
			if err != nil {
				return err
			}
			res, err := convert.Export(p, convert.ExportOptions{Format: convert.Format(format), Arch: arch, Lossy: f.lossy, Runtime: runtime})
			if err != nil {
				return err
			}
			var beside []byte
			if convert.Format(format) == convert.Kubernetes {
				beside = convert.SecurityContext(filepath.Base(f.out))
			}
			return u.converted(res, &f, beside)
		},
	}
	f.add(c)
	c.Flags().StringVar(&format, "format", "", "`FORMAT`: "+strings.Join(convert.Formats(), ", "))
	c.Flags().BoolVar(&runtime, "runtime", false, "also allow the calls that runc and crun make before the program starts")
	_ = c.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return convert.Formats(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func formatError(format string) error {
	e := &cliError{err: fmt.Errorf("--format: there is no format %q", format), hint: "use one of " + strings.Join(convert.Formats(), ", ")}
	if format == "" {
		e.err = fmt.Errorf("--format is missing")
	}
	if near := policy.Suggest(format, convert.Formats()); near != "" {
		e.hint = "did you mean " + near + "?"
	}
	return e
}
