package compile

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/sandboxtest"
)

// A file on standard output can be opened by its name. For an ordinary user a Landlock rule allows that; root's task
// needs a bind. Any other kind of file needs neither.
func TestOutputFile(t *testing.T) {
	file := host.Stdio{Given: true, Number: 1, Written: true, Path: "/srv/log"}
	for _, x := range []struct {
		name         string
		stdout       host.Stdio
		change       func(*policy.Profile)
		rules, binds int
	}{
		{"a file", file, nil, 1, 1},
		{"a pipe", host.Stdio{Given: true, Number: 1, Pipe: true}, nil, 0, 0},
		{"a terminal", host.Stdio{Given: true, Number: 1, Terminal: true}, nil, 0, 0},
		{"a file that is counted", file, func(p *policy.Profile) { p.Limits.Output = policy.Opt[int64]{Set: true, V: 1 << 20} }, 0, 0},
		{"a file that was removed", host.Stdio{Given: true, Number: 1, Written: true}, nil, 1, 0},
	} {
		for _, h := range []*host.Host{sandboxtest.FakeUser(), sandboxtest.FakeRoot()} {
			p := sandboxtest.With(func(p *policy.Profile) {
				p.Root = policy.Root{Kind: policy.RootHost}
				p.Mounts = []policy.Mount{{Kind: policy.MountDev, Target: "/dev"}}
				if x.change != nil {
					x.change(p)
				}
			})
			r := &Request{Args: []string{"/usr/bin/true"}, TaskID: 1234567, Stdio: [3]host.Stdio{{}, x.stdout, {}}}
			c, err := Compile(p, h, r, nil)
			if err != nil {
				t.Errorf("%s: %v", x.name, err)
				continue
			}
			rules := 0
			for i := range c.Plan.Steps {
				if s := &c.Plan.Steps[i]; s.From.Section == "stdio" && strings.HasPrefix(s.Call.String(), "landlock") {
					rules++
				}
			}
			if rules != x.rules {
				t.Errorf("%s, user %d: %d rules of Landlock, not %d", x.name, h.UID, rules, x.rules)
			}
			part := c.Tree.At("/dev/stdout")
			binds := len(slices.DeleteFunc(slices.Clone(c.Sources), func(s Source) bool { return s.Output == 0 }))
			want := x.binds
			if h.UID != 0 {
				want = 0
			}
			if binds != want || (part.Target == "/dev/stdout") != (want == 1) {
				t.Errorf("%s, user %d: %d binds, not %d: %+v", x.name, h.UID, binds, want, part)
			}
		}
	}
}

// A file on standard output is one of the files that the task writes. If others can reach it, it must get no set-id
// bits.
func TestOutputFileBits(t *testing.T) {
	for path, keeps := range map[string]bool{"/home/ann/closed/log": true, "/srv/log": false} {
		h := sandboxtest.FakeUser()
		files := h.Files.(sandboxtest.FakeFiles)
		files.Dir("/home/ann/closed/root/usr/bin")
		closed := files["/home/ann/closed"]
		closed.Perm = closed.Perm&^0o777 | 0o700
		closed.Owner = 1000
		files["/home/ann/closed"] = closed
		files.Program("/home/ann/closed/root/usr/bin/true", "")
		p := sandboxtest.With(func(p *policy.Profile) {
			p.Root = policy.Root{Kind: policy.RootDir, Dir: "/home/ann/closed/root", Write: true}
			p.Capabilities.Keep = []policy.Capability{{Name: "FSETID"}}
		})
		c, err := Compile(p, h, &Request{Args: []string{"/usr/bin/true"}, Stdio: [3]host.Stdio{{}, {Given: true, Number: 1, Written: true, Path: path}, {}}}, nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if got := c.Keep&(1<<unix.CAP_FSETID) != 0; got != keeps {
			t.Errorf("%s: keeps FSETID: %v", path, got)
		}
	}
}
