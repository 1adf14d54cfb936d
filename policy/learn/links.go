package learn

import (
	"cmp"
	"path"
	"slices"

	"cordon/policy"
)

// symlinks adds the links by which the program reached files, unless a mount already shows them.
func (f *files) symlinks() {
	if f.parent.Root.Kind != policy.RootEmpty {
		return
	}
	shown := newView(f.effective(), f.w)
	links := f.aliases(shown)
	made := map[string]string{}
	for _, l := range links {
		via := l.Via
		for at := path.Dir(via); at != "/"; at = path.Dir(at) {
			if to, ok := made[at]; ok {
				via = to + via[len(at):]
				break
			}
		}
		if via == l.Path || made[via] != "" || shown.spine[via] || shown.targets[via] > 0 || !plainPath(via) || !plainPath(l.Path) {
			continue
		}
		if i := shown.mount(via); i >= 0 && !slices.Contains(emptyKinds, shown.p.Mounts[i].Kind) {
			continue // the mount already shows the link
		}
		made[via] = l.Path
		f.own.Mounts = append(f.own.Mounts, policy.Mount{Kind: policy.MountSymlink, Target: f.w.shorten(via), Source: l.Path, Pos: l.At})
	}
}

// emptyKinds lists the kinds of mounts that show nothing of the host.
var emptyKinds = []policy.MountKind{policy.MountTmpfs, policy.MountEmpty, policy.MountDir}

// aliases returns the links by which the program reached files, sorted by the length of their own paths, shortest
// first. If many links lead from one directory to another, it returns a single link between the directories, such as
// /lib to /usr/lib.
func (f *files) aliases(shown *view) []Link {
	count := map[Link]int{}
	to := map[string]string{}
	clash := map[string]bool{}
	for i := range f.f.Links {
		s := shortest(&f.f.Links[i])
		if old, ok := to[s.Via]; ok && old != s.Path {
			clash[s.Via] = true
		}
		to[s.Via] = s.Path
		count[Link{Via: s.Via, Path: s.Path}]++
	}
	var out []Link
	for _, l := range f.f.Links {
		s := shortest(&l)
		many := count[Link{Via: s.Via, Path: s.Path}] >= f.opts.Dirs && f.secrets.self(s.Via) == f.secrets.self(s.Path)
		if !clash[s.Via] && !shown.spine[s.Via] && (many || s.Path == "/usr"+s.Via) {
			l = s
		}
		if !within("/proc", l.Via) && !within("/dev", l.Via) && !within("/sys", l.Via) && !f.secrets.has(l.Via) && !f.secrets.has(l.Path) && !f.w.own(l.Via) {
			out = append(out, l)
		}
	}
	slices.SortStableFunc(out, func(a, b Link) int { return cmp.Or(cmp.Compare(len(a.Via), len(b.Via)), cmp.Compare(a.Via, b.Via)) })
	return slices.CompactFunc(out, func(a, b Link) bool { return a.Via == b.Via && a.Path == b.Path })
}

// shortest returns the link without the last components that both ends have in common.
func shortest(l *Link) Link {
	via, to := l.Via, l.Path
	for path.Base(via) == path.Base(to) && path.Dir(via) != "/" && path.Dir(to) != "/" {
		via, to = path.Dir(via), path.Dir(to)
	}
	return Link{via, to, l.At}
}

// hides adds hide rules for the secrets in . and ~, because in a later run these may be other directories: the working
// directory may be anywhere.
func (f *files) hides() {
	open := slices.ContainsFunc(f.own.Mounts, func(m policy.Mount) bool {
		return m.Kind == policy.MountBind && (m.Source[0] == '.' || m.Source[0] == '~')
	})
	if !open {
		return
	}
	for _, p := range f.opts.Secrets {
		inherited := slices.ContainsFunc(f.parent.Hide, func(h policy.Hide) bool { return h.Pattern == p })
		if !inherited && !f.secrets.isGranted(f.w.expand(p)) && !f.holdsGranted(p) {
			f.own.Hide = append(f.own.Hide, policy.Hide{Pattern: p})
		}
	}
	if len(f.own.Hide) > 0 {
		f.comment("hide", "", "Secrets that another working directory may have in it.")
	}
}

// holdsGranted reports whether the pattern would hide something that the user granted.
func (f *files) holdsGranted(pattern string) bool {
	return slices.ContainsFunc(f.secrets.granted, func(g string) bool { return within(f.w.expand(pattern), g) })
}
