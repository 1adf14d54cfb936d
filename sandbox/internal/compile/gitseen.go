package compile

import (
	"io/fs"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
)

// gitSeen is where repositories were when the sandbox started, to find those that appear.
type gitSeen struct {
	files host.Files
	dirs  []string // of the host, that the task may write to
	seen  map[string]fileID
	names int
	found []string
	late  []string // what the configuration of a repository names, and was not there
	blind bool     // something could not be looked through
}

// newGitSeen remembers the repositories that a search has found.
func newGitSeen(c *Compilation, f *finder, windows []window) *gitSeen {
	s := &gitSeen{files: c.Host.Files, seen: map[string]fileID{}}
	for _, path := range f.gits {
		if host := c.Tree.HostPath(path); host != "" {
			s.seen[host] = fileOf(c.Tree.Lstat(host))
		} else if p := c.Tree.At(path); p != nil && p.Behind != "" {
			s.seen[p.Behind] = fileOf(c.Tree.Lstat(p.Behind))
		}
	}
	for _, w := range windows {
		if p := c.Tree.At(w.target); w.write && p != nil && !p.Layer && !p.File {
			s.dirs = append(s.dirs, w.source)
		}
	}
	return s
}

// Appeared lists the repositories that are there now and were not before, or were another one. The task is gone, so nothing moves any more.
func (s *gitSeen) Appeared() (found []string, complete bool) {
	for _, dir := range s.dirs {
		s.look(dir)
	}
	for _, path := range s.late {
		if _, err := s.files.Lstat(path); err == nil {
			s.found = append(s.found, path)
		}
	}
	return s.found, !s.blind
}

func (s *gitSeen) look(dir string) {
	entries, err := s.files.ReadDir(dir)
	s.names += len(entries)
	if err != nil || s.names > maxNames || len(dir) > maxPath {
		s.blind = s.blind || !fail.NotThere(err)
		return
	}
	var parts gitParts
	for _, e := range entries {
		path := paths.Join(dir, e.Name())
		parts.see(e.Name())
		if e.Name() == ".git" {
			s.compare(path)
		} else if e.Type()&fs.ModeType == fs.ModeDir {
			s.look(path)
		}
	}
	if parts.whole() {
		s.compare(dir)
	}
}

// compare notes a repository that was not there, or that has taken the place of another one.
func (s *gitSeen) compare(path string) {
	now := fileOf(s.files.Lstat(path))
	if was, ok := s.seen[path]; !ok || was != now {
		s.seen[path] = now
		s.found = append(s.found, path)
	}
}
