package sandbox

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

func chatty(t testing.TB, script string, bytes int64) *Cmd {
	t.Helper()
	c := shell(t, script)
	c.Profile.Limits.Output = policy.Opt[int64]{Set: true, V: bytes}
	return c
}

// sinks lists kinds of files that the caller's stdout may be: some to which splice(2) can write, and some to which it
// cannot.
func sinks(t *testing.T) map[string]func() (w *os.File, read func() string) {
	file := func(flags int) func() (*os.File, func() string) {
		return func() (*os.File, func() string) {
			path := filepath.Join(t.TempDir(), "out")
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			return f, func() string { f.Close(); b, _ := os.ReadFile(path); return string(b) }
		}
	}
	both := func(r, w *os.File) (*os.File, func() string) {
		got := make(chan string)
		go func() { b, _ := io.ReadAll(r); r.Close(); got <- string(b) }()
		return w, func() string { w.Close(); return <-got }
	}
	return map[string]func() (*os.File, func() string){
		"file": file(0), "appended": file(os.O_APPEND),
		"pipe": func() (*os.File, func() string) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return both(r, w)
		},
		"socket": func() (*os.File, func() string) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return both(os.NewFile(uintptr(pair[0]), "r"), os.NewFile(uintptr(pair[1]), "w"))
		},
	}
}

// TestOutputLimit checks that exactly the allowed output is passed on, to every kind of file, and that a program that
// writes more is ended.
func TestOutputLimit(t *testing.T) {
	before := look(t)
	for name, sink := range sinks(t) {
		for _, tt := range []struct {
			script string
			limit  int64
			exit   int
			ended  bool
		}{
			{"yes", 300001, -1, true},
			{"head -c 300000 /dev/zero; exit 3", 300000, 3, false},
			{"head -c 300001 /dev/zero; exec sleep 1000", 300000, -1, true},
			{"yes >&2", 5000, -1, true},
			{"yes >&2 & yes", 200000, -1, true},
			{"exit 4", 0, 4, false},
			{"echo; sleep 1000", 0, -1, true},
		} {
			c := chatty(t, tt.script, tt.limit)
			w, read := sink()
			c.Stdout, c.Stderr = w, w
			rep, err := run(c)
			if err != nil {
				t.Fatal(err)
			}
			text := read()
			want := ""
			if tt.ended {
				want = report.LimitOutput
			}
			if (tt.ended || tt.exit == 3) && int64(len(text)) != tt.limit || rep.Exit != tt.exit || rep.Limit != want || *rep.OutputBytes != uint64(len(text)) {
				t.Errorf("to a %s: %s: %d bytes, %+v", name, tt.script, len(text), rep)
			}
			if tt.ended && (len(rep.Limits) != 1 || !strings.HasPrefix(rep.Limits[0].Rule, "limits.output ")) {
				t.Errorf("%+v", rep.Limits)
			}
		}
	}
	unchanged(t, before)
	asUserToo(t)
}

// TestOutputInOrder checks that output to one file stays in order, and that output to two files stays separate.
func TestOutputInOrder(t *testing.T) {
	script := "for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done"
	text, report := output(t, chatty(t, script, 1<<20))
	if want := "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\no6\ne6\no7\ne7\no8\ne8\no9\ne9\n"; text != want || report.Exit != 0 {
		t.Errorf("%q, %+v", text, report)
	}
	files := sinks(t)["file"]
	out, readOut := files()
	errs, readErr := files()
	c := chatty(t, script, 1<<20)
	c.Stdout, c.Stderr = out, errs
	if _, err := run(c); err != nil {
		t.Fatal(err)
	}
	if o, e := readOut(), readErr(); !strings.HasPrefix(o, "o1\no2\n") || !strings.HasPrefix(e, "e1\ne2\n") || len(o) != 27 || len(e) != 27 {
		t.Errorf("%q, %q", o, e)
	}
}

func TestSameFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	one, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	dup, err := unix.FcntlInt(one.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	same := os.NewFile(uintptr(dup), "dup")
	defer same.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if launch.SameFile(one, other) || !launch.SameFile(one, same) || launch.SameFile(one, null) || !launch.SameFile(null, null) || launch.SameFile(nil, one) {
		t.Error("opened twice, duplicated, another, itself:", launch.SameFile(one, other), launch.SameFile(one, same), launch.SameFile(one, null), launch.SameFile(null, null))
	}
}

// TestOutputReaderGone checks that the program ends as if it wrote to the caller's pipe itself.
func TestOutputReaderGone(t *testing.T) {
	c := chatty(t, "exec yes", 1<<30)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout = w
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	buf := make([]byte, 4)
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "y\ny\n" {
		t.Errorf("%q, %v", buf, err)
	}
	r.Close()
	if report, err := wait(c); err != nil || report.Signal != "SIGPIPE" || report.Limit != "" {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestOutputReaderNeverReads checks that time limits and signals end the run although the reader never reads, and that
// a slow reader gets everything.
func TestOutputReaderNeverReads(t *testing.T) {
	full := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		n, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
		if err == nil {
			_, err = w.Write(make([]byte, n))
		}
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	lost := func(r *report.Report) bool { return len(r.Hints) == 1 && strings.Contains(r.Hints[0].Text, "lost") }

	t.Run("the wall-clock limit", func(t *testing.T) {
		for _, script := range []string{"exec yes", "echo short"} { // the program waits, and the launcher does
			r, w := full()
			c := chatty(t, script, 1<<30)
			c.Stdout, c.KillAfter = w, 50*time.Millisecond
			c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: sandboxtest.Slow(200 * time.Millisecond)}
			if rep, err := run(c); err != nil || rep.Limit != report.LimitTimeout || !lost(rep) || rep.Wall > sandboxtest.Slow(10*time.Second) {
				t.Errorf("%s: %+v, %v", script, rep, err)
			}
			r.Close()
			w.Close()
		}
	})
	t.Run("a signal", func(t *testing.T) {
		r, w := full()
		defer r.Close()
		defer w.Close()
		c := chatty(t, "echo short", 1<<30)
		c.Stdout = w
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), sync.WaitGroup{}
		stopped.Add(1)
		go func() { // until it has an effect: it reaches the program first
			defer stopped.Done()
			time.Sleep(sandboxtest.Slow(300 * time.Millisecond))
			for {
				_ = c.Process.Signal(unix.SIGTERM)
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		report, err := wait(c)
		close(stop)
		stopped.Wait()
		if err != nil || report.Exit != 0 || !lost(report) {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("asked by another command", func(t *testing.T) {
		for script, sig := range map[string]unix.Signal{"exec yes": unix.SIGKILL, "echo short": unix.SIGTERM, "echo short; :": unix.SIGKILL} {
			r, w := full()
			c := chatty(t, script, 1<<30)
			c.Stdout, c.KillAfter = w, 50*time.Millisecond
			c.State = entryOf(t)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond) // what is short has ended
			if err := c.State.Signal(sig); err != nil {
				t.Error(err)
			}
			if report, err := wait(c); err != nil || !lost(report) || report.Wall > 5*time.Second {
				t.Errorf("%s: %+v, %v", script, report, err)
			}
			r.Close()
			w.Close()
		}
	})
	t.Run("it reads late", func(t *testing.T) {
		r, w := full()
		c := chatty(t, "head -c 100000 /dev/zero; echo end", 1<<30)
		c.Stdout = w
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		time.Sleep(200 * time.Millisecond)
		text := make(chan []byte)
		go func() { b, _ := io.ReadAll(r); text <- b }()
		report, err := wait(c)
		if b := <-text; err != nil || report.Exit != 0 || !bytes.HasSuffix(b, []byte("\x00end\n")) || len(b) < 100004+4096 {
			t.Errorf("%d bytes, %+v, %v", len(b), report, err)
		}
	})
}

// TestDrainWaitsForNobody has a process that has escaped the sandbox, holds the pipe, and goes on writing.
func TestDrainWaitsForNobody(t *testing.T) {
	r, w, err := os.Pipe() // the first one takes descriptors of the runtime's, too
	if err != nil {
		t.Fatal(err)
	}
	before := sandboxtest.Descriptors(t) - 2
	p := processOf(t, &Cmd{})
	relay, err := p.RelayTo("stdout", w)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	held, err := unix.FcntlInt(uintptr(relay.In), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	escaped := os.NewFile(uintptr(held), "escaped")
	if _, err := escaped.WriteString("before the end\n"); err != nil {
		t.Fatal(err)
	}
	go func() { // it gets EPIPE when the copy ends
		for err := error(nil); err == nil; {
			_, err = escaped.WriteString("on and on\n")
		}
		escaped.Close()
	}()
	text := make(chan string)
	go func() { b, _ := io.ReadAll(r); r.Close(); text <- string(b) }()
	began := time.Now()
	p.Drain()
	p.StopCopying()
	if got := <-text; !strings.HasPrefix(got, "before the end\n") || time.Since(began) > 5*time.Second || len(p.Report.Hints) > 0 {
		t.Errorf("after %v: %.40q, %v", time.Since(began), got, p.Report.Hints)
	}
	for deadline := time.Now().Add(5 * time.Second); sandboxtest.Descriptors(t) > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors are open, there were %d", sandboxtest.Descriptors(t), before)
		}
	}
}

// TestOutputDiskFull checks that the launcher says that output was lost.
func TestOutputDiskFull(t *testing.T) {
	c := chatty(t, "echo a; sleep 0.1; echo b", 100)
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	c.Stdout = f
	report, err := run(c)
	if err != nil || report.Limit != "" || len(report.Hints) == 0 || !strings.HasPrefix(report.Hints[0].Text, "stdout: no space left on device") {
		t.Errorf("%+v, %v", report, err)
	}
}
