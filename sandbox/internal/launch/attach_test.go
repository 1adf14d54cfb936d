package launch

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFrozen distinguishes a running task from a stopped one, also if the task's name looks like the end of a name and
// a state.
func TestFrozen(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err == nil {
		sleep, err = filepath.EvalSymlinks(sleep)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	name := filepath.Join(t.TempDir(), "sleep) T")
	if err == nil {
		err = os.WriteFile(name, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	p := &Process{Task: c.Process.Pid}
	if p.frozen() {
		t.Error("a task that runs counts as stopped")
	}
	if err := c.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(c.Process.Pid, &ws, unix.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatal(err, ws)
	}
	if !p.frozen() {
		t.Error("a stopped task does not count as stopped")
	}
}
