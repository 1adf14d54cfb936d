package sandbox

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/report"
)

func set(n int64) policy.Opt[int64] { return policy.Opt[int64]{Set: true, V: n} }

// grouped returns a shell that runs in its own cgroups. If this user cannot have cgroups on this machine, it skips the
// test.
func grouped(t testing.TB, script string, change ...func(*policy.Profile)) *Cmd {
	t.Helper()
	c, err := mayBeGrouped(t, script, change...)
	if err != nil {
		t.Skip(err)
	}
	return c
}

// mayBeGrouped does the same as grouped, but returns the reason instead of skipping the test.
func mayBeGrouped(t testing.TB, script string, change ...func(*policy.Profile)) (*Cmd, error) {
	t.Helper()
	c := shell(t, script)
	c.Profile.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}}
	c.Profile.Limits.Memory, c.Profile.Limits.PIDs = set(64<<20), set(40)
	for _, f := range change {
		f(c.Profile)
	}
	var lacks *UnsupportedError
	if _, err := c.Plan(); errors.As(err, &lacks) && lacks.Layer == policy.LayerCgroup && os.Getuid() != 0 {
		return nil, lacks
	}
	return c, nil
}

// running starts a command that reads its standard input, and returns a function that ends the command.
func running(t testing.TB, c *Cmd) (end func() *report.Report) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin = r
	err = c.Start()
	r.Close()
	if err != nil {
		w.Close()
		t.Fatal(err)
	}
	return func() *report.Report {
		t.Helper()
		w.Close()
		report, err := wait(c)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
}

// groupsOf returns, by controller, the directories of those cgroups of a process that belong to a sandbox, as /proc and
// the mount table show them. The controller "" means v2.
func groupsOf(t testing.TB, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if !strings.Contains(f[2], "/cordon-") {
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			dir := "/sys/fs/cgroup/" + c
			if c == "" {
				dir = "/sys/fs/cgroup"
			}
			if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil && c == "" {
				dir += "/unified"
			}
			dirs[c] = dir + f[2]
		}
	}
	return dirs
}

func file(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// groupOf returns the cgroup of a running sandbox. The end of the sandbox removes it.
func groupOf(c *Cmd) *cgroup.Group {
	c.proc.Mu.Lock()
	defer c.proc.Mu.Unlock()
	return c.proc.Cgroup
}

// TestGroups compares the kernel's files with the requested limits, while the sandbox runs and after its end.
func TestGroups(t *testing.T) {
	c := grouped(t, "cat /proc/self/cgroup; read x", func(p *policy.Profile) {
		p.Limits.CPUs, p.Limits.CPUWeight, p.Limits.CPUSet = policy.Opt[float64]{Set: true, V: 1.5}, set(50), "0"
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	end := running(t, c)
	w.Close()
	dirs := groupsOf(t, c.proc.Task)
	if len(dirs) == 0 {
		t.Fatal("the task is in no group of its own")
	}
	want := map[string]string{"memory.max": "67108864", "pids.max": "41", "cpu.max": "150000 100000", "cpu.weight": "50", "cpuset.cpus": "0"}
	if dirs[""] == "" || dirs["memory"] != "" {
		want = map[string]string{"memory.limit_in_bytes": "67108864", "pids.max": "41", "cpu.cfs_quota_us": "150000", "cpu.shares": "512", "cpuset.cpus": "0"}
	}
	for name, value := range want {
		controller, _, _ := strings.Cut(name, ".")
		dir := dirs[controller]
		if dir == "" {
			dir = dirs[""]
		}
		if got := file(t, filepath.Join(dir, name)); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	if pids, err := groupOf(c).Procs(); err != nil || len(pids) < 2 {
		t.Errorf("processes %v, %v: init and the task are in it", pids, err)
	}
	stats, err := groupOf(c).Stats()
	if err != nil || stats.Memory == nil || *stats.Memory.Current == 0 || stats.PIDs == nil || *stats.PIDs.Current < 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	rep := end()
	inside, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(inside), "cordon-") || !strings.Contains(string(inside), ":/\n") {
		t.Errorf("inside it sees\n%s", inside)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
	found := 0
	for _, e := range rep.Enforced {
		if e.Layer == policy.LayerCgroup {
			found++
		}
	}
	if found < 5 || slices.ContainsFunc(rep.Missing, func(m report.Missing) bool { return m.Layer == policy.LayerCgroup }) || len(rep.Hints) != 0 {
		t.Errorf("%d limits enforced, missing %v, hints %v", found, rep.Missing, rep.Hints)
	}
	asUserToo(t)
}

// TestGroupsBound runs a program into each limit. It first checks that the same program works without the limit.
func TestGroupsBound(t *testing.T) {
	const buffer = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null && echo enough"
	const forks = `i=0; while [ $i -lt 20 ]; do sleep 30 & i=$((i+1)); done; echo $i; kill $(jobs -p) 2>/dev/null; exit 0`
	for _, tt := range []struct {
		name, script, enough string
		limit                func(*policy.Profile)
	}{
		{"memory", buffer, "enough", func(p *policy.Profile) { p.Limits.Memory, p.Limits.Swap = set(32<<20), set(0) }},
		{"pids", forks, "20", func(p *policy.Profile) { p.Limits.PIDs = set(10) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wide := func(p *policy.Profile) { p.Limits.Memory, p.Limits.PIDs = set(512<<20), set(100) }
			if text, report := output(t, grouped(t, tt.script, wide)); !strings.Contains(text, tt.enough) {
				t.Fatalf("without the limit: exit %d %s %s", report.Exit, report.Signal, text)
			}
			if text, report := output(t, grouped(t, tt.script, wide, tt.limit)); strings.Contains(text, tt.enough) {
				t.Errorf("with the limit: exit %d %s %s", report.Exit, report.Signal, text)
			}
		})
	}
	t.Run("cpus", func(t *testing.T) {
		c := grouped(t, "i=0; while :; do i=$((i+1)); done", func(p *policy.Profile) {
			p.Limits.CPUs, p.Limits.Wall = policy.Opt[float64]{Set: true, V: 0.1}, policy.Opt[time.Duration]{Set: true, V: 2 * time.Second}
		})
		c.KillAfter = time.Millisecond
		_, report := output(t, c)
		if used := report.User + report.System; used > report.Wall/4 {
			t.Errorf("%v of %v", used, report.Wall)
		}
	})
	asUserToo(t)
}

// TestGroupsInBrief checks a brief report. It must not contain what a run has used, but every limit that the run
// reached.
func TestGroupsInBrief(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		brief        bool
		limit        string
	}{
		{"all", "true", false, ""},
		{"brief", "true", true, ""},
		{"brief, at the limit", `i=0; while [ $i -lt 20 ]; do sleep 30 & i=$((i+1)); done`, true, report.LimitPIDs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := grouped(t, tt.script, func(p *policy.Profile) { p.Limits.Memory, p.Limits.PIDs = set(512<<20), set(10) })
			c.Brief = tt.brief
			_, got := output(t, c)
			if got.Limit != tt.limit || (got.PeakMemory != nil) == (tt.brief && tt.limit == "") {
				t.Errorf("limit %q, peak memory %v", got.Limit, got.PeakMemory)
			}
			if tt.limit != "" && (len(got.Limits) != 1 || got.Limits[0].Count == 0) {
				t.Errorf("%+v", got.Limits)
			}
		})
	}
	asUserToo(t)
}

// TestSmallestMemory checks that a program starts with a limit of half a MiB. The memory that the launcher uses to set
// up the sandbox must not count.
func TestSmallestMemory(t *testing.T) {
	c := grouped(t, "", func(p *policy.Profile) { p.Limits.Memory = set(512 << 10) })
	if layout(t) != "v2" {
		t.Skip("the figure is of cgroup v2")
	}
	c.Args = []string{"true"}
	if report, err := run(c); err != nil || report.Exit != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	asUserToo(t)
}

func layout(t testing.TB) string {
	t.Helper()
	l, err := cgroup.Read(host.OSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Kind()
}

// TestGroupsTakeAllAlong checks that the end of a sandbox also ends a process that has left its session. The sandbox
// has no pid namespace that would do so.
func TestGroupsTakeAllAlong(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root can use the host's pid namespace
	}
	c := grouped(t, "setsid sleep 1000 & echo $!; read x", func(p *policy.Profile) {
		p.Namespaces.PID.Mode, p.Namespaces.User.Mode, p.User = policy.NSHost, policy.NSHost, ids(12345)
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	end := running(t, c)
	w.Close()
	var buf [32]byte
	n, _ := r.Read(buf[:])
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil || len(groupsOf(t, pid)) == 0 {
		t.Fatalf("process %d, %v", pid, err)
	}
	dirs := groupsOf(t, pid)
	end()
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && strings.Contains(string(text), "1000") {
		t.Errorf("%d goes on: %q", pid, text)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

// TestGroupsOfTheDead checks that cordon removes the cgroups of a launcher that was killed, and kills the processes in
// them. It must not touch the cgroups of a living launcher.
func TestGroupsOfTheDead(t *testing.T) {
	c := grouped(t, "read x")
	end := running(t, c)
	var mine string
	for controller, dir := range groupsOf(t, c.proc.Task) {
		if controller == "" || controller == "memory" {
			mine = dir
		}
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	f := strings.Split(filepath.Base(mine), "-")
	stale := filepath.Join(filepath.Dir(mine), "cordon-"+f[1]+"-"+strconv.Itoa(ended.Process.Pid)+"-1")
	if err := os.Mkdir(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(stale)
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale+"/cgroup.procs", []byte(strconv.Itoa(sleep.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = sleep.Wait() // the error is expected, because the test kills the process
		close(gone)
	}()
	if _, err := run(grouped(t, "exit 0")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Errorf("%s is left", stale)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("the group of a sandbox that runs: %v", err)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("a process of the dead goes on")
		_ = sleep.Process.Kill()
	}
	end()
	asUserToo(t)
}

// TestFreeze checks that the processes of a sandbox can be stopped and continued, and that a stopped sandbox can be
// killed.
func TestFreeze(t *testing.T) {
	c := grouped(t, "while :; do :; done")
	end := running(t, c)
	g := groupOf(c)
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	ticks := func() string {
		f := strings.Fields(file(t, "/proc/"+strconv.Itoa(c.proc.Task)+"/stat"))
		return f[13] + " " + f[14]
	}
	frozen, err := g.Frozen()
	before := ticks()
	time.Sleep(100 * time.Millisecond)
	if after := ticks(); !frozen || err != nil || after != before {
		t.Errorf("frozen %v, %v; processor time %s, then %s", frozen, err, before, after)
	}
	if err := g.Thaw(); err != nil {
		t.Fatal(err)
	}
	if frozen, err := g.Frozen(); frozen || err != nil {
		t.Errorf("thawed: %v, %v", frozen, err)
	}
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if report := end(); report.Signal != "SIGKILL" {
		t.Errorf("%+v", report)
	}
	asUserToo(t)
}

// TestDevicesAreGuarded checks that the cgroup prevents a task from opening a disk. The task may mount and make device
// nodes, so nothing else would prevent it.
func TestDevicesAreGuarded(t *testing.T) {
	if os.Getuid() != 0 {
		return // an ordinary user cannot make devices
	}
	attack := func(node string, limits bool) (opened bool, text string, r *report.Report) {
		script := "mount -t tmpfs none /mnt && mknod /mnt/d " + node + " && : </mnt/d && echo opened"
		c := shell(t, script)
		if limits {
			c = grouped(t, script)
		}
		p := c.Profile
		p.Namespaces.User.Mode, p.User.Host = policy.NSHost, policy.HostCaller
		p.Capabilities.Keep = capabilities("SYS_ADMIN", "MKNOD", "DAC_OVERRIDE", "SYS_RAWIO")
		p.Syscalls.Default, p.Syscalls.Rules, p.Syscalls.Deny, p.Landlock.Off = "allow", nil, nil, true
		text, r = output(t, c)
		return strings.Contains(text, "opened"), text, r
	}
	const full = "c 1 7" // a device that the sandbox's /dev has
	forbidden := ""
	var texts []string
	for _, node := range append(disks(t), "c 1 1") { // c 1 1 is the machine's memory
		opened, text, _ := attack(node, false)
		if opened {
			forbidden = node
			break
		}
		texts = append(texts, text)
	}
	if forbidden == "" {
		t.Fatalf("without the layer: %q", texts)
	}
	opened, text, report := attack(forbidden, true)
	if opened || !strings.Contains(text, "Operation not permitted") {
		t.Errorf("with it, %s: %s", forbidden, text)
	}
	if opened, text, _ := attack(full, true); !opened {
		t.Errorf("a device that /dev shows: %s", text)
	}
	found := false
	for _, e := range report.Enforced {
		found = found || e.Layer == policy.LayerCgroup && strings.HasPrefix(e.Found, "devices:")
	}
	if !found {
		t.Errorf("%+v", report.Enforced)
	}
}

// disks returns the block devices of this machine, as mknod(1) names them.
func disks(t testing.TB) (list []string) {
	t.Helper()
	files, err := filepath.Glob("/sys/block/*/dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		list = append(list, "b "+strings.Replace(file(t, f), ":", " ", 1))
	}
	return list
}

// TestGroupsMayBeMissing checks that the report lists each limit that cannot be enforced, and that rlimits replace
// these limits.
func TestGroupsMayBeMissing(t *testing.T) {
	c := shell(t, "ulimit -d; ulimit -u 2>/dev/null")
	c.Profile.Limits.Memory, c.Profile.Limits.PIDs, c.Profile.Limits.CPUs = set(64<<20), set(40), policy.Opt[float64]{Set: true, V: 1}
	c.Profile.Limits.Cgroup = "systemd" // for a path that does not exist there would be an error
	text, report := output(t, c)
	if !strings.HasPrefix(text, "65536") {
		t.Errorf("ulimit -d: %s", text)
	}
	var why []string
	for _, m := range report.Missing {
		if m.Layer == policy.LayerCgroup {
			why = append(why, m.Why+"|"+m.Instead)
		}
	}
	if len(why) != 3 || !strings.HasPrefix(why[0], "limits.memory: ") || !strings.HasSuffix(why[0], "|RLIMIT_DATA, for each process") {
		t.Errorf("%q", why)
	}
	asUserToo(t)
}

// TestGroupsThatCannotBe checks the errors if cgroups cannot be made. Each must name the cause, and nothing may be left
// behind.
func TestGroupsThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*policy.Profile)
	}{
		{"processors that this machine does not have", "limits.cpuset", func(p *policy.Profile) { p.Limits.CPUSet = "8000" }},
		{"a group that is not there", "there is no such cgroup", func(p *policy.Profile) { p.Limits.Cgroup = "/none" }},
		{"a size of pages that it does not have", "limits.hugetlb 4KB", func(p *policy.Profile) { p.Limits.Hugetlb = []policy.Hugetlb{{PageSize: 4096, Max: 0}} }},
		{"io of what is no whole disk", "limits.io", func(p *policy.Profile) { p.Limits.IO = []policy.IOMax{{Path: "/proc", Reads: 1}} }},
	} {
		before := ownGroups(t)
		c := grouped(t, "exit 0")
		tt.change(c.Profile)
		_, err := run(c)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if after := ownGroups(t); after != before {
			t.Errorf("%s: %s is left", tt.name, after)
		}
	}
	asUserToo(t)
}

// TestGroupsOfOneName makes cgroups with the same name twice. The second attempt is refused, and the first cgroups
// stay.
func TestGroupsOfOneName(t *testing.T) {
	grouped(t, "exit 0")
	l, err := cgroup.Read(host.OSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	ch := cgroup.Choose(host.OSFiles{}, l, &cgroup.Limits{PIDs: 5}, "", cgroup.Caller{UID: os.Getuid(), PID: os.Getpid()})
	name, err := cgroup.NewName()
	if err != nil {
		t.Fatal(err)
	}
	first, err := ch.Make(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Make(name); !errors.Is(err, unix.EEXIST) || cgroup.Hint(err) == "" {
		t.Errorf("%v", err)
	}
	if !first.Exists() {
		t.Error("the first is gone")
	}
	if err := first.Remove(); err != nil || first.Exists() {
		t.Error(err)
	}
}

// TestGroupsBoundDisks compares the kernel's limits of a disk with the requested limits.
func TestGroupsBoundDisks(t *testing.T) {
	c := grouped(t, "read x", func(p *policy.Profile) {
		for _, name := range []string{"vda", "sda", "nvme0n1"} {
			if _, err := os.Stat("/dev/" + name); err == nil && p.Limits.IO == nil {
				p.Limits.IO = []policy.IOMax{{Path: "/dev/" + name, ReadBytes: 1 << 20, Writes: 200}}
			}
		}
	})
	if c.Profile.Limits.IO == nil {
		t.Skip("no disk")
	}
	disk := filepath.Base(c.Profile.Limits.IO[0].Path)
	number := file(t, "/sys/block/"+disk+"/dev")
	end := running(t, c)
	defer end()
	dirs := groupsOf(t, c.proc.Task)
	want := map[string]string{dirs[""] + "/io.max": number + " rbps=1048576 wbps=max riops=max wiops=200"}
	if dirs["blkio"] != "" {
		want = map[string]string{dirs["blkio"] + "/blkio.throttle.read_bps_device": number + " 1048576",
			dirs["blkio"] + "/blkio.throttle.write_iops_device": number + " 200"}
	}
	for name, value := range want {
		if got := strings.Join(strings.Fields(file(t, name)), " "); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// ownGroups returns the cgroups of this process's sandboxes, anywhere in the trees.
func ownGroups(t testing.TB) string {
	t.Helper()
	var list []string
	mine := "-" + strconv.Itoa(os.Getpid()) + "-"
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV): // some end meanwhile
			return filepath.SkipDir
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), "cordon-") && strings.Contains(e.Name(), mine):
			list = append(list, path)
			return filepath.SkipDir
		case !e.IsDir():
			return nil
		}
		return nil
	})
	if err != nil && !errors.Is(err, unix.EACCES) {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}
