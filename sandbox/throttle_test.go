package sandbox

import (
	"strings"
	"testing"
	"time"
)

// TestThrottle: the first calls are answered as they come, later ones at the rate, and a pause earns answers.
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

// TestUserLimits: a sandbox gets a part of what its user has, where the kernel says how much that is.
func TestUserLimits(t *testing.T) {
	for text, want := range map[string]string{"128\n": `"32"`, "3\n": "", "": "", "many\n": ""} {
		h := fakeUser()
		h.Files.(fakeFiles).put("/proc/sys/user/max_inotify_instances", fakeFile{mode: 0o644, text: text})
		plan := goldenOf(t, hostRoot(), h)
		if at := strings.Index(plan, "/proc/sys/user/max_inotify_instances"); (at >= 0) != (want != "") ||
			at >= 0 && !strings.Contains(plan[at:at+300], want) {
			t.Errorf("%q: %s", text, plan[max(0, at):min(len(plan), max(0, at)+300)])
		}
	}
}
