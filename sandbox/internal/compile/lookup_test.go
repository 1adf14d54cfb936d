package compile

import (
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// TestLookup finds programs as a shell would, and shows a program that the profile merely does not show.
func TestLookup(t *testing.T) {
	scripts := func(h *host.Host) {
		f := h.Files.(sandboxtest.FakeFiles)
		f.Program("/home/ann/bin/script", "#! /home/ann/bin/elf -x\n")
		f.Program("/home/ann/bin/elf", "\x7fELF")
		f.Program("/home/ann/bin/enved", "#!/usr/bin/env elf\n")
		f.Program("/home/ann/bin/flags", "#!/usr/bin/env -S tool\n")
		f.Program("/home/ann/bin/noeol", "#!/usr/bin/python3")
		f.Program("/home/ann/bin/empty", "#!\n")
		f.Link("/usr/local/bin/far", "/home/ann/bin/tool")
	}
	// The home is an empty directory, as in the default profile.
	hidden := func() *policy.Profile {
		return sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/home"}, policy.Mount{Kind: policy.MountBind, Source: "/home/ann/src/demo"})
	}
	tests := []struct {
		name  string
		p     *policy.Profile
		typed string
		path  string   // what is exec'd
		added []string // what the report says was shown for it
	}{
		{"by PATH", sandboxtest.HostRoot(), "true", "/usr/bin/true", nil},
		{"the first in PATH", sandboxtest.HostRoot(), "far", "/usr/local/bin/far", nil},
		{"by a path", sandboxtest.HostRoot(), "/bin/true", "/bin/true", nil},
		{"by an unclean path", sandboxtest.HostRoot(), "/usr/../bin//true", "/bin/true", nil},
		{"a symbolic link keeps its name", sandboxtest.HostRoot(), "python3", "/usr/bin/python3", nil},
		{"relative to the working directory", sandboxtest.HostRoot(), "./build.sh", "/home/ann/src/demo/build.sh", nil},
		{"above the working directory", sandboxtest.HostRoot(), "../../bin/tool", "/home/ann/bin/tool", nil},
		{"visible in a bind", hidden(), "./build.sh", "/home/ann/src/demo/build.sh", nil},
		{"hidden", hidden(), "../../bin/tool", "/home/ann/bin/tool", []string{"/home/ann/bin/tool"}},
		{"hidden script and its hidden interpreter", hidden(), "/home/ann/bin/script", "/home/ann/bin/script", []string{"/home/ann/bin/script", "/home/ann/bin/elf"}},
		{"hidden script and a visible interpreter", hidden(), "/home/ann/bin/noeol", "/home/ann/bin/noeol", []string{"/home/ann/bin/noeol"}},
		{"env finds the program in PATH", hidden(), "/home/ann/bin/enved", "/home/ann/bin/enved", []string{"/home/ann/bin/enved", "/home/ann/bin/elf"}},
		{"env with flags is its own affair", hidden(), "/home/ann/bin/flags", "/home/ann/bin/flags", []string{"/home/ann/bin/flags"}},
		{"no interpreter named", hidden(), "/home/ann/bin/empty", "/home/ann/bin/empty", []string{"/home/ann/bin/empty"}},
		{"hidden, by a link of the system", hidden(), "far", "/usr/local/bin/far", []string{"/home/ann/bin/tool"}},
		{"in an empty root", &policy.Profile{Landlock: policy.Landlock{Off: true}}, "true", "/usr/bin/true", []string{"/usr/bin/true"}},
		{"in a root directory", &policy.Profile{Root: policy.Root{Kind: policy.RootDir, Dir: "/srv/rootfs"}}, "/bin/true", "/bin/true", nil},
		{"in a root directory, relative", &policy.Profile{Root: policy.Root{Kind: policy.RootDir, Dir: "/srv/rootfs"}}, "./bin/true", "/bin/true", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.p.Env.Keep = []policy.EnvKeep{{Pattern: "PATH"}}
			host := sandboxtest.OnHost(scripts)
			if tt.p.Root.Kind == policy.RootDir {
				host.Cwd = "/opt/nowhere"
			}
			c, err := Compile(tt.p, host, &Request{Args: []string{tt.typed, "-x"}, Env: []string{"PATH=.::bin:/usr/local/bin:/usr/bin/:/home/ann/bin"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var added []string
			for _, a := range c.Added {
				added = append(added, a.Path)
				if a.Why == "" {
					t.Errorf("%s was added for no reason", a.Path)
				}
			}
			if c.Program.path != tt.path || !slices.Equal(added, tt.added) {
				t.Errorf("runs %s, adds %q; want %s, %q", c.Program.path, added, tt.path, tt.added)
			}
		})
	}
}

func TestEnvironmentOrder(t *testing.T) {
	p := sandboxtest.With(func(p *policy.Profile) {
		p.Env.Keep = []policy.EnvKeep{{Pattern: "B"}, {Pattern: "A"}, {Pattern: "LC_*"}, {Pattern: "SET"}}
		p.Env.Set = []policy.EnvVar{{Name: "SET", Value: "profile"}, {Name: "NEW", Value: "a=b"}}
	})
	c, err := Compile(p, sandboxtest.FakeUser(), &Request{Args: []string{"true"}, Env: []string{"A=1", "LC_X=", "SET=caller", "AB=2", "b=3", "B=x=y", "=odd", "LC", "B", "broken"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Program.Env, " "); got != "A=1 LC_X= B=x=y SET=profile NEW=a=b" {
		t.Errorf("the program gets %s", got)
	}
	if p.Env.Keep = []policy.EnvKeep{{Pattern: "*"}}; true {
		c, err = Compile(p, sandboxtest.FakeUser(), &Request{Args: []string{"true"}, Env: []string{"ANY=1"}}, nil)
		if err != nil || strings.Join(c.Program.Env, " ") != "ANY=1 SET=profile NEW=a=b" {
			t.Errorf("* keeps %q, %v", c.Program.Env, err)
		}
	}
}

func TestWorkdir(t *testing.T) {
	in := func(dir string) *policy.Profile {
		return sandboxtest.With(func(p *policy.Profile) { p.Process.Workdir = dir })
	}
	tests := []struct {
		name string
		p    *policy.Profile
		want string
	}{
		{"the caller's", sandboxtest.HostRoot(), "/home/ann/src/demo"},
		{"the caller's is hidden", sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/home"}), "/"},
		{"named", in("/usr/bin"), "/usr/bin"},
		{"through a link", in("/bin"), "/usr/bin"},
		{"home", in("~"), "/home/ann"},
		{"relative", in("."), "/home/ann/src/demo"},
	}
	for _, tt := range tests {
		c, err := Compile(tt.p, sandboxtest.FakeUser(), &Request{Args: []string{"true"}, Env: []string{}}, nil)
		if err != nil || c.Workdir != tt.want {
			t.Errorf("%s: %v, %v", tt.name, c, err)
		}
	}
}

func TestHints(t *testing.T) {
	p := sandboxtest.Mounted(policy.Mount{Kind: policy.MountTmpfs, Target: "/tmp"}, policy.Mount{Kind: policy.MountTmpfs, Target: "/home"},
		policy.Mount{Kind: policy.MountBind, Source: "/home/ann/src/demo"})
	p.Hide = []policy.Hide{{Pattern: "/etc/shadow", Pos: sandboxtest.Pos(20)}}
	p.Sources = []policy.Source{{Path: "root", Pos: sandboxtest.Pos(1)}}
	host := sandboxtest.OnHost(func(h *host.Host) {
		f := h.Files.(sandboxtest.FakeFiles)
		mine := f["/home/ann/src/demo"]
		mine.Perm |= 0o022
		f["/home/ann/src/demo"] = mine
		f.File("/tmp/made-on-the-host")
	})
	c, err := Compile(p, host, &Request{Args: []string{"true"}, Env: []string{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		arg, text, flag string
		line            int
	}{
		{"", "", "", 0},
		{"-v", "", "", 0},
		{"/etc/passwd", "", "", 0}, // it is there
		{"/etc/shadow", "/etc/shadow is hidden; no flag lifts the rule; a profile of your own can, with hide: [{remove: /etc/shadow}]", "", 20},
		{"/none/at/all", "", "", 0}, // the host has it no more than the sandbox
		{"/tmp/new", "", "", 0},     // may be made
		{"/usr/new", "", "", 0},     // the caller could not write there either
		{"a\x00b", "", "", 0},       // no path
		{"main.c", "", "", 0},       // visible
		{"new.o", "/home/ann/src/demo is read-only in the sandbox", "--rw /home/ann/src/demo", 12},
		{"./sub/../new.o", "/home/ann/src/demo is read-only in the sandbox", "--rw /home/ann/src/demo", 12},
		{"../../bin/tool", "/home/ann/bin/tool is not visible in the sandbox", "--ro /home/ann/bin/tool", 11},
		{"--config=/home/ann/.netrc", "/home/ann/.netrc is not visible in the sandbox", "--ro /home/ann/.netrc", 11},
		{"/tmp/made-on-the-host", "/tmp/made-on-the-host is not visible in the sandbox", "--ro /tmp/made-on-the-host", 10},
	}
	for _, tt := range tests {
		h, ok := c.HintFor([]string{"touch", tt.arg}, 1)
		if ok != (tt.text != "") || h.Text != tt.text || h.Flag != tt.flag || h.Rule.Line != tt.line {
			t.Errorf("%q: %+v, want %q, %q, line %d", tt.arg, h, tt.text, tt.flag, tt.line)
		}
	}
	if h, ok := c.HintFor([]string{"echo", "new.o"}, 1); ok {
		t.Errorf("a word that need not be a file: %+v", h)
	}
}

// There is no hint about a file that the program itself makes. The hint about a killed call names the architecture, and
// names no call if no call can be the reason.
func TestHintsOfMakersAndKills(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		shown bool
	}{
		{[]string{"mknod", "/home/ann/bin/tool", "p"}, false}, {[]string{"mkdir", "/home/ann/bin/tool"}, false},
		{[]string{"/bin/mkfifo", "/home/ann/bin/tool"}, false}, {[]string{"cat", "/home/ann/bin/tool"}, true},
	} {
		if makes(tt.args) == tt.shown {
			t.Errorf("%v: shown %v", tt.args, tt.shown)
		}
	}
	for text, want := range map[string][]string{
		"syscalls: {default: errno(EPERM)}": {"--arch i386"},
		"syscalls: {default: kill}":         {"--arch i386", "--syscall-default"},
		// No flag changes a rule. The hint names the calls instead.
		"syscalls: {allow: [read], rules: [{read: fd == 0, else: kill}]}":   {"--arch i386", ""},
		"syscalls: {allow: [\"@system-service\"], rules: [{keyctl: kill}]}": {"--arch i386", ""},
		"syscalls: {default: kill, rules: [{keyctl: trap}]}":                {"--arch i386", "", "--syscall-default"},
	} {
		p, err := policy.Parse("p.yaml", []byte("version: 1\nname: p\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		c := &Compilation{Profile: p, Arch: filter.AMD64}
		got := c.KillHints()
		for i, flag := range want {
			if len(got) != len(want) || !strings.HasPrefix(got[i].Flag, flag) {
				t.Errorf("%s: %+v", text, got)
				break
			}
		}
		if len(want) > 1 && want[1] == "" && !strings.Contains(got[1].Text, "kill at ") {
			t.Errorf("%s: the call is not named: %+v", text, got)
		}
	}
}

// A limit is reported even if no table has it.
func TestLacksLimit(t *testing.T) {
	c := &Compilation{Profile: &policy.Profile{Missing: []policy.MissingLayer{{Layer: policy.LayerCgroup}}}}
	for range 2 {
		if err := c.lacksLimit("newer 2MiB", "the kernel has none", ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Missing) != 1 || !strings.Contains(c.Missing[0].Why, "limits.newer 2MiB: the kernel has none") {
		t.Errorf("got %+v", c.Missing)
	}
}

func TestGenerate(t *testing.T) {
	in := func(host *host.Host, change func(*policy.Profile)) *Compilation {
		t.Helper()
		c, err := Compile(sandboxtest.With(change), host, &Request{Args: []string{"true"}, Env: []string{}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	none := func(*policy.Profile) {}
	asRoot := func(p *policy.Profile) {
		p.User.UID, p.User.GID = policy.Opt[uint32]{Set: true}, policy.Opt[uint32]{Set: true}
		p.Hostname = "box"
	}
	tests := []struct {
		name string
		c    *Compilation
		file string
		want string
	}{
		{"user", in(sandboxtest.FakeUser(), none), "/etc/passwd", "root:x:0:0:root:/:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
		{"user", in(sandboxtest.FakeUser(), none), "/etc/group", "root:x:0:\nann:x:1000:\nnogroup:x:65534:\n"},
		{"root inside", in(sandboxtest.FakeUser(), asRoot), "/etc/passwd", "root:x:0:0::/home/ann:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
		{"root inside", in(sandboxtest.FakeUser(), asRoot), "/etc/group", "root:x:0:\nnogroup:x:65534:\n"},
		{"a name with a colon", in(sandboxtest.OnHost(func(h *host.Host) { h.Name = "a:0:0" }), none), "/etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"},
		{"a name with a line", in(sandboxtest.OnHost(func(h *host.Host) { h.Name = "a\nroot" }), none), "/etc/group", "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n"},
		{"a home with both", in(sandboxtest.OnHost(func(h *host.Host) { h.Home = "/h:x\ny" }), none), "/etc/passwd",
			"root:x:0:0:root:/:/bin/sh\nann:x:1000:1000::/h_x_y:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
		{"named", in(sandboxtest.FakeUser(), asRoot), "/etc/hostname", "box\n"},
		{"named", in(sandboxtest.FakeUser(), asRoot), "/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n"},
		{"no network", in(sandboxtest.FakeUser(), none), "/etc/resolv.conf", "# no network\n"},
		{"the host's network", in(sandboxtest.FakeUser(), func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }), "/etc/resolv.conf", "nameserver 192.0.2.53\n"},
		{"any", in(sandboxtest.FakeUser(), none), "/chroot/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
	}
	for _, tt := range tests {
		if got, err := tt.c.generate(tt.file); err != nil || got != tt.want {
			t.Errorf("%s, %s: %q, %v; want %q", tt.name, tt.file, got, err, tt.want)
		}
	}
}
