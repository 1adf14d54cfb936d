package learn

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/policy/recording"
)

// grant is a mount that learn plans to write.
type grant struct {
	path  string
	kind  policy.MountKind // bind, tmpfs, dir
	write bool
	dir   bool // a bind of a directory, with everything below it
	at    policy.Pos
}

// files makes the mounts of the profile.
type files struct {
	*learner
	grants map[string]*grant
	exact  map[string][]*Path // by directory: single files that the program read
	wider  map[string]Note    // by path: what a grant allows that was not seen, and why it does (the last reason)
	below  *view              // what the parent profile shows
	shows  map[string]bool    // by directory: whether it contains a well-known socket
}

// mounts learns the section mounts, and what to hide in the mounts.
func (l *learner) mounts() {
	f := &files{learner: l, grants: map[string]*grant{}, exact: map[string][]*Path{}, wider: map[string]Note{}, below: newView(l.parent, l.w), shows: map[string]bool{}}
	for i := range l.f.Paths {
		p := &l.f.Paths[i]
		if p.Access&^recording.Mount != 0 && p.Path != "/" { // system calls decide about mounting on a path
			f.path(p)
		}
	}
	f.foreigners()
	f.directories()
	f.names()
	f.trees()
	for _, list := range f.exact {
		for _, p := range list {
			f.add(grant{path: p.Path, kind: policy.MountBind, at: p.At})
		}
	}
	f.prune()
	f.write()
	f.symlinks()
	f.hides()
}

// writes are the ways to use a file that need a writable file or directory.
const writes = recording.Writes &^ recording.Mount

// path decides which mount a path needs.
func (f *files) path(p *Path) {
	if why := f.refuse(p); why != "" {
		f.secret(p, why)
		return
	}
	switch {
	case !p.own && slices.ContainsFunc(f.w.others, func(dir string) bool { return within(dir, p.Path) }):
		f.leave(p)
		return
	case f.w.own(p.Path):
		f.writable(f.w.base(p.Path), p)
		return
	case f.below.check(p.Path, p.Access, p.Type).why == "":
		return
	}
	switch {
	case within(cgroups, p.Path):
		f.note(Note{Kind: Left, What: p.Access.String() + " " + p.Path, Why: "the files of a cgroup are others in each run", At: p.At})
	case within("/sys", p.Path):
		f.sysfs(p)
	case p.Access&(recording.Delete|recording.Rename|recording.Link) != 0:
		f.writable(f.w.base(p.Path), p)
	case p.Type == recording.TypeLink:
		f.link(p)
	case p.Access&writes != 0 && p.Type == recording.TypeDir:
		f.writable(p.Path, p)
	case p.Access&writes != 0:
		f.add(grant{path: p.Path, kind: policy.MountBind, write: true, at: p.At})
		if f.elsewhere(p.Path) || ofSystem(p.Path) || !within(f.w.workdir, p.Path) {
			f.note(Note{Kind: Granted, What: "writing " + f.w.shorten(p.Path), Why: "it is the host's file, and stays changed", At: p.At})
		}
	case p.Type == recording.TypeDir || p.Type == "" && f.w.dirs[p.Path]:
		f.directory(p)
	default:
		dir := path.Dir(p.Path)
		f.exact[dir] = append(f.exact[dir], p)
	}
}

func (f *files) secret(p *Path, why string) {
	f.note(Note{Kind: Secret, What: p.Access.String() + " " + p.Path, Why: why + ", and not granted without --grant " + f.w.shorten(p.Path), At: p.At})
}

// cgroups is the directory at which cgroup file systems are mounted.
const cgroups = "/sys/fs/cgroup"

// sysfs grants a sysfs of the sandbox's own, because a file of the host's sysfs cannot be mounted for another user.
func (f *files) sysfs(p *Path) {
	if p.Access&writes != 0 || f.outsider() {
		f.note(Note{Kind: Left, What: p.Access.String() + " " + p.Path, Why: "a sysfs is read-only, and can only be had with a network of its own", At: p.At})
		return
	}
	if f.grants["/sys"] == nil {
		f.widen("/sys", "granted for "+p.Path+": all of sysfs can be read", p.At)
	}
	f.add(grant{path: "/sys", kind: policy.MountSysfs, at: p.At})
}

// outsider reports whether the program needs the host's network.
func (l *learner) outsider() bool {
	return l.parent.Network.Mode == policy.NetworkHost || slices.ContainsFunc(l.f.Nets, func(n Net) bool { return l.f.outside(&n) })
}

// link handles a symbolic link that the program examined itself. If the recording shows where the link leads, function
// symlinks creates it. Otherwise the link is visible only if its directory is visible.
func (f *files) link(p *Path) {
	if _, ok := f.f.links[p.Path]; !ok {
		f.note(Note{Kind: Left, What: p.Access.String() + " " + p.Path, Why: "it is a symbolic link, and nobody followed it", At: p.At})
	}
}

// directory handles a directory that the program examined or listed.
func (f *files) directory(p *Path) {
	switch {
	case p.Access&recording.List == 0:
		f.add(grant{path: p.Path, kind: policy.MountDir, at: p.At})
	case f.mayOpen(p.Path):
		f.add(grant{path: p.Path, kind: policy.MountBind, dir: true, at: p.At})
		f.widen(p.Path, "it was listed, so all that is in it is there, and can be read", p.At)
	default:
		f.add(grant{path: p.Path, kind: policy.MountDir, at: p.At})
		f.note(Note{Kind: Left, What: f.w.shorten(p.Path), Why: "it was listed, and would show too much: only what is granted is in it", At: p.At})
	}
}

// writable grants a directory in which the program has created, replaced or removed a file. If the directory would show
// secrets, or is for short-lived files, the program gets an empty directory of the sandbox's own instead.
func (f *files) writable(dir string, p *Path) {
	switch {
	case f.below.check(dir, recording.Write, recording.TypeDir).why == "":
	case dir == "/":
		f.note(Note{Kind: Left, What: p.Access.String() + " " + p.Path, Why: "nothing can be made in the root itself", At: p.At})
	case f.volatile(dir) || dir == f.w.home || f.secrets.holds(dir) || f.exposes(dir):
		if f.grants[dir] == nil && !f.volatile(dir) {
			f.note(Note{Kind: Left, What: "what is written in " + f.w.shorten(dir), Why: "it holds secrets or sockets of the host, so it is an empty directory of the sandbox's own: what is written there is gone at the end", At: p.At})
		} else if f.grants[dir] == nil {
			f.note(Note{Kind: Left, What: "what is written in " + dir, Why: "it is a directory of the sandbox's own: what is written there is gone at the end", At: p.At})
		}
		f.add(grant{path: dir, kind: policy.MountTmpfs, write: true, at: p.At})
	default:
		if g := f.grants[dir]; g == nil || !g.write {
			f.widen(dir, "something was made or removed in it, so that everything in it can be read and written", p.At)
		}
		f.add(grant{path: dir, kind: policy.MountBind, write: true, dir: true, at: p.At})
	}
}

// exposes reports whether a directory contains a well-known socket. It remembers the answer, because a program often
// makes many files in one directory.
func (f *files) exposes(dir string) bool {
	v, ok := f.shows[dir]
	if !ok {
		v = exposes(dir) != ""
		f.shows[dir] = v
	}
	return v
}

// volatile reports whether a directory is for short-lived files of all programs.
func (f *files) volatile(dir string) bool {
	switch dir {
	case "/tmp", "/var/tmp", "/run", "/run/lock", "/var/run", "/var/lock", "/dev/shm":
		return true
	}
	return false
}

// widen remembers what a grant allows that was not seen, and why. The reason for a writable grant replaces other
// reasons, because the grant allows more.
func (f *files) widen(p, why string, at policy.Pos) {
	if g := f.grants[p]; g == nil || !g.write {
		f.wider[p] = Note{Kind: Widened, What: f.w.shorten(p), Why: why, At: at}
	}
}

// add adds a grant, or merges it with an existing grant for the same path.
func (f *files) add(g grant) {
	old := f.grants[g.path]
	if old == nil {
		f.grants[g.path] = &g
		return
	}
	rank := func(g *grant) int { // a tmpfs has precedence over a bind, which would show too much
		return slices.Index([]policy.MountKind{policy.MountDir, policy.MountBind, policy.MountTmpfs}, g.kind)
	}
	if rank(&g) > rank(old) {
		g.write = g.write || old.write
		*old, g = g, *old
	}
	if g.kind == old.kind {
		old.write, old.dir = old.write || g.write, old.dir || g.dir
	}
}

// system lists trees of programs and libraries. They are the same on every machine and contain no secrets.
var system = []string{"/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/nix", "/gnu"}

// mayOpen reports whether learn may allow a directory as a whole. It may not if the directory is the home or the root,
// or if it contains a secret, a powerful socket, the working directory or the home.
func (f *files) mayOpen(dir string) bool {
	depth := strings.Count(dir, "/")
	switch {
	case dir == "/", depth == 1 && !slices.Contains(system, dir), f.secrets.holds(dir), within(dir, f.w.home), f.exposes(dir):
		return false
	case within(dir, f.w.workdir) && dir != f.w.workdir:
		return false
	case within("/proc", dir), dir == "/dev", within("/run", dir) && depth < 3, f.volatile(dir), within("/sys", dir) && depth < 4:
		return false
	}
	return true
}

// directories is the first step of generalising. If a program reads many single files of a directory, it grants the
// directory.
func (f *files) directories() {
	for _, dir := range slices.Sorted(keysOf(f.exact)) {
		list := f.exact[dir]
		if len(list) < f.opts.Files || !f.mayOpen(dir) {
			continue
		}
		delete(f.exact, dir)
		f.add(grant{path: dir, kind: policy.MountBind, dir: true, at: list[0].At})
		f.widen(dir, "granted for "+strconv.Itoa(len(list))+" files that were read: everything else in it can be read too", list[0].At)
	}
}

// names is the second step. If the names of several files differ only in numbers, it grants the directory, because the
// next run reads other files of this kind. A mount cannot be a glob, so the directory takes the place of the glob.
func (f *files) names() {
	for _, dir := range slices.Sorted(keysOf(f.exact)) {
		if !f.mayOpen(dir) {
			continue
		}
		alike := map[string][]*Path{}
		for _, p := range f.exact[dir] {
			glob := globOf(path.Base(p.Path))
			alike[glob] = append(alike[glob], p)
		}
		for _, glob := range slices.Sorted(keysOf(alike)) {
			list := alike[glob]
			if len(list) < f.opts.Names {
				continue
			}
			delete(f.exact, dir)
			f.add(grant{path: dir, kind: policy.MountBind, dir: true, at: list[0].At})
			f.widen(dir, "granted for "+strconv.Itoa(len(list))+" files named "+glob+": everything else in it can be read too", list[0].At)
			break
		}
	}
}

// globOf returns a file's name with * in place of each number, decimal or of at least eight hexadecimal digits:
// part-0001.csv becomes part-*.csv. It does not change a name that begins with a dot, or contains a wildcard.
func globOf(name string) string {
	if name[0] == '.' || strings.ContainsAny(name, "*?[") {
		return name
	}
	var b strings.Builder
	for rest := name; rest != ""; {
		hex := len(rest) - len(strings.TrimLeft(rest, "0123456789abcdef"))
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		switch {
		case hex >= 8:
			b.WriteByte('*')
			rest = rest[hex:]
		case digits > 0:
			b.WriteByte('*')
			rest = rest[digits:]
		default:
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	return b.String()
}

// trees is the third step. If many directories in one directory are granted, it grants that directory. It begins with
// the deepest directories. It does the same for writable directories, but not in the trees of the system.
func (f *files) trees() {
	f.joinTrees(false)
	f.joinTrees(true)
}

func (f *files) joinTrees(write bool) {
	gives := "read too"
	if write {
		gives = "read and written too"
	}
	children := map[string][]*grant{}
	byDepth := map[int][]string{}
	deepest := 0
	queue := func(g *grant) {
		parent := path.Dir(g.path)
		if len(children[parent]) == 0 {
			depth := strings.Count(parent, "/")
			byDepth[depth], deepest = append(byDepth[depth], parent), max(deepest, depth)
		}
		children[parent] = append(children[parent], g)
	}
	for _, p := range slices.Sorted(keysOf(f.grants)) {
		if g := f.grants[p]; g.kind == policy.MountBind && g.dir && g.write == write {
			queue(g)
		}
	}
	for depth := deepest; depth > 0; depth-- {
		for _, dir := range byDepth[depth] {
			list := children[dir]
			if len(list) < f.opts.Dirs || !f.mayOpen(dir) || write && ofSystem(dir) {
				continue
			}
			at := list[0].at
			old := f.grants[dir]
			fresh := old == nil || !old.dir || old.write != write
			f.widen(dir, "granted for "+strconv.Itoa(len(list))+" directories in it: everything else in it can be "+gives, at)
			f.add(grant{path: dir, kind: policy.MountBind, dir: true, write: write, at: at})
			if g := f.grants[dir]; fresh && g.kind == policy.MountBind && g.write == write {
				queue(g)
			}
		}
	}
}

// ofSystem reports whether a directory is in /etc or in one of the system's trees.
func ofSystem(dir string) bool {
	return within("/etc", dir) || slices.ContainsFunc(system, func(s string) bool { return within(s, dir) })
}

// prune removes grants that a grant of a directory above includes.
func (f *files) prune() {
	for p, g := range f.grants {
		above := f.nearest(p)
		switch {
		case above == nil || above.kind != policy.MountBind || !above.dir:
		case g.kind == policy.MountTmpfs:
		case above.write || !g.write:
			delete(f.grants, p)
		}
	}
	// cordon makes an empty directory that leads to another mount for that mount anyway.
	for p := range f.grants {
		for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
			if g := f.grants[dir]; g != nil && g.kind == policy.MountDir {
				delete(f.grants, dir)
			}
		}
	}
}

// nearest returns the nearest grant above a path, or nil.
func (f *files) nearest(p string) *grant {
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		if g := f.grants[dir]; g != nil && g.kind != policy.MountDir {
			return g
		}
		if dir == "/" {
			return nil
		}
	}
}

// write writes the mounts. Each mount comes after those above it.
func (f *files) write() {
	all := make([]*grant, 0, len(f.grants))
	for _, g := range f.grants {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *grant) int { return cmp.Compare(pathKey(a.path), pathKey(b.path)) })
	for _, g := range all {
		if n, ok := f.wider[g.path]; ok && g.kind != policy.MountTmpfs {
			f.note(n)
		} else if g.kind == policy.MountBind && !g.write && f.elsewhere(g.path) {
			f.note(Note{Kind: Granted, What: "reading " + f.w.shorten(g.path), Why: "it is the host's, and outside of the system's directories", At: g.at})
		}
		name := f.w.shorten(g.path)
		m := policy.Mount{Kind: g.kind, Pos: g.at}
		switch g.kind {
		case policy.MountBind:
			m.Source, m.Write, m.Optional = name, g.write, !g.write
			if name != "." {
				m.Optional = true
			}
		case policy.MountTmpfs:
			m.Target, m.Size, m.Perm = name, 64*mib, policy.Opt[uint32]{Set: true, V: 0o755}
			if f.volatile(g.path) {
				m.Size, m.Perm.V = 512*mib, 0o1777
			}
			if g.path == f.w.home {
				m.Perm.V = 0o700
			}
		case policy.MountSysfs:
			m.Target, m.Optional = name, true
		default:
			m.Target = name
		}
		if !plainPath(g.path) {
			f.note(Note{Kind: Left, What: phrase.Short(g.path), Why: "a profile cannot name such a path", At: g.at})
			continue
		}
		f.own.Mounts = append(f.own.Mounts, m)
	}
}

// pathKey returns a sort key. It puts a directory before everything in it, and the directory's content before paths
// that only begin with the same text.
func pathKey(p string) string { return strings.ReplaceAll(p, "/", "\x00") }

// plainPath reports whether a profile can contain the path.
func plainPath(p string) bool {
	for i := range len(p) {
		if p[i] < ' ' || p[i] == 0x7f {
			return false
		}
	}
	return strings.ToValidUTF8(p, "") == p
}
