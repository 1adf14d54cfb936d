package sandbox

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/internal/why"
)

// reporting returns a compilation that is complete only as far as the filter needs it.
func reporting(t *testing.T, p *policy.Profile) *compile.Compilation {
	t.Helper()
	c := &compile.Compilation{Profile: p, Host: sandboxtest.FakeUser(), Req: &compile.Request{Args: []string{"true"}}, Arch: filter.AMD64}
	if err := c.PlanReports(); err != nil || c.Reports != (p.OnDenial == policy.DenialReport) {
		t.Fatalf("reports %v, %v", c.Reports, err)
	}
	return c
}

// deniedCall returns a denied call by its name.
func deniedCall(t *testing.T, call string, args ...uint64) *filter.Data {
	t.Helper()
	nr, ok := filter.Number(filter.AMD64, call)
	if !ok {
		t.Fatal(call)
	}
	d := &filter.Data{Nr: int32(nr), Arch: filter.AMD64.Audit()}
	copy(d.Args[:], args)
	return d
}

// TestCount checks that each call gets the errno of its rule, and that only constant arguments distinguish kinds of
// calls.
func TestCount(t *testing.T) {
	p := &policy.Profile{OnDenial: policy.DenialReport, Syscalls: policy.Syscalls{Default: "errno(EACCES)", Deny: []policy.SyscallItem{{Name: "mount"}},
		Rules: []policy.SyscallRule{{Call: "socket", Expr: "family == AF_UNIX", Else: "errno(EAFNOSUPPORT)"}, {Call: "ioctl", Expr: "errno(ENOTTY)"}}}}
	d := launch.Denials{Comp: reporting(t, p)}
	tests := []struct {
		call  string
		args  []uint64
		errno unix.Errno
		fresh bool
	}{
		{"mount", []uint64{1, 2, 3, 4, 5}, unix.EACCES, true},
		{"mount", []uint64{9, 9, 9, 4, 9}, unix.EACCES, false}, // other pointers
		{"mount", []uint64{1, 2, 3, 5, 5}, unix.EACCES, true},  // other flags
		{"socket", []uint64{2, 1, 0}, unix.EAFNOSUPPORT, true},
		{"socket", []uint64{10, 1, 0}, unix.EAFNOSUPPORT, true},
		{"ioctl", []uint64{0, 1}, unix.ENOTTY, true},
		{"ioctl", []uint64{7, 1 | 1<<32, 3}, unix.ENOTTY, false}, // the kernel reads 32 bits
		{"read", nil, unix.EACCES, true},
		{"socket", []uint64{1, 1, 0}, unix.EPERM, true}, // allowed: that it is asked about cannot be, and it stays denied
	}
	for _, tt := range tests {
		errno, fresh := d.Count(deniedCall(t, tt.call, tt.args...))
		if errno != tt.errno || (fresh != nil) != tt.fresh {
			t.Errorf("%s %v: %v, new %v", tt.call, tt.args, errno, fresh != nil)
		}
	}
	if d.Total != uint64(len(tests)) || d.Order[0].Count != 2 {
		t.Errorf("%d in all, %d of the first kind", d.Total, d.Order[0].Count)
	}
}

// TestCountBound counts more kinds of calls than the memory has room for.
func TestCountBound(t *testing.T) {
	d := launch.Denials{Comp: reporting(t, &policy.Profile{OnDenial: policy.DenialReport})}
	for i := range uint64(3 * launch.MaxDenials) {
		_, _ = d.Count(deniedCall(t, "unshare", i))
	}
	if len(d.Order) != launch.MaxDenials || len(d.Kinds) != launch.MaxDenials || d.Lost != 2*launch.MaxDenials || d.Total != 3*launch.MaxDenials || len(d.Masks) != 1 {
		t.Errorf("%d kinds, %d lost of %d", len(d.Order), d.Lost, d.Total)
	}
}

// TestNoListener checks that nothing is reported, and that the report says so, if the listener cannot have its number.
func TestNoListener(t *testing.T) {
	for _, tt := range []struct {
		nofile  uint64
		extra   int
		reports bool
	}{{0, 0, false}, {3, 0, false}, {4, 0, true}, {4, 1, false}, {5, 1, true}} {
		p := &policy.Profile{OnDenial: policy.DenialReport}
		p.Limits.Rlimits = []policy.Rlimit{{Name: "core", Value: 0}, {Name: "nofile", Value: tt.nofile, Pos: policy.Pos{File: "p.yaml", Line: 4}}}
		c := &compile.Compilation{Profile: p, Host: sandboxtest.FakeUser(), Req: &compile.Request{Args: []string{"true"}, Extra: make([]host.Stdio, tt.extra)}, Arch: filter.AMD64}
		if err := c.PlanReports(); err != nil || c.Reports != tt.reports {
			t.Errorf("nofile %d, %d extra: reports %v, %v", tt.nofile, tt.extra, c.Reports, err)
		}
		if said := len(c.Missing) == 1 && strings.Contains(c.Missing[0].Why, "(p.yaml:4) leaves no descriptor"); said == tt.reports {
			t.Errorf("nofile %d, %d extra: missing %+v", tt.nofile, tt.extra, c.Missing)
		}
	}
}

// TestBlame checks that the report names what denies a call, and a remedy. If the remedy consists of flags, it tries
// them.
func TestBlame(t *testing.T) {
	at := func(line int) policy.Pos { return policy.Pos{File: "p.yaml", Line: line} }
	p := &policy.Profile{OnDenial: policy.DenialReport, Sources: []policy.Source{{Path: "syscalls.default", Pos: at(1)}, {Path: "syscalls.exec", Pos: at(9)}},
		Syscalls: policy.Syscalls{Default: "errno(EACCES)", Exec: policy.ExecOnce, Deny: []policy.SyscallItem{{Name: "@keyring", Pos: at(2)},
			{Name: "mount", Pos: policy.Pos{File: "command line", Flag: "--deny-syscall mount"}}}, Allow: []policy.SyscallItem{{Name: "socket", Pos: at(3)}},
			Rules: []policy.SyscallRule{{Call: "socket", Expr: "family == AF_UNIX", Pos: at(4)}, {Call: "clone", Expr: "flags & CLONE_NEW_ANY == 0", Pos: at(5)}}}}
	c := reporting(t, p)
	tests := []struct {
		call         string
		args         []uint64
		rule, remedy string
	}{
		{"ptrace", nil, `syscalls.default errno(EACCES) (p.yaml:1)`, "--allow-syscall ptrace"},
		{"keyctl", nil, `syscalls.deny "@keyring" (p.yaml:2)`, "no flag allows it: a denial holds wherever it was inherited from, and only grows. It can be taken out at p.yaml:2."},
		{"mount", nil, `syscalls.deny "mount" (--deny-syscall mount)`, "no flag allows it: a denial holds wherever it was inherited from, and only grows. Leave out --deny-syscall mount."},
		{"socket", []uint64{2}, `syscalls.rules socket (p.yaml:4)`, "--remove 'syscalls=socket: family == AF_UNIX' --rule 'socket: (family == AF_UNIX) || family == AF_INET'"},
		{"clone", []uint64{1 << 28}, `syscalls.rules clone (p.yaml:5)`, "--remove 'syscalls=clone: flags & CLONE_NEW_ANY == 0' --rule 'clone: (flags & CLONE_NEW_ANY == 0) || flags == CLONE_NEWUSER'"},
		{"execve", nil, `syscalls.exec once (p.yaml:9)`, "--exec any --allow-syscall execve"},
	}
	for _, tt := range tests {
		if rule, remedy := why.Blame(c, tt.call, deniedCall(t, tt.call, tt.args...)); rule != tt.rule || remedy != tt.remedy {
			t.Errorf("%s:\n got %s; %s\nwant %s; %s", tt.call, rule, remedy, tt.rule, tt.remedy)
		}
	}
}

// deniesMkdir runs a script under a filter that denies mkdir.
func deniesMkdir(t *testing.T, script string) *Cmd {
	t.Helper()
	c := shell(t, script)
	c.Profile.OnDenial = policy.DenialReport
	c.Profile.Syscalls.Deny = append(c.Profile.Syscalls.Deny[:len(c.Profile.Syscalls.Deny):len(c.Profile.Syscalls.Deny)], policy.SyscallItem{Name: "mkdir"}, policy.SyscallItem{Name: "mkdirat"})
	return c
}

// TestDenials runs programs of which some calls are denied, and reads the report.
func TestDenials(t *testing.T) {
	const script = "mkdir /tmp/a; mkdir /tmp/a; (mkdir '/tmp/\x1bb' & wait); ls -l /proc/self/fd | grep -c seccomp"
	text, r := output(t, deniesMkdir(t, script))
	if strings.Count(text, "Operation not permitted") != 3 || !strings.HasSuffix(text, "\n0\n") {
		t.Errorf("said %q", text)
	}
	if r.Denials == nil || r.Denials.Total != 3 || len(r.Denials.List) != 1 {
		t.Fatalf("%+v", r.Denials)
	}
	d := r.Denials.List[0]
	if d.Count != 3 || d.Comm != "mkdir" || d.PID < 2 || d.Errno != "EPERM" || !strings.Contains(d.Text, `"/tmp/a"`) || !strings.HasPrefix(d.Rule, `syscalls.deny "mkdir`) {
		t.Errorf("%+v", d)
	}
	asUserToo(t)
}

// TestDenialsSilent runs without a listener, and the calls must fail all the same.
func TestDenialsSilent(t *testing.T) {
	c := deniesMkdir(t, "mkdir /tmp/a")
	c.Profile.OnDenial = policy.DenialSilent
	text, r := output(t, c)
	if r.Denials != nil || !strings.Contains(text, "Operation not permitted") {
		t.Errorf("said %q, %+v", text, r.Denials)
	}
}

// TestListenerGone checks the answer to a denied call when no launcher is left: the kernel returns ENOSYS, and never
// makes the call.
func TestListenerGone(t *testing.T) {
	c := deniesMkdir(t, "sleep 0.3; mkdir /tmp/a; mkdir /tmp/b; ls /tmp")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := processOf(t, c)
	if err := p.LaunchAll(); err != nil {
		t.Fatal(err)
	}
	unix.Close(p.Listener)
	p.Listener = -1
	report, err := p.Wait()
	w.Close()
	text := make([]byte, 1000)
	n, _ := r.Read(text)
	if err != nil || report.Exit != 0 || strings.Count(string(text[:n]), "Function not implemented") != 2 || strings.HasSuffix(string(text[:n]), "b\n") {
		t.Errorf("%v, exit %d, said %q", err, report.Exit, text[:n])
	}
}

// TestDenialsEnd checks that the time limit ends tasks that only make denied calls, in several processes.
func TestDenialsEnd(t *testing.T) {
	c := deniesMkdir(t, "trap '' TERM; for i in 1 2 3 4; do while :; do mkdir /tmp/a 2>/dev/null; done & done; wait")
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 300 * time.Millisecond}
	c.KillAfter = 100 * time.Millisecond
	began := time.Now()
	_, r := output(t, c)
	if !r.Timeout || r.Signal != "SIGKILL" || r.Denials.Total == 0 || time.Since(began) > sandboxtest.Slow(5*time.Second) {
		t.Errorf("%+v after %v", r, time.Since(began))
	}
}

// TestProbeListener checks that a listener is available here, unless this test itself runs in a sandbox.
func TestProbeListener(t *testing.T) {
	flags, why := host.ProbeListener()
	if flags == 0 && !strings.Contains(why, "already") {
		t.Error(why)
	}
	if err := host.TryListener(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | 1<<31); err != unix.EINVAL {
		t.Errorf("a flag that does not exist: %v", err)
	}
}
