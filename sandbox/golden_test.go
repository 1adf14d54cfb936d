package sandbox

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/plan"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// goldenHosts lists the machines for which plans are stored.
func goldenHosts() map[string]*host.Host {
	old, bare := sandboxtest.FakeUser(), sandboxtest.FakeUser()
	old.Kernel, old.LandlockABI, old.NotifyFlags = [2]int{5, 15}, 1, 8
	bare.LandlockABI = 0
	return map[string]*host.Host{"user": sandboxtest.FakeUser(), "root": sandboxtest.FakeRoot(), "old-kernel": old, "no-landlock": bare}
}

// TestGolden compares the plan of every shipped profile on every described host with the stored plan. The stored plans
// leave out what a filter compiles to, so they are the same on every architecture.
func TestGolden(t *testing.T) {
	for _, name := range []string{"agent", "base", "build", "container", "default", "judge", "net-client", "strict"} {
		for hostName, host := range goldenHosts() {
			t.Run(name+"/"+hostName, func(t *testing.T) {
				golden(t, filepath.Join("testdata", "golden", name+"-"+hostName+".txt"), goldenText(t, name, host))
			})
		}
	}
}

// golden compares a text with a file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the plan has changed; if that is meant: go test ./sandbox -run Golden -update\n%s", file, sandboxtest.FirstDiff(string(want), got))
	}
}

// morePlans lists plans with what no shipped profile asks for.
func morePlans() map[string]struct {
	host   *host.Host
	change func(*policy.Profile)
} {
	const pid = 77
	return map[string]struct {
		host   *host.Host
		change func(*policy.Profile)
	}{
		"joined-user":       {sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, everyKind...) }},
		"joined-user-alone": {sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "user") }},
		"joined-user-net":   {sandboxtest.JoinHost(sandboxtest.FakeUser(), "0 1000 1\n1 100000 65536"), func(p *policy.Profile) { joining(p, pid, "user", "net") }},
		"joined-root":       {sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, everyKind...); p.User = ids(0) }},
		"joined-root-time":  {sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "time", "net") }},
		"joined-root-mount": {sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "mnt"); p.User.Host = policy.HostCaller }},
		"joined-root-net":   {sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "net", "ipc") }},
		"in-place-user":     {sandboxtest.FakeUser(), inPlace},
		"in-place-root":     {sandboxtest.FakeRoot(), inPlace},
		"in-place-abi-2":    {withLandlock(2), inPlace},
		"in-place-abi-3":    {withLandlock(3), inPlace},
		"in-place-abi-5":    {withLandlock(5), inPlace},
		"in-place-abi-9":    {withLandlock(9), inPlace},
		"in-place-abi-10":   {withLandlock(10), inPlace},
		"no-openat2":        {noOpenat2(), func(*policy.Profile) {}},
		"cgroup-v1":         {sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "2:memory:/a\n", 1), limitAll},
		"cgroup-v2":         {sandboxtest.CgroupHost(sandboxtest.FakeRoot(), "0::/\n", 2), limitAll},
		"cgroup-v2-systemd": {systemdHost(), func(p *policy.Profile) { limitAll(p); p.Missing = nil }},
		"cgroup-missing":    {sandboxtest.CgroupHost(sandboxtest.FakeUser(), "0::/session\n", 2), limitAll},
		"cgroup-joined":     {sandboxtest.CgroupHost(sandboxtest.JoinHost(sandboxtest.FakeRoot(), "0 1000 1"), "0::/\n", 2), func(p *policy.Profile) { limitAll(p); joining(p, pid, "mnt"); p.User.Host = policy.HostCaller }},
		"still":             {stillHost(nil), func(*policy.Profile) {}},
		"still-before-6.13": {stillHost(func(h *host.Host) { h.Kernel, h.LandlockABI = [2]int{6, 1}, 2 }), func(p *policy.Profile) { p.Landlock.Scope.Set = true }},
		"still-landlock-9":  {stillHost(func(h *host.Host) { h.Kernel, h.LandlockABI = [2]int{7, 1}, 9 }), func(*policy.Profile) {}},
		"network-user":      {sixHost(sandboxtest.FakeUser()), listed},
		"network-root":      {sixHost(sandboxtest.FakeRoot()), listed},
		"network-ipv4":      {sandboxtest.FakeUser(), func(p *policy.Profile) { listed(p); p.Network.Interface = policy.InterfaceNone }},
		"overlay-host":      {sandboxtest.TableHost("20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"), func(p *policy.Profile) { p.Root.Overlay = "~/layer" }},
	}
}

func inPlace(p *policy.Profile) { p.Namespaces.None = true }

// withLandlock returns a user's machine whose kernel has the given ABI of Landlock.
func withLandlock(abi int) *host.Host {
	h := sandboxtest.FakeUser()
	h.LandlockABI = abi
	return h
}

// noOpenat2 returns a machine whose filter refuses openat2(2), so that paths are opened without that call.
func noOpenat2() *host.Host {
	h := sandboxtest.FakeUser()
	h.NoOpenat2, h.NoTreeAttr = true, true
	return h
}

// stillHost is a host whose working directory is the user's own, with a socket in it that somebody has bound.
func stillHost(change func(*host.Host)) *host.Host {
	h := sandboxtest.TableHost("20 1 8:1 / / rw,noatime - ext4 /dev/sda1 rw\n")
	t := h.Files.(sandboxtest.FakeFiles)
	t.Put("/home/ann/src/demo/sock", sandboxtest.FakeFile{Perm: fs.ModeSocket | 0o700, Owner: 1000})
	t.Own("/home/ann/src/demo")
	t.Put("/proc/net/unix", sandboxtest.FakeFile{Perm: 0o444, Text: "Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 10000 0001 01 17 /home/ann/src/demo/sock\n0: 2 0 10000 0001 01 18 @x\n"})
	if change != nil {
		change(h)
	}
	return h
}

// sixHost is a host whose kernel has IPv6.
func sixHost(h *host.Host) *host.Host {
	h.Files.(sandboxtest.FakeFiles).Put("/proc/net/if_inet6", sandboxtest.FakeFile{Perm: 0o444})
	return h
}

// listed asks for a network with rules of every kind.
func listed(p *policy.Profile) {
	item := func(s string, line int) policy.NetworkItem {
		return policy.NetworkItem{Endpoint: s, Pos: policy.Pos{File: "p.yaml", Line: line}}
	}
	p.Network = policy.Network{Mode: policy.NetworkAllow,
		Allow: []policy.NetworkItem{item("*.example.org", 3), item("git.example.com:22", 4), item("10.0.0.0/8:5432", 5), item("[2606:4700::]/32:8000-8080", 6), item(":8443", 7)},
		Deny:  []policy.NetworkItem{item("169.254.0.0/16", 9), item("bad.example.org", 10), item(":25", 11)}}
}

// limitAll asks for everything that both v1 and v2 can limit.
func limitAll(p *policy.Profile) {
	p.Limits.Memory, p.Limits.PIDs = policy.Opt[int64]{Set: true, V: 1 << 30}, policy.Opt[int64]{Set: true, V: 100}
}

// systemdHost is an ordinary user's machine whose session is not delegated, and whose manager makes scopes.
func systemdHost() *host.Host {
	h := sandboxtest.CgroupHost(sandboxtest.FakeUser(), "0::/user.slice/session-1.scope\n", 2)
	h.Files.(sandboxtest.FakeFiles).Dir("/run/systemd/system")
	h.Files.(sandboxtest.FakeFiles).File("/run/user/1000/bus")
	return h
}

// TestGoldenMore holds the plans that enter namespaces, and an overlay over the host.
func TestGoldenMore(t *testing.T) {
	for name, tt := range morePlans() {
		t.Run(name, func(t *testing.T) {
			p := sandboxtest.Shipped(t, "default")
			tt.host.Files.(sandboxtest.FakeFiles).Open("/tmp")
			tt.host.Files.(sandboxtest.FakeFiles).Dir("/home/ann/layer")
			tt.host.Files.(sandboxtest.FakeFiles).Own("/home/ann/layer")
			tt.change(p)
			golden(t, filepath.Join("testdata", "golden", name+".txt"), goldenOf(t, p, tt.host))
		})
	}
}

// TestGoldenTerminal holds the plan of a task with a terminal of its own.
func TestGoldenTerminal(t *testing.T) {
	c := command(sandboxtest.FakeUser())
	c.Terminal = true
	pl, err := Compile(sandboxtest.Shipped(t, "default"), sandboxtest.FakeUser(), c)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/golden/terminal-user.txt", planText(t, pl))
}

// TestGoldenFiles checks that no stored file is left over that no test compares.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		t.Fatal(err)
	}
	if want := 8*len(goldenHosts()) + len(morePlans()) + len(execPlans()) + 1; len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
}

func goldenText(t *testing.T, name string, host *host.Host) string {
	t.Helper()
	p := sandboxtest.Shipped(t, name)
	if name == "container" {
		p.Root = policy.Root{Kind: policy.RootDir, Dir: "/srv/rootfs"}
	}
	return goldenOf(t, p, host)
}

func goldenOf(t *testing.T, p *policy.Profile, host *host.Host) string {
	t.Helper()
	pl, err := Compile(p, host, command(host))
	if err != nil {
		return describe(err) + "\n"
	}
	return planText(t, pl)
}

func command(host *host.Host) *Cmd {
	return &Cmd{Args: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=" + host.Home, "LD_PRELOAD=/tmp/x.so", "LC_ALL=C"}}
}

// planText is the plan as it is printed, without the size of the filters, and then the launcher's part.
func planText(t *testing.T, pl *plan.Plan) string {
	t.Helper()
	var b strings.Builder
	if err := pl.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, s := range pl.Join {
		b.WriteString("join: " + s.String() + "\n")
	}
	lines := strings.SplitAfter(b.String(), "\n")
	for i, line := range lines {
		if before, after, ok := strings.Cut(line, "{len="); ok {
			_, after, _ = strings.Cut(after, ",")
			call, from, _ := strings.Cut(after, "#")
			lines[i] = before + "{len=N," + strings.TrimRight(call, " ") + " # " + strings.TrimLeft(from, " ")
		}
	}
	return strings.Join(lines, "") + "files: " + strings.Join(pl.Files, " ") + "\n"
}
