package terminal

import "time"

// A second Ctrl-C ends the sandbox only if it comes within these limits after the first. If it comes sooner, it is not
// a second one: a program between the terminal and the launcher has passed on the first one too.
const (
	Soonest = 100 * time.Millisecond
	latest  = 2 * time.Second
)

// IsSecond reports whether a Ctrl-C at the time now is the second one, if there was one at the time last.
func IsSecond(last, now time.Time) bool {
	return !last.IsZero() && now.Sub(last) >= Soonest && now.Sub(last) <= latest
}
