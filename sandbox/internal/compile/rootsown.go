package compile

import (
	"slices"

	"cordon/sandbox/internal/paths"
)

// ownDirs hold what root keeps for itself beside what is everybody's: keys, passwords, logs, databases.
var ownDirs = [...]string{"/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/efi", "/var", "/run"}

// workDirs are below them, and people work there.
var workDirs = [...]string{"/var/tmp", "/var/home", "/var/www", "/usr/src", "/usr/local/src"}

// rootsOwn reports whether a directory of the host is the system's, and nobody's home or work. In an idmapped bind the task is
// the owner of root's files, so that it can use what root has made in its own project. In the system's directories it would
// read what root alone may: cd /etc, and the profile that shows the working directory shows sudoers. There a read-only bind
// gives what anybody has. A file that is named itself, or a writable directory, is asked for in as many words.
func (c *Compilation) rootsOwn(dir string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(d string) bool { return paths.Below(dir, d) })
	}
	return dir == "/" || in(ownDirs[:]) && !in(workDirs[:]) && !(len(c.Host.Home) > len("/var/") && paths.Below(c.Host.Home, "/var") && paths.Below(dir, c.Host.Home))
}
