package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// joinable returns a sandbox that can be joined. It ends with the test.
func joinable(t testing.TB, c *Cmd) (*Cmd, *Attached) {
	t.Helper()
	c.Attachable = true
	in, out := idle(t, c)
	t.Cleanup(func() {
		in.Close()
		_ = c.Process.Signal(unix.SIGKILL)
		_, _ = wait(c)
	})
	text := make([]byte, 6)
	if _, err := io.ReadFull(out, text); err != nil || string(text) != "ready\n" {
		t.Fatalf("%q, %v", text, err)
	}
	a, err := c.Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return c, a
}

// linger is a script that prints a line and ends when its input ends.
const linger = "echo ready; exec cat"

// idle starts a command whose input does not end before the returned pipe is closed. It also returns the command's
// output.
func idle(t testing.TB, c *Cmd) (in, out *os.File) {
	t.Helper()
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = r, w, w
	err = c.Start()
	r.Close()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return in, out
}

// inside runs a script in a running sandbox.
func inside(t testing.TB, a *Attached, script string) (string, *report.Report) {
	t.Helper()
	return output(t, &Cmd{Into: a, Args: []string{"sh", "-c", script}})
}

func TestExecRuns(t *testing.T) {
	before := look(t)
	t.Run("runs", func(t *testing.T) {
		_, a := joinable(t, shell(t, "echo here >/tmp/mark; "+linger))
		text, report := inside(t, a, "cat /tmp/mark; hostname; echo $$ >/tmp/pid; exit 7")
		if text != "here\ncordon\n" || report.Exit != 7 || report.Version != 1 || report.Profile != "default" {
			t.Errorf("%q, %+v", text, report)
		}
		for _, tt := range []struct {
			script, signal string
			exit           int
		}{{"exit 0", "", 0}, {"exit 255", "", 255}, {"kill -9 $$", "SIGKILL", -1}, {"kill -TERM $$", "SIGTERM", -1}} {
			if _, report := inside(t, a, tt.script); report.Exit != tt.exit || report.Signal != tt.signal || report.Ended {
				t.Errorf("%s: %+v", tt.script, report)
			}
		}
	})
	unchanged(t, before)
	asUserToo(t)
}

// execCases are sandboxes of many kinds.
func execCases(t *testing.T) map[string]*Cmd {
	t.Helper()
	rootfs, script := busyboxRoot(t), linger
	with := func(change func(*policy.Profile)) *Cmd {
		c := shell(t, script)
		change(c.Profile)
		return c
	}
	cases := map[string]*Cmd{
		"default":     with(func(*policy.Profile) {}),
		"host net":    with(func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }),
		"root inside": with(func(p *policy.Profile) { p.User = ids(0); p.Capabilities.Keep = capabilities("CHOWN", "KILL") }),
		"another id":  with(func(p *policy.Profile) { p.User = ids(1000) }),
		"ambient": with(func(p *policy.Profile) {
			p.User = ids(1000)
			p.Capabilities.Keep, p.Capabilities.Ambient = capabilities("NET_BIND_SERVICE", "KILL"), capabilities("NET_BIND_SERVICE")
		}),
		"time":        with(func(p *policy.Profile) { p.Namespaces.Time = policy.TimeNamespace{New: true, Boottime: time.Hour} }),
		"no landlock": with(func(p *policy.Profile) { p.Landlock = policy.Landlock{Off: true} }),
		"silent":      with(func(p *policy.Profile) { p.OnDenial = policy.DenialSilent }),
		"chroot":      with(func(p *policy.Profile) { p.Root.Enter = policy.EnterChroot }),
		"shared":      with(func(p *policy.Profile) { p.Namespaces.IPC.Mode, p.Namespaces.UTS.Mode = policy.NSHost, policy.NSHost }),
		"host pids": with(func(p *policy.Profile) {
			p.Namespaces.PID.Mode = policy.NSHost
			p.Mounts = slices.DeleteFunc(p.Mounts, func(m policy.Mount) bool { return m.Kind == policy.MountProc })
		}),
		"rlimits": with(func(p *policy.Profile) {
			p.Limits.Rlimits = []policy.Rlimit{{Name: "fsize", Value: 1 << 20}, {Name: "nofile", Value: 50}}
			p.Process.Umask, p.Process.Nice = policy.Opt[uint32]{Set: true, V: 0o27}, policy.Opt[int]{Set: true, V: 10}
		}),
		"build":     {Profile: sandboxtest.Shipped(t, "build"), Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", "XDG_CACHE_HOME=" + t.TempDir()}},
		"strict":    {Profile: sandboxtest.Shipped(t, "strict"), Args: []string{"sh", "-c", "echo ready; read x"}, Env: []string{"PATH=/usr/bin:/bin"}},
		"container": {Profile: sandboxtest.Shipped(t, "container"), Args: []string{"/bin/sh", "-c", script}},
	}
	strict := cases["strict"].Profile
	strict.Missing = append(strict.Missing, policy.MissingLayer{Layer: policy.LayerLandlock}) // scopes need Linux 6.12
	cases["container"].Profile.Root = policy.Root{Kind: policy.RootDir, Dir: rootfs}
	if c, err := mayBeGrouped(t, script); err == nil {
		cases["groups"] = c
	}
	if os.Getuid() == 0 {
		cases["host user"] = with(func(p *policy.Profile) { p.Namespaces.User.Mode = policy.NSHost; p.User = ids(1234) })
		cases["caller"] = with(func(p *policy.Profile) { p.User.Host = policy.HostCaller })
	}
	return cases
}

// busyboxRoot makes a root file system.
func busyboxRoot(t testing.TB) string {
	t.Helper()
	dir := publicDir(t)
	for _, d := range []string{"bin", "dev", "dev/mqueue", "etc", "proc", "sys", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("busybox-static is not installed")
	}
	if err := os.WriteFile(dir+"/bin/busybox", text, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "cat"} {
		if err := os.Symlink("busybox", dir+"/bin/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestExecIsTheSame compares a sandbox's task with a task that has joined the sandbox. It reads from outside in which
// namespaces the two are, and what they may do.
func TestExecIsTheSame(t *testing.T) {
	for name, c := range execCases(t) {
		t.Run(name, func(t *testing.T) {
			c, a := joinable(t, c)
			args := []string{"cat"}
			if name == "strict" {
				args = []string{"sh", "-c", "read x"}
			}
			x := &Cmd{Into: a, Args: args}
			old := unix.Umask(0o111) // the caller's own is not asked for
			in, _ := idle(t, x)
			unix.Umask(old)
			same(t, c.proc.Task, x.proc.Task)
			in.Close()
			if report, err := wait(x); err != nil || report.Exit != 0 && name != "strict" {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
	asUserToo(t)
}

// same compares what the kernel says about two tasks.
func same(t *testing.T, task, newcomer int) {
	t.Helper()
	dirs := [2]string{fmt.Sprint("/proc/", task), fmt.Sprint("/proc/", newcomer)}
	var got [2][]string
	for i, dir := range dirs {
		for _, k := range host.Kinds {
			its, err := os.Readlink(dir + "/ns/" + k.Name)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = append(got[i], its)
		}
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"Uid", "Gid", "Groups", "CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Umask", "SigBlk", "SigIgn"} {
			got[i] = append(got[i], key+" "+proc.StatusField(status, key))
		}
		var root unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, dir+"/root", 0, unix.STATX_INO|unix.STATX_MNT_ID, &root); err != nil {
			t.Fatal(err)
		}
		got[i] = append(got[i], fmt.Sprint("root ", root.Ino, " of mount ", root.Mnt_id))
		for _, name := range []string{"limits", "cgroup", "mountinfo", "oom_score_adj", "timens_offsets"} {
			text, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = append(got[i], name+" "+string(text))
		}
		nice, err := unix.Getpriority(unix.PRIO_PROCESS, []int{task, newcomer}[i])
		if err != nil {
			t.Fatal(err)
		}
		cwd, _ := os.Readlink(dir + "/cwd")
		got[i] = append(got[i], fmt.Sprint("nice ", nice), "cwd "+cwd)
	}
	for i := range got[0] {
		if got[0][i] != got[1][i] {
			t.Errorf("the sandbox's task has\n%s\nand the newcomer\n%s", got[0][i], got[1][i])
		}
	}
}

// TestExecInAnotherProcess passes the data of Attach as if to another process.
func TestExecInAnotherProcess(t *testing.T) {
	c, _ := joinable(t, shell(t, linger))
	shared, err := c.proc.Attach()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := shared.Send()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	copies := make([]int, len(fds))
	for i, fd := range fds {
		if copies[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			t.Fatal(err)
		}
	}
	a, err := attach.Receive(copies)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if text, report := inside(t, a, "echo $0"); text != "sh\n" || report.Exit != 0 {
		t.Errorf("%q, %+v", text, report)
	}
}

// TestAttachedIsChecked refuses descriptors that are not what the data say they are.
func TestAttachedIsChecked(t *testing.T) {
	c, _ := joinable(t, shell(t, linger))
	for _, swap := range [][2]string{{"ns/net", "ns/ipc"}, {"ns/user", attach.FileRoot}, {attach.FileRoot, "ns/mnt"}, {"ns/mnt", "ns/mnt"}} {
		shared, err := c.proc.Attach()
		if err != nil {
			t.Fatal(err)
		}
		if swap[0] == swap[1] { // left out
			shared.Files = slices.DeleteFunc(shared.Files, func(f string) bool { return f == swap[0] })
		}
		held := shared.Descriptors()
		held[swap[0]], held[swap[1]] = held[swap[1]], held[swap[0]]
		fds, err := shared.Send()
		if err != nil {
			t.Fatal(err)
		}
		var copies []int
		for _, fd := range fds {
			n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				t.Fatal(err)
			}
			copies = append(copies, n)
		}
		unix.Close(fds[0])
		before := sandboxtest.Descriptors(t)
		if _, err := attach.Receive(copies); err == nil {
			t.Errorf("%v: taken", swap)
		}
		if now := sandboxtest.Descriptors(t); now != before-len(copies) {
			t.Errorf("%v: %d descriptors are left of %d", swap, now-before+len(copies), len(copies))
		}
	}
}

// TestExecTooLate is for a sandbox that ends, or has ended.
func TestExecTooLate(t *testing.T) {
	c, a := joinable(t, shell(t, linger))
	x := &Cmd{Into: a, Args: []string{"cat"}}
	in, _ := idle(t, x)
	defer in.Close()
	if err := c.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	report, err := wait(x)
	if err != nil || report.Signal != "SIGKILL" || !report.Ended {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := wait(c); err != nil {
		t.Error(err)
	}
	_, err = run(&Cmd{Into: a, Args: []string{"true"}})
	if !errors.Is(err, attach.ErrSandboxEnded) {
		t.Error(err)
	}
	if _, err := c.Attach(); !errors.Is(err, attach.ErrSandboxEnded) {
		t.Error(err)
	}
	asUserToo(t)
}

// TestExecRace starts programs while the sandbox ends at every moment.
func TestExecRace(t *testing.T) {
	for i := range 30 {
		func() {
			c := shell(t, linger)
			c.Attachable = true
			in, out := idle(t, c)
			defer in.Close()
			defer out.Close()
			a, err := c.Attach()
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			go func() {
				time.Sleep(time.Duration(i*100) * time.Microsecond)
				_ = c.Process.Signal(unix.SIGKILL)
			}()
			_, err = run(&Cmd{Into: a, Args: []string{"true"}})
			if err != nil && !errors.Is(err, attach.ErrSandboxEnded) {
				t.Errorf("%T %v", err, err)
			}
			if _, err := wait(c); err != nil {
				t.Error(err)
			}
		}()
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	asUserToo(t)
}

// TestExecKilledEarly ends the sandbox at a moment when a program that joins it runs, and when the launcher has not
// read it back yet. The program has written something, and SIGKILL ends it.
func TestExecKilledEarly(t *testing.T) {
	c, a := joinable(t, shell(t, linger))
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer w.Close()
	text := [4]byte{}
	x := &Cmd{Into: a, Args: []string{"sh", "-c", "echo ran; exec sleep 20"}, Stdout: w}
	x.ran = func() {
		if _, err := io.ReadFull(out, text[:]); err != nil {
			t.Error(err)
		}
		if err := c.Process.Signal(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		for range 1000 { // until the kernel has reaped the task
			if unix.Kill(x.proc.Task, 0) == unix.ESRCH {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Error("the task is still there")
	}
	report, err := run(x)
	if err != nil || report.Signal != "SIGKILL" || !report.Ended || len(report.Missing) < 3 || string(text[:]) != "ran\n" {
		t.Errorf("%q, %+v, %v", text, report, err)
	}
	asUserToo(t)
}

// TestExecHostPIDs checks that a joined program ends with the sandbox even if no pid namespace ends it.
func TestExecHostPIDs(t *testing.T) {
	c, a := joinable(t, execCases(t)["host pids"])
	x := &Cmd{Into: a, Args: []string{"cat"}}
	in, _ := idle(t, x)
	defer in.Close()
	if err := c.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if report, err := wait(x); err != nil || !report.Ended {
		t.Errorf("%+v, %v", report, err)
	}
	asUserToo(t)
}

// TestExecLeaves checks that the sandbox's init gets the processes that the program leaves behind, and that they end
// with the sandbox.
func TestExecLeaves(t *testing.T) {
	c, a := joinable(t, shell(t, linger))
	text, report := inside(t, a, "(sleep 321 >/dev/null 2>&1 & echo $!)")
	if report.Exit != 0 {
		t.Fatalf("%q, %+v", text, report)
	}
	if text, _ := inside(t, a, "sed -n 's/^PPid:\t//p' /proc/"+strings.TrimSpace(text)+"/status"); text != "1\n" {
		t.Errorf("its parent is %q", text)
	}
	if err := c.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := wait(c); err != nil {
		t.Fatal(err)
	}
	asUserToo(t)
}

// TestExecProgram finds what is inside, as it is now.
func TestExecProgram(t *testing.T) {
	_, a := joinable(t, shell(t, `mkdir /tmp/t; cd /tmp/t; for s in sh /bin/sh "/bin/sh -e" /nowhere /proc/self/exe /proc/1/exe; do
		f=script$(echo "$s" | tr -dc a-z); printf '#!%s\necho "$0 $*"\n' "$s" >$f; done
		printf '#!/tmp/t/scriptbinsh\n' >nested; printf '#!/tmp/t/loop\n' >loop; echo text >data; mkdir dir; chmod +x *; chmod -x data; ln -s /proc/self/exe link; `+linger))
	tests := []struct {
		args []string
		want string
		code int
	}{
		{[]string{"/tmp/t/scriptbinsh", "a", "b"}, "/tmp/t/scriptbinsh a b\n", 0},
		{[]string{"/tmp/t/scriptbinshe", "a"}, "/tmp/t/scriptbinshe a\n", 0},
		{[]string{"/tmp/t/nested", "a"}, "/tmp/t/scriptbinsh /tmp/t/nested a\n", 0},
		{[]string{"/tmp/t/scriptsh"}, "", 127}, // a relative interpreter
		{[]string{"/tmp/t/scriptnowhere"}, "", 127},
		{[]string{"/tmp/t/loop"}, "", 126},
		// To who is not inside there is no such process, and who is may not follow it.
		{[]string{"/tmp/t/scriptprocselfexe"}, "", 127},
		{[]string{"/tmp/t/scriptprocexe"}, "", 126},
		{[]string{"/proc/self/exe", "version"}, "", 127},
		{[]string{"/tmp/t/link", "version"}, "", 127},
		{[]string{"/tmp/t/data"}, "", 126},
		{[]string{"/tmp/t/dir"}, "", 126},
		{[]string{"/tmp/t/none"}, "", 127},
		{[]string{"none"}, "", 127},
		{[]string{""}, "", 127},
	}
	for _, tt := range tests {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := &Cmd{Into: a, Args: tt.args, Stdout: w, Stderr: w}
		_, err = run(c)
		w.Close()
		text, _ := io.ReadAll(r)
		r.Close()
		var lookup *LookupError
		switch {
		case tt.code == 0 && (err != nil || string(text) != tt.want):
			t.Errorf("%q: %q, %v", tt.args, text, err)
		case tt.code != 0 && (!errors.As(err, &lookup) || lookup.Code != tt.code):
			t.Errorf("%q: %v (%q)", tt.args, err, text)
		}
	}
	asUserToo(t)
}

// TestExecDir enters a directory of the sandbox and nothing else.
func TestExecDir(t *testing.T) {
	_, a := joinable(t, shell(t, "mkdir /tmp/d /tmp/closed; chmod 0 /tmp/closed; ln -s /proc/self/fd/9 /tmp/fd; ln -s /proc/self/cwd /tmp/cwd; ln -s d /tmp/l; "+linger))
	for _, tt := range []struct{ dir, want string }{
		{"/tmp/d", "/tmp/d"}, {"/tmp/l", "/tmp/d"}, {"/tmp/d/../d/", "/tmp/d"}, {"/tmp/fd", ""}, {"/tmp/cwd", ""}, {"/proc/self/cwd", ""}, {"/none", ""}, {"/bin/sh", ""}, {"/tmp/closed", ""},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, err = run(&Cmd{Into: a, Args: []string{"/bin/pwd"}, Dir: tt.dir, Stdout: w, Stderr: w})
		w.Close()
		text, _ := io.ReadAll(r)
		r.Close()
		if got := strings.TrimSpace(string(text)); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.dir, got, err)
		}
	}
	asUserToo(t)
}

// TestExecEnv has the sandbox's environment, and what is set over it.
func TestExecEnv(t *testing.T) {
	c := shell(t, linger)
	c.Env = []string{"PATH=/usr/bin:/bin", "LANG=C", "SECRET=1"}
	_, a := joinable(t, c)
	t.Setenv("LANG", "de_DE")
	t.Setenv("SECRET", "2")
	text, _ := output(t, &Cmd{Into: a, Args: []string{"env"}, Env: []string{"LANG=fr_FR", "NEW=x"}})
	got := strings.Fields(text)
	slices.Sort(got)
	if want := []string{"LANG=fr_FR", "NEW=x", "PATH=/usr/bin:/bin"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestExecReports denied calls as run does.
func TestExecOutputLimit(t *testing.T) {
	c := chatty(t, linger, 100000)
	_, a := joinable(t, c)
	for _, tt := range []struct {
		script string
		bytes  int
		limit  string
	}{
		{"head -c 100000 /dev/zero", 100000, ""},
		{"head -c 100001 /dev/zero; exec sleep 1000", 100000, report.LimitOutput},
		{"yes >&2", 100000, report.LimitOutput},
	} {
		text, report := inside(t, a, tt.script)
		if len(text) != tt.bytes || report.Limit != tt.limit || report.Ended {
			t.Errorf("%s: %d bytes, %+v", tt.script, len(text), report)
		}
	}
	if err := c.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the sandbox did not go on: %v", err)
	}
}

func TestExecReports(t *testing.T) {
	_, a := joinable(t, shell(t, linger))
	_, report := inside(t, a, "unshare -n true 2>/dev/null; exit 3")
	if report.Exit != 3 || report.Denials == nil || report.Denials.Total == 0 || !strings.HasPrefix(report.Denials.List[0].Call, "unshare") {
		t.Errorf("%+v, %+v", report, report.Denials)
	}
	asUserToo(t)
}

// TestExecOnce runs one program where the profile allows one, though it denies the call that does it.
func TestExecOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*policy.Profile)
		fails  string
	}{
		{"once", func(p *policy.Profile) { p.Syscalls.Exec = policy.ExecOnce }, ""},
		{"no execveat", func(p *policy.Profile) {
			p.Syscalls.Allow = nil
			for _, name := range filter.Members("@system-service") {
				if name != "execveat" {
					p.Syscalls.Allow = append(p.Syscalls.Allow, policy.SyscallItem{Name: name})
				}
			}
		}, ""},
		{"denied", func(p *policy.Profile) {
			p.Syscalls.Deny = append(p.Syscalls.Deny, policy.SyscallItem{Name: "execveat"})
		}, "exec: the profile denies execveat, which starts a program in a running sandbox"},
	} {
		c := shell(t, "echo ready; read x")
		tt.change(c.Profile)
		c.Profile.OnDenial = policy.DenialSilent
		_, a := joinable(t, c)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		report, err := run(&Cmd{Into: a, Args: []string{"sh", "-c", "echo one; exec /bin/true"}, Stdout: w})
		w.Close()
		text, _ := io.ReadAll(r)
		r.Close()
		switch {
		case tt.fails != "":
			if err == nil || err.Error() != tt.fails {
				t.Errorf("%s: %v", tt.name, err)
			}
		case err != nil || string(text) != "one\n" || (report.Exit == 0) == (tt.name == "once"):
			t.Errorf("%s: %q, %+v, %v", tt.name, text, report, err)
		}
	}
	asUserToo(t)
}

// TestExecRefuses what would be weaker than the sandbox.
func TestExecRefuses(t *testing.T) {
	_, a := joinable(t, shell(t, linger))
	tests := []struct {
		change func(*Attached)
		want   string
	}{
		{func(a *Attached) { a.Caller++ }, "only that user can join it"},
		{func(a *Attached) { a.Filter = a.Filter[8:] }, "the filter is not the sandbox's"},
		{func(a *Attached) { a.Filters = "7" }, "the sandbox was started under 7 filters, and this is run under"},
		{func(a *Attached) { a.Label = "confined (enforce)" }, "has the label confined (enforce)"},
		{func(a *Attached) { a.UIDs = "1 1 1 1" }, "Uid is"},
		{func(a *Attached) { a.Profile.Capabilities.Keep = capabilities("CHOWN") }, ""}, // a profile is believed: it comes with the rest
	}
	for _, tt := range tests {
		changed, profile := *a, *a.Profile
		changed.Profile = &profile
		tt.change(&changed)
		_, err := run(&Cmd{Into: &changed, Args: []string{"true"}})
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
	if left := children(t); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	asUserToo(t)
}

// TestExecFails at every step, and nothing is left.
func TestExecFails(t *testing.T) {
	_, a := joinable(t, shell(t, linger))
	before := look(t)
	comp, err := (&Cmd{Into: a, Args: []string{"true"}}).Plan()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	turn := make(chan struct{}, 16) // each waits a second for the sandbox's end, which would be another cause
	for i := range len(comp.Steps) + len(comp.Init) {
		turn <- struct{}{}
		group.Go(func() {
			failExec(t, a, comp, i)
			<-turn
		})
	}
	group.Wait()
	unchanged(t, before)
	asUserToo(t)
}

// failExec launches a program into a sandbox with a step that fails: one of the child's or, behind those, of init's.
func failExec(t *testing.T, a *Attached, pl *plan.Plan, i int) {
	c := &Cmd{Into: a, Args: []string{"true"}, failStep: i + 1}
	if i < len(pl.Steps) {
		if _, err := run(c); err == nil {
			t.Errorf("step %d, %s: no error", i, pl.Steps[i])
		}
		return
	}
	i -= len(pl.Steps)
	c.failStep, c.failInit = 0, i+1
	// The last come when the program runs, and end it.
	if report, err := run(c); err == nil && report.Exit == 0 && pl.Init[i].Or == 0 {
		t.Errorf("init's step %d, %s: no error", i, pl.Init[i])
	}
}
