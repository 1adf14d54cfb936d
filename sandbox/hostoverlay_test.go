package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
)

// overHost is the host's tree with an overlay, for a task that has the caller's id.
func overHost(upper string) *policy.Profile {
	return with(func(p *policy.Profile) {
		p.Root.Overlay = upper
		p.User.Host = policy.HostCaller
		p.Missing = []policy.MissingLayer{{Layer: policy.LayerLandlock}} // an old kernel has no scopes
		p.Mounts = []policy.Mount{{Kind: policy.MountProc, Target: "/proc"}, {Kind: policy.MountDev, Target: "/dev"}}
	})
}

// TestHostOverlay writes, changes, removes and reads back: the host sees none of it, and with a directory the next
// sandbox does. A hidden file stays hidden, and what is mounted on the host stays read-only.
func TestHostOverlay(t *testing.T) {
	for _, kept := range []bool{false, true} {
		dir, upper := publicDir(t), "tmp"
		if kept {
			upper = publicDir(t)
		}
		for name, text := range map[string]string{"changed": "old\n", "removed": "old\n", "secret": "secret\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before := listing(t, dir)
		run := func(script string) string {
			t.Helper()
			c := &Cmd{Profile: overHost(upper), Args: []string{"sh", "-c", "cd " + dir + "\n" + script}, Env: []string{"PATH=/usr/bin:/bin"}}
			c.Profile.Hide = []policy.Hide{{Pattern: dir + "/secret"}}
			text, report := output(t, c)
			if report.Exit != 0 {
				t.Errorf("exit %d: %s", report.Exit, text)
			}
			return text
		}
		text := run("echo new >changed; rm removed; mkdir made; echo x >made/x; cat changed made/x; ls; cat secret 2>/dev/null; echo x >/sys/x || echo sys; echo x >/x || echo root; :")
		if got := strings.Join(strings.Fields(text), " "); !strings.HasPrefix(got, "new x changed made secret ") || !strings.HasSuffix(got, " root") || !strings.Contains(got, " sys ") {
			t.Errorf("kept %v: %s", kept, got)
		}
		if after := listing(t, dir); after != before {
			t.Errorf("kept %v: the host's directory was\n%s\nand is\n%s", kept, before, after)
		}
		want := "old\nchanged\nremoved\nsecret\n"
		if kept {
			want = "new\nchanged\nmade\nsecret\n"
		}
		if got := run("cat changed; ls"); got != want {
			t.Errorf("kept %v: the next one sees %q", kept, got)
		}
	}
	asUserToo(t)
}

// listing is what a directory holds.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(path)
			path += ": " + string(text)
		}
		b.WriteString(path + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHostOverlayGivesNothing: root's task is nobody, an overlay or not: it cannot write where only root may, and reads
// nothing that only root may.
func TestHostOverlayGivesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user's task is the user")
	}
	dir := publicDir(t)
	if err := os.WriteFile(dir+"/secret", []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := shell(t, "cat "+dir+"/secret; touch "+dir+"/new /usr/new; cat /etc/shadow; echo x >/var/tmp/cordon-test-x && cat /var/tmp/cordon-test-x")
	c.Profile = overHost("tmp")
	c.Profile.User.Host = policy.HostAuto
	text, _ := output(t, c)
	if strings.Contains(text, "secret\n") || strings.Contains(text, "root:") || strings.Count(text, "\n") != 5 || !strings.HasSuffix(text, "\nx\n") {
		t.Errorf("%s", text)
	}
	if _, err := os.Lstat("/var/tmp/cordon-test-x"); err == nil {
		t.Error("it was written to the host")
	}
}

// TestOverlayDirs finds what is covered on stated machines.
func TestOverlayDirs(t *testing.T) {
	const disk = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	for _, tt := range []struct {
		name, mounts string
		host         *host.Host
		change       func(*host.Host)
		want         string
	}{
		{"one file system", disk, fakeUser(), nil, "/home/ann /tmp"},
		{"root of the machine", disk, fakeRoot(), func(h *host.Host) { h.HostRoot = false }, "/dev /etc /home /media /mnt /proc /root /run /srv /sys /tmp /usr /var"},
		{"home of its own", disk + "21 20 8:2 / /home rw - xfs /dev/sda2 rw\n", fakeUser(), nil, "/home/ann /tmp"},
		{"home on a network", disk + "21 20 0:40 / /home rw - nfs4 server:/home rw\n", fakeUser(), nil, "/tmp"},
		{"tmp in memory", disk + "21 20 0:40 / /tmp rw - tmpfs tmpfs rw\n", fakeUser(), nil, "/home/ann"},
		{"mounted in home", disk + "21 20 0:40 / /home/ann/bin rw - fuse.sshfs x rw\n", fakeUser(), nil, "/home/ann/.aws /home/ann/.config /home/ann/.ssh /home/ann/src /tmp"},
		{"mounted deep in home", disk + "21 20 0:40 / /home/ann/src/demo/.git rw - tmpfs x rw\n", fakeUser(), nil, "/home/ann/.aws /home/ann/.config /home/ann/.ssh /home/ann/bin /tmp"},
		{"a root in memory", "20 1 0:2 / / rw - rootfs rootfs rw\n", fakeUser(), nil, "/home/ann /tmp"},
		{"a working directory far down", disk, fakeUser(), func(h *host.Host) {
			h.Cwd = "/srv/a/b/c/d/mine/e"
			h.Files.(fakeFiles).dir("/srv/a/b/c/d")
			h.Files.(fakeFiles).dir("/srv/a/b/c/d/mine/e")
			h.Files.(fakeFiles).own("/srv/a/b/c/d/mine", "/srv/a/b/c/d/mine/e")
		}, "/home/ann /srv/a/b/c/d/mine /tmp"},
		{"a working directory below somebody else's in tmp", disk, fakeUser(), func(h *host.Host) {
			h.Cwd = "/tmp/theirs/mine/e"
			h.Files.(fakeFiles).dir("/tmp/theirs/mine/e")
			h.Files.(fakeFiles).own("/tmp/theirs/mine", "/tmp/theirs/mine/e")
			h.Files.(fakeFiles).open("/tmp")
		}, "/home/ann /tmp /tmp/theirs/mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tt.host.Files.(fakeFiles)
			files.put("/proc/self/mountinfo", fakeFile{text: tt.mounts})
			files.open("/tmp")
			for name, f := range files {
				if paths.Below(name, "/home/ann") && f.IsDir() {
					files.own(name)
				}
			}
			if tt.change != nil {
				tt.change(tt.host)
			}
			c, err := compile(overHost("tmp"), tt.host, &Request{Args: []string{"/usr/bin/true"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range c.tree.parts {
				if strings.HasPrefix(p.what, "an overlay of the host's ") {
					got = append(got, p.target)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// TestLayerName: two directories never have the same, and none holds what overlayfs splits at.
func TestLayerName(t *testing.T) {
	var seen []string
	for _, dir := range []string{"/home", "/home/ann", "/home%2Fann", `/a\x2db`, "/a,b", "/a:b", "/a b", "/ä"} {
		name := layerName(dir)
		if slices.Contains(seen, name) || strings.ContainsAny(name, `/\,: `) {
			t.Errorf("%s: %s", dir, name)
		}
		seen = append(seen, name)
	}
}
