package search

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/walk"
)

const (
	// MaxNames bounds a search that must be complete. If the search for repositories needs more, the sandbox does not
	// start.
	MaxNames = 2_000_000
	// MaxPath is the longest path that is searched. The kernel accepts 4095 bytes. What lies deeper can be reached only
	// step by step, so its directory is hidden whole.
	MaxPath = 3800

	stepEvery = 128 // Step is called after so many directories of Tree
)

// Search is one search. Its maker sets the first fields, calls Below for each directory, and then Run. The other
// fields are the result, in the order in which a walk that sorts each directory by name comes to them.
type Search struct {
	Tree  *picture.Tree
	Two   bool       // as walk.Tree's
	Rules [][]string // the names of each rule: a/*.key is a, *.key
	Skip  string     // the What of parts that hold nothing of the user
	// Inodes, unless nil, makes the search look for files with these numbers instead. It finds them all, and some others.
	Inodes map[uint64]bool
	Step   func(names int) error // as walk.Tree's; first with 0, when the search begins
	// Recall, unless nil, returns the memory with a key, which keeps the names that keep wants.
	Recall func(key string, keep func(name []byte, kind uint8) bool) *walk.Memory

	Found   []Match
	Gits    []string     // everything that is named .git or is a bare repository, except what lies in a .git
	Configs []string     // files in a .git that may be configurations of git
	Closed  []string     // directories that cannot be listed, or lie too deep
	Sockets []string     // of the host, as paths of the host
	Files   []string     // with Inodes: what may have one of these numbers
	Names   int          // number of names that have been looked at
	Memory  *walk.Memory // what Recall has returned; or nil

	extra   picture.Extras
	special map[string]bool // directories with something of the launcher's in them, or further down
	first   firstNames
	roots   []*under // what is left for the host's walk
	hits    []hit
	begun   int  // number of calls of Below
	byName  bool // do not leave anything for the host's walk
	looked  int  // how many directories of Tree have been searched
	git     bool // one of the calls of Below asked for repositories
	err     error
}

// Match is a path inside that a rule has found. If Rest is not empty, the path is a link, and the match is what Rest
// finds behind it.
type Match struct {
	Rule int // index in Search.Rules
	Path string
	Link bool
	Rest []string
	Way  []string // the paths that matched the names before the last one
}

// Begun is a rule whose first names have matched; Names holds the rest.
type Begun struct {
	Rule  int
	Names []string
	Way   []string // the paths that have matched
}

// under is what holds for a directory that the host's walk is in, and for most directories below it.
type under struct {
	root         int    // the call of Below that it belongs to
	host, inside string // the directory at which the host's walk began, and where the sandbox shows it
	git          bool   // look for repositories
	inGit        int    // number of directories named .git that contain the directory
	begun        []Begun
}

// hit is one thing that was found.
type hit struct {
	kind  kind
	root  int
	path  string // inside
	match Match
}

type kind uint8

const (
	isMatch kind = iota
	isGit
	isConfig
	isClosed
	isSocket
	isFile
)

// Below searches a directory inside and everything below it. It may leave a part of the work for Run. With git set it
// also looks for repositories.
func (s *Search) Below(target string, begun []Begun, git bool) {
	if s.extra == nil {
		s.extra = s.Tree.Extras()
		s.special = s.extra.Above()
		s.first = newFirstNames(s.Rules)
		if s.Step != nil {
			s.err = s.Step(0)
		}
	}
	s.begun++
	s.git = s.git || git
	s.dir(target, &under{root: s.begun, git: git, begun: begun})
}

// Whole records that a rule matches a directory that is bound, or one above it, so that all of it is hidden.
func (s *Search) Whole(rule int, target string) {
	s.begun++
	s.hits = append(s.hits, hit{kind: isMatch, root: s.begun, path: target, match: Match{Rule: rule, Path: target}})
}

// Run searches what Below has left for it. Its error is that of Step.
func (s *Search) Run() error {
	if len(s.roots) > 0 && s.err == nil {
		s.walk()
		slices.SortStableFunc(s.hits, func(a, b hit) int {
			return cmp.Or(cmp.Compare(a.root, b.root), compare(a.path, b.path))
		})
	}
	for i := range s.hits {
		switch h := &s.hits[i]; h.kind {
		case isMatch:
			s.Found = append(s.Found, h.match)
		case isGit:
			s.Gits = append(s.Gits, h.path)
		case isConfig:
			s.Configs = append(s.Configs, h.path)
		case isClosed:
			s.Closed = append(s.Closed, h.path)
		case isSocket:
			if host := s.Tree.HostPath(h.path); host != "" {
				s.Sockets = append(s.Sockets, host)
			}
		case isFile:
			s.Files = append(s.Files, h.path)
		}
	}
	s.hits = nil
	if s.err == nil && s.Step != nil && s.Names > 0 {
		s.err = s.Step(s.Names)
	}
	return s.err
}

// compare orders paths as a walk comes to them: what lies in a directory comes directly after the directory.
func compare(a, b string) int {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// dir searches a directory of Tree. If it cannot list the directory, it hides the directory whole for the first
// rule, because a match could lie in it. It goes into no directory through a link, so it ends.
func (s *Search) dir(dir string, u *under) {
	if s.full() {
		return
	}
	p := s.Tree.At(dir)
	// The kernel's own file systems have no files of the user, and can be very large.
	if paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || s.Skip != "" && p.What == s.Skip {
		return
	}
	if s.plain(dir, p) {
		left := *u
		left.host, left.inside = s.Tree.HostPath(dir), dir
		s.roots = append(s.roots, &left)
		return
	}
	entries, err := s.Tree.List(dir, s.extra)
	switch {
	case err != nil && s.Inodes != nil: // a bind of a single file, which cannot be listed
		s.hits = append(s.hits, hit{kind: isFile, root: u.root, path: dir})
		return
	case fail.NotThere(err):
		return
	case err != nil, len(dir) > MaxPath, len(s.Tree.HostPath(dir)) > MaxPath:
		s.closed(&s.hits, dir, u)
		return
	}
	s.Names += len(entries)
	if s.looked++; s.looked%stepEvery == 0 && s.Step != nil {
		s.err = s.Step(s.Names)
	}
	var parts GitParts
	for i := range entries {
		e := &entries[i]
		parts.See(e.Name)
		kind := aFile
		switch {
		case e.Link != "":
			kind = aLink
		case e.Dir:
			kind = aDir
		case e.Socket:
			kind = aSocket
		}
		path := paths.Join(dir, e.Name)
		if into, next := s.entry(&s.hits, u, path, e.Name, kind); into {
			s.dir(path, next)
		}
	}
	if u.git && u.inGit == 0 && parts.Whole() {
		s.hits = append(s.hits, hit{kind: isGit, root: u.root, path: dir})
	}
}

// full reports whether the search has ended before its end: the caller refuses then, because a repository that was not
// found would not be protected.
func (s *Search) full() bool { return s.err != nil || s.git && s.Names > MaxNames }

// plain reports whether the host's walk can take a directory: the sandbox shows it and everything below it as the host
// has it.
func (s *Search) plain(dir string, p *picture.Part) bool {
	return !s.byName && !s.special[dir] && p.Source != "" && p.Upper == "" && !p.Opaque && !p.File && s.walker() != nil
}

// walker returns the host's walk, or nil if the host has none: files of a test, or another mount namespace.
func (s *Search) walker() interface{ Walk(t *walk.Tree) error } {
	w, _ := s.Tree.Files.(interface{ Walk(t *walk.Tree) error })
	return w
}

func (s *Search) closed(hits *[]hit, dir string, u *under) {
	*hits = append(*hits, hit{kind: isClosed, root: u.root, path: dir})
	if len(s.Rules) > 0 {
		*hits = append(*hits, hit{kind: isMatch, root: u.root, path: dir, match: Match{Path: dir}})
	}
}

// fileKind is the type of a file, as far as it matters.
type fileKind uint8

const (
	aFile fileKind = iota
	aDir
	aLink
	aSocket
)

// entry matches one name in a directory. It reports whether the search goes on below it, and with what. It does not,
// if the name matched a rule as a whole: then it is hidden.
func (s *Search) entry(hits *[]hit, u *under, path, name string, is fileKind) (into bool, next *under) {
	if s.Inodes != nil {
		if is != aDir {
			*hits = append(*hits, hit{kind: isFile, root: u.root, path: path})
		}
		return is == aDir, u
	}
	deeper, whole := s.match(hits, u, path, name, is)
	if whole {
		return false, nil
	}
	// Only here, because what a rule hides whole needs no protection, and nothing in it need be found.
	switch {
	case is == aSocket:
		*hits = append(*hits, hit{kind: isSocket, root: u.root, path: path})
	case !u.git:
	case u.inGit == 0 && name == ".git":
		*hits = append(*hits, hit{kind: isGit, root: u.root, path: path})
	case u.inGit > 0 && is != aDir && strings.HasPrefix(name, "config"):
		*hits = append(*hits, hit{kind: isConfig, root: u.root, path: path})
	}
	switch is {
	case aLink:
		s.behind(hits, u, path, deeper)
	case aDir:
		return true, u.below(name, deeper)
	}
	return false, nil
}

// behind records what remains to be matched behind a link.
func (s *Search) behind(hits *[]hit, u *under, link string, deeper []Begun) {
	for _, b := range deeper {
		*hits = append(*hits, hit{kind: isMatch, root: u.root, path: link,
			match: Match{Rule: b.Rule, Path: link, Link: true, Rest: b.Names, Way: b.Way}})
	}
}

// below returns what holds in a directory of u, which is mostly u itself.
func (u *under) below(name string, deeper []Begun) *under {
	if len(u.begun) == 0 && len(deeper) == 0 && name != ".git" {
		return u
	}
	next := *u
	next.begun = deeper
	if name == ".git" {
		next.inGit++
	}
	return &next
}

// match compares a name with the next name of each rule. It returns the rules that go on below the name, or whole if a
// rule has matched to its end.
func (s *Search) match(hits *[]hit, u *under, path, name string, is fileKind) (deeper []Begun, whole bool) {
	try := func(b *Begun) bool {
		if !matches(b.Names[0], name) {
			return false
		}
		if len(b.Names) > 1 {
			// The way is copied, because other entries of this directory continue the same one.
			deeper = append(deeper, Begun{b.Rule, b.Names[1:], append(slices.Clone(b.Way), path)})
			return false
		}
		*hits = append(*hits, hit{kind: isMatch, root: u.root, path: path,
			match: Match{Rule: b.Rule, Path: path, Link: is == aLink, Way: b.Way}})
		return true
	}
	for i := range s.Rules {
		if try(&Begun{Rule: i, Names: s.Rules[i]}) {
			return nil, true
		}
	}
	for i := range u.begun {
		if try(&u.begun[i]) {
			return nil, true
		}
	}
	return deeper, false
}

// again looks once more at a directory of the host that the walk could not read. If it is no directory any more, it is
// what a listing says now.
func (s *Search) again(dir string, u *under, err error) {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		if n, err := s.Tree.Entry(dir); err == nil && !n.Dir {
			if n.Link != "" {
				s.behind(&s.hits, u, dir, u.begun)
			}
			return
		}
	}
	s.byName = true
	s.dir(dir, u)
	s.byName = false
}
