package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLeft checks that the launcher's records are not reported as traces, unless they grow, and that other files beside
// them are reported.
func TestLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		fault bool
	}{
		{".local/state/cordon/lock", 0, false},
		{".local/state/cordon/runs", 512 << 10, false},
		{"run/cordon/last.json", 1000, false},
		{".local/state/cordon/lock", 1, true},
		{".local/state/cordon/runs", 1 << 20, true},
		{".local/state/cordon/.runs.new", 10, true},
		{".local/state/cordon/profiles/runs", 10, true},
		{".local/state/runs", 10, true},
		{"work/runs", 10, true},
		{"runs", 10, true},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, c.size), 0o600); err != nil {
			t.Fatal(err)
		}
		files := files(dir)
		if found := len(files) == 1 && strings.HasSuffix(files[0], c.name); found != c.fault || len(files) > 1 {
			t.Errorf("%s of %d bytes: left behind: %q", c.name, c.size, files)
		}
	}
}
