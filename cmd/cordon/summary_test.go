package main

import (
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/report"
)

func counter(n uint64) *uint64 { return &n }

func TestSummary(t *testing.T) {
	throttled := 1500 * time.Millisecond
	full := report.Report{
		Profile: "judge", Args: []string{"./a b", "x|y"}, Exit: -1, Signal: "SIGKILL", CoreDump: true, Limit: report.LimitOOM,
		Limits: []report.LimitMet{{Limit: report.LimitOOM, Count: 2, Rule: "limits.memory 64MiB (judge.yaml:3)"}},
		Wall:   12345678901, User: 1234567, System: 20 * time.Millisecond, PeakRSS: 3 << 20,
		Usage: report.Usage{PeakMemory: counter(64 << 20), PeakPIDs: counter(1), ReadBytes: counter(1023), WriteBytes: counter(0), OutputBytes: counter(1 << 40),
			MajorFaults: counter(0), VoluntarySwitches: counter(1), InvoluntarySwitches: counter(0), Throttled: &throttled, OOMKills: counter(2)},
		Denials: &report.Denials{Total: 3, List: []report.Denial{{Text: "keyctl(0)", Count: 3, Comm: "a`|<b>", Rule: "deny", Remedy: "--allow-syscall keyctl"}}},
		Missing: []report.Missing{{Layer: policy.LayerLandlock, Why: "not there"}},
		Hints:   []report.Hint{{Text: "[x](y)", Flag: "--rw"}},
	}
	u, _, text := newTestUI()
	u.showSummary(&full)
	want := `cordon: summary: ended: by the limit oom (SIGKILL, core dumped)
cordon: summary: time: wall 12.3s, user 1.235ms, system 20ms, held back 1.5s
cordon: summary: memory: peak 64.0 MiB, largest process 3.0 MiB, 2 processes killed for it
cordon: summary: processes: 1 process or thread at most
cordon: summary: waits: 1 context switch
cordon: summary: i/o: read 1023 B, written 0 B, output 1.0 TiB
cordon: summary: limit: oom: limits.memory 64MiB (judge.yaml:3)
cordon: summary: denied: 3 calls of 1 kind
cordon: summary: missing: landlock: not there
`
	if text.String() != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	want = `### cordon: ./a b: exit code 137

| | |
|---|---|
| profile | judge |
| command | <code>'./a b' 'x&#124;y'</code> |
| ended | by the limit oom (SIGKILL, core dumped) |
| time | wall 12.3s, user 1.235ms, system 20ms, held back 1.5s |
| memory | peak 64.0 MiB, largest process 3.0 MiB, 2 processes killed for it |
| processes | 1 process or thread at most |
| waits | 1 context switch |
| i/o | read 1023 B, written 0 B, output 1.0 TiB |
| limit | oom&#58; limits.memory 64MiB (judge.yaml&#58;3) |
| denied | 3 calls of 1 kind |
| missing | landlock&#58; not there |

| denied call | times | by | decided by | to allow |
|---|--:|---|---|---|
| <code>keyctl(0)</code> | 3 | a&#96;&#124;&#60;b&#62; | deny | <code>--allow-syscall keyctl</code> |

Hint&#58; &#91;x&#93;(y); try --rw

`
	if got := markdown(&full, 137); got != strings.Replace(want, "Hint&#58;", "Hint:", 1) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	few := facts(&report.Report{Exit: 3}) // nothing was counted
	if len(few) != 2 || few[0].text != "exit status 3" || few[1].text != "wall 0s, user 0s, system 0s" {
		t.Errorf("%q", few)
	}
}

// hostile lists names that an attacker may choose.
var hostile = []string{"a|b", "a\nb", "\x1b[31mred\x1b[0m", "`x`", "<script>", "](http://x)", "www.example.org", "https://example.org", "@user", "#1 !2 ~l %m $s ^a",
	"\u202eback", "\xff", "&amp;", "\\|", "**b** __c__ ~~d~~", ":tada:", "$$x$$", "| | |\r\n|---|"}

func TestEscape(t *testing.T) {
	for _, s := range hostile {
		checkEscape(t, s)
	}
}

// checkEscape checks that a reader sees the original text on one line, and that no part of it acts as markup.
func checkEscape(t *testing.T, s string) {
	t.Helper()
	e := escape(s)
	if html.UnescapeString(e) != clean(s) {
		t.Errorf("%q shows as %q", s, html.UnescapeString(e))
	}
	for i, r := range e {
		if strings.ContainsRune("\n\r\x1b\\`*_{}[]<>!|~@:$^%", r) || r == '#' && (i == 0 || e[i-1] != '&') || r == '&' && (i+1 == len(e) || e[i+1] != '#') {
			t.Errorf("%q becomes %q", s, e)
		}
	}
	if strings.Contains(strings.ToLower(e), "www.") {
		t.Errorf("%q becomes %q, a link", s, e)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkEscape(t, s) })
}

func TestSummaryFileIsAddedTo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.md")
	put := func(path, text string) error {
		r, err := openSummary(path)
		if err != nil {
			return err
		}
		return r.add(text)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path, link} { // create, append, follow the caller's link
		if err := put(p, "x\n"); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(path); string(b) != "x\nx\nx\n" {
		t.Errorf("%q", b)
	}
	for _, tt := range []struct{ path, why string }{
		{"", "not the name of a file"}, {dir, "is a directory"}, {dir + "/none/s.md", "no such file"},
	} {
		err := put(tt.path, "x")
		if err == nil || !strings.Contains(err.Error(), "summary-file") || !strings.Contains(err.Error(), tt.why) || hint(err) == "" {
			t.Errorf("%q: %v, %q", tt.path, err, hint(err))
		}
	}
}

// TestSummaryFileOfHostileDirectory checks that cordon writes to no other file if the task owns the directory and
// replaces the summary by something else.
func TestSummaryFileOfHostileDirectory(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "s.md"), filepath.Join(t.TempDir(), "victim")
	for _, tt := range []struct {
		name  string
		there bool // whether the file existed before
		make  func() error
	}{
		{"link", true, func() error { return os.Symlink(victim, path) }},
		{"new link", false, func() error { return os.Symlink(victim, path) }},
		{"dangling link", false, func() error { return os.Symlink(victim+"2", path) }},
		{"hard link", true, func() error { return os.Link(victim, path) }},
		{"fifo", true, func() error { return unix.Mkfifo(path, 0o666) }},
		{"directory", true, func() error { return os.Mkdir(path, 0o777) }},
	} {
		os.RemoveAll(path)
		if err := os.WriteFile(victim, []byte("keep"), 0o600); err != nil {
			t.Fatal(err)
		}
		if tt.there {
			if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := openSummary(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := tt.make(); err != nil {
			t.Fatal(err)
		}
		if err := r.add("text\n"); err == nil || !strings.Contains(err.Error(), "summary-file") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if b, _ := os.ReadFile(victim); string(b) != "keep" {
			t.Errorf("%s: the victim holds %q", tt.name, b)
		}
		if _, err := os.Stat(victim + "2"); err == nil {
			t.Errorf("%s: a file was made", tt.name)
		}
	}
}
