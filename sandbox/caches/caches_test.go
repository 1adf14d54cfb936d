package caches

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cache"
)

// set returns the description of a project's caches, below a directory of the test.
func set(t *testing.T, tools ...cache.Tool) *cache.Set {
	t.Helper()
	root := filepath.Join(t.TempDir(), "cordon")
	return &cache.Set{Root: root, Dir: filepath.Join(root, "p-1"), Owner: "project \"/p\"\nprofile \"build\"\n", Tools: tools}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSeed checks that a cache begins as a copy of files and directories, without links, and that it is copied only
// once.
func TestSeed(t *testing.T) {
	own := t.TempDir()
	write(t, own+"/a/b", "mine")
	if err := os.Symlink("/etc/passwd", own+"/a/link"); err != nil {
		t.Fatal(err)
	}
	s := set(t, cache.Tool{Name: "npm", Dirs: []string{"npm"}, Seeds: []cache.Seed{{From: own, To: "x/y"}}})
	if notes, err := Make(s, nil); err != nil || len(notes) != 0 {
		t.Fatal(notes, err)
	}
	copied := s.Dir + "/npm/x/y/a/b"
	if text, err := os.ReadFile(copied); err != nil || string(text) != "mine" {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := os.Lstat(s.Dir + "/npm/x/y/a/link"); !os.IsNotExist(err) {
		t.Errorf("a link was copied: %v", err)
	}
	write(t, copied, "the task's")
	if _, err := Make(s, nil); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(copied); string(text) != "the task's" {
		t.Errorf("copied again: %q", text)
	}
	if text, _ := os.ReadFile(own + "/a/b"); string(text) != "mine" {
		t.Errorf("the caller's own: %q", text)
	}
}

// TestSeedTooLarge checks that nothing is copied of a cache that is too large.
func TestSeedTooLarge(t *testing.T) {
	own := t.TempDir()
	at := own
	for range maxSeedDepth + 2 {
		at += "/d"
	}
	write(t, at+"/f", "")
	s := set(t, cache.Tool{Name: "npm", Dirs: []string{"npm"}, Seeds: []cache.Seed{{From: own, To: ""}}})
	notes, err := Make(s, nil)
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "npm begins with an empty cache") {
		t.Fatal(notes, err)
	}
	if list, err := os.ReadDir(s.Dir + "/npm"); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	if list, _ := os.ReadDir(s.Root); len(list) != 2 {
		t.Errorf("left behind: %v", list)
	}
}

// TestRemove checks that everything that a task has left is removed, at any depth and with any modes. The targets of
// links must stay.
func TestRemove(t *testing.T) {
	s := set(t, cache.Tool{Name: "npm", Dirs: []string{"npm"}})
	if _, err := Make(s, nil); err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	write(t, kept+"/f", "kept")
	if err := os.Symlink(kept, s.Dir+"/npm/link"); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(s.Dir+"/npm", openDir, 0)
	for range 3000 {
		if err != nil {
			t.Fatal(err)
		}
		up := fd
		if err = unix.Mkdirat(up, "deep", 0o700); err == nil {
			fd, err = unix.Openat(up, "deep", openDir, 0)
			_ = unix.Fchmod(up, 0o500)
		}
		unix.Close(up)
	}
	unix.Close(fd)
	list, err := List(s.Root)
	if err != nil || len(list) != 1 || list[0].Project != "/p" || list[0].Profile != "build" || !list[0].Partial {
		t.Errorf("%+v, %v", list, err)
	}
	if err := Remove(s.Root, "p-1"); err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(s.Root); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	if _, err := os.Stat(kept + "/f"); err != nil {
		t.Error(err)
	}
}
