package compile

// This file plans hide rules: over each hidden file or directory it mounts an empty one, which nobody may open. So the
// name stays visible, but reading and writing fail.
//
// A rule is about a file or directory, and a name only leads to it. So the rule's path is resolved in two trees. In the
// sandbox, it names a path. On the host, it leads to a file or directory, through links as the kernel follows them.
// That file or directory is hidden at every path at which the sandbox shows it: see places.go.

import (
	"errors"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// MaxHidden bounds how many files the patterns of one profile may match, because each match becomes a mount.
const MaxHidden = 10_000

// hider applies the hide rules to the model of a sandbox's tree (c.Tree) that has all its mounts. A hider belongs to
// one phase of the compilation, because its field windows describes the tree as it was when the hider was made.
type hider struct {
	c       *Compilation
	windows []window
	writes  bool                // the task may write to a directory of the host
	several map[fileID]*several // hidden files with more than one hard link
	from    plan.From           // from and rule describe the current rule
	rule    policy.Pos
	last    string // the file or directory of the host that the rule has hidden last
	// left reports whether a task may have made one of the links in a path, and left it. It is nil until leftByTask
	// first needs it.
	left    func(path string) bool
	visited map[string]bool // hidden directories of the host whose links were followed
	alone   bool            // do not follow links in a hidden directory

	inspected int  // number of names examined in the directories that the rule hides
	matched   bool // the rule has led to an existing file or directory
	waits     bool // a file that appears later under the rule's name will be hidden
	awaited   map[string]bool
}

// Hide carries out the profile's hide rules in order. Each mount that hides something changes c.Tree, so each rule is
// applied to the result of the rules before it. Hide runs when all mounts of the profile are in c.Tree. An error names
// the rule.
func (c *Compilation) Hide() error {
	h := c.hider()
	// The paths that the profile shows inside hidden directories must be known first, because the mounts over these
	// directories leave a way to such paths.
	c.findLifted()
	defer func() { c.lifted = nil }() // no profile can make the launcher's own hidden files visible
	// Rules for names at any depth ("**/") come later: one walk through the binds serves all such rules (anywhere).
	for i := range c.Profile.Hide {
		rule := &c.Profile.Hide[i]
		if strings.HasPrefix(rule.Pattern, "**/") {
			continue
		}
		h.begin(i, rule)
		if err := h.anchored(rule.Pattern); err != nil {
			return hideError(i, rule, err)
		}
		h.end(rule)
	}
	if err := h.anywhere(); err != nil {
		return err
	}
	if p := c.Tree.At(c.Host.Cwd); p != nil && p.Opaque && p.Guard == picture.GuardHide {
		c.note("the working directory is hidden: " + p.Rule.Short())
	}
	// The other hard links of hidden files come after all rules, because only then are all hidden files known.
	if err := h.hardLinks(); err != nil {
		return err
	}
	c.listUnfollowed()
	return c.granted()
}

// hider returns a hider for the present state of c.Tree.
func (c *Compilation) hider() *hider {
	h := &hider{c: c, windows: c.windows()}
	for _, w := range h.windows {
		h.writes = h.writes || w.write
	}
	return h
}

// hideError returns an error that also names the rule that the error is about.
func hideError(i int, rule *policy.Hide, err error) error {
	return &fail.Error{Op: "hide[" + strconv.Itoa(i) + "] " + rule.Pattern, Err: err, From: rule.Pos.Short()}
}

// begin starts the rule with the given index in the profile. It resets the counters and the other fields that belong to
// one rule.
func (h *hider) begin(i int, rule *policy.Hide) {
	h.from, h.rule, h.matched, h.last = at("hide", i, rule.Pos), rule.Pos, false, ""
	h.inspected, h.waits = 0, false
}

// end adds a note if a rule of the command line has matched nothing, because a user who types a rule means an existing
// file.
func (h *hider) end(rule *policy.Hide) {
	if h.matched || rule.Pos.Flag == "" {
		return
	}
	what := "--hide " + rule.Pattern + " hides nothing"
	switch {
	case h.waits:
		h.c.note(what + " yet: the sandbox shows no file of that name; a file that appears under it during the run is hidden")
	case strings.HasPrefix(rule.Pattern, "**/"):
		h.c.note(what + ": no bound file has such a name; a file that appears under it during the run can be read")
	default:
		h.c.note(what + ": neither the sandbox nor the host has such a path, or a directory in which it could appear")
	}
}

// anchored applies a rule that begins at the root ("/") or at a home ("~"). Such a pattern can mean several paths,
// because a home can have several names.
func (h *hider) anchored(pattern string) error {
	paths := h.c.meanings(pattern)
	if len(paths) == 0 {
		h.c.noHome()
		h.matched = true
	}
	for _, path := range paths {
		if !isGlob(path) {
			if err := h.path(path); err != nil {
				return err
			}
			continue
		}
		if err := h.glob(path); err != nil {
			return err
		}
	}
	return nil
}

// glob hides the files that a pattern matches. The pattern begins at the root. glob applies it to the sandbox's tree
// and to the host's, because the two trees can differ: a mount of the profile can add names inside, and a link can lead
// elsewhere.
func (h *hider) glob(pattern string) error {
	// Both trees are searched before the first file is hidden, because hiding changes the tree that expand walks.
	inside, err := h.expand(&h.c.Tree, pattern)
	if err != nil {
		return err
	}
	outside, err := h.expand(h.c.hostTree(), pattern)
	if err != nil {
		return err
	}
	for _, x := range inside {
		h.holdAll(x.links)
		if err := h.skipMagic(x.path, h.inside(x.path, true)); err != nil {
			return err
		}
	}
	for _, x := range outside {
		for _, p := range x.links {
			h.holdOnHost(p)
		}
		if err := h.skipMagic(x.path, h.onHost(x.path, true)); err != nil {
			return err
		}
	}
	return nil
}

// skipMagic skips a match that is a link through /proc, and adds a note if the rule is of the command line. Such a link
// leads to a different file for each process, so no file can be hidden by it.
func (h *hider) skipMagic(match string, err error) error {
	if !errors.Is(err, picture.ErrMagicLink) {
		return err
	}
	if h.rule.Flag != "" {
		h.c.note(h.rule.Flag + " passes over " + match + ": it " + picture.ErrMagicLink.Error())
	}
	return nil
}

// path hides the file or directory that a path leads to in the sandbox, and the one that the same path leads to on the
// host. It is no error if the path leads to nothing in one or both of the trees.
func (h *hider) path(path string) error {
	if err := h.inside(path, true); err != nil {
		return err
	}
	return h.onHost(path, true)
}

// inside resolves a path in the sandbox, and hides its target there and at every other path at which the sandbox shows
// the same file. If the launcher may not search a directory on the way, inside hides that whole directory. For fixed
// see coverThing. If fixed is true, inside also keeps the names on the way in their places, and if the file does not
// exist, it is hidden as soon as it appears.
func (h *hider) inside(path string, fixed bool) error {
	end, passed, err := h.walk(&h.c.Tree, path, fixed)
	if fixed && fail.NotThere(err) {
		h.await(path)
	}
	if err = h.unsearchable(&end, err); err != nil || end == "" {
		return err
	}
	h.matched = true
	host := h.c.Tree.HostPath(end)
	for _, p := range passed {
		if p != end { // p itself is hidden
			h.hold(p)
		}
	}
	if err := h.c.coverThing(h.from, end, h.rule, fixed); err != nil || host == "" {
		return err
	}
	return h.thing(host, fixed)
}

// walk resolves a path of a tree. end is the target, as a path without links; if the walk fails, end is the name at
// which it failed. If the task may write to the host, walk also lists the directories and links on the way that must
// stay in their places.
func (h *hider) walk(t *picture.Tree, path string, fixed bool) (end string, passed []string, err error) {
	w := picture.Walker{Tree: t}
	if !fixed || !h.writes {
		end, err = w.Walk(path)
		return end, nil, err
	}
	return w.Through(path)
}

// onHost resolves a path on the host and hides its target wherever the sandbox shows it. onHost also keeps the task
// from moving the names that lead to the target. This is necessary because the sandbox can show one file at several
// paths, of which none need be the name that the rule gives.
func (h *hider) onHost(path string, fixed bool) error {
	if paths.Below(path, "/proc") {
		return nil // the sandbox has a /proc of its own
	}
	end, passed, err := h.walk(h.c.hostTree(), path, fixed)
	if fixed && fail.NotThere(err) {
		h.awaitOnHost(path)
	}
	if err = h.unsearchable(&end, err); err != nil || end == "" {
		return err
	}
	h.matched = true
	for _, p := range passed {
		if p != end {
			h.holdOnHost(p)
		}
	}
	// Such a target is reported and not hidden. Otherwise a task could leave a link that decides what the next run
	// cannot see.
	if h.leftByTask(path, end) {
		return nil
	}
	return h.thing(end, fixed)
}

// await records a name of a rule at which no file exists yet. If a file appears there during the run, the launcher
// hides the file. To notice that, the launcher watches the directory of the name with inotify(7): see guards_watch.go
// of internal/launch.
func (h *hider) await(inside string) {
	inside, err := h.c.Tree.Resolve(inside)
	if err != nil || h.awaited[inside] {
		return
	}
	if h.awaited == nil {
		h.awaited = map[string]bool{}
	}
	h.awaited[inside] = true
	h.waits = h.waits || h.c.Tree.OnHost(inside)
	h.c.Tree.Await(inside, h.rule)
}

// awaitOnHost records a name of the host, as await does, at every path at which the sandbox shows the directory of that
// name.
func (h *hider) awaitOnHost(host string) {
	// The paths of bound directories are compared without links, so the name must be resolved too.
	host, err := h.c.hostTree().Resolve(host)
	if err != nil {
		return
	}
	for _, w := range h.windows {
		if !paths.Below(host, w.source) {
			continue
		}
		if view := paths.Moved(host, w.source, w.target); h.c.Tree.HostPath(view) == host {
			h.await(view)
		}
	}
}

// awaitGlob records a directory in which new files that match a pattern are to be hidden. It records the directory at
// every path at which the sandbox shows it.
func (h *hider) awaitGlob(t *picture.Tree, dir, pattern string) {
	if t == &h.c.Tree {
		h.waits = t.AwaitGlob(dir, pattern, h.rule) || h.waits
		return
	}
	for _, w := range h.windows {
		if paths.Below(dir, w.source) {
			if view := paths.Moved(dir, w.source, w.target); h.c.Tree.HostPath(view) == dir {
				// This call passes the sandbox's own tree, so the recursion ends there.
				h.awaitGlob(&h.c.Tree, view, pattern)
			}
		}
	}
}

// thing hides a file or directory of the host at every path at which the sandbox shows it. host must contain no link.
func (h *hider) thing(host string, fixed bool) error {
	// A path in the sandbox and the same path on the host usually lead to the same file. Then the second call need not
	// do anything.
	if host == h.last {
		return nil
	}
	h.last = host
	h.countNames(host)
	places, err := h.c.places(h.windows, host)
	if err != nil {
		return err
	}
	for _, place := range places {
		// A path that the profile shows although a rule hides the directory above it stays visible.
		if len(h.c.lifted) > 0 && h.c.showsPart(h.c.Tree.HostPath(place), host) {
			continue
		}
		if err := h.c.coverThing(h.from, place, h.rule, fixed); err != nil {
			return err
		}
	}
	if !h.alone {
		h.linksIn(host)
	}
	h.last = host
	return nil
}

// unsearchable decides what to hide after a failed lookup of end. If a directory could not be searched, it sets end to
// that directory, so that everything in the directory is hidden. If nothing exists at the path, it sets end to "". It
// returns any other error.
func (h *hider) unsearchable(end *string, err error) error {
	switch {
	case err == nil:
		return nil
	case fail.NotThere(err):
		*end = ""
		return nil
	case *end == "":
		return err // a loop of links
	}
	dir, _ := paths.Split(*end)
	// Nothing can be mounted over the root, so the launch fails.
	if dir == "/" {
		return &fail.PathError{Path: *end, Err: fail.Bare(err)}
	}
	*end = dir
	return nil
}

// hold keeps the task from moving a directory or a link that leads to a hidden file. Otherwise a task could rename the
// directory, or remove the link. The next run would then look for the file under the old name, find nothing, and hide
// nothing. pin and pinLink describe how a name is held.
func (h *hider) hold(inside string) {
	p := h.c.Tree.At(inside)
	// A mount point cannot be moved anyway. If the task cannot write there, or the directory exists only in the
	// sandbox, a move changes nothing on the host.
	if p == nil || p.Target == inside || !p.Write || p.Source == "" || p.Opaque {
		return
	}
	switch n, err := h.c.Tree.Entry(inside); {
	case err != nil:
	case n.Link != "":
		h.c.pinLink(h.from, inside, n.Link)
	case n.Dir:
		h.c.pin(h.from, inside)
	}
}

// holdOnHost holds a name of the host, as hold does, at every path at which the task may write to the directory of that
// name.
func (h *hider) holdOnHost(host string) {
	for _, w := range h.windows {
		if !w.write || !paths.Below(host, w.source) {
			continue
		}
		if view := paths.Moved(host, w.source, w.target); h.c.Tree.HostPath(view) == host {
			h.hold(view)
		}
	}
}

// holdAll calls hold for every name on the way to a match. If the task may write to no directory of the host, holdAll
// does nothing, because then the task can move nothing that outlives the run.
func (h *hider) holdAll(inside []string) {
	if !h.writes {
		return
	}
	for _, p := range inside {
		host := h.c.Tree.HostPath(p)
		h.hold(p)
		if host != "" {
			h.holdOnHost(host)
		}
	}
}

// noHome notes, once, that the rules for files below the home have no effect because the caller has no home. Without a
// home there are no files that such a rule could mean.
func (c *Compilation) noHome() {
	for i := range c.Missing {
		if c.Missing[i].Layer == policy.LayerHide {
			return
		}
	}
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerHide,
		Why: "rules that begin with ~: neither HOME nor the password database names a home"})
}
