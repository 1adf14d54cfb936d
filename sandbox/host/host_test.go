package host

import "testing"

func TestKernelRelease(t *testing.T) {
	for text, want := range map[string][2]int{"6.18.44-fc-v669": {6, 18}, "5.15.0": {5, 15}, "6.1": {6, 1}, "7": {7, 0}, "": {0, 0}, "x.y": {0, 0}} {
		if got := Release(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
