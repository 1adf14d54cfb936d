package state

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A text is told once a day, whatever other texts are told. If there is something else in place of the file, nothing
// breaks.
func TestTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	d, err := OpenStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now := time.Now()
	for i, c := range []struct {
		text string
		at   time.Duration
		told bool
	}{
		{"a", 0, false}, {"a", time.Hour, true}, {"b", time.Hour, false}, {"a", 23 * time.Hour, true}, {"b", 24 * time.Hour, true},
		{"a", 24 * time.Hour, false}, {"b", 26 * time.Hour, false}, {"a", 26 * time.Hour, true}, {"a", -time.Hour, false}, // the clock was set back
	} {
		if told := d.Told(c.text, now.Add(c.at)); told != c.told {
			t.Errorf("%d: %q after %v: %v", i, c.text, c.at, told)
		}
	}
	for i := range 3 * maxTold {
		d.Told(strings.Repeat("x", 100)+strconv.Itoa(i), now)
	}
	file := filepath.Join(path, toldFile)
	if st, err := os.Stat(file); err != nil || st.Size() > toldSize/2 || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	for name, put := range map[string]func() error{
		"damaged":     func() error { return os.WriteFile(file, []byte(`{"a": `), 0o600) },
		"null":        func() error { return os.WriteFile(file, []byte("null"), 0o600) },
		"huge":        func() error { return os.WriteFile(file, make([]byte, 1<<20), 0o600) },
		"a FIFO":      func() error { return unix.Mkfifo(file, 0o600) },
		"a directory": func() error { return os.Mkdir(file, 0o700) },
	} {
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if d.Told("a", now) {
			t.Errorf("%s: it was told", name)
		}
	}
}
