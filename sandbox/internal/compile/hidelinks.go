package compile

// This file decides which links a hide rule follows. Tools such as stow fill a directory with links, so hiding the
// directory must also hide the targets of the links in it. But if a pattern finds a link, a task of an earlier run may
// have made that link.

import (
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// maxNamesInside bounds how many names one rule examines for links, in all directories that it hides.
const maxNamesInside = 10_000

// linksIn hides the targets of the links in a hidden directory of the host. onHost calls linksIn again for each target
// that is a directory. root must contain no link. A directory that one rule has searched is not searched again.
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
		// This counts the names of all directories that the rule hides. Only begin resets it.
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
	// A link can lead to a directory that contains the hidden one, or a bound one. Hiding that target would hide far
	// more than the rule means.
	holds := func(b picture.Bound) bool { return paths.Below(b.Source, end) }
	if paths.Below(root, end) || slices.ContainsFunc(h.c.bound(), holds) {
		h.notFollowed(link, "leads to "+end+", which is too much to hide: that")
		return
	}
	// An error here does not fail the launch, because the rule itself is enforced; the report says what stays visible.
	// onHost also follows the links in what it hides, so a chain of links is hidden to its end.
	if err := h.onHost(link, true); err != nil {
		h.notFollowed(link, "("+err.Error()+"): what it leads to")
	}
}

// everybodys reports whether a file of the host belongs to the system, and everybody may read it. The file's mode alone
// does not decide: elsewhere, a file with mode 0644 may lie in a directory that nobody else can search.
func (c *Compilation) everybodys(host string) bool {
	info, err := c.Tree.Lstat(host)
	return err == nil && info.Mode()&0o004 != 0 &&
		slices.ContainsFunc(picture.QuietDirs[:], func(dir string) bool { return paths.Below(host, dir) })
}

// follows decides whether a match that a link leads to is hidden. A task can leave such a link, and must not decide by
// it what the next run cannot see. follows reports a match that it rejects for that reason.
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
	// A task may have made the link through which the search came here, or the match itself.
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
// so, it lists the target in the report as not hidden.
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
	// The others are only counted, for listUnfollowed.
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

// isLifted reports whether the profile shows a file of the host, or one below it, although a rule hides it.
func (c *Compilation) isLifted(host string) bool {
	return slices.ContainsFunc(c.lifted, func(l lifted) bool { return paths.Below(l.host, host) })
}

// hideState hides the state directories at every path at which the sandbox would show them. Every profile does so,
// because a state directory decides which processes other commands signal, and contains the launchers' sockets. Hiding
// is not enough: a task that runs as the user could make a state directory if none exists, or rename the directory
// above it and put its own in that place.
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
	// The task may be able to write to the parent of the state directory, because a directory with a mount on it can be
	// neither moved nor removed (EBUSY). It may not be able to write to the directories above that.
	for parent, _ := paths.Split(dir); parent != "/"; parent, _ = paths.Split(parent) {
		above, _ := paths.Split(parent)
		if c.writable(above) && !c.mountPoint(parent, above) {
			return fail(errors.New("the sandbox may write "+above+", and could put another directory in the place of "+parent),
				"let it write less than "+above+", or keep the state elsewhere: "+host.RuntimeDirRemedy)
		}
	}
	return nil
}

// writable reports whether the task can create and rename files in a directory of the host. Changes in an overlay do
// not count, because they do not reach the host. writable asks what the launcher may write. If root starts a task with
// another id, the task may write less, so the answer errs on the safe side.
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
		// A later mount may cover this path. Then the path shows something else, and does not count.
		if c.Tree.HostPath(view) == host {
			list = append(list, view)
		}
	}
	return list
}
