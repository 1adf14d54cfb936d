package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
)

// TestCatchSignals sends signals to this process. Caught signals must arrive, in order, and a signal that was ignored
// before must stay ignored.
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

// TestHandlersEnd checks that a child has no handler of the launcher's. Otherwise a stop at the terminal, which reaches
// the whole process group, would make init write to the launcher's pipe, and init's filter would kill init for that.
func TestHandlersEnd(t *testing.T) {
	if _, err := CatchSignals(unix.SIGTSTP, unix.SIGCONT, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if n := caughtSignals(t, os.Getpid()); n&(1<<(unix.SIGTSTP-1)) == 0 {
		t.Fatalf("SIGTSTP is not caught here: %#x", n)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	im := link(t, &plan.Plan{Steps: []plan.Step{plan.CloseStep(plan.F("own")), plan.RecvByte(plan.F("sync"))}},
		map[string]int{"own": pair[0], "sync": pair[1]})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, pidfd, err := im.Start()
	unix.Close(pair[1])
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pidfd)
	if n := caughtSignals(t, pid); n != 0 {
		t.Errorf("the child catches %#x", n)
	}
	unix.Close(pair[0]) // it ends
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
}

// caughtSignals returns the set of signals for which a process has handlers: proc_pid_status(5).
func caughtSignals(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "SigCgt:\t")
	hex, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// suspendVar makes the test's program a process that stops itself: see TestSuspend.
const suspendVar = "CORDON_TEST_SUSPEND"

// TestSuspend checks that a process that stops its process group and is continued does not take its own signal for a
// new request to stop.
func TestSuspend(t *testing.T) {
	if os.Getenv(suspendVar) != "" {
		suspendOnce()
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		// The group is not orphaned: its parent is this process, which is in the same session and in another group.
		c := exec.Command(self, "-test.run=^TestSuspend$")
		c.Env = append(os.Environ(), suspendVar+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(c.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatalf("it is to stop: %v, status %#x", err, status)
		}
		if err := unix.Kill(-c.Process.Pid, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(out)
		if err := c.Wait(); err != nil || string(said) != "18\n" {
			t.Fatalf("after it went on, these signals were caught: %q, not SIGCONT (18) alone; %v", said, err)
		}
	}
}

// suspendOnce stops the process. When the process is continued, it prints the numbers of the signals that it has
// caught.
func suspendOnce() {
	fd, err := CatchSignals(unix.SIGTSTP, unix.SIGCONT)
	if err != nil {
		os.Exit(2)
	}
	Suspend(true)
	buf := make([]byte, 100)
	loop := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for n := 0; n == 0 || loop[0].Revents != 0; {
		if _, err := unix.Poll(loop, 200); err == nil && loop[0].Revents != 0 {
			k, _ := unix.Read(fd, buf)
			for _, b := range buf[:max(k, 0)] {
				fmt.Println(b)
			}
			n += max(k, 0)
		}
	}
	os.Exit(0)
}
