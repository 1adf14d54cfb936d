package grant

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/picture"
)

// tree makes files below a directory. A name that ends with / becomes a directory.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		path := filepath.Join(dir, n)
		if strings.HasSuffix(n, "/") {
			n = path
		} else {
			n = filepath.Dir(path)
		}
		if err := os.MkdirAll(n, 0o755); err != nil {
			t.Fatal(err)
		}
		if n != path {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestClosed checks that Derive does not split a directory because of a hidden file whose mode already closes it to the
// task.
func TestClosed(t *testing.T) {
	dir := tree(t, "ro/a", "ro/shadow")
	pic := &picture.Tree{Files: host.OSFiles{}}
	pic.Add(picture.Part{Target: "/", Made: map[string]picture.Node{}})
	pic.Add(picture.Part{Target: dir + "/ro", Source: dir + "/ro"})
	pic.Add(picture.Part{Target: dir + "/ro/shadow", Opaque: true, File: true, Guard: picture.GuardHide})
	rules, _ := Derive(pic, func(path string) bool { return path == dir+"/ro/shadow" })
	if got := below(rules, dir); !slices.Equal(got, []string{"/ro rx"}) {
		t.Errorf("rules %q", got)
	}
}

// below returns the rules for everything below a directory, as "name rights".
func below(rules []Rule, dir string) (list []string) {
	for _, r := range rules {
		name, ok := strings.CutPrefix(r.Path, dir)
		if !ok {
			continue
		}
		var rights []byte
		for i, c := range "rxw" {
			if r.Right>>i&1 == 1 {
				rights = append(rights, byte(c))
			}
		}
		list = append(list, name+" "+string(rights))
	}
	slices.Sort(list)
	return list
}

func TestDerive(t *testing.T) {
	dir := tree(t, "ro/a", "ro/secret", "ro/sub/b", "ro/sub/key", "rw/file", "rw/key")
	shown := func(p picture.Part) picture.Part { p.Source = p.Target; return p }
	hidden := func(path string) picture.Part {
		return picture.Part{Target: path, Opaque: true, Guard: picture.GuardHide, What: "hidden"}
	}
	for _, tt := range []struct {
		name  string
		parts []picture.Part
		want  []string
		lost  []string
	}{
		{"a read-only directory", []picture.Part{shown(picture.Part{Target: dir + "/ro"})}, []string{"/ro rx"}, nil},
		{"noexec", []picture.Part{shown(picture.Part{Target: dir + "/ro", Noexec: true})}, []string{"/ro r"}, nil},
		{"a hidden entry in a read-only directory", []picture.Part{shown(picture.Part{Target: dir + "/ro"}), hidden(dir + "/ro/secret")},
			[]string{"/ro/a rx", "/ro/sub rx"}, nil},
		{"one further down", []picture.Part{shown(picture.Part{Target: dir + "/ro"}), hidden(dir + "/ro/sub/key")},
			[]string{"/ro/a rx", "/ro/secret rx", "/ro/sub/b rx"}, nil},
		{"one in a writable directory is lost", []picture.Part{shown(picture.Part{Target: dir + "/rw", Write: true}), hidden(dir + "/rw/key")},
			[]string{"/rw rxw"}, []string{"/rw/key"}},
		{"and so is a read-only one", []picture.Part{shown(picture.Part{Target: dir + "/rw", Write: true}), shown(picture.Part{Target: dir + "/rw/key"})},
			[]string{"/rw rxw", "/rw/key rx"}, []string{"/rw/key"}},
		{"a writable directory in a read-only one adds a right", []picture.Part{shown(picture.Part{Target: dir + "/ro"}), shown(picture.Part{Target: dir + "/ro/sub", Write: true})},
			[]string{"/ro rx", "/ro/sub rxw"}, nil},
		{"another thing at the path gives nothing", []picture.Part{{Target: dir + "/ro", Source: dir + "/rw"}}, nil, nil},
		{"an empty file system gives nothing", []picture.Part{shown(picture.Part{Target: dir}), {Target: dir + "/ro", Write: true, Made: map[string]picture.Node{}}},
			[]string{"/rw rx"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pic := &picture.Tree{Files: host.OSFiles{}}
			pic.Add(picture.Part{Target: "/", Made: map[string]picture.Node{}})
			for _, p := range tt.parts {
				pic.Add(p)
			}
			rules, lost := Derive(pic, func(string) bool { return false })
			if got := below(rules, dir); !slices.Equal(got, tt.want) {
				t.Errorf("rules %q, want %q", got, tt.want)
			}
			var paths []string
			for _, l := range lost {
				paths = append(paths, strings.TrimPrefix(l.Path, dir))
			}
			if !slices.Equal(paths, tt.lost) {
				t.Errorf("lost %q, want %q", paths, tt.lost)
			}
		})
	}
}
