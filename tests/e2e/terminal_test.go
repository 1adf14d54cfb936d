package e2e

import (
	"bytes"
	"errors"
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

// onTerminal starts a launcher in a new session on a terminal.
func onTerminal(t *testing.T, args ...string) (c *exec.Cmd, master *os.File) {
	t.Helper()
	dir := filepath.Join(base, strconv.Itoa(os.Getuid()), "terminal")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	master, slave := terminal(t)
	defer slave.Close()
	c = exec.Command(base+"/bin/cordon", append([]string{"run"}, args...)...)
	c.Dir = dir
	c.Env = []string{"PATH=" + toolPath(), "HOME=/nonexistent"} // no profile shows this home
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	return c, master
}

// endsWith waits a short time for the launcher's end, and checks its exit code.
func endsWith(t *testing.T, c *exec.Cmd, within time.Duration, code int) {
	t.Helper()
	killed := time.AfterFunc(within, func() { c.Process.Kill() })
	c.Wait()
	if !killed.Stop() {
		t.Fatalf("%q has not ended after %v", c.Args, within)
	}
	if got := exitCode(c.ProcessState); got != code {
		t.Errorf("%q: exit code %d, not %d", c.Args, got, code)
	}
}

// slaveOf returns the path of the slave of a terminal.
func slaveOf(t *testing.T, master *os.File) string {
	t.Helper()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return "/dev/pts/" + strconv.Itoa(n)
}

// TestTerminalInit checks that init, which leads the session, gets no signal. The task must be in the foreground of its
// own terminal, in another session than the launcher.
func TestTerminalInit(t *testing.T) {
	seesTasks(t)
	c, master := onTerminal(t, "--", "cat")
	read := screen(master)
	_, _ = master.WriteString("one\n")
	waitFor(t, "the echo", func() bool { return strings.Count(read(), "one") >= 2 })
	init := childOf(t, c.Process.Pid)
	task := childOf(t, init)
	if os.Getuid() == 0 { // nobody else may see it, because init is not dumpable
		if caught := statusLine(init, "SigCgt"); strings.Trim(caught, "0") != "" {
			t.Errorf("init catches signals: %s", caught)
		}
	}
	stat := func(pid, field int) string { // counted after the name: proc_pid_stat(5)
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(text), ") ")
		return strings.Fields(rest)[field-3]
	}
	const group, session, foreground = 5, 6, 8
	if stat(task, group) != strconv.Itoa(task) || stat(task, session) != strconv.Itoa(init) || stat(task, foreground) != strconv.Itoa(task) {
		t.Errorf("the task %d of %d has group %s, session %s, foreground %s", task, init, stat(task, group), stat(task, session), stat(task, foreground))
	}
	var its, launchers unix.Stat_t // terminals of two file systems may have the same number
	err := errors.Join(unix.Stat(fmt.Sprintf("/proc/%d/fd/0", task), &its), unix.Stat(slaveOf(t, master), &launchers))
	if err != nil || its.Dev == launchers.Dev {
		t.Errorf("the task has a terminal of the launcher's devpts: %v", err)
	}
	// If the launcher leads its session, nobody could continue it after a stop, so Ctrl-Z must not stop it.
	_, _ = master.WriteString("\x1a")
	time.Sleep(300 * time.Millisecond)
	_, _ = master.WriteString("two\n")
	waitFor(t, "the echo behind Ctrl-Z", func() bool { return strings.Count(read(), "two") >= 2 })
	_, _ = master.WriteString("\x04")
	endsWith(t, c, 10*time.Second, 0)
}

// TestTerminalVanishes checks that the task ends with the caller's terminal, even if it ignores SIGHUP.
func TestTerminalVanishes(t *testing.T) {
	for _, script := range []string{"echo up; sleep 100", `trap "" HUP TERM INT; echo up; sleep 100; sleep 100`, `trap "exit 3" HUP; echo up; while :; do sleep 0.05; done`} {
		c, master := onTerminal(t, "--", "sh", "-c", script)
		buf := make([]byte, 100)
		for got := ""; !strings.Contains(got, "up"); {
			n, err := master.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += string(buf[:n])
		}
		master.Close()
		code := map[byte]int{'e': 129, 't': 137}[script[0]]
		if strings.Contains(script, "exit 3") {
			code = 3
		}
		endsWith(t, c, 10*time.Second, code)
	}
}

// TestTerminalBlocked checks that the task waits while nobody reads its output, and that signals and limits still work.
func TestTerminalBlocked(t *testing.T) {
	seesTasks(t)
	c, master := onTerminal(t, "--timeout", "1s", "--", "yes")
	_, _ = master.Read(make([]byte, 1))
	task := childOf(t, childOf(t, c.Process.Pid))
	waitFor(t, "the task to be gone", func() bool { return statusLine(task, "State") == "" })
	screen(master) // now the launcher can print the reason
	endsWith(t, c, 10*time.Second, 124)
	for sig, code := range map[syscall.Signal]int{unix.SIGTERM: 143, unix.SIGINT: 130} {
		c, master := onTerminal(t, "--", "yes")
		_, _ = master.Read(make([]byte, 1))
		time.Sleep(300 * time.Millisecond)
		_ = c.Process.Signal(sig)
		endsWith(t, c, 10*time.Second, code)
	}
}

// TestTerminalDrained checks that the task's last output arrives, however slowly the reader reads.
func TestTerminalDrained(t *testing.T) {
	const n = 200_000
	c, master := onTerminal(t, "--", "sh", "-c", fmt.Sprintf("stty -opost; head -c %d /dev/zero | tr '\\0' x; echo end", n))
	got, buf := 0, make([]byte, 1000)
	for {
		k, err := master.Read(buf)
		if err != nil {
			break
		}
		got += bytes.Count(buf[:k], []byte("x"))
		time.Sleep(200 * time.Microsecond)
	}
	endsWith(t, c, 10*time.Second, 0)
	if got != n {
		t.Errorf("%d of %d bytes came out", got, n)
	}
}

// TestTerminalMode checks that the terminal has its former mode after a signal has ended the launcher, and after a
// launch that failed.
func TestTerminalMode(t *testing.T) {
	for _, tt := range []struct {
		args []string
		sig  syscall.Signal
		code int
	}{
		{[]string{"--", "sh", "-c", "echo up; exec sleep 100"}, unix.SIGTERM, 143},
		{[]string{"--", "sh", "-c", "echo up; exec sleep 100"}, unix.SIGHUP, 129},
		{[]string{"--", "sh", "-c", "echo up; exec sleep 100"}, unix.SIGQUIT, 131},
		{[]string{"--", "sh", "-c", "stty raw; echo up; kill -SEGV $$"}, 0, 139},
		{[]string{"--", "no-such-program"}, 0, 127},
		{[]string{"--workdir", "/nowhere", "--", "true"}, 0, 125},
	} {
		master, slave := terminal(t)
		defer slave.Close()
		before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(base+"/bin/cordon", append([]string{"run"}, tt.args...)...)
		c.Dir, c.Env = base, []string{"PATH=" + toolPath(), "HOME=/nonexistent"}
		c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		read := screen(master)
		if tt.sig != 0 {
			waitFor(t, "the task", func() bool { return strings.Contains(read(), "up") })
			_ = c.Process.Signal(tt.sig)
		}
		endsWith(t, c, 10*time.Second, tt.code)
		if after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil || *after != *before {
			t.Errorf("%q: the mode was %+v and is %+v, %v", tt.args, before, after, err)
		}
	}
}

// TestTerminalStop checks that stopping the launcher stops every process in the task's group, and that continuing the
// launcher continues these processes. It does so with and without a terminal.
func TestTerminalStop(t *testing.T) {
	seesTasks(t)
	c := exec.Command(base+"/bin/cordon", "run", "--", "sh", "-c", "sleep 100; true")
	c.Dir, c.Env = base, []string{"PATH=" + toolPath(), "HOME=/nonexistent"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // in a group that this process could continue
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	var all []int
	waitFor(t, "the program", func() bool {
		all = []int{c.Process.Pid}
		for range 3 { // init, sh and sleep
			if next := childrenOf(all[len(all)-1]); len(next) == 1 {
				all = append(all, next[0])
			}
		}
		return len(all) == 4 && comm(all[3]) == "sleep"
	})
	all = append(all[:1], all[2:]...) // init continues
	are := func(state string) func() bool {
		return func() bool {
			for _, pid := range all {
				if !strings.HasPrefix(statusLine(pid, "State"), state) {
					return false
				}
			}
			return true
		}
	}
	for range 2 {
		_ = c.Process.Signal(unix.SIGTSTP)
		waitFor(t, "all to stop", are("T"))
		_ = c.Process.Signal(unix.SIGCONT)
		waitFor(t, "all to go on", are("S"))
	}
	_ = c.Process.Signal(unix.SIGINT)
	endsWith(t, c, 10*time.Second, 130)
}

// TestTerminalInitStopped checks that a run ends even if somebody has stopped init.
func TestTerminalInitStopped(t *testing.T) {
	seesTasks(t)
	c := exec.Command(base+"/bin/cordon", "run", "--", "sh", "-c", "sleep 1; exit 4")
	c.Dir, c.Env = base, []string{"PATH=" + toolPath(), "HOME=/nonexistent"}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var init []int
	waitFor(t, "init", func() bool {
		init = childrenOf(c.Process.Pid)
		return len(init) == 1 && len(childrenOf(init[0])) == 1 && comm(childrenOf(init[0])[0]) == "sh"
	})
	if err := unix.Kill(init[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	endsWith(t, c, 10*time.Second, 4)
}

// terminal returns both ends of a new pseudo-terminal: pts(4).
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
				return // the other end is closed
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

// seesTasks skips a test that examines the processes of a sandbox from outside, if the host's /proc hides them.
func seesTasks(t *testing.T) {
	t.Helper()
	if hidden() {
		t.Skip("/proc hides the processes of sandboxes: hidepid")
	}
}

// childOf returns the only child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	list := childrenOf(pid)
	if len(list) != 1 {
		t.Fatalf("%d has children %d, not one", pid, list)
	}
	return list[0]
}

func childrenOf(pid int) (list []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		text, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(word)
			list = append(list, child)
		}
	}
	return list
}

// comm returns the name of the program that a process runs.
func comm(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(text))
}

// statusLine returns a value of /proc/PID/status.
func statusLine(pid int, key string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\n"+key+":\t")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
