package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestJobControl stops and continues a launcher on a terminal, as a shell does it: the task stops and goes on with it,
// and init, which has the launcher's terminal, is not touched.
func TestJobControl(t *testing.T) {
	dir := filepath.Join(base, strconv.Itoa(os.Getuid()), "terminal")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	master, slave := terminal(t)
	c := exec.Command(base+"/bin/cordon", "run", "--", "cat")
	c.Dir = dir
	c.Env = []string{"PATH=" + toolPath(), "HOME=" + dir}
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	defer c.Process.Kill()
	read := screen(master)
	say := func(line string) {
		t.Helper()
		if _, err := master.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	say("one\n")
	waitFor(t, "the echo", func() bool { return strings.Count(read(), "one") == 2 })
	init := childOf(t, c.Process.Pid)
	task := childOf(t, init)
	if os.Getuid() == 0 { // nobody else may see it, because init is not dumpable
		if caught := statusLine(init, "SigCgt"); strings.Trim(caught, "0") != "" {
			t.Errorf("init catches signals: %s", caught)
		}
	}
	say("\x1a") // Ctrl-Z
	waitFor(t, "both to stop", func() bool { return stopped(c.Process.Pid) && stopped(task) })
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "both to go on", func() bool { return !stopped(c.Process.Pid) && !stopped(task) })
	say("two\n")
	waitFor(t, "the echo behind the stop", func() bool { return strings.Count(read(), "two") == 2 })
	say("\x03") // Ctrl-C
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != 130 {
		t.Errorf("%v, said %q", c.ProcessState, read())
	}
}

// terminal is a pseudo-terminal: pts(4).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// screen collects what a terminal shows.
func screen(master *os.File) func() string {
	got := make(chan []byte, 100)
	go func() {
		for {
			buf := make([]byte, 1000)
			n, err := master.Read(buf)
			if err != nil {
				return // the other side is closed
			}
			got <- buf[:n]
		}
	}()
	var all bytes.Buffer
	return func() string {
		for {
			select {
			case b := <-got:
				all.Write(b)
			default:
				return all.String()
			}
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// childOf is the one child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var list []string
	for _, f := range tasks {
		text, _ := os.ReadFile(f)
		list = append(list, strings.Fields(string(text))...)
	}
	if len(list) != 1 {
		t.Fatalf("%d has children %q, not one", pid, list)
	}
	child, _ := strconv.Atoi(list[0])
	return child
}

func stopped(pid int) bool { return strings.HasPrefix(statusLine(pid, "State"), "T") }

// statusLine is a value of /proc/PID/status.
func statusLine(pid int, key string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\n"+key+":\t")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
