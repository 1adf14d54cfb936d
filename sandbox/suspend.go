package sandbox

// A launcher that stops with its task: Ctrl-Z. A stopped launcher measures no time, but processes of the sandbox may go on: the
// main process can even stop by itself, so that the launcher follows. So before it stops, the launcher has the kernel continue
// it when a limit of time can be reached.

import (
	"time"

	"cordon/sandbox/internal/child"
)

// stopSelf stops the launcher, and with group the others of its process group, until it is continued or a limit is reached.
func (p *process) stopSelf(group bool) {
	for p.limit == "" {
		due := p.nextLimit()
		if due.IsZero() {
			child.Suspend(group)
			return
		}
		cancel := child.ContinueAfter(time.Until(due))
		child.Suspend(group)
		cancel()
		if time.Now().Before(due) || p.timeOver() || p.terminal != nil && p.terminal.foreground() {
			return
		}
		group = false
	}
}

// nextLimit is when a limit of time can be reached at the earliest; zero for never.
func (p *process) nextLimit() (due time.Time) {
	limits := &p.comp.profile.Limits
	if limits.CPUTime.Set {
		left := limits.CPUTime.V - p.cpuUsed()
		due = time.Now().Add(max(cpuStep, left/time.Duration(processors())))
	}
	if limits.Wall.Set && (due.IsZero() || p.wallEnds.Before(due)) {
		due = p.wallEnds
	}
	return due
}

// timeOver reports whether a limit of time is reached.
func (p *process) timeOver() bool {
	limits := &p.comp.profile.Limits
	return limits.Wall.Set && !time.Now().Before(p.wallEnds) || limits.CPUTime.Set && p.cpuUsed() >= limits.CPUTime.V
}
