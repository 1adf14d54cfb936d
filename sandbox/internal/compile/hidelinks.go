package compile

// This file decides which links a hide rule follows. Tools such as stow fill a directory with links. So if a rule hides
// such a directory, the targets of the links in it must be hidden too. But if a pattern matches a link, a task of an
// earlier run may have made that link.

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cache"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// maxNamesInside bounds how many names one rule examines for links, in all directories that it hides.
const maxNamesInside = 10_000

// linksIn hides the targets of the links in a hidden directory of the host. onHost calls linksIn again for each target
// that is a directory. root must contain no link. linksIn searches a directory only once for the same rule.
func (h *hider) linksIn(root string) {
	info, err := h.c.Tree.Lstat(root)
	if err != nil || !info.IsDir() || h.visited[root] {
		return
	}
	if h.visited == nil {
		h.visited = map[string]bool{}
	}
	// h.visited ends the loop if links form a circle.
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		if h.visited[queue[0]] {
			continue
		}
		h.visited[queue[0]] = true
		list, err := h.c.hostTree().List(queue[0], nil)
		if err != nil {
			continue // the task cannot read it either
		}
		// h.inspected counts the names in all directories that the rule hides. Only begin resets it.
		if h.inspected += len(list); h.inspected > maxNamesInside {
			h.notFollowed(root, "holds too many names: what links in it lead to")
			return
		}
		for i := range list {
			switch path := paths.Join(queue[0], list[i].Name); {
			case list[i].Link != "":
				h.linkIn(root, path)
			case list[i].Dir:
				queue = append(queue, path)
			}
		}
	}
}

// linkIn hides the target of one link. It skips a file of the system that everybody may read, because that is no
// secret.
func (h *hider) linkIn(root, link string) {
	end, err := h.c.hostTree().Resolve(link)
	// A target inside the hidden directory is already hidden.
	if err != nil || paths.Below(end, root) || h.c.isLifted(end) {
		return
	}
	if h.c.everybodys(end) {
		return
	}
	// A link can lead to a directory that contains the hidden directory, or that contains a bound one. Hiding such a
	// target would hide far more than the rule means.
	holds := func(b picture.Bound) bool { return paths.Below(b.Source, end) }
	if paths.Below(root, end) || slices.ContainsFunc(h.c.bound(), holds) {
		h.notFollowed(link, "leads to "+end+", which is too much to hide: that")
		return
	}
	// The launch does not fail because of an error here, because the rule itself is enforced. The report says what
	// stays visible. onHost also follows the links in what it hides, so all targets of a chain of links are hidden.
	if err := h.onHost(link, true); err != nil {
		h.notFollowed(link, "("+err.Error()+"): what it leads to")
	}
}

// everybodys reports whether a file of the host belongs to the system, and everybody may read it. The file's mode alone
// does not decide, because outside the directories of the system a file with mode 0644 may lie in a directory that only
// its owner can search.
func (c *Compilation) everybodys(host string) bool {
	info, err := c.Tree.Lstat(host)
	return err == nil && info.Mode()&0o004 != 0 &&
		slices.ContainsFunc(picture.QuietDirs[:], func(dir string) bool { return paths.Below(host, dir) })
}

// follows decides whether a match that was found through a link is hidden. A task can leave such a link, and must not
// decide by it what the next run cannot see. If follows rejects a match for that reason, it says so in the report.
func (h *hider) follows(m *match) bool {
	if !m.link {
		return true
	}
	end, err := h.c.Tree.Resolve(m.path)
	switch {
	case errors.Is(err, picture.ErrMagicLink):
		h.notFollowed(m.path, picture.ErrMagicLink.Error()+": that")
		return false
	case err != nil:
		return false // a loop of links leads to nothing
	}
	from, host := m.path, h.c.Tree.HostPath(end)
	if m.from != "" {
		from = m.from
	}
	for _, b := range h.c.bound() {
		if paths.Below(b.Target, end) {
			h.notFollowed(from, "matches, and leads to "+end+", which holds "+b.Target+": that")
			return false
		}
	}
	switch inside := h.c.boundAt(from); {
	case inside != "" && inside == h.c.boundAt(end):
		return true
	case host == "":
		return false // a file system that the launcher has made, on which nothing is secret
	case h.c.everybodys(host):
		h.notFollowed(from, "matches, and leads to "+end+", which everybody may read: that")
	// A task may have made the link through which the search found the match, or the match itself if that is a link.
	case h.leftByTask(h.c.Tree.HostPath(from), host), h.leftByTask(h.c.Tree.HostPath(m.path), host):
	default:
		return true
	}
	return false
}

// boundAt returns the mount point of the innermost bind that contains a path, or "" if no bind contains it.
func (c *Compilation) boundAt(path string) (target string) {
	for _, b := range c.bound() {
		if paths.Below(path, b.Target) && len(b.Target) > len(target) {
			target = b.Target
		}
	}
	return target
}

// linksOfSystem are directories that contain links on every system. For those links, leftByTask need not read its
// records.
var linksOfSystem = [...]string{"/var/run", "/var/spool", "/var/mail", "/etc", "/usr"}

// leftByTask reports whether a task may have left one of the links on the way from a path of the host to its target. If
// so, it lists the target in the report as a file that is not hidden.
func (h *hider) leftByTask(path, end string) bool {
	if path == "" || path == end || slices.ContainsFunc(linksOfSystem[:], func(dir string) bool { return paths.Below(path, dir) }) {
		return false
	}
	// The records of what tasks could write are read only once, and only if a link needs them.
	if h.left == nil {
		h.left = func(string) bool { return false }
		if files, ok := h.c.Host.Files.(interface {
			Left(records []ledger.Place) func(path string) bool
		}); ok {
			h.left = files.Left(h.c.Host.Records)
		}
	}
	if !h.left(path) {
		return false
	}
	h.notFollowed(path, "leads to "+end+" by a link that an earlier run may have left: that")
	return true
}

// maxNotFollowed bounds how many links the report lists as not followed; a task can leave any number of them.
const maxNotFollowed = 20

// notFollowed reports a file that is not hidden although a link with a hidden name leads to it. It reports each link
// once.
func (h *hider) notFollowed(link, why string) {
	if h.c.spared[link] {
		return
	}
	if h.c.spared == nil {
		h.c.spared = map[string]bool{}
	}
	h.c.spared[link] = true
	// All further links are only counted, for listUnfollowed.
	if len(h.c.spared) <= maxNotFollowed {
		h.c.Missing = append(h.c.Missing,
			report.Missing{Layer: policy.LayerHide, Why: link + " " + why + " can be read where it is shown"})
	}
}

// listUnfollowed reports how many more links were not followed.
func (c *Compilation) listUnfollowed() {
	if more := len(c.spared) - maxNotFollowed; more > 0 {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerHide, Why: strconv.Itoa(more) + " more links were not followed"})
	}
}

// isLifted reports whether the profile shows a file of the host, or something below it, although a rule hides the file.
func (c *Compilation) isLifted(host string) bool {
	return slices.ContainsFunc(c.lifted, func(l lifted) bool { return paths.Below(l.host, host) })
}

// hideState hides the state directories at every path at which the sandbox would show them. It does so for every
// profile, because a state directory decides which processes other commands signal, and contains the launchers'
// sockets. Hiding is not enough: a task that runs as the user could make a state directory if none exists, or rename
// the directory above and put a state directory of its own in that place.
func (c *Compilation) hideState() error {
	if c.AsItIs() {
		return nil // nothing is hidden from a program that is not confined
	}
	for _, dir := range c.Host.StateDirs() {
		if err := c.hideStateDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// hideStateDir hides one state directory. It refuses to start if the task could replace the directory.
func (c *Compilation) hideStateDir(dir string) error {
	fail := func(err error, hint string) error {
		return &fail.Error{Op: "hide the state directory " + dir, Err: err, Hint: hint}
	}
	h := c.hider()
	// Only launchers make files in the directory, so no link in it leads to a secret.
	h.from, h.alone = own("state directory"), true
	if err := h.path(dir); err != nil {
		return fail(err, "")
	}
	// It is safe if the task may write to the parent of the state directory, because a directory with a mount on it can
	// be neither moved nor removed (EBUSY). But the task must not be able to write to the directories above the parent.
	for parent, _ := paths.Split(dir); parent != "/"; parent, _ = paths.Split(parent) {
		above, _ := paths.Split(parent)
		if c.writable(above) && !c.mountPoint(parent, above) {
			return fail(errors.New("the sandbox may write "+above+", and could put another directory in the place of "+parent),
				"let it write less than "+above+", or keep the state elsewhere: "+host.RuntimeDirRemedy)
		}
	}
	return nil
}

// writable reports whether the task can create and rename files in a directory of the host. It does not consider
// changes that go to an overlay, because they do not reach the host. writable asks what the launcher may write. If root
// starts a task with another id, the task may write less than the launcher, so the answer errs on the safe side.
func (c *Compilation) writable(host string) bool {
	for _, view := range c.views(host) {
		if p := c.Tree.At(view); p.Write && !p.Layer && c.Host.Files.Access(host, unix.W_OK) == nil {
			return true
		}
	}
	return false
}

// mountPoint reports whether something is mounted on a directory, so that the directory cannot be moved. It compares
// file systems, so it misses a mount of the same file system. If it cannot tell, it reports false. In both cases
// hideStateDir refuses more than it must, never less.
func (c *Compilation) mountPoint(dir, above string) bool {
	its, err := c.Host.Files.Lstat(dir)
	if err != nil {
		return false
	}
	other, err := c.Host.Files.Lstat(above)
	if err != nil {
		return false
	}
	a, ok := host.StatOf(its)
	b, okAbove := host.StatOf(other)
	return ok && okAbove && a.Dev != b.Dev
}

// views lists the paths at which the sandbox shows a directory of the host: one for each mount that shows the directory
// or one above it.
func (c *Compilation) views(host string) (list []string) {
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if p.Source == "" || p.Opaque || p.File || !paths.Below(host, p.Source) {
			continue
		}
		view := paths.Moved(host, p.Source, p.Target)
		// A later mount may cover this path. Then the path shows something else, and is no view of the directory.
		if c.Tree.HostPath(view) == host {
			list = append(list, view)
		}
	}
	return list
}

// The rest of this file is about caches of compilers and package managers; package cache says what a cache needs.

// taken holds the mounts and variables that the caches add to a run.
type taken struct {
	*cache.Set        // nil if the task has no caches
	Shielded   string // the directory of all caches, if the task can write above it and yet cannot reach it; otherwise ""
}

// AddCaches adds the mounts and the variables of the caches that the profile asks for.
func (c *Compilation) AddCaches() error {
	if _, on := c.Profile.CacheMode(); !on || c.AsItIs() {
		return nil
	}
	root, err := c.cacheRoot()
	if err != nil {
		return err
	}
	none := "there is no home directory of yours"
	switch {
	case c.InPlace():
		none = "a program in place has no mounts of its own, so it would see the caches of other projects"
	case root != "":
		s := cache.For(c.cacheQuestion(root))
		if none, err = c.makeCaches(s); err != nil {
			return err
		}
		if none == "" {
			c.takeCaches(s)
			return nil
		}
	}
	from := c.Profile.Source("cache.mode")
	if from.Flag != "" {
		return &fail.Error{Op: "cache", Err: errors.New(none), From: from.Short(), Hint: "--cache off runs without caches"}
	}
	c.Left = append(c.Left, report.Added{Path: "cache", Why: none})
	return nil
}

// cacheRoot returns the directory that contains all caches, or "" if there is none. It follows links on the way to the
// caller's directory of caches, but not a link that a task may have made.
func (c *Compilation) cacheRoot() (string, error) {
	base := paths.Home(c.variable("XDG_CACHE_HOME"))
	if base == "" {
		home := c.Host.Home
		info, err := c.Host.Files.Stat(home)
		if err == nil && home != c.Host.PasswdHome { // sudo may leave HOME as it is
			if st, ok := host.StatOf(info); ok && int(st.Uid) != c.Host.UID {
				home = c.Host.PasswdHome
				_, err = c.Host.Files.Stat(home)
			}
		}
		if home == "" || err != nil {
			return "", nil //nolint:nilerr // the caller has no home
		}
		base = paths.Join(home, ".cache")
	}
	end, err := c.hostTree().Resolve(base)
	if err != nil || end == base {
		return paths.Join(base, "cordon"), nil //nolint:nilerr // makeCaches will fail, and report why
	}
	if follower, ok := c.Host.Files.(follower); ok {
		if end, err = follower.Follow(base, c.Host.Records, c.Host.UID == 0); err != nil && !fail.NotThere(err) {
			return "", &fail.Error{Op: "cache " + base, Err: fail.Bare(err), Hint: "--cache off runs without caches"}
		}
	}
	return paths.Join(end, "cordon"), nil
}

func (c *Compilation) cacheQuestion(root string) *cache.Question {
	_, program := paths.Split("/" + c.Req.program())
	kept := c.Environment()
	return &cache.Question{Profile: c.Profile, Root: root, Home: c.Host.Home, Cwd: c.Host.Cwd, Program: program, Caller: c.variable,
		Kept: func(name string) (value string, ok bool) {
			for _, v := range kept {
				if rest, found := strings.CutPrefix(v, name+"="); found {
					value, ok = rest, true
				}
			}
			return value, ok
		},
		Read: func(path string) string { text, _ := c.Host.Files.Read(path, 1<<14); return string(text) },
		Exists: func(path string) (there, isDir bool) {
			info, err := c.Host.Files.Stat(path)
			return err == nil, err == nil && info.IsDir()
		}}
}

// program returns the name of the program, or "" if there is none.
func (r *Request) program() string {
	if len(r.Args) == 0 {
		return ""
	}
	return r.Args[0]
}

// makeCaches makes the directories of the caches. If the caller can have no caches here, makeCaches returns the reason.
func (c *Compilation) makeCaches(s *cache.Set) (none string, err error) {
	if c.Req.MakeCaches == nil {
		for i := range s.Mounts { // nothing will be run, and the run will make what is missing
			m := &s.Mounts[i]
			_, err := c.Host.Files.Stat(m.Source)
			m.Optional = m.Optional || m.Kind == policy.MountBind && err != nil
		}
		return "", nil
	}
	notes, err := c.Req.MakeCaches(s)
	if unable := (interface{ Unavailable() string })(nil); errors.As(err, &unable) {
		return unable.Unavailable(), nil
	}
	c.Notes = append(c.Notes, notes...)
	clear(c.Tree.Known) // the picture has remembered that these directories do not exist
	return "", err
}

// takeCaches adds the mounts and variables of the caches to a copy of the profile. The caller's profile stays as it is.
func (c *Compilation) takeCaches(s *cache.Set) {
	p := *c.Profile
	p.Mounts = append(slices.Clip(p.Mounts), s.Mounts...)
	ours := func(v policy.EnvVar) bool {
		return slices.ContainsFunc(s.Env, func(x policy.EnvVar) bool { return x.Name == v.Name })
	}
	p.Env.Set = append(slices.DeleteFunc(slices.Clone(p.Env.Set), ours), s.Env...)
	c.Profile, c.Caches.Set = &p, s
}

// guardCaches keeps the task from the caches of other projects, and from moving the directories above its own caches.
func (c *Compilation) guardCaches(h *hider) error {
	root := paths.Home(c.variable("XDG_CACHE_HOME"))
	if root == "" {
		root = paths.Join(c.Host.Home, ".cache")
	}
	if root = paths.Join(root, "cordon"); c.Caches.Set != nil {
		root = c.Caches.Root
	}
	if above := func(w window) bool { return w.write && paths.Below(root, w.source) }; !slices.ContainsFunc(h.windows, above) {
		return nil
	}
	h.from = own("caches")
	if c.Caches.Set == nil || c.Caches.Mode == policy.CacheOverlay {
		if err := h.makeMissing(root, "directory of caches"); err != nil {
			return err
		}
		if err := h.path(root); err != nil {
			return &fail.Error{Op: "hide " + root, Err: err}
		}
		c.Caches.Shielded = root
		return nil
	}
	for _, w := range h.windows {
		if view := paths.Moved(root, w.source, w.target); w.write && paths.Below(root, w.source) && view != root && c.Tree.HostPath(view) == root {
			return &fail.Error{Op: "cache", Err: errors.New("the sandbox shows the caches of all projects at " + view), From: c.Profile.Source("cache.mode").Short(),
				Hint: "show less than " + w.source + ", or run with --cache off"}
		}
	}
	for dir := root; dir != "/"; dir, _ = paths.Split(dir) {
		h.holdOnHost(dir)
	}
	c.Caches.Shielded = root
	return nil
}
