package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLogIsMadeShort(t *testing.T) {
	const passes = "=== RUN   TestA\n    a_test.go:1: noise\n--- PASS: TestA (0.00s)\nPASS\n"
	for name, c := range map[string]struct {
		in, out string
		want    testLog
	}{
		"passes":         {passes, "--- PASS: TestA (0.00s)\n", testLog{Passed: 1}},
		"said by nobody": {"panic: oh\n" + passes, "panic: oh\n--- PASS: TestA (0.00s)\n", testLog{Passed: 1}},
		"fails": {"=== RUN   TestA\n    a_test.go:1: why\n--- FAIL: TestA (0.00s)\nFAIL\n",
			"    a_test.go:1: why\n--- FAIL: TestA (0.00s)\n", testLog{Failed: 1}},
		"in parallel": {"=== RUN   TestA\n=== RUN   TestA/x\n=== PAUSE TestA/x\n=== RUN   TestA/y\n=== PAUSE TestA/y\n=== CONT  TestA/x\n" +
			"    x1\n=== NAME  TestA/y\n    y1\n=== NAME  TestA/x\n    x2\n--- FAIL: TestA (0.00s)\n    --- PASS: TestA/y (0.00s)\n    --- FAIL: TestA/x (0.00s)\n",
			"--- FAIL: TestA (0.00s)\n    x1\n    x2\n    --- FAIL: TestA/x (0.00s)\n", testLog{Passed: 1, Failed: 2}},
		"cut short": {"=== RUN   TestA\n    a_test.go:1: why\nkilled", "unfinished: TestA\n    a_test.go:1: why\nkilled", testLog{}},
		"skipped": {"=== RUN   TestNew\n--- SKIP: TestNew (0.00s)\n", "not to be skipped: --- SKIP: TestNew (0.00s)\n--- SKIP: TestNew (0.00s)\n",
			testLog{Skipped: 1, Unforeseen: []string{"TestNew"}}},
		"foreseen": {"=== RUN   TestScriptsAsUser\n--- SKIP: TestScriptsAsUser (0.00s)\n", "--- SKIP: TestScriptsAsUser (0.00s)\n", testLog{Skipped: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var got testLog
			var out bytes.Buffer
			got.copy(&out, strings.NewReader(c.in))
			if out.String() != c.out || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v\n%swant %+v\n%s", got, out.String(), c.want, c.out)
			}
		})
	}
}

func TestBusyMachine(t *testing.T) {
	j := job{Args: []string{"x", "-timeout=" + timeoutHere}, Env: []string{"CORDON_SLOW=" + slowHere}, Timeout: time.Minute}
	if got := j.stretched(2); got.Timeout != 2*time.Minute || got.Args[1] != "-timeout=1m50s" || got.Env[0] != "CORDON_SLOW=60" || j.Env[0] != "CORDON_SLOW={slow}" {
		t.Errorf("%+v of %+v", got, j)
	}
}

func TestDependencies(t *testing.T) {
	got := named("libc6 (>= 2.36), default-mta | mail-transport-agent, perl:any (>= 5.36),")
	if want := []string{"libc6", "default-mta", "mail-transport-agent", "perl"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestArchive(t *testing.T) {
	var buf bytes.Buffer
	c := cpio{w: &buf, dirs: map[string]bool{}}
	c.file("a/b", 0o755, []byte("12345"))
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	if buf.Len()%4 != 0 {
		t.Errorf("%d bytes: entries are padded to 4", buf.Len())
	}
	const name, size = 110, 54 // where the name of an entry begins, and the size of its file
	entry := bytes.Index(buf.Bytes()[1:], []byte("070701")) + 1
	if got := buf.String()[entry+name : entry+name+4]; got != "a/b\x00" {
		t.Errorf("the second entry is %q, not a/b", got)
	}
	if got := buf.String()[entry+size : entry+size+8]; got != "00000005" {
		t.Errorf("it has %s bytes", got)
	}
}
