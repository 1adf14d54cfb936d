package child

import (
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/plan"
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

// TestHandlersEnd: a child has no handler of the launcher's, or a stop at the terminal, which reaches the whole process
// group, would make init write to the launcher's pipe, and its filter would end it for that.
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

// caughtSignals is the set of signals that a process has handlers for: proc_pid_status(5).
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
