package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/helper"
)

// TestRootOnly opens programs of which only root can have made the file and the directories above, and refuses others.
func TestRootOnly(t *testing.T) {
	for _, path := range []string{"/usr/bin/env", "/bin/sh"} {
		fd, err := helper.OpenRootOnly(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var have, want unix.Stat_t
		if err := errors.Join(unix.Fstat(fd, &have), unix.Stat(path, &want)); err != nil || have.Ino != want.Ino || have.Dev != want.Dev {
			t.Errorf("%s: another file; %v", path, err)
		}
		unix.Close(fd)
	}
	dir := publicDir(t)
	if err := os.Symlink("/usr/bin/env", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "link"), "/usr/bin", "/dev/null", "/usr/bin/env/x"} {
		if fd, err := helper.OpenRootOnly(path); err == nil {
			unix.Close(fd)
			t.Errorf("%s was opened", path)
		}
	}
	if _, err := helper.OpenRootOnly("/usr/bin/cordon-none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	asUserToo(t)
}

// TestRootAlone checks which owners and mode bits are accepted.
func TestRootAlone(t *testing.T) {
	for _, tt := range []struct {
		uid, mode uint32
		want      string
	}{
		{0, unix.S_IFREG | 0o4755, ""},
		{0, unix.S_IFDIR | 0o755, ""},
		{0, unix.S_IFLNK | 0o777, ""},
		{0, unix.S_IFDIR | 0o1777, "can be written to"},
		{0, unix.S_IFDIR | 0o775, "can be written to"},
		{0, unix.S_IFREG | 0o757, "can be written to"},
		{7, unix.S_IFREG | 0o755, "belongs to the user 7"},
		{7, unix.S_IFLNK | 0o777, "belongs to the user 7"},
	} {
		err := helper.RootAlone("x", &unix.Stat_t{Uid: tt.uid, Mode: tt.mode})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d %o: %v, not %q", tt.uid, tt.mode, err, tt.want)
		}
	}
}

// TestHelperEnvironment checks that a helper gets nothing of the caller's environment.
func TestHelperEnvironment(t *testing.T) {
	t.Setenv("PATH", publicDir(t))
	t.Setenv("LD_PRELOAD", "/none.so")
	out, err := helper.Run("env")
	if want := strings.Join(helper.HelperEnv, "\n"); err != nil || out != want {
		t.Errorf("%q, not %q, %v", out, want, err)
	}
	if _, err := helper.Run("cordon-none"); err == nil || !strings.Contains(err.Error(), "in none of /usr/bin, /bin") {
		t.Error(err)
	}
	asUserToo(t)
}
