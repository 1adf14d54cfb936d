package main

import "testing"

// What somebody ended was not seen to its end; what ended by itself was, by a fault of its own too.
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
