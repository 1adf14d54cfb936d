package compile

// The repository of a working tree, as its files say: gitrepository-layout(5), git-worktree(1).

import (
	"errors"
	"io/fs"
	"strings"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/git"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// A repo is what a working tree belongs to, on the host.
type repo struct {
	dir, common string
	links       []string // paths of submodules
	vars        []git.Var
	files       []string // of the configuration
}

// open reads the repository of a working tree; nil if what is named .git leads to none.
func (g *gitGuard) open(top string) (*repo, error) {
	dir := g.gitDir(top)
	if dir == "" && g.isGitDir(top) {
		dir = top
	}
	if dir == "" {
		return nil, nil
	}
	r := &repo{dir: dir, common: dir}
	if common := g.follow(dir, g.line(paths.Join(dir, "commondir"))); common != "" {
		r.common = common
	}
	for _, path := range [...]string{paths.Join(r.common, "config"), paths.Join(dir, "config.worktree")} {
		text, err := g.c.Host.Files.Read(path, maxConfig)
		if err != nil {
			continue
		}
		vars, err := git.ParseConfig(text)
		if err != nil {
			return nil, g.fail(path, err, "mend it")
		}
		base, _ := paths.Split(path)
		r.files = append(r.files, path)
		r.vars = append(r.vars, within(base, vars)...)
	}
	more, files := g.included(r.vars, 0)
	r.vars, r.files = append(r.vars, more...), append(r.files, files...)
	return r, g.index(r)
}

// gitDir returns the directory that .git of a working tree leads to; "" for none.
func (g *gitGuard) gitDir(top string) string {
	path := g.follow(top, ".git")
	info, err := g.c.Tree.Lstat(path)
	switch {
	case path == "" || err != nil:
		return ""
	case info.IsDir():
		return path
	}
	text, ok := strings.CutPrefix(g.line(path), "gitdir: ")
	if !ok {
		return ""
	}
	return g.follow(top, text)
}

// line reads a file that holds one line.
func (g *gitGuard) line(path string) string {
	text, err := g.c.Host.Files.Read(path, 8<<10)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\r\n")
}

// follow returns where a path leads to on the host; "" if to nothing.
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

// index reads which submodules a repository's index names.
func (g *gitGuard) index(r *repo) error {
	hash := 20
	for i := range r.vars {
		if v := &r.vars[i]; v.Name() == "extensions.objectformat" && strings.EqualFold(v.Value, "sha256") {
			hash = 32
		}
	}
	name := "index"
	for depth := 0; name != "" && depth < 2; depth++ {
		path := paths.Join(r.dir, name)
		ix, err := g.parseIndex(path, hash)
		if fail.NotThere(err) {
			return nil
		}
		if err != nil {
			return g.fail(path, fail.Bare(err), "mend it")
		}
		r.links = append(r.links, ix.Gitlinks...)
		name = ix.Shared
	}
	return nil
}

// maxIndex bounds the size of an index: about four million files.
const maxIndex = 512 << 20

func (g *gitGuard) parseIndex(path string, hash int) (*git.Index, error) {
	info, err := g.c.Host.Files.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIndex {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a file of a usual size")}
	}
	data, err := g.c.Host.Files.Read(path, int(info.Size()))
	if err != nil {
		return nil, err
	}
	return git.ParseIndex(data, hash)
}

// userConfig reads the configuration of the machine, of the user and of the environment, and protects its files.
func (g *gitGuard) userConfig() ([]git.Var, error) {
	vars := g.environmentConfig()
	for _, f := range g.userFiles() {
		path := g.absolute(g.c.Host.Cwd, f.path)
		if path == "" {
			continue
		}
		if err := g.protectUserFile(f, path); err != nil {
			return nil, err
		}
		text, err := g.c.Host.Files.Read(path, maxConfig)
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
	return vars, nil
}

// within notes the directory of the file that variables are from.
func within(dir string, vars []git.Var) []git.Var {
	for i := range vars {
		vars[i].Dir = dir
	}
	return vars
}

// maxIncludes is how deep git follows includes.
const maxIncludes = 10

// included reads what a configuration includes, and lists the files.
func (g *gitGuard) included(vars []git.Var, depth int) (out []git.Var, files []string) {
	for i := range vars {
		v := &vars[i]
		if v.Key != "path" || v.Section != "include" && v.Section != "includeif" || depth == maxIncludes || len(out) > 1000 {
			continue
		}
		path := g.absolute(v.Dir, v.Value)
		text, err := g.c.Host.Files.Read(path, maxConfig)
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
