package main

import (
	"strings"

	"github.com/spf13/cobra"

	"cordon/policy"
	"cordon/policy/filter"
)

func newCompletion(u *ui) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a completion script for a shell",
		Long: "Print a completion script for a shell.\n\n" +
			"  bash   cordon completion bash > ~/.local/share/bash-completion/completions/cordon\n" +
			"  zsh    cordon completion zsh > \"${fpath[1]}/_cordon\"\n" +
			"  fish   cordon completion fish > ~/.config/fish/completions/cordon.fish",
		Args:                  needArgs(1, "the shell"),
		ValidArgs:             []string{"bash", "zsh", "fish"},
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(u.out, true)
			case "zsh":
				return c.Root().GenZshCompletion(u.out)
			case "fish":
				return c.Root().GenFishCompletion(u.out, true)
			}
			return usageError(c, "completion: no script for the shell "+args[0]+"; there is one for bash, zsh and fish")
		},
	}
}

// completeRun registers the values that a shell can offer for the flags of run.
func completeRun(c *cobra.Command) {
	offer := func(flag string, values []string) {
		_ = c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return values, cobra.ShellCompDirectiveNoFileComp
		})
	}
	for _, f := range policy.Flags() {
		switch f.Name {
		case "allow-syscall", "deny-syscall":
			offer(f.Name, append(filter.Groups(), filter.Calls()...))
		case "cap", "ambient-cap":
			offer(f.Name, policy.CapabilityNames())
		default:
			if w := words(f.Arg); len(w) > 0 {
				offer(f.Name, w)
			}
		}
	}
	_ = c.RegisterFlagCompletionFunc("profile", completeProfile)
}

// completeProfile offers the names of profiles. If the user has typed a slash, it offers files.
func completeProfile(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if strings.Contains(typed, "/") {
		return []string{"yaml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	var out []string
	for _, p := range search().List() {
		if printable(p.Name) { // a file can have any name, and a shell shows the name on a terminal
			out = append(out, cobra.CompletionWithDesc(p.Name, clean(p.About)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
