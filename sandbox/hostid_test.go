package sandbox

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
)

// TestTwoOfOneProcess checks that two sandboxes of one root process have different users on the host.
func TestTwoOfOneProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's tasks are that user")
	}
	var lines [3]string
	var wg sync.WaitGroup
	for i := range lines {
		wg.Go(func() { lines[i], _ = output(t, shell(t, "cat /proc/self/uid_map; sleep 0.2")) })
	}
	wg.Wait()
	for i, line := range lines {
		f := strings.Fields(line)
		if len(f) != 3 || f[1] == "0" || line == lines[(i+1)%len(lines)] {
			t.Errorf("maps: %q", lines)
		}
	}
}

// TestThreadIsSomebodyElse checks that a sandbox does not start if the thread that starts it has other ids than the
// caller.
func TestThreadIsSomebodyElse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	for _, ids := range [][3]int{{-1, testUser, -1}, {testUser, testUser, -1}, {testUser, -1, -1}} {
		for _, exclusive := range []bool{false, true} {
			for _, hostPath := range []bool{false, true} {
				c := shell(t, "cat /proc/self/uid_map")
				c.Exclusive = exclusive
				if hostPath {
					c.Host, _ = host.Probe()
				}
				started := make(chan error)
				go func() {
					runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
					if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(ids[0]), uintptr(ids[1]), uintptr(ids[2])); errno != 0 {
						started <- nil
						return
					}
					started <- c.Start()
				}()
				if err := <-started; err == nil || !strings.Contains(err.Error(), "start: ") {
					t.Errorf("ids %v, exclusive %v: %v", ids, exclusive, err)
				}
			}
		}
	}
}
