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
	"cordon/sandbox/internal/search"
	"cordon/sandbox/report"
)

// isGlob reports whether a text is a pattern, and not just a path. A text with a backslash is a pattern too, because
// the backslash quotes the next character.
func isGlob(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// expand lists the paths of a tree that a pattern matches. If a directory cannot be listed, the result contains the
// directory itself. The pattern must begin with a slash. Unlike in a shell, a wildcard also matches a dot at the
// beginning of a name. t is the tree of the sandbox, or the tree of the host. expand returns an error if the pattern is
// wrong, or has too many matches.
func (h *hider) expand(t *picture.Tree, pattern string) ([]expanded, error) {
	e := expander{tree: t, extra: t.Extras()}
	err := e.below("/", strings.Split(pattern[1:], "/"))
	_, last := paths.Split(pattern)
	// If a matching file appears later in one of these directories, the launcher hides the file at that moment.
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

// expanded is a path that a pattern matches. If a task moved one of the links, the next run would not find the path. So
// the links are held in their places: see hold.
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

// add records a match, with the links on the way to it. It copies the list of links, because next changes the list
// afterwards.
func (e *expander) add(path string) {
	e.found = append(e.found, expanded{path, slices.Clone(e.links)})
}

// below matches the names of a pattern in a directory and below it. A directory that cannot be listed counts as a
// match, so that it is hidden whole. names are the remaining names of the pattern.
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
	// A plain name is looked up, and not searched for in a listing, because a lookup also works in a directory that may
	// be searched but not listed.
	name := names[0]
	if !isGlob(name) {
		return e.next(paths.Join(dir, name), names[1:])
	}
	list, err := e.list(dir)
	// Only the last name of a pattern can be hidden when it appears later: if a directory in the middle appeared, it
	// would have to be searched as a whole.
	if len(names) == 1 && (err == nil || fail.NotThere(err)) {
		e.listed = append(e.listed, dir)
	}
	if fail.NotThere(err) {
		return nil
	}
	if err != nil {
		e.add(dir)
		return nil //nolint:nilerr // the directory is hidden as a whole
	}
	// The numbered directories of /proc are processes, which come and go. So nothing is mounted there, and expand
	// reports that to its caller.
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

// next continues the search at a path. If names of the pattern remain, next follows a link at the path.
func (e *expander) next(at string, names []string) error {
	if len(names) == 0 {
		return e.below(at, nil)
	}
	// The last name of a pattern may be a link. It is not followed here, because the link itself is the match.
	var passed []string
	w := picture.Walker{Tree: e.tree, Visit: func(p string) { passed = append(passed, p) }}
	end, err := w.Walk(at)
	switch {
	// w.Last describes the target at which the walk has ended.
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
// appears, the files in it that match the name are hidden. expand passes these directories to awaitGlob.
func (e *expander) missing(dir string, names []string) {
	last := len(names) - 1
	if isGlob(names[last]) && !slices.ContainsFunc(names[:last], isGlob) {
		e.listed = append(e.listed, strings.Join(append([]string{dir}, names[:last]...), "/"))
	}
}

// list returns the names in a directory of the tree, including the names that the launcher has mounted or made there.
func (e *expander) list(dir string) ([]string, error) {
	entries, err := e.tree.List(dir, e.extra)
	names := make([]string, len(entries))
	for i := range entries {
		names[i] = entries[i].Name
	}
	return names, err
}

// A match is a path in the sandbox that a rule for names at any depth has found. The search compares only names. The
// method match of hider decides later whether a link is followed, and what is hidden.
type match struct {
	rule int // index in the profile's list
	path string
	link bool
	from string   // the link that led out of the search, if path is not that link; otherwise ""
	way  []string // the paths that matched the names before the last one, and the links that lead on
}

// searched holds what the search through everything that is bound has found.
type searched struct {
	*search.Search
	// One search serves all rules, so each match says which rule found it.
	matches []match
	rules   []int           // the indexes in the profile's list of the rules for any depth
	whole   map[string]bool // directories that were searched, with everything below them
}

// namesOfRule returns the names of a pattern for any depth, without its leading "**/". Clean removes empty names and
// dots, which are never the name of a file. The result has at least one name, and names may contain wildcards.
func namesOfRule(pattern string) []string {
	return strings.Split(strings.Trim(paths.Clean("/"+pattern), "/"), "/")
}

// anywhere adds mounts that hide what the rules for names at any depth have found. In a large tree the search takes
// most of the time of a launch, so one search serves all rules.
func (h *hider) anywhere() error {
	s, err := h.c.search()
	if err != nil {
		return err
	}
	found := map[int]bool{}
	for i := range s.matches {
		m := &s.matches[i]
		rule := &h.c.Profile.Hide[m.rule]
		h.begin(m.rule, rule)
		if err := h.match(m); err != nil {
			return hideError(m.rule, rule, err)
		}
		found[m.rule] = true
	}
	for _, i := range s.rules {
		h.matched = found[i]
		h.end(&h.c.Profile.Hide[i])
	}
	return nil
}

// search looks through everything that is bound. One search serves all who need its result: the rules for names at any
// depth, the protection of git's repositories, and the mounts over sockets. search leaves out the caches of tools (see
// cacheOfTool). If Request.Searching returns an error, the search ends, and the launch fails.
func (c *Compilation) search() (*searched, error) {
	if c.searched != nil {
		return c.searched, nil
	}
	s := &searched{Search: &search.Search{Tree: &c.Tree, Skip: ownDev, Step: c.Req.Searching, Two: c.Req.Two, Recall: c.Req.Recall}, whole: map[string]bool{}}
	// Nothing is searched if there is no such rule and the profile does not say git: protect.
	git := c.Profile.Git == policy.GitProtect
	for i := range c.Profile.Hide {
		if rest, ok := strings.CutPrefix(c.Profile.Hide[i].Pattern, "**/"); ok {
			s.Rules = append(s.Rules, namesOfRule(rest))
			s.rules = append(s.rules, i)
		}
	}
	c.searched = s
	if !git && len(s.Rules) == 0 {
		return s, nil
	}
	for _, b := range c.bound() {
		if !b.Cache {
			s.bind(b, c.namesOf(b), git)
		}
	}
	s.mounts(c)
	if err := s.Run(); err != nil {
		return nil, err
	}
	s.follow(c)
	return s, nil
}

// follow turns what the search has found into matches. If the search has stopped at a link and names of the rule
// remain, follow matches these names in the directory to which the link leads. What it finds there is a match like any
// other, with the link as its origin.
func (s *searched) follow(c *Compilation) {
	var extra picture.Extras
	for i := range s.Found {
		m := &s.Found[i]
		rule := s.rules[m.Rule]
		if len(m.Rest) == 0 {
			s.matches = append(s.matches, match{rule: rule, path: m.Path, link: m.Link, way: m.Way})
			continue
		}
		if extra == nil {
			extra = c.Tree.Extras()
		}
		// A link to a directory may lead anywhere, so the rest of the names is looked up there by the expander, which
		// does not descend further.
		e := expander{tree: &c.Tree, extra: extra}
		_ = e.next(m.Path, m.Rest) // it ends early only with more matches than are allowed, which match refuses
		for _, x := range e.found {
			s.matches = append(s.matches, match{rule: rule, path: x.path, link: true, from: m.Path,
				way: slices.Concat(m.Way, x.links)})
		}
	}
	s.Found = nil
}

// match hides a match of a rule. If the match is a link, match keeps the link in its place and hides the link's target.
// match also keeps the directories in their places that matched the names before the last one, because the next run
// would not find them under another name. If match returns an error, the launch fails.
func (h *hider) match(m *match) error {
	if !h.follows(m) {
		h.matched = true // follows has reported the match
		return nil
	}
	h.holdAll(m.way)
	// The sandbox may show the same file at another path as well, so the host's path is hidden too.
	host := h.c.Tree.HostPath(m.path)
	if err := h.inside(m.path, m.link); err != nil || host == "" {
		return err
	}
	return h.onHost(host, m.link)
}

// eachMatches reports whether each name matches the pattern with the same index. names has at least as many entries as
// patterns. A malformed pattern matches nothing; the check of the profile has refused such patterns before.
func eachMatches(patterns, names []string) bool {
	for i, p := range patterns {
		if ok, err := path.Match(p, names[i]); !ok || err != nil {
			return false
		}
	}
	return true
}
