package main

import "testing"

// TestRecordStopped checks that a recording counts as incomplete if somebody ended the program, and as complete if the
// program ended without help, even by a fault of its own.
func TestRecordStopped(t *testing.T) {
	for end, want := range map[string]bool{
		"exit 0": false, "exit 143": false, "ended": false, "signal 6": false, "signal 11": false,
		"interrupted": true, "signal 2": true, "signal 9": true, "signal 15": true,
	} {
		if got := stopped(end); got != want {
			t.Errorf("%s: %v", end, got)
		}
	}
}
