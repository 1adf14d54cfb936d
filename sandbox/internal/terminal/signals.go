package terminal

import "time"

// A second interrupt counts within these: sooner, it is the same one, which a program between the terminal and the launcher
// has passed on.
const (
	Soonest = 100 * time.Millisecond
	latest  = 2 * time.Second
)

// IsSecond reports whether an interrupt is the second.
func IsSecond(last, now time.Time) bool {
	return !last.IsZero() && now.Sub(last) >= Soonest && now.Sub(last) <= latest
}
