package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// collector is a visitor that enters every directory.
type collector struct {
	seen    []string
	left    []string
	refused map[string]error
}

func (c *collector) Visit(in *Place, e *Entry) (bool, any) {
	c.seen = append(c.seen, in.Path+"/"+string(e.Name))
	return true, in.State
}

func (c *collector) Leave(in *Place) { c.left = append(c.left, in.Path) }

func (c *collector) Refused(dir Place, err error) { c.refused[dir.Path] = err }

// all walks through a tree, and returns everything that all threads have seen, sorted.
func all(t *testing.T, tree *Tree) (seen []string, threads int, refused map[string]error, err error) {
	t.Helper()
	var list []*collector
	tree.New = func() Visitor {
		c := &collector{refused: map[string]error{}}
		list = append(list, c)
		return c
	}
	err = tree.Run()
	refused = map[string]error{}
	for _, c := range list {
		seen = append(seen, c.seen...)
		for path, err := range c.refused {
			refused[path] = err
		}
	}
	slices.Sort(seen)
	return seen, len(list), refused, err
}

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestTree walks through a tree that is wide and deep, and has names of all types. It compares the result with that of
// the standard library.
func TestTree(t *testing.T) {
	dir := plant(t)
	deep := dir + strings.Repeat("/deep", 3*heldDepth)
	err := errors.Join(os.MkdirAll(deep, 0o755), os.WriteFile(deep+"/end", nil, 0o644), unix.Mkfifo(dir+"/fifo", 0o644),
		os.Symlink("/usr", dir+"/leads out"), os.WriteFile(dir+"/"+strings.Repeat("n", 255), nil, 0o644))
	for i := range 40 {
		for j := range 40 {
			err = errors.Join(err, os.MkdirAll(fmt.Sprintf("%s/wide/%d/%d/x", dir, i, j), 0o755))
		}
	}
	for i := range 5000 {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s/a/file %d", dir, i), nil, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			want = append(want, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	before := openFiles(t)
	calls := 0
	got, threads, refused, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir}}, Step: func(int) error { calls++; return nil }})
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d names, not %d", len(got), len(want))
	}
	if threads > 2 || calls == 0 {
		t.Errorf("%d threads, %d calls of Step", threads, calls)
	}
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

// TestTreeEnds checks that the caller and the bound can end a walk early, and that no descriptor stays open.
func TestTreeEnds(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		if err := os.MkdirAll(fmt.Sprintf("%s/%d/x", dir, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before, stopped := openFiles(t), errors.New("stop")
	seen, _, _, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir}}, Step: func(n int) error {
		if n > 2000 {
			return stopped
		}
		return nil
	}})
	if err != stopped || len(seen) >= 4000 {
		t.Errorf("%v after %d names", err, len(seen))
	}
	if _, _, _, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir}}, Max: 3000}); err != ErrTooMany {
		t.Error(err)
	}
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

// TestTreeRefused checks the errors for roots that cannot be read: a root behind a link, a file, and a root that does
// not exist.
func TestTreeRefused(t *testing.T) {
	dir := plant(t)
	seen, _, refused, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir + "/rel"}, {Path: dir + "/a/file"}, {Path: dir + "/none"}}})
	if err != nil || len(seen) > 0 || len(refused) != 3 || !errors.Is(refused[dir+"/rel"], unix.ELOOP) && !errors.Is(refused[dir+"/rel"], unix.ENOTDIR) ||
		!errors.Is(refused[dir+"/a/file"], unix.ENOTDIR) || !errors.Is(refused[dir+"/none"], unix.ENOENT) {
		t.Error(seen, refused, err)
	}
}

// TestTreeInodes compares the inode numbers of a walk with those of stat(2).
func TestTreeInodes(t *testing.T) {
	dir := plant(t)
	checked := 0
	tree := &Tree{Roots: []Place{{Path: dir}}, Inodes: true, New: func() Visitor {
		return visitFunc(func(in *Place, e *Entry) (bool, any) {
			var st unix.Stat_t
			if err := unix.Lstat(in.Path+"/"+string(e.Name), &st); err != nil || e.Inode != 0 && e.Inode != st.Ino {
				t.Errorf("%s: %d, stat says %d: %v", e.Name, e.Inode, st.Ino, err)
			}
			checked++
			return true, nil
		})
	}}
	if err := tree.Run(); err != nil || checked == 0 {
		t.Error(checked, err)
	}
}

type visitFunc func(in *Place, e *Entry) (bool, any)

func (f visitFunc) Visit(in *Place, e *Entry) (bool, any) { return f(in, e) }
func (visitFunc) Leave(*Place)                            {}
func (visitFunc) Refused(Place, error)                    {}

// TestTreeSwapped walks through directories that somebody replaces by links to the outside and restores. The walk must
// never visit anything outside.
func TestTreeSwapped(t *testing.T) {
	top := t.TempDir()
	dir := top + "/in"
	err := errors.Join(os.MkdirAll(top+"/out/secret", 0o755), os.MkdirAll(dir, 0o755))
	for i := range 200 {
		err = errors.Join(err, os.MkdirAll(fmt.Sprintf("%s/%d/inner", dir, i), 0o755))
	}
	if err = errors.Join(err, os.Symlink(top+"/out", dir+"/other")); err != nil {
		t.Fatal(err)
	}
	fd := openRoot(t, dir)
	stop, done := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-done }()
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(fd, fmt.Sprint(i/2%200), fd, "other", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for end := time.Now().Add(time.Second / 2); time.Now().Before(end); {
		seen, _, _, err := all(t, &Tree{Two: true, Roots: []Place{{Path: dir}}})
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(seen, func(s string) bool { return strings.Contains(s, "secret") }); i >= 0 {
			t.Fatal("outside: " + seen[i])
		}
	}
}
