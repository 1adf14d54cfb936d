package compile

import (
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// homes lists the directories that "~" means in a rule that hides: HOME, and the home of the password database, so
// that a false HOME uncovers nothing. A database names directories of the system as homes, such as /usr/sbin: they
// count only if they are the caller's own.
func (c *Compilation) homes() []string {
	if c.homeList != nil {
		return c.homeList
	}
	c.homeList = []string{}
	if c.Host.Home != "" {
		c.homeList = append(c.homeList, c.Host.Home)
	}
	home := c.Host.PasswdHome
	if home == "" || home == c.Host.Home {
		return c.homeList
	}
	if info, err := c.Host.Files.Stat(home); err == nil && ownerOf(info) == c.Host.UID {
		c.homeList = append(c.homeList, home)
	}
	return c.homeList
}

// meanings lists the absolute paths that a path of the profile means: one for each home if it begins with "~".
func (c *Compilation) meanings(path string) []string {
	switch {
	case path == "~" || len(path) > 1 && path[:2] == "~/":
		var list []string
		for _, home := range c.homes() {
			list = append(list, paths.Clean(home+path[1:]))
		}
		return list
	case path[0] == '/':
		return []string{paths.Clean(path)}
	}
	return []string{paths.Clean(paths.Join(c.Host.Cwd, path))}
}

// sourceHome returns the home directory that binds begin at: HOME without symbolic links. A link in HOME is the
// caller's own word, unlike a link below it, which a task may have made.
func (c *Compilation) sourceHome() string {
	w := picture.Walker{Tree: c.hostTree()}
	if home, err := w.Walk(c.Host.Home); err == nil {
		return home
	}
	return c.Host.Home
}
