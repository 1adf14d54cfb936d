package launch

import (
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
)

func TestTaskIDs(t *testing.T) {
	dir, seen := t.TempDir(), map[int]bool{}
	for range 200 {
		p := &Process{Cmd: &Command{Host: &host.Host{HostRoot: true, MapsIDs: true, State: dir}}}
		id, err := p.drawTaskID()
		if err != nil {
			t.Fatal(err)
		}
		if id < compile.FirstTaskID || id > compile.LastTaskID || seen[id] {
			t.Errorf("%d, drawn before: %v", id, seen[id])
		}
		seen[id] = true
		other := openTaskIDs(dir)
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(id), Len: 1}
		if unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &lock) == nil {
			t.Errorf("%d is not locked", id)
		}
		unix.Close(p.ids)
		if err := unix.FcntlFlock(uintptr(other), unix.F_OFD_SETLK, &lock); err != nil {
			t.Errorf("%d behind the end: %v", id, err)
		}
		unix.Close(other)
	}
}
