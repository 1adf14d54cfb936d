package record

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/policy/recording"
)

// Every call of the tables must exist, have the arguments that the tables name, and be watched.
func TestTablesNameCalls(t *testing.T) {
	shown := func(name string) bool { return !slices.Contains(hot[:], name) }
	check := func(name string, args ...int) {
		t.Helper()
		if !filter.Known(name) {
			t.Errorf("%s is no call", name)
		}
		if !shown(name) {
			t.Errorf("%s is about a path or an address and is not shown", name)
		}
		for _, a := range args {
			if params := filter.Params(name); a >= len(params) {
				t.Errorf("%s has no argument %d", name, a)
			}
		}
	}
	for _, p := range pathArgs {
		check(p.call, p.path, p.dir, p.flags)
		if params := filter.Params(p.call); p.path < len(params) && params[p.path].Kind != 'p' {
			t.Errorf("%s: argument %d is no pointer", p.call, p.path)
		}
		if p.want == 0 && openFlags(p.call) == noFD && p.call != "openat2" {
			t.Errorf("%s: nothing is asked of the path", p.call)
		}
	}
	for _, a := range addrArgs {
		check(a.call, a.addr, a.len)
	}
	for _, call := range filter.Calls() {
		n := 0
		for _, p := range pathArgs {
			if p.call == call {
				n++
			}
		}
		if n > 2 {
			t.Errorf("%s: %d paths, and the programs look at two", call, n)
		}
	}
}

// The filter lets a call through without a notification, or notifies; it never denies a call.
func TestFilterDeniesNothing(t *testing.T) {
	for _, all := range []bool{false, true} {
		for _, arch := range []filter.Arch{filter.AMD64, filter.ARM64, filter.RISCV64} {
			spec := newNotify(arch, all).spec
			prog, err := filter.Compile(*spec, arch)
			if err != nil {
				t.Fatalf("%v: %v", arch, err)
			}
			for _, abi := range append([]filter.Arch{arch}, spec.Foreign...) {
				for nr := range int32(600) {
					for _, args := range [][6]uint64{{}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}} {
						d := filter.Data{Nr: nr, Arch: abi.Audit(), Args: args}
						if abi == filter.X32 {
							d.Nr |= filter.X32Bit
						}
						if k := prog.Action(&d).Kind; k != filter.Allow && k != filter.Notify || all && k != filter.Notify {
							t.Fatalf("%v, all %v: call %d of %v: %v", arch, all, nr, abi, prog.Action(&d))
						}
					}
				}
			}
		}
	}
}

func TestFilterShows(t *testing.T) {
	prog, err := filter.Compile(*newNotify(filter.AMD64, false).spec, filter.AMD64)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		call string
		args [6]uint64
		want filter.Kind
	}{
		{"read", [6]uint64{}, filter.Allow},
		{"openat", [6]uint64{}, filter.Notify},
		{"mmap", [6]uint64{0, 0, unix.PROT_READ | unix.PROT_WRITE}, filter.Allow},
		{"mmap", [6]uint64{0, 0, unix.PROT_READ | unix.PROT_EXEC}, filter.Notify},
		{"mprotect", [6]uint64{0, 0, unix.PROT_EXEC}, filter.Notify},
		{"sendto", [6]uint64{}, filter.Allow},
		{"sendto", [6]uint64{3, 0, 0, 0, 1 << 40, 16}, filter.Notify},
		{"newfstatat", [6]uint64{5}, filter.Allow},
		{"newfstatat", [6]uint64{0xffffff9c}, filter.Notify},
		{"newfstatat", [6]uint64{^uint64(99)}, filter.Notify},
		{"fcntl", [6]uint64{3, unix.F_SETFL}, filter.Allow},
		{"fcntl", [6]uint64{3, unix.F_SETOWN}, filter.Notify},
		{"ptrace", [6]uint64{}, filter.Notify},
	} {
		nr, _ := filter.Number(filter.AMD64, tt.call)
		if got := prog.Action(&filter.Data{Nr: int32(nr), Arch: filter.AMD64.Audit(), Args: tt.args}).Kind; got != tt.want {
			t.Errorf("%s%x: %v, want %v", tt.call, tt.args, got, tt.want)
		}
	}
}

func TestOpens(t *testing.T) {
	const r, w, c, tr, l, s = recording.Read, recording.Write, recording.Create, recording.Truncate, recording.List, recording.Stat
	for _, tt := range []struct {
		flags uint64
		want  recording.Access
	}{
		{unix.O_RDONLY, r}, {unix.O_WRONLY, w}, {unix.O_RDWR, r | w}, {3, r | w}, {unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC, w | c | tr},
		{unix.O_RDONLY | unix.O_DIRECTORY, l}, {unix.O_PATH | unix.O_DIRECTORY, s}, {unix.O_RDWR | unix.O_TMPFILE, r | w | c}, {unix.O_RDONLY | unix.O_TRUNC, r | w | tr},
	} {
		if got := opens(tt.flags); got != tt.want {
			t.Errorf("%#x: %v, want %v", tt.flags, got, tt.want)
		}
	}
}

func TestSockaddr(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want recording.Net
		path string
	}{
		{"\x02\x00\x00\x50\x7f\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", recording.Net{Family: "inet", Addr: "127.0.0.1", Port: 80}, ""},
		{"\x0a\x00\x01\xbb\x00\x00\x00\x00" + strings.Repeat("\x00", 15) + "\x01\x00\x00\x00\x00", recording.Net{Family: "inet6", Addr: "::1", Port: 443}, ""},
		{"\x01\x00/run/x\x00junk", recording.Net{Family: "unix"}, "/run/x"},
		{"\x01\x00\x00name", recording.Net{Family: "unix", Addr: "@name"}, ""},
		{"\x01\x00", recording.Net{Family: "unix"}, ""},
		{"\x02\x00\x00", recording.Net{Family: "inet"}, ""},
		{"\x10\x00", recording.Net{Family: "netlink"}, ""},
		{"\xff\xff", recording.Net{Family: "65535"}, ""},
	} {
		got, path := sockaddr([]byte(tt.in))
		if got != tt.want || path != tt.path {
			t.Errorf("%q: %+v %q, want %+v %q", tt.in, got, path, tt.want, tt.path)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, tt := range [][3]string{{"/a", "b", "/a/b"}, {"/a", "/b", "/b"}, {"/a", "./b//c/", "/a/b/c"}, {"/", "", "/"}, {"/a", "../b", "/a/../b"}, {"", "x", "/x"}} {
		if got := join(tt[0], tt[1]); got != tt[2] {
			t.Errorf("join(%q, %q): %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

// openRoot opens a directory as the root of a task, until the test ends.
func openRoot(t *testing.T, dir string) int {
	t.Helper()
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	return root
}

// A path is resolved in the task's root. A link must not lead out of it.
func TestResolveStaysInTheRoot(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/etc/real", 0o755), os.WriteFile(dir+"/etc/real/f", nil, 0o644),
		os.Symlink("/etc/real", dir+"/link"), os.Symlink("../../../../etc/passwd", dir+"/out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := openRoot(t, dir)
	for _, tt := range []struct {
		path   string
		follow bool
		want   string
		exists bool
	}{
		{"/link/f", true, dir + "/etc/real/f", true},
		{"/link", false, dir + "/link", true},
		{"/out", true, dir + "/out", false}, // dangles in this root
		{"/link/new", true, dir + "/etc/real/new", false},
		{"/proc/self/x", true, "/proc/self/x", true},
	} {
		got := resolve(root, tt.path, tt.follow)
		if got.path != tt.want || got.exists != tt.exists {
			t.Errorf("%s: %+v, want %s", tt.path, got, tt.want)
		}
	}
}

// Every link on the way is returned, in the task's root, and a loop of links ends.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/etc/alternatives", 0o755), os.MkdirAll(dir+"/usr/bin", 0o755), os.WriteFile(dir+"/usr/bin/mawk", nil, 0o755),
		os.Symlink("usr/bin", dir+"/bin"), os.Symlink("/etc/alternatives/awk", dir+"/usr/bin/awk"), os.Symlink("../../usr/bin/mawk", dir+"/etc/alternatives/awk"),
		os.Symlink("loop", dir+"/loop"), os.Symlink("../../..", dir+"/out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root := openRoot(t, dir)
	for name, want := range map[string][]string{
		"/usr/bin/mawk": nil, "/none/x": nil, "/": nil,
		"/usr/bin/awk": {"/usr/bin/awk", "/etc/alternatives/awk"},
		"/bin/awk":     {"/bin/awk", "/usr/bin/awk", "/etc/alternatives/awk"},
		"/out/bin/awk": {"/out/bin/awk", "/bin/awk", "/usr/bin/awk", "/etc/alternatives/awk"},
	} {
		if got := links(root, name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := links(root, "/loop/x"); len(got) != maxLinks {
		t.Errorf("a loop: %d links", len(got))
	}
}

func TestLinkOfProc(t *testing.T) {
	for name, want := range map[string]bool{
		"/proc/self": true, "/proc/7/exe": true, "/proc/self/fd/3": true, "/proc/7/ns/net": true, "/proc/self/task/8/root": true,
		"/proc/self/fd": false, "/proc/7/status": false, "/proc": false, "/proc/sys": false,
	} {
		if got := linkOfProc(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPermissive(t *testing.T) {
	p := &policy.Profile{
		Name: "x", Root: policy.Root{Kind: policy.RootHost}, OnDenial: policy.DenialReport,
		Syscalls: policy.Syscalls{Default: "kill"}, Limits: policy.Limits{Rlimits: []policy.Rlimit{{Name: "nofile", Value: 3}}},
	}
	got := Permissive(p)
	if !got.Landlock.Off || got.Limits.Rlimits != nil || got.Syscalls.Default != "" || got.OnDenial != policy.DenialSilent || got.Root != p.Root {
		t.Errorf("%+v", got)
	}
	if n := len(got.Capabilities.Keep); n < 41 {
		t.Errorf("%d capabilities in a user namespace of its own", n)
	}
	p.Namespaces.User.Mode = policy.NSHost
	if got := Permissive(p); len(got.Capabilities.Keep) != 0 {
		t.Error("capabilities over the host that the profile does not give")
	}
	if p.Syscalls.Default != "kill" {
		t.Error("the profile was changed")
	}
}

// Events beyond the bound are counted, and the recording is not complete.
func TestGatherIsBounded(t *testing.T) {
	g := newGather(filter.AMD64)
	for i := range maxFacts + 7 {
		g.countCall(callFact{nr: 1, args: [3]uint64{uint64(i)}}, 2)
	}
	g.countCall(callFact{nr: 1}, 2) // known: counted still
	if n := g.calls[callFact{nr: 1}]; len(g.calls) != maxFacts || g.lost["calls"] != 7 || n != 4 {
		t.Errorf("%d facts, %d lost, %d", len(g.calls), g.lost["calls"], n)
	}
}

func TestParseTold(t *testing.T) {
	rec := make([]byte, recordHead)
	rec = append(rec, "f\x00a\x00b\x00"...)
	binary.LittleEndian.PutUint32(rec[recKind:], recordPath)
	binary.LittleEndian.PutUint32(rec[recLen:], 2)
	binary.LittleEndian.PutUint32(rec[recWalk:], 4)
	got, ok := parseTold(rec)
	if !ok || got.text != "f\x00" || got.path() != "/b/a" {
		t.Errorf("%v %+v %s", ok, got, got.path())
	}
}

// TestParseToldShort parses records that claim to be longer than they are.
func TestParseToldShort(t *testing.T) {
	for _, tt := range []struct {
		kind, size, walk uint32
		behind           int
		ok               bool
	}{
		{recordAddr, 0, 0, 0, false},
		{recordAddr, 16, 0, maxAddr - 1, false},
		{recordAddr, 16, 0, maxAddr, true},
		{recordAddr, maxAddr, 4, maxAddr + 4, true},
		{recordAddr, maxAddr, 4, maxAddr + 3, false},
		{recordAddr, maxAddr + 1, 0, maxAddr + 8, false},
		{recordPath, 5, 0, 4, false},
		{recordPath, 4, 1, 4, false},
		{recordPath, 1<<32 - 1, 1<<32 - 1, 8, false},
	} {
		rec := make([]byte, recordHead+tt.behind)
		binary.LittleEndian.PutUint32(rec[recKind:], tt.kind)
		binary.LittleEndian.PutUint32(rec[recLen:], tt.size)
		binary.LittleEndian.PutUint32(rec[recWalk:], tt.walk)
		if _, ok := parseTold(rec); ok != tt.ok {
			t.Errorf("%+v: %v", tt, ok)
		}
	}
}

func FuzzParseTold(f *testing.F) {
	short := make([]byte, recordHead+8)
	binary.LittleEndian.PutUint32(short[recKind:], recordAddr)
	f.Add(short)
	f.Add(make([]byte, recordHead))
	f.Add(append(make([]byte, recordHead), "a\x00b\x00"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := parseTold(b); ok && !strings.HasPrefix(got.path(), "/") {
			t.Errorf("%q", got.path())
		}
	})
}

func FuzzBTF(f *testing.F) {
	f.Add([]byte{0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if types, err := parseBTF(b); err == nil {
			_, _ = types.offset("a", "b")
			_ = types.typedef("a")
		}
	})
}

func FuzzBuildID(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd\x00\x00"), 4)
	f.Fuzz(func(t *testing.T, b []byte, align int) {
		if id := gnuBuildID(b, align); len(id) > 2*len(b) {
			t.Errorf("%s", id)
		}
	})
}

func FuzzSockaddr(f *testing.F) {
	f.Add([]byte("\x01\x00/x\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) >= 2 {
			sockaddr(b)
		}
	})
}

func TestBuildID(t *testing.T) {
	note := []byte("\x04\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00GNU\x00..\x00\x00" + "\x04\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd\x00\x00")
	if got := gnuBuildID(note, 4); got != "abcd" {
		t.Errorf("%q", got)
	}
}
