package main

import (
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/profiles"
)

func newProfileCheck(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE|NAME...",
		Short: "Print every error and warning of every profile given",
		Long: "Print every error of every profile given, each with its line, and warn of what has no effect. A profile is\n" +
			"checked as it would be used, merged with all that it extends. The exit code is 1 if there is an error.",
		DisableFlagsInUseLine: true,
		Args:                  needArgs(1, "the profile"),
		ValidArgsFunction:     completeProfile,
		RunE: func(_ *cobra.Command, args []string) error {
			s := profiles.DefaultSearch(os.Getenv)
			for _, ref := range args {
				p, err := s.Load([]string{ref}, nil)
				if err == nil {
					err = u.warn(ref, p)
				}
				if err != nil {
					u.fail(err)
					u.code = exitNo
				}
			}
			return nil
		},
	}
}

// warn prints what has no effect in a profile's filter, or not the one it seems to have.
func (u *ui) warn(ref string, p *policy.Profile) error {
	spec, err := p.Syscalls.Filter()
	if err != nil {
		return err
	}
	arch, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		return nil
	}
	prog, err := filter.Compile(spec, arch)
	if err != nil {
		return err
	}
	for _, w := range prog.Warnings {
		if !slices.ContainsFunc(w.From, func(at string) bool { return !strings.HasPrefix(at, "embedded:") }) {
			continue // in a shipped profile, which is as it should be
		}
		u.line("warning", ref+": "+w.Msg+prefixed(" (", closed(strings.Join(w.From, ", "))))
	}
	return nil
}
