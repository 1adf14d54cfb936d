package compile

// This file matches the patterns of hide rules: glob(7), without braces and collating elements.

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/report"
)

// isGlob reports whether a text is a pattern, and not just a path.
func isGlob(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// maxPath is the longest path that is searched, in bytes. The kernel accepts 4095. A program can reach longer paths
// only step by step, so the directory above them is hidden as a whole.
const maxPath = 3800

// expand lists the paths of a tree that a pattern matches. If a directory on the way cannot be listed, the result
// contains the directory itself. The pattern must begin with a slash. Unlike in a shell, a wildcard also matches a dot
// at the beginning of a name.
func (h *hider) expand(t *picture.Tree, pattern string) ([]expanded, error) {
	e := expander{tree: t, extra: t.Extras()}
	err := e.below("/", strings.Split(pattern[1:], "/"))
	_, last := paths.Split(pattern)
	// If a file that matches appears later in one of these directories, the launcher hides it then.
	for _, dir := range e.listed {
		h.awaitGlob(t, dir, last)
	}
	if e.processes && t == &h.c.Tree {
		h.matched = true
		h.c.Missing = append(h.c.Missing, report.Missing{Layer: policy.LayerHide,
			Why: pattern + ": nothing can be mounted in the directories of processes in the sandbox's /proc"})
	}
	return e.found, err
}

// isDigits reports whether a name of /proc is the number of a process.
func isDigits(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }

// expanded is a path that a pattern matches.
type expanded struct {
	path  string
	links []string // the links on the way to path, and the directories above the links' targets
}

// expander finds the paths of a tree that a pattern matches.
type expander struct {
	tree  *picture.Tree
	extra picture.Extras
	links []string // the links on the way to the directory that is searched now
	found []expanded

	listed    []string // directories in which the last name was looked for
	processes bool     // the pattern would match a process's directory in /proc
}

// add records a match, with the links on the way to it. It copies the list of links, because next goes on to change it.
func (e *expander) add(path string) {
	e.found = append(e.found, expanded{path, slices.Clone(e.links)})
}

// below matches the names of a pattern in a directory and below it. A directory that cannot be listed counts as a
// match, so that it is hidden whole.
func (e *expander) below(dir string, names []string) error {
	// Each match becomes a mount. So a pattern that matches too much is an error, rather than a launch that takes for
	// ever.
	if len(e.found) > MaxHidden {
		return errors.New("more than " + strconv.Itoa(MaxHidden) + " matches")
	}
	if len(names) == 0 {
		e.add(dir)
		return nil
	}
	name := names[0]
	if !isGlob(name) {
		return e.next(paths.Join(dir, name), names[1:])
	}
	list, err := e.list(dir)
	if len(names) == 1 && (err == nil || fail.NotThere(err)) {
		e.listed = append(e.listed, dir)
	}
	if fail.NotThere(err) {
		return nil
	}
	if err != nil {
		e.add(dir)
		return nil //nolint:nilerr // it is hidden whole
	}
	// The numbered directories of /proc are processes, which come and go. So nothing is mounted there, and expand
	// reports that.
	proc := e.tree.At(dir).What == "proc"
	for _, entry := range list {
		if ok, err := path.Match(name, entry); err != nil {
			return err
		} else if ok && proc && isDigits(entry) {
			e.processes = true
		} else if ok {
			if err := e.next(paths.Join(dir, entry), names[1:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// next continues the search below a path. If the pattern has more names, next follows a link at the path.
func (e *expander) next(at string, names []string) error {
	if len(names) == 0 {
		return e.below(at, nil)
	}
	var passed []string
	w := picture.Walker{Tree: e.tree, Visit: func(p string) { passed = append(passed, p) }}
	end, err := w.Walk(at)
	switch {
	case err == nil && w.Last.Dir:
		before := len(e.links)
		if end != at {
			e.links = append(e.links, passed...)
		}
		err := e.below(end, names)
		// These links lead only to the files found below them, so they are dropped before the next name.
		e.links = e.links[:before]
		return err
	case fail.NotThere(err):
		e.missing(at, names)
		return nil
	// A file has no names below it, and the target of a magic link differs for each process.
	case err == nil, errors.Is(err, picture.ErrMagicLink):
		return nil
	}
	e.add(at) // at is the directory that cannot be searched
	return nil
}

// missing records a directory that does not exist, if only the last name of the pattern remains. If the directory
// appears, files in it that match are hidden.
func (e *expander) missing(dir string, names []string) {
	last := len(names) - 1
	if isGlob(names[last]) && !slices.ContainsFunc(names[:last], isGlob) {
		e.listed = append(e.listed, strings.Join(append([]string{dir}, names[:last]...), "/"))
	}
}

// list returns the entries of a directory of the tree.
func (e *expander) list(dir string) ([]string, error) {
	entries, err := e.tree.List(dir, e.extra)
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = entries[i].Name
	}
	return names, err
}

// anywhere is a hide rule for names at any depth ("**/.env").
type anywhere struct {
	i     int
	rule  *policy.Hide
	names []string
	found bool
}

// newAnywhere returns the rule for a pattern without its leading "**/". Clean removes empty and "." components, which
// would match no file's name.
func newAnywhere(i int, pattern string, rule *policy.Hide) anywhere {
	return anywhere{i: i, rule: rule, names: strings.Split(strings.Trim(paths.Clean("/"+pattern), "/"), "/")}
}

// A match is a path of the sandbox that a rule for names at any depth has found.
type match struct {
	rule *anywhere
	path string
	link bool
	from string   // the link through which the search reached path, if path is not that link; otherwise ""
	way  []string // the directories that matched the names before the last one, and the links on the way
}

// anywhere hides the files that the rules for names at any depth have found.
func (h *hider) anywhere() error {
	w := h.c.search()
	for i := range w.found {
		m := &w.found[i]
		h.begin(m.rule.i, m.rule.rule)
		if err := h.match(m); err != nil {
			return hideError(m.rule.i, m.rule.rule, err)
		}
		m.rule.found = true
	}
	for i := range w.rules {
		h.matched = w.rules[i].found
		h.end(w.rules[i].rule)
	}
	return nil
}

// search walks through everything that is bound, once for its two users: the hide rules for names at any depth, and the
// protection of git's repositories.
func (c *Compilation) search() *finder {
	if c.searched != nil {
		return c.searched
	}
	f := &finder{tree: &c.Tree, git: c.Profile.Git == policy.GitProtect}
	for i := range c.Profile.Hide {
		if rest, ok := strings.CutPrefix(c.Profile.Hide[i].Pattern, "**/"); ok {
			f.rules = append(f.rules, newAnywhere(i, rest, &c.Profile.Hide[i]))
		}
	}
	c.searched = f
	if f.git || len(f.rules) > 0 {
		f.extra = c.Tree.Extras()
		for _, b := range c.bound() {
			f.bind(b, c.namesOf(b))
		}
		f.mounts(c)
	}
	return f
}

// match hides a match of a rule. If the match is a link, match keeps the link in its place and hides the link's target.
// It also keeps the directories that matched the names before the last one in place, because the next run would not
// find them under another name.
func (h *hider) match(m *match) error {
	if !h.follows(m) {
		h.matched = true // follows has reported the match
		return nil
	}
	h.holdAll(m.way)
	host := h.c.Tree.HostPath(m.path)
	if err := h.inside(m.path, m.link); err != nil || host == "" {
		return err
	}
	return h.onHost(host, m.link)
}

// finder searches what the sandbox shows for the names of hide rules, and for git repositories.
type finder struct {
	tree  *picture.Tree
	extra picture.Extras
	rules []anywhere
	found []match

	git     bool     // look for repositories as well
	inside  int      // number of directories named .git that contain the current directory
	gits    []string // every .git and every bare repository, except inside another .git
	configs []string // files that may be configurations of git
	closed  []string // directories that cannot be listed, or lie too deep
	names   int      // number of names that have been looked at
}

// maxNames bounds how many names a search for repositories may examine. The search must be complete, so the sandbox
// does not start if there are more.
const maxNames = 2_000_000

// matching is a rule whose first names have matched on the way to a directory; names holds the rest.
type matching struct {
	rule  *anywhere
	names []string
	way   []string // the paths that have matched
}

// eachMatches reports whether each name matches the pattern with the same index.
func eachMatches(patterns, names []string) bool {
	for i, p := range patterns {
		if ok, err := path.Match(p, names[i]); !ok || err != nil {
			return false
		}
	}
	return true
}

// dir searches a directory and everything below it. If dir cannot list the directory, it hides the whole directory by
// the first rule, because a match could lie in it. dir enters no directory through a link, so it terminates. behind
// follows a link, but only as deep as the names of a rule reach.
func (f *finder) dir(dir string, carried []matching) {
	p := f.tree.At(dir)
	// The kernel's own file systems contain no files of the user, and can be very large.
	if paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || p.What == ownDev {
		return
	}
	entries, err := f.tree.List(dir, f.extra)
	switch {
	case fail.NotThere(err):
		return
	case err != nil, len(dir) > maxPath, len(f.tree.HostPath(dir)) > maxPath:
		f.closed = append(f.closed, dir)
		if len(f.rules) > 0 {
			f.found = append(f.found, match{rule: &f.rules[0], path: dir})
		}
		return
	}
	// After that, protectAll refuses to start, because it could not protect a repository that was not found.
	if f.names += len(entries); f.git && f.names > maxNames {
		return
	}
	var parts gitParts
	for i := range entries {
		parts.see(entries[i].Name)
		f.entry(dir, &entries[i], carried)
	}
	if f.git && f.inside == 0 && parts.whole() {
		f.gits = append(f.gits, dir)
	}
}

// entry matches one name in a directory, and searches below it unless the name completes the match of a rule.
func (f *finder) entry(dir string, e *picture.Listed, carried []matching) {
	next := paths.Join(dir, e.Name)
	var deeper []matching
	// try matches the entry against the next name of a rule. It returns true if that was the last name.
	try := func(s matching) (whole bool) {
		if ok, err := path.Match(s.names[0], e.Name); !ok || err != nil {
			return false
		}
		if len(s.names) > 1 {
			// The list is cloned, because other entries of this directory extend the same one.
			deeper = append(deeper, matching{s.rule, s.names[1:], append(slices.Clone(s.way), next)})
			return false
		}
		f.found = append(f.found, match{rule: s.rule, path: next, link: e.Link != "", way: s.way})
		return true
	}
	for i := range f.rules {
		if try(matching{rule: &f.rules[i], names: f.rules[i].names}) {
			return
		}
	}
	for _, s := range carried {
		if try(s) {
			return
		}
	}
	// This comes only here, because a file that a rule hides needs no protection, and nothing in a hidden directory
	// need be found.
	f.ofGit(next, e)
	switch {
	case e.Link != "":
		f.behind(next, deeper)
	case e.Dir && e.Name == ".git":
		f.inside++
		f.dir(next, deeper)
		f.inside--
	case e.Dir:
		f.dir(next, deeper)
	}
}

// ofGit records repositories and files that may be git configurations, including those of submodules and old copies.
func (f *finder) ofGit(path string, e *picture.Listed) {
	switch {
	case !f.git:
	case f.inside == 0 && e.Name == ".git":
		f.gits = append(f.gits, path)
	case f.inside > 0 && !e.Dir && strings.HasPrefix(e.Name, "config"):
		f.configs = append(f.configs, path)
	}
}

// behind matches the remaining names of rules in the directory to which a link leads.
func (f *finder) behind(link string, states []matching) {
	for _, s := range states {
		e := expander{tree: f.tree, extra: f.extra}
		_ = e.next(link, s.names) // next fails only if there are more matches than allowed, and match refuses that
		for _, x := range e.found {
			f.found = append(f.found, match{rule: s.rule, path: x.path, link: true, from: link,
				way: slices.Concat(s.way, x.links)})
		}
	}
}
