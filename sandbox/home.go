package sandbox

import "cordon/sandbox/internal/paths"

// homes lists the directories that "~" means in a rule that hides: HOME, and the home of the password database, so
// that a false HOME uncovers nothing. A database names directories of the system as homes, such as /usr/sbin: they
// count only if they are the caller's own.
func (c *compilation) homes() []string {
	if c.homeList != nil {
		return c.homeList
	}
	c.homeList = []string{}
	if c.host.Home != "" {
		c.homeList = append(c.homeList, c.host.Home)
	}
	home := c.host.PasswdHome
	if home == "" || home == c.host.Home {
		return c.homeList
	}
	if info, err := c.host.Files.Stat(home); err == nil && ownerOf(info) == c.host.UID {
		c.homeList = append(c.homeList, home)
	}
	return c.homeList
}

// meanings lists the absolute paths that a path of the profile means: one for each home if it begins with "~".
func (c *compilation) meanings(path string) []string {
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
	return []string{paths.Clean(paths.Join(c.host.Cwd, path))}
}

// sourceHome returns the home directory that binds begin at: HOME without symbolic links. A link in HOME is the
// caller's own word, unlike a link below it, which a task may have made.
func (c *compilation) sourceHome() string {
	w := walker{tree: c.hostTree()}
	if home, err := w.walk(c.host.Home); err == nil {
		return home
	}
	return c.host.Home
}
