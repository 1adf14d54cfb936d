package audit

import (
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/record"
)

func native(t *testing.T) filter.Arch {
	t.Helper()
	arch, ok := filter.ParseArch(runtime.GOARCH)
	if !ok {
		t.Skip("no system call table for " + runtime.GOARCH)
	}
	return arch
}

// auditor is one of a shipped profile on this host.
func auditor(t *testing.T, name string, callsOnly bool) *Auditor {
	t.Helper()
	native(t)
	h, err := host.Probe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := profiles.Search{}.Load([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := New(p, h, &sandbox.Cmd{}, callsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The filter denies nothing but ENOSYS; what the profile denies is shown; of what it allows, only what is asked about is.
func TestFilterShowsWhatIsDenied(t *testing.T) {
	arch := native(t)
	for _, name := range []string{"default", "strict", "build", "net-client"} {
		for _, callsOnly := range []bool{false, true} {
			a := auditor(t, name, callsOnly)
			prog, err := filter.Compile(*a.Filter(), arch)
			if err != nil {
				t.Fatal(err)
			}
			shown := slices.Concat(record.PathCalls(), record.AddressCalls())
			for nr := range int32(600) {
				for _, arg := range []uint64{0, 1, ^uint64(0)} {
					d := filter.Data{Nr: nr, Arch: arch.Audit(), Args: [6]uint64{arg, arg, arg, arg, arg, arg}}
					call, _ := filter.Name(arch, uint32(nr))
					plain, got := a.plain.Action(&d), prog.Action(&d)
					asked := slices.ContainsFunc(needs[:], func(n need) bool { return n.call == call }) || slices.Contains(reaches, call) || slices.Contains(a.bounds.calls(), call)
					switch {
					case call == execveat:
						if got.Kind != filter.Notify && got.Kind != filter.Allow {
							t.Errorf("%s: execveat: %v", name, got)
						}
					case got.Kind != filter.Allow && got.Kind != filter.Log && got.Kind != filter.Notify && got != (filter.Action{Kind: filter.Errno, Errno: 38}):
						t.Errorf("%s: %s(%x) is denied: %v", name, call, arg, got)
					case denies(plain, a.spec.Default) && got.Kind != filter.Notify:
						t.Errorf("%s: %s(%x) is denied by the profile and not shown: %v", name, call, arg, got)
					case got.Kind == filter.Notify && !denies(plain, a.spec.Default) && !asked && !slices.Contains(shown, call):
						t.Errorf("%s: %s(%x) is shown for nothing", name, call, arg)
					case callsOnly && got.Kind == filter.Notify && !denies(plain, a.spec.Default) && slices.Contains([]string{"openat", "newfstatat", "execve", "sendto"}, call):
						t.Errorf("%s: %s is shown although only calls are asked about", name, call)
					case !callsOnly && slices.Contains([]string{"openat", "unlinkat", "connect"}, call) && got.Kind != filter.Notify:
						t.Errorf("%s: %s is not shown", name, call)
					}
				}
			}
		}
	}
}

func TestTablesNameCalls(t *testing.T) {
	for _, n := range needs {
		call, name := n.call, n.cap
		if !filter.Known(call) {
			t.Errorf("%s is no call", call)
		}
		if _, ok := policy.CapabilityNumber(name); !ok && name != "" {
			t.Errorf("%s is no capability", name)
		}
	}
}

func TestCapability(t *testing.T) {
	for _, tt := range []struct {
		call string
		args [6]uint64
		want string
	}{
		{"socket", [6]uint64{2, 3}, "NET_RAW"},
		{"socket", [6]uint64{2, 3 | 0x80000}, "NET_RAW"},
		{"socket", [6]uint64{2, 1}, ""},
		{"socket", [6]uint64{16, 3}, ""}, // netlink(7)
		{"socket", [6]uint64{17, 2}, "NET_RAW"},
		{"chroot", [6]uint64{}, "SYS_CHROOT"},
		{"read", [6]uint64{}, ""},
	} {
		if got := capability(tt.call, &tt.args); got != tt.want {
			t.Errorf("%s%x: %q, want %q", tt.call, tt.args, got, tt.want)
		}
	}
}

// What a program makes on a file system that would be the sandbox's own is there for it; what the host has is not.
func TestMeets(t *testing.T) {
	a := auditor(t, "default", false)
	dir := t.TempDir() // in /tmp, which is a tmpfs in the sandbox
	file := func(p string, want recording.Access, is recording.FileType) *recording.Event {
		return &recording.Event{Path: p, Access: want, Type: is}
	}
	const r, w, c = recording.Read, recording.Write, recording.Create
	for _, tt := range []struct {
		about string
		e     *recording.Event
		want  string // the layer; "" for allowed
		errno string
	}{
		{"a directory of the host", file(dir, recording.List, recording.TypeDir), "mount", "ENOENT"},
		{"a new file in /tmp", file("/tmp/cordon-audit-new", w|c, ""), "", ""},
		{"a new directory in /tmp", file("/tmp/cordon-audit-dir", c, ""), "", ""},
		{"mkdir of what is there", file("/tmp", c, recording.TypeDir), "", ""},
		{"mkdir of a read-only one that is there", file("/usr", c, recording.TypeDir), "", ""},
		{"a new directory in /usr", file("/usr/cordon-audit", c, ""), "mount", "EROFS"},
		{"O_CREAT without write, new", file("/usr/cordon-audit", r|c, ""), "mount", "EROFS"},
		{"O_CREAT without write, there", file("/usr/bin/env", r|c, recording.TypeFile), "", ""},
		{"deleting of what is read-only", file("/usr/bin/env", recording.Delete, recording.TypeFile), "mount", "EROFS"},
		{"deleting of what is not shown", file(dir, recording.Delete, recording.TypeDir), "mount", "ENOENT"},
		{"a hidden file", file("/etc/shadow", r, recording.TypeFile), "mount", "EACCES"},
		{"a program", file("/usr/bin/env", recording.Execute, recording.TypeFile), "", ""},
		{"what is nowhere", file("/usr/no/such", r, ""), "file", "ENOENT"},
		{"a process", file("/proc/self/status", r, recording.TypeFile), "", ""},
		{"a device", file("/dev/null", r|w, recording.TypeChar), "", ""},
	} {
		got := a.meets(tt.e.Path, tt.e)
		if short := a.answer(tt.e.Path, tt.e); short.Allowed != got.Allowed {
			t.Errorf("%s: in short %v, at length %v", tt.about, short.Allowed, got.Allowed)
		}
		if got.Layer != tt.want || got.Errno != tt.errno {
			t.Errorf("%s: %s %s (%s), want %s %s", tt.about, got.Layer, got.Errno, got.Why, tt.want, tt.errno)
		}
	}
	a.made["/tmp/cordon-audit-dir"] = true
	for _, e := range []*recording.Event{
		file("/tmp/cordon-audit-dir/x", w|c, ""),
		file("/tmp/cordon-audit-dir/x", r, recording.TypeFile),
		file("/tmp/cordon-audit-dir/x", recording.Delete, recording.TypeFile),
		file("/tmp/cordon-audit-dir/x", recording.Rename|c, ""),
	} {
		if got := a.meets(e.Path, e); !got.Allowed {
			t.Errorf("%s of %s, which the program made: %s: %s", e.Access, e.Path, got.Layer, got.Why)
		}
	}
}

func TestProcess(t *testing.T) {
	for in, want := range map[string]string{
		"/proc/12/status": "/proc/1/status", "/proc/self": "/proc/1", "/proc/thread-self/fd/3": "/proc/1/fd/3",
		"/proc/sys/kernel": "/proc/sys/kernel", "/proc": "/proc", "/process/12": "/process/12",
	} {
		if got := process(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What the short way allows, the long one does: for every file below a few directories, under each profile.
func TestAnswer(t *testing.T) {
	for _, name := range []string{"default", "strict", "build", "agent", "net-client"} {
		a := auditor(t, name, false)
		short := 0
		for _, dir := range []string{"/etc", "/dev", "/usr/bin", "/var", "/proc/self", "/sys/kernel", t.TempDir()} {
			n := 0
			_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
				if n++; n > 100 {
					return fs.SkipAll
				}
				if err != nil || !d.IsDir() && !d.Type().IsRegular() {
					return nil
				}
				is := recording.TypeFile
				want := []recording.Access{recording.Stat, recording.Read, recording.Execute}
				if d.IsDir() {
					is, want = recording.TypeDir, []recording.Access{recording.Stat, recording.List, recording.Chdir}
				}
				for _, w := range want {
					e := &recording.Event{Path: p, Access: w, Type: is}
					if !a.query.Same(p, d.IsDir(), access(e)) {
						continue
					}
					short++
					if r := a.meets(p, e); !r.Allowed && a.counts(r, p, w) {
						t.Errorf("%s: %s of %s is allowed in short; at length %s: %s", name, w, p, r.Layer, r.Why)
					}
				}
				return nil
			})
		}
		if short == 0 && name != "strict" {
			t.Errorf("%s: nothing was answered in short", name)
		}
	}
}
