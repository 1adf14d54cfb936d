package compile

// Advice where the working directory is a part of something whose top the sandbox does not show.

import (
	"io/fs"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/report"
)

// tops are what tools look for in the directories above, by the word of a command that names the tool.
var tops = [...]struct {
	what  string
	names []string
	tools []string
}{
	{"repository", []string{".git"}, []string{"git"}},
	{"Go module", []string{"go.mod", "go.work"}, []string{"go", "gopls", "golangci-lint", "staticcheck"}},
}

// HintAbove says that the working directory lies in a repository or a module whose top is not shown, or is a working tree
// whose repository is not, where the command names a tool that needs it.
func (c *Compilation) HintAbove(args []string) (report.Hint, bool) {
	p := c.Tree.At(c.Host.Cwd)
	if p == nil || c.Tree.HostPath(c.Host.Cwd) != c.Host.Cwd {
		return report.Hint{}, false
	}
	for _, t := range tops {
		if !slices.ContainsFunc(args, func(arg string) bool { return namesTool(arg, t.tools) }) {
			continue
		}
		for dir := c.Host.Cwd; dir != "/"; dir, _ = paths.Split(dir) {
			info, ok := c.firstOf(dir, t.names)
			if !ok {
				continue
			}
			if c.Tree.HostPath(dir) == dir {
				return c.hintGitFile(dir, info, p)
			}
			h := report.Hint{Text: "the working directory lies in the " + t.what + " " + dir + ", whose top the sandbox does not show; start it there", Rule: p.Rule}
			if why, err := c.unfit(dir); err == nil && why == "" {
				h.Flag = bindFlag(p) + dir
			}
			return h, true
		}
	}
	return report.Hint{}, false
}

// hintGitFile is for a working tree whose .git names a directory that is not shown.
func (c *Compilation) hintGitFile(top string, info fs.FileInfo, p *picture.Part) (report.Hint, bool) {
	g := &gitGuard{c: c}
	if info.Name() != ".git" || !info.Mode().IsRegular() {
		return report.Hint{}, false
	}
	dir := g.gitDir(top)
	if dir == "" || c.Tree.HostPath(dir) == dir || !g.isGitDir(dir) {
		return report.Hint{}, false
	}
	if common := g.follow(dir, g.line(paths.Join(dir, "commondir"))); common != "" {
		dir = common
	}
	flag := bindFlag(p) + dir
	if c.Profile.Git == policy.GitProtect {
		flag = "--ro " + dir
	}
	return report.Hint{Text: "the repository of " + top + " is " + dir + ", which does not name this working tree; if you know it, show it",
		Rule: p.Rule, Flag: flag}, true
}

func bindFlag(p *picture.Part) string {
	if p.Write {
		return "--rw "
	}
	return "--ro "
}

func (c *Compilation) firstOf(dir string, names []string) (fs.FileInfo, bool) {
	for _, name := range names {
		if info, err := c.Host.Files.Lstat(paths.Join(dir, name)); err == nil {
			return info, true
		}
	}
	return nil, false
}

// namesTool reports whether an argument is, or contains as a word, the name of a tool: "/usr/bin/git", "git status; x".
func namesTool(arg string, tools []string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()/\"'`", r) }),
		func(word string) bool { return slices.Contains(tools, word) })
}
