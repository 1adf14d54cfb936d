package compile

import (
	"slices"
	"strings"
	"testing"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/sandboxtest"
)

// TestOverlayDirs checks on which directories of described machines overlays are mounted.
func TestOverlayDirs(t *testing.T) {
	const disk = "20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
	for _, tt := range []struct {
		name, mounts string
		host         *host.Host
		change       func(*host.Host)
		want         string
	}{
		{"one file system", disk, sandboxtest.FakeUser(), nil, "/home/ann /tmp"},
		{"root of the machine", disk, sandboxtest.FakeRoot(), func(h *host.Host) { h.HostRoot = false }, "/dev /etc /home /media /mnt /proc /root /run /srv /sys /tmp /usr /var"},
		{"home of its own", disk + "21 20 8:2 / /home rw - xfs /dev/sda2 rw\n", sandboxtest.FakeUser(), nil, "/home/ann /tmp"},
		{"home on a network", disk + "21 20 0:40 / /home rw - nfs4 server:/home rw\n", sandboxtest.FakeUser(), nil, "/tmp"},
		{"tmp in memory", disk + "21 20 0:40 / /tmp rw - tmpfs tmpfs rw\n", sandboxtest.FakeUser(), nil, "/home/ann"},
		{"mounted in home", disk + "21 20 0:40 / /home/ann/bin rw - fuse.sshfs x rw\n", sandboxtest.FakeUser(), nil, "/home/ann/.aws /home/ann/.config /home/ann/.ssh /home/ann/src /tmp"},
		{"mounted deep in home", disk + "21 20 0:40 / /home/ann/src/demo/.git rw - tmpfs x rw\n", sandboxtest.FakeUser(), nil, "/home/ann/.aws /home/ann/.config /home/ann/.ssh /home/ann/bin /tmp"},
		{"a root in memory", "20 1 0:2 / / rw - rootfs rootfs rw\n", sandboxtest.FakeUser(), nil, "/home/ann /tmp"},
		{"a working directory far down", disk, sandboxtest.FakeUser(), func(h *host.Host) {
			h.Cwd = "/srv/a/b/c/d/mine/e"
			h.Files.(sandboxtest.FakeFiles).Dir("/srv/a/b/c/d")
			h.Files.(sandboxtest.FakeFiles).Dir("/srv/a/b/c/d/mine/e")
			h.Files.(sandboxtest.FakeFiles).Own("/srv/a/b/c/d/mine", "/srv/a/b/c/d/mine/e")
		}, "/home/ann /srv/a/b/c/d/mine /tmp"},
		{"a working directory below somebody else's in tmp", disk, sandboxtest.FakeUser(), func(h *host.Host) {
			h.Cwd = "/tmp/theirs/mine/e"
			h.Files.(sandboxtest.FakeFiles).Dir("/tmp/theirs/mine/e")
			h.Files.(sandboxtest.FakeFiles).Own("/tmp/theirs/mine", "/tmp/theirs/mine/e")
			h.Files.(sandboxtest.FakeFiles).Open("/tmp")
		}, "/home/ann /tmp /tmp/theirs/mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := tt.host.Files.(sandboxtest.FakeFiles)
			files.Put("/proc/self/mountinfo", sandboxtest.FakeFile{Text: tt.mounts})
			files.Open("/tmp")
			for name, f := range files {
				if paths.Below(name, "/home/ann") && f.IsDir() {
					files.Own(name)
				}
			}
			if tt.change != nil {
				tt.change(tt.host)
			}
			c, err := Compile(sandboxtest.OverHost("tmp"), tt.host, &Request{Args: []string{"/usr/bin/true"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range c.Tree.Parts {
				if strings.HasPrefix(p.What, "an overlay of the host's ") {
					got = append(got, p.Target)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// TestLayerName checks that two directories never have the same name, and that no name has a character that separates
// options of overlayfs.
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
