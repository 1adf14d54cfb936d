package child

import (
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCatchSignals sends signals to this process: those that are caught arrive, in order, and one that was ignored
// before stays so.
func TestCatchSignals(t *testing.T) {
	signal.Ignore(unix.SIGURG) // the runtime's own, but for this moment
	defer signal.Reset(unix.SIGURG)
	fd, err := CatchSignals(unix.SIGUSR1, unix.SIGURG, unix.SIGUSR2)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if _, err := unix.Read(fd, buf); err != unix.EAGAIN {
		t.Errorf("before any signal: %v", err)
	}
	for range 20 {
		for _, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGURG, unix.SIGUSR2} {
			if err := unix.Kill(unix.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			if sig != unix.SIGURG {
				if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000); err != nil && err != unix.EINTR {
					t.Fatal(err)
				}
				n, err := unix.Read(fd, buf)
				if err != nil || string(buf[:n]) != string(rune(sig)) {
					t.Fatalf("%v: got %q, %v", sig, buf[:max(n, 0)], err)
				}
			}
		}
	}
}
