package launch

// lookForRepositories reports repositories that have appeared during the run.
func (p *Process) lookForRepositories() {
	s := p.Comp.GitSeen
	if s == nil {
		return
	}
	found, complete := s.Appeared()
	if !complete {
		found = append(found, "there may be more repositories than before: a directory cannot be looked through")
	}
	p.Report.Appeared = found
}
