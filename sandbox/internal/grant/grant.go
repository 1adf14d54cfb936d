// Package grant derives Landlock rules, a list of paths with rights, from the model of the tree that a sandbox would
// show (picture.Tree). A program that runs in place, without namespaces, sees the host's own tree and may use what the
// list allows: landlock(7).
//
// A rule of Landlock allows access to everything below a path, and no rule can take access away again. So if a
// directory has a hidden entry, each of its other entries gets a rule, and the directory itself gets none. Then the
// directory cannot be listed, and files that appear in it later cannot be opened. A writable directory cannot be split
// like that: nobody could make files in it, and an editor that saves a file by a rename would lose the file. So Derive
// returns such an entry as Lost, and the caller decides whether that is an error.
package grant

import (
	"io/fs"
	"strings"

	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
)

// Right is what a rule allows.
type Right uint8

// The rights.
const (
	Read Right = 1 << iota // read files, list directories
	Exec
	Write // write files; make, rename and remove entries
)

// Rule allows access to a file, or to everything below a directory.
type Rule struct {
	Path  string
	Right Right
	File  bool
	Part  *picture.Part // the mount from which the rule is derived
}

// Lost is a hidden or read-only entry of a writable directory. No Landlock rule can take the directory's rights from it.
type Lost struct {
	Path  string
	Part  *picture.Part // the mount that would hide the entry or make it read-only
	Above string        // the writable directory that contains it
}

// grants derives the rules of one tree.
type grants struct {
	tree    *picture.Tree
	closed  func(path string) bool
	split   map[string]bool // directories whose entries get rules, instead of the directory
	rules   []Rule
	lost    []Lost
	skipped map[string]bool // hidden names
}

// Derive returns the rules for a tree, and the entries that no rule can protect. The root directory itself never gets a
// rule, only its entries do. So if an attempt to open the root fails, the rules are in force.
//
// closed reports whether the mode and owner of a hidden file already keep the task from opening it. Because of such a
// file, Derive does not split the directory around it, so that the directory can be listed. If somebody replaces the
// file, the task can read the new file.
func Derive(t *picture.Tree, closed func(path string) bool) (rules []Rule, lost []Lost) {
	g := &grants{tree: t, closed: closed, split: map[string]bool{"/": true}, skipped: map[string]bool{}}
	for i := range t.Parts {
		if p := &t.Parts[i]; p.Target != "/" && t.At(p.Target) == p {
			g.narrower(p, g.rights(p))
		}
	}
	// The hidden name does not exist yet. A file that appears there must get no rights.
	for _, p := range t.Exposed() {
		if p.Opaque && t.At(p.Target) != p {
			g.narrower(p, 0)
		}
	}
	for i := range t.Globs {
		x := &t.Globs[i]
		g.narrower(&picture.Part{Target: paths.Join(x.Dir, x.Pattern), Opaque: true, Guard: picture.GuardHide, Rule: x.Part.Rule}, 0)
	}
	for i := range t.Parts {
		p := &t.Parts[i]
		if r := g.rights(p); r != 0 && t.At(p.Target) == p {
			g.grant(p.Target, p, r, p.File)
		}
	}
	return g.rules, g.lost
}

// rights returns the rights that a mount gives. It gives none unless it shows the host's file or directory at its own
// path.
func (g *grants) rights(p *picture.Part) Right {
	switch {
	case p.Opaque || p.Source != p.Target || p.Upper != "" || p.Layer || p.Text != nil || p.Link != "":
		return 0
	case InProc(p):
		return Read
	case p.What == "a device":
		return Read | Write
	}
	r := Read | Exec
	if p.Noexec {
		r &^= Exec
	}
	if p.Write {
		r |= Write
	}
	return r
}

// InProc reports whether a mount is proc, or is below /proc. Derive allows proc as a whole or not at all: each process
// has its own directory there, for which no rule can be made before the process exists.
func InProc(p *picture.Part) bool { return paths.Below(p.Target, "/proc") }

// narrower records a mount that gives fewer rights than the directory around it.
func (g *grants) narrower(p *picture.Part, right Right) {
	dir, _ := paths.Split(p.Target)
	around := g.tree.At(dir)
	if around == nil || InProc(p) && p.Target != "/proc" || g.tree.HostPath(dir) != dir {
		return
	}
	outer := g.rights(around)
	// A mount that only pins a name, or that shows a link, does not change the right to read.
	if outer&^right == 0 || p.Guard == picture.GuardPin && outer&Write == 0 || p.Link != "" && outer&Write == 0 {
		return
	}
	if outer&Write != 0 {
		g.lost = append(g.lost, Lost{p.Target, p, around.Target})
		return
	}
	if p.Opaque && p.File && g.closed(p.Target) {
		return
	}
	if p.Opaque {
		g.skipped[p.Target] = true
	}
	for ; !g.split[dir]; dir, _ = paths.Split(dir) {
		g.split[dir] = true
	}
}

// grant allows a path, or the entries of a directory that has to be split.
func (g *grants) grant(path string, p *picture.Part, right Right, file bool) {
	if !g.split[path] || file {
		g.rules = append(g.rules, Rule{path, right, file, p})
		return
	}
	add := func(name string, kind fs.FileMode) {
		name = paths.Join(path, name)
		// A link needs no rule, because Landlock checks the target of the link. A socket cannot be read.
		if kind&(fs.ModeSymlink|fs.ModeSocket) == 0 && g.tree.At(name) == p && !g.skipped[name] {
			g.grant(name, p, right, !kind.IsDir())
		}
	}
	entries, err := g.tree.Files.ReadDir(path)
	for _, e := range entries {
		add(e.Name(), e.Type())
	}
	if err == nil {
		return
	}
	// If the caller may not list a directory, the names that are the same on every system get rules. So a program can
	// run in place inside another program that runs in place.
	for _, name := range strings.Fields(known(path)) {
		if info, err := g.tree.Lstat(paths.Join(path, name)); err == nil {
			add(name, info.Mode().Type())
		}
	}
}

// known returns the names in a directory of the system that are the same everywhere: hier(7).
func known(dir string) string {
	switch dir {
	case "/":
		return "bin boot etc gnu home lib lib32 lib64 libx32 media mnt nix opt root run sbin srv sys usr var"
	case "/etc":
		return "alternatives bash.bashrc ca-certificates fonts gai.conf group host.conf hostname hosts inputrc ld.so.cache " +
			"ld.so.conf ld.so.conf.d locale.alias localtime login.defs machine-id magic mime.types nsswitch.conf os-release " +
			"passwd pki profile profile.d protocols python3 resolv.conf services shells ssl terminfo timezone"
	case "/var":
		return "cache lib opt"
	}
	return ""
}
