//go:build linux

package sandbox

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/sandboxtest"
)

// TestInitHeld lets a tracer outside hold init while the task ends. No signal but SIGKILL gets past it, and the launcher
// must not wait for ever.
func TestInitHeld(t *testing.T) {
	if pid, err := strconv.Atoi(os.Getenv("CORDON_TEST_HOLD")); err == nil {
		hold(t, pid)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("init is not dumpable: nobody else may trace it")
	}
	in, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer tell.Close()
	before := look(t)
	c := shell(t, "read x; exit 3")
	c.Stdin = in
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	letGo := holdInit(t, c.proc.PID)
	tell.Close()
	began, ended := time.Now(), make(chan error, 1)
	go func() {
		_, err := wait(c)
		ended <- err
	}()
	select {
	case err := <-ended:
		var e *Error
		if !errors.As(err, &e) || e.Op != "init" || !strings.Contains(err.Error(), "has not gone on") {
			t.Errorf("Wait returned %v", err)
		}
		if took := time.Since(began); took < launch.InitSteps*launch.InitStep/2 {
			t.Errorf("init was given only %v", took)
		}
		letGo()
	case <-time.After(sandboxtest.Slow(3 * launch.InitSteps * launch.InitStep)):
		t.Error("the launcher still waits")
		letGo()
		t.Log(<-ended)
	}
	unchanged(t, before)
}

// holdInit makes another process hold init by ptrace(2), until letGo is called.
func holdInit(t *testing.T, pid int) (letGo func()) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^TestInitHeld$")
	c.Env = append(os.Environ(), "CORDON_TEST_HOLD="+strconv.Itoa(pid))
	hands, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(says).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return func() {
		hands.Close()
		_ = c.Wait()
	}
}

func hold(t *testing.T, pid int) {
	runtime.LockOSThread()
	var status unix.WaitStatus
	err := errors.Join(unix.PtraceSeize(pid), unix.PtraceInterrupt(pid))
	if err == nil {
		_, err = unix.Wait4(pid, &status, unix.WALL, nil)
	}
	if err != nil || !status.Stopped() {
		t.Fatalf("%v, %#x", err, status)
	}
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestReplacedDuringLaunch replaces a hidden file again and again while sandboxes start. A rename over a mount point
// removes the mount, also at a moment between the mount and its reading back.
func TestReplacedDuringLaunch(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func() {
		_ = os.WriteFile(dir+"/.new", []byte("secret\n"), 0o644)
		_ = os.Rename(dir+"/.new", dir+"/key")
	}
	put()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				put()
			}
		}
	}()
	restored := 0
	for range 40 {
		c := shell(t, "true")
		c.Profile.Mounts = append(c.Profile.Mounts, policy.Mount{Kind: policy.MountBind, Source: dir, Target: "/mnt", Live: true})
		c.Profile.Hide = append(c.Profile.Hide, policy.Hide{Pattern: "/mnt/key"})
		report, err := run(c)
		switch {
		case err != nil && !strings.Contains(err.Error(), "replaced"):
			t.Errorf("%v", err)
		case err == nil:
			restored += len(report.Restored)
		}
	}
	close(stop)
	<-stopped
	t.Logf("mounted again: %d", restored)
}
