package compile

// The repository of a working directory that is a linked worktree or a submodule lies elsewhere: git-worktree(1),
// gitsubmodules(7). Its ".git" is a file that names a directory, and a task can write that file. So a directory is bound only
// if it is the caller's, is one of git's, and names the working directory in turn, from where the task could not write.

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/report"
)

// gitElsewhere binds the repository of the working directory where that lies outside of it.
func (c *Compilation) gitElsewhere(g *gitGuard) error {
	for i := range c.Tree.Parts {
		p := c.Tree.Parts[i]
		if !p.Cwd || p.Source == "" {
			continue
		}
		dir, common := g.ofTree(p.Source)
		if dir == "" || c.Tree.HostPath(dir) == dir {
			return nil
		}
		return g.bindRepository(&p, dir, common)
	}
	return nil
}

// ofTree returns git's directory of a working tree whose .git is a file, and the one that it shares with others; "" for
// none that names the tree in turn.
func (g *gitGuard) ofTree(top string) (dir, common string) {
	info, err := g.c.Tree.Lstat(paths.Join(top, ".git"))
	if err != nil || !info.Mode().IsRegular() {
		return "", ""
	}
	dir = g.gitDir(top)
	if dir == "" || !g.isWhole(dir) || !g.callers(dir) {
		return "", ""
	}
	common = g.follow(dir, g.line(paths.Join(dir, "commondir")))
	if common == "" {
		if g.workTreeOf(dir) != top {
			return "", ""
		}
		return dir, dir
	}
	above, _ := paths.Split(dir)
	if above != paths.Join(common, "worktrees") || g.follow(dir, g.line(paths.Join(dir, "gitdir"))) != paths.Join(top, ".git") ||
		!g.isWhole(common) || !g.callers(common) {
		return "", ""
	}
	return dir, common
}

// callers reports whether a directory is the caller's own, and no home.
func (g *gitGuard) callers(dir string) bool {
	info, err := g.c.Tree.Lstat(dir)
	if err != nil || !info.IsDir() || ownerOf(info) != g.c.Host.UID {
		return false
	}
	return !slices.ContainsFunc(g.c.homes(), func(home string) bool { return g.c.atHome(dir, home) != "" })
}

// workTreeOf returns the working tree that a repository's configuration names.
func (g *gitGuard) workTreeOf(dir string) (tree string) {
	text, err := g.c.Host.Files.Read(paths.Join(dir, "config"), maxConfig)
	if err != nil {
		return ""
	}
	vars, err := git.ParseConfig(text)
	if err != nil {
		return ""
	}
	for i := range vars {
		if vars[i].Name() == "core.worktree" {
			tree = g.follow(dir, vars[i].Value)
		}
	}
	return tree
}

// bindRepository shows a repository where it is on the host, its configurations without secrets. Where the task may write
// the working directory, and the profile leaves repositories free, it may commit: a worktree has a directory to itself
// for that, beside objects and refs. What decides which programs git runs stays read-only.
func (g *gitGuard) bindRepository(p *picture.Part, dir, common string) error {
	writes := p.Write && g.c.Profile.Git == policy.GitFree && g.commits(dir, common)
	from, how := own("git"), "read-only"
	bind := func(path string, write bool) error {
		m := policy.Mount{Kind: policy.MountBind, Source: path, Write: write, Pos: p.Rule}
		if err := g.c.bind(from, len(g.c.Profile.Mounts), &m); err != nil {
			return g.fail(path, err, "start it in another directory")
		}
		return nil
	}
	if err := bind(common, writes && dir == common); err != nil {
		return err
	}
	if writes {
		how = "for commits"
		if dir != common {
			for _, path := range [...]string{paths.Join(common, "objects"), paths.Join(common, "refs"), paths.Join(common, "logs"), dir} {
				if info, err := g.c.Tree.Lstat(path); err != nil || !info.IsDir() {
					continue
				}
				if err := bind(path, true); err != nil {
					return err
				}
			}
		}
		for _, name := range [...]string{"config", "config.worktree", "hooks", "info", "modules", "commondir", "gitdir"} {
			g.c.protectThing(from, paths.Join(dir, name), p.Rule, false)
		}
		for _, name := range [...]string{"commondir", "config.worktree"} { // which nothing can be mounted on where they are not
			if _, err := g.c.Tree.Lstat(paths.Join(dir, name)); err != nil {
				g.late = append(g.late, paths.Join(dir, name))
			}
		}
		g.c.GitSeen = &gitSeen{files: g.c.Host.Files, late: g.late}
	}
	g.c.Added = append(g.c.Added, report.Added{Path: common, Why: "the repository of the working directory, " + how})
	g.h = g.c.hider()
	g.h.from, g.h.rule = from, p.Rule
	configs, err := g.configsBelow(common, nil)
	for _, file := range configs {
		if err == nil {
			err = g.withoutSecrets(file)
		}
	}
	return err
}

// commits reports whether a task can be let write to a repository: nothing that names programs may be missing, since the
// task could make it.
func (g *gitGuard) commits(dir, common string) bool {
	there := func(path string) bool {
		_, err := g.c.Tree.Lstat(path)
		return err == nil
	}
	if dir == common && !there(paths.Join(common, "hooks")) {
		g.c.note("git: " + common + " is read-only, since the program could make its hooks: mkdir " + common + "/hooks")
		return false
	}
	text, err := g.c.Host.Files.Read(paths.Join(common, "config"), maxConfig)
	return err == nil && (!strings.Contains(strings.ToLower(string(text)), "worktreeconfig") || there(paths.Join(dir, "config.worktree")))
}

// maxConfigs bounds how many names are looked at for configurations of a repository.
const maxConfigs = 20_000

// configsBelow lists what may be a configuration in a directory of git's, of submodules and worktrees too.
func (g *gitGuard) configsBelow(dir string, list []string) ([]string, error) {
	entries, err := g.c.Host.Files.ReadDir(dir)
	if err != nil {
		return list, nil //nolint:nilerr // the task cannot read it either
	}
	if g.configNames += len(entries); g.configNames > maxConfigs {
		return list, g.fail(dir, errors.New("too many names to look through for configurations"), "start it in another directory")
	}
	for _, e := range entries {
		path := paths.Join(dir, e.Name())
		switch {
		case e.Type()&fs.ModeType == fs.ModeDir:
			switch e.Name() {
			case "objects", "refs", "logs", "hooks", "info", "lfs":
				continue
			}
			if list, err = g.configsBelow(path, list); err != nil {
				return list, err
			}
		case strings.HasPrefix(e.Name(), "config"):
			list = append(list, path)
		}
	}
	return list, nil
}

// ofUser shows the user's configuration, where the profile binds it as a file, without secrets.
func (g *gitGuard) ofUser() error {
	for _, path := range [...]string{"~/.gitconfig", "~/.config/git/config"} {
		host := g.follow("/", g.absolute("/", path))
		for i := range g.c.Tree.Parts {
			p := &g.c.Tree.Parts[i]
			if host == "" || !p.File || p.Source != host || p.Rule.Flag != "" || p.Text != nil || p.Guard != 0 {
				continue
			}
			if err := g.withoutSecrets(host); err != nil {
				return err
			}
			break
		}
	}
	return nil
}
