package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/statedir"
)

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"TERM": 15, "SIGTERM": 15, "term": 15, "sigkill": 9, "9": 9, "64": 64, "RTMIN": 34, "RTMIN+3": 37, "SIGRTMIN+30": 64,
		"": 0, "0": 0, "65": 0, "-1": 0, "15x": 0, "NOSUCH": 0, "RTMIN+31": 0, "RTMIN+x": 0, "RTMIN3000": 0, "99999999999999999999": 0, "SIG": 0,
	} {
		got, err := parseSignal(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d %v, want %d", s, got, err, want)
		}
	}
}

func TestSizeAndAge(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536: "1.5KiB", 100 << 10: "100KiB", 1<<20 - 1: "1023KiB", 5 << 30: "5.0GiB", 1 << 50: "1024TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 3 * time.Hour: "3h", 50 * time.Hour: "2d"} {
		if got := age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestPsTable checks that the table escapes texts that a program has chosen, and draws processes below their parents.
func TestPsTable(t *testing.T) {
	now := time.Now()
	l := shown{State: statedir.State{ID: "0123456789ab", Args: []string{"a", "b\x1b[31m"}, Created: now.Add(-time.Minute), Task: &statedir.ProcessID{PID: 11}}, Status: statedir.StatusRunning}
	l.Processes = []*statedir.Process{
		{PID: 10, Inside: 1, PPID: 1, State: "S", Comm: "cordon", RSS: 4096},
		{PID: 11, Inside: 2, PPID: 10, State: "S", Comm: "sh", Args: []string{"/bin/sh", "-c", "x\ny"}, RSS: 8192},
		{PID: 13, Inside: 4, PPID: 11, State: "Z", Comm: "gone\n"},
		{PID: 12, Inside: 3, PPID: 10, State: "R", Comm: "other", Args: []string{"/bin/renamed"}},
	}
	want := `ID            NAME  STATUS   PID  PROCS  AGE  PROFILE  COMMAND
0123456789ab  -     running  11   4      60s  -        a b\x1b[31m
  └─ 10 (1) S 4.0KiB [init]
    └─ 11 (2) S 8.0KiB /bin/sh -c x\ny
      └─ 13 (4) Z 0B [gone\n]
    └─ 12 (3) R 0B /bin/renamed [other]
`
	if got := psTable([]shown{l}, true, now); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestLogsFlags(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		tail, since string
		n           int
		at          time.Time
		ok          bool
	}{
		{"all", "", -1, time.Time{}, true},
		{"0", "10m", 0, now.Add(-10 * time.Minute), true},
		{"5", "2026-01-02T00:00:00Z", 5, now.Truncate(24 * time.Hour), true},
		{"-1", "", 0, time.Time{}, false},
		{"x", "", 0, time.Time{}, false},
		{"all", "yesterday", 0, time.Time{}, false},
	} {
		f := logsFlags{tailText: tt.tail, sinceText: tt.since}
		err := f.parse(now)
		if (err == nil) != tt.ok || tt.ok && (f.tail != tt.n || !f.since.Equal(tt.at)) {
			t.Errorf("%+v: %+v %v", tt, f, err)
		}
	}
}

// TestScreenFits checks that a table is cut to the size of the terminal, and that nothing of the previous table stays
// below it.
func TestScreenFits(t *testing.T) {
	s := &screen{tty: -1} // 80 by 24
	got := s.fit(strings.Repeat(strings.Repeat("x", 100)+"\n", 30))
	lines := strings.Split(got, "\r\n")
	if len(lines) != 24 || lines[0] != "\x1b[H"+strings.Repeat("x", 80)+"\x1b[K" || lines[23] != "… 7 more\x1b[K\x1b[J" {
		t.Errorf("%d lines: %q … %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

// TestCompleteSandboxes checks that completion offers names and IDs, but not those that the user has already typed.
func TestCompleteSandboxes(t *testing.T) {
	path := host.StatePath(os.Getenv)
	if os.Getuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("XDG_RUNTIME_DIR", dir)
		path = host.StatePath(os.Getenv)
	}
	d, err := statedir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	name := "complete-" + itoa(os.Getpid())
	e, err := d.Create(statedir.State{Name: name, Args: []string{"x", "y"}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	defer func() {
		if err := e.Discard(); err != nil {
			t.Error(err)
		}
	}()
	for _, tt := range []struct {
		typed  []string
		wanted []statedir.Status
		found  bool
	}{{nil, nil, true}, {nil, []statedir.Status{statedir.StatusStarting}, true}, {nil, []statedir.Status{statedir.StatusEnded}, false}, {[]string{name}, nil, false}} {
		got, _ := completeSandboxes(tt.wanted...)(nil, tt.typed, "")
		if slices.Contains(got, name+"\tx y") != tt.found || slices.Contains(got, e.State.ID+"\tx y") != tt.found {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
