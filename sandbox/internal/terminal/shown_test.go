package terminal

import (
	"strings"
	"testing"
)

// TestLastOf checks that lastOf keeps the end of the output, in whatever pieces the output comes.
func TestLastOf(t *testing.T) {
	all := strings.Repeat("0123456789", 2000)
	for _, step := range []int{1, 7, 4095, 4096, 4097, 10_000, 20_000} {
		var kept []byte
		for i := 0; i < len(all); i += step {
			kept = lastOf(kept, []byte(all[i:min(i+step, len(all))]))
		}
		if string(kept) != all[len(all)-tailSize:] {
			t.Errorf("in steps of %d: %d bytes", step, len(kept))
		}
	}
	if (*Terminal)(nil).Last() != nil {
		t.Error("a nil terminal has shown something")
	}
}
