package terminal

import (
	"strings"
	"testing"
)

// TestTypedEnd checks that nothing is put back that was not typed.
func TestTypedEnd(t *testing.T) {
	for _, tt := range []struct{ typed, left, want string }{
		{"", "", ""},
		{"one\rtwo\r", "two\n", "two\r"},
		{"one\rtwo\r", "one\ntwo\n", "one\rtwo\r"},
		{"one\rtwo", "two", "two"},
		{"one\rtwo\r", "rm -rf ~\n", ""}, // put there by the task
		{"one\rtwo\r", "one\n", ""},
		{"two\r", "one\ntwo\n", ""}, // more than was typed
		{"tow\x7f\x7fwo\r", "two\n", ""},
		{"\x1b[A", "\x1b[A", "\x1b[A"},
	} {
		if got := string(typedEnd([]byte(tt.typed), []byte(tt.left))); got != tt.want {
			t.Errorf("typed %q, left %q: %q, want %q", tt.typed, tt.left, got, tt.want)
		}
	}
	term := &Terminal{}
	term.remember([]byte(strings.Repeat("x", maxAhead)))
	if term.remember([]byte("yz")); len(term.ahead) != maxAhead || !strings.HasSuffix(string(term.ahead), "xyz") {
		t.Errorf("%d bytes are remembered", len(term.ahead))
	}
}
