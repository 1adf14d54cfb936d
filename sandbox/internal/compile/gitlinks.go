package compile

import (
	"errors"
	"io/fs"

	"cordon/sandbox/internal/paths"
)

// leads protects what the links in directories of git's lead to, and remembers its files that have more than one name.
func (g *gitGuard) leads(top string, dirs ...string) error {
	for _, dir := range dirs {
		entries, err := g.c.Host.Files.ReadDir(dir)
		if dir == "" || err != nil || g.done["in "+dir] {
			continue // it is not there, or git cannot read it either
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

// otherNames refuses files of git's that the task could write or read by another hard link.
func (g *gitGuard) otherNames() error {
	if g.h.several == nil {
		return nil
	}
	w := linkFinder{h: g.h, extra: g.c.Tree.Extras(), left: maxNames}
	for _, b := range g.c.bound() {
		if !b.Nested {
			w.dir(b.Target)
		}
	}
	for _, l := range w.found {
		if p := g.c.Tree.At(l.path); p.Write {
			return g.fail(l.path, errors.New("is a hard link to "+l.of.path+", from which git takes what it runs"),
				"replace one of the two by a copy")
		}
	}
	return nil
}
