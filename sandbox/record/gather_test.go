package record

import (
	"strings"
	"testing"

	"cordon/policy/filter"
	"cordon/policy/recording"
)

// TestBytesAreBounded checks that a program cannot make the recorder remember more than the bound, however long its
// paths are.
func TestBytesAreBounded(t *testing.T) {
	g := newGather(filter.AMD64)
	text := func(i int) string { return "/" + strings.Repeat("x", 3000) + "/" + strings.Repeat("y", i%1000) }
	added := 0
	for i := range maxBytes / 3000 {
		f := fact{0, recording.KindPath, text(i) + string(rune('a'+i/1000)), 0}
		g.add(f, recording.Event{Path: f.text})
		if g.events[f] != nil {
			added++
		}
	}
	if g.bytes > maxBytes || added == 0 || g.dropped == 0 || g.lost["path"] != g.dropped {
		t.Errorf("%d bytes in %d facts, %d dropped, lost %v", g.bytes, added, g.dropped, g.lost)
	}
	if exe := g.executable(recording.Executable{Path: text(999)}); exe != -1 || len(g.exes.Executables) != 0 {
		t.Errorf("executable %d behind the end", exe)
	}
}
