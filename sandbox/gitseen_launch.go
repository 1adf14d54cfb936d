package sandbox

// lookForRepositories reports repositories that have appeared during the run.
func (p *process) lookForRepositories() {
	s := p.comp.gitSeen
	if s == nil {
		return
	}
	found, complete := s.appeared()
	if !complete {
		found = append(found, "there may be more repositories than before: a directory cannot be looked through")
	}
	p.report.Appeared = found
}
