package record_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/record"
)

// recorderOf returns a recorder that can be attached; only root can have such a recorder.
func recorderOf(t *testing.T) *record.Recorder {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can watch what runs already")
	}
	r, err := record.New(record.Options{Backend: record.BPF})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// started starts a program that runs until the test ends.
func started(t *testing.T, ready string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	for range 200 {
		if ready == "" {
			return c
		}
		if _, err := os.Stat(ready); err == nil {
			return c
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%q does not get ready", args)
	return nil
}

// attached records a program that already runs, for a while.
func attached(t *testing.T, pid int, during func()) *recording.Recording {
	t.Helper()
	r := recorderOf(t)
	to, err := record.Tree(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := r.Attach(to); err != nil {
		t.Fatal(err)
	}
	during()
	r.Stop()
	return r.Recording(to.Run())
}

// The recording must have what a process does, what the threads do that it has already, and what the processes do that
// it forks then. The process must not be stopped, and the recorder must leave nothing behind.
func TestAttach(t *testing.T) {
	dir := workdir(t)
	const script = `import os, subprocess, sys, threading, time
dir = sys.argv[1]
lib = open("/etc/passwd")
def thread():
    while True:
        time.sleep(0.02)
        with open(dir + "/by-a-thread", "w"):
            pass
threading.Thread(target=thread, daemon=True).start()
open(dir + "/ready", "w").close()
while True:
    time.sleep(0.02)
    subprocess.run(["cat", dir + "/hello.c"], stdout=subprocess.DEVNULL)
`
	c := started(t, filepath.Join(dir, "ready"), "/usr/bin/python3", "-I", "-c", script, dir)
	before := programsOfOurs(t)
	rec := attached(t, c.Process.Pid, func() {
		time.Sleep(500 * time.Millisecond)
		text, err := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/status")
		if err != nil || !strings.Contains(string(text), "TracerPid:\t0\n") || strings.Contains(string(text), "State:\tt") || strings.Contains(string(text), "State:\tT") {
			t.Errorf("it is stopped, or traced: %v %s", err, text)
		}
	})
	if after := programsOfOurs(t); after != before {
		t.Errorf("%d descriptors of the kernel's programs, %d before", after, before)
	}
	run := &rec.Header.Runs[0]
	if run.Complete || !strings.Contains(strings.Join(run.Why, " "), "began in the middle") || run.Backend != record.BPF {
		t.Errorf("complete %v, %q, %s", run.Complete, run.Why, run.Backend)
	}
	if len(run.Command) != 5 || run.Command[0] != "/usr/bin/python3" || len(run.Lost) != 0 {
		t.Errorf("command %q, lost %v", run.Command, run.Lost)
	}
	cat, err := filepath.EvalSymlinks("/usr/bin/cat")
	if err != nil {
		t.Skip(err)
	}
	for what, want := range map[string]func(e *recording.Event, exe string) bool{
		"a thread that was there before": func(e *recording.Event, _ string) bool {
			return e.Path == filepath.Join(dir, "by-a-thread") && e.Access&recording.Write != 0
		},
		"what it executes": func(e *recording.Event, exe string) bool {
			return e.Kind == recording.KindExec && e.Path == cat && strings.Contains(exe, "python3")
		},
		"what that reads": func(e *recording.Event, exe string) bool {
			return e.Path == filepath.Join(dir, "hello.c") && exe == cat && e.Access == recording.Read
		},
		"a file that it had open": func(e *recording.Event, exe string) bool {
			return e.Path == "/etc/passwd" && strings.Contains(exe, "python3")
		},
		"its own program": func(e *recording.Event, exe string) bool { return e.Kind == recording.KindExec && exe == "" },
		"the code that it had mapped": func(e *recording.Event, _ string) bool {
			return e.Access&recording.Map != 0 && strings.Contains(e.Path, "libc.so")
		},
		"the call that makes a thread": func(e *recording.Event, _ string) bool { return e.Kind == recording.KindCall && e.Call == "wait4" },
		"its threads":                  func(e *recording.Event, _ string) bool { return e.Peak == recording.PeakThreads && e.Value >= 2 },
		"the memory of all": func(e *recording.Event, exe string) bool {
			return e.Peak == recording.PeakMemory && exe == "" && e.Value > 1<<20
		},
		"the processes of all": func(e *recording.Event, exe string) bool {
			return e.Peak == recording.PeakPIDs && exe == "" && e.Value >= 2
		},
	} {
		if !slices.ContainsFunc(rec.Events, func(e recording.Event) bool {
			exe := ""
			if e.Exe >= 0 {
				exe = rec.Executables[e.Exe].Path
			}
			return want(&e, exe)
		}) {
			t.Errorf("%s is not recorded", what)
		}
	}
	for _, x := range rec.Executables {
		if strings.HasSuffix(x.Path, ".test") {
			t.Errorf("the recorder is recorded: %s", x.Path)
		}
	}
}

// programsOfOurs returns how many programs and maps of the kernel this process holds.
func programsOfOurs(t *testing.T) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if to, _ := os.Readlink("/proc/self/fd/" + i.Name()); strings.Contains(to, "bpf") || strings.Contains(to, "pidfd") {
			n++
		}
	}
	return n
}

// While the recorder attaches, many processes start and end. Every one of them must be followed.
func TestAttachWhileForking(t *testing.T) {
	dir := workdir(t)
	c := started(t, filepath.Join(dir, "ready"), "/bin/sh", "-c", "i=0; while :; do i=$((i+1)); (: >"+dir+"/ready); (: </etc/hostname) & wait; done")
	rec := attached(t, c.Process.Pid, func() { time.Sleep(300 * time.Millisecond) })
	if lost := rec.Header.Runs[0].Lost; len(lost) != 0 {
		t.Errorf("lost: %v", lost)
	}
	counts := map[string]uint64{}
	for _, e := range rec.Events {
		if e.Kind == recording.KindCall {
			counts[e.Call] += e.Count
		}
	}
	if forks, ends := counts["clone"]+counts["vfork"]+counts["clone3"]+counts["fork"], counts["exit_group"]; forks < 10 || ends+4 < forks/2 {
		t.Errorf("%d forks and %d ends: %v", forks, ends, counts)
	}
}

// The process belongs to another user, and the recording has that user's id.
func TestAttachOfAnotherUser(t *testing.T) {
	c := started(t, "", "setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "sleep", "60")
	for range 100 {
		if comm, _ := os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/comm"); string(comm) == "sleep\n" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	rec := attached(t, c.Process.Pid, func() {})
	if run := rec.Header.Runs[0]; run.UID != 12345 || !slices.Equal(run.Command, []string{"sleep", "60"}) {
		t.Errorf("user %d, command %q", run.UID, run.Command)
	}
}

// The end of the process ends the recording, and so does the caller's request to stop.
func TestAttachEnds(t *testing.T) {
	for _, killed := range []bool{true, false} {
		c := started(t, "", "sleep", "60")
		to, err := record.Tree(c.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		time.AfterFunc(100*time.Millisecond, func() {
			if killed {
				_ = c.Process.Kill()
			} else {
				close(stop)
			}
		})
		if ended := to.Wait(stop); ended != killed {
			t.Errorf("killed %v, ended %v", killed, ended)
		}
		to.Close()
	}
}

// The process ends between the question and the answer.
func TestAttachToWhatHasEnded(t *testing.T) {
	r := recorderOf(t)
	c := started(t, "", "sleep", "60")
	to, err := record.Tree(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	_ = c.Process.Kill()
	_ = c.Wait()
	if err := r.Attach(to); err == nil {
		t.Error("attached to nothing")
	}
}

// TestMain lets the test's own program look like a launcher.
func TestMain(m *testing.M) {
	if os.Getenv("CORDON_TEST_SLEEP") != "" {
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestWhatCannotBeAttachedTo(t *testing.T) {
	t.Setenv("CORDON_TEST_SLEEP", "1")
	launcher := started(t, "", os.Args[0])
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	time.Sleep(200 * time.Millisecond)
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	thread, _ := strconv.Atoi(threads[len(threads)-1].Name())
	for _, tt := range []struct {
		what string
		pid  int
		want string
	}{
		{"itself", os.Getpid(), "would record itself"},
		{"what is above it", os.Getppid(), "would record itself"},
		{"the machine's first process", 1, "would record itself"},
		{"one that is gone", gone.Process.Pid, "no such process"},
		{"no number", 0, "no such process"},
		{"a number less than nothing", -1, "no such process"},
		{"a zombie", zombie.Process.Pid, "has ended"},
		{"a thread", thread, "is a thread of process " + strconv.Itoa(os.Getpid())},
		{"a launcher", launcher.Process.Pid, "is a launcher"},
		{"the kernel's", 2, map[bool]string{true: "thread of the kernel", false: "another user's"}[os.Getuid() == 0]},
	} {
		to, err := record.Tree(tt.pid)
		var e *sandbox.Error
		if err == nil {
			t.Errorf("%s: no error", tt.what)
			to.Close()
		} else if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// The notify back end, which makes calls wait, cannot be attached to a program that already runs.
func TestNotifyCannotAttach(t *testing.T) {
	r, err := record.New(record.Options{Backend: record.Notify})
	if err != nil {
		t.Fatal(err)
	}
	c := started(t, "", "sleep", "60")
	to, err := record.Tree(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := r.Attach(to); err == nil || !strings.Contains(err.Error(), "a filter is taken by a program itself") {
		t.Error(err)
	}
}
