package terminal

import "time"

// An interrupt counts as the second one if it comes within these limits after the first. If it comes sooner, it is
// the same interrupt, which a program between the terminal and the launcher has also passed on.
const (
	Soonest = 100 * time.Millisecond
	latest  = 2 * time.Second
)

// IsSecond reports whether an interrupt at now, after one at last, counts as the second.
func IsSecond(last, now time.Time) bool {
	return !last.IsZero() && now.Sub(last) >= Soonest && now.Sub(last) <= latest
}
