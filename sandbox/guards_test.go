package sandbox

import (
	"bufio"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/sandbox/internal/paths"
)

// guardedShell is a running shell. It answers each line with what it can do in a directory that the host changes
// meanwhile.
type guardedShell struct {
	t   *testing.T
	dir string
	cmd *Cmd
	in  *os.File
	out *bufio.Reader
}

// startGuarded starts a shell that may write dir, with secret hidden in it and .git read-only.
func startGuarded(t *testing.T, script string) *guardedShell {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, "secret", "first", ".git/config", "ours")
	c := shell(t, "cd "+dir+"; while read line; do "+script+"; done")
	p := *c.Profile
	p.Mounts = append(p.Mounts[:len(p.Mounts):len(p.Mounts)],
		policy.Mount{Kind: policy.MountBind, Source: dir, Write: true},
		policy.Mount{Kind: policy.MountBind, Source: dir + "/.git"})
	p.Hide = append(p.Hide[:len(p.Hide):len(p.Hide)], policy.Hide{Pattern: dir + "/secret"}, policy.Hide{Pattern: dir + "/later"})
	c.Profile = &p
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = inR, outW, outW
	err = c.Start()
	inR.Close()
	outW.Close()
	if err != nil {
		t.Fatal(err)
	}
	g := &guardedShell{t, dir, c, inW, bufio.NewReader(outR)}
	t.Cleanup(func() { outR.Close() })
	return g
}

// writeFiles makes files from pairs of a path below dir and a text.
func writeFiles(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := dir + "/" + pairs[i]
		parent, _ := paths.Split(path)
		if err := errors.Join(os.MkdirAll(parent, 0o755), os.WriteFile(path, []byte(pairs[i+1]+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// ask returns the shell's answer to one line.
func (g *guardedShell) ask() string {
	g.t.Helper()
	if _, err := g.in.WriteString("go\n"); err != nil {
		g.t.Fatal(err)
	}
	line, err := g.out.ReadString('\n')
	if err != nil {
		g.t.Fatal(err)
	}
	return line
}

// expect asks until the answer has the text.
func (g *guardedShell) expect(text string) {
	g.t.Helper()
	var got string
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
		if got = g.ask(); strings.Contains(got, text) {
			return
		}
	}
	g.t.Errorf("the answer stays %q, want %q", got, text)
}

// change makes a change on the host, by the names of files below the directory.
func (g *guardedShell) change(steps ...func(dir string) error) {
	g.t.Helper()
	for _, step := range steps {
		if err := step(g.dir); err != nil {
			g.t.Fatal(err)
		}
	}
}

func write(name, text string) func(string) error {
	return func(dir string) error {
		parent, _ := paths.Split(dir + "/" + name)
		return errors.Join(os.MkdirAll(parent, 0o755), os.WriteFile(dir+"/"+name, []byte(text+"\n"), 0o644))
	}
}

func rename(from, to string) func(string) error {
	return func(dir string) error { return os.Rename(dir+"/"+from, dir+"/"+to) }
}

func remove(name string) func(string) error {
	return func(dir string) error { return os.RemoveAll(dir + "/" + name) }
}

// TestGuardsHold checks that hidden and read-only files stay so when the host replaces them, in every way in which
// programs save files.
func TestGuardsHold(t *testing.T) {
	g := startGuarded(t, "cat secret 2>&1; (echo evil >.git/config) 2>/dev/null && echo written")
	g.expect("Permission denied")
	changes := [][]func(string) error{
		{write("new", "second"), rename("new", "secret")},
		{rename("secret", "backup"), write("secret", "third")},
		{remove("secret"), write("secret", "fourth")},
		{write("new", "fifth"), rename("new", "secret")},
	}
	for i, steps := range changes {
		g.change(steps...)
		g.expect("Permission denied")
		if t.Failed() {
			t.Fatalf("change %d", i)
		}
	}
	g.in.Close()
	report, err := wait(g.cmd)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Restored) != 1 || report.Restored[0].Count == 0 || report.Restored[0].What != "hidden" {
		t.Errorf("the report says %+v", report.Restored)
	}
}

// TestGuardsProtect checks a read-only directory inside a writable one: it must stay read-only when the host puts
// another directory in its place.
func TestGuardsProtect(t *testing.T) {
	// The shell tries to write only once the mount is back, since it may be faster than the launcher.
	g := startGuarded(t, "if [ -e .git ] && ! grep -q \" $PWD/.git ro\" /proc/self/mountinfo; then echo wait; "+
		"elif (echo evil >.git/config) 2>/dev/null; then echo written; else echo refused $(cat .git/config 2>/dev/null); fi")
	g.expect("refused ours")
	g.change(rename(".git", "old"), write(".git/config", "second"))
	g.expect("refused second")
	g.change(remove(".git"))
	g.expect("refused\n")
	g.change(write(".git/config", "third"))
	g.expect("refused third")
	g.in.Close()
	if _, err := wait(g.cmd); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(g.dir + "/.git/config"); err != nil || string(text) != "third\n" {
		t.Errorf(".git/config is %q, %v", text, err)
	}
}

// TestGuardsAwait checks that a file that gets a hidden name during the run is hidden.
func TestGuardsAwait(t *testing.T) {
	g := startGuarded(t, "cat later 2>&1")
	g.expect("No such file")
	g.change(write("later", "first"))
	g.expect("Permission denied")
	g.change(remove("later"), write("new", "second"), rename("new", "later"))
	g.expect("Permission denied")
	g.in.Close()
	if _, err := wait(g.cmd); err != nil {
		t.Fatal(err)
	}
}

// TestGuardsEnd checks that, if the hiding mount cannot be mounted again, the run ends and the error names the path.
func TestGuardsEnd(t *testing.T) {
	g := startGuarded(t, "cat secret 2>&1")
	g.expect("Permission denied")
	g.change(remove("secret"), write("other", "second"), func(dir string) error { return os.Symlink("other", dir+"/secret") })
	_, err := wait(g.cmd)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Op, g.dir+"/secret") {
		t.Errorf("the end is %v", err)
	}
}
