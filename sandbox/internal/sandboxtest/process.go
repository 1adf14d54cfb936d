package sandboxtest

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FirstDiff returns the first line in which two texts differ, as a diff.
func FirstDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "-" + w[i] + "\n+" + g[i]
		}
	}
	return "one is longer than the other"
}

// Slow multiplies a time limit of a test by the variable CORDON_SLOW, which says how many times slower this machine is
// than an ordinary one.
func Slow(d time.Duration) time.Duration {
	if n, err := strconv.Atoi(os.Getenv("CORDON_SLOW")); err == nil && n > 1 {
		return d * time.Duration(n)
	}
	return d
}

// Descriptors returns how many descriptors this process has open.
func Descriptors(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}
