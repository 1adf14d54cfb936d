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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

// everyKind lists the kinds of namespaces, by their names in /proc/PID/ns.
var everyKind = []string{"user", "mnt", "pid", "ipc", "uts", "cgroup", "net", "time"}

// holder returns the pid of a process that sleeps in namespaces of its own, of every kind. A user has made them, so
// root inside is that user outside. In its mount namespace /srv is a tmpfs with a file. The process ends with the test.
func holder(t *testing.T, uid int) int {
	t.Helper()
	script := "mount -t tmpfs tmpfs /srv && echo theirs >/srv/mark && ln -s /srv/mark /srv/link && hostname theirs && echo ready && exec sleep 300"
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--time", "--boottime", "1000000",
		"--kill-child", "--fork", "sh", "-c", script)
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun, end, gone := make(chan error), make(chan bool), make(chan bool)
	go func() { // on one thread, which the parent-death signal is tied to
		defer close(gone)
		runtime.LockOSThread()
		if begun <- cmd.Start(); cmd.Process == nil {
			return
		}
		<-end
		_ = cmd.Process.Kill() // its child dies with it
		_ = cmd.Wait()
	}()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(end); <-gone })
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
	var pid int
	if n, _ := fmt.Sscan(string(text), &pid); err != nil || n != 1 {
		t.Fatalf("%q, %v", text, err)
	}
	return pid
}

// joining returns a profile that joins the namespaces of a process.
func joining(p *policy.Profile, pid int, kinds ...string) {
	for _, kind := range kinds {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, kind)
		ns := policy.Namespace{Mode: policy.NSJoin, Path: path}
		all := &p.Namespaces
		switch kind {
		case "user":
			all.User = ns
		case "mnt":
			all.Mount = ns
		case "pid":
			all.PID = ns
		case "ipc":
			all.IPC = ns
		case "uts":
			all.UTS = ns
		case "cgroup":
			all.Cgroup = ns
		case "net":
			all.Net = ns
		case "time":
			all.Time.Path = path
		}
	}
}

func namespaceOf(t *testing.T, pid, kind string) string {
	t.Helper()
	ns, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// holders lists the accounts whose namespaces are joined: the test's own account, and for root also another one.
func holders() []int {
	if os.Getuid() == 0 {
		return []int{testUser, 0}
	}
	return []int{os.Getuid()}
}

// joiner returns a shell that joins namespaces, as an account can do that. For root, its profile names ids that are not
// root's outside, or says that root's id is wanted.
func joiner(t *testing.T, owner int, script string) *Cmd {
	c := shell(t, script)
	if os.Getuid() == 0 {
		c.Profile.User = ids(0)
		if owner == 0 {
			c.Profile.User.Host = policy.HostCaller
		}
	}
	return c
}

// TestJoin joins a namespace of each kind together with the user namespace that it belongs to, and then all kinds at
// once. The task must be in the holder's namespaces, except for the mount namespace, which is a copy. Every other
// namespace must be new. The report must say the same.
func TestJoin(t *testing.T) {
	sets := [][]string{{"user"}, {"user", "mnt"}, {"user", "pid"}, {"user", "ipc"}, {"user", "uts"}, {"user", "cgroup"}, {"user", "net"}, {"user", "time"},
		{"user", "pid", "net", "time"}, everyKind}
	for _, owner := range holders() {
		pid := holder(t, owner)
		for _, set := range sets {
			t.Run(fmt.Sprint(owner, set), func(t *testing.T) {
				c := joiner(t, owner, "for n in "+strings.Join(everyKind, " ")+"; do readlink /proc/self/ns/$n; done")
				joining(c.Profile, pid, set...)
				text, report := output(t, c)
				lines := strings.Fields(text)
				if len(lines) != len(everyKind) || report.Exit != 0 {
					t.Fatalf("exit %d: %s", report.Exit, text)
				}
				for i, kind := range everyKind {
					theirs := namespaceOf(t, fmt.Sprint(pid), kind)
					own := namespaceOf(t, "self", kind)
					want := strings.Contains(" "+strings.Join(set, " ")+" ", " "+kind+" ") && kind != "mnt"
					if got := lines[i] == theirs; got != want {
						t.Errorf("%s is %s, the holder's is %s", kind, lines[i], theirs)
					}
					if lines[i] == own && (kind != "time" || want) {
						t.Errorf("%s is the launcher's", kind)
					}
				}
				checkReported(t, report, lines)
			})
		}
	}
	asUserToo(t)
}

// checkReported requires that the report names each namespace as the task has read it.
func checkReported(t *testing.T, r *report.Report, lines []string) {
	t.Helper()
	found := map[string]bool{}
	for _, e := range r.Enforced {
		found[e.Found] = true
	}
	for i, kind := range everyKind {
		if kind != "mnt" && kind != "time" && !found[lines[i]] {
			t.Errorf("%s: %s is not reported", kind, lines[i])
		}
	}
}

// TestJoinedIdentity reads from outside which ids a task in a joined user namespace has: those of the namespace's
// owner, without capabilities, and without root's groups. init must be confined as always.
func TestJoinedIdentity(t *testing.T) {
	for _, owner := range holders() {
		pid := holder(t, owner)
		for _, set := range [][]string{{"user"}, {"user", "mnt", "ipc", "uts", "cgroup", "net", "time"}} {
			t.Run(fmt.Sprint(owner, set), func(t *testing.T) {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				c := joiner(t, owner, "echo; read x")
				in, hold, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer hold.Close()
				c.Stdin, c.Stdout = in, w
				joining(c.Profile, pid, set...)
				before := children(t)
				err = c.Start()
				w.Close()
				in.Close()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				checkInit(t, before)
				status, err := os.ReadFile("/proc/" + strconv.Itoa(c.proc.Task) + "/status")
				if err != nil {
					t.Fatal(err)
				}
				want := map[string]string{"CapBnd": proc.Hex16(0), "CapPrm": proc.Hex16(0), "CapEff": proc.Hex16(0), "CapInh": proc.Hex16(0), "CapAmb": proc.Hex16(0),
					"NoNewPrivs": "1", "Seccomp": "2",
					"Uid": fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", owner), "Gid": fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", owner)}
				if os.Getuid() == 0 {
					want["Groups"] = ""
				}
				for key, value := range want {
					if got := proc.StatusField(status, key); got != value {
						t.Errorf("%s is %q, want %q", key, got, value)
					}
				}
				hold.Close()
				if _, err := wait(c); err != nil {
					t.Error(err)
				}
			})
		}
	}
	asUserToo(t)
}

// TestJoinedNew checks that new namespaces belong to the joined user namespace.
func TestJoinedNew(t *testing.T) {
	pid := holder(t, os.Getuid())
	c := joiner(t, os.Getuid(), "echo; read x")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout = in, w
	joining(c.Profile, pid, "user")
	err = c.Start()
	w.Close()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { hold.Close(); r.Close(); _, _ = wait(c) }()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var theirs unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/user", pid), &theirs); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"mnt", "pid", "ipc", "uts", "cgroup", "net"} {
		fd, err := unix.Open("/proc/"+strconv.Itoa(c.proc.Task)+"/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		owner, err := unix.IoctlRetInt(fd, unix.NS_GET_USERNS)
		unix.Close(fd)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(owner, &st); err != nil || st.Ino != theirs.Ino {
			t.Errorf("%s belongs to user:[%d], not to user:[%d], %v", kind, st.Ino, theirs.Ino, err)
		}
		unix.Close(owner)
	}
	asUserToo(t)
}

// TestJoinNeverRoot checks that root's task does not become root on the host by joining, whatever the path leads to.
func TestJoinNeverRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user has no such id to give")
	}
	pid := holder(t, 0)
	link := filepath.Join(t.TempDir(), "ns")
	if err := os.Symlink(fmt.Sprintf("/proc/%d/ns/user", pid), link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		user       policy.User
		runs       bool
	}{
		{"keep", fmt.Sprintf("/proc/%d/ns/user", pid), policy.User{}, false},
		{"by number", fmt.Sprintf("/proc/%d/ns/user", pid), ids(0), false},
		{"by a path that says nothing of the ids", link, ids(0), false},
		{"in as many words", fmt.Sprintf("/proc/%d/ns/user", pid), policy.User{Host: policy.HostCaller}, true},
	} {
		ran := filepath.Join(publicDir(t), "ran")
		c := shell(t, "echo >"+ran)
		c.Profile.Mounts = append(c.Profile.Mounts, policy.Mount{Kind: policy.MountBind, Source: filepath.Dir(ran), Write: true})
		c.Profile.User = tt.user
		c.Profile.Namespaces.User = policy.Namespace{Mode: policy.NSJoin, Path: tt.path}
		before := look(t)
		_, err := run(c)
		if _, missing := os.Lstat(ran); (missing == nil) != tt.runs {
			t.Errorf("%s: ran: %v", tt.name, missing == nil)
		}
		if !tt.runs && (err == nil || !strings.Contains(err.Error(), "the task would be root on the host")) || tt.runs && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		unchanged(t, before)
	}
}

// TestJoinedTree checks that the task sees the tree of the mount namespace that it joins, with the links of that tree.
// What the profile mounts must be only in the task's copy. What the task writes to a writable bind must be in the real
// file.
func TestJoinedTree(t *testing.T) {
	for _, owner := range holders() {
		pid := holder(t, owner)
		table := fmt.Sprintf("/proc/%d/mountinfo", pid)
		before, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		c := joiner(t, owner, "cat /srv/link /srv/mark; echo x 2>/dev/null >/etc/x || echo read-only; echo new >/srv/new; ls /media; hostname")
		c.Profile = sandboxtest.HostRoot()
		c.Profile.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}} // an old kernel has no scopes
		c.Profile.User = joiner(t, owner, "").Profile.User
		c.Profile.Mounts = []policy.Mount{{Kind: policy.MountProc, Target: "/proc"}, {Kind: policy.MountDev, Target: "/dev"},
			{Kind: policy.MountBind, Source: "/srv", Write: true}, {Kind: policy.MountBind, Source: "/srv/mark", Target: "/srv/link2", Optional: true},
			{Kind: policy.MountTmpfs, Target: "/media"}}
		c.Env = append(c.Env, "HOME=/")
		joining(c.Profile, pid, "user", "mnt", "uts")
		text, report := output(t, c)
		if text != "theirs\ntheirs\nread-only\ntheirs\n" || report.Exit != 0 {
			t.Errorf("exit %d: %q", report.Exit, text)
		}
		if after, err := os.ReadFile(table); err != nil || string(after) != string(before) {
			t.Errorf("the holder's mounts have changed, %v:\n%s", err, sandboxtest.FirstDiff(string(before), string(after)))
		}
		made, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/srv/new", pid))
		if err != nil || string(made) != "new\n" {
			t.Errorf("what was written: %q, %v", made, err)
		}
	}
	asUserToo(t)
}

// TestJoinAlone joins a mount or time namespace without the user namespace that owns it, which root can do.
func TestJoinAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user has no rights over it without its user namespace")
	}
	pid := holder(t, testUser)
	for _, tt := range []struct {
		kind   string
		change func(*policy.Profile)
	}{
		{"time", func(*policy.Profile) {}},
		{"time", func(p *policy.Profile) { p.Namespaces.User.Mode = policy.NSHost; p.User = ids(12345) }},
		{"mnt", func(p *policy.Profile) { p.User.Host = policy.HostCaller }},
		{"mnt", func(p *policy.Profile) { p.Namespaces.User.Mode = policy.NSHost; p.User = ids(12345) }},
	} {
		c := shell(t, "readlink /proc/self/ns/time; cat /srv/mark; readlink /proc/self/ns/user")
		c.Profile.Mounts = append([]policy.Mount(nil), c.Profile.Mounts...)
		for i := range c.Profile.Mounts {
			if c.Profile.Mounts[i].Target == "/srv" {
				c.Profile.Mounts[i].Target = "/media"
			}
		}
		joining(c.Profile, pid, tt.kind)
		tt.change(c.Profile)
		text, _ := output(t, c)
		if got := strings.HasPrefix(text, namespaceOf(t, fmt.Sprint(pid), "time")); got != (tt.kind == "time") {
			t.Errorf("%s: %s", tt.kind, text)
		}
		if got := strings.Contains(text, "theirs"); got != (tt.kind == "mnt") {
			t.Errorf("%s: %s", tt.kind, text)
		}
		if own := namespaceOf(t, "self", "user"); strings.Contains(text, own) != (c.Profile.Namespaces.User.Mode == policy.NSHost) {
			t.Errorf("%s: the launcher's user namespace is %s: %s", tt.kind, own, text)
		}
	}
}

// TestJoinErrors checks that a refusal of the kernel becomes an error with its cause, and leaves nothing behind.
func TestJoinErrors(t *testing.T) {
	pid := holder(t, os.Getuid())
	for _, tt := range []struct {
		name   string
		change func(*policy.Profile)
		want   string
	}{
		{"no namespace", func(p *policy.Profile) { p.Namespaces.User.Path = "/etc/passwd" }, "setns({user}, CLONE_NEWUSER): invalid argument"},
		{"another kind", func(p *policy.Profile) { p.Namespaces.User.Path = fmt.Sprintf("/proc/%d/ns/net", pid) }, "setns({user}, CLONE_NEWUSER): invalid argument"},
		{"nothing", func(p *policy.Profile) { p.Namespaces.User.Path = "/proc/self/ns/nothing" }, "namespace /proc/self/ns/nothing: no such file or directory"},
		{"an id that is not mapped", func(p *policy.Profile) { p.User = ids(77) }, "user.uid 77 is not mapped in it"},
		{"the launcher's own time", func(p *policy.Profile) { p.Namespaces.Time.Path = "/proc/1/ns/nothing" }, "namespace /proc/1/ns/nothing: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := joiner(t, os.Getuid(), "true")
			c.Profile.User = policy.User{UID: policy.Opt[uint32]{Set: true}, GID: policy.Opt[uint32]{Set: true}, Host: policy.HostCaller}
			joining(c.Profile, pid, "user")
			tt.change(c.Profile)
			before := look(t)
			if _, err := run(c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			unchanged(t, before)
		})
	}
	asUserToo(t)
}

// TestJoinOfOthers: an ordinary user cannot join what belongs to somebody else.
func TestJoinOfOthers(t *testing.T) {
	if os.Getuid() == 0 {
		asUserToo(t)
		return
	}
	c := shell(t, "true")
	c.Profile.User = ids(0)
	c.Profile.Namespaces.Net = policy.Namespace{Mode: policy.NSJoin, Path: "/proc/self/ns/net"}
	pid := holder(t, os.Getuid())
	joining(c.Profile, pid, "user")
	var step *StepError
	if _, err := run(c); !errors.As(err, &step) || step.Errno != unix.EPERM || !strings.Contains(step.Hint, "CAP_SYS_ADMIN") {
		t.Errorf("%v", err) // the host's network belongs to the host's root
	}
}

// TestJoinSignals: signals reach a task whose init is not the process that was cloned first, and the wall-clock limit
// ends it.
func TestJoinSignals(t *testing.T) {
	pid := holder(t, os.Getuid())
	c := joiner(t, os.Getuid(), "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done")
	joining(c.Profile, pid, "user")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	before := look(t)
	err = c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if report, err := wait(c); err != nil || report.Exit != 7 {
		t.Errorf("%+v, %v", report, err)
	}
	c = joiner(t, os.Getuid(), "sleep 60")
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 300 * time.Millisecond}
	joining(c.Profile, pid, "user")
	if report, err := run(c); err != nil || !report.Timeout {
		t.Errorf("%+v, %v", report, err)
	}
	r.Close()
	before.files-- // the pipe
	unchanged(t, before)
	asUserToo(t)
}

// TestFilesBelow stays below its root, whatever a link says.
func TestFilesBelow(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := errors.Join(os.Mkdir(outside, 0o755), os.WriteFile(outside+"/secret", []byte("secret"), 0o644), os.Mkdir(dir+"/etc", 0o755),
		os.WriteFile(dir+"/etc/file", []byte("inside"), 0o600), os.Symlink("/etc/file", dir+"/absolute"), os.Symlink("../../../../../etc/file", dir+"/up"),
		os.Symlink(outside+"/secret", dir+"/out"), os.Symlink("/proc/self/root", dir+"/magic"), unix.Mkfifo(dir+"/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	f := host.OSFiles{}.At(dir)
	for _, path := range []string{"/etc/file", "/absolute", "/up", "/../../etc/file"} {
		if text, err := f.Read(path, 100); err != nil || string(text) != "inside" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if err := f.Access(path, unix.R_OK); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/out", "/magic/etc", "/none", "/fifo", "/etc"} {
		if text, err := f.Read(path, 100); err == nil {
			t.Errorf("%s: %q", path, text)
		}
	}
	if info, err := f.Lstat("/out"); err != nil || info.Mode().Type() != os.ModeSymlink || info.Name() != "out" {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := f.Stat("/absolute"); err != nil || info.Size() != 6 {
		t.Errorf("%v, %v", info, err)
	}
	if text, err := f.Readlink("/absolute"); err != nil || text != "/etc/file" {
		t.Errorf("%q, %v", text, err)
	}
	if list, err := f.ReadDir("/"); err != nil || len(list) != 6 {
		t.Errorf("%v, %v", list, err)
	}
	if list, err := f.At("/etc").ReadDir("/"); err != nil || len(list) != 1 || list[0].Name() != "file" {
		t.Errorf("%v, %v", list, err)
	}
}

// TestSharedPID checks that the task ends with init although there is no pid namespace of the sandbox's own. For
// example, the wall-clock limit ends it.
func TestSharedPID(t *testing.T) {
	c := shell(t, "trap '' TERM; echo; while :; do sleep 0.05; done")
	c.Profile.Namespaces.PID.Mode = policy.NSHost
	c.Profile.Mounts = c.Profile.Mounts[1:] // proc, which would need a pid namespace of its own
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 200 * time.Millisecond}
	c.KillAfter = 100 * time.Millisecond
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	task := c.proc.Task
	if report, err := wait(c); err != nil || !report.Timeout {
		t.Errorf("%+v, %v", report, err)
	}
	for deadline := time.Now().Add(sandboxtest.Slow(3 * time.Second)); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(task) + "/status")
		if err != nil || strings.HasPrefix(proc.StatusField(status, "State"), "Z") {
			break
		}
		if time.Now().After(deadline) {
			_ = unix.Kill(task, unix.SIGKILL)
			t.Fatalf("the task lives on: %s", proc.StatusField(status, "State"))
		}
	}
	asUserToo(t)
}
