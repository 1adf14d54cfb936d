package main

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/ledger"
)

// TestOpenInput checks that openInput refuses files that would block or never end, and accepts a pipe that the caller
// has opened.
func TestOpenInput(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(unix.Mkfifo(dir+"/fifo", 0o600), os.Symlink("fifo", dir+"/link"), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/fifo", dir + "/link", "/dev/zero", dir} {
		if _, err := openInput(path); !errors.Is(err, ledger.ErrNotRegular) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := openInput(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, path := range []string{dir + "/file", "/dev/fd/" + strconv.Itoa(int(r.Fd()))} {
		f, err := openInput(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		f.Close()
	}
}
