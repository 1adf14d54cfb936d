package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/tests/scratch"
)

// TestMain runs the guard if the test's program is started as the guard.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == inside || os.Args[1] == "sh") {
		main()
	}
	os.Exit(m.Run())
}

// TestGuard checks that a command's processes, directories and mounts end with the command, however it ends.
func TestGuard(t *testing.T) {
	const leave = `
mkdir /var/tmp/cordon-$CORDON_TEST_RUN-x "$TMPDIR/y"
chmod 500 /var/tmp/cordon-$CORDON_TEST_RUN-x
setsid sleep 1000 & echo $!
sh -c 'trap "" TERM INT; sleep 1000 & echo $!; wait' &
echo $CORDON_TEST_RUN
`
	for _, tt := range []struct {
		name, then string
		signal     unix.Signal // 0 means no signal
		code       int
	}{
		{"it ends", "sleep 1; exit 3", 0, 3},
		{"it is killed", "sleep 1; kill -9 $$", 0, 137},
		{"SIGTERM", "sleep 1000", unix.SIGTERM, 143},
		{"Ctrl-C", "sleep 1000", unix.SIGINT, 130},
		{"SIGHUP", "sleep 1000", unix.SIGHUP, 129},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "out")
			out, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			c := exec.Command(self, "sh", "-c", leave+tt.then)
			c.Stdout = out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			said := func() []string {
				text, _ := os.ReadFile(file)
				return strings.Fields(string(text))
			}
			for end := time.Now().Add(time.Minute); len(said()) < 3 && time.Now().Before(end); time.Sleep(step) {
			}
			if tt.signal != 0 {
				_ = c.Process.Signal(tt.signal)
			}
			_ = c.Wait() // the exit code says how it ended
			if got := c.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code %d, not %d", got, tt.code)
			}
			if len(said()) != 3 {
				t.Fatalf("it said %q", said())
			}
			for _, word := range said() {
				if pid, err := strconv.Atoi(word); err == nil && unix.Kill(pid, 0) == nil {
					t.Errorf("process %d is left", pid)
				}
				for _, place := range append(scratch.Places(), os.TempDir()) {
					if left, _ := filepath.Glob(place + "/cordon-" + word + "-*"); len(left) > 0 {
						t.Errorf("%q is left", left)
					}
				}
			}
		})
	}
}
