package compile

// This file protects the files from which git, run outside of the sandbox after the task has ended, would take
// programs: gitrepository-layout(5), git-config(1), gitsubmodules(7).
//
// git status, diff and add look into every submodule that the index names, and run the programs that the submodule's
// configuration names (core.fsmonitor). git uses the nearest .git in the directories above. So some files within the
// paths that the task may write are read-only and keep their places: each .git, each submodule that an index names, and
// each file that the configuration names.
// submodule in an index, and each file that the configuration names is read-only and keeps its place.

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/search"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// gitGuard protects the git repositories that a sandbox shows.
type gitGuard struct {
	c     *Compilation
	h     *hider
	from  plan.From
	rule  policy.Pos
	done  map[string]bool // working trees, directories, scripts and configurations that need not be examined again
	near  map[string]bool // working trees that are bound, or that contain a bound directory
	late  []string        // files that git's configuration names and that do not exist yet
	shown []string        // git configurations outside of repositories
	user  []git.Var       // the variables of the user's, the machine's and the environment's configuration

	scripts     int   // number of scripts read so far
	indexes     int64 // total size of the indexes read so far, in bytes
	configNames int   // number of names examined in the search for configurations
	large       error // the error if a configuration is larger than maxConfig
}

// git makes the repository of the working directory visible, and shows the user's configuration without secrets. If the
// profile asks for it, git also protects the repositories that the task may write.
func (c *Compilation) git() error {
	if c.AsItIs() {
		return nil
	}
	g := &gitGuard{c: c, h: c.hider(), from: c.scalar("git"), rule: c.Profile.Source("git"),
		done: map[string]bool{}, near: map[string]bool{}}
	g.h.from, g.h.rule = g.from, g.rule
	if err := c.gitElsewhere(g); err != nil {
		return err
	}
	if err := g.ofUser(); err != nil || c.Profile.Git != policy.GitProtect {
		return err
	}
	return g.protectAll()
}

// protectAll protects every repository that the task could write to, and the files that git reads or runs because such
// a repository names them.
func (g *gitGuard) protectAll() error {
	c := g.c
	if err := g.outsideGit(); err != nil {
		return err
	}
	f, err := c.search()
	if err != nil {
		return err
	}
	if f.Names > search.MaxNames {
		err := errors.New("more than " + strconv.Itoa(search.MaxNames) + " names to look through for repositories")
		return g.fail("what is bound", err, "bind less")
	}
	for _, dir := range f.Closed {
		c.protectThing(g.from, dir, g.rule, true)
	}
	if g.user, err = g.userConfig(); err != nil {
		return err
	}
	for _, file := range g.shown {
		if err := g.withoutSecrets(file); err != nil {
			return err
		}
	}
	for _, b := range c.bound() {
		if err := g.around(c.Tree.HostPath(b.Target)); err != nil {
			return err
		}
	}
	for _, path := range f.Gits {
		if err := g.repository(path); err != nil {
			return err
		}
	}
	for _, path := range f.Configs {
		if host := c.Tree.HostPath(path); host != "" {
			if err := g.withoutSecrets(host); err != nil {
				return err
			}
		}
	}
	if err := g.otherNames(); err != nil {
		return err
	}
	c.GitSeen = newGitSeen(c, f, g.h.windows)
	c.GitSeen.late = g.late
	return nil
}

func (g *gitGuard) fail(what string, err error, hint string) error {
	hint += "; or use --git free, which leaves repositories unprotected"
	return &fail.Error{Op: "git: " + what, Err: err, From: g.rule.Short(), Hint: hint}
}

// repository protects a .git inside the sandbox, and the working tree that belongs to it.
func (g *gitGuard) repository(path string) error {
	if n, err := g.c.Tree.Entry(path); err == nil && n.Link != "" {
		g.h.hold(path)
	}
	host := g.c.Tree.HostPath(path)
	end, err := g.c.Tree.Resolve(path)
	if err == nil {
		g.protect(end)
	}
	if host == "" {
		return nil
	}
	if dir, name := paths.Split(host); name == ".git" {
		return g.workTree(dir)
	}
	return g.workTree(host) // a bare repository
}

// protect makes a path read-only and immovable, unless the profile makes exactly this path writable.
func (g *gitGuard) protect(inside string) {
	if p := g.c.Tree.At(inside); p != nil && p.Target == inside && p.Write && p.Guard == 0 {
		return
	}
	g.c.protectThing(g.from, inside, g.rule, true)
}

// protectOnHost protects a file of the host at every path at which the task may write to it. host must contain no link.
func (g *gitGuard) protectOnHost(host string) error {
	places, err := g.c.places(g.h.windows, host)
	if err != nil {
		return err
	}
	for _, place := range places {
		g.protect(place)
	}
	return nil
}

// around examines the repository that contains a bound directory, or whose top directory is the bound directory.
// Submodules of that repository may lie below the directory, and a user who works there runs the submodules' hooks.
func (g *gitGuard) around(host string) error {
	if host == "" || host == "/" {
		return nil
	}
	for dir := host; ; dir, _ = paths.Split(dir) {
		if _, err := g.c.Tree.Lstat(paths.Join(dir, ".git")); err == nil {
			g.near[dir] = true
			return g.workTree(dir)
		}
		if dir == "/" {
			return nil
		}
	}
}

// workTree examines a working tree of the host, its index and its configuration.
func (g *gitGuard) workTree(top string) error {
	if g.done[top] {
		return nil
	}
	g.done[top] = true
	r, err := g.open(top)
	if err != nil || r == nil {
		return err
	}
	for _, dir := range [...]string{r.dir, r.common} {
		if dir == paths.Join(top, ".git") {
			continue // the .git itself is protected already; the directories above it need not be
		}
		if err := g.protectOnHost(dir); err != nil {
			return err
		}
	}
	for _, dir := range [...]string{r.dir, r.common} {
		if err := g.leads(top, dir, g.follow(dir, "hooks"), g.follow(dir, "info")); err != nil {
			return err
		}
	}
	for _, dir := range [...]string{r.dir, r.common} {
		if err := g.hooks(top, g.follow(dir, "hooks")); err != nil {
			return err
		}
	}
	for _, link := range r.links {
		if err := g.submodule(top, link); err != nil {
			return err
		}
	}
	for _, file := range r.files {
		if err := g.withoutSecrets(file); err != nil {
			return err
		}
	}
	return g.named(top, append(g.user[:len(g.user):len(g.user)], r.vars...))
}

// submodule protects a submodule that an index names. If the submodule is checked out, its .git is protected. If not,
// the whole directory of the submodule is read-only, because the task could make a .git in it.
func (g *gitGuard) submodule(top, link string) error {
	host := paths.Join(top, link)
	for _, w := range g.h.windows {
		if !w.write || !paths.Below(host, w.source) || host == w.source {
			continue
		}
		view := paths.Clean(w.target + "/" + host[len(w.source):])
		var passed []string
		walk := picture.Walker{Tree: &g.c.Tree, Visit: func(p string) { passed = append(passed, p) }}
		end, err := walk.Walk(view)
		if fail.NotThere(err) {
			return g.fail(host,
				errors.New("a submodule in the index does not exist, and whoever creates it decides what git runs"),
				"git submodule update --init "+link+", or mkdir "+link)
		}
		if err != nil {
			return g.fail(host, fail.Bare(err), "make it readable")
		}
		for _, p := range passed {
			g.h.hold(p)
		}
		if _, err := g.c.Tree.Entry(paths.Join(end, ".git")); err != nil {
			g.c.protectThing(g.from, end, g.rule, true)
		}
	}
	return nil
}

// named protects the files and directories that a configuration names.
func (g *gitGuard) named(top string, vars []git.Var) error {
	if err := g.secretFiles(top, vars); err != nil {
		return err
	}
	for i := range vars {
		v := &vars[i]
		if e := external(v); e != nil {
			if err := g.command(top, e); err != nil {
				return err
			}
		}
		if err := g.namedBy(top, v); err != nil {
			return err
		}
	}
	return nil
}

// namedBy protects the files that one variable of a configuration names.
func (g *gitGuard) namedBy(top string, v *git.Var) error {
	switch {
	case v.Name() == "core.hookspath":
		dir := g.absolute(top, v.Value)
		if err := g.must(top, dir, "core.hooksPath"); err != nil {
			return err
		}
		if err := g.leads(top, g.follow("/", dir)); err != nil {
			return err
		}
		return g.hooks(top, dir)
	case v.Name() == "init.templatedir":
		return g.must(top, g.absolute(top, v.Value), "init.templateDir")
	case v.Key == "path" && (v.Section == "include" || v.Section == "includeif"):
		return g.must(top, g.absolute(v.Dir, v.Value), v.Section+".path")
	case isInert(v):
		return nil
	}
	return g.command(top, v)
}

// absolute turns a path in a configuration into a path of the host. It returns "" if the path names another user's
// home.
func (g *gitGuard) absolute(base, path string) string {
	switch {
	case path == "":
		return ""
	case strings.HasPrefix(path, "~/"):
		return paths.Clean(g.c.Host.Home + path[1:])
	case path[0] == '~' || path[0] == '%':
		return ""
	case path[0] == '/':
		return paths.Clean(path)
	}
	return base + "/" + path // no Clean: the kernel follows links before it handles ".."
}

// must protects a file from which git takes hooks or more configuration. If the file does not exist and the task could
// make it, the sandbox does not start. There is an exception: in a repository below the working directory, git reads
// the file only if somebody uses git there. So cordon starts, and reports the file if it appears.
func (g *gitGuard) must(top, host, key string) error {
	if host == "" {
		return nil
	}
	w := picture.Walker{Tree: g.c.hostTree()}
	end, err := w.Walk(host)
	if err == nil {
		return g.holding(host, end)
	}
	for _, win := range g.h.windows {
		if !win.write || !paths.Below(end, win.source) {
			continue
		}
		view := paths.Clean(win.target + "/" + end[len(win.source):])
		p := g.c.Tree.At(view)
		switch {
		case !p.Write || g.c.Tree.HostPath(view) != end:
		case !g.near[top]:
			g.late = append(g.late, host)
			return nil
		default:
			return g.fail(key, &fail.PathError{Path: end, Err: fail.Bare(err)},
				"make "+end+", so that the task cannot make it, or remove it from git's configuration")
		}
	}
	return nil
}

// may protects a file that a command in the configuration names, if the task may write the file. If the file does not
// exist yet, cordon reports the file if it appears.
func (g *gitGuard) may(host string, late bool) error {
	w := picture.Walker{Tree: g.c.hostTree()}
	if host == "" {
		return nil
	}
	end, err := w.Walk(host)
	switch {
	case err == nil && !w.Last.Dir:
		return g.holding(host, end)
	case fail.NotThere(err) && late:
		g.late = append(g.late, host)
	}
	return nil
}

// holding protects a file, and keeps the task from moving the directories and links that lead to it.
func (g *gitGuard) holding(path, end string) error {
	w := picture.Walker{Tree: g.c.hostTree(), Visit: func(p string) {
		if p != end {
			g.h.holdOnHost(p)
		}
	}}
	if _, err := w.Walk(path); err != nil {
		return err
	}
	g.h.countNames(end)
	return g.protectOnHost(end)
}

// withoutSecrets mounts, over a configuration of the host, a copy without the secrets. It does so at every path at
// which the sandbox shows the configuration. If the configuration cannot be parsed, withoutSecrets hides it.
func (g *gitGuard) withoutSecrets(host string) error {
	if host = g.follow("/", host); host == "" {
		return nil
	}
	info, err := g.c.Tree.Lstat(host)
	if err != nil || !info.Mode().IsRegular() || g.done["config "+host] {
		return nil //nolint:nilerr // it is not there
	}
	g.done["config "+host] = true
	text, err := g.c.Host.Files.Read(host, maxConfig+1)
	if err != nil {
		return nil //nolint:nilerr // the task cannot read it either
	}
	safe, cut, err := git.Filter(text)
	broken := err != nil || len(text) > maxConfig
	if !broken && cut == git.Nothing {
		return nil
	}
	places, err := g.c.places(g.h.windows, host)
	if err != nil {
		return err
	}
	for _, place := range places {
		if g.c.Tree.At(place).Text != nil {
			continue
		}
		if broken {
			err = g.c.coverThing(g.from, place, g.rule, false)
		} else {
			g.c.cutNote(place, cut)
			g.c.replace(g.from, place, safe, g.rule)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cutNote tells the user that a configuration is shown without its secrets. If only sections that name a credential
// helper were cut, just the report mentions that, because such sections are common.
func (c *Compilation) cutNote(place string, cut git.Cut) {
	if cut == git.Credentials {
		c.Left = append(c.Left, report.Added{Path: place, Why: "it is shown without its credential sections"})
		return
	}
	c.note("git: " + place + " is shown without its tokens and passwords")
}

// leads protects the targets of links in git's directories, and remembers the files there with several hard links.
func (g *gitGuard) leads(top string, dirs ...string) error {
	for _, dir := range dirs {
		entries, err := g.c.Host.Files.ReadDir(dir)
		if dir == "" || err != nil || g.done["in "+dir] {
			continue // the file does not exist, or git cannot read it either
		}
		g.done["in "+dir] = true
		for _, e := range entries {
			path := paths.Join(dir, e.Name())
			if e.Type()&fs.ModeSymlink == 0 {
				g.h.countNames(path)
			} else if err := g.must(top, path, "link in git's directory"); err != nil {
				return err
			}
		}
	}
	return nil
}

// otherNames refuses to start if the task could write to a file of git by another hard link to the same file.
func (g *gitGuard) otherNames() error {
	links, err := g.h.otherNames()
	if err != nil {
		return err
	}
	for _, l := range links {
		if p := g.c.Tree.At(l.path); p.Write {
			return g.fail(l.path, errors.New("is a hard link to "+l.of.path+", which decides what git runs"),
				"replace one of the two by a copy")
		}
	}
	return nil
}
