package launch

import (
	"slices"
	"testing"
)

func TestSubordinate(t *testing.T) {
	const text = "# comment\nann:100000:65536\nbob:200000:65536\n1000:300000:10\n\nann:x:1\nann:5:-1\nann:0:10\nann:1:2:3\n ann:400000:1 \n:9:9\n"
	got := subordinate(text, "ann", 1000)
	if want := [][2]int{{100000, 65536}, {300000, 10}, {400000, 1}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := subordinate(text, "", 7); len(got) != 0 {
		t.Errorf("nobody has %v", got)
	}
}
