package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/policy"
	"cordon/sandbox/internal/sandboxtest"
)

// badReader and badWriter fail with their own errors.
type badReader struct{}

var errBad = errors.New("bad")

func (badReader) Read([]byte) (int, error)  { return 0, errBad }
func (badReader) Write([]byte) (int, error) { return 0, errBad }

// blocked is a reader that never returns anything.
type blocked struct{ until chan struct{} }

func (b blocked) Read([]byte) (int, error) { <-b.until; return 0, io.EOF }

// uncomparable is a writer whose comparison with == panics.
type uncomparable struct{ w []io.Writer }

func (u uncomparable) Write(p []byte) (int, error) { return u.w[0].Write(p) }

// TestStandardFiles passes readers and writers of every kind to a program.
func TestStandardFiles(t *testing.T) {
	before := look(t)
	var none *os.File
	var out, errs bytes.Buffer
	c := shell(t, "cat; echo err >&2; echo out")
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("in\n"), &out, uncomparable{[]io.Writer{&errs}}
	if err := c.Run(); err != nil || out.String() != "in\nout\n" || errs.String() != "err\n" {
		t.Errorf("%v: %q %q", err, out.String(), errs.String())
	}
	out.Reset()
	c = shell(t, "echo 1; echo 2 >&2; echo 3; cat; readlink /proc/self/fd/0")
	c.Stdin, c.Stdout, c.Stderr = none, &out, &out
	if err := c.Run(); err != nil || out.String() != "1\n2\n3\n/dev/null\n" {
		t.Errorf("%v: %q", err, out.String())
	}
	// The program need not read everything. If it continues to read, it sees the reader's error as the end of the
	// input.
	c = shell(t, "head -c 1 >/dev/null")
	c.Stdin = bytes.NewReader(make([]byte, 1<<20))
	if err := c.Run(); err != nil {
		t.Error(err)
	}
	long := bytes.Repeat([]byte("0123456789abcde\n"), 1<<19) // 8 MiB
	c = shell(t, "cat")
	c.Stdin = bytes.NewReader(long)
	if out, err := c.Output(); err != nil || !bytes.Equal(out, long) {
		t.Errorf("%d bytes through cat: %d, %v", len(long), len(out), err)
	}
	c = shell(t, "cat")
	c.Stdin = badReader{}
	if err := c.Run(); !errors.Is(err, errBad) || c.Report == nil {
		t.Errorf("a reader's error: %v", err)
	}
	c = shell(t, "echo x")
	c.Stdout = badReader{}
	if err := c.Run(); !errors.Is(err, errBad) {
		t.Errorf("a writer's error: %v", err)
	}
	c = shell(t, "exec yes") // a writer that fails ends the program
	c.Stdout = badReader{}
	var exit *ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.Report.Signal != "SIGPIPE" {
		t.Errorf("yes: %v", err)
	}
	unchanged(t, before)
	asUserToo(t)
}

// TestPipes communicates with a running program through pipes.
func TestPipes(t *testing.T) {
	before := look(t)
	c := shell(t, "while read line; do echo got $line; echo err $line >&2; done")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := c.StdinPipe()
	_, e2 := c.StdoutPipe()
	_, e3 := c.StderrPipe()
	if e1 == nil || e2 == nil || e3 == nil {
		t.Error("pipes set twice:", e1, e2, e3)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b"} {
		if _, err := io.WriteString(in, word+"\n"); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 6)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "got "+word+"\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 { // the end comes before Wait
		t.Errorf("%q %v", rest, err)
	}
	if rest, err := io.ReadAll(errs); err != nil || string(rest) != "err a\nerr b\n" {
		t.Errorf("%q %v", rest, err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := out.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Wait: %v", err)
	}
	late := shell(t, "true")
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := late.StdoutPipe(); err == nil {
		t.Error("a pipe after Start")
	}
	if err := late.Wait(); err != nil {
		t.Error(err)
	}
	c = shell(t, "true") // a start that fails closes everything that it has made
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.failStep = io.Discard, 1
	if err := c.Run(); err == nil {
		t.Error("no error")
	}
	unchanged(t, before)
	asUserToo(t)
}

// TestOutput checks that Output returns what a program writes. Of a long text on stderr, the error has the beginning
// and the end.
func TestOutput(t *testing.T) {
	out, err := shell(t, "echo out; echo err >&2; exit 3").Output()
	var exit *ExitError
	if !errors.As(err, &exit) || string(out) != "out\n" || string(exit.Stderr) != "err\n" || exit.ExitCode() != 3 || exit.Report.Exit != 3 {
		t.Errorf("%q, %+v", out, err)
	}
	_, err = shell(t, "echo first >&2; head -c 200000 /dev/zero | tr '\\0' x >&2; echo last >&2; kill -9 $$").Output()
	if !errors.As(err, &exit) || err.Error() != "signal: killed" || exit.ExitCode() != -1 {
		t.Fatal(err)
	}
	if s := string(exit.Stderr); !strings.HasPrefix(s, "first\n") || !strings.HasSuffix(s, "xlast\n") || !strings.Contains(s, " bytes left out]") ||
		len(s) > 2*excerptSide+100 {
		t.Errorf("%d bytes: %.20q … %q", len(s), s, s[len(s)-20:])
	}
	if out, err := shell(t, "echo 1; echo 2 >&2; echo 3").CombinedOutput(); err != nil || string(out) != "1\n2\n3\n" {
		t.Errorf("%q, %v", out, err)
	}
	c := shell(t, "true")
	c.Stdout = io.Discard
	_, e1 := c.Output()
	_, e2 := c.CombinedOutput()
	c.Stdout, c.Stderr = nil, io.Discard
	_, e3 := c.CombinedOutput()
	if e1 == nil || e2 == nil || e3 == nil {
		t.Error("Stdout or Stderr set:", e1, e2, e3)
	}
	asUserToo(t)
}

// inContext does the same as shell, with a context.
func inContext(t *testing.T, ctx context.Context, script string) *Cmd {
	c := CommandContext(ctx, sandboxtest.Shipped(t, "default"), "sh", "-c", script)
	c.Env = []string{"PATH=/usr/bin:/bin"}
	return c
}

// TestContext checks that the end of a context ends the program.
func TestContext(t *testing.T) {
	before := look(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := inContext(t, ctx, "true")
	c.Stdout = io.Discard
	if err := c.Run(); !errors.Is(err, context.Canceled) || c.Process != nil {
		t.Errorf("done before Start: %v", err)
	}
	var exit *ExitError
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	c = inContext(t, ctx, "sleep 100 & sleep 100")
	c.Stdout = &out
	if err := c.Run(); !errors.As(err, &exit) || exit.Report.Signal != "SIGKILL" {
		t.Errorf("killed: %v", err)
	}
	if err := inContext(t, context.Background(), "exit 0").Run(); err != nil {
		t.Error(err)
	}
	c = shell(t, "true")
	c.Cancel = func() error { return nil }
	if err := c.Start(); err == nil {
		t.Error("Cancel without a context")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a nil context is no panic")
			}
		}()
		CommandContext(nil, nil, "true") //nolint:staticcheck // the nil context is what the test is about
	}()
	unchanged(t, before)
	asUserToo(t)
}

// ready starts a command whose program writes a line when it is ready, and then ends its context.
func ready(t *testing.T, c *Cmd, end func()) {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	end()
}

// TestCancel checks a Cancel function that ends the program in another way than Kill.
func TestCancel(t *testing.T) {
	tests := []struct {
		name, script string
		cancel       func(c *Cmd) error
		delay        time.Duration
		want         string
	}{
		{"obeys", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", func(c *Cmd) error { return c.Process.Signal(syscall.SIGTERM) }, 0, "context canceled"},
		{"obeys in time", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", func(c *Cmd) error { return c.Process.Signal(syscall.SIGTERM) }, time.Hour, "context canceled"},
		{"ends badly", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done", func(c *Cmd) error { return c.Process.Signal(syscall.SIGTERM) }, 0, "exit status 5"},
		{"does not obey", "trap '' TERM; echo ready; while :; do sleep 0.01; done", func(c *Cmd) error { return c.Process.Signal(syscall.SIGTERM) }, 50 * time.Millisecond, "signal: killed"},
		{"nobody asks", "echo ready; sleep 100", nil, 50 * time.Millisecond, "signal: killed"},
		{"fails", "echo ready; sleep 0.3", func(*Cmd) error { return errBad }, 0, "cancel: bad"},
		{"done", "echo ready; sleep 0.3", func(*Cmd) error { return os.ErrProcessDone }, 0, ""},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithCancel(context.Background())
		c := inContext(t, ctx, tt.script)
		c.WaitDelay, c.Cancel = tt.delay, nil
		if tt.cancel != nil {
			c.Cancel = func() error { return tt.cancel(c) }
		}
		ready(t, c, cancel)
		if err := c.Wait(); (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	asUserToo(t)
}

// TestWaitDelay checks that the delay ends the wait for a reader that never returns.
func TestWaitDelay(t *testing.T) {
	until := make(chan struct{})
	defer close(until)
	c := shell(t, "exit 0")
	c.Stdin, c.WaitDelay = blocked{until}, 10*time.Millisecond
	if err := c.Run(); !errors.Is(err, exec.ErrWaitDelay) || c.Report == nil {
		t.Error(err)
	}
	c = shell(t, "exit 3")
	c.Stdin, c.WaitDelay = blocked{until}, 10*time.Millisecond
	var exit *ExitError
	if err := c.Run(); !errors.As(err, &exit) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c = inContext(t, ctx, "echo ready; sleep 100")
	c.Stdin, c.WaitDelay = blocked{until}, 10*time.Millisecond
	ready(t, c, cancel)
	if err := c.Wait(); !errors.As(err, &exit) {
		t.Error(err)
	}
	asUserToo(t)
}

// TestProcess signals and kills the process of a command.
func TestProcess(t *testing.T) {
	c := shell(t, "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done")
	ready(t, c, func() {})
	if err := syscall.Kill(c.Process.Pid, 0); err != nil {
		t.Errorf("pid %d: %v", c.Process.Pid, err)
	}
	if err := c.Process.Signal(other{}); err == nil {
		t.Error("what is no signal of the system was sent")
	}
	if err := c.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err == nil || err.Error() != "exit status 7" {
		t.Error(err)
	}
	for _, err := range []error{c.Process.Signal(os.Interrupt), c.Process.Kill()} {
		if !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("after the end: %v", err)
		}
	}
	c = shell(t, "trap '' TERM; echo ready; sleep 100 & sleep 100")
	ready(t, c, func() {})
	if err := errors.Join(c.Process.Signal(syscall.SIGSTOP), c.Process.Kill()); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err == nil || err.Error() != "signal: killed" || c.Report.Signal != "SIGKILL" {
		t.Error(err)
	}
	if err := (&Cmd{}).Process.Kill(); err == nil {
		t.Error("Kill before Start")
	}
	asUserToo(t)
}

type other struct{}

func (other) String() string { return "other" }
func (other) Signal()        {}

// TestExitError checks that every bad end of a program is an ExitError.
func TestExitError(t *testing.T) {
	c := shell(t, "trap 'exit 0' TERM; sleep 100 & wait")
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 200 * time.Millisecond}
	var exit *ExitError
	if err := c.Run(); !errors.As(err, &exit) || !strings.HasSuffix(err.Error(), "(limit: timeout)") || exit.Report != c.Report {
		t.Errorf("%v", err)
	}
	for script, want := range map[string]string{"exit 0": "", "exit 255": "exit status 255", "kill -TERM $$": "signal: terminated", "kill -35 $$": "signal: SIGRTMIN+1",
		"kill -34 $$": "signal: SIGRTMIN"} {
		if err := shell(t, script).Run(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
	asUserToo(t)
}

// TestNotFound checks that a program that is not found gives the same causes as in os/exec.
func TestNotFound(t *testing.T) {
	for name, want := range map[string]error{"cordon-none": exec.ErrNotFound, "/cordon/none": fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		c := Command(sandboxtest.Shipped(t, "default"), name)
		c.Env = []string{"PATH=/usr/bin:/bin"}
		var lookup *LookupError
		if err := c.Start(); !errors.As(err, &lookup) || !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Plan(); !errors.Is(err, want) {
			t.Errorf("plan of %s: %v", name, err)
		}
	}
	if err := (&Cmd{Profile: sandboxtest.Shipped(t, "default")}).Start(); err == nil {
		t.Error("no arguments")
	}
}

// TestFace checks String, Environ and Dir.
func TestFace(t *testing.T) {
	p := sandboxtest.Shipped(t, "default")
	c := Command(p, "env")
	if c.Profile != p || c.String() != "env" || Command(p, "a", "b", "c d").String() != "a b c d" {
		t.Errorf("%q", c)
	}
	c.Env = []string{"PATH=/usr/bin:/bin", "LANG=C", "LANG=de", "SECRET=x"}
	out, err := c.Output()
	if got := c.Environ(); err != nil || !slices.Contains(got, "LANG=de") || strings.Join(got, "\n")+"\n" != string(out) {
		t.Errorf("%q is not %q; %v", got, out, err)
	}
	t.Chdir("/usr")
	for dir, want := range map[string]string{"/tmp": "/tmp", "bin/..": "/usr", "": "/usr"} {
		c := shell(t, "pwd")
		c.Dir = dir
		if out, err := c.Output(); err != nil || string(out) != want+"\n" {
			t.Errorf("in %q: %q, %v", dir, out, err)
		}
	}
	c = shell(t, "pwd")
	c.Dir = "/cordon/none"
	if _, err := c.Output(); err == nil || !strings.Contains(err.Error(), "no such") {
		t.Error(err)
	}
	if _, err := c.Plan(); err == nil {
		t.Error("a plan for a directory that is not there")
	}
	asUserToo(t)
}

// TestCountedWriter checks that the report counts output into a writer, also if a terminal's output goes there.
func TestCountedWriter(t *testing.T) {
	before := look(t)
	c := shell(t, "yes")
	c.Profile.Limits.Output = policy.Opt[int64]{Set: true, V: 100 << 10}
	var out bytes.Buffer
	c.Stdout = &out
	var exit *ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.Report.Limit != "output" || out.Len() < 100<<10 {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
	c = shell(t, "head -c 200000 /dev/zero") // nobody reads the pipe
	c.Profile.Limits.Output = policy.Opt[int64]{Set: true, V: 1 << 20}
	c.WaitDelay = 50 * time.Millisecond
	if _, err := c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run() // the report says that output was lost
	}()
	select {
	case <-ended:
	case <-time.After(sandboxtest.Slow(20 * time.Second)):
		t.Fatal("Wait waits for a reader after WaitDelay")
	}
	out.Reset()
	c = shell(t, "tty >/dev/null && echo on a terminal")
	c.Terminal, c.Stdout = true, &out
	if err := c.Run(); err != nil || out.String() != "on a terminal\r\n" {
		t.Errorf("%v: %q", err, out.String())
	}
	c = shell(t, "echo to the end") // the reader sees the end before Wait
	c.Terminal = true
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(pipe); err != nil || string(text) != "to the end\r\n" {
		t.Errorf("%v: %q", err, text)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	unchanged(t, before)
	asUserToo(t)
}

// TestAliasesAreDocumented checks that the comment of each alias of a struct names all fields, because go doc does not
// show them.
func TestAliasesAreDocumented(t *testing.T) {
	for file, values := range map[string][]any{
		"fail.go": {StepError{}, UnsupportedError{}, LookupError{}, Error{}},
		"why.go":  {Reason{}},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			typ := reflect.TypeOf(v)
			_, rest, _ := strings.Cut(string(text), "// "+typ.Name()+" ")
			comment, _, _ := strings.Cut(rest, "\ntype ")
			for i := range typ.NumField() {
				if f := typ.Field(i); f.IsExported() && f.Name != "Err" && !strings.Contains(comment, "\n//\t"+f.Name+" ") {
					t.Errorf("%s: %s.%s is not named", file, typ.Name(), f.Name)
				}
			}
		}
	}
}
