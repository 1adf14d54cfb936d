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
	// MaxNames bounds a search that must be complete. If the search for repositories needs to look at more names, the
	// sandbox does not start.
	MaxNames = 2_000_000
	// MaxPath is the longest path that is searched, in bytes. The kernel accepts 4095 bytes. A program can reach deeper
	// files only step by step, so a directory with a longer path gets hidden as a whole.
	MaxPath = 3800

	stepEvery = 128 // Step is called each time after this many directories of Tree
)

// Search is one search. Its maker sets the first fields, calls Below for each directory, and then Run. The other fields
// are the result. They have the order of a walk that sorts each directory by name.
type Search struct {
	Tree  *picture.Tree
	Two   bool       // see walk.Tree.Two
	Rules [][]string // the names of each rule: "a" and "*.key" for a/*.key
	Skip  string     // the What of mounts that contain nothing of the user
	// Inodes, unless nil, makes the search look for files with these inode numbers instead. It finds all of them, and
	// may also find other files.
	Inodes map[uint64]bool
	Step   func(names int) error // see walk.Tree.Step; the first call, with 0, comes before the search
	// Recall, unless nil, returns the memory with a key. The memory keeps the names for which keep returns true.
	Recall func(key string, keep func(name []byte, kind uint8) bool) *walk.Memory

	Found   []Match
	Gits    []string     // everything that is named .git, and bare repositories, except those inside a .git
	Configs []string     // files in a .git that may be configurations of git
	Closed  []string     // directories that cannot be listed, or are too deep
	Sockets []string     // paths of the host's sockets, on the host
	Files   []string     // with Inodes: files that may have one of these numbers
	Names   int          // how many names the search has looked at
	Memory  *walk.Memory // the result of Recall, or nil

	extra   picture.Extras
	special map[string]bool // directories that contain a file or a mount of the launcher, at any depth
	first   firstNames
	roots   []*under // the remaining directories for the host's walk
	hits    []hit
	begun   int  // number of calls of Below
	byName  bool // leave nothing for the host's walk
	looked  int  // how many directories of Tree have been searched
	git     bool // some call of Below asked for repositories
	err     error
}

// Match is a path in the sandbox that a rule has found. If Rest is not empty, the path is a link, and the match is what
// Rest finds in the link's target.
type Match struct {
	Rule int // index in Search.Rules
	Path string
	Link bool
	Rest []string
	Way  []string // the paths that matched the names of the rule before the last one
}

// Begun is a rule whose first names have matched. Names holds the names that still have to match.
type Begun struct {
	Rule  int
	Names []string
	Way   []string // the paths that have matched
}

// under describes a directory in which the host's walk is. It also applies to most directories below it.
type under struct {
	root         int    // the number of the call of Below that it belongs to
	host, inside string // the directory at which the host's walk began, on the host and in the sandbox
	git          bool   // look for repositories
	inGit        int    // how many directories named .git contain the directory
	begun        []Begun
}

// hit is one result of a search.
type hit struct {
	kind  kind
	root  int
	path  string // the path in the sandbox
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

// Below searches a directory of the sandbox and everything below it. It may leave a part of the work for Run. If git is
// set, it also looks for repositories.
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

// Whole records that a rule matches a bound directory, or a directory above it, so that the whole directory gets
// hidden.
func (s *Search) Whole(rule int, target string) {
	s.begun++
	s.hits = append(s.hits, hit{kind: isMatch, root: s.begun, path: target, match: Match{Rule: rule, Path: target}})
}

// Run does the work that the calls of Below have left. Its error is the error of Step.
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

// compare orders paths as a walk does: the content of a directory comes directly after the directory.
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

// dir searches a directory of Tree. If it cannot list the directory, it hides the whole directory for the first rule,
// because the directory could contain a match. It enters no directory through a link, so it cannot run in a circle.
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
	case err != nil && s.Inodes != nil: // a bind of a single file
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

// full reports whether the search has ended too early. The caller then refuses to start the sandbox, because a
// repository that was not found would not be protected.
func (s *Search) full() bool { return s.err != nil || s.git && s.Names > MaxNames }

// plain reports whether the host's walk can take over a directory: the sandbox shows the directory and everything below
// it as the host does.
func (s *Search) plain(dir string, p *picture.Part) bool {
	return !s.byName && !s.special[dir] && p.Source != "" && p.Upper == "" && !p.Opaque && !p.File && s.walker() != nil
}

// walker returns the host's walk. It returns nil if the host has none, because the files are those of a test or of
// another mount namespace.
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

// fileKind is the type of a file, as far as the search distinguishes types.
type fileKind uint8

const (
	aFile fileKind = iota
	aDir
	aLink
	aSocket
)

// entry matches one name in a directory. It reports whether the search continues below the name, and returns the state
// for it. If a rule has matched the name as a whole, the search does not continue, because the name gets hidden.
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
	// This comes after the rules, because a hidden file needs no protection, and nothing inside it needs to be found.
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

// behind records which names of a rule still have to match in the target of a link.
func (s *Search) behind(hits *[]hit, u *under, link string, deeper []Begun) {
	for _, b := range deeper {
		*hits = append(*hits, hit{kind: isMatch, root: u.root, path: link,
			match: Match{Rule: b.Rule, Path: link, Link: true, Rest: b.Names, Way: b.Way}})
	}
}

// below returns the state for a directory in u. Mostly that is u itself.
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

// match compares a name with the next name of each rule. It returns the rules that continue below the name. whole is
// true if a rule has matched to its end.
func (s *Search) match(hits *[]hit, u *under, path, name string, is fileKind) (deeper []Begun, whole bool) {
	try := func(b *Begun) bool {
		if !matches(b.Names[0], name) {
			return false
		}
		if len(b.Names) > 1 {
			// The slice is copied, because other entries of this directory append to the same slice.
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

// again looks once more at a directory of the host that the walk could not read. If another file has taken its place,
// again takes the type of the file from a new listing.
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
