package policy

import (
	"slices"
	"testing"
)

// A file lifts a rule by its text, or shows a path below one; what no rule hides, and what a pattern finds, is an error.
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
