package host

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadRegular: nothing but a regular file is opened, in the host's tree and in another one.
func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("some text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{{"file", "link"}, {"fifo", "linked-fifo"}, {"/dev/null", "device"}} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	for name, read := range map[string]func(string) ([]byte, error){
		"host":  func(p string) ([]byte, error) { return OSFiles{}.Read(dir+p, 4) },
		"below": func(p string) ([]byte, error) { return FilesBelow(dir).Read(p, 4) },
	} {
		for _, p := range []string{"/file", "/link"} {
			if text, err := read(p); err != nil || string(text) != "some" {
				t.Errorf("%s: %s: %q %v", name, p, text, err)
			}
		}
		for _, p := range []string{"/fifo", "/linked-fifo", "/device", "", "/none"} {
			if text, err := read(p); err == nil {
				t.Errorf("%s: %q was read: %q", name, p, text)
			}
		}
	}
}
