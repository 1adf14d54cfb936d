package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cordon/sandbox/report"
)

func readReport(t *testing.T, path string) report.Report {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(b, &r); err != nil || !strings.HasSuffix(string(b), "}\n") {
		t.Fatalf("%v in %q", err, b)
	}
	return r
}

func writeReport(t *testing.T, path string, exit int) {
	t.Helper()
	r, err := openReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.write(&report.Report{Version: 1, Exit: exit}); err != nil {
		t.Fatal(err)
	}
}

func TestReportIsPutInPlaceWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	writeReport(t, path, 3)
	writeReport(t, path, 4)
	if r := readReport(t, path); r.Exit != 4 {
		t.Errorf("%+v", r)
	}
	i, err := os.Stat(path)
	if err != nil || i.Mode() != 0o600 {
		t.Errorf("mode %v, %v", i.Mode(), err)
	}
	if d, _ := os.ReadDir(dir); len(d) != 1 {
		t.Errorf("left behind: %v", d)
	}
}

// TestReportMakesNothingBeforehand checks that cordon creates nothing before the run, because a task that owns the
// directory could write to it.
func TestReportMakesNothingBeforehand(t *testing.T) {
	dir := t.TempDir()
	if _, err := openReport(filepath.Join(dir, "r.json")); err != nil {
		t.Fatal(err)
	}
	if d, _ := os.ReadDir(dir); len(d) != 0 {
		t.Errorf("made: %v", d)
	}
}

// TestReportFollowsNoLinkMadeMeanwhile checks two attacks of a task that owns the directory. It replaces the file by a
// link, or it moves the directory away and puts a link to another directory in its place.
func TestReportFollowsNoLinkMadeMeanwhile(t *testing.T) {
	base := t.TempDir()
	dir, victim := filepath.Join(base, "work"), filepath.Join(base, "victim")
	for _, d := range []string{dir, victim} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(victim, "r.json")
	if err := os.WriteFile(secret, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openReport(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(secret, filepath.Join(dir, "r.json")),
		os.Rename(dir, dir+".moved"),
		os.Symlink(victim, dir),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.write(&report.Report{Exit: 5}); err == nil || !strings.Contains(err.Error(), dir+".moved") {
		t.Errorf("it does not say where the report is: %v", err)
	}
	if b, _ := os.ReadFile(secret); string(b) != "keep" {
		t.Errorf("the link's target was written: %q", b)
	}
	if r := readReport(t, dir+".moved/r.json"); r.Exit != 5 {
		t.Errorf("%+v", r)
	}
}

func TestReportRefusedBeforeAnythingRuns(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, why string }{
		{"", "not the name of a file"},
		{dir + "/", "not the name of a file"},
		{dir, "is a directory"},
		{dir + "/none/r.json", "no such file or directory"},
		{file + "/r.json", "not a directory"},
		{"/proc/r.json", ""},
		{"/dev/fd/987", "bad file descriptor"},
		{"/dev/full/x", "not a directory"},
		{dir + "/a\nb/r.json", "no such file or directory"},
	} {
		_, err := openReport(tt.path)
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%q: %v, want %q", tt.path, err, tt.why)
		} else if exitCode(err) != exitLauncher || hint(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: code %d, hint %q, %q", tt.path, exitCode(err), hint(err), err)
		}
	}
}

func TestReportToDescriptor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	writeReport(t, "/dev/fd/"+strconv.Itoa(int(w.Fd())), 6)
	w.Close()
	var rep report.Report
	if err := json.NewDecoder(r).Decode(&rep); err != nil || rep.Exit != 6 {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, err := openReport("/dev/fd/" + strconv.Itoa(int(r.Fd()))); err == nil || !strings.Contains(err.Error(), "not open for writing") {
		t.Errorf("the reading end: %v", err)
	}
}

// TestReportOnFullFileSystem checks that cordon finds out before the run that the file system is full.
func TestReportOnFullFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a tmpfs of one page needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skip("mount: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openReport(filepath.Join(dir, "r.json")); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
	if err := unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := openReport(filepath.Join(dir, "r.json")); err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("%v", err)
	}
}

func TestOutputsNeedNames(t *testing.T) {
	for _, flag := range []string{"report", "summary-file", "record-tty"} {
		cmd := newRun(&ui{})
		if err := cmd.Flags().Set(flag, ""); err == nil || !strings.Contains(err.Error(), "names no file") {
			t.Errorf("--%s: %v", flag, err)
		}
	}
}
