package ledger

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"testing"
)

// TestMemoryIsOnesOwn stores a memory. It then checks that a file that somebody else may have put in its place is not
// used.
func TestMemoryIsOnesOwn(t *testing.T) {
	places := []Place{{Base: t.TempDir(), Below: "state/cordon"}}
	const key, most = "a key", 100
	text := []byte("what a search has found")
	if Memory(places, key, most) != nil {
		t.Fatal("there is a memory before any was stored")
	}
	for range 2 {
		if err := KeepMemory(places, key, text); err != nil {
			t.Fatal(err)
		}
		if got := Memory(places, key, most); !bytes.Equal(got, text) {
			t.Fatalf("%q", got)
		}
	}
	if Memory(places, "another key", most) != nil || Memory(places, key, int64(len(text)-1)) != nil {
		t.Error("the memory of another search, or one that is too long, is taken")
	}
	dir := places[0].MemoryPath()
	file := dir + "/" + textName(key)
	for _, x := range []struct {
		what     string
		do, undo func() error
	}{
		{"others may use the directory", func() error { return os.Chmod(dir, 0o755) }, func() error { return os.Chmod(dir, 0o700) }},
		{"others may read it", func() error { return os.Chmod(file, 0o640) }, func() error { return os.Chmod(file, 0o600) }},
		{"it has another name", func() error { return os.Link(file, dir+"/other") }, func() error { return os.Remove(dir + "/other") }},
		{"it is a link", func() error { return errors.Join(os.Rename(file, dir+"/there"), os.Symlink("there", file)) },
			func() error { return os.Rename(dir+"/there", file) }},
		{"the directory is a link", func() error { return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir)) },
			func() error { return errors.Join(os.Remove(dir), os.Rename(dir+"2", dir)) }},
	} {
		if err := x.do(); err != nil {
			t.Fatal(x.what, err)
		}
		if got := Memory(places, key, most); got != nil {
			t.Errorf("%s: it is taken", x.what)
		}
		if err := x.undo(); err != nil {
			t.Fatal(x.what, err)
		}
		if Memory(places, key, most) == nil {
			t.Fatalf("%s: it is not taken afterwards", x.what)
		}
	}
}

// TestMemoryThatATaskCouldWrite checks that a memory that a task could write is not used, and that a new one is made.
func TestMemoryThatATaskCouldWrite(t *testing.T) {
	base := t.TempDir()
	places := []Place{{Base: base, Below: "state/cordon"}}
	const key, most = "a key", 100
	if err := KeepMemory(places, key, []byte("of a search")); err != nil {
		t.Fatal(err)
	}
	for _, hides := range []bool{true, false} {
		var hidden []string
		if hides {
			hidden = append(hidden, places[0].MemoryPath())
		}
		r, err := Begin(places, []string{base}, nil, hidden...)
		if err != nil {
			t.Fatal(err)
		}
		r.Go()
		r.Stop()
		r.End()
		if got := Memory(places, key, most); (got != nil) != hides {
			t.Errorf("a run that could write above it, and hides it %v: %q", hides, got)
		}
	}
	// The next search must remove the planted file.
	planted := places[0].MemoryPath() + "/planted"
	if err := errors.Join(os.WriteFile(planted, nil, 0o600), KeepMemory(places, key, []byte("of the next"))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(planted); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestFewMemories(t *testing.T) {
	places := []Place{{Base: t.TempDir(), Below: "cordon"}}
	for i := range maxKept + 5 {
		if err := KeepMemory(places, strconv.Itoa(i), []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadDir(places[0].MemoryPath())
	if err != nil || len(list) != maxKept {
		t.Error(len(list), err)
	}
	if Memory(places, strconv.Itoa(maxKept+4), 100) == nil {
		t.Error("the newest is gone")
	}
}
