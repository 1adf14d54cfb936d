package sandbox

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/report"
)

// roomy gives a grouped sandbox room for what a test uses in it.
func roomy(p *policy.Profile) { p.Limits.Memory, p.Limits.PIDs = set(256<<20), set(100) }

// TestUsageOfGroups compares the use in the report with what a program is known to have used.
func TestUsageOfGroups(t *testing.T) {
	grouped(t, "exit 0")
	v2 := layout(t) == "v2"
	t.Run("memory", func(t *testing.T) {
		text, r := output(t, grouped(t, "dd if=/dev/zero of=/dev/null bs=40M count=1", roomy))
		if r.PeakMemory == nil || *r.PeakMemory < 40<<20 || *r.PeakMemory > 64<<20 {
			t.Errorf("peak %v of 40 MiB: %s", text, show(r.PeakMemory))
		}
	})
	t.Run("times", func(t *testing.T) {
		if _, r := output(t, grouped(t, "exit 0", roomy, func(p *policy.Profile) { p.Limits.CPUTime = policy.Opt[time.Duration]{Set: true, V: time.Minute} })); r.AtLeast {
			t.Error("a group counts, and the times are said to be the least")
		}
		if _, r := output(t, shell(t, "exit 0")); !r.AtLeast {
			t.Error("no group counts, and the times are said to be all")
		}
	})
	t.Run("pids", func(t *testing.T) {
		_, r := output(t, grouped(t, "for i in 1 2 3 4 5 6 7 8 9; do sleep 2 & done; wait", roomy))
		if r.PeakPIDs == nil || *r.PeakPIDs != 10 { // nine and the shell; the limit does not count init either
			t.Errorf("peak %s of 10", show(r.PeakPIDs))
		}
	})
	t.Run("cpus", func(t *testing.T) {
		_, r := output(t, grouped(t, "while :; do :; done", roomy, func(p *policy.Profile) {
			p.Limits.CPUs, p.Limits.CPUTime = policy.Opt[float64]{Set: true, V: 0.2}, policy.Opt[time.Duration]{Set: true, V: 400 * time.Millisecond}
		}))
		used := r.User + r.System
		if r.Limit != report.LimitCPUTime || r.Wall < used*3 || r.Throttled == nil || *r.Throttled == 0 || r.ThrottledPeriods == nil || *r.ThrottledPeriods == 0 {
			t.Errorf("%s: %v of %v, held back for %v in %s periods", r.Limit, used, r.Wall, r.Throttled, show(r.ThrottledPeriods))
		}
		if _, err := os.Stat("/proc/pressure/cpu"); v2 && err == nil && (r.CPUStall == nil || *r.CPUStall == 0 || r.MemoryStall == nil || r.IOStall == nil) {
			t.Errorf("stalls: cpu %v, memory %v, io %v", r.CPUStall, r.MemoryStall, r.IOStall)
		}
	})
}

// TestGroupsHoldDisksBack writes to a disk past the cache, without a limit and with one, and compares the times.
func TestGroupsHoldDisksBack(t *testing.T) {
	const size = 6 << 20
	dir := publicDir(t)
	write := func(perSecond int64) *report.Report {
		t.Helper()
		c := grouped(t, "dd if=/dev/zero of="+dir+"/f bs=256K count=24 oflag=direct 2>&1", roomy, func(p *policy.Profile) {
			p.Mounts = append(p.Mounts, policy.Mount{Kind: policy.MountBind, Source: dir, Write: true})
			p.Limits.IO = []policy.IOMax{{Path: dir, WriteBytes: perSecond}}
		})
		text, r := output(t, c)
		if r.Exit != 0 || r.WriteBytes == nil || *r.WriteBytes < size {
			t.Fatalf("exit %d, %s bytes written: %s", r.Exit, show(r.WriteBytes), text)
		}
		return r
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/dev/block/" + strconv.Itoa(int(unix.Major(st.Dev))) + ":" + strconv.Itoa(int(unix.Minor(st.Dev)))); err != nil {
		t.Skip(err)
	}
	free, held := write(1<<30), write(1<<20)
	if held.Wall < 5*time.Second || held.Wall < free.Wall+3*time.Second {
		t.Errorf("6 MiB took %v, and %v at 1 MiB/s", free.Wall, held.Wall)
	}
	asUserToo(t)
}

// TestGroupsBoundSwap uses more memory than the limit. Without swap that must end the sandbox, and with swap it must
// not.
func TestGroupsBoundSwap(t *testing.T) {
	if text := file(t, "/proc/swaps"); strings.Count(text, "\n") == 0 {
		t.Skip("this machine has no swap")
	}
	take := func(swap policy.Opt[int64]) *report.Report {
		t.Helper()
		_, r := output(t, grouped(t, "exec dd if=/dev/zero of=/dev/null bs=96M count=1 2>&1", func(p *policy.Profile) {
			p.Limits.Memory, p.Limits.Swap = set(64<<20), swap
		}))
		return r
	}
	if r := take(policy.Opt[int64]{}); r.Limit != report.LimitOOM {
		t.Errorf("with nothing said of swap: %+v", r)
	}
	if r := take(set(0)); r.Limit != report.LimitOOM || r.OOMKills == nil || *r.OOMKills == 0 {
		t.Errorf("without swap: %+v", r)
	}
	r := take(set(128 << 20))
	if r.Limit != "" || r.Exit != 0 {
		t.Errorf("with swap: %+v", r)
	}
	if host.KernelAtLeast(file(t, "/proc/sys/kernel/osrelease"), 6, 5) && (r.PeakSwap == nil || *r.PeakSwap < 16<<20) {
		t.Errorf("peak of swap %s", show(r.PeakSwap))
	}
	asUserToo(t)
}

// TestGroupsBoundHugePages maps as many huge pages as the limit allows, and then more.
func TestGroupsBoundHugePages(t *testing.T) {
	if text, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"); err != nil || strings.TrimSpace(string(text)) == "0" {
		t.Skip("this machine has no huge pages")
	}
	for _, tt := range []struct {
		max  int64
		want string
	}{{2 << 20, "2 MiB\n"}, {0, ""}, {4 << 20, "2 MiB\n4 MiB\n"}} {
		c := grouped(t, "", func(p *policy.Profile) { p.Limits.Hugetlb = []policy.Hugetlb{{PageSize: 2 << 20, Max: tt.max}} })
		c.Args = []string{"perl", "-e", // mmap(2): read and write; private, anonymous, huge
			`for (2, 4) { my $at = syscall(` + strconv.Itoa(unix.SYS_MMAP) + `, 0, $_ << 20, 3, 0x40022, -1, 0); print "$_ MiB\n" if $at != -1; syscall(` + strconv.Itoa(unix.SYS_MUNMAP) + `, $at, $_ << 20) }`}
		if text, r := output(t, c); text != tt.want || r.Exit > 1 {
			t.Errorf("%d bytes: %q, exit %d", tt.max, text, r.Exit)
		}
	}
	asUserToo(t)
}

func show(n *uint64) string {
	if n == nil {
		return "nil"
	}
	return strconv.Itoa(int(*n))
}
