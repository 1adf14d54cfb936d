//go:build cgo && libseccomp

package main

import "testing"

// TestRules checks that the rules that are written for libseccomp by hand agree with the profile. The benchmark would
// show a difference much later, because it is run rarely.
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
