package compile

// This file plans hide rules. It mounts an empty file or directory, which nobody may open, over each hidden file or
// directory. So reading and writing fail, and nothing disappears without notice.
//
// A rule means a file or directory, not a name. The rule is resolved in two trees. Inside, it names a path of the
// sandbox. On the host, it leads to a file or directory, through links as the kernel follows them. This file or
// directory is covered at every path at which the sandbox shows it: see places.go.

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

// MaxHidden bounds the matches of one profile's patterns, because each match is a mount.
const MaxHidden = 10_000

// hider applies the hide rules to a picture that has all its mounts.
type hider struct {
	c       *Compilation
	windows []window
	writes  bool                // the task may write to one of the windows
	several map[fileID]*several // hidden files with more than one name
	from    plan.From           // from and rule belong to the current rule
	rule    policy.Pos
	last    string // the thing that the rule has led to last
	// left reports whether a task may have left a link on the way to a path. It is nil until leftByTask needs it.
	left    func(path string) bool
	visited map[string]bool // hidden directories of the host whose links were followed
	alone   bool            // do not follow links in what is hidden

	inspected int  // number of names that were looked at in the directories that the rule hides
	matched   bool // the rule led to something
	waits     bool // a file that appears under the rule's name will be covered
	awaited   map[string]bool
}

// Hide carries out the profile's hide rules. Each cover changes the picture, so a rule sees the covers of the rules
// before it.
func (c *Compilation) Hide() error {
	h := c.hider()
	// The parts that the profile shows again must be known first, because the covers leave ways to them.
	c.findLifted()
	defer func() { c.lifted = nil }() // no profile lifts the covers of the launcher's own files
	// Rules for names at any depth wait: one walk of what is bound serves them all (anywhere).
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
	// Other names of hidden files come after all rules, because only then all hidden files are known.
	if err := h.hardLinks(); err != nil {
		return err
	}
	c.listUnfollowed()
	return c.granted()
}

// hider returns a hider for the picture as it is now.
func (c *Compilation) hider() *hider {
	h := &hider{c: c, windows: c.windows()}
	for _, w := range h.windows {
		h.writes = h.writes || w.write
	}
	return h
}

// hideError adds to an error the rule that it is about.
func hideError(i int, rule *policy.Hide, err error) error {
	return &fail.Error{Op: "hide[" + strconv.Itoa(i) + "] " + rule.Pattern, Err: err, From: rule.Pos.Short()}
}

// begin starts the rule with the given index in the profile. Every rule begins here, because what it reports and how
// many names it may look at are its own.
func (h *hider) begin(i int, rule *policy.Hide) {
	h.from, h.rule, h.matched, h.last = at("hide", i, rule.Pos), rule.Pos, false, ""
	h.inspected, h.waits = 0, false
}

// end reports a rule of the command line that has matched nothing, because its author meant an existing file.
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

// anchored applies a rule that begins at the root or at a home.
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

// glob hides what a pattern matches that begins at the root, inside and on the host.
func (h *hider) glob(pattern string) error {
	// Both expansions come before the first cover, because a cover changes the picture that expand walks.
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

// skipMagic skips a match of a pattern if the match is a link through /proc, and reports that for a rule of the
// command line. Such a link contains nothing: it leads to what each process has of its own.
func (h *hider) skipMagic(match string, err error) error {
	if !errors.Is(err, picture.ErrMagicLink) {
		return err
	}
	if h.rule.Flag != "" {
		h.c.note(h.rule.Flag + " passes over " + match + ": it " + picture.ErrMagicLink.Error())
	}
	return nil
}

// path hides what one path means.
func (h *hider) path(path string) error {
	if err := h.inside(path, true); err != nil {
		return err
	}
	return h.onHost(path, true)
}

// inside covers the target of a path in the sandbox, and the same file wherever else it is shown. If the launcher may
// not search a directory on the way, inside covers that directory whole.
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
		if p != end { // which is covered
			h.hold(p)
		}
	}
	if err := h.c.coverThing(h.from, end, h.rule, fixed); err != nil || host == "" {
		return err
	}
	return h.thing(host, fixed)
}

// walk follows a path of a tree. If the task may write somewhere, walk also lists the names on the way that may have
// to be held.
func (h *hider) walk(t *picture.Tree, path string, fixed bool) (end string, passed []string, err error) {
	w := picture.Walker{Tree: t}
	if !fixed || !h.writes {
		end, err = w.Walk(path)
		return end, nil, err
	}
	return w.Through(path)
}

// onHost covers a thing of the host wherever the sandbox shows it, and holds the names that lead to it in their
// places.
func (h *hider) onHost(path string, fixed bool) error {
	if paths.Below(path, "/proc") {
		return nil // the sandbox has another /proc
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
	// The end is then reported and not covered: a task must not decide by a link what the next run cannot see.
	if h.leftByTask(path, end) {
		return nil
	}
	return h.thing(end, fixed)
}

// await records a name of a rule that leads to nothing yet. If a file appears there during the run, the launcher
// covers it.
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

// awaitOnHost is await for a name of the host, wherever the sandbox shows the directory that would contain it.
func (h *hider) awaitOnHost(host string) {
	// The windows have paths without links, so the name must have none either.
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

// awaitGlob records a directory in which a pattern hides files that appear, wherever the sandbox shows that
// directory.
func (h *hider) awaitGlob(t *picture.Tree, dir, pattern string) {
	if t == &h.c.Tree {
		h.waits = t.AwaitGlob(dir, pattern, h.rule) || h.waits
		return
	}
	for _, w := range h.windows {
		if paths.Below(dir, w.source) {
			if view := paths.Moved(dir, w.source, w.target); h.c.Tree.HostPath(view) == dir {
				// This call is about the tree inside, so it does not come here again.
				h.awaitGlob(&h.c.Tree, view, pattern)
			}
		}
	}
}

// thing covers a thing of the host, whose path contains no link, at each place where the sandbox shows it.
func (h *hider) thing(host string, fixed bool) error {
	// A path inside and the same path on the host mostly lead to the same thing.
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
		// What the profile shows again stays visible.
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

// unsearchable turns the end of a walk into the path to cover. The path is "" if nothing exists there. If a name
// could not be looked up, it is the directory above that name, so that everything in it is hidden. Any other error
// stays.
func (h *hider) unsearchable(end *string, err error) error {
	switch {
	case err == nil:
		return nil
	case fail.NotThere(err):
		*end = ""
		return nil
	case *end == "":
		return err // links without end
	}
	dir, _ := paths.Split(*end)
	// The root cannot be covered, so the launch fails.
	if dir == "/" {
		return &fail.PathError{Path: *end, Err: fail.Bare(err)}
	}
	*end = dir
	return nil
}

// hold keeps a directory or a link in its place if the task could move it permanently. Otherwise the next run would
// look for the hidden file under the old name. An earlier run could move the parent of a hidden file, or remove a
// link that leads to one. hold stops both.
func (h *hider) hold(inside string) {
	p := h.c.Tree.At(inside)
	// A mount point cannot be moved anyway. What the task cannot write, or what exists only in the sandbox, it cannot
	// move for good.
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

// holdOnHost is hold for a name of the host, wherever the task may write to the directory that contains it.
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

// holdAll calls hold for everything on the way to a match, wherever the sandbox shows it.
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

// noHome reports, once, that rules below the home mean nothing because there is no home.
func (c *Compilation) noHome() {
	for i := range c.Missing {
		if c.Missing[i].Layer == policy.LayerHide {
			return
		}
	}
	c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerHide,
		Why: "rules that begin with ~: neither HOME nor the password database names a home"})
}
