package launch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSweep removes only directories that a launcher has made for a task, and that no launcher holds.
func TestSweep(t *testing.T) {
	top := t.TempDir()
	mine := []string{"cordon-1", "cordon-x-tmp", "cordon-in-place", "cordon-in-place-", "cordon-in-place-1a", "a-cordon-in-place-1", "cordon-in-place-2"}
	for _, name := range append(mine, "cordon-in-place-1") {
		if err := os.MkdirAll(filepath.Join(top, name, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	held, err := unix.Open(filepath.Join(top, "cordon-in-place-2"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(held)
	if err := unix.Flock(held, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	sweep(top, time.Hour)
	if _, err := os.Stat(filepath.Join(top, "cordon-in-place-1/sub")); err != nil {
		t.Error("one that has just been made is gone")
	}
	sweep(top, -time.Hour)
	if _, err := os.Stat(filepath.Join(top, "cordon-in-place-1")); err == nil {
		t.Error("one that a killed launcher left is still there")
	}
	for _, name := range mine {
		if _, err := os.Stat(filepath.Join(top, name, "sub")); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
}
