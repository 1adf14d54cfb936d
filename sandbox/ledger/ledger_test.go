package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRunsAreReadBack(t *testing.T) {
	const text = header +
		"run 7 100 5 1 2 \"/a b\"\n" +
		"run 7 100 5 1 3 \"/c\\n\"\n" +
		"run 9 150 5 1 2 \"/a b\"\nhid 9 \"/s\"\nhid 7 \"/t\"\n" +
		"from 7 110\nend 7 200\n" +
		"was 10 20 0 0 \"/\"\n" +
		"run 11 300 5 1 2 \"/lost" // a launcher that was killed while it wrote
	r, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := header + "was 110 200 1 2 \"/a b\"\nrun 9 150 5 1 2 \"/a b\"\nhid 9 \"/s\"\nwas 110 200 1 3 \"/c\\n\"\nwas 10 20 0 0 \"/\"\n"
	if got := string(r.text()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, bad := range []string{"cordon-runs 2\n", header + "run 1\n", header + "run 1 2 3 4 5 /a\n", header + "what 1 2\n", header + "end x 1\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// The merged records cover every time and every directory that the records covered before.
func TestMergeForgetsNothing(t *testing.T) {
	r := &runs{at: map[key]*dir{}}
	type at struct {
		path string
		when int64
	}
	var all []at
	for i := range int64(3 * maxDirs) {
		path := fmt.Sprintf("/d%d/e%d", i%7, i)
		r.add(key{path, 1, uint64(i + 10)}, span{start: i * 100, end: i*100 + 10})
		all = append(all, at{path, i*100 + 5})
	}
	for i := range int64(200) {
		r.add(key{"/busy", 1, 2}, span{start: i * i, end: i*i + 1})
		all = append(all, at{"/busy", i * i})
	}
	r.add(key{"/busy", 1, 2}, span{start: 99, end: open, id: 5})
	r.merge()
	if len(r.dirs) > maxDirs {
		t.Errorf("%d directories", len(r.dirs))
	}
	for _, d := range r.dirs {
		if len(d.spans) > maxSpans+1 {
			t.Errorf("%s: %d spans", d.path, len(d.spans))
		}
	}
	for _, a := range all {
		file := Step{Path: a.path + "/p", Mode: unix.S_IFREG, Changed: a.when, Modified: a.when, Born: a.when, Stamped: true}
		if r.judge([]Step{{Path: a.path, Mode: unix.S_IFDIR}, file}) == nil && !r.above(a.path, file) {
			t.Fatalf("%s at %d is forgotten", a.path, a.when)
		}
	}
}

// above judges a file together with every directory above it.
func (r *runs) above(dir string, file Step) bool {
	var steps []Step
	for ; dir != "/"; dir = filepath.Dir(dir) {
		steps = append(steps, Step{Path: dir, Mode: unix.S_IFDIR})
	}
	return r.judge(append(steps, Step{Path: "/", Mode: unix.S_IFDIR}, file)) != nil
}

func TestJudge(t *testing.T) {
	const d, f, l = unix.S_IFDIR, unix.S_IFREG, unix.S_IFLNK
	r, err := parse(header + "was 100 200 1 5 \"/home/u/proj\"\nwas 100 200 2 7 \"/tmp/gone\"\nrun 3 500 1 1 5 \"/home/u/proj\"\n")
	if err != nil {
		t.Fatal(err)
	}
	way := func(steps ...Step) []Step {
		return append([]Step{{Path: "/", Mode: d, Changed: 150}, {Path: "/home", Mode: d, Changed: 150}, {Path: "/home/u", Mode: d, Changed: 150}}, steps...)
	}
	proj := Step{Path: "/home/u/proj", Mode: d, Dev: 1, Ino: 5, Changed: 150}
	moved := Step{Path: "/home/u/moved", Mode: d, Dev: 1, Ino: 5, Changed: 300}
	// The first file is made in the time of the merged runs, the second before the run that goes on, the third after
	// that run has begun.
	made := func(at int64) Step {
		return Step{Path: "/home/u/new", Mode: d, Dev: 1, Ino: 5, Changed: at, Born: at}
	}
	file := func(path string, changed, modified, born int64) Step {
		return Step{Path: path, Mode: f, Changed: changed, Modified: modified, Born: born, Stamped: true}
	}
	for _, c := range []struct {
		name  string
		steps []Step
		want  string // the path that is in question, "" for none
	}{
		{"written before", way(proj, file("/home/u/proj/p", 99, 99, 50)), ""},
		{"written at the start", way(proj, file("/home/u/proj/p", 100, 100, 50)), "/home/u/proj/p"},
		{"written in the run", way(proj, file("/home/u/proj/p", 150, 3, 50)), "/home/u/proj/p"},
		{"written at the end", way(proj, file("/home/u/proj/p", 200, 200, 50)), "/home/u/proj/p"},
		{"written after", way(proj, file("/home/u/proj/p", 201, 201, 50)), ""},
		{"made after, with an old time", way(proj, file("/home/u/proj/p", 300, 20, 299)), ""},
		{"its mode changed after", way(proj, file("/home/u/proj/p", 300, 150, 50)), "/home/u/proj/p"},
		{"its birth is not known", way(proj, file("/home/u/proj/p", 300, 299, 0)), "/home/u/proj/p"},
		{"while one goes on", way(proj, file("/home/u/proj/p", 600, 600, 600)), "/home/u/proj/p"},
		{"elsewhere", way(Step{Path: "/home/u/other", Mode: d}, file("/home/u/other/p", 150, 150, 150)), ""},
		{"a name that begins the same", way(Step{Path: "/home/u/project", Mode: d}, file("/home/u/project/p", 150, 150, 150)), ""},
		{"the directory was moved", way(moved, file("/home/u/moved/p", 150, 150, 150)), "/home/u/moved/p"},
		{"made while merged runs went on, and moved", way(made(150), file("/home/u/new/p", 160, 160, 160)), "/home/u/new/p"},
		{"made before the run, and moved", way(made(400), file("/home/u/new/p", 600, 600, 600)), "/home/u/new/p"},
		{"made in the run, with the number of one that is gone", way(made(500+slack+1), file("/home/u/new/p", 2*slack, 2*slack, 2*slack)), ""},
		{"one that got its number later", way(Step{Path: "/home/u/new", Mode: d, Dev: 2, Ino: 7, Born: 201, Changed: 300}, file("/home/u/new/p", 150, 150, 150)), ""},
		{"one that had its number then", way(Step{Path: "/home/u/new", Mode: d, Dev: 2, Ino: 7, Born: 200, Changed: 300}, file("/home/u/new/p", 150, 150, 150)), "/home/u/new/p"},
		{"another is in its place", way(Step{Path: "/home/u/proj", Mode: d, Dev: 1, Ino: 9, Changed: 300}, file("/home/u/proj/p", 300, 300, 300)), ""},
		{"a directory below it moved", way(proj, Step{Path: "/home/u/proj/c", Mode: d, Changed: 150}, file("/home/u/proj/c/p", 20, 20, 20)), "/home/u/proj/c"},
		{"a link below it made", way(proj, Step{Path: "/home/u/proj/c", Mode: l, Changed: 150, Modified: 150}, Step{Path: "/etc", Mode: d, Changed: 150}, file("/etc/p", 20, 20, 20)), "/home/u/proj/c"},
		{"only what is sure: a link made in a run", way(proj, Step{Path: "/home/u/proj/c", Mode: l, Changed: 500 + tick(), Sure: true}), "/home/u/proj/c"},
		{"only what is sure: perhaps made before it", way(proj, Step{Path: "/home/u/proj/c", Mode: l, Changed: 499 + tick(), Sure: true}), ""},
		{"only what is sure: merged runs", way(proj, Step{Path: "/home/u/proj/c", Mode: l, Changed: 150, Sure: true}), ""},
		{"only what is sure: a directory written to", way(proj, Step{Path: "/home/u/proj/c", Mode: d, Changed: 500 + tick(), Sure: true}), ""},
		{"the times prove nothing", way(proj, Step{Path: "/home/u/proj/p", Mode: f, Changed: 20, Modified: 20, Born: 20}), "/home/u/proj/p"},
	} {
		got := ""
		if found := r.judge(c.steps); found != nil {
			got = found.Step.Path
		}
		if got != c.want {
			t.Errorf("%s: in question is %q, want %q", c.name, got, c.want)
		}
	}
}

// guardOf reads a file as the guard of the next run would.
func guardOf(places []Place, file string) error {
	g := &Guard{Places: func() []Place { return places }}
	defer g.Close()
	_, err := g.Read(file, 1<<20)
	return err
}

func TestGuard(t *testing.T) {
	places := []Place{{Base: t.TempDir(), Below: "state/cordon"}}
	dir := t.TempDir()
	file := dir + "/p.yaml"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(task func()) {
		t.Helper()
		text, _ := os.ReadFile(file)
		r, err := Begin(places, []string{dir}, []Text{{Path: file, Data: text}})
		if err != nil {
			t.Fatal(err)
		}
		r.Go()
		task()
		r.Stop()
		r.End()
	}
	want := func(refused bool) {
		t.Helper()
		var e *Refused
		if err := guardOf(places, file); errors.As(err, &e) != refused || err != nil && !refused {
			t.Fatalf("refused: %v, want %v", err, refused)
		}
	}
	write("one")
	want(false)
	time.Sleep(12 * time.Millisecond) // a tick, as a launcher takes to begin
	run(func() {})
	want(false)
	run(func() { write("two") })
	want(true)
	if err := Trust(places, Text{Path: file, Data: []byte("two")}); err != nil {
		t.Fatal(err)
	}
	want(false)
	run(func() { write("two") })
	want(false)
	run(func() { write("three") })
	want(true)
	for range 2 { // the file is gone when somebody looks; then a task writes the trusted text again
		run(func() { write("two") })
		if err := Trust(places, Text{Path: file, Data: []byte("two")}); err != nil {
			t.Fatal(err)
		}
		want(false)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := guardOf(places, file); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		r, err := Begin(places, []string{dir}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Go()
		write("two")
		r.Stop()
		r.End()
		want(true)
	}
	for range 2 { // the author writes another text and uses it; then a task writes the trusted one again
		write("one")
		want(false)
		run(func() { write("two") })
		want(true)
	}
	write("four") // by its author
	want(false)
	// A launcher that is killed records no end; the next process that reads the records gives the run an end.
	r, err := Begin(places, []string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	write("five")
	want(true)
	r.close()
	want(true)
	text, _ := os.ReadFile(places[0].Path() + "/runs")
	if !strings.Contains(string(text), fmt.Sprintf("end %d ", r.id)) {
		t.Errorf("the end was not noted: %s", text)
	}
}

func TestManyRunsKeepTheFileSmall(t *testing.T) {
	places := []Place{{Base: t.TempDir(), Below: "state"}}
	dir := t.TempDir()
	if err := os.MkdirAll(places[0].Path(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(places[0].Path()+"/runs", []byte(header+strings.Repeat("was 5 6 1 2 \"/some/where\"\n", 40_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Begin(places, []string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.End()
	i, err := os.Stat(places[0].Path() + "/runs")
	if err != nil || i.Size() > 1000 {
		t.Errorf("%v %v", i.Size(), err)
	}
}

// Merging must leave room, because otherwise each launch with full records would write all of them anew.
func TestMergeLeavesRoom(t *testing.T) {
	r := &runs{at: map[key]*dir{}}
	for i := range int64(maxDirs) {
		r.add(key{fmt.Sprintf("/%s/d%d/e", strings.Repeat("long", 60), i), 1, uint64(i + 10)}, span{start: i * 100, end: i*100 + 10})
	}
	r.merge()
	if n := len(r.text()); n > maxRuns/2 {
		t.Errorf("%d bytes", n)
	}
}

func TestReadOpensRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("fifo", dir+"/link"), os.Symlink("loop", dir+"/loop"), os.WriteFile(dir+"/file", []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"fifo": ErrNotRegular, "link": ErrNotRegular, ".": unix.EISDIR, "loop": unix.ELOOP, "none": unix.ENOENT,
		"file/x": unix.ENOTDIR, "../" + filepath.Base(dir) + "/./file": nil} {
		if _, _, err := Read(dir+"/"+name, 100); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if _, _, err := Read("/dev/null", 100); !errors.Is(err, ErrNotRegular) {
		t.Errorf("/dev/null: %v", err)
	}
}

func TestPlacesArePrivate(t *testing.T) {
	base := t.TempDir()
	if err := errors.Join(os.MkdirAll(base+"/open/cordon", 0o755), os.Chmod(base+"/open/cordon", 0o755), os.Symlink("open", base+"/link")); err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{"open/cordon", "link/cordon"} {
		if fd, err := (Place{Base: base, Below: below}).open(true); err == nil {
			unix.Close(fd)
			t.Errorf("%s was taken", below)
		}
	}
	if _, err := Begin([]Place{{Base: base, Below: "open/cordon"}}, []string{base}, nil); err == nil {
		t.Error("a run began without a record")
	}
}

// TestPlacesOfNobody keeps the records of a user that the password database does not know where another XDG_STATE_HOME
// does not lose them.
func TestPlacesOfNobody(t *testing.T) {
	home, one, two := t.TempDir(), t.TempDir(), t.TempDir()
	env := func(state string) func(string) string {
		return func(name string) string { return map[string]string{"HOME": home, "XDG_STATE_HOME": state}[name] }
	}
	before, after := PlacesOf(4801, "", env(one)), PlacesOf(4801, "", env(two))
	if before[0] != after[0] || before[0].Base != home {
		t.Errorf("%v, then %v", before, after)
	}
}

func TestRootUsesItsOwnOnly(t *testing.T) {
	const d, f, l = unix.S_IFDIR, unix.S_IFREG, unix.S_IFLNK
	for _, c := range []struct {
		name string
		step Step
		safe bool
	}{
		{"a directory", Step{Mode: d | 0o755}, true},
		{"one for all, with the sticky bit", Step{Mode: d | 0o1777}, true},
		{"one for all", Step{Mode: d | 0o777}, false},
		{"one for a group", Step{Mode: d | 0o775}, false},
		{"another user's", Step{Mode: d | 0o755, UID: 1000}, false},
		{"a link", Step{Mode: l | 0o777}, true},
		{"another user's link", Step{Mode: l | 0o777, UID: 1000}, false},
		{"a file", Step{Mode: f | 0o644}, true},
		{"a file for all", Step{Mode: f | 0o646}, false},
		{"a file for all, with a bit that means nothing", Step{Mode: f | 0o1666}, false},
		{"another user's file", Step{Mode: f | 0o600, UID: 1000}, false},
	} {
		if got := notRoots([]Step{{Mode: d | 0o755}, c.step}) == nil; got != c.safe {
			t.Errorf("%s: safe: %v, want %v", c.name, got, c.safe)
		}
	}
}

// A mount shows a directory that a run could write, or a directory below it, at a path that does not go through the
// directory's own path.
func TestElsewhere(t *testing.T) {
	r, err := parse(header + "was 100 200 1 5 \"/home/u/proj\"\n")
	if err != nil {
		t.Fatal(err)
	}
	table := []mount{{"8:1", "/", "/"}, {"8:2", "/", "/home"}, {"8:2", "/u/proj/sub", "/mnt/a b"}, {"8:3", "/u/proj", "/mnt/other"}}
	for path, want := range map[string]bool{"/mnt/a b/p": true, "/mnt/a b": true, "/mnt/p": false, "/mnt/other/p": false, "/home/u/p": false, "/home/u/proj/p": true} {
		steps := []Step{{Path: "/", Mode: unix.S_IFDIR}, {Path: path, Mode: unix.S_IFREG, Changed: 150, Modified: 150, Born: 150, Stamped: true}}
		if got := r.elsewhere(table, steps) != nil; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
