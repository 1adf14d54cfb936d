package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cordon/sandbox/host"
)

// homesHere returns the home directories of this host's users, and the caller's own HOME. It does not use the HOME in a
// recording, because the recorded program has chosen that.
func homesHere() []string {
	homes := []string{}
	accounts, _ := host.Accounts() // without the accounts, learn still knows the names of secrets below /home and /root
	for _, a := range accounts {
		homes = append(homes, a.Home)
	}
	if home := os.Getenv("HOME"); strings.HasPrefix(home, "/") {
		homes = append(homes, filepath.Clean(home))
	}
	slices.Sort(homes)
	return slices.Compact(homes)
}

// linkedSecrets returns the files on this host to which names of secrets lead through symbolic links, for example if a
// user keeps dotfiles elsewhere. It skips names that the caller cannot read, because the caller cannot give these files
// away.
func linkedSecrets(homes, patterns []string) (places []string) {
	for _, p := range patterns {
		names := []string{p}
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			names = names[:0]
			for _, home := range homes {
				names = append(names, filepath.Join(home, rest))
			}
		}
		for _, name := range names {
			if real, err := filepath.EvalSymlinks(name); err == nil && real != name && !slices.Contains(places, real) {
				places = append(places, real)
			}
		}
	}
	return places
}
