package compile

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/sandboxtest"
)

func TestClean(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/", "/"},
		{"//", "/"},
		{"/a", "/a"},
		{"/a/", "/a"},
		{"/a///", "/a"},
		{"//a//b", "/a/b"},
		{"/a/./b", "/a/b"},
		{"/a/../b", "/b"},
		{"/../../a", "/a"},
		{"/..", "/"},
		{"/a/..", "/"},
		{"/.a/..b/c.", "/.a/..b/c."},
		{"/...", "/..."},
		{"/a/.", "/a"},
	}
	for _, tt := range tests {
		if got := paths.Clean(tt.in); got != tt.want {
			t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestMoved(t *testing.T) {
	for _, tt := range []struct{ path, dir, to, want string }{
		{"/a/b", "/a", "/c", "/c/b"},
		{"/a", "/a", "/c", "/c"},
		{"/a", "/a", "/", "/"},
		{"/a/b", "/a", "/", "/b"},
		{"/a/b", "/", "/c", "/c/a/b"},
		{"/", "/", "/c", "/c"},
		{"/a/b", "/", "/", "/a/b"},
		{"/a/b", "/a", "/a", "/a/b"},
	} {
		if got := paths.Moved(tt.path, tt.dir, tt.to); got != tt.want {
			t.Errorf("moved(%q, %q, %q) = %q, want %q", tt.path, tt.dir, tt.to, got, tt.want)
		}
	}
}

// TestAsksOnce checks that the host is not asked for names that cannot exist: an empty name, and a name below a
// directory that is known to be missing.
func TestAsksOnce(t *testing.T) {
	dir := t.TempDir()
	pic := picture.Tree{Files: host.OSFiles{}}
	for _, path := range []string{"", dir + "/none", dir + "/none/below"} {
		if _, err := pic.Lstat(path); !errors.Is(err, unix.ENOENT) {
			t.Errorf("lstat %q: %v", path, err)
		}
	}
	if err := os.MkdirAll(dir+"/none/below", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := pic.Lstat(dir + "/none/below/deeper"); err == nil {
		t.Error("a picture has changed with the host")
	}
	if !pic.Absent(dir+"/none") || pic.Absent(dir) {
		t.Error("absent")
	}
}

// FuzzClean compares Clean with path.Clean, for absolute paths.
func FuzzClean(f *testing.F) {
	f.Add("a/./../b//")
	f.Fuzz(func(t *testing.T, s string) {
		if p := "/" + s; paths.Clean(p) != path.Clean(p) {
			t.Errorf("clean(%q) = %q, path.Clean says %q", p, paths.Clean(p), path.Clean(p))
		}
	})
}

func TestBelow(t *testing.T) {
	tests := []struct {
		path, dir string
		want      bool
	}{
		{"/", "/", true},
		{"/a", "/", true},
		{"/a", "/a", true},
		{"/a/b", "/a", true},
		{"/ab", "/a", false},
		{"/a", "/a/b", false},
		{"/", "/a", false},
	}
	for _, tt := range tests {
		if got := paths.Below(tt.path, tt.dir); got != tt.want {
			t.Errorf("below(%q, %q) = %v", tt.path, tt.dir, got)
		}
	}
}

// mixedTree returns a host's tree with a bind, a file system of the launcher's own, and a hidden file.
func mixedTree(files sandboxtest.FakeFiles) *picture.Tree {
	t := &picture.Tree{Files: files}
	t.Add(picture.Part{Target: "/", Source: "/"})
	t.Add(picture.Part{Target: "/tmp", Write: true, Made: map[string]picture.Node{
		"/tmp/d": {Dir: true}, "/tmp/abs": {Link: "/etc/passwd"}, "/tmp/up": {Link: "../../../usr/bin/true"}, "/tmp/self": {Link: "self"}}})
	t.Add(picture.Part{Target: "/mnt", Source: "/srv/rootfs"})
	t.Add(picture.Part{Target: "/home/ann/.ssh", Opaque: true})
	return t
}

func TestResolve(t *testing.T) {
	files := sandboxtest.FakeTree()
	files.Link("/srv/rootfs/abs", "/etc/hosts")
	files.Link("/srv/rootfs/out", "../../../../etc/hosts")
	files.Link("/loop1", "loop2")
	files.Link("/loop2", "loop1")
	files.Link("/deep", strings.Repeat("./", 50)+"etc")
	tree := mixedTree(files)
	tests := []struct{ in, want string }{
		{"/", "/"},
		{"/bin/true", "/usr/bin/true"},
		{"/bin/../etc", "/usr/etc"}, // .. behind a link is the link's parent's, as path_resolution(7) has it
		{"/var/run/user", "/run/user"},
		{"/usr/bin/python3", "/usr/bin/python3.13"},
		{"/var/spool/mail", "/var/mail"},
		{"/../..", "/"},
		{"/tmp/abs", "/etc/passwd"},
		{"/tmp/up", "/usr/bin/true"},
		{"/mnt/abs", "/etc/hosts"}, // the sandbox's root is the only one
		{"/mnt/out", "/etc/hosts"},
		{"/deep/passwd", "/etc/passwd"},
		{"/none/x/../y", "/none/y"},
	}
	for _, tt := range tests {
		got, err := tree.Resolve(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
	for _, p := range []string{"/loop1", "/loop2/x", "/tmp/self"} {
		if got, err := tree.Resolve(p); err == nil || err.Error() != "resolve "+p+": too many symbolic links" {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
}

// FuzzResolve checks that Resolve never leaves the root, always ends, and returns a clean path that resolves to itself.
func FuzzResolve(f *testing.F) {
	f.Add("/a/b", "../..", "/x/../y")
	f.Add("/l", "/l/l", "l/l/l")
	f.Fuzz(func(t *testing.T, ask, first, second string) {
		files := sandboxtest.FakeTree()
		files.Link("/a/b", first)
		files.Link("/l", second)
		tree := &picture.Tree{Files: files}
		tree.Add(picture.Part{Target: "/", Source: "/"})
		got, err := tree.Resolve("/" + ask)
		if err != nil {
			return
		}
		if got != path.Clean(got) || got[0] != '/' {
			t.Errorf("%q resolves to %q, which is not clean", ask, got)
		}
		if again, err := tree.Resolve(got); err != nil || again != got {
			t.Errorf("%q resolves to %q, and that to %q, %v", ask, got, again, err)
		}
	})
}

func TestTreeStat(t *testing.T) {
	tree := mixedTree(sandboxtest.FakeTree())
	tests := []struct {
		path        string
		dir, exists bool
	}{
		{"/", true, true},
		{"/etc/passwd", false, true},
		{"/none", false, false},
		{"/tmp", true, true},
		{"/tmp/d", true, true},
		{"/tmp/none", false, false},
		{"/mnt", true, true},
		{"/mnt/bin/true", false, true},
		{"/mnt/home", false, false}, // the host has it, the bind has not
		{"/home/ann/.ssh", true, true},
		{"/home/ann/.ssh/id", false, false},
	}
	for _, tt := range tests {
		if dir, exists := tree.Stat(tt.path); dir != tt.dir || exists != tt.exists {
			t.Errorf("%s: dir %v exists %v", tt.path, dir, exists)
		}
	}
	for path, want := range map[string]string{"/etc": "/etc", "/mnt": "/srv/rootfs", "/mnt/bin": "/srv/rootfs/bin", "/tmp/d": "", "/home/ann/.ssh": "", "/home/ann/.ssh/id": ""} {
		if got := tree.HostPath(path); got != want {
			t.Errorf("behind %s is %q, want %q", path, got, want)
		}
	}
}

func TestSplitJoin(t *testing.T) {
	for _, tt := range []struct{ path, dir, name string }{{"/a", "/", "a"}, {"/a/b", "/a", "b"}, {"/a/b/c", "/a/b", "c"}} {
		if dir, name := paths.Split(tt.path); dir != tt.dir || name != tt.name {
			t.Errorf("splitPath(%q) = %q, %q", tt.path, dir, name)
		}
		if got := paths.Join(tt.dir, tt.name); got != tt.path {
			t.Errorf("joinPath(%q, %q) = %q", tt.dir, tt.name, got)
		}
	}
}
