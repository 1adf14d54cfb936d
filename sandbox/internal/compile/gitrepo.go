package compile

// This file reads the repository of a working tree: gitrepository-layout(5), git-worktree(1).

import (
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/search"
	"cordon/sandbox/internal/walk"
)

// A repo is the repository that a working tree of the host belongs to. dir is the directory to which .git leads. common
// is the directory that all worktrees of the repository share. Only in a linked worktree are dir and common different.
type repo struct {
	dir, common string
	links       []string // paths of the submodules that the index names
	vars        []git.Var
	files       []string // the files that make up its configuration
}

// open reads the repository of the working tree at top. It returns nil if the tree's .git leads to no repository. If it
// returns an error, the launch must not go on, because a file that decides what git runs could not be read.
func (g *gitGuard) open(top string) (*repo, error) {
	// A bare repository has no .git: the directory itself is the repository.
	dir := g.gitDir(top)
	if dir == "" && g.isGitDir(top) {
		dir = top
	}
	if dir == "" {
		return nil, nil
	}
	r := &repo{dir: dir, common: dir}
	// A linked worktree shares the repository of its main tree, which the file commondir names: git-worktree(1).
	if common := g.follow(dir, g.line(paths.Join(dir, "commondir"))); common != "" {
		r.common = common
	}
	// git reads config.worktree only if extensions.worktreeConfig is set. If cordon always reads the file, it can only
	// protect more.
	for _, path := range [...]string{paths.Join(r.common, "config"), paths.Join(dir, "config.worktree")} {
		text, err := g.config(path)
		if err != nil {
			continue
		}
		vars, err := git.ParseConfig(text)
		if err != nil {
			return nil, g.fail(path, err, mendRepository)
		}
		base, _ := paths.Split(path)
		r.files = append(r.files, path)
		r.vars = append(r.vars, within(base, vars)...)
	}
	more, files := g.included(r.vars, 0)
	r.vars, r.files = append(r.vars, more...), append(r.files, files...)
	if g.large != nil {
		return nil, g.large
	}
	return r, g.index(r)
}

// gitDir returns the directory to which the .git of a working tree leads, or "" if it leads to none.
func (g *gitGuard) gitDir(top string) string {
	path := g.follow(top, ".git")
	info, err := g.c.Tree.Lstat(path)
	switch {
	case path == "" || err != nil:
		return ""
	case info.IsDir():
		return path
	}
	// Otherwise .git is a file with one line, as in worktrees and submodules: gitrepository-layout(5).
	text, ok := strings.CutPrefix(g.line(path), "gitdir: ")
	if !ok {
		return ""
	}
	return g.follow(top, text)
}

// line returns the content of a file that holds one line, or "" if it cannot be read. It reads at most 8 KiB, because a
// task may have written the file.
func (g *gitGuard) line(path string) string {
	text, err := g.c.Host.Files.Read(path, 8<<10)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\r\n")
}

// follow resolves a path on the host, and returns "" if it leads to nothing. A relative path starts at base. The result
// contains no link.
func (g *gitGuard) follow(base, path string) string {
	if path == "" || strings.ContainsRune(path, 0) {
		return ""
	}
	if path[0] != '/' {
		path = base + "/" + path
	}
	w := picture.Walker{Tree: g.c.hostTree()}
	end, err := w.Walk(path)
	if err != nil {
		return ""
	}
	return end
}

// index reads the names of submodules in a repository's index. A split index keeps part of its entries in a shared
// file, which index reads too. A repository without an index names no submodules.
func (g *gitGuard) index(r *repo) error {
	// An object name has 20 bytes with SHA-1, and 32 with SHA-256.
	hash := 20
	for i := range r.vars {
		if v := &r.vars[i]; v.Name() == "extensions.objectformat" && strings.EqualFold(v.Value, "sha256") {
			hash = 32
		}
	}
	name := "index"
	// git reads at most one shared index, so the loop reads at most two files.
	for depth := 0; name != "" && depth < 2; depth++ {
		path := paths.Join(r.dir, name)
		ix, err := g.parseIndex(path, hash)
		if fail.NotThere(err) {
			return nil
		}
		if err != nil {
			return g.fail(path, fail.Bare(err), mendRepository)
		}
		r.links = append(r.links, ix.Gitlinks...)
		name = ix.Shared
	}
	return nil
}

// mendRepository is the hint for git files that cannot be read. Either the user has broken them, or a task.
const mendRepository = "repair the repository, or remove it if an earlier run left it"

// maxIndexes bounds the size of all indexes of a launch together, in bytes: about a million files. A task may leave
// an index of any size, and each later launch would have to read it.
const maxIndexes = 128 << 20

// parseIndex reads an index whose object names have hash bytes. Its error says what is wrong with the file, or that all
// indexes together are too large.
func (g *gitGuard) parseIndex(path string, hash int) (*git.Index, error) {
	info, err := g.c.Host.Files.Lstat(path)
	if err != nil {
		return nil, err
	}
	// A file that is not a regular file could hold more than its size says.
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	// The size is checked before the index is read, because a task can make the file as large as it likes.
	if info.Size() > maxIndexes-g.indexes {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("with this one the indexes of all repositories have more than 128 MiB")}
	}
	g.indexes += info.Size()
	data, err := g.c.Host.Files.Read(path, int(info.Size()))
	if err != nil {
		return nil, err
	}
	return git.ParseIndex(data, hash)
}

// userConfig reads the configuration of the machine, of the user and of the environment, and protects the files that
// make up this configuration. Each variable is marked as the user's: if such a variable names a program, the user has
// chosen the program, and not the repository.
func (g *gitGuard) userConfig() ([]git.Var, error) {
	vars := g.environmentConfig()
	for _, f := range g.userFiles() {
		path := g.absolute(g.c.Host.Cwd, f.path)
		if path == "" {
			continue
		}
		// The file is protected even if it does not exist yet, because a task could make it.
		if err := g.protectUserFile(f, path); err != nil {
			return nil, err
		}
		text, err := g.config(path)
		if err != nil {
			continue
		}
		g.shown = append(g.shown, path)
		if more, err := git.ParseConfig(text); err == nil {
			dir, _ := paths.Split(path)
			within(dir, more)
			deep, files := g.included(more, 0)
			vars = append(append(vars, deep...), more...)
			g.shown = append(g.shown, files...)
		}
	}
	for i := range vars {
		vars[i].User = true
	}
	return vars, g.large
}

// maxConfig bounds the size of a configuration, in bytes.
const maxConfig = 256 << 10

// config reads a configuration. If the file is larger than maxConfig, the sandbox does not start, because the files
// that the unread rest names would stay unprotected. config also returns the error if the file cannot be read; most
// callers ignore the error for a file that does not exist.
func (g *gitGuard) config(path string) ([]byte, error) {
	text, err := g.c.Host.Files.Read(path, maxConfig+1)
	if err == nil && len(text) > maxConfig && g.large == nil {
		g.large = g.fail(path, errors.New("this configuration is larger than "+strconv.Itoa(maxConfig>>10)+" KiB"), "make it smaller")
	}
	return text, err
}

// within returns the variables with dir recorded in each, the directory of the file that sets them.
func within(dir string, vars []git.Var) []git.Var {
	for i := range vars {
		vars[i].Dir = dir
	}
	return vars
}

// maxIncludes is the depth to which git follows includes.
const maxIncludes = 10

// included reads the files that a configuration includes, and returns the variables and the names of these files. It
// also follows includes with a condition (includeIf), whether the condition holds or not: that can only protect more.
// It stops after 1000 variables, and after maxIncludes levels.
func (g *gitGuard) included(vars []git.Var, depth int) (out []git.Var, files []string) {
	for i := range vars {
		v := &vars[i]
		if v.Key != "path" || v.Section != "include" && v.Section != "includeif" || depth == maxIncludes || len(out) > 1000 {
			continue
		}
		path := g.absolute(v.Dir, v.Value)
		text, err := g.config(path)
		if path == "" || err != nil {
			continue
		}
		files = append(files, path)
		if more, err := git.ParseConfig(text); err == nil {
			dir, _ := paths.Split(path)
			deep, below := g.included(within(dir, more), depth+1)
			out, files = append(append(out, more...), deep...), append(files, below...)
		}
	}
	return out, files
}

// outsideGit refuses a working directory that is one of git's own directories, or lies in one, because everything there
// decides what git runs. With --ro . a program can work in such a directory.
func (g *gitGuard) outsideGit() error {
	for i := range g.c.Tree.Parts {
		p := &g.c.Tree.Parts[i]
		if !p.Cwd || !p.Write || p.Source == "" {
			continue
		}
		// A directory above may be git's own: .git/hooks is as dangerous as .git.
		for dir := p.Source; dir != "/"; dir, _ = paths.Split(dir) {
			if g.isGitDir(dir) {
				return g.fail(p.Source, errors.New("the working directory is, or lies in, "+dir+
					", which decides what git runs"), "start it in the working tree")
			}
		}
	}
	return nil
}

// isGitDir reports whether a directory of the host is one of git's own, by its name or by its content.
func (g *gitGuard) isGitDir(dir string) bool {
	if _, name := paths.Split(dir); name == ".git" {
		return true
	}
	return g.isWhole(dir)
}

// isWhole reports whether a directory of the host contains the entries by which git recognizes a directory of its own.
func (g *gitGuard) isWhole(dir string) bool {
	var parts search.GitParts
	for _, name := range [...]string{"HEAD", "objects", "refs", "commondir"} {
		if _, err := g.c.Tree.Lstat(paths.Join(dir, name)); err == nil {
			parts.See(name)
		}
	}
	return parts.Whole()
}

// fileOf returns the identity of the file that info describes, or the zero value if it is not known.
func fileOf(info fs.FileInfo, err error) fileID {
	if err != nil {
		return fileID{}
	}
	if st, ok := host.StatOf(info); ok {
		return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // the widths of the fields differ by architecture
	}
	return fileID{}
}

// gitSeen records which repositories existed when the sandbox started. With this record the launcher finds the
// repositories that appear later. The device and inode identify a repository. So a repository that somebody has removed
// and made anew is a new one.
type gitSeen struct {
	files host.Files
	dirs  []string // directories of the host that the task may write to
	seen  map[string]fileID
	two   bool // see Request.Two
	known *walk.Memory
	found []string
	late  []string // files that a repository's configuration names and that did not exist
}

// newGitSeen remembers the repositories that a search has found. It remembers each by its path on the host.
func newGitSeen(c *Compilation, f *searched, windows []window) *gitSeen {
	s := &gitSeen{files: c.Host.Files, two: c.Req.Two, known: f.Memory, seen: map[string]fileID{}}
	for _, path := range f.Gits {
		if host := c.Tree.HostPath(path); host != "" {
			s.seen[host] = fileOf(c.Tree.Lstat(host))
		} else if p := c.Tree.At(path); p != nil && p.Behind != "" {
			s.seen[p.Behind] = fileOf(c.Tree.Lstat(p.Behind))
		}
	}
	// Changes that the task writes to an overlay do not reach the host, so no repository can appear there.
	for _, w := range windows {
		if p := c.Tree.At(w.target); w.write && p != nil && !p.Layer && !p.File {
			s.dirs = append(s.dirs, w.source)
		}
	}
	return s
}

// Appeared lists the repositories that did not exist when the sandbox started, or that have been replaced since then.
// complete is false if a directory could not be searched. The caller calls Appeared after the task has ended, when the
// task can no longer change anything.
func (s *gitSeen) Appeared() (found []string, complete bool) {
	// A task can make any number of names, at any depth. If there are more than the search allows, it is not complete.
	list, complete := search.Repositories(s.files, s.dirs, s.two, s.known)
	slices.Sort(list)
	for _, path := range list {
		s.compare(path)
	}
	for _, path := range s.late {
		if _, err := s.files.Lstat(path); err == nil {
			s.found = append(s.found, path)
		}
	}
	return s.found, complete
}

// compare records the repository at a path if there was none when the sandbox started, or if it is another one than at
// that time. compare remembers the new repository, so that it reports each one only once.
func (s *gitSeen) compare(path string) {
	now := fileOf(s.files.Lstat(path))
	if was, ok := s.seen[path]; !ok || was != now {
		s.seen[path] = now
		s.found = append(s.found, path)
	}
}

// fileOptions matches command-line options whose value is a file with a secret: git-credential-store(1), ssh(1). The
// expression is compiled when a configuration first contains a command.
var fileOptions struct {
	made sync.Once
	re   *regexp.Regexp
}

// secretOptions returns the files with secrets that the options of a command name. Each path is as the command has it,
// so it may be relative or begin with ~.
func secretOptions(command string) (files []string) {
	fileOptions.made.Do(func() {
		fileOptions.re = regexp.MustCompile(`(?:--file[= ]|\s-i\s*|(?i:identityfile)[= ]|\bsshpass\s+-f\s*)["']?([^\s"']+)`) //nolint:forbidigo // not at start-up: when it is first asked for
	})
	for _, m := range fileOptions.re.FindAllStringSubmatch(command, -1) {
		files = append(files, m[1])
	}
	return files
}

// secretKeys are the configuration variables whose value is the path of a file with a secret: git-config(1).
var secretKeys = [...]string{"http.cookiefile", "http.sslkey", "http.proxysslkey", "user.signingkey"}

// secretFiles hides the files with secrets that a configuration names, at every path at which the sandbox shows them.
// top is the directory at which relative paths in the configuration start.
func (g *gitGuard) secretFiles(top string, vars []git.Var) error {
	for i := range vars {
		v := &vars[i]
		var names []string
		switch {
		// user.signingkey may name a public key. The check for .pub below leaves a public key visible.
		case slices.Contains(secretKeys[:], v.Name()):
			names = []string{v.Value}
		case v.Name() == "credential.helper", v.Name() == "core.sshcommand", v.Section == "alias":
			names = secretOptions(v.Value)
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

// hideStore hides the file of git-credential-store(1) in a directory of git's configuration. The file holds passwords
// in plain text.
func (g *gitGuard) hideStore(dir string) error {
	if g.follow(dir, "credentials") == "" {
		return nil
	}
	return g.h.onHost(paths.Join(dir, "credentials"), true)
}
