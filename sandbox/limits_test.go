package sandbox

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"cordon/policy"
)

func rlimited(c *Cmd, name string, value uint64) *Cmd {
	c.Profile.Limits.Rlimits = append(c.Profile.Limits.Rlimits, policy.Rlimit{Name: name, Value: value, Pos: policy.Pos{Flag: "--rlimit " + name}})
	return c
}

// ungrouped is a command whose group cannot be had, so that rlimits stand in.
func ungrouped(c *Cmd) *Cmd {
	c.Profile.Limits.Cgroup = "/none"
	return c
}

// TestFileSize tells SIGXFSZ apart, of the task and of a shell's child, from a program that says 153 for its own reasons.
func TestFileSize(t *testing.T) {
	for _, tt := range []struct {
		script, limit, signal string
		size                  uint64
		exit                  int
	}{
		{"exec head -c 5000 /dev/zero >/tmp/f", LimitFileSize, "SIGXFSZ", 4096, -1},
		{"head -c 5000 /dev/zero >/tmp/f; exit $?", LimitFileSize, "", 4096, 153},
		{"exec truncate -s 100G /tmp/f", LimitFileSize, "SIGXFSZ", 1 << 30, -1},
		{"head -c 4096 /dev/zero >/tmp/f", "", "", 4096, 0},
		{"exit 153", "", "", policy.Unlimited, 153},
	} {
		report, err := rlimited(shell(t, tt.script), "fsize", tt.size).Run()
		if err != nil || report.Limit != tt.limit || report.Signal != tt.signal || report.Exit != tt.exit {
			t.Errorf("%s: %+v, %v", tt.script, report, err)
		}
		if tt.limit != "" && (len(report.Limits) != 1 || !strings.HasPrefix(report.Limits[0].Rule, "limits.rlimits.fsize ") || report.Limits[0].Flag == "") {
			t.Errorf("%+v", report.Limits)
		}
	}
}

// TestCPUTimeWithoutGroup counts the processor time of all processes together, those that have ended among them, and those
// that catch SIGXCPU.
func TestCPUTimeWithoutGroup(t *testing.T) {
	for _, tt := range []struct {
		script string
		limit  time.Duration
		most   time.Duration // of processor time, and some for a machine that is busy
	}{
		{"while :; do :; done", 300 * time.Millisecond, time.Second},
		{"trap '' XCPU; while :; do :; done", 300 * time.Millisecond, time.Second},
		{"for i in 1 2 3; do (while :; do :; done) & done; wait", 300 * time.Millisecond, time.Second},
		{"while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done", 300 * time.Millisecond, time.Second},
	} {
		c := ungrouped(shell(t, tt.script))
		c.Profile.Limits.CPUTime = policy.Opt[time.Duration]{Set: true, V: tt.limit}
		report, err := c.Run()
		if err != nil {
			t.Fatal(err)
		}
		if used := report.User + report.System; report.Limit != LimitCPUTime || used < tt.limit/2 || used > tt.most || report.PeakRSS == 0 || report.Wall > 30*time.Second {
			t.Errorf("%s: %q, used %v in %v", tt.script, report.Limit, used, report.Wall)
		}
	}
	report, err := rlimited(shell(t, "while :; do :; done"), "cpu", 1).Run()
	if err != nil || report.Limit != LimitCPUTime || report.Limits[0].Flag != "--rlimit cpu=SECONDS" {
		t.Errorf("RLIMIT_CPU: %+v, %v", report, err)
	}
	c := ungrouped(shell(t, "sleep 0.5"))
	c.Profile.Limits.CPUTime = policy.Opt[time.Duration]{Set: true, V: 200 * time.Millisecond}
	if report, err := c.Run(); err != nil || report.Limit != "" || report.Exit != 0 {
		t.Errorf("one that waits: %+v, %v", report, err)
	}
}

// TestCrowd says that there were as many processes as there may be, and ends nothing for it.
func TestCrowd(t *testing.T) {
	c := ungrouped(shell(t, "for i in 1 2 3 4 5 6; do sleep 1.2 & done; wait"))
	c.Profile.Limits.PIDs = policy.Opt[int64]{Set: true, V: 8}
	report, err := c.Run()
	if err != nil || report.Limit != "" || len(report.Limits) != 1 || report.Limits[0].Limit != LimitPIDs {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestGroupLimits: what the groups count ends the sandbox, whoever in it was the cause, and is named.
func TestGroupLimits(t *testing.T) {
	for _, tt := range []struct {
		name, script, limit string
		set                 func(*policy.Limits)
	}{
		{"memory of the task", "exec tail /dev/zero", LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"memory of a child", "tail /dev/zero; exec sleep 1000", LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"memory of a tmpfs", "head -c 100M /dev/zero >/tmp/f; sleep 1000", LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"forks that nobody minds", "while :; do (sleep 1000 &); done 2>/dev/null & sleep 1000", LimitPIDs, func(l *policy.Limits) { l.PIDs = policy.Opt[int64]{Set: true, V: 12} }},
		{"forks that end the task", "while :; do sleep 1000 & done", LimitPIDs, func(l *policy.Limits) { l.PIDs = policy.Opt[int64]{Set: true, V: 12} }},
		{"processor time", "for i in 1 2 3; do (while :; do :; done) & done; wait", LimitCPUTime, func(l *policy.Limits) { l.CPUTime = policy.Opt[time.Duration]{Set: true, V: 200 * time.Millisecond} }},
		{"nothing", "exit 0", "", func(l *policy.Limits) {
			l.Memory, l.PIDs = policy.Opt[int64]{Set: true, V: 24 << 20}, policy.Opt[int64]{Set: true, V: 12}
			l.CPUTime = policy.Opt[time.Duration]{Set: true, V: 10 * time.Second}
		}},
	} {
		c := shell(t, tt.script)
		c.Profile.Missing = nil
		c.Profile.Landlock.Off = true
		c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 30 * time.Second}
		tt.set(&c.Profile.Limits)
		report, err := c.Run()
		var lacks *UnsupportedError
		if errors.As(err, &lacks) && lacks.Layer == policy.LayerCgroup {
			t.Skip(err)
		}
		if err != nil || report.Limit != tt.limit || report.Wall > 20*time.Second {
			t.Errorf("%s: %+v, %v", tt.name, report, err)
			continue
		}
		if tt.limit == "" {
			if len(report.Limits) > 0 || report.PeakMemory == nil || *report.PeakMemory == 0 || report.OOMKills == nil || *report.OOMKills != 0 {
				t.Errorf("%s: %+v", tt.name, report)
			}
			continue
		}
		if m := report.Limits[0]; m.Limit != tt.limit || m.Rule == "" || tt.limit != LimitCPUTime && m.Count == 0 {
			t.Errorf("%s: %+v", tt.name, report.Limits)
		}
		if used := report.User + report.System; tt.limit == LimitCPUTime && (used < 200*time.Millisecond || used > slow(400*time.Millisecond)) {
			t.Errorf("%s: used %v", tt.name, used)
		}
	}
}

func TestStatUsage(t *testing.T) {
	for _, tt := range []struct {
		stat    string
		used    time.Duration
		threads int64
	}{
		{"1 (a) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 1 2", 260 * time.Millisecond, 9},
		{"1 (a) ) (1 2) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 1 2", 260 * time.Millisecond, 9},
		{"1 (a", 0, 0}, {"", 0, 0}, {"1 (a) S 0", 0, 0},
	} {
		if u := statUsage([]byte(tt.stat)); u.user+u.system != tt.used || u.threads != tt.threads {
			t.Errorf("%q: %+v", tt.stat, u)
		}
	}
	if u := treeUsage(os.Getpid(), 1); u.threads < 1 {
		t.Errorf("this process: %+v", u)
	}
	if u := treeUsage(1<<30, 1); u != (treeUse{}) {
		t.Errorf("no process: %+v", u)
	}
}

func TestProcessors(t *testing.T) {
	for s, want := range map[string]int{"0-3": 3, "0": 0, "0,2-7": 7, "0-1,5": 5} {
		if n, ok := lastInRange(s); !ok || n != want {
			t.Errorf("%q: %d, %v", s, n, ok)
		}
	}
	if _, ok := lastInRange("x"); ok || processors() < 1 {
		t.Error(processors())
	}
}

func FuzzStatUsage(f *testing.F) {
	f.Add([]byte("1 (a) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 1 2"))
	f.Fuzz(func(_ *testing.T, stat []byte) { statUsage(stat) })
}
