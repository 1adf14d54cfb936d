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
	"cordon/sandbox/internal/search"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// namesOf lists the paths of a bound directory: its path in the sandbox, its path on the host through each mount that
// shows it, and the working directory's path as the caller typed it. If the mount table cannot be read, only the path
// in the sandbox counts; the rules then report the error.
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

// bind searches what is bound. names are the paths by which the bind is known. If git is set, it looks for repositories
// as well.
func (s *searched) bind(b picture.Bound, names []string, git bool) {
	var carried []search.Begun
	for i, rule := range s.Rules {
		for _, name := range names {
			// A bind in the middle of a rule's names, such as ~/.aws for .aws/credentials, has the rest of the names to
			// be found at its top.
			whole, begun := begins(name, rule)
			if whole {
				// The whole bind is hidden, so nothing in it need be found.
				s.Whole(i, b.Target)
				return
			}
			for _, n := range begun {
				carried = append(carried, search.Begun{Rule: i, Names: rule[n:]})
			}
		}
	}
	if !b.Nested {
		s.whole[b.Target] = true
		s.Below(b.Target, carried, git)
	} else if carried != nil { // the search of the outer bind has found the repositories, but knows other names
		s.Below(b.Target, carried, false)
	}
}

// begins compares a path with the names of a rule. whole is true if the rule matches the path, or a directory above
// it. Otherwise each number n in begun means that the path ends with the first n names of the rule. For example,
// /home/ann/.aws and the names of .aws/credentials give no whole match, and the number 1.
func begins(path string, names []string) (whole bool, begun []int) {
	// The root has no name that a rule could begin with.
	if path == "/" {
		return false, nil
	}
	have := strings.Split(path[1:], "/")
	for at := range have {
		// The names of the rule are laid over the path from each of its names on, as far as the path reaches.
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

// mounts walks what the host has mounted below a bind, if the host also shows it by another name. A rule may mean a
// thing by that other name, which the walk of the bind does not know.
func (s *searched) mounts(c *Compilation) {
	t, err := c.mountsOfHost()
	if err != nil || len(s.Rules) == 0 {
		return // the rules report the error
	}
	for i := range t.List {
		m := &t.List[i]
		// A file system that is mounted once has one name only. A mount that another one covers is out of reach.
		if t.devices[m.Device] < 2 || t.find(m.Point) != m {
			continue
		}
		for _, b := range c.bound() {
			if m.Point == b.Source || !paths.Below(m.Point, b.Source) {
				continue
			}
			at := picture.Bound{Target: paths.Moved(m.Point, b.Source, b.Target), Source: m.Point, Nested: true}
			if !b.Cache && c.Tree.HostPath(at.Target) == m.Point {
				s.bind(at, c.namesOf(at), false)
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
	// A root file system counts as one bind of everything.
	if c.Profile.Root.Kind == policy.RootDir {
		list = append(list, picture.Bound{Target: "/", Source: "/"})
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
		list = append(list, picture.Bound{Target: target, Source: source, Cache: c.cacheOfTool(m, target, source)})
	}
	for i := range c.Tree.Parts {
		// A tool's own directory may hold a secret as well, such as a token in an .npmrc.
		if p := &c.Tree.Parts[i]; p.What == toolTree {
			list = append(list, picture.Bound{Target: p.Target, Source: p.Source})
		}
	}
	markNested(list)
	c.bounds = list
	return list
}

// markNested marks each bind whose target lies in another bind. If two binds have the same target, the later bind
// counts as nested. A cache contains nothing in this sense, because it is not searched. The search of the outer bind
// also goes through the inner one, so a nested bind is searched again only for its other names.
func markNested(list []picture.Bound) {
	for i := range list {
		for j := range list {
			if i != j && !list[j].Cache && paths.Below(list[i].Target, list[j].Target) && (list[i].Target != list[j].Target || i > j) {
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

// liftedBelow lists the paths that the profile shows below a directory that is about to be hidden. p is the part that
// hides the directory, and need not be in the tree yet. A path that the sandbox would not show without the rule stays
// away.
func (c *Compilation) liftedBelow(p *picture.Part) (list []lifted) {
	// A hidden file has nothing below it, and the directory itself cannot be an exception to its own rule.
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
// same path inside as on the host. Behind is set if the mount hides a file or directory of the host.
func hostName(p *picture.Part) string { return cmp.Or(p.Behind, p.Target) }

// coverAround mounts over a hidden directory one that contains only the ways to the shown paths. Its directories can be
// listed, so the names of the shown paths become known, and nothing else.
func (c *Compilation) coverAround(from plan.From, p *picture.Part, shown []lifted) {
	name := "shown" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratch := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratch, name, 0o755))
	// An empty file or directory becomes the target on which showLifted mounts the real one.
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

// showLifted binds a file or directory read-only at its path inside the directory that coverAround has made. Nothing in
// it can be written or executed, whatever the mount around it allows.
func (c *Compilation) showLifted(l lifted, target string) {
	from := at("hide", -1, l.rule)
	mnt := c.openSource(from, plan.Tree, l.host, picture.AttrRO|picture.AttrBase|uint64(unix.MOUNT_ATTR_NOEXEC), l.rule.Short())
	c.attach(from, mnt, target, false)
	c.Tree.Add(picture.Part{Target: target, Source: l.host, File: l.file, Noexec: true, What: "a bind of the host's " + l.host,
		Rule: l.rule})
}

// Other names of hidden files: link(2). A mount covers one name, so the inode stays readable under its other names.

// fileID identifies an inode of the host, whatever its name.
type fileID struct{ dev, ino uint64 }

// several is a hidden file with more than one hard link. from and rule are those of the rule that hides it, so that the
// further names are reported with the same line.
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

// countNames remembers a hidden file of the host that has more than one hard link. A directory never has such names.
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
	links, err := h.otherNames()
	if err != nil {
		return err
	}
	for _, found := range links {
		h.from, h.rule = found.of.from, found.of.rule
		if err := h.c.coverThing(h.from, found.path, h.rule, false); err != nil {
			return &fail.Error{Op: "hide " + found.path, Err: err, From: h.rule.Short()}
		}
	}
	// A link count is not proof that another name is in reach: the link may lie in a directory that nobody bound.
	for _, s := range h.several {
		if more := s.names - min(s.names, uint64(len(s.found))); more > 0 && h.c.Tree.ShowsHost() {
			h.c.Missing = append(h.c.Missing, report.Missing{Layer: policy.LayerHide,
				Why: s.path + " has hard links that were not found in what is bound (" + strconv.FormatUint(more, 10) +
					"): under such a name it can be read"})
		}
	}
	return nil
}

// foundLink is another name of a hidden file, as a path inside.
type foundLink struct {
	of   *several
	path string
}

// otherNames searches what is bound for further names of the files in h.several. It compares the numbers that
// directories hold, and looks only at files that have one of these. Reading a directory gives the inode numbers of its
// entries for free: getdents(2). A stat(2) of each file would take many times as long.
func (h *hider) otherNames() (found []foundLink, err error) {
	if h.several == nil {
		return nil, nil
	}
	s := &search.Search{Tree: &h.c.Tree, Inodes: map[uint64]bool{}, Step: h.c.Req.Searching, Two: h.c.Req.Two}
	for id := range h.several {
		s.Inodes[id.ino] = true
	}
	for _, b := range h.c.bound() {
		if !b.Nested {
			s.Below(b.Target, nil, false)
		}
	}
	if err := s.Run(); err != nil {
		return nil, err
	}
	for _, path := range append(s.Files, h.mountedFiles()...) {
		host := h.c.Tree.HostPath(path)
		if host == "" {
			continue
		}
		id, _ := h.c.identify(host)
		if other := h.several[id]; other != nil {
			other.found[host] = true
			found = append(found, foundLink{other, path})
		}
	}
	return found, nil
}

// mountedFiles lists the places in what is bound where the host has mounted a file: the directory there has the number
// of the file below. So the search by numbers does not find it.
func (h *hider) mountedFiles() (list []string) {
	t, err := h.c.mountsOfHost()
	if err != nil {
		return nil
	}
	for i := range t.List {
		for _, b := range h.c.bound() {
			if m := &t.List[i]; m.Point != b.Source && paths.Below(m.Point, b.Source) {
				list = append(list, paths.Moved(m.Point, b.Source, b.Target))
			}
		}
	}
	return list
}
