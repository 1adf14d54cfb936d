package launch

import (
	"testing"
	"time"
)

// TestThrottle checks that the first calls are answered as they come, and later ones at the rate. After a pause, more
// calls may be answered at once.
func TestThrottle(t *testing.T) {
	clock, paused := time.Unix(1_000_000, 0), 0
	now := func() time.Time { return clock }
	var th throttle
	answer := func(n int) {
		for range n {
			if th.spend(now) {
				paused++
				clock = clock.Add(denialPause)
			}
		}
	}
	if answer(denialBurst - 1); paused != 0 {
		t.Fatalf("%d pauses in the first burst", paused)
	}
	began := clock
	answer(5 * denialRate)
	if took := clock.Sub(began); took < 4900*time.Millisecond || took > 5100*time.Millisecond {
		t.Errorf("%d calls took %v", 5*denialRate, took)
	}
	clock, paused = clock.Add(time.Hour), 0
	if answer(denialBurst - 1); paused > 1 {
		t.Errorf("%d pauses behind an hour of rest", paused)
	}
}
