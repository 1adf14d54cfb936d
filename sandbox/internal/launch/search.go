package launch

// This file watches the search of what is bound (package search), which can take seconds in a large tree: the program
// does not run yet, so the loop does not.

import (
	"time"

	"cordon/sandbox/internal/fail"
)

const (
	searchLook   = 50 * time.Millisecond  // between two looks at signals
	searchQuiet  = time.Second            // a search that takes longer reports its progress
	progressStep = 200 * time.Millisecond // between two reports
)

// searching is what the launcher knows of the searches of this launch.
type searching struct {
	last  time.Time     // of the last call of Process.searching
	took  time.Duration // all searches
	names int           // of the longest search
	look  time.Duration // when signals are looked at again, in terms of took
	tell  time.Duration // when progress is reported again
	told  bool
}

// searched is called during a search with the number of names so far, which is 0 at its start. It returns an error if a
// signal or the wall-clock limit ends the launch.
func (p *Process) searched(names int) error {
	s := &p.search
	now := time.Now()
	if names > 0 {
		s.took += now.Sub(s.last)
	}
	s.last, s.names = now, max(s.names, names)
	wall := p.Cmd.Profile.Limits.Wall
	if wall.Set && s.took >= wall.V {
		return &fail.TimeoutError{Limit: wall.V, Names: names}
	}
	if s.took < s.look {
		return nil
	}
	s.look = s.took + searchLook
	if p.Signals >= 0 {
		p.Forward()
	}
	if err := p.interrupted(); err != nil {
		return err
	}
	if p.Cmd.Progress != nil && s.took >= max(s.tell, searchQuiet) {
		s.tell, s.told = s.took+progressStep, true
		p.Cmd.Progress(names)
	}
	return nil
}

// endSearch tells the caller that the last search is over.
func (p *Process) endSearch() {
	if p.search.told {
		p.search.told = false
		p.Cmd.Progress(-1)
	}
}
