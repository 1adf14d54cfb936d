package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTerminalBreak checks that Ctrl-C ends the script or the loop that runs the launcher, as without a sandbox. A
// program that handles Ctrl-C ends as it likes, and the script continues.
func TestTerminalBreak(t *testing.T) {
	for _, x := range []struct {
		name, script, after string
		ends                bool
	}{
		{"a loop", `while true; do cordon run -- sh -c 'echo READY; sleep 60'; echo AFTER; done`, "", true},
		{"a list", `cordon run -- sh -c 'echo READY; sleep 60'; echo AFTER`, "", true},
		{"the caller's terminal", `while true; do cordon run --tty inherit -- sh -c 'echo READY; sleep 60'; echo AFTER; done`, "", true},
		{"no terminal", `cordon run --tty none -- sh -c 'echo READY; sleep 60'; echo AFTER`, "", true},
		{"nothing to read", `cordon run -- sh -c 'echo READY; sleep 60' </dev/null; echo AFTER`, "", true},
		{"a pipeline's beginning", `cordon run -- sh -c 'echo READY; sleep 60' | cat; echo AFTER`, "", true},
		{"a pipeline's end", `sleep 60 | cordon run -- sh -c 'echo READY; cat'; echo AFTER`, "", true},
		{"a file", `cordon run -- sh -c 'echo READY >&2; sleep 60' >out; echo AFTER`, "", true},
		{"a handler", `cordon run -- sh -c 'trap "exit 3" INT; echo READY; sleep 60 & wait'; echo AFTER $?`, "AFTER 3", false},
		{"nobody typed", `cordon run -- sh -c 'echo READY; kill -INT $$'; echo AFTER $?; sleep 60`, "AFTER 130", true},
	} {
		t.Run(x.name, func(t *testing.T) {
			master, slave := terminal(t)
			defer slave.Close()
			c := exec.Command("sh", "-c", x.script)
			c.Dir, c.Env = t.TempDir(), []string{"PATH=" + toolPath(), "HOME=/nonexistent"}
			if err := os.Chmod(c.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			shown := screen(master)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer c.Process.Kill()
			waitFor(t, "the program", func() bool {
				return strings.Contains(shown(), "READY") && (!x.ends || strings.Contains(shown(), x.after))
			})
			time.Sleep(100 * time.Millisecond * slow) // time for the launcher to read the keys
			if _, err := master.WriteString("\x03"); err != nil {
				t.Fatal(err)
			}
			want := 0
			if x.ends {
				want = 128 + int(syscall.SIGINT)
			}
			endsWith(t, c, 20*time.Second*slow, want)
			waitFor(t, x.after, func() bool { return strings.Contains(shown(), x.after) })
			if got := shown(); x.after == "" && strings.Contains(got, "AFTER") {
				t.Errorf("%q shows %q", x.script, got)
			}
			if ws := c.ProcessState.Sys().(syscall.WaitStatus); x.ends && ws.Signal() != syscall.SIGINT {
				t.Errorf("%q: %v", x.script, c.ProcessState)
			}
		})
	}
}
