package sandbox

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/profiles"
	"cordon/sandbox/plan"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// goldenHosts are the machines that plans are kept for.
func goldenHosts() map[string]*Host {
	old, bare := fakeUser(), fakeUser()
	old.Kernel, old.LandlockABI = [2]int{5, 15}, 1
	bare.LandlockABI = 0
	return map[string]*Host{"user": fakeUser(), "root": fakeRoot(), "old-kernel": old, "no-landlock": bare}
}

// TestGolden holds the plan of every shipped profile on every stated host. What a filter compiles to is not the
// plan's business and left out, so the files are the same on every architecture.
func TestGolden(t *testing.T) {
	for _, name := range []string{"base", "build", "container", "default", "net-client", "strict"} {
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
		t.Errorf("%s: the plan has changed; if that is meant: go test ./sandbox -run Golden -update\n%s", file, firstDiff(string(want), got))
	}
}

// joinedPlans are what is compiled for namespaces that exist already.
func joinedPlans() map[string]struct {
	host   *Host
	change func(*policy.Profile)
} {
	const pid = 77
	return map[string]struct {
		host   *Host
		change func(*policy.Profile)
	}{
		"user":       {joinHost(fakeUser(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, everyKind...) }},
		"user-alone": {joinHost(fakeUser(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "user") }},
		"user-net":   {joinHost(fakeUser(), "0 1000 1\n1 100000 65536"), func(p *policy.Profile) { joining(p, pid, "user", "net") }},
		"root":       {joinHost(fakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, everyKind...); p.User = ids(0) }},
		"root-time":  {joinHost(fakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "time", "net") }},
		"root-mount": {joinHost(fakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "mnt"); p.User.Host = policy.HostCaller }},
		"root-net":   {joinHost(fakeRoot(), "0 1000 1"), func(p *policy.Profile) { joining(p, pid, "net", "ipc") }},
	}
}

// TestGoldenJoined holds the plans that enter namespaces.
func TestGoldenJoined(t *testing.T) {
	for name, tt := range joinedPlans() {
		t.Run(name, func(t *testing.T) {
			p := shipped(t, "default")
			tt.change(p)
			golden(t, filepath.Join("testdata", "golden", "joined-"+name+".txt"), goldenOf(t, p, tt.host))
		})
	}
}

// TestGoldenFiles has no file left over that no test compares.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil {
		t.Fatal(err)
	}
	if want := 6*len(goldenHosts()) + len(joinedPlans()); len(files) != want {
		t.Errorf("%d files, want %d", len(files), want)
	}
}

func goldenText(t *testing.T, name string, host *Host) string {
	t.Helper()
	p := shipped(t, name)
	if name == "container" {
		p.Root = policy.Root{Kind: policy.RootDir, Dir: "/srv/rootfs"}
	}
	return goldenOf(t, p, host)
}

func goldenOf(t *testing.T, p *policy.Profile, host *Host) string {
	t.Helper()
	pl, err := Compile(p, host, &Cmd{Args: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=" + host.Home, "LD_PRELOAD=/tmp/x.so", "LC_ALL=C"}})
	if err != nil {
		return describe(err) + "\n"
	}
	return planText(t, pl)
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

// shipped is a copy of a shipped profile that a test may change.
func shipped(t testing.TB, name string) *policy.Profile {
	t.Helper()
	p, err := profiles.Search{}.Load([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *p
	c.Mounts = append([]policy.Mount(nil), p.Mounts...)
	return &c
}

func firstDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "-" + w[i] + "\n+" + g[i]
		}
	}
	return "one is longer than the other"
}
