package sandbox

import (
	"cordon/policy"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// oneSocket is a host with a single bound socket. It counts how many directories are listed.
type oneSocket struct {
	noSockets
	socket host.BoundSocket
	listed *int
}

func (f oneSocket) Sockets() ([]host.BoundSocket, error) { return []host.BoundSocket{f.socket}, nil }

func (f oneSocket) ReadDir(path string) ([]fs.DirEntry, error) {
	*f.listed++
	return f.noSockets.ReadDir(path)
}

// TestControlSocketsOfOthers counts the directories that a launch lists because the file of a socket is not found. For
// the control socket of another user's sandbox there must be none.
func TestControlSocketsOfOthers(t *testing.T) {
	var st syscall.Stat_t
	if err := syscall.Stat("/usr", &st); err != nil {
		t.Fatal(err)
	}
	dev := uint32(st.Dev>>8&0xfff<<20 | st.Dev&0xff) //nolint:gosec // small numbers
	count := func(name string) (listed int) {
		h := withoutSockets(t)
		h.Files = oneSocket{socket: host.BoundSocket{Name: name, Dev: dev, Ino: 1}, listed: &listed}
		c := &Cmd{Profile: sandboxtest.Shipped(t, "default"), Args: []string{"true"}}
		c.Host = h
		if _, err := c.Plan(); err != nil {
			t.Fatal(err)
		}
		return listed
	}
	control, other := count("/proc/self/fd/7/"+host.ControlFile), count("/proc/self/fd/7/service")
	if control >= other {
		t.Errorf("%d directories listed for a control socket, %d for another", control, other)
	}
	if none := count("/" + host.ControlFile); none <= control {
		t.Errorf("%d directories listed for a socket that has only the name, %d for a control socket", none, control)
	}
}

// vanishing is a host on which a directory with a socket is removed after the launcher has looked at the socket.
type vanishing struct {
	oneSocket
	dir string
	std *int
}

func (f vanishing) Lstat(path string) (fs.FileInfo, error) {
	info, err := f.oneSocket.Lstat(path)
	if path == f.dir+"/sock" && err == nil {
		*f.std++
		_ = os.RemoveAll(f.dir) // the run says the rest
	}
	return info, err
}

// TestSocketGoes removes a socket, with its directory, between the plan and the mount over the socket. The launch must
// succeed, whether or not the task could have searched the directory, and however the launcher opens paths.
func TestSocketGoes(t *testing.T) {
	for _, closed := range []bool{false, true} {
		for _, byName := range []bool{false, true} {
			dir := filepath.Join(publicDir(t), "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", dir+"/sock")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var st syscall.Stat_t
			if err := syscall.Stat(dir+"/sock", &st); err != nil {
				t.Fatal(err)
			}
			if closed && os.Getuid() == 0 { // an ordinary user's task may search what the user may
				if err := errors.Join(os.Chown(dir, 4711, 4711), os.Chmod(dir, 0o700)); err != nil {
					t.Fatal(err)
				}
			}
			var listed, seen int
			dev := uint32(st.Dev>>8&0xfff<<20 | st.Dev&0xff) //nolint:gosec // small numbers
			h := withoutSockets(t)
			h.NoOpenat2 = byName
			h.Files = vanishing{oneSocket{socket: host.BoundSocket{Name: dir + "/sock", Dev: dev, Ino: uint32(st.Ino)}, listed: &listed}, dir, &seen} //nolint:gosec // as the kernel cuts it
			p := sandboxtest.HostRoot()
			p.User.Host = policy.HostCaller
			text, _ := output(t, &Cmd{Profile: p, Host: h, Args: []string{"echo", "runs"}, Env: []string{"PATH=/usr/bin:/bin"}})
			if text != "runs\n" || seen == 0 {
				t.Errorf("closed %v, by name %v: seen %d times: %q", closed, byName, seen, text)
			}
		}
	}
	asUserToo(t)
}
