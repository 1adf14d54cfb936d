package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cordon/sandbox/host"
)

// homesHere are the home directories of this host's users, and the caller's own HOME: what a recording says that HOME was is
// what the recorded program made of it.
func homesHere() []string {
	homes := []string{}
	accounts, _ := host.Accounts() // without them the names of secrets remain, and /home and /root
	for _, a := range accounts {
		homes = append(homes, a.Home)
	}
	if home := os.Getenv("HOME"); strings.HasPrefix(home, "/") {
		homes = append(homes, filepath.Clean(home))
	}
	slices.Sort(homes)
	return slices.Compact(homes)
}

// linkedSecrets are the places on this host to which the names of secrets lead by symbolic links, as they do where somebody
// keeps dotfiles elsewhere. What the caller cannot look at is no secret that the caller can give away.
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
