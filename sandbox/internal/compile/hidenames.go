package compile

// This file decides which paths a rule for names at any depth is compared with. It compares the whole path of a file,
// under each name that the host has for it, and not only the part below a bind. So a sandbox whose working directory is
// ~/.aws still hides **/.aws/credentials.

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// namesOf lists the paths of a bound directory: its path in the sandbox, its path on the host through each mount that
// shows it, and the working directory's path as the caller typed it.
func (c *Compilation) namesOf(b picture.Bound) []string {
	names := []string{b.Target}
	if more, err := c.hostNames(b.Source); err == nil {
		for _, name := range more {
			// Another mount of a directory inside the bind is not a name of the bind itself.
			if name == b.Source || c.sameThing(name, b.Source) {
				names = append(names, name)
			}
		}
	}
	// The caller may have come to the working directory by a link, and a rule may name that path.
	if b.Source == c.Host.Cwd && c.Host.Typed != "" {
		if end, err := c.hostTree().Resolve(c.Host.Typed); err == nil && end == b.Source {
			names = append(names, c.Host.Typed)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// bind searches a bound directory. names are the paths by which it is known.
func (f *finder) bind(b picture.Bound, names []string) {
	var carried []matching
	for i := range f.rules {
		r := &f.rules[i]
		for _, name := range names {
			whole, begun := begins(name, r.names)
			if whole {
				// The whole bind is hidden, so nothing in it need be found.
				f.found = append(f.found, match{rule: r, path: b.Target})
				return
			}
			for _, n := range begun {
				carried = append(carried, matching{rule: r, names: r.names[n:]})
			}
		}
	}
	if !b.Nested {
		f.dir(b.Target, carried)
	} else if carried != nil { // the search of the outer bind has found the repositories, but does not know these names
		git := f.git
		f.git = false
		f.dir(b.Target, carried)
		f.git = git
	}
}

// begins compares a path with the names of a rule. whole is true if the rule matches the path, or a directory above
// it. Otherwise each number n in begun means that the path ends with the first n names of the rule. For example,
// /home/ann/.aws and the names of .aws/credentials give no whole match, and the number 1.
func begins(path string, names []string) (whole bool, begun []int) {
	if path == "/" {
		return false, nil
	}
	have := strings.Split(path[1:], "/")
	for at := range have {
		n := min(len(names), len(have)-at)
		switch {
		case !eachMatches(names[:n], have[at:at+n]):
		case n == len(names):
			return true, nil
		default:
			begun = append(begun, n)
		}
	}
	return false, begun
}

// mounts searches what the host has mounted below a bind, if the host also shows it under another path. A rule may name
// that other path, which the search of the bind does not know.
func (f *finder) mounts(c *Compilation) {
	t, err := c.mountsOfHost()
	if err != nil || len(f.rules) == 0 {
		return // the rules report this error
	}
	for i := range t.List {
		m := &t.List[i]
		if t.devices[m.Device] < 2 || t.find(m.Point) != m {
			continue
		}
		for _, b := range c.bound() {
			if m.Point == b.Source || !paths.Below(m.Point, b.Source) {
				continue
			}
			at := picture.Bound{Target: paths.Moved(m.Point, b.Source, b.Target), Source: m.Point, Nested: true}
			if c.Tree.HostPath(at.Target) == m.Point {
				f.bind(at, c.namesOf(at))
			}
		}
	}
}

// bound lists the mounts that the profile names: binds, overlays and a root directory. A bind inside another one is
// marked. The list is computed once, so the first call must come after c.Tree has the mounts and tools of the profile.
func (c *Compilation) bound() []picture.Bound {
	if c.bounds != nil {
		return c.bounds
	}
	list := []picture.Bound{}
	if c.Profile.Root.Kind == policy.RootDir {
		list = append(list, picture.Bound{Target: "/", Source: "/", Here: true})
	}
	for i := range c.Profile.Mounts {
		m := &c.Profile.Mounts[i]
		if m.Kind != policy.MountBind && m.Kind != policy.MountOverlay {
			continue
		}
		// Errors do not matter here: the mount phase has reported them, or has left out the bind.
		target, err := c.bindTarget(m)
		if err == nil {
			target, err = c.Tree.Resolve(target)
		}
		if err != nil {
			continue // an optional bind that does not exist
		}
		if _, exists := c.Tree.Stat(target); !exists {
			continue
		}
		source, err := c.hostSource(m.Source)
		if err != nil {
			source = target
		}
		// A bind may have followed a link in the home (bindSource). Then it shows the link's target.
		if end, ok := c.followed[source]; ok {
			source = end
		}
		list = append(list, picture.Bound{Target: target, Source: source, Here: source == c.Host.Cwd || source == "/"})
	}
	for i := range c.Tree.Parts {
		if p := &c.Tree.Parts[i]; p.What == toolTree {
			list = append(list, picture.Bound{Target: p.Target, Source: p.Source})
		}
	}
	markNested(list)
	c.bounds = list
	return list
}

// markNested marks each bind whose target lies in another bind. If two binds have the same target, the later bind
// counts as nested.
func markNested(list []picture.Bound) {
	for i := range list {
		for j := range list {
			if i != j && paths.Below(list[i].Target, list[j].Target) && (list[i].Target != list[j].Target || i > j) {
				list[i].Nested = true
			}
		}
	}
}

// lifted is a file or directory of the host that the profile shows although a rule hides a directory above it, as in
// hide: [{remove: ~/.ssh/known_hosts}]. The launcher mounts a directory of its own over the hidden one. That directory
// contains only the way to the shown path, and the shown path is bound there, read-only.
type lifted struct {
	host string
	file bool
	rule policy.Pos
}

// findLifted lists the paths that the profile shows although a rule hides a directory above them.
func (c *Compilation) findLifted() {
	for i := range c.Profile.Lifted {
		l := &c.Profile.Lifted[i]
		c.note("hide: " + l.Pattern + " is shown, by " + l.Pos.Short())
		if isGlob(l.Pattern) {
			continue // the whole rule was removed
		}
		for _, path := range c.meanings(l.Pattern) {
			w := picture.Walker{Tree: c.hostTree()}
			if end, err := w.Walk(path); err == nil {
				c.lifted = append(c.lifted, lifted{host: end, file: !w.Last.Dir, rule: l.Pos})
			}
		}
	}
}

// liftedBelow lists the paths that the profile shows below a directory that is about to be hidden.
func (c *Compilation) liftedBelow(p *picture.Part) (list []lifted) {
	above := hostName(p)
	for _, l := range c.lifted {
		if p.File || !paths.Below(l.host, above) || l.host == above {
			continue
		}
		if p.Behind != "" || c.Tree.HostPath(l.host) == l.host { // a bind of its own shows it
			list = append(list, l)
		}
	}
	return list
}

// showsPart reports whether a mount with the given source shows only a path that the profile has excepted from the
// hidden directory host. Rules about something further below still hold there.
func (c *Compilation) showsPart(source, host string) bool {
	return source != "" && slices.ContainsFunc(c.lifted, func(l lifted) bool {
		return l.host != host && paths.Below(l.host, host) && paths.Below(source, l.host)
	})
}

// hostName returns the host's path for what a mount hides. A directory that the sandbox has made above a bind has the
// same path inside as on the host.
func hostName(p *picture.Part) string { return cmp.Or(p.Behind, p.Target) }

// coverAround mounts over a hidden directory one that contains only the ways to the shown paths.
func (c *Compilation) coverAround(from plan.From, p *picture.Part, shown []lifted) {
	name := "shown" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratch := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratch, name, 0o755))
	for _, l := range shown {
		dir, rest := name, l.host[len(hostName(p))+1:]
		// The last name is a file or directory as on the host. All names before it are directories.
		for more := true; more; {
			var next string
			next, rest, more = strings.Cut(rest, "/")
			dir += "/" + next
			if more || !l.file {
				// Two shown paths may have directories in common.
				c.do(from, plan.MkdirStep(scratch, dir, 0o755).OrElse(plan.EEXIST))
			} else {
				c.do(from, plan.MkfileStep(scratch, dir, 0o444).OrElse(plan.EEXIST))
			}
		}
	}
	c.mountFromScratch(from, name, p)
}

// showLifted binds a file or directory read-only at its path inside the directory that coverAround has made.
func (c *Compilation) showLifted(l lifted, target string) {
	from := at("hide", -1, l.rule)
	mnt := c.openSource(from, plan.Tree, l.host, picture.AttrRO|picture.AttrBase|uint64(unix.MOUNT_ATTR_NOEXEC), l.rule.Short())
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: l.host, File: l.file, Noexec: true, What: "a bind of the host's " + l.host,
		Rule: l.rule})
}

// MaxLookedAt bounds how many files are examined in the search for other hard links of hidden files. A mount hides one
// name, so the file stays readable under its other names: link(2).
const MaxLookedAt = 300_000

// fileID identifies an inode of the host, whatever its name.
type fileID struct{ dev, ino uint64 }

// several is a hidden file with more than one hard link.
type several struct {
	path  string // one of its paths
	names uint64
	found map[string]bool // the hard links that have been found, as paths of the host
	from  plan.From
	rule  policy.Pos
}

// identify returns a file's identity and its number of hard links. The number is 0 if it is not known, and for a
// directory, whose number of links counts something else (link(2)).
func (c *Compilation) identify(hostPath string) (id fileID, names uint64) {
	info, err := c.Tree.Lstat(hostPath)
	if err != nil || info.IsDir() {
		return id, 0
	}
	st, ok := host.StatOf(info)
	if !ok {
		return id, 0
	}
	return fileID{uint64(st.Dev), st.Ino}, uint64(st.Nlink) //nolint:unconvert // their widths differ by architecture
}

// countNames remembers a hidden file of the host that has more than one hard link.
func (h *hider) countNames(host string) {
	id, names := h.c.identify(host)
	if names < 2 {
		return
	}
	if h.several == nil {
		h.several = map[fileID]*several{}
	}
	if h.several[id] == nil {
		h.several[id] = &several{path: host, names: names, found: map[string]bool{}, from: h.from, rule: h.rule}
	}
	h.several[id].found[host] = true
}

// hardLinks hides the other hard links of hidden files that lie within the binds, for example a secret of the home that
// somebody has hard-linked into the working directory. The report counts those that it did not find.
func (h *hider) hardLinks() error {
	if h.several == nil {
		return nil
	}
	w := linkFinder{h: h, extra: h.c.Tree.Extras(), left: MaxLookedAt}
	for _, b := range h.c.bound() {
		if !b.Nested {
			w.dir(b.Target)
		}
	}
	for _, found := range w.found {
		h.from, h.rule = found.of.from, found.of.rule
		if err := h.c.coverThing(h.from, found.path, h.rule, false); err != nil {
			return &fail.Error{Op: "hide " + found.path, Err: err, From: h.rule.Short()}
		}
	}
	for _, s := range h.several {
		if more := s.names - min(s.names, uint64(len(s.found))); more > 0 && h.c.Tree.ShowsHost() {
			h.c.Missing = append(h.c.Missing, report.Missing{Layer: policy.LayerHide,
				Why: s.path + " has hard links that were not found in what is bound (" + strconv.FormatUint(more, 10) +
					"): under such a name it can be read"})
		}
	}
	return nil
}

// linkFinder searches the sandbox's tree for files by their inodes.
type linkFinder struct {
	h     *hider
	extra picture.Extras
	left  int
	found []foundLink
}

// foundLink is another hard link of a hidden file, as a path in the sandbox.
type foundLink struct {
	of   *several
	path string
}

// dir examines every file in a directory of the sandbox and below it, until MaxLookedAt files have been examined.
func (w *linkFinder) dir(dir string) {
	t := &w.h.c.Tree
	p := t.At(dir)
	if p == nil || p.Opaque || paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || len(dir) > maxPath {
		return
	}
	// A bind may show a single file, which cannot be listed.
	entries, err := t.List(dir, w.extra)
	if err != nil {
		w.file(dir)
		return
	}
	for i := range entries {
		next := paths.Join(dir, entries[i].Name)
		if entries[i].Dir {
			w.dir(next)
		} else if w.left > 0 {
			w.left--
			w.file(next)
		}
	}
}

// file records a path if it is another hard link of a hidden file.
func (w *linkFinder) file(path string) {
	host := w.h.c.Tree.HostPath(path)
	if host == "" {
		return
	}
	id, _ := w.h.c.identify(host)
	if s := w.h.several[id]; s != nil {
		s.found[host] = true
		w.found = append(w.found, foundLink{s, path})
	}
}
