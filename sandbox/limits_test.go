package sandbox

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

func rlimited(c *Cmd, name string, value uint64) *Cmd {
	c.Profile.Limits.Rlimits = append(c.Profile.Limits.Rlimits, policy.Rlimit{Name: name, Value: value, Pos: policy.Pos{Flag: "--rlimit " + name}})
	return c
}

// ungrouped returns a command that can have no cgroup, so that rlimits replace it.
func ungrouped(t *testing.T, c *Cmd) *Cmd {
	t.Helper()
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd would make a group")
	}
	c.Profile.Limits.Cgroup = "none.slice"
	return c
}

// TestFileSize distinguishes the SIGXFSZ of the task or of a shell's child from a program that exits with 153 for
// another reason.
func TestFileSize(t *testing.T) {
	for _, tt := range []struct {
		script, limit, signal string
		size                  uint64
		exit                  int
	}{
		{"exec head -c 5000 /dev/zero >/tmp/f", report.LimitFileSize, "SIGXFSZ", 4096, -1},
		{"head -c 5000 /dev/zero >/tmp/f; exit $?", report.LimitFileSize, "", 4096, 153},
		{"exec truncate -s 100G /tmp/f", report.LimitFileSize, "SIGXFSZ", 1 << 30, -1},
		{"head -c 4096 /dev/zero >/tmp/f", "", "", 4096, 0},
		{"exit 153", "", "", policy.Unlimited, 153},
	} {
		report, err := run(rlimited(shell(t, tt.script), "fsize", tt.size))
		if err != nil || report.Limit != tt.limit || report.Signal != tt.signal || report.Exit != tt.exit {
			t.Errorf("%s: %+v, %v", tt.script, report, err)
		}
		if tt.limit != "" && (len(report.Limits) != 1 || !strings.HasPrefix(report.Limits[0].Rule, "limits.rlimits.fsize ") || report.Limits[0].Flag == "") {
			t.Errorf("%+v", report.Limits)
		}
	}
}

// TestCPUTimeWithoutGroup counts the processor time of all processes together, also of processes that have ended, and
// of processes that catch SIGXCPU.
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
		c := ungrouped(t, shell(t, tt.script))
		c.Profile.Limits.CPUTime = policy.Opt[time.Duration]{Set: true, V: tt.limit}
		rep, err := run(c)
		if err != nil {
			t.Fatal(err)
		}
		if used := rep.User + rep.System; rep.Limit != report.LimitCPUTime || used < tt.limit/2 || used > sandboxtest.Slow(tt.most) || rep.PeakRSS == 0 || rep.Wall > sandboxtest.Slow(30*time.Second) {
			t.Errorf("%s: %q, used %v in %v", tt.script, rep.Limit, used, rep.Wall)
		}
	}
	rep, err := run(rlimited(shell(t, "while :; do :; done"), "cpu", 1))
	if err != nil || rep.Limit != report.LimitCPUTime || rep.Limits[0].Flag != "--rlimit cpu=SECONDS" {
		t.Errorf("RLIMIT_CPU: %+v, %v", rep, err)
	}
	c := ungrouped(t, shell(t, "sleep 0.5"))
	c.Profile.Limits.CPUTime = policy.Opt[time.Duration]{Set: true, V: sandboxtest.Slow(200 * time.Millisecond)} // the launch takes some, too
	if report, err := run(c); err != nil || report.Limit != "" || report.Exit != 0 {
		t.Errorf("one that waits: %+v, %v", report, err)
	}
}

// TestCrowd checks that the report says that the number of processes has reached its limit, and that the run goes on.
func TestCrowd(t *testing.T) {
	c := ungrouped(t, shell(t, "for i in 1 2 3 4 5 6; do sleep 1.2 & done; wait"))
	c.Profile.Limits.PIDs = policy.Opt[int64]{Set: true, V: 8}
	rep, err := run(c)
	if err != nil || rep.Limit != "" || len(rep.Limits) != 1 || rep.Limits[0].Limit != report.LimitPIDs {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestGroupLimits checks that a limit of the groups ends the sandbox, whichever process has reached it, and that the
// report names the limit.
func TestGroupLimits(t *testing.T) {
	for _, tt := range []struct {
		name, script, limit string
		set                 func(*policy.Limits)
	}{
		{"memory of the task", "exec tail /dev/zero", report.LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"memory of a child", "tail /dev/zero; exec sleep 1000", report.LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"memory of a tmpfs", "head -c 100M /dev/zero >/tmp/f; sleep 1000", report.LimitOOM, func(l *policy.Limits) { l.Memory = policy.Opt[int64]{Set: true, V: 24 << 20} }},
		{"forks that nobody minds", "while :; do (sleep 1000 &); done 2>/dev/null & sleep 1000", report.LimitPIDs, func(l *policy.Limits) { l.PIDs = policy.Opt[int64]{Set: true, V: 12} }},
		{"forks that end the task", "while :; do sleep 1000 & done", report.LimitPIDs, func(l *policy.Limits) { l.PIDs = policy.Opt[int64]{Set: true, V: 12} }},
		{"processor time", "for i in 1 2 3; do (while :; do :; done) & done; wait", report.LimitCPUTime, func(l *policy.Limits) { l.CPUTime = policy.Opt[time.Duration]{Set: true, V: 200 * time.Millisecond} }},
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
		rep, err := run(c)
		var lacks *UnsupportedError
		if errors.As(err, &lacks) && lacks.Layer == policy.LayerCgroup {
			t.Skip(err)
		}
		if err != nil || rep.Limit != tt.limit || rep.Wall > 20*time.Second {
			t.Errorf("%s: %+v, %v", tt.name, rep, err)
			continue
		}
		if tt.limit == "" {
			if len(rep.Limits) > 0 || rep.PeakMemory == nil || *rep.PeakMemory == 0 || rep.OOMKills == nil || *rep.OOMKills != 0 {
				t.Errorf("%s: %+v", tt.name, rep)
			}
			continue
		}
		if m := rep.Limits[0]; m.Limit != tt.limit || m.Rule == "" || tt.limit != report.LimitCPUTime && m.Count == 0 {
			t.Errorf("%s: %+v", tt.name, rep.Limits)
		}
		if used := rep.User + rep.System; tt.limit == report.LimitCPUTime && (used < 200*time.Millisecond || used > sandboxtest.Slow(400*time.Millisecond)) {
			t.Errorf("%s: used %v", tt.name, used)
		}
	}
}

func TestTreeUsage(t *testing.T) {
	if u := launch.TreeUsage(os.Getpid(), 1); u.Threads < 1 {
		t.Errorf("this process: %+v", u)
	}
	if u := launch.TreeUsage(1<<30, 1); u != (launch.TreeUse{}) {
		t.Errorf("no process: %+v", u)
	}
}

func TestProcessors(t *testing.T) {
	for s, want := range map[string]int{"0-3": 3, "0": 0, "0,2-7": 7, "0-1,5": 5} {
		if n, ok := launch.LastInRange(s); !ok || n != want {
			t.Errorf("%q: %d, %v", s, n, ok)
		}
	}
	if _, ok := launch.LastInRange("x"); ok || launch.Processors() < 1 {
		t.Error(launch.Processors())
	}
}

// TestLimitsAround distinguishes a limit of a group around the sandbox from the sandbox's own, by the kernel's
// counters.
func TestLimitsAround(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	p := &launch.Process{Comp: &compile.Compilation{Profile: &policy.Profile{Limits: policy.Limits{PIDs: set(10), Memory: set(800)}}}}
	memory := func(own, kills *uint64) *cgroup.Stats {
		return &cgroup.Stats{Memory: &cgroup.Memory{OOMs: own, OOMKills: kills}}
	}
	pids := func(peak, refused *uint64) *cgroup.Stats {
		return &cgroup.Stats{PIDs: &cgroup.PIDs{Peak: peak, MaxEvents: refused}}
	}
	for name, c := range map[string]struct {
		limit string
		stats *cgroup.Stats
		want  bool
	}{
		"nothing is counted":            {report.LimitOOM, nil, false},
		"its own memory":                {report.LimitOOM, memory(n(1), n(1)), false},
		"that of a group around it":     {report.LimitOOM, memory(n(0), n(1)), true},
		"nobody was killed":             {report.LimitOOM, memory(n(0), n(0)), false},
		"v1, its own memory":            {report.LimitOOM, &cgroup.Stats{Memory: &cgroup.Memory{Peak: n(790), OOMKills: n(1)}}, false},
		"v1, that of a group around it": {report.LimitOOM, &cgroup.Stats{Memory: &cgroup.Memory{Peak: n(600), OOMKills: n(1)}}, true},
		"its own processes":             {report.LimitPIDs, pids(n(11), n(1)), false},
		"those of a group around it":    {report.LimitPIDs, pids(n(5), n(1)), true},
		"a kernel without a peak":       {report.LimitPIDs, pids(nil, n(1)), false},
	} {
		if got := p.Outside(c.limit, c.stats); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestGroupsAround makes a group around the sandbox run out of memory, and of processes. Neither is the sandbox's own
// limit.
func TestGroupsAround(t *testing.T) {
	if layout(t) != "v2" || os.Getuid() != 0 {
		return // root makes the group
	}
	const dir = "/sys/fs/cgroup/around"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(dir)
	for name, text := range map[string]string{"cgroup.subtree_control": "+memory +pids", "memory.max": "33554432", "memory.swap.max": "0", "pids.max": "8"} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string, limits policy.Limits) *report.Report {
		t.Helper()
		limits.Cgroup = "/around"
		_, r := output(t, grouped(t, script, func(p *policy.Profile) { p.Limits = limits }))
		return r
	}
	r := run("exec tail /dev/zero", policy.Limits{Memory: set(1 << 30)})
	if r.Limit != report.LimitOOM || len(r.Limits) != 1 || r.Limits[0].Rule != "" || len(r.Hints) != 1 {
		t.Errorf("memory: %+v", r)
	}
	if r = run("exec tail /dev/zero", policy.Limits{Memory: set(16 << 20)}); len(r.Limits) != 1 || r.Limits[0].Rule == "" || len(r.Hints) != 0 {
		t.Errorf("its own memory: %+v", r)
	}
	many := "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait; exit 0"
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	counted := !host.KernelAtLeast(unix.ByteSliceToString(uts.Release[:]), 6, 10) // a newer one counts it in the group around alone
	if r = run(many, policy.Limits{PIDs: set(100)}); r.Limit != "" || counted && len(r.Hints) == 0 {
		t.Errorf("processes: %+v", r)
	}
	if r = run(many, policy.Limits{PIDs: set(4)}); r.Limit != report.LimitPIDs {
		t.Errorf("its own processes: %+v", r)
	}
}
