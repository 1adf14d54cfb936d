package launch

// How many denied calls the launcher answers. Each costs the launcher about as much as the task, and nobody charges the
// sandbox for it: the launcher is outside of its cgroup. So a task that makes denied calls without end waits longer for the
// answers, and no other call does.

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	denialBurst = 1 << 16               // calls that are answered as they come
	denialRate  = 10_000                // calls per second beyond those: about a tenth of a processor
	denialPause = 10 * time.Millisecond // how long the launcher looks away when it has answered as many as it may
)

// throttle counts the answers that the launcher may still give at once.
type throttle struct {
	used  int       // since
	since time.Time // zero before the first burst is used up
}

// spend takes one answer, and reports whether it was the last for now. It asks for the time only where many were taken.
func (t *throttle) spend(now func() time.Time) (last bool) {
	if t.used++; t.used < denialBurst {
		return false
	}
	at := now()
	if !t.since.IsZero() {
		t.used = max(0, t.used-int(min(at.Sub(t.since), time.Hour)*denialRate/time.Second))
	}
	t.since = at
	return t.used >= denialBurst
}

// rest leaves the listener alone for a moment.
func (p *Process) rest() {
	p.Unwatch(p.Listener)
	p.At(time.Now().Add(denialPause), func() {
		if p.Listener >= 0 {
			p.Watch(p.Listener, unix.POLLIN, p.handleNotification)
		}
	})
}
