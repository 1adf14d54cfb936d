package state

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/sandboxtest"
)

// TestPeers distinguishes a process of this user namespace from a process of another one that has the same ids outside.
func TestPeers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		flags  uintptr
		shares bool
	}{{"here", 0, true}, {"in a sandbox", syscall.CLONE_NEWUSER, false}} {
		c := exec.Command("sleep", "60")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: tt.flags, PidFD: new(int)}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		pidfd := *c.SysProcAttr.PidFD
		if err := sharesUserNamespace(pidfd, c.Process.Pid); (err == nil) != tt.shares {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err := unmapped(c.Process.Pid); unmapped(os.Getpid()) == nil && (err == nil) != tt.shares {
			t.Errorf("%s, by its map: %v", tt.name, err)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
		if err := sharesUserNamespace(pidfd, os.Getpid()); err == nil { // the number is another process's now
			t.Errorf("%s: a process that is gone shares it", tt.name)
		}
		unix.Close(pidfd)
	}
}

// TestForgedLauncher refuses a reply that lacks the proof, or that has another descriptor in place of the proof.
func TestForgedLauncher(t *testing.T) {
	for _, proof := range [][]int{nil, {0}, {spaceOf(t, "net")}, {spaceOf(t, "pid")}} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		before := sandboxtest.Descriptors(t)
		if err := unix.Sendmsg(pair[0], []byte(`{"value":1}`), unix.UnixRights(proof...), nil, 0); err != nil {
			t.Fatal(err)
		}
		if fds, err := ReceiveReply(pair[1], nil); !errors.Is(err, errNotLauncher) || fds != nil || sandboxtest.Descriptors(t) != before {
			t.Errorf("%v: %v %v", proof, fds, err)
		}
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
}

func spaceOf(t *testing.T, kind string) int {
	t.Helper()
	fd, err := unix.Open("/proc/self/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}
