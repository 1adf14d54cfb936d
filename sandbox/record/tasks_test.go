package record

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/report"
)

// If another task has a task's place in the array, the task is followed all the same, and is forgotten when it has
// ended.
func TestTasksWithoutAPlace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the programs take root")
	}
	want := followed(t, false)
	if got := followed(t, true); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !slices.Contains(want, "/usr/bin/true exit_group") {
		t.Errorf("%q", want)
	}
}

// followed returns which program made which call, for a shell that starts other programs.
func followed(t *testing.T, full bool) (calls []string) {
	t.Helper()
	native, _ := filter.ParseArch(runtime.GOARCH)
	b, err := newBPF(native)
	if err != nil {
		t.Skip(err)
	}
	r := &Recorder{backend: b, name: BPF}
	p, err := profiles.Search{}.Load([]string{"build"}, &policy.Profile{})
	if err != nil {
		t.Fatal(err)
	}
	if full {
		taken := make([]byte, taskSize)
		binary.LittleEndian.PutUint64(taken[taskTID:], 1<<40)
		for slot := range uint32(maxTasks) {
			if err := child.SetMap(b.m.slots, binary.LittleEndian.AppendUint32(nil, slot), taken); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := &sandbox.Cmd{Profile: Permissive(p), Args: []string{"/bin/sh", "-c", "for i in 1 2 3; do (/usr/bin/true); done; exec cat /dev/null"}, Observer: r}
	rep, err := runToEnd(c)
	if full && err == nil {
		left := 0
		each(b.m.tasks, 4, taskSize, maxTasks, func(_, _ []byte) { left++ })
		if left != 0 {
			t.Errorf("%d tasks are left", left)
		}
	}
	r.Stop()
	if err != nil || rep.Exit != 0 {
		t.Fatalf("%v %+v", err, rep)
	}
	rec := r.Recording(recording.Run{Command: c.Args})
	if run := rec.Header.Runs[0]; !run.Complete {
		t.Errorf("not complete: %q", run.Why)
	}
	for _, e := range rec.Events {
		if e.Kind == recording.KindCall && e.Exe >= 0 {
			calls = append(calls, rec.Executables[e.Exe].Path+" "+e.Call)
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}

// BenchmarkBPF measures how long the programs take to load and, separately, to attach.
func BenchmarkBPF(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("the programs take root")
	}
	native, _ := filter.ParseArch(runtime.GOARCH)
	attach := 0.0
	for b.Loop() {
		r, err := newBPF(native)
		if err != nil {
			b.Skip(err)
		}
		b.StopTimer()
		start := time.Now()
		if err := r.Ready(os.Getpid()); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start).Seconds() * 1000
		if attach == 0 || took < attach {
			attach = took
		}
		r.stop()
		b.StartTimer()
	}
	b.ReportMetric(attach, "ms-attach")
}

// runToEnd runs a command. The report says how the program ended; that is no error.
func runToEnd(c *sandbox.Cmd) (*report.Report, error) {
	var exit *sandbox.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return c.Report, nil
}
