package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// home makes an empty home directory and returns its profile directory.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", "")
	p := filepath.Join(dir, ".config/cordon/profiles")
	if err := os.MkdirAll(p, 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewProfile(t *testing.T) {
	dir := home(t)
	file := filepath.Join(t.TempDir(), "here.yaml")
	for _, tt := range []struct{ name, path, why string }{
		{"mine", dir + "/mine.yaml", ""},
		{"mine", "", "file exists"},
		{file, file, ""},
		{file, "", "file exists"},
		{"Not A Name", "", "name"},
		{t.TempDir() + "/none/x.yaml", "", "no such file or directory"},
	} {
		path, err := newProfileFile(tt.name, []string{"default"})
		if path != tt.path || (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%q: %q, %v", tt.name, path, err)
		}
	}
	b, err := os.ReadFile(dir + "/mine.yaml")
	if err != nil || !strings.Contains(string(b), "extends: [\"default\"]\n") {
		t.Errorf("%v in %q", err, b)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNewProfileWithoutHome checks `profile new` for a new user, whose profile directory does not exist yet, and for a
// user without a home directory.
func TestNewProfileWithoutHome(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if path, err := newProfileFile("first", nil); err != nil || filepath.Base(path) != "first.yaml" {
		t.Errorf("%q, %v", path, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	if _, err := newProfileFile("x", nil); err == nil || hint(err) != "name a file with a slash: ./x.yaml" {
		t.Errorf("%v", err)
	}
}
