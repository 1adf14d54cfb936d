package walk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plant makes a root directory with links of all kinds, and a file outside of the root directory.
func plant(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	root = top + "/root"
	err := errors.Join(os.MkdirAll(root+"/a/b/c", 0o755), os.WriteFile(root+"/a/file", nil, 0o644), os.WriteFile(root+"/outside", nil, 0o644),
		os.WriteFile(top+"/outside", nil, 0o644), os.Mkdir(root+"/proc", 0o755))
	for name, text := range map[string]string{"abs": "/a/b", "rel": "a/b", "up": "../../../../outside", "a/b/back": "../..", "loop": "loop", "gone": "none",
		"slash": "/", "chain": "abs/back/rel", "a/deep": "b/../b/c/", "out": top, "file": "a/file"} {
		err = errors.Join(err, os.Symlink(text, root+"/"+name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func openRoot(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, OpenDir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// paths lists the paths with which the two ways of opening are compared.
var paths = []string{"", "/", ".", "..", "a", "/a/b/c", "a/b/c/", "a//b/./c", "abs", "abs/c", "rel/back", "rel/back/abs", "up", "loop", "gone", "gone/x",
	"slash", "slash/a", "chain", "chain/c", "a/deep", "a/deep/..", "out", "out/outside", "file", "file/", "file/..", "a/file/x", "a/file/", "../../a",
	"a/../../../outside", "none", "none/..", "a/none", "abs/", "gone/", "a/b/back/a/b/back/up", strings.Repeat("a/../", 900) + "a", strings.Repeat("x", 5000)}

// TestSteps compares the walk with openat2(2), if the kernel has that call.
func TestSteps(t *testing.T) {
	if Refused() {
		t.Skip("no openat2")
	}
	root := openRoot(t, plant(t))
	for _, flags := range []int{unix.O_PATH, unix.O_PATH | unix.O_NOFOLLOW, unix.O_RDONLY, unix.O_RDONLY | unix.O_NOFOLLOW, unix.O_PATH | unix.O_DIRECTORY} {
		for _, path := range paths {
			want, wantErr := InRoot(root, path, flags)
			got, err := From(root, root, path, flags)
			if !errors.Is(err, wantErr) && !(err == unix.ELOOP && wantErr == unix.ENOTDIR) {
				t.Errorf("%q flags %#x: %v, openat2 says %v", path, flags, err, wantErr)
			}
			if err == nil && wantErr == nil {
				if same, _ := sameFile(got, want); !same {
					t.Errorf("%q flags %#x: another file than openat2's", path, flags)
				}
			}
			unix.Close(want)
			unix.Close(got)
		}
	}
}

// TestNoLinks compares the walk without links with openat2(2).
func TestNoLinks(t *testing.T) {
	if Refused() {
		t.Skip("no openat2")
	}
	dir := plant(t)
	top := openRoot(t, "/")
	for _, path := range paths {
		if path == "" || strings.HasPrefix(path, "/") {
			continue
		}
		path = dir + "/" + path
		want, wantErr := NoLinks(path, unix.O_PATH)
		w := walker{root: top, start: top, flags: unix.O_PATH, noLinks: true}
		got, err := w.walk(path)
		if !errors.Is(err, wantErr) {
			t.Errorf("%q: %v, openat2 says %v", path, err, wantErr)
		}
		unix.Close(want)
		unix.Close(got)
	}
}

// TestStart checks that ".." leads up from a working directory, but not above the root.
func TestStart(t *testing.T) {
	dir := plant(t)
	root, start, outside := openRoot(t, dir), openRoot(t, dir+"/a/b"), openRoot(t, filepath.Dir(dir))
	for path, want := range map[string]string{"c": "a/b/c", "..": "a", "../..": "", "../../..": "", "../../../a/file": "a/file", "/abs": "a/b", "back/rel": "a/b"} {
		fd, err := From(root, start, path, unix.O_PATH)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		wanted, err := unix.Open(dir+"/"+want, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		if same, _ := sameFile(fd, wanted); !same {
			t.Errorf("%s is not %s", path, want)
		}
		unix.Close(wanted)
		if same, _ := sameFile(fd, outside); same {
			t.Errorf("%s is outside", path)
		}
		unix.Close(fd)
	}
}

// TestMagicLinks checks that the walk refuses the links of /proc to the files of a process, and follows other links
// there.
func TestMagicLinks(t *testing.T) {
	root := openRoot(t, "/")
	for _, path := range []string{"/proc/self/root", "/proc/self/cwd/..", "/proc/self/fd/0", "/proc/self/exe", "/proc/self/ns/mnt", "/proc/thread-self/root/etc"} {
		if fd, err := From(root, root, path, unix.O_PATH); err != unix.ELOOP {
			t.Errorf("%s: descriptor %d, %v", path, fd, err)
		}
	}
	for _, path := range []string{"/proc/self/status", "/proc/mounts", "/proc/thread-self/comm"} {
		fd, err := From(root, root, path, unix.O_PATH)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		unix.Close(fd)
	}
}

// TestSwapped opens a directory that somebody keeps replacing by a link and restoring. The walk must never reach
// anything outside.
func TestSwapped(t *testing.T) {
	dir := plant(t)
	root := openRoot(t, dir)
	if err := errors.Join(os.Mkdir(dir+"/swap", 0o755), os.Symlink("../..", dir+"/other")); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-done }()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(root, "swap", root, "other", unix.RENAME_EXCHANGE)
			}
		}
	}()
	inside, err := unix.Open(dir+"/outside", unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inside)
	for end := time.Now().Add(time.Second / 2); time.Now().Before(end); {
		fd, err := From(root, root, "swap/../outside", unix.O_PATH)
		if err == nil {
			if same, _ := sameFile(fd, inside); !same {
				t.Fatal("opened outside of the root")
			}
			unix.Close(fd)
		}
		w := walker{root: root, start: root, flags: unix.O_PATH, noLinks: true}
		if fd, err := w.walk("swap"); err == nil {
			if isLink(fd) {
				t.Fatal("opened a link")
			}
			unix.Close(fd)
		} else if err != unix.ELOOP {
			t.Fatal(err)
		}
	}
}
