package launch

// A launcher that stops with its task: Ctrl-Z. A stopped launcher measures no time, but processes of the sandbox may go on: the
// main process can even stop by itself, so that the launcher follows. So before it stops, the launcher has the kernel continue
// it when a limit of time can be reached.

import (
	"time"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
)

// stopSelf stops the launcher, and with group the others of its process group, until it is continued or a limit is reached.
func (p *Process) stopSelf(group bool) {
	for p.limit == "" {
		due := p.nextLimit()
		if due.IsZero() {
			child.Suspend(group)
			return
		}
		cancel := child.ContinueAfter(time.Until(due))
		child.Suspend(group)
		cancel()
		if time.Now().Before(due) || p.timeOver() || p.terminal != nil && p.terminal.Foreground() {
			return
		}
		group = false
	}
}

// nextLimit is when a limit of time can be reached at the earliest; zero for never.
func (p *Process) nextLimit() (due time.Time) {
	limits := &p.Comp.Profile.Limits
	if limits.CPUTime.Set {
		left := limits.CPUTime.V - p.cpuUsed()
		due = time.Now().Add(max(compile.CPUStep, left/time.Duration(Processors())))
	}
	if limits.Wall.Set && (due.IsZero() || p.wallEnds.Before(due)) {
		due = p.wallEnds
	}
	return due
}

// timeOver reports whether a limit of time is reached.
func (p *Process) timeOver() bool {
	limits := &p.Comp.Profile.Limits
	return limits.Wall.Set && !time.Now().Before(p.wallEnds) || limits.CPUTime.Set && p.cpuUsed() >= limits.CPUTime.V
}
