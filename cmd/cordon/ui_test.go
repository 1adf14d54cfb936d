package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/policy"
	"cordon/sandbox"
	"cordon/sandbox/report"
)

// newTestUI returns a ui, and the buffers that receive its stdout and stderr.
func newTestUI() (u *ui, out, err *strings.Builder) {
	out, err = new(strings.Builder), new(strings.Builder)
	return &ui{out: out, err: err}, out, err
}

func TestFail(t *testing.T) {
	for _, tt := range []struct {
		title string
		err   error
		code  int
		text  string
	}{
		{"plain", errors.New("getcwd: no such file or directory"), 125,
			"cordon: error: getcwd: no such file or directory\n"},
		{"with a hint", &cliError{err: errors.New("x"), hint: "do y"}, 125,
			"cordon: error: x\ncordon: hint: do y\n"},
		{"with a code", &cliError{err: errors.New("x"), code: 1}, 1,
			"cordon: error: x\n"},
		{"not found", &sandbox.LookupError{Name: "frob", Why: "not found in PATH", Code: 127, Hint: "--ro DIR"}, 127,
			"cordon: error: frob: not found in PATH\ncordon: hint: --ro DIR\n"},
		{"not executable", &sandbox.LookupError{Name: "./x", Why: "permission denied", Code: 126}, 126,
			"cordon: error: ./x: permission denied\n"},
		{"wrapped", fmt.Errorf("run: %w", &sandbox.LookupError{Name: "x", Why: "not found", Code: 127}), 127,
			"cordon: error: run: x: not found\n"},
		{"step", &sandbox.StepError{Index: 28, Step: `mount("/src")`, Errno: syscall.ENOENT, Hint: "optional: true"}, 125,
			"cordon: error: step 28: mount(\"/src\"): no such file or directory\ncordon: hint: optional: true\n"},
		{"unsupported", &sandbox.UnsupportedError{Layer: policy.LayerLandlock, Why: "ABI 0", Remedy: "missing: [landlock]", From: "a.yaml:3"}, 125,
			"cordon: error: landlock: ABI 0 (a.yaml:3)\ncordon: hint: missing: [landlock]\n"},
		{"library", &sandbox.Error{Op: "open /x", Err: syscall.EACCES, Hint: "chmod"}, 125,
			"cordon: error: open /x: permission denied\ncordon: hint: chmod\n"},
		{"escapes", &sandbox.LookupError{Name: "a\x1b[2J\nb\x80", Why: "not found", Code: 127}, 127,
			`cordon: error: a\x1b[2J\nb\x80: not found` + "\n"},
		{"bidirectional override", errors.New("x\u202ey"), 125,
			`cordon: error: x\u202ey` + "\n"},
		{"already said", quiet(7), 7, ""},
	} {
		t.Run(tt.title, func(t *testing.T) {
			u, out, text := newTestUI()
			if code := u.fail(tt.err); code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			if text.String() != tt.text {
				t.Errorf("stderr %q\nwant   %q", text, tt.text)
			}
			if out.Len() > 0 {
				t.Errorf("stdout %q", out)
			}
		})
	}
}

// TestFailShowsEveryProfileError checks that cordon prints all errors of a profile, each with its position, its line
// and its hint.
func TestFailShowsEveryProfileError(t *testing.T) {
	u, _, text := newTestUI()
	code := u.fail(policy.Errors{
		{Pos: policy.Pos{File: "a\x1b.yaml", Line: 3, Col: 11}, Msg: `unknown key "mdoe"`, Hint: `did you mean "mode"?`, Line: "  - {bind: mdoe: rw}"},
		{Pos: policy.Pos{Flag: "--net x"}, Msg: "network: x"},
	})
	want := `cordon: error: a\x1b.yaml:3:11: unknown key "mdoe"
      - {bind: mdoe: rw}
              ^
cordon: hint: did you mean "mode"?
cordon: error: --net x: network: x
`
	if code != 125 || text.String() != want {
		t.Errorf("code %d\n%s\nwant\n%s", code, text, want)
	}
}

func TestShowRun(t *testing.T) {
	full := report.Report{
		Wall: 1500 * time.Millisecond, User: time.Millisecond, System: 2 * time.Millisecond, PeakRSS: 1 << 20,
		Added:    []report.Added{{Path: "/home/u/bin/tool", Why: "bound read-only: the profile hides its directory"}},
		Missing:  []report.Missing{{Layer: policy.LayerCgroup, Why: "not delegated", Instead: "RLIMIT_DATA"}},
		Enforced: []report.Enforced{{Layer: policy.LayerCaps, Found: "CapBnd=0", Where: "/proc/7/status"}},
		Hints:    []report.Hint{{Text: "network: none", Rule: policy.Pos{File: "default.yaml", Line: 9, Col: 2}, Flag: "--net host"}},
	}
	timeout := full
	timeout.Timeout, timeout.Signal, timeout.Limit = true, "SIGKILL", report.LimitTimeout
	timeout.Limits = []report.LimitMet{
		{Limit: report.LimitTimeout, Rule: "limits.wall 1s (--timeout 1s)", Flag: "--timeout"},
		{Limit: report.LimitPIDs, Rule: "limits.pids 9 (mine.yaml:3)", Flag: "--pids"},
	}
	var ended strings.Builder
	for _, l := range []string{report.LimitOOM, report.LimitCPUTime, report.LimitOutput, report.LimitPIDs, report.LimitFileSize} {
		r := report.Report{User: time.Second, Limit: l, Limits: []report.LimitMet{{Limit: l, Count: 1}}}
		u, _, text := newTestUI()
		u.showRun(&r, false)
		ended.WriteString(text.String())
	}
	const inherited = "; the profile sets no such limit: the launcher was started under it\n"
	if want := "cordon: oom: the sandbox was killed, out of memory (1 process killed by the kernel)" + inherited +
		"cordon: cpu-time: the sandbox was killed after 1s of processor time" + inherited +
		"cordon: output: what the program wrote was cut off, and it was killed" + inherited +
		"cordon: pids: the sandbox was killed, with as many processes and threads as it may have (1 fork refused)" + inherited +
		"cordon: file-size: a process was ended by SIGXFSZ, for a file that grew too large" + inherited; ended.String() != want {
		t.Errorf("%s\nwant\n%s", ended.String(), want)
	}
	for _, tt := range []struct {
		title   string
		rep     report.Report
		verbose bool
		text    string
	}{
		{"nothing to say", report.Report{Enforced: full.Enforced}, false, ""},
		{"all of it", full, true, `cordon: added: /home/u/bin/tool: bound read-only: the profile hides its directory
cordon: missing: cgroup: not delegated; instead: RLIMIT_DATA
cordon: enforced: caps: CapBnd=0 (/proc/7/status)
cordon: used: wall 1.5s, user 1ms, system 2ms, peak memory 1024 KiB
cordon: hint: network: none (default.yaml:9); try --net host
`},
		{"timeout", timeout, false, `cordon: added: /home/u/bin/tool: bound read-only: the profile hides its directory
cordon: missing: cgroup: not delegated; instead: RLIMIT_DATA
cordon: timeout: the program was ended after 1.5s, at the wall-clock limit: limits.wall 1s (--timeout 1s)
cordon: pids: reached, and not what ended the program: limits.pids 9 (mine.yaml:3); to change it: --pids
cordon: hint: network: none (default.yaml:9); try --net host
`},
	} {
		t.Run(tt.title, func(t *testing.T) {
			u, out, text := newTestUI()
			u.showRun(&tt.rep, tt.verbose)
			if text.String() != tt.text || out.Len() > 0 {
				t.Errorf("stderr\n%s\nwant\n%s\nstdout %q", text, tt.text, out)
			}
		})
	}
}

func TestRunCode(t *testing.T) {
	for _, tt := range []struct {
		rep  report.Report
		code int
	}{
		{report.Report{Exit: 0}, 0},
		{report.Report{Exit: 42}, 42},
		{report.Report{Exit: -1, Signal: "SIGKILL"}, 137},
		{report.Report{Exit: -1, Signal: "SIGSYS"}, 159},
		{report.Report{Exit: -1, Signal: "SIGRTMIN+3"}, 128 + 37},
		{report.Report{Exit: -1, Signal: "SIGKILL", Limit: report.LimitTimeout}, 124},
		{report.Report{Exit: 0, Limit: report.LimitTimeout}, 124},
		{report.Report{Exit: -1, Signal: "SIGXCPU", Limit: report.LimitCPUTime}, 124},
		{report.Report{Exit: 1, Limit: report.LimitOOM}, 137},
		{report.Report{Exit: 0, Limit: report.LimitOutput}, 137},
		{report.Report{Exit: -1, Signal: "SIGKILL", Limit: report.LimitPIDs}, 137},
		{report.Report{Exit: -1, Signal: "SIGXFSZ", Limit: report.LimitFileSize}, 153},
		{report.Report{Exit: 153, Limit: report.LimitFileSize}, 153},
	} {
		if got := runCode(&tt.rep); got != tt.code {
			t.Errorf("%+v: %d, want %d", tt.rep, got, tt.code)
		}
	}
}

// TestExitCodeOfSignal checks that a signal that ends the launch gives the same exit code as a signal that ends the
// program, as with timeout(1) and shells.
func TestExitCodeOfSignal(t *testing.T) {
	if code := exitCode(&sandbox.SignalError{Signal: syscall.SIGTERM}); code != 143 {
		t.Errorf("exit code %d", code)
	}
}

func TestRefusePrivilege(t *testing.T) {
	for _, tt := range []struct {
		setuid, setgid, secure bool
		word                   string
	}{
		{false, false, false, ""}, {true, true, true, "setuid"}, {false, true, true, "setgid"}, {false, false, true, "file capabilities"},
	} {
		err := privileged(tt.setuid, tt.setgid, tt.secure)
		if (err == nil) != (tt.word == "") || err != nil && !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%+v: %v", tt, err)
		}
		if err != nil && exitCode(err) != exitLauncher {
			t.Errorf("%+v: exit code %d", tt, exitCode(err))
		}
	}
}

// TestWriteSaysWhyItCannot checks that cordon returns an error if its data did not reach stdout.
func TestWriteSaysWhyItCannot(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	u := &ui{out: full}
	if err := u.write("x"); err == nil || err.Error() != "stdout: no space left on device" {
		t.Errorf("%v", err)
	}
}
