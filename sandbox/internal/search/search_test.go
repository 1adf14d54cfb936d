package search

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/picture"
)

// byName is the host's tree without its walk, so that the search must list every directory by its path.
type byName struct{ host.Files }

// tree returns a model in which the sandbox shows dir at /work.
func tree(files host.Files, dir string) *picture.Tree {
	t := &picture.Tree{Files: files}
	t.Add(picture.Part{Target: "/", What: "an empty root"})
	t.Add(picture.Part{Target: "/work", Source: dir, Write: true})
	return t
}

// plant makes a tree of directories, files, links, repositories and a socket at random places.
func plant(t *testing.T) string {
	t.Helper()
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "config", "x.key", ".env", "key.x", "prod", ".git", "HEAD", "objects", "refs", "a-b", "a.b"}
	dirs := []string{dir}
	for range 3000 {
		at := dirs[r.IntN(len(dirs))] + "/" + names[r.IntN(len(names))]
		switch r.IntN(6) {
		case 0:
			_ = os.WriteFile(at, nil, 0o644)
		case 1:
			_ = os.Symlink(names[r.IntN(len(names))], at)
		default:
			if os.Mkdir(at, 0o755) == nil {
				dirs = append(dirs, at)
			}
		}
	}
	l, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return dir
}

func run(t *testing.T, files host.Files, dir string, begun []Begun, git bool) *Search {
	t.Helper()
	s := &Search{Two: true, Tree: tree(files, dir), Rules: [][]string{{".env"}, {"config", "*.key"}, {"prod", "a", "[ab]"}, {"k?y.*"}}}
	s.Below("/work", begun, git)
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWalk compares two ways to search: by descriptors, on two threads, and by the path of every directory. Both must
// find the same, in the same order.
func TestWalk(t *testing.T) {
	dir := plant(t)
	for _, begun := range [][]Begun{nil, {{Rule: 2, Names: []string{"a", "[ab]"}}}} {
		for _, git := range []bool{true, false} {
			fast, slow := run(t, host.OSFiles{}, dir, begun, git), run(t, byName{host.OSFiles{}}, dir, begun, git)
			slices.Sort(slow.Gits) // in Gits a bare repository comes after its content
			slices.Sort(fast.Gits)
			for _, x := range []struct {
				what       string
				fast, slow any
				n          int
			}{{"matches", fast.Found, slow.Found, len(slow.Found)}, {"repositories", fast.Gits, slow.Gits, len(slow.Gits)},
				{"configurations", fast.Configs, slow.Configs, len(slow.Configs)}, {"sockets", fast.Sockets, slow.Sockets, len(slow.Sockets)},
				{"closed", fast.Closed, slow.Closed, 1}, {"names", fast.Names, slow.Names, slow.Names}} {
				if !reflect.DeepEqual(x.fast, x.slow) {
					t.Errorf("git %v, %s:\n%v, not\n%v", git, x.what, x.fast, x.slow)
				}
				if ofGit := x.what == "repositories" || x.what == "configurations"; x.n == 0 && (git || !ofGit) {
					t.Errorf("no %s", x.what)
				}
			}
		}
	}
}

// TestLaunchersOwn checks that the host's walk does not take over directories in which the launcher has mounted
// something.
func TestLaunchersOwn(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"/a/b/.env", "/a/c/.env", "/d/.env"} {
		if err := os.MkdirAll(dir+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &Search{Two: true, Tree: tree(host.OSFiles{}, dir), Rules: [][]string{{".env"}}}
	s.Tree.Add(picture.Part{Target: "/work/a/b", Opaque: true})
	s.Below("/work", nil, false)
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range s.Found {
		got = append(got, m.Path)
	}
	if want := []string{"/work/a/c/.env", "/work/d/.env"}; !slices.Equal(got, want) {
		t.Error(got, want)
	}
}

// TestClosed checks that a directory is hidden as a whole if it cannot be listed, or is too deep.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	deep := dir
	for len(deep) < MaxPath {
		deep += "/" + strings.Repeat("d", 200)
	}
	if err := errors.Join(os.MkdirAll(deep+"/x/y", 0o755), os.Mkdir(dir+"/shut", 0o100)); err != nil {
		t.Fatal(err)
	}
	for _, files := range []host.Files{host.OSFiles{}, byName{host.OSFiles{}}} {
		s := run(t, files, dir, nil, true)
		if !slices.ContainsFunc(s.Closed, func(p string) bool { return strings.Contains(p, "ddd") }) {
			t.Error("what lies too deep is not closed:", s.Closed)
		}
		if os.Getuid() != 0 && !slices.Contains(s.Closed, "/work/shut") {
			t.Error("what cannot be listed is not closed:", s.Closed)
		}
		if len(s.Found) != len(s.Closed) {
			t.Error(s.Found, s.Closed)
		}
	}
}

// TestStops checks that an error of Step ends the search, in the host's walk and in the model.
func TestStops(t *testing.T) {
	dir, stop := t.TempDir(), errors.New("stop")
	for i := range 500 {
		if err := os.MkdirAll(fmt.Sprintf("%s/%d/x", dir, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, files := range []host.Files{host.OSFiles{}, byName{host.OSFiles{}}} {
		s := &Search{Two: true, Tree: tree(files, dir), Rules: [][]string{{"x"}}, Step: func(names int) error {
			if names > 100 {
				return stop
			}
			return nil
		}}
		s.Below("/work", nil, false)
		if err := s.Run(); err != stop {
			t.Error(err)
		}
	}
}

// TestInodes checks that the search finds the other names of a file.
func TestInodes(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(dir+"/one", nil, 0o600), os.WriteFile(dir+"/else", nil, 0o600), os.MkdirAll(dir+"/a/b", 0o755))
	if err = errors.Join(err, os.Link(dir+"/one", dir+"/a/b/two")); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir+"/one", &st); err != nil {
		t.Fatal(err)
	}
	for _, files := range []host.Files{host.OSFiles{}, byName{host.OSFiles{}}} {
		s := &Search{Two: true, Tree: tree(files, dir), Inodes: map[uint64]bool{st.Ino: true}}
		s.Below("/work", nil, false)
		if err := s.Run(); err != nil || !slices.Contains(s.Files, "/work/one") || !slices.Contains(s.Files, "/work/a/b/two") {
			t.Error(s.Files, err)
		}
	}
}

// TestRepositories checks that both ways of searching find the repositories.
func TestRepositories(t *testing.T) {
	dir := plant(t)
	fast, whole := Repositories(host.OSFiles{}, []string{dir}, true, nil)
	slow, wholeSlow := Repositories(byName{host.OSFiles{}}, []string{dir}, true, nil)
	slices.Sort(fast)
	slices.Sort(slow)
	if !whole || !wholeSlow || len(slow) == 0 || !slices.Equal(fast, slow) {
		t.Errorf("%v %v\n%v, not\n%v", whole, wholeSlow, fast, slow)
	}
	if _, whole := Repositories(host.OSFiles{}, []string{dir + "/none"}, true, nil); !whole {
		t.Error("a directory that is gone counts as one that cannot be read")
	}
}

// TestSwapped searches while somebody exchanges the directory of a secret with a link, or with another directory. The
// search must find the secret whenever a listing by path could find it: under one of its two names, or through the
// link.
func TestSwapped(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.MkdirAll(dir+"/a/sub/config", 0o755), os.WriteFile(dir+"/a/sub/config/x.key", nil, 0o600), os.MkdirAll(dir+"/b", 0o755))
	for i := range 300 {
		err = errors.Join(err, os.MkdirAll(fmt.Sprintf("%s/w/%d", dir, i), 0o755))
	}
	if err = errors.Join(err, os.Symlink("../a/sub/config", dir+"/b/config")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stop, done := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-done }()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(fd, "a/sub/config", fd, "b/config", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for end := time.Now().Add(time.Second / 2); time.Now().Before(end); {
		s := run(t, host.OSFiles{}, dir, nil, false)
		if len(s.Found) == 0 {
			t.Fatal("not found under either name")
		}
	}
}
