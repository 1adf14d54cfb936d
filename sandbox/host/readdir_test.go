package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadDir checks that the list equals that of os.ReadDir.
func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	many := filepath.Join(dir, "many")
	if err := os.Mkdir(many, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if err := os.WriteFile(filepath.Join(many, fmt.Sprintf("%0*d", i%200+1, i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("many", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, many, filepath.Join(dir, "link"), filepath.Join(dir, "fifo"), filepath.Join(dir, "none"), "/", "/dev", "/proc/self/ns", "/proc/self/task", ""} {
		want, wantErr := os.ReadDir(path)
		got, err := OSFiles{}.ReadDir(path)
		if len(got) != len(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: %d entries, %v; %d, %v", path, len(got), err, len(want), wantErr)
			continue
		}
		for i := range got {
			if got[i].Name() != want[i].Name() || got[i].Type() != want[i].Type() || got[i].IsDir() != want[i].IsDir() {
				t.Errorf("%s: %v, not %v", path, got[i], want[i])
			}
		}
	}
	list, err := OSFiles{}.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %v", list, err)
	}
	if info, err := list[0].Info(); err != nil || info.Name() != "fifo" || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", info, err)
	}
}
