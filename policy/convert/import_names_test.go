package convert

import (
	"slices"
	"testing"
)

// TestUnknownTwice checks that an entry with only unknown names is left out, and never counts as exact, even if the
// file contains it several times.
func TestUnknownTwice(t *testing.T) {
	const entries = `"syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL"},{"names":["bogus"],"action":"SCMP_ACT_LOG"},
		{"names":["bogus"],"action":"SCMP_ACT_LOG"},{"names":["read","bogus"],"action":"SCMP_ACT_ERRNO"}]}`
	for _, tt := range []struct {
		deflt string
		want  []string
	}{
		{"SCMP_ACT_ALLOW", []string{"approximated tighter bogus", "approximated tighter bogus", "dropped wider bogus"}},
		{"SCMP_ACT_TRAP", []string{"approximated tighter bogus", "approximated tighter bogus", "approximated  bogus"}},
	} {
		_, res := section(t, `{"defaultAction":"`+tt.deflt+`","architectures":["SCMP_ARCH_X86_64"],`+entries, amd64, ImportOptions{})
		got := inexact(res)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, not %q", tt.deflt, got, tt.want)
		}
		exact := 0
		for _, n := range res.Notes {
			if n.Class == Exact {
				exact++
			}
		}
		if exact != 1 {
			t.Errorf("%s: %d exact", tt.deflt, exact)
		}
	}
}
