package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/walk"
)

// TestReadRegular checks that only regular files are opened, in the host's tree and in another tree.
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

// TestReadPlain checks that readPlain opens only regular files whose path contains no link. For all other files it
// leaves the work to readRegular, which checks a file before it opens it.
func TestReadPlain(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	err = errors.Join(os.WriteFile(in("file"), []byte("text"), 0o600), os.Symlink("file", in("link")), os.Symlink(".", in("around")),
		unix.Mkfifo(in("fifo"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := readPlain(in("file"), 3); string(text) != "tex" || ok == walk.Refused() {
		t.Errorf("%q, %v", text, ok)
	}
	for _, name := range []string{"link", "around/file", "fifo", "", "none"} {
		if text, ok := readPlain(in(name), 3); ok {
			t.Errorf("%s: %q", name, text)
		}
	}
	if text, err := (OSFiles{}).Read(in("around/link"), 3); string(text) != "tex" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := (OSFiles{}).Read(in("fifo"), 3); err == nil {
		t.Errorf("%q of a fifo", text)
	}
}
