package sandbox

import (
	"strings"
	"testing"

	"cordon/sandbox/internal/sandboxtest"
)

// TestUserLimits checks that a sandbox gets a part of its user's limit, if the kernel says how high that limit is.
func TestUserLimits(t *testing.T) {
	for text, want := range map[string]string{"128\n": `"32"`, "3\n": "", "": "", "many\n": ""} {
		h := sandboxtest.FakeUser()
		h.Files.(sandboxtest.FakeFiles).Put("/proc/sys/user/max_inotify_instances", sandboxtest.FakeFile{Perm: 0o644, Text: text})
		plan := goldenOf(t, sandboxtest.HostRoot(), h)
		if at := strings.Index(plan, "/proc/sys/user/max_inotify_instances"); (at >= 0) != (want != "") ||
			at >= 0 && !strings.Contains(plan[at:at+300], want) {
			t.Errorf("%q: %s", text, plan[max(0, at):min(len(plan), max(0, at)+300)])
		}
	}
}
