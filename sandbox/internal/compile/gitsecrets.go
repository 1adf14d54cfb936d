package compile

// Files with secrets that git's configuration names: git-credential-store(1), http.cookieFile and http.sslKey in
// git-config(1), ssh(1).

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
)

// fileOptions match options whose value is a file with a secret.
var fileOptions = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:--file[= ]|\s-i\s*|(?i:identityfile)[= ]|\bsshpass\s+-f\s*)["']?([^\s"']+)`)
})

// secretKeys are variables whose value is a file with a secret.
var secretKeys = [...]string{"http.cookiefile", "http.sslkey", "http.proxysslkey", "user.signingkey"}

// secretFiles hides the files with secrets that a configuration names, wherever the sandbox shows them.
func (g *gitGuard) secretFiles(top string, vars []git.Var) error {
	for i := range vars {
		v := &vars[i]
		var names []string
		switch {
		case slices.Contains(secretKeys[:], v.Name()):
			names = []string{v.Value}
		case v.Name() == "credential.helper", v.Name() == "core.sshcommand", v.Section == "alias":
			for _, m := range fileOptions().FindAllStringSubmatch(v.Value, -1) {
				names = append(names, m[1])
			}
		}
		for _, name := range names {
			path := g.follow("/", g.absolute(top, name))
			info, err := g.c.Tree.Lstat(path)
			if path == "" || err != nil || !info.Mode().IsRegular() || strings.HasSuffix(path, ".pub") {
				continue
			}
			if err := g.h.onHost(path, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// hideStore hides the file of git-credential-store(1) in a directory of git's configuration.
func (g *gitGuard) hideStore(dir string) error {
	if g.follow(dir, "credentials") == "" {
		return nil
	}
	return g.h.onHost(paths.Join(dir, "credentials"), true)
}
