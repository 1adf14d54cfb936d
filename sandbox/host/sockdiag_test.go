package host

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestSockets checks that the kernel returns the inode of a socket, by whatever name the socket was bound.
func TestSockets(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	l, err := net.Listen("unix", "relative")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(filepath.Join(dir, "relative"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := OSFiles{}.Sockets()
	if err != nil {
		t.Skipf("sock_diag: %v", err)
	}
	at := slices.IndexFunc(list, func(s BoundSocket) bool {
		return s.Name == "relative" && s.Ino == uint32(info.Sys().(*syscall.Stat_t).Ino)
	})
	if at < 0 {
		t.Fatalf("%s, %v: not in %v", dir, info, list)
	}
	for _, broken := range [][]byte{{1, 2, 3}, make([]byte, 40), slices.Repeat([]byte{0xff}, 64)} {
		var got []BoundSocket
		if _, err := diagAnswer(broken, &got); len(broken) > 16 && err == nil || len(got) > 0 {
			t.Errorf("%v: %v, %v", broken, got, err)
		}
	}
}
