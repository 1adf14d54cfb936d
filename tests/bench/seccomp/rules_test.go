//go:build cgo && libseccomp

package main

import "testing"

// TestRules keeps the rules that are written for libseccomp by hand in step with the profile: a benchmark that is run
// rarely would be the last to notice.
func TestRules(t *testing.T) {
	for _, set := range []func() (*rules, error){docker, shipped} {
		r, err := set()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.rows(); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}
