package compile

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

// hideCase is a machine, what the profile shows of the machine, and what the profile's rules hide.
type hideCase struct {
	name   string
	host   func(*host.Host, sandboxtest.FakeFiles)
	mounts []policy.Mount
	root   policy.Root
	rules  []string
	covers []string // paths inside
	pins   []string
	tmpfs  []string // mounted by the launcher beside those of the profile
	errs   string
	misses string // begins a line of what is missing
}

func ro(source string) policy.Mount { return policy.Mount{Kind: policy.MountBind, Source: source} }

func rw(source string) policy.Mount { m := ro(source); m.Write = true; return m }

func as(m policy.Mount, target string) policy.Mount {
	m.Target = target
	return m
}

func tmpfs(target string) policy.Mount { return policy.Mount{Kind: policy.MountTmpfs, Target: target} }

var hideCases = []hideCase{
	{name: "a glob below a tmpfs",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/home/ann/src/demo/a.pem") },
		mounts: []policy.Mount{tmpfs("/home"), ro(".")},
		rules:  []string{"~/src/demo/*.pem"}, covers: []string{"/home/ann/src/demo/a.pem"}},
	{name: "a glob below an empty root",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/home/ann/src/demo/a.pem") },
		root:   policy.Root{Kind: policy.RootEmpty},
		mounts: []policy.Mount{ro(".")},
		rules:  []string{"/home/*/src/demo/*.pem"}, covers: []string{"/home/ann/src/demo/a.pem"}},
	{name: "a glob in an alias",
		mounts: []policy.Mount{tmpfs("/mnt"), as(ro("/home/ann"), "/mnt/h")},
		rules:  []string{"~/.s*"}, covers: []string{"/home/ann/.ssh", "/mnt/h/.ssh"}},
	{name: "a rule through a link",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/run/x.sock") },
		mounts: []policy.Mount{tmpfs("/mnt"), as(ro("/run"), "/mnt/r")},
		rules:  []string{"/var/run/x.sock"}, covers: []string{"/mnt/r/x.sock", "/run/x.sock"}},
	{name: "a home that is a link",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/data/ann/.ssh/id")
			delete(t, "/home/ann")
			t.Link("/home/ann", "/data/ann")
		},
		mounts: []policy.Mount{tmpfs("~")},
		rules:  []string{"~/.ssh"}, tmpfs: []string{"/data/ann"}},
	{name: "a home that is a link, bound",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/data/ann/.ssh/id")
			delete(t, "/home/ann")
			t.Link("/home/ann", "/data/ann")
		},
		mounts: []policy.Mount{tmpfs("/home"), ro("~")},
		rules:  []string{"~/.ssh"}, covers: []string{"/data/ann/.ssh", "/home/ann/.ssh"}},
	{name: "a secret that is a link into a visible tree",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/opt/keys/k")
			t.Link("/home/ann/.azure", "/opt/keys")
		},
		rules: []string{"~/.azure"}, covers: []string{"/opt/keys"}, mounts: []policy.Mount{tmpfs("~")}},
	{name: "the other home of a false HOME",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			h.Home, h.PasswdHome = "/tmp/none", "/home/ann"
			t.Own("/home/ann")
		},
		rules: []string{"~/.ssh"}, covers: []string{"/home/ann/.ssh"}},
	{name: "a home of the system counts only for its owner",
		host:  func(h *host.Host, t sandboxtest.FakeFiles) { h.PasswdHome = "/usr/sbin"; t.File("/usr/sbin/.ssh") },
		rules: []string{"~/.ssh"}, covers: []string{"/home/ann/.ssh"}},
	{name: "the home mounted twice on the host",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/home/ann/.ssh", sandboxtest.FakeFile{Perm: fs.ModeDir | 0o700, Ino: 7})
			t.Put("/export/ann/.ssh", sandboxtest.FakeFile{Perm: fs.ModeDir | 0o700, Ino: 7})
			t.Put("/proc/self/mountinfo", sandboxtest.FakeFile{Text: "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /home rw - ext4 b rw\n" +
				"3 1 8:2 / /export rw - ext4 b rw\n4 1 8:2 /ann/.ssh/sub /opt/part rw - ext4 b rw\n"})
			t.Dir("/opt/part")
		},
		rules: []string{"~/.ssh"}, covers: []string{"/export/ann/.ssh", "/home/ann/.ssh", "/opt/part"}},
	{name: "a directory that cannot be listed",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/home/ann/src/demo/closed", sandboxtest.FakeFile{Perm: fs.ModeDir | 0o311, Fails: unix.EIO})
		},
		mounts: []policy.Mount{ro(".")},
		rules:  []string{"**/.env"}, covers: []string{"/home/ann/src/demo/closed"}},
	{name: "a directory that cannot be searched",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/opt/x", sandboxtest.FakeFile{Perm: fs.ModeDir, Fails: unix.EACCES})
		},
		rules: []string{"/opt/x/key"}, covers: []string{"/opt/x"}},
	{name: "a name at any depth, by a link",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/opt/prod.env", "/home/ann/src/demo/a/.env")
			t.Link("/home/ann/src/demo/b/.env", "/opt/prod.env")
		},
		mounts: []policy.Mount{rw(".")},
		rules:  []string{"**/.env"}, covers: []string{"/home/ann/src/demo/a/.env", "/opt/prod.env"},
		pins: []string{"/home/ann/src/demo/b", "/home/ann/src/demo/b/.env"}},
	{name: "names before the last one, at any depth",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/home/ann/src/demo/a/config/prod.key", "/home/ann/src/demo/real/prod.key")
			t.Link("/home/ann/src/demo/b/config", "../real")
		},
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/config/prod.key"},
		covers: []string{"/home/ann/src/demo/a/config/prod.key", "/home/ann/src/demo/real/prod.key"},
		pins:   []string{"/home/ann/src/demo/a/config", "/home/ann/src/demo/b", "/home/ann/src/demo/b/config", "/home/ann/src/demo/real"}},
	{name: "a link on the way to a glob's match",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/home/ann/src/demo/v/key")
			t.Link("/home/ann/src/demo/keys/x", "../v")
		},
		mounts: []policy.Mount{rw(".")}, rules: []string{"~/src/demo/keys/*/key"}, covers: []string{"/home/ann/src/demo/v/key"},
		pins: []string{"/home/ann/src/demo/keys", "/home/ann/src/demo/keys/x", "/home/ann/src/demo/v"}},
	{name: "a rule that names an alias",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/home/ann/src/demo/k") },
		mounts: []policy.Mount{tmpfs("/mnt"), as(ro("."), "/mnt/a"), as(ro("."), "/mnt/b")}, rules: []string{"/mnt/a/k"},
		covers: []string{"/home/ann/src/demo/k", "/mnt/a/k", "/mnt/b/k"}},
	{name: "a hard link, by a rule that names an alias",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/home/ann/src/demo/k", sandboxtest.FakeFile{Perm: 0o600, Ino: 9, Names: 2})
			t.Put("/home/ann/src/demo/n", sandboxtest.FakeFile{Perm: 0o600, Ino: 9, Names: 2})
		},
		mounts: []policy.Mount{tmpfs("/home"), tmpfs("/mnt"), as(ro("."), "/mnt/a")}, rules: []string{"/mnt/a/k*"},
		covers: []string{"/mnt/a/k", "/mnt/a/n"}},
	{name: "a link through /proc, passed over by a glob",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/etc/k")
			t.Link("/etc/klink", "../proc/self/mounts")
			t.Link("/proc/self", "1")
		},
		rules: []string{"/etc/k*"}, covers: []string{"/etc/k"}},
	{name: "links in a hidden directory",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/home/ann/src/demo/ssh/id")
			t.Link("/home/ann/.ssh/keys/id", "../../src/demo/ssh/id")
			t.Link("/home/ann/.ssh/all", "../src")
		},
		mounts: []policy.Mount{tmpfs("~"), rw(".")}, rules: []string{"~/.ssh"}, covers: []string{"/home/ann/src/demo/ssh/id"},
		pins:   []string{"/home/ann/src/demo/ssh"},
		misses: "/home/ann/.ssh/all leads to /home/ann/src, which is too much to hide"},
	{name: "a link that would hide the working directory",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.Link("/home/ann/src/demo/.env", "..") },
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/.env"},
		misses: "/home/ann/src/demo/.env matches, and leads to /home/ann/src, which holds /home/ann/src/demo: that can be read"},
	{name: "a link to a directory of the system",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.Link("/home/ann/src/demo/s/.env", "/usr/bin") },
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/.env"},
		misses: "/home/ann/src/demo/s/.env matches, and leads to /usr/bin, which everybody may read"},
	{name: "a directory of the system by a link before the last name",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.Link("/home/ann/src/demo/secrets", "/usr") },
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/secrets/*"},
		misses: "/home/ann/src/demo/secrets matches, and leads to /usr/bin, which everybody may read"},
	{name: "links without end that a pattern finds",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Link("/home/ann/src/demo/.env", ".env")
			t.Link("/home/ann/src/demo/a/config", "config")
		},
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/.env", "**/config/key"}},
	{name: "a link through /proc that a pattern finds",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Link("/home/ann/src/demo/.env", "/proc/self/environ")
			t.Link("/proc/self", "1")
		},
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/.env"}, misses: "/home/ann/src/demo/.env lies behind a link of /proc"},
	{name: "the name of the working directory itself",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/home/ann/src/demo/key") },
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/demo/key"}, covers: []string{"/home/ann/src/demo/key"}},
	{name: "names above the working directory, inside and on the host",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/home/ann/src/demo/a/key", "/home/ann/src/demo/b/key")
		},
		mounts: []policy.Mount{tmpfs("/mnt"), as(ro("."), "/mnt/x")}, rules: []string{"**/src/demo/a/key", "**/mnt/*/b/key"},
		covers: []string{"/home/ann/src/demo/a/key", "/home/ann/src/demo/b/key", "/mnt/x/a/key", "/mnt/x/b/key"}},
	{name: "the working directory by its name",
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/demo"}, covers: []string{"/home/ann/src/demo"}},
	{name: "the working directory by a name above it",
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/src"}, covers: []string{"/home/ann/src/demo"}},
	{name: "the working directory by the name that was typed",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			h.Typed = "/home/ann/.x"
			t.Link("/home/ann/.x", "src/demo")
			t.File("/home/ann/src/demo/key")
		},
		mounts: []policy.Mount{tmpfs("~"), rw(".")}, rules: []string{"**/.x/key"}, covers: []string{"/home/ann/src/demo/key"}},
	{name: "a mount of the host in a bind, by its other name",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/home/ann/src/demo/m", sandboxtest.FakeFile{Perm: fs.ModeDir | 0o755, Ino: 7})
			t.Put("/srv/.aws", sandboxtest.FakeFile{Perm: fs.ModeDir | 0o755, Ino: 7})
			t.Put("/srv/.aws/credentials", sandboxtest.FakeFile{Perm: 0o600, Ino: 8})
			t.Put("/home/ann/src/demo/m/credentials", sandboxtest.FakeFile{Perm: 0o600, Ino: 8})
			t.Put("/proc/self/mountinfo", sandboxtest.FakeFile{Text: "1 0 8:1 / / rw - ext4 a rw\n" +
				"2 1 8:1 /srv/.aws /home/ann/src/demo/m rw - ext4 a rw\n"})
		},
		mounts: []policy.Mount{rw(".")}, rules: []string{"**/.aws/credentials"},
		covers: []string{"/home/ann/src/demo/m/credentials", "/srv/.aws/credentials"}},
	{name: "a chain of links between hidden directories, and a loop",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			for _, x := range [][2]string{{"/home/ann/.ssh", "1"}, {"/opt/1", "2"}, {"/opt/2", "3"}, {"/opt/3", "4"}, {"/opt/4", "5"}, {"/opt/5", "6"}} {
				t.Dir(x[0])
				t.Link(x[0]+"/l", "/opt/"+x[1])
			}
			t.File("/opt/6")
			t.Link("/opt/4/back", "/opt/1")
		},
		rules: []string{"~/.ssh"}, mounts: []policy.Mount{tmpfs("/home")},
		covers: []string{"/opt/1", "/opt/2", "/opt/3", "/opt/4", "/opt/5", "/opt/6"}},
	{name: "a trailing slash",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/home/ann/src/demo/keys/k") },
		mounts: []policy.Mount{ro(".")}, rules: []string{"**/keys/"}, covers: []string{"/home/ann/src/demo/keys"}},
	{name: "a bind by the name itself",
		host:   func(h *host.Host, t sandboxtest.FakeFiles) { t.File("/opt/.env") },
		mounts: []policy.Mount{tmpfs("/mnt"), as(ro("/opt/.env"), "/mnt/x")}, rules: []string{"**/.env"}, covers: []string{"/mnt/x", "/opt/.env"}},
	{name: "parents in a writable home",
		mounts: []policy.Mount{rw("~")}, rules: []string{"~/.config/gh"}, covers: []string{"/home/ann/.config/gh"},
		pins: []string{"/home/ann/.config"}},
	{name: "a link in a writable home",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.File("/home/ann/dot/k")
			t.Link("/home/ann/.netrc", "dot/k")
		},
		mounts: []policy.Mount{rw("~")}, rules: []string{"~/.netrc"}, covers: []string{"/home/ann/dot/k"},
		pins: []string{"/home/ann/.netrc", "/home/ann/dot"}},
	{name: "hard links",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			t.Put("/home/ann/.netrc", sandboxtest.FakeFile{Perm: 0o600, Ino: 9, Names: 2})
			t.Put("/home/ann/src/demo/n", sandboxtest.FakeFile{Perm: 0o600, Ino: 9, Names: 2})
		},
		mounts: []policy.Mount{tmpfs("~"), rw(".")}, rules: []string{"~/.netrc"}, covers: []string{"/home/ann/src/demo/n"}},
	{name: "a link with more matches behind it than are allowed",
		host: func(h *host.Host, t sandboxtest.FakeFiles) {
			for i := range MaxHidden + 2 {
				t.File("/opt/many/" + strconv.Itoa(i) + ".pem")
			}
			t.Link("/home/ann/src/demo/keys", "/opt/many")
		},
		mounts: []policy.Mount{ro(".")}, rules: []string{"**/keys/*.pem"}, errs: "hide[0] **/keys/*.pem: more than 10000 matches"},
	{name: "links without end",
		host:  func(h *host.Host, t sandboxtest.FakeFiles) { t.Link("/home/ann/.ssh2", ".ssh2") },
		rules: []string{"~/.ssh2"}, errs: "hide[0] ~/.ssh2: resolve /home/ann/.ssh2: too many symbolic links"},
}

func TestHide(t *testing.T) {
	for _, tt := range hideCases {
		t.Run(tt.name, func(t *testing.T) {
			h := sandboxtest.FakeUser()
			if tt.host != nil {
				tt.host(h, h.Files.(sandboxtest.FakeFiles))
			}
			p := sandboxtest.With(func(p *policy.Profile) {
				p.Root, p.Mounts = policy.Root{Kind: policy.RootHost}, tt.mounts
				if tt.root.Kind != "" {
					p.Root = tt.root
				}
				for _, r := range tt.rules {
					p.Hide = append(p.Hide, policy.Hide{Pattern: r})
				}
			})
			comp, err := Compile(p, h, &Request{Args: []string{"/usr/bin/true"}}, nil)
			if err != nil || tt.errs != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.errs) {
					t.Fatalf("error %v, want %q", err, tt.errs)
				}
				return
			}
			tt.compare(t, comp)
		})
	}
}

func (tt *hideCase) compare(t *testing.T, comp *Compilation) {
	var covers, pins, more []string
	for i := range comp.Tree.Parts {
		switch p := &comp.Tree.Parts[i]; {
		case p.Guard == picture.GuardHide:
			covers = append(covers, p.Target)
		case p.Guard == picture.GuardPin:
			pins = append(pins, p.Target)
		case p.What == "a tmpfs" && !slices.ContainsFunc(tt.mounts, func(m policy.Mount) bool { return m.Target == p.Target }) && p.Target != "/home/ann":
			more = append(more, p.Target)
		}
	}
	if len(comp.Missing) > 0 != (tt.misses != "") ||
		tt.misses != "" && !slices.ContainsFunc(comp.Missing, func(m report.Missing) bool { return strings.HasPrefix(m.Why, tt.misses) }) {
		t.Errorf("missing: %+v, want %q", comp.Missing, tt.misses)
	}
	for _, x := range []struct {
		what      string
		got, want []string
	}{{"covers", covers, tt.covers}, {"pins", pins, tt.pins}, {"tmpfs", more, tt.tmpfs}} {
		slices.Sort(x.got)
		if !slices.Equal(x.got, x.want) {
			t.Errorf("%s: %q, want %q", x.what, x.got, x.want)
		}
	}
}

// If the last name of a pattern is a glob, new files that match it are awaited in its directory, wherever the sandbox
// shows that directory, and also if the directory does not exist yet.
func TestHideLater(t *testing.T) {
	p := sandboxtest.With(func(p *policy.Profile) {
		p.Root = policy.Root{Kind: policy.RootHost}
		p.Mounts = []policy.Mount{tmpfs("/home"), rw("."), tmpfs("/mnt"), as(ro("."), "/mnt/x")}
		for _, pattern := range []string{"~/src/demo/*.pem", "~/src/demo/none/deep/k?", "~/src/demo/n*e/k", "/tmp/*.x"} {
			p.Hide = append(p.Hide, policy.Hide{Pattern: pattern, Pos: policy.Pos{Flag: "--hide " + pattern}})
		}
	})
	comp, err := Compile(p, sandboxtest.FakeUser(), &Request{Args: []string{"/usr/bin/true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range comp.Tree.Globs {
		got = append(got, x.Dir+" "+x.Pattern)
	}
	want := []string{"/home/ann/src/demo *.pem", "/mnt/x *.pem", "/home/ann/src/demo/none/deep k?", "/mnt/x/none/deep k?", "/tmp *.x"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, yet := range []bool{true, true, false, true} {
		if i >= len(comp.Notes) || strings.Contains(comp.Notes[i], "hides nothing yet") != yet {
			t.Errorf("notes %q", comp.Notes)
			break
		}
	}
}

// If a rule of the command line leads to nothing, there is a note; and also if the home is not known.
func TestHideSaid(t *testing.T) {
	h := sandboxtest.FakeUser()
	h.Home = ""
	p := sandboxtest.With(func(p *policy.Profile) {
		p.Root = policy.Root{Kind: policy.RootHost}
		p.Hide = []policy.Hide{{Pattern: "/none"}, {Pattern: "/nothing", Pos: policy.Pos{Flag: "--hide /nothing"}}, {Pattern: "**/x", Pos: policy.Pos{Flag: "--hide **/x"}},
			{Pattern: "~/.ssh"}, {Pattern: "~/.aws"}}
	})
	comp, err := Compile(p, h, &Request{Args: []string{"/usr/bin/true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(comp.Notes) != 2 || !strings.HasPrefix(comp.Notes[0], "--hide /nothing hides nothing") || !strings.HasPrefix(comp.Notes[1], "--hide **/x hides nothing") {
		t.Errorf("%q", comp.Notes)
	}
	if len(comp.Missing) != 1 || comp.Missing[0].Layer != policy.LayerHide {
		t.Errorf("%+v", comp.Missing)
	}
}
