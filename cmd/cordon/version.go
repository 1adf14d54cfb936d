package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…) in a release. Otherwise cordon shows the commit.
var version string

func newVersion(u *ui) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if asJSON {
				return u.json(v)
			}
			return u.write("cordon " + v.Version + " (" + v.Go + ", " + v.Platform + ")\n")
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() versionInfo {
	v := versionInfo{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if v.Version != "" {
		return v
	}
	v.Version = "devel"
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v.Version = "devel-" + s.Value[:12]
		}
	}
	return v
}
