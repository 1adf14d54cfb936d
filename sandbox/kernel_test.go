package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/proc"
)

// ids gives the task an id inside.
func ids(id uint32) policy.User {
	return policy.User{UID: policy.Opt[uint32]{Set: true, V: id}, GID: policy.Opt[uint32]{Set: true, V: id}}
}

func capabilities(names ...string) (list []policy.Capability) {
	for _, n := range names {
		list = append(list, policy.Capability{Name: n})
	}
	return list
}

// TestKernelState reads from the kernel, and not from a report, which rights the task has. By the rules of
// capabilities(7) a task that is root inside has the capabilities that it keeps. Any other task has the ambient
// capabilities, and the rest stays in its bounding set.
func TestKernelState(t *testing.T) {
	const chown, kill, bind = 1 << unix.CAP_CHOWN, 1 << unix.CAP_KILL, 1 << unix.CAP_NET_BIND_SERVICE
	tests := []struct {
		keep, ambient []string
		bnd, amb      uint64
	}{
		{nil, nil, 0, 0},
		{[]string{"CHOWN", "KILL"}, nil, chown | kill, 0},
		{[]string{"CHOWN", "NET_BIND_SERVICE"}, []string{"NET_BIND_SERVICE"}, chown | bind, bind},
		{[]string{"KILL"}, []string{"KILL"}, kill, kill},
	}
	for _, tt := range tests {
		for _, id := range []uint32{0, 1000} {
			t.Run(fmt.Sprintf("uid %d keep %v ambient %v", id, tt.keep, tt.ambient), func(t *testing.T) {
				c := shell(t, "")
				c.Args = []string{"cat", "/proc/self/status"}
				c.Profile.User = ids(id)
				c.Profile.Capabilities = policy.Capabilities{Keep: capabilities(tt.keep...), Ambient: capabilities(tt.ambient...)}
				text, report := output(t, c)
				if report.Exit != 0 {
					t.Fatalf("exit %d: %s", report.Exit, text)
				}
				held := tt.amb
				if id == 0 {
					held = tt.bnd
				}
				want := []struct{ key, value string }{
					{"CapBnd", proc.Hex16(tt.bnd)}, {"CapPrm", proc.Hex16(held)}, {"CapEff", proc.Hex16(held)}, {"CapInh", proc.Hex16(tt.amb)}, {"CapAmb", proc.Hex16(tt.amb)},
					{"NoNewPrivs", "1"}, {"Seccomp", "2"}, {"Groups", ""}, {"Threads", "1"},
					{"Uid", fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", id)}, {"Gid", fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d", id)},
				}
				for _, w := range want {
					if w.key == "Groups" && os.Getuid() != 0 {
						continue // an ordinary user cannot give its groups up
					}
					if got := proc.StatusField([]byte(text), w.key); got != w.value {
						t.Errorf("%s is %q, want %q", w.key, got, w.value)
					}
				}
			})
		}
	}
	asUserToo(t)
}

// TestCapabilitiesStay checks that further calls of execve give the task no capability.
func TestCapabilitiesStay(t *testing.T) {
	c := shell(t, "sh -c 'sh -c \"grep ^Cap /proc/self/status\"'")
	c.Profile.User = ids(0)
	text, _ := output(t, c)
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if !strings.HasSuffix(line, ":\t0000000000000000") {
			t.Errorf("two execs later: %s", line)
		}
	}
	if n := strings.Count(text, "\n"); n != 5 {
		t.Errorf("%d sets:\n%s", n, text)
	}
	asUserToo(t)
}

// TestNamespaces compares the task's namespaces with this process's.
func TestNamespaces(t *testing.T) {
	kinds := []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}
	tests := []struct {
		name   string
		change func(p *policy.Profile)
		shared []string
	}{
		{"default", func(*policy.Profile) {}, []string{"time"}},
		{"network of the host", func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }, []string{"net", "time"}},
		{"ipc, uts and cgroup of the host", func(p *policy.Profile) {
			host := policy.Namespace{Mode: policy.NSHost}
			p.Namespaces.IPC, p.Namespaces.UTS, p.Namespaces.Cgroup = host, host, host
		}, []string{"cgroup", "ipc", "time", "uts"}},
		{"time too", func(p *policy.Profile) { p.Namespaces.Time.New = true }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := shell(t, "for n in "+strings.Join(kinds, " ")+"; do readlink /proc/self/ns/$n; done")
			tt.change(c.Profile)
			text, _ := output(t, c)
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if len(lines) != len(kinds) {
				t.Fatalf("%q", text)
			}
			var shared []string
			for i, k := range kinds {
				own, err := os.Readlink("/proc/self/ns/" + k)
				if err != nil {
					t.Fatal(err)
				}
				if own == lines[i] {
					shared = append(shared, k)
				}
			}
			if !slices.Equal(shared, tt.shared) {
				t.Errorf("the task shares %q, want %q", shared, tt.shared)
			}
		})
	}
	asUserToo(t)
}

// TestNetwork checks that the sandbox has its own loopback, which is up, and no other device.
func TestNetwork(t *testing.T) {
	text, _ := output(t, shell(t, "ls /sys/class/net >/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1; wc -l </proc/net/route; cat /proc/net/if_inet6 | wc -l"))
	if got := strings.Join(strings.Fields(text), " "); got != "lo 1 1" && got != "lo 1 0" { // ::1 where the kernel has IPv6
		t.Errorf("interfaces, routes, addresses: %s", got)
	}
	asUserToo(t)
}

// TestInit looks at pid 1 from both sides: it is one thread without rights or descriptors, and the task cannot reach
// into it.
func TestInit(t *testing.T) {
	script := "cat /proc/1/comm; set -- /proc/[0-9]*; echo $#\n" +
		"for f in environ maps mem auxv exe cwd root fd/0; do if cat /proc/1/$f >/dev/null 2>&1 || readlink /proc/1/$f; then echo read $f; fi; done\n" +
		"for f in /proc/1/fd /proc/1/task/1/fd /proc/1/map_files; do ls $f 2>/dev/null; done\n" +
		"kill -9 1 2>/dev/null; kill -TERM 1 2>/dev/null; echo ready; read x"
	for _, id := range []uint32{0, 1000} {
		t.Run(fmt.Sprint("uid ", id), func(t *testing.T) {
			in, tell, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			hear, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer hear.Close()
			c := shell(t, script)
			c.Profile.User = ids(id)
			c.Stdin, c.Stdout = in, out
			before := children(t)
			err = c.Start()
			in.Close()
			out.Close()
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for one := make([]byte, 1); !strings.HasSuffix(text.String(), "ready\n"); text.Write(one) {
				if _, err := io.ReadFull(hear, one); err != nil {
					t.Fatalf("%v behind %q", err, text.String())
				}
			}
			checkInit(t, before)
			tell.Close()
			if report, err := wait(c); err != nil || report.Exit != 1 || report.Signal != "" {
				t.Errorf("%+v, %v", report, err)
			}
			want := "cordon-init\n2\nready\n" // init and the shell
			if got := text.String(); got != want {
				t.Errorf("the task sees %q, want %q", got, want)
			}
		})
	}
	asUserToo(t)
}

// checkInit looks at init from outside.
func checkInit(t *testing.T, before []string) {
	t.Helper()
	var init string
	for _, pid := range children(t) {
		if !slices.Contains(before, pid) {
			init = pid
		}
	}
	status, err := os.ReadFile("/proc/" + init + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"Threads": "1", "CapBnd": proc.Hex16(0), "CapPrm": proc.Hex16(0), "CapEff": proc.Hex16(0), "CapInh": proc.Hex16(0), "CapAmb": proc.Hex16(0), "NoNewPrivs": "1", "Seccomp": "2", "Name": "cordon-init",
	} {
		if got := proc.StatusField(status, key); got != want {
			t.Errorf("init: %s is %q, want %q", key, got, want)
		}
	}
	if pids := strings.Fields(proc.StatusField(status, "NSpid")); len(pids) < 2 || pids[len(pids)-1] != "1" {
		t.Errorf("init: NSpid is %q", pids)
	}
	if os.Getuid() != 0 {
		if _, err := os.ReadDir("/proc/" + init + "/fd"); err == nil {
			t.Error("init is dumpable: its user can look into it")
		}
		return
	}
	fds, err := os.ReadDir("/proc/" + init + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(filepath.Join("/proc", init, "fd", fd.Name())); to != "anon_inode:[eventfd]" {
			t.Errorf("init holds %s: %s", fd.Name(), to)
		}
	}
}

// TestInitForgets looks in init's memory for what the launcher has on its heap. It does so in separate processes, whose
// heaps are as small as a launcher's, or reach into a second arena wherever they begin.
func TestInitForgets(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("init is not dumpable: nobody else may read its memory")
	}
	if size, err := strconv.Atoi(os.Getenv("CORDON_TEST_ALONE")); err == nil {
		initForgets(t, size)
		return
	}
	for _, size := range []int{0, arenaSize} {
		c := exec.Command("/proc/self/exe", "-test.run=^TestInitForgets$")
		c.Env = append(os.Environ(), "CORDON_TEST_ALONE="+strconv.Itoa(size))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("behind %d bytes: %v\n%s", size, err, out)
		}
	}
}

// arenaSize is that of package child.
const arenaSize = 64 << 20

// initForgets looks for a text in the heap. So many bytes lie before the text, and so many around it, that no stack is
// near. The text is put together there, because a text that is joined elsewhere would also lie at another place of the
// heap.
func initForgets(t *testing.T, behind int) {
	before, text := make([]byte, behind), make([]byte, 1<<20, 2<<20)
	for _, word := range [...]string{"a secret ", "of the ", "launcher's"} {
		text = append(text, word...)
	}
	c := shell(t, "read x")
	in, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin = in
	running := children(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range children(t) {
		if !slices.Contains(running, pid) && remembers(t, pid, text[1<<20:]) {
			t.Error("init holds a copy of the launcher's heap")
		}
	}
	if !remembers(t, "self", text[1<<20:]) {
		t.Error("the search finds nothing")
	}
	runtime.KeepAlive(before)
	tell.Close()
	if _, err := wait(c); err != nil {
		t.Error(err)
	}
}

// remembers looks for text in the writable memory of a process.
func remembers(t *testing.T, pid string, text []byte) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/" + pid + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	for line := range strings.Lines(string(maps)) {
		var start, end int64
		if n, _ := fmt.Sscanf(line, "%x-%x rw", &start, &end); n != 2 {
			continue
		}
		for ; start < end; start += int64(len(buf) - len(text)) { // a piece begins with the end of the one before
			n, err := mem.ReadAt(buf[:min(end-start, int64(len(buf)))], start)
			if bytes.Contains(buf[:n], text) {
				return true
			}
			if err != nil {
				break
			}
		}
	}
	return false
}

// TestReportIsRead compares the report's findings with what the task itself reads.
func TestReportIsRead(t *testing.T) {
	text, report := output(t, shell(t, "cat /proc/$$/status; for n in user mnt pid ipc uts cgroup net; do readlink /proc/$$/ns/$n; done; :"))
	layers := map[policy.Layer]string{policy.LayerUser: "user", policy.LayerPID: "pid", policy.LayerIPC: "ipc", policy.LayerUTS: "uts", policy.LayerCgroupNS: "cgroup", policy.LayerNet: "net"}
	for _, e := range report.Enforced {
		if kind, ok := layers[e.Layer]; ok {
			if !strings.HasPrefix(e.Found, kind+":[") || !strings.Contains(text, e.Found+"\n") {
				t.Errorf("%s: %q is not what the task reads", e.Layer, e.Found)
			}
			delete(layers, e.Layer)
		}
		if key, value, ok := strings.Cut(e.Found, "="); ok && e.Where == "/proc/PID/status" && proc.StatusField([]byte(text), key) != value {
			t.Errorf("%s: %q is not what the task reads", e.Layer, e.Found)
		}
	}
	if len(layers) != 0 {
		t.Errorf("not reported: %v", layers)
	}
	asUserToo(t)
}

// TestHostIDs checks that root's task has an unprivileged id on the host if it has no user namespace of its own.
func TestHostIDs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can do without a user namespace")
	}
	c := shell(t, "cat /proc/self/uid_map; cat /proc/$$/status; :")
	c.Profile.Namespaces.User.Mode = policy.NSHost
	c.Profile.User = ids(12345)
	text, _ := output(t, c)
	own, err := os.ReadFile("/proc/self/uid_map")
	if err != nil || !strings.HasPrefix(text, string(own)) {
		t.Errorf("the task's id map is not the host's: %q, %v", text, err)
	}
	for key, want := range map[string]string{
		"Uid": "12345\t12345\t12345\t12345", "Gid": "12345\t12345\t12345\t12345", "Groups": "", "CapBnd": proc.Hex16(0), "CapPrm": proc.Hex16(0), "CapEff": proc.Hex16(0), "NoNewPrivs": "1",
	} {
		if got := proc.StatusField([]byte(text), key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// TestRootIsNobody checks that root's task has an id that has no rights on the host, and that files it writes belong to
// the caller.
func TestRootIsNobody(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's task has its own id")
	}
	dir := publicDir(t)
	c := shell(t, "cat /proc/self/uid_map; id -u; echo x >"+dir+"/made")
	c.Profile.Mounts = append(c.Profile.Mounts, policy.Mount{Kind: policy.MountBind, Source: dir, Write: true})
	text, report := output(t, c)
	f := strings.Fields(text)
	if len(f) != 4 || f[0] != "0" || f[2] != "1" || f[3] != "0" || report.Exit != 0 {
		t.Fatalf("map and id: %q", text)
	}
	if outside, err := strconv.Atoi(f[1]); err != nil || outside < compile.FirstTaskID {
		t.Errorf("on the host the task is %s", f[1])
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/made", &st); err != nil || st.Uid != 0 || st.Gid != 0 {
		t.Errorf("what it wrote belongs to %d:%d, %v", st.Uid, st.Gid, err)
	}
}
