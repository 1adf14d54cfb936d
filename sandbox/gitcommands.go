package sandbox

// The programs that git's configuration names, git(1)'s variables among it, and what its hooks and these programs name in
// turn, as far as their text says.

import (
	"strconv"
	"strings"

	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
)

// external returns the command of git-remote-ext(1) that an address names, as a variable of its own; nil for none.
func external(v *git.Var) *git.Var {
	for _, address := range [...]string{v.Value, v.Subsection} {
		if command, ok := strings.CutPrefix(address, "ext::"); ok {
			return &git.Var{Section: v.Section, Key: v.Key, Value: command, User: v.User}
		}
	}
	return nil
}

// isInert reports whether git takes no program from a variable.
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

// command protects the files that a command of the configuration names. A program that is not there could be made by the
// task: then the sandbox does not start. An alias of the user's, for repositories that have the program, runs only where
// somebody types it: there a program that appears is reported.
func (g *gitGuard) command(top string, v *git.Var) error {
	alias := v.Section == "alias"
	if v.Section == "submodule" { // whose name is its path, mostly, and where the command is run
		top = g.absolute(top, v.Subsection)
	}
	for _, w := range git.Words(v.Value) {
		base, path := g.word(top, top, &w)
		slash := strings.Contains(w.Text, "/")
		switch {
		case w.Program && (slash || !w.Started):
			if alias && (v.User || v.Value[0] != '!') {
				if err := g.may(path, true); err != nil {
					return err
				}
			} else if err := g.must(top, path, "a command of the configuration, "+v.Name()); err != nil {
				return err
			}
			if err := g.script(base, path); err != nil {
				return err
			}
		case slash, !w.Started && w.Text[0] != '-':
			if err := g.may(path, slash); err != nil {
				return err
			}
			if err := g.script(base, path); err != nil { // "env -u A ./f"
				return err
			}
		}
	}
	return nil
}

// word returns the path of the host that a word of a command means, and the directory that it is relative to.
func (g *gitGuard) word(top, script string, w *git.Word) (base, path string) {
	expand := func(base, text string) string {
		if rest, ok := strings.CutPrefix(text, git.Here); ok {
			return script + "/" + rest
		}
		if text[0] == '$' { // a variable that nobody knows is the top, mostly
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

// maxScripts bounds how many scripts are read, and their size.
const (
	maxScripts = 500
	maxScript  = 64 << 10
)

// hooks looks at what the hooks in a directory name.
func (g *gitGuard) hooks(top, dir string) error {
	entries, err := g.c.host.Files.ReadDir(dir)
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

// script protects the programs that a script of the shell's names, if they are there, and looks at them in turn.
func (g *gitGuard) script(top, path string) error {
	path = g.follow("/", path)
	if path == "" || g.done["script "+path] || g.scripts == maxScripts {
		return nil
	}
	g.done["script "+path] = true
	text, err := g.c.host.Files.Read(path, maxScript)
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

// isShell reports whether a file is a script of a shell: by its first line, or without one by the lack of a NUL.
func isShell(path string, text []byte) bool {
	first, _, _ := strings.Cut(string(text[:min(len(text), 256)]), "\n")
	if strings.HasPrefix(first, "#!") {
		return strings.Contains(first, "sh")
	}
	_, name := paths.Split(path)
	return strings.IndexByte(string(text), 0) < 0 && (!strings.Contains(name, ".") || strings.HasSuffix(name, "sh"))
}

// variable returns a variable of the caller's environment; "" for none.
func (c *compilation) variable(name string) string {
	if c.callers == nil {
		c.callers = map[string]string{}
		for _, v := range variables(c.req.Env) {
			name, value, _ := strings.Cut(v, "=")
			c.callers[name] = value
		}
	}
	return c.callers[name]
}

// commandVariables are variables of the environment that name commands: git(1), git-var(1).
var commandVariables = [...]string{"EDITOR", "GIT_ASKPASS", "GIT_EDITOR", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR",
	"GIT_SSH", "GIT_SSH_COMMAND", "PAGER", "SSH_ASKPASS", "VISUAL"}

// environmentConfig returns what the caller's environment adds to the configuration.
func (g *gitGuard) environmentConfig() (vars []git.Var) {
	for _, name := range commandVariables {
		if value := g.c.variable(name); value != "" {
			vars = append(vars, git.Var{Section: "core", Key: "editor", Value: value})
		}
	}
	if dir := g.c.variable("GIT_TEMPLATE_DIR"); dir != "" {
		vars = append(vars, git.Var{Section: "init", Key: "templatedir", Value: dir})
	}
	if dir := g.c.variable("GIT_EXEC_PATH"); dir != "" {
		vars = append(vars, git.Var{Section: "core", Key: "hookspath", Value: dir})
	}
	n, _ := strconv.Atoi(g.c.variable("GIT_CONFIG_COUNT")) // no number: 0, as git fails
	for i := range min(n, 1000) {
		v := git.Named(g.c.variable("GIT_CONFIG_KEY_"+strconv.Itoa(i)), g.c.variable("GIT_CONFIG_VALUE_"+strconv.Itoa(i)))
		vars = append(vars, v)
	}
	vars = append(vars, git.Parameters(g.c.variable("GIT_CONFIG_PARAMETERS"))...)
	within(g.c.host.Cwd, vars)
	return vars
}

// A userFile is a configuration of the user's or of the machine's.
type userFile struct {
	path string
	set  string // the variable of the environment that names it, or what is above it; "" for none
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

// protectUserFile keeps a configuration outside of repositories as it is, and the directory that git has to itself.
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
