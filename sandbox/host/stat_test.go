package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLstat compares Lstat with package os, for files of every kind and for a file that does not exist.
func TestLstat(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("four"), 0o640), os.Symlink("nowhere", at("link")), unix.Mkfifo(at("fifo"), 0o600),
		unix.Bind(fd, &unix.SockaddrUnix{Name: at("socket")}), os.Mkdir(at("sticky"), 0o755), os.Mkdir(at("group"), 0o755),
		os.WriteFile(at("setuid"), nil, 0o755), unix.Chmod(at("sticky"), 0o1777), unix.Chmod(at("group"), 0o2711), unix.Chmod(at("setuid"), 0o4755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{"/", "/dev/null", "/proc/self", dir, dir + "/", dir + "/."}
	for _, name := range []string{"file", "link", "fifo", "socket", "sticky", "group", "setuid"} {
		paths = append(paths, at(name))
	}
	for _, p := range paths {
		want, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := OSFiles{}.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		x, y := got.Sys().(*syscall.Stat_t), want.Sys().(*syscall.Stat_t)
		if got.Mode() != want.Mode() || got.Size() != want.Size() || got.IsDir() != want.IsDir() || got.Name() != want.Name() ||
			!got.ModTime().Equal(want.ModTime()) || x.Ino != y.Ino || x.Dev != y.Dev || x.Rdev != y.Rdev || x.Uid != y.Uid {
			t.Errorf("%s: %v %v, not %v %v", p, got.Mode(), got.Name(), want.Mode(), want.Name())
		}
	}
	for _, p := range []string{"", at("gone"), at("file/below"), "/\x00"} {
		got, err := OSFiles{}.Lstat(p)
		_, want := os.Lstat(p)
		var is, should *fs.PathError
		if got != nil || !errors.As(err, &is) || !errors.As(want, &should) || *is != *should {
			t.Errorf("%q: %v, not %v", p, err, want)
		}
	}
}
