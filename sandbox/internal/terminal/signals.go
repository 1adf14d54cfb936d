package terminal

import "time"

// A second Ctrl-C ends the sandbox only if it comes within these limits after the first. If it comes sooner, it is the
// same one, which a program between the terminal and the launcher has also passed on.
const (
	Soonest = 100 * time.Millisecond
	latest  = 2 * time.Second
)

// IsSecond reports whether a Ctrl-C at now counts as the second one, after one at last.
func IsSecond(last, now time.Time) bool {
	return !last.IsZero() && now.Sub(last) >= Soonest && now.Sub(last) <= latest
}
