package search

import (
	"path"
	"strings"
)

// matches reports whether a pattern matches a name. Package policy has already checked the pattern.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// firstNames finds out fast, and without an allocation, whether a name may match the first name of a rule.
type firstNames struct {
	plain map[string]bool // names without a wildcard
	ends  []string        // the ends of patterns that begin with their only wildcard, a star
	globs []string        // all other patterns
}

func newFirstNames(rules [][]string) firstNames {
	f := firstNames{plain: make(map[string]bool, len(rules))}
	for _, names := range rules {
		first := names[0]
		end, star := strings.CutPrefix(first, "*")
		switch {
		case !strings.ContainsAny(first, `*?[\`):
			f.plain[first] = true
		case star && !strings.ContainsAny(end, `*?[\`):
			f.ends = append(f.ends, end)
		default:
			f.globs = append(f.globs, first)
		}
	}
	return f
}

func (f *firstNames) has(name []byte) bool {
	if f.plain[string(name)] {
		return true
	}
	for _, end := range f.ends {
		if len(name) >= len(end) && string(name[len(name)-len(end):]) == end {
			return true
		}
	}
	for _, glob := range f.globs {
		if matches(glob, string(name)) {
			return true
		}
	}
	return false
}

// GitParts records which of the names exist by which git recognizes its own directories: gitrepository-layout(5).
type GitParts struct{ head, objects, refs, common bool }

// longestPart is the length of the longest of these names.
const longestPart = len("commondir")

// See records a name of the directory.
func (p *GitParts) See(name string) {
	switch name {
	case "HEAD":
		p.head = true
	case "objects":
		p.objects = true
	case "refs":
		p.refs = true
	case "commondir":
		p.common = true
	}
}

// isPart reports whether a name is .git, or a name that [GitParts.See] recognizes.
func isPart(name []byte) bool {
	switch string(name) {
	case ".git", "HEAD", "objects", "refs", "commondir":
		return true
	}
	return false
}

// Whole reports whether git takes a directory with these names for a repository. That includes bare repositories.
func (p *GitParts) Whole() bool { return p.head && (p.common || p.objects && p.refs) }
