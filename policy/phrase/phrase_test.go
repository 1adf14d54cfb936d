package phrase

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestTexts(t *testing.T) {
	_, err := os.Open("/nonexistent")
	for _, tt := range []struct{ got, want string }{
		{Cause(err).Error(), "no such file or directory"},
		{Cause(&fs.PathError{Op: "open", Path: "x", Err: errors.New("y")}).Error(), "y"},
		{Prefixed(": ", ""), ""},
		{Prefixed(": ", "a"), ": a"},
		{Counted(1, "thing"), "1 thing"},
		{Counted(0, "thing"), "0 things"},
		{Index("a", 12), "a[12]"},
		{Short("a\n"), `"a\n"`},
		{Short(strings.Repeat("x", 79) + "é and more"), `"` + strings.Repeat("x", 79) + `…"`},
		{Short(strings.Repeat("x", 78) + "é and more"), `"` + strings.Repeat("x", 78) + `é…"`},
		{Short(strings.Repeat("\x80", 90)), `"` + strings.Repeat(`\x80`, 76) + `…"`},
		{Shell("/a/b.c-1"), "/a/b.c-1"},
		{Shell("a b'c"), `'a b'\''c'`},
		{Shell(""), "''"},
		{Short(strings.Repeat("x", 81)), `"` + strings.Repeat("x", 80) + `…"`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, not %q", tt.got, tt.want)
		}
	}
}
