package policy

import (
	"slices"
	"testing"
)

// TestLiftedHide checks that a profile can remove a hide rule by its text, and can show a path below a hidden
// directory. It is an error to do so if no rule hides the path, or if only a pattern matches it.
func TestLiftedHide(t *testing.T) {
	base := profileOf(t, "hide: [~/.ssh, ~/.netrc, \"**/.env\", \"~/.k*\"]\n")
	over := profileOf(t, "hide: [{remove: ~/.netrc}, {remove: ~/.ssh/known_hosts}, {remove: ~/.other}, {remove: ~/.kube/x}, /more]\n")
	p := Merge(base, over)
	var left []string
	for _, h := range p.Hide {
		left = append(left, h.Pattern)
	}
	if want := []string{"~/.ssh", "**/.env", "~/.k*", "/more"}; !slices.Equal(left, want) {
		t.Errorf("%q, want %q", left, want)
	}
	if len(p.Lifted) != 2 || p.Lifted[0].Pattern != "~/.netrc" || p.Lifted[1].Pattern != "~/.ssh/known_hosts" {
		t.Errorf("%+v", p.Lifted)
	}
	if len(p.Remove) != 2 || Validate(p) == nil {
		t.Errorf("%+v", p.Remove)
	}
}
