package main

import (
	"github.com/spf13/cobra"

	"cordon/policy"
)

func newProfileShow(u *ui) *cobra.Command {
	effective, asJSON := false, false
	c := &cobra.Command{
		Use:   "show NAME|FILE [--effective] [--json]",
		Short: "Print a profile, as written or merged with all that it extends",
		Long: "Print a profile as it is written. With --effective, print the profile merged with all that it extends; comments give\n" +
			"the file and line of every value. The output is again a valid profile. As JSON it fits the JSON Schema.",
		DisableFlagsInUseLine: true,
		Args:                  cobra.MatchAll(needArgs(1, "the name of a profile"), atMost(1)),
		ValidArgsFunction:     completeProfile,
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := profileText(args[0], effective)
			if err == nil && asJSON {
				text, err = policy.JSON("profile", text)
			}
			if err != nil {
				return err
			}
			return u.write(string(text))
		},
	}
	c.Flags().BoolVar(&effective, "effective", false, "print the profile merged with all that it extends, with the source of each value")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// profileText returns a valid profile as YAML.
func profileText(ref string, effective bool) ([]byte, error) {
	s := search()
	if effective {
		p, err := s.Load([]string{ref}, nil)
		if err != nil {
			return nil, err
		}
		return policy.Show(p), nil
	}
	src, err := s.Find(ref)
	if err != nil {
		return nil, err
	}
	_, err = policy.Parse(src.File, src.Data)
	return src.Data, err
}
