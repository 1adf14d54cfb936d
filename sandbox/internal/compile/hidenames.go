package compile

// This file decides with which paths a rule for names at any depth ("**/") is compared. It compares the whole path of a
// file, under each name that the host has for the file, and not only the part below a bind. So a sandbox whose working
// directory is ~/.aws still hides **/.aws/credentials.

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

// namesOf lists the paths by which a bound directory is known: its path in the sandbox, its path on the host through
// each mount that shows it, and the working directory's path as the caller typed it. If the mount table cannot be read,
// the list has only the path in the sandbox. In that case the rules report the error.
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

// bind searches a bound directory. names are the paths by which the bind is known. If git is set, bind looks for
// repositories as well.
func (s *searched) bind(b picture.Bound, names []string, git bool) {
	var carried []search.Begun
	for i, rule := range s.Rules {
		for _, name := range names {
			// A bind can be the middle of a rule's names, as ~/.aws is for .aws/credentials. Then the search looks for
			// the rest of the names at the top of the bind.
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

// begins compares a path with the names of a rule. whole is true if the rule matches the path, or a directory above the
// path. Otherwise each number n in begun means that the path ends with the first n names of the rule. For example,
// /home/ann/.aws ends with the first name of .aws/credentials. So whole is false, and begun contains the number 1.
func begins(path string, names []string) (whole bool, begun []int) {
	// The root has no name that a rule could begin with.
	if path == "/" {
		return false, nil
	}
	have := strings.Split(path[1:], "/")
	for at := range have {
		// The names of the rule are compared with those of the path, beginning at each name of the path, as far as the
		// path goes on.
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

// mounts walks what the host has mounted below a bind, if the host also shows the same file system by another name. A
// rule may name a file by that other name, which the walk of the bind does not know.
func (s *searched) mounts(c *Compilation) {
	t, err := c.mountsOfHost()
	if err != nil || len(s.Rules) == 0 {
		return // the rules report the error
	}
	for i := range t.List {
		m := &t.List[i]
		// A file system that is mounted once has only one name. A mount that another mount covers cannot be reached.
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

// bound lists the mounts that the profile names: binds, overlays and a root directory. The list marks each bind that
// lies inside another one. bound computes the list only once, so the first call must come after c.Tree has the mounts
// and tools of the profile.
func (c *Compilation) bound() []picture.Bound {
	if c.bounds != nil {
		return c.bounds
	}
	list := []picture.Bound{}
	// A root file system is a single bind of everything.
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
		// The directory of a tool may hold a secret as well, such as a token in an .npmrc.
		if p := &c.Tree.Parts[i]; p.What == toolTree {
			list = append(list, picture.Bound{Target: p.Target, Source: p.Source})
		}
	}
	markNested(list)
	c.bounds = list
	return list
}

// markNested marks each bind whose target lies in another bind. If two binds have the same target, the later bind is
// the nested one. A bind inside a cache is not nested, because caches are not searched. The search of the outer bind
// also goes through the inner bind, so the inner bind is searched again only for its other names.
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
// hides the directory, and need not be in the tree yet. The list leaves out a path that the sandbox would not show even
// without the rule.
func (c *Compilation) liftedBelow(p *picture.Part) (list []lifted) {
	// A hidden file has nothing below it, and the directory itself cannot be an exception to its own rule.
	above := hostName(p)
	for _, l := range c.lifted {
		if p.File || !paths.Below(l.host, above) || l.host == above {
			continue
		}
		if p.Behind != "" || c.Tree.HostPath(l.host) == l.host { // a bind shows this path itself
			list = append(list, l)
		}
	}
	return list
}

// showsPart reports whether a mount with the given source shows only a path that the profile has excepted from the
// hidden directory host. A rule about something below the excepted path still hides it there.
func (c *Compilation) showsPart(source, host string) bool {
	return source != "" && slices.ContainsFunc(c.lifted, func(l lifted) bool {
		return l.host != host && paths.Below(l.host, host) && paths.Below(source, l.host)
	})
}

// hostName returns the path on the host of the file or directory that a mount hides. Behind is that path, if the mount
// hides something of the host. Otherwise the sandbox has made the directory above a bind, and the directory has the
// same path on the host as inside.
func hostName(p *picture.Part) string { return cmp.Or(p.Behind, p.Target) }

// coverAround mounts, over a hidden directory, a directory that contains only the ways to the shown paths. These
// directories can be listed, so the task learns the names of the shown paths, and nothing else.
func (c *Compilation) coverAround(from plan.From, p *picture.Part, shown []lifted) {
	name := "shown" + strconv.Itoa(c.scratch.files)
	c.scratch.files++
	scratch := plan.R(plan.Scratch)
	c.do(from, plan.MkdirStep(scratch, name, 0o755))
	// An empty file or directory becomes the target on which showLifted mounts the real one.
	for _, l := range shown {
		dir, rest := name, l.host[len(hostName(p))+1:]
		// The last name becomes a file or a directory, as it is on the host. All names before it become directories.
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

// The rest of this file finds other names of hidden files: link(2). A mount covers one name, so the inode stays
// readable under its other names.

// fileID identifies an inode of the host, whatever its name.
type fileID struct{ dev, ino uint64 }

// several is a hidden file with more than one hard link. from and rule belong to the rule that hides the file, so that
// the same line of the profile is reported for its further names.
type several struct {
	path  string // one of its paths
	names uint64
	found map[string]bool // the hard links that have been found, as paths of the host
	from  plan.From
	rule  policy.Pos
}

// identify returns a file's identity and its number of hard links. The number is 0 if it is not known. It is also 0 for
// a directory, because the link count of a directory counts something else (link(2)).
func (c *Compilation) identify(hostPath string) (id fileID, names uint64) {
	info, err := c.Tree.Lstat(hostPath)
	if err != nil || info.IsDir() {
		return id, 0
	}
	st, ok := host.StatOf(info)
	if !ok {
		return id, 0
	}
	return fileID{uint64(st.Dev), st.Ino}, uint64(st.Nlink) //nolint:unconvert // the widths of the fields differ by architecture
}

// countNames remembers a hidden file of the host that has more than one hard link. A directory never has several hard
// links.
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

// hardLinks hides the other hard links of hidden files if they lie within the binds, for example a secret of the home
// that somebody has hard-linked into the working directory. The report says how many links it did not find.
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
	// A higher link count does not prove that the task can reach another name, because that name may lie in a directory
	// that is not bound.
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

// otherNames searches what is bound for further names of the files in h.several. Reading a directory gives the inode
// numbers of its entries for free (getdents(2)), and a stat(2) of each file would take many times as long. So
// otherNames compares these numbers, and looks only at files whose number is that of a file in h.several.
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

// mountedFiles lists the places in what is bound at which the host has mounted a file. At such a place the directory
// has the inode number of the file below the mount. So the search by numbers does not find the mounted file.
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
