package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ran runs cordon with the given arguments in this process, and returns its exit code, stdout and stderr.
func ran(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	home(t)
	u, out, text := newTestUI()
	code = u.main(args)
	return code, out.String(), text.String()
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestProfileLint(t *testing.T) {
	file := written(t, "p.yaml", "extends: [base]\nlandlock: off\ntty: inherit\nlimits: {wall: 5m} # lint:ignore CL001\n")
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"FILE", 1, file + ":2:11: warning: landlock: it is off [CL019 landlock-off]\n    Then only the mounts", ""},
		{"FILE", 1, file + ":3:6: note: tty:", ""},
		{"FILE", 1, file + ":4: warning: lint:ignore ignores nothing", ""},
		{"--fail-on error FILE", 0, "CL019", ""},
		{"--fail-on never FILE", 0, "CL019", ""},
		{"--format json FILE", 1, `"code": "CL019"`, ""},
		{"default strict build net-client container base", 0, "", ""},
		{"--rules", 0, "CL029 shared-temporary (warning)", ""},
		{"", 125, "", "the profile is missing"},
		{"--format xml FILE", 125, "", "--format xml is not a format"},
		{"--fail-on bad FILE", 125, "", "--fail-on bad is not a level"},
		{"--arch sparc FILE", 125, "", `"sparc" is not an architecture`},
		{"nonesuch", 125, "", "unknown profile"},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, text := ran(t, append([]string{"profile", "lint"}, strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)...)
			if code != c.code || !strings.Contains(out, c.stdout) || !strings.Contains(text, c.stderr) || c.stdout == "" && out != "" {
				t.Errorf("code %d, want %d; stdout %q, stderr %q", code, c.code, out, text)
			}
		})
	}
}

// TestSARIF checks that the log has what sections 3.13, 3.14, 3.19, 3.27 and 3.29 of the standard require, and that it
// refers only to rules that it contains.
func TestSARIF(t *testing.T) {
	file := written(t, "a b.yaml", "name: x\nextends: [base]\nlandlock: off # lint:ignore CL019 it is a test\ntty: inherit\n")
	code, out, _ := ran(t, "profile", "lint", "--format", "sarif", file)
	if code != 1 { // the profile sets no limits, and lint reports that
		t.Errorf("code %d", code)
	}
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name  string
					Rules []struct {
						ID                                      string
						ShortDescription, FullDescription, Help struct{ Text string }
						DefaultConfiguration                    struct{ Level string }
					}
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           *struct{ StartLine, StartColumn int }
					}
				}
				Suppressions []struct{ Kind, Justification string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-2.1.0") || len(log.Runs) != 1 {
		t.Fatalf("%+v", log)
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name == "" || len(run.Tool.Driver.Rules) < 20 {
		t.Errorf("driver %+v", run.Tool.Driver)
	}
	levels := map[string]bool{"none": true, "note": true, "warning": true, "error": true}
	ids := map[string]bool{}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID == "" || ids[r.ID] || r.ShortDescription.Text == "" || r.FullDescription.Text == "" || r.Help.Text == "" || !levels[r.DefaultConfiguration.Level] {
			t.Errorf("rule %+v", r)
		}
		ids[r.ID] = true
	}
	suppressed := 0
	for _, r := range run.Results {
		if !ids[r.RuleID] || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || !levels[r.Level] || r.Message.Text == "" || len(r.Locations) != 1 {
			t.Errorf("result %+v", r)
			continue
		}
		at := r.Locations[0].PhysicalLocation
		if !strings.HasPrefix(at.ArtifactLocation.URI, "file:///") && !strings.HasPrefix(at.ArtifactLocation.URI, "embedded:") || strings.Contains(at.ArtifactLocation.URI, " ") {
			t.Errorf("uri %q", at.ArtifactLocation.URI)
		}
		if at.Region != nil && at.Region.StartLine < 1 {
			t.Errorf("region %+v", at.Region)
		}
		if len(r.Suppressions) > 0 {
			suppressed++
			if r.Suppressions[0].Kind != "inSource" || r.Suppressions[0].Justification != "it is a test" {
				t.Errorf("suppression %+v", r.Suppressions)
			}
		}
	}
	if suppressed != 1 {
		t.Errorf("%d are suppressed", suppressed)
	}
}

func TestProfileDiff(t *testing.T) {
	a := written(t, "a.yaml", "extends: [base]\nsyscalls: {allow: [read]}\n")
	b := written(t, "b.yaml", "extends: [base]\nsyscalls: {allow: [read, write]}\nhide: [/x]\n")
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"A B", 0, "widens: syscalls: write: errno(EPERM) → allow (embedded:base.yaml:14 → " + b + ":2)\n", ""},
		{"A B", 0, "narrows: hide: /x (" + b + ":3)\n", ""},
		{"--fail-on widen A B", 1, "widens:", ""},
		{"--fail-on narrow A B", 1, "widens:", ""},
		{"--fail-on any A B", 1, "widens:", ""},
		{"--fail-on any A A", 0, "", ""},
		{"--json A B", 0, `"widens": 1`, ""},
		{"--arch riscv64 A B", 0, "widens: syscalls: write", ""},
		{"--fail-on=widen default build", 1, "the host's ., writable", ""},
		{"A", 125, "", "a profile is missing"},
		{"A B A", 125, "", "one argument too many"},
		{"--fail-on x A B", 125, "", "--fail-on x is not a kind of change"},
		{"--arch i386 A B", 125, "", "is not an architecture"},
		{"A nonesuch", 125, "", "unknown profile"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var args []string
			for _, w := range strings.Fields(c.args) {
				args = append(args, map[string]string{"A": a, "B": b}[w]+strings.TrimPrefix(strings.TrimPrefix(w, "A"), "B"))
			}
			code, out, text := ran(t, append([]string{"profile", "diff"}, args...)...)
			if code != c.code || !strings.Contains(out, c.stdout) || !strings.Contains(text, c.stderr) || c.stdout == "" && out != "" {
				t.Errorf("code %d, want %d; stdout %q, stderr %q", code, c.code, out, text)
			}
		})
	}
}

const recorded = `{"cordon":"recording","version":1,"arch":"amd64","runs":[{"backend":"bpf","complete":true,"kernel":"6.18.0","started":"2026-11-24T12:00:00Z","wall_ns":1,"command":["/usr/bin/tool"],"home":"/home/me","workdir":"/src","uid":0}]}
{"kind":"executable","id":0,"path":"/usr/bin/tool"}
{"kind":"call","exe":0,"call":"read","n":1}
{"kind":"path","exe":0,"path":"/etc/hosts","access":["read"],"type":"file","n":1}
`

func TestLearn(t *testing.T) {
	good := written(t, "tool.rec", recorded+`{"kind":"end","records":3}`+"\n")
	secret := written(t, "secret.rec", recorded+`{"kind":"path","exe":0,"path":"/home/me/.ssh/id","access":["read"],"type":"file","n":1}`+"\n"+`{"kind":"end","records":4}`+"\n")
	short := written(t, "short.rec", recorded)
	strange := written(t, "x.rec", "execve(\"/bin/true\", [\"true\"], 0x7ff) = 0\n")
	out := filepath.Join(t.TempDir(), "tool.yaml")
	for _, c := range []struct {
		name, args string
		code       int
		stdout     string
		stderr     string
	}{
		{"to stdout", good, 0, "- {bind: /etc/hosts, optional: true} # tool.rec:4\n", "cordon: widened: "},
		{"to a file", "-o " + out + " " + good, 0, "", "cordon: widened: "},
		{"added to", "-o " + out + " " + good, 0, "", "cordon: widened: "},
		{"as JSON", "--json -o " + out + " " + good, 0, `"ok": true`, ""},
		{"secret", secret, 1, "tool.rec", "cordon: secret: read /home/me/.ssh/id: it is a secret"},
		{"secret denied", secret, 1, "bind", "cordon: error: learn: the profile would deny 1 thing of what was recorded\ncordon: hint: to allow a secret"},
		{"secret granted", "--grant /home/me/.ssh/id " + secret, 0, "bind: /home/me/.ssh/id,", ""},
		{"ends too early", short, 0, "#   short.rec ends too early", "cordon: warning: " + short + ": the recording ends too early"},
		{"strace", strange, 125, "", "x.rec:1: not a recording\ncordon: hint: it looks like the output of strace"},
		{"not there", "/nonesuch.rec", 125, "", "no such file or directory"},
		{"nothing", "", 125, "", "the recording is missing"},
		{"JSON and stdout", "--json " + good, 125, "", "--json prints its list on stdout"},
		{"no such parent", "--extends nonesuch " + good, 125, "", `unknown profile "nonesuch"`},
		{"no files", "--files 0 " + good, 125, "", "must be at least 1"},
		{"parent of an existing one", "--extends base -o " + out + " " + good, 125, "", "already says what it extends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "secret" || c.name == "secret denied" {
				c.stdout = "secret.rec"
			}
			code, stdout, stderr := ran(t, append([]string{"learn"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stdout == "" && stdout != "" {
				t.Errorf("code %d, want %d; stdout %q, stderr %q", code, c.code, stdout, stderr)
			}
		})
	}
	// Lines that a person wrote must stay.
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	mine := strings.Replace(string(text), "about: ", "# Reviewed on Monday.\nabout: ", 1)
	mine = strings.Replace(mine, "    - read # tool.rec:3\n", "", 1)
	if err := errors.Join(os.WriteFile(out, []byte(mine), 0o600), os.Chmod(out, 0o600)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := ran(t, "learn", "-o", out, good); code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	again, err := os.ReadFile(out)
	if err != nil || !strings.Contains(string(again), "# Reviewed on Monday.\nabout: ") || !strings.Contains(string(again), "    - read # tool.rec:3\n") {
		t.Errorf("%v\n%s", err, again)
	}
	if i, err := os.Stat(out); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
}
