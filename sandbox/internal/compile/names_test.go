package compile

import (
	"io/fs"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/plan"
)

// If the network is the host's, and only then, the sandbox shows the file to which a link of the system leads.
func TestNames(t *testing.T) {
	const file = "/run/systemd/resolve/stub-resolv.conf"
	for _, x := range []struct {
		name   string
		change func(*host.Host, sandboxtest.FakeFiles, *policy.Profile)
		shows  bool
		note   string
	}{
		{"", nil, true, ""},
		{"no network", func(_ *host.Host, _ sandboxtest.FakeFiles, p *policy.Profile) { p.Network = policy.Network{} }, false, ""},
		{"a rule hides it", func(_ *host.Host, _ sandboxtest.FakeFiles, p *policy.Profile) {
			p.Hide = []policy.Hide{{Pattern: "/run/systemd"}}
		}, false, ""},
		{"it dangles", func(_ *host.Host, f sandboxtest.FakeFiles, _ *policy.Profile) { delete(f, file) }, false, ""},
		{"a directory", func(_ *host.Host, f sandboxtest.FakeFiles, _ *policy.Profile) { f.Dir(file) }, false, ""},
		{"somebody's link", func(_ *host.Host, f sandboxtest.FakeFiles, _ *policy.Profile) {
			f["/etc/resolv.conf"] = sandboxtest.FakeFile{Perm: fs.ModeSymlink | 0o777, Text: file, Owner: 1000}
		}, false, "is not the system's"},
		{"shown already", func(_ *host.Host, _ sandboxtest.FakeFiles, p *policy.Profile) {
			p.Mounts = append(p.Mounts, ro("/run/systemd/resolve"))
		}, true, ""},
	} {
		for _, h := range []*host.Host{sandboxtest.FakeUser(), sandboxtest.FakeRoot()} {
			files := h.Files.(sandboxtest.FakeFiles)
			files.File(file)
			files.Link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
			p := sandboxtest.With(func(p *policy.Profile) {
				p.Root, p.Network = policy.Root{Kind: policy.RootHost}, policy.Network{Mode: policy.NetworkHost}
				p.Mounts = []policy.Mount{tmpfs("/run")}
				if x.change != nil {
					x.change(h, files, p)
				}
			})
			c, err := Compile(p, h, &Request{Args: []string{"/usr/bin/true"}}, nil)
			if err != nil {
				t.Errorf("%s: %v", x.name, err)
				continue
			}
			part := c.Tree.At(file)
			if shows := c.Tree.HostPath(file) == file && !part.Opaque; shows != x.shows || shows && part.Write {
				t.Errorf("%s, user %d: shown: %v: %+v", x.name, h.UID, shows, part)
			}
			if got := strings.Join(c.Notes, "\n"); !strings.Contains(got, x.note) || x.note == "" && strings.Contains(got, "names:") {
				t.Errorf("%s: notes: %s", x.name, got)
			}
		}
	}
}

// The sandbox's name is in the sandbox's /etc/hosts, unless the profile mounts another file there, or hides it.
func TestOwnName(t *testing.T) {
	long := strings.Repeat("192.0.2.1 ads.example\n", 4000)
	for _, x := range []struct {
		name, text string
		change     func(*policy.Profile)
		want       string // what is written; "" for no file
	}{
		{"the host's", "127.0.0.1 localhost\n\n", nil, "127.0.0.1 localhost\n127.0.0.1 cordon\n"},
		{"empty", "", nil, "127.0.0.1 cordon\n"},
		{"known", "192.0.2.7 a cordon b\n", nil, ""},
		{"another name", "", func(p *policy.Profile) { p.Hostname = "box" }, "127.0.0.1 box\n"},
		{"hidden", "", func(p *policy.Profile) { p.Hide = []policy.Hide{{Pattern: "/etc/hosts"}} }, ""},
		{"bound", "", func(p *policy.Profile) { p.Mounts = append(p.Mounts, as(ro("/etc/passwd"), "/etc/hosts")) }, ""},
		{"bound to an empty root", "127.0.0.1 localhost\n", func(p *policy.Profile) {
			p.Root, p.Mounts = policy.Root{Kind: policy.RootEmpty}, append(p.Mounts, ro("/usr"), ro("/etc/hosts"))
		}, "127.0.0.1 localhost\n127.0.0.1 cordon\n"},
		{"no name of its own", "", func(p *policy.Profile) { p.Namespaces.UTS.Mode = policy.NSHost }, ""},
		{"large", long, nil, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 cordon\n"},
		{"large, with a network", long, func(p *policy.Profile) { p.Network.Mode = policy.NetworkHost }, ""},
	} {
		h := sandboxtest.FakeUser()
		files := h.Files.(sandboxtest.FakeFiles)
		files.File("/etc/passwd")
		files.Put("/etc/hosts", sandboxtest.FakeFile{Perm: 0o644, Text: x.text})
		c, err := Compile(sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootHost}
			if x.change != nil {
				x.change(p)
			}
		}), h, &Request{Args: []string{"/usr/bin/true"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		got := ""
		for i := range c.Plan.Steps {
			if s := &c.Plan.Steps[i]; s.From.Section == "hostname" && s.Call == plan.Write {
				got = s.Args[1].Data
			}
		}
		if got != x.want {
			t.Errorf("%s: %q, not %q", x.name, got, x.want)
		}
	}
}
