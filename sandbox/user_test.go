package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
)

// testUser is the ordinary user that tests started by root run as a second time. It has no entry in /etc/passwd and
// no subordinate ids.
const testUser = 65533

// asUserToo runs the test that calls it a second time, as an ordinary user, if root has started the test. The test
// binary lies in a directory that only root may search, so asUserToo runs a copy. If CORDON_USER_FOLLOWS is set, an
// ordinary user runs all tests in addition to root's run.
func asUserToo(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("CORDON_USER_FOLLOWS") != "" {
		return
	}
	name := t.Name()
	t.Run("as-user", func(t *testing.T) {
		home := publicDirFor(t, testUser)
		args := []string{"-test.run=^" + name + "$", "-test.timeout=5m"}
		if testing.Short() {
			args = append(args, "-test.short")
		}
		cmd := exec.Command(testBinary(t), args...)
		cmd.Dir = filepath.Join(home, "work")                                                                // a home is no place to work in
		if err := errors.Join(os.Mkdir(cmd.Dir, 0o755), os.Chown(cmd.Dir, testUser, testUser)); err != nil { //nolint:gosec // no secret
			t.Fatal(err)
		}
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "CORDON_SLOW=" + os.Getenv("CORDON_SLOW")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUser, Gid: testUser}, Pdeathsig: syscall.SIGKILL}
		runtime.LockOSThread() // the parent-death signal is tied to it
		defer runtime.UnlockOSThread()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("as uid %d: %v\n%s", testUser, err, out)
		}
		if strings.Contains(string(out), "no tests to run") {
			t.Fatalf("as uid %d: nothing was run\n%s", testUser, out)
		}
	})
}

// publicDir returns a directory that everybody may search. It is removed after the test.
func publicDir(t testing.TB) string {
	t.Helper()
	return publicDirFor(t, os.Getuid())
}

func publicDirFor(t testing.TB, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cordon-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if uid != os.Getuid() {
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var probeBinary struct {
	sync.Once
	path string
	err  error
}

// testBinary returns a copy of this test's program that everybody may execute. TestMain removes the copy.
func testBinary(t testing.TB) string {
	t.Helper()
	probeBinary.Do(func() {
		var dir string
		if dir, probeBinary.err = os.MkdirTemp("", "cordon-test-bin-"); probeBinary.err != nil {
			return
		}
		if probeBinary.err = os.Chmod(dir, 0o755); probeBinary.err != nil {
			return
		}
		var data []byte
		if data, probeBinary.err = os.ReadFile("/proc/self/exe"); probeBinary.err == nil {
			probeBinary.path = filepath.Join(dir, "sandbox.test")
			probeBinary.err = os.WriteFile(probeBinary.path, data, 0o755)
		}
	})
	if probeBinary.err != nil {
		t.Fatal(probeBinary.err)
	}
	return probeBinary.path
}

func TestMain(m *testing.M) {
	if os.Getenv(attackVariable) == attackExe {
		os.Stdout.WriteString("the launcher's own file\n")
		return
	}
	code := m.Run()
	if probeBinary.path != "" {
		os.RemoveAll(filepath.Dir(probeBinary.path))
	}
	os.Exit(code)
}

// traces holds everything that a launch could leave behind in the process and on the machine.
type traces struct {
	mounts     string
	children   []string
	files      int
	goroutines int
}

func look(t testing.TB) traces {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return traces{string(mounts), children(t), sandboxtest.Descriptors(t), runtime.NumGoroutine()}
}

// children lists the processes that this process has made and has not waited for, also zombies.
func children(t testing.TB) (list []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(files) == 0 {
		t.Fatalf("no /proc/self/task: %v", err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread that has ended meanwhile has none
		list = append(list, strings.Fields(string(text))...)
	}
	return list
}

// unchanged requires that nothing was left behind since before was taken. It waits some time for descriptors that a
// finalizer closes, and for goroutines that are about to return.
func unchanged(t testing.TB, before traces) {
	t.Helper()
	var now traces
	for deadline := time.Now().Add(sandboxtest.Slow(3 * time.Second)); ; time.Sleep(time.Millisecond) {
		now = look(t)
		if now.files <= before.files && now.goroutines <= before.goroutines || time.Now().After(deadline) {
			break
		}
		runtime.GC()
	}
	if now.files > before.files {
		t.Fatalf("%d open descriptors, there were %d: %s", now.files, before.files, fdNames())
	}
	if now.goroutines > before.goroutines {
		t.Errorf("%d goroutines, there were %d", now.goroutines, before.goroutines)
	}
	if len(now.children) != len(before.children) {
		t.Errorf("processes %v are left, there were %v", now.children, before.children)
	}
	if now.mounts != before.mounts {
		t.Errorf("the launcher's mounts have changed:\n%s", sandboxtest.FirstDiff(before.mounts, now.mounts))
	}
}

// fdNames counts the open descriptors by the files to which they lead.
func fdNames() string {
	count := map[string]int{}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		count[to]++
	}
	return fmt.Sprint(count)
}

// threads returns how many threads this process has.
func threads(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(proc.StatusField(text, "Threads"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
