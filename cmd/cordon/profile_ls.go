package main

import (
	"strings"

	"github.com/spf13/cobra"

	"cordon/profiles"
)

func newProfileLs(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the profiles that -p finds by name, with their purpose and their file",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			list := listed(search().List())
			if asJSON {
				return u.json(list)
			}
			return u.write(table(list))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// listedProfile is a row of `profile ls`.
type listedProfile struct {
	Name  string `json:"name"`
	About string `json:"about"`
	File  string `json:"file"`
	Error string `json:"error,omitempty"`
}

func listed(infos []profiles.Info) []listedProfile {
	out := make([]listedProfile, len(infos))
	for i, p := range infos {
		out[i] = listedProfile{Name: p.Name, About: p.About, File: p.File}
		if p.Err != nil {
			out[i].Error, _, _ = strings.Cut(each(p.Err)[0].Error(), "\n")
		}
	}
	return out
}

// table returns a row for each profile. If a profile has an error, its row shows the error instead of the purpose.
func table(list []listedProfile) string {
	name, file := 0, 0
	for _, p := range list {
		name, file = max(name, len(clean(p.Name))), max(file, len(clean(p.File)))
	}
	var b strings.Builder
	for _, p := range list {
		about := p.About
		if p.Error != "" {
			about = "error: " + p.Error
		}
		b.WriteString(strings.TrimRight(pad(clean(p.Name), name+2)+pad(clean(p.File), file+2)+clean(about), " ") + "\n")
	}
	return b.String()
}
