package compile

// This file finds the programs that git's configuration and git(1)'s environment variables name. It also finds the
// programs that hooks and these programs name in turn, as far as the text of a hook or program shows them.

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/report"
)

// external returns the command in an address of git-remote-ext(1) ("ext::command …"). It returns the command as the
// value of a variable made for it, or nil if v holds no such address.
func external(v *git.Var) *git.Var {
	for _, address := range [...]string{v.Value, v.Subsection} {
		if command, ok := strings.CutPrefix(address, "ext::"); ok {
			return &git.Var{Section: v.Section, Key: v.Key, Value: command, User: v.User}
		}
	}
	return nil
}

// isInert reports whether a variable of git's configuration never names a program.
func isInert(v *git.Var) bool {
	switch v.Section {
	case "branch", "url", "user":
		return true
	case "remote":
		return v.Key != "uploadpack" && v.Key != "receivepack"
	case "submodule":
		return v.Key != "update"
	}
	return strings.HasSuffix(v.Key, "file") || v.Name() == "commit.template" || v.Name() == "core.worktree"
}

// command protects the files that a command in the configuration names. If the program does not exist and the task
// could make it, the sandbox does not start. An alias of the user is an exception: it runs only if somebody types it,
// and it may be meant for repositories that contain the program. So cordon starts, and reports the program if it
// appears.
func (g *gitGuard) command(top string, v *git.Var) error {
	if v.Section == "submodule" { // a submodule's name is mostly its path, and git runs the command there
		top = g.absolute(top, v.Subsection)
	}
	for _, w := range git.Words(v.Value) {
		base, path := g.word(top, top, &w)
		var err error
		switch slash := strings.Contains(w.Text, "/"); {
		case w.Program && (slash || !w.Started):
			err = g.program(top, path, v)
		case slash, !w.Started && w.Text[0] != '-':
			err = g.may(path, slash) // "env -u A ./f"
		default:
			continue
		}
		if err == nil {
			err = g.script(base, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// program protects the program that a command runs.
func (g *gitGuard) program(top, path string, v *git.Var) error {
	if v.Section == "alias" && (v.User || v.Value[0] != '!') {
		return g.may(path, true)
	}
	return g.must(top, path, "a command of the configuration, "+v.Name())
}

// word turns a word of a command into a path of the host. base is the directory that the path is relative to.
func (g *gitGuard) word(top, script string, w *git.Word) (base, path string) {
	expand := func(base, text string) string {
		if rest, ok := strings.CutPrefix(text, git.Here); ok {
			return script + "/" + rest
		}
		if text[0] == '$' { // an unknown variable mostly means the top of the working tree
			_, rest, ok := strings.Cut(text, "/")
			if !ok || rest == "" {
				return ""
			}
			text = rest
		}
		return g.absolute(base, text)
	}
	base = top
	if w.Dir != "" {
		if base = expand(top, w.Dir); base == "" {
			return top, ""
		}
	}
	return base, expand(base, w.Text)
}

// maxScripts bounds how many scripts are read, and maxScript how many bytes of each script are read.
const (
	maxScripts = 500
	maxScript  = 64 << 10
)

// hooks protects the programs that the hooks in a directory name.
func (g *gitGuard) hooks(top, dir string) error {
	entries, err := g.c.Host.Files.ReadDir(dir)
	if dir == "" || err != nil {
		return nil //nolint:nilerr // it is not there, or git cannot read it either
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sample") {
			continue
		}
		if err := g.script(top, paths.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// script protects the programs that a shell script names, if they exist, and examines these programs in turn.
func (g *gitGuard) script(top, path string) error {
	path = g.follow("/", path)
	if path == "" || g.done["script "+path] || g.scripts == maxScripts {
		return nil
	}
	g.done["script "+path] = true
	text, err := g.c.Host.Files.Read(path, maxScript)
	if err != nil || !isShell(path, text) {
		return nil //nolint:nilerr // git cannot run it either
	}
	g.scripts++
	dir, _ := paths.Split(path)
	for _, w := range git.Words(string(text)) {
		if !w.Program || w.Started && !strings.Contains(w.Text, "/") {
			continue
		}
		_, program := g.word(top, dir, &w)
		if err := g.may(program, false); err != nil {
			return err
		}
		if err := g.script(top, program); err != nil {
			return err
		}
	}
	return nil
}

// isShell reports whether a file is a shell script. If the first line begins with "#!", that line decides. Otherwise
// the name of the file must look like a script's, and the text may contain no NUL.
func isShell(path string, text []byte) bool {
	first, _, _ := strings.Cut(string(text[:min(len(text), 256)]), "\n")
	if strings.HasPrefix(first, "#!") {
		return strings.Contains(first, "sh")
	}
	_, name := paths.Split(path)
	return strings.IndexByte(string(text), 0) < 0 && (!strings.Contains(name, ".") || strings.HasSuffix(name, "sh"))
}

// variable returns a variable of the caller's environment, or "" if it is not set.
func (c *Compilation) variable(name string) string {
	if c.callers == nil {
		c.callers = map[string]string{}
		for _, v := range variables(c.Req.Env) {
			name, value, _ := strings.Cut(v, "=")
			c.callers[name] = value
		}
	}
	return c.callers[name]
}

// commandVariables are variables of the environment that name commands: git(1), git-var(1).
var commandVariables = [...]string{"EDITOR", "GIT_ASKPASS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR",
	"GIT_SSH", "GIT_SSH_COMMAND", "PAGER", "SSH_ASKPASS", "VISUAL"}

// environmentConfig returns the configuration variables that the caller's environment sets.
func (g *gitGuard) environmentConfig() (vars []git.Var) {
	// cordon protects every command in the same way, so it treats all these variables as if they were core.editor.
	for _, name := range commandVariables {
		if value := g.c.variable(name); value != "" {
			vars = append(vars, git.Var{Section: "core", Key: "editor", Value: value})
		}
	}
	if dir := g.c.variable("GIT_TEMPLATE_DIR"); dir != "" {
		vars = append(vars, git.Var{Section: "init", Key: "templatedir", Value: dir})
	}
	// git may run every program in this directory, just as it may run every hook in a directory of hooks.
	if dir := g.c.variable("GIT_EXEC_PATH"); dir != "" {
		vars = append(vars, git.Var{Section: "core", Key: "hookspath", Value: dir})
	}
	n, _ := strconv.Atoi(g.c.variable("GIT_CONFIG_COUNT")) // n is 0 if the text is not a number; git itself fails then
	for i := range min(n, 1000) {
		v := git.Named(g.c.variable("GIT_CONFIG_KEY_"+strconv.Itoa(i)), g.c.variable("GIT_CONFIG_VALUE_"+strconv.Itoa(i)))
		vars = append(vars, v)
	}
	vars = append(vars, git.Parameters(g.c.variable("GIT_CONFIG_PARAMETERS"))...)
	within(g.c.Host.Cwd, vars)
	return vars
}

// A userFile is a configuration of the user or of the machine.
type userFile struct {
	path string
	set  string // the environment variable that names the file, or a directory above it; otherwise ""
}

// userFiles lists the configurations outside of repositories: git-config(1), FILES and ENVIRONMENT.
func (g *gitGuard) userFiles() []userFile {
	list := []userFile{{path: "/etc/gitconfig"}, {path: "~/.config/git/config"}, {path: "~/.gitconfig"}}
	for _, name := range [...]string{"GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"} {
		if path := g.c.variable(name); path != "" {
			list = append(list, userFile{path, name})
		}
	}
	if dir := g.c.variable("XDG_CONFIG_HOME"); strings.HasPrefix(dir, "/") {
		list = append(list, userFile{paths.Clean(dir + "/git/config"), "XDG_CONFIG_HOME"})
	}
	return list
}

// protectUserFile keeps the task from changing a configuration outside of repositories, or the directory git/ that
// contains it.
func (g *gitGuard) protectUserFile(f userFile, path string) error {
	if strings.HasSuffix(f.path, "/git/config") && !strings.HasPrefix(f.set, "GIT_") {
		dir, _ := paths.Split(path)
		path = dir
		if err := g.hideStore(dir); err != nil {
			return err
		}
	}
	g.near["environment"] = true
	if f.set != "" {
		return g.must("environment", path, f.set)
	}
	return g.must("", path, "the configuration")
}

// gitElsewhere binds the repository of the working directory if it lies outside of the working directory. That is so in
// a linked worktree and in a submodule (git-worktree(1), gitsubmodules(7)). There .git is a file that names a
// directory, and a task can write that file. So cordon binds the named directory only if the directory belongs to the
// caller, is a directory of git, and names the working directory in turn, in a file that the task could not write.
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

// ofTree returns git's directory for a working tree whose .git is a file, and the common directory that git's directory
// shares with other worktrees. It returns "" if git's directory does not name the working tree in turn.
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
	// The directory of a linked worktree lies in worktrees/ of the shared directory, and its file gitdir names the
	// tree's .git.
	above, _ := paths.Split(dir)
	if above != paths.Join(common, "worktrees") || g.follow(dir, g.line(paths.Join(dir, "gitdir"))) != paths.Join(top, ".git") ||
		!g.isWhole(common) || !g.callers(common) {
		return "", ""
	}
	return dir, common
}

// callers reports whether a directory belongs to the caller, and is neither a home nor a directory above a home.
func (g *gitGuard) callers(dir string) bool {
	info, err := g.c.Tree.Lstat(dir)
	if err != nil || !info.IsDir() || ownerOf(info) != g.c.Host.UID {
		return false
	}
	return !slices.ContainsFunc(g.c.homes(), func(home string) bool { return g.c.atHome(dir, home) != "" })
}

// workTreeOf returns the working tree that a repository's configuration names.
func (g *gitGuard) workTreeOf(dir string) (tree string) {
	text, err := g.config(paths.Join(dir, "config"))
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

// bindRepository shows a repository at its path on the host, and removes secrets from its configurations. The task may
// commit if it may write the working directory and the profile leaves repositories free (git: free). For a commit the
// task must write the worktree's own directory, objects, refs and logs. The files that decide which programs git runs
// stay read-only.
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
		if err := g.allowCommits(p, dir, common, bind); err != nil {
			return err
		}
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

// allowCommits binds the directories that git writes for a commit, and protects the files that decide which programs
// git runs.
func (g *gitGuard) allowCommits(p *picture.Part, dir, common string, bind func(path string, write bool) error) error {
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
		g.c.protectThing(own("git"), paths.Join(dir, name), p.Rule, false)
	}
	// Nothing can be mounted on a file that does not exist, so cordon reports these files if they appear.
	for _, name := range [...]string{"commondir", "config.worktree"} {
		if _, err := g.c.Tree.Lstat(paths.Join(dir, name)); err != nil {
			g.late = append(g.late, paths.Join(dir, name))
		}
	}
	g.c.GitSeen = &gitSeen{files: g.c.Host.Files, late: g.late}
	return nil
}

// commits reports whether the task may write to a repository. It reports false if a file that names programs is
// missing, because the task could make that file.
func (g *gitGuard) commits(dir, common string) bool {
	there := func(path string) bool {
		_, err := g.c.Tree.Lstat(path)
		return err == nil
	}
	if dir == common && !there(paths.Join(common, "hooks")) {
		g.c.note("git: " + common + " is read-only, because the program could make its hooks: mkdir " + common + "/hooks")
		return false
	}
	text, err := g.config(paths.Join(common, "config"))
	return err == nil && (!strings.Contains(strings.ToLower(string(text)), "worktreeconfig") || there(paths.Join(dir, "config.worktree")))
}

// maxConfigs bounds how many files of a repository are examined because they may be configurations.
const maxConfigs = 20_000

// configsBelow lists the files below a directory of git that may be configurations, including those of submodules and
// worktrees.
func (g *gitGuard) configsBelow(dir string, list []string) ([]string, error) {
	entries, err := g.c.Host.Files.ReadDir(dir)
	if err != nil {
		return list, nil //nolint:nilerr // the task cannot read it either
	}
	if g.configNames += len(entries); g.configNames > maxConfigs {
		return list, g.fail(dir, errors.New("there are too many names to search for configurations"), "start it in another directory")
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

// ofUser shows the user's git configuration without secrets, if the profile binds it as a file.
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
