package sandbox

import "io/fs"

// gitSeen is where repositories were when the sandbox started, to find those that appear.
type gitSeen struct {
	files Files
	dirs  []string // of the host, that the task may write to
	seen  map[string]bool
	names int
	found []string
	late  []string // what the configuration of a repository names, and was not there
	blind bool     // something could not be looked through
}

// newGitSeen remembers the repositories that a search has found.
func newGitSeen(c *compilation, f *finder, windows []window) *gitSeen {
	s := &gitSeen{files: c.host.Files, seen: map[string]bool{}}
	for _, path := range f.gits {
		if host := c.tree.hostPath(path); host != "" {
			s.seen[host] = true
		} else if p := c.tree.at(path); p != nil && p.behind != "" {
			s.seen[p.behind] = true
		}
	}
	for _, w := range windows {
		if p := c.tree.at(w.target); w.write && p != nil && !p.layer && !p.file {
			s.dirs = append(s.dirs, w.source)
		}
	}
	return s
}

// appeared lists what is named .git now and was not there before. The task is gone, so nothing moves any more.
func (s *gitSeen) appeared() (found []string, complete bool) {
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
		s.blind = s.blind || !notThere(err)
		return
	}
	for _, e := range entries {
		path := joinPath(dir, e.Name())
		switch {
		case e.Name() != ".git":
			if e.Type()&fs.ModeType == fs.ModeDir {
				s.look(path)
			}
		case !s.seen[path]:
			s.seen[path] = true
			s.found = append(s.found, path)
		}
	}
}

// lookForRepositories reports repositories that have appeared during the run.
func (p *process) lookForRepositories() {
	s := p.comp.gitSeen
	if s == nil {
		return
	}
	found, complete := s.appeared()
	p.report.Appeared = found
	if !complete {
		p.report.Appeared = append(p.report.Appeared, "(there may be more: a directory cannot be looked through)")
	}
}
