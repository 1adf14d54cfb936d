package ledger

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutputToDevices checks that a device that a run may have put at the path is refused, except for the null device.
func TestOutputToDevices(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mknod(2) needs root")
	}
	places := []Place{{Base: t.TempDir(), Below: "state/cordon"}}
	dir := t.TempDir()
	r, err := Begin(places, []string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Go()
	for name, minor := range map[string]uint32{"null": 3, "zero": 5} {
		if err := unix.Mknod(dir+"/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			t.Fatal(err)
		}
	}
	r.Stop()
	r.End()
	for name, refused := range map[string]bool{"null": false, "zero": true} {
		g := &Guard{Places: func() []Place { return places }}
		out, err := g.Output(dir+"/"+name, false)
		var planted *Planted
		if errors.As(err, &planted) != refused || err != nil && !refused {
			t.Errorf("%s: %v, want refused %v", name, err, refused)
		}
		if out != nil {
			unix.Close(out.Dir)
		}
		g.Close()
	}
}
