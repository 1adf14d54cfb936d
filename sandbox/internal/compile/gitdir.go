package compile

import (
	"errors"
	"io/fs"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
)

// gitParts are the names by which git knows a directory of its own: gitrepository-layout(5).
type gitParts struct{ head, objects, refs, common bool }

func (p *gitParts) see(name string) {
	switch name {
	case "HEAD":
		p.head = true
	case "objects":
		p.objects = true
	case "refs":
		p.refs = true
	case "commondir":
		p.common = true
	}
}

// whole reports whether git takes a directory with these names for a repository, a bare one among them.
func (p *gitParts) whole() bool { return p.head && (p.common || p.objects && p.refs) }

// outsideGit refuses a working directory that is, or lies in, a directory of git's own: everything there decides what
// git runs.
func (g *gitGuard) outsideGit() error {
	for i := range g.c.Tree.Parts {
		p := &g.c.Tree.Parts[i]
		if !p.Cwd || !p.Write || p.Source == "" {
			continue
		}
		for dir := p.Source; dir != "/"; dir, _ = paths.Split(dir) {
			if g.isGitDir(dir) {
				return g.fail(p.Source, errors.New("the working directory is, or lies in, "+dir+
					", from which git takes what it runs"), "start it in the working tree")
			}
		}
	}
	return nil
}

// isGitDir reports whether a directory of the host is one of git's own, by its name or by what is in it.
func (g *gitGuard) isGitDir(dir string) bool {
	if _, name := paths.Split(dir); name == ".git" {
		return true
	}
	return g.isWhole(dir)
}

// isWhole reports whether a directory of the host has what git looks for in one of its own.
func (g *gitGuard) isWhole(dir string) bool {
	var parts gitParts
	for _, name := range [...]string{"HEAD", "objects", "refs", "commondir"} {
		if _, err := g.c.Tree.Lstat(paths.Join(dir, name)); err == nil {
			parts.see(name)
		}
	}
	return parts.whole()
}

// fileOf returns which thing of the host an answer is about; the zero value for none.
func fileOf(info fs.FileInfo, err error) fileID {
	if err != nil {
		return fileID{}
	}
	if st, ok := host.StatOf(info); ok {
		return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // their widths differ by architecture
	}
	return fileID{}
}
