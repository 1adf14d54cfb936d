package sandbox

import (
	"io"
	"os"
	"strings"
	"testing"
)

// running is a sandbox that can be joined. It ends with the test.
func running(t testing.TB, c *Cmd) (*Cmd, *Attached) {
	t.Helper()
	c.Attachable = true
	ready, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = in, w, os.Stderr
	err = c.Start()
	in.Close()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		_ = c.Signal(9)
		_, _ = c.Wait()
	})
	if text, err := io.ReadAll(io.LimitReader(ready, 6)); err != nil || string(text) != "ready\n" {
		t.Fatalf("%q, %v", text, err)
	}
	a, err := c.Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return c, a
}

const linger = "echo ready; exec cat"

// inside runs a script in a sandbox that runs.
func inside(t testing.TB, a *Attached, script string) (string, *Report) {
	t.Helper()
	return output(t, &Cmd{Into: a, Args: []string{"sh", "-c", script}})
}

func TestExec(t *testing.T) {
	_, a := running(t, shell(t, "echo here >/tmp/mark; "+linger))
	text, report := inside(t, a, "cat /tmp/mark; hostname; exit 7")
	if text != "here\ncordon\n" || report.Exit != 7 {
		t.Errorf("%q, %+v", text, report)
	}
	t.Log(strings.ReplaceAll(text, "\n", " "), report.Enforced)
	asUserToo(t)
}
