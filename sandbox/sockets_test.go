package sandbox

import (
	"io/fs"
	"syscall"
	"testing"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// oneSocket is a host with a single bound socket; it counts the directories that are listed.
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

// TestControlSocketsOfOthers compares the directories that a launch lists because of a socket whose file is not found: for
// the control socket of another user's sandbox it lists none.
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
