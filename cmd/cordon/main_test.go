package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMainUsage(t *testing.T) {
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // a substring; "" means nothing at all
		stderr string
	}{
		{"", 125, "", "\nRun:\n  run "},
		{"--help", 0, "\nRun:\n  run ", ""},
		{"help", 0, "\nRun:\n  run ", ""},
		{"--version", 0, "cordon ", ""},
		{"version", 0, "cordon ", ""},
		{"version --json", 0, `"platform": "linux/`, ""},
		{"version x", 125, "", `cordon: error: cordon version: unknown command "x"`},
		{"nonesuch", 125, "", "cordon: error: cordon: unknown command \"nonesuch\"\ncordon: hint: "},
		{"pln", 125, "", "cordon: hint: did you mean cordon plan?\n"},
		{"--nonesuch", 125, "", "cordon: error: unknown flag: --nonesuch\ncordon: hint: cordon --help"},
		{"run", 125, "", "cordon: error: cordon run: the command is missing\ncordon: hint: usage: cordon run"},
		{"run --nonesuch x", 125, "", "cordon: error: unknown flag: --nonesuch\ncordon: hint: cordon run --help"},
		{"run --memry 1 x", 125, "", "cordon: error: unknown flag: --memry\ncordon: hint: did you mean --memory?\n"},
		{"profile show --efective x", 125, "", "cordon: hint: did you mean --effective?\n"},
		{"run --memory", 125, "", "cordon: error: flag needs an argument: --memory\n"},
		{"run --help", 0, "--keep-env NAME|PREFIX*", ""},
		{"help run", 0, "--keep-env NAME|PREFIX*", ""},
		{"run -p nonesuch x", 125, "", "cordon: error: unknown profile \"nonesuch\"\ncordon: hint: "},
		{"run -p defalt x", 125, "", "cordon: hint: did you mean \"default\"?\n"},
		{"run --report /nonesuch/r.json true", 125, "", "cordon: error: report \"/nonesuch/r.json\": no such file or directory\ncordon: hint: "},
		{"profile", 125, "", "Commands:\n  ls "},
		{"profile nonesuch", 125, "", "cordon: error: cordon profile: unknown command \"nonesuch\"\n"},
		{"profile show", 125, "", "the name of a profile is missing"},
		{"profile show default base", 125, "", `"base" is one argument too many`},
		{"profile ls", 0, "default", ""},
		{"profile schema", 0, `"$schema"`, ""},
		{"profile check default strict", 0, "", ""},
		{"profile check nonesuch default", 1, "", "cordon: error: unknown profile \"nonesuch\"\n"},
		{"completion bash", 0, "__complete", ""},
		{"completion zsh", 0, "#compdef cordon", ""},
		{"completion fish", 0, "complete -c cordon", ""},
		{"completion tcsh", 125, "", "no script for the shell tcsh"},
		{"completion", 125, "", "the shell is missing"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			home(t)
			u, out, text := newTestUI()
			if code := u.main(strings.Fields(tt.args)); code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			for _, s := range []struct{ name, got, want string }{{"stdout", out.String(), tt.stdout}, {"stderr", text.String(), tt.stderr}} {
				if !strings.Contains(s.got, s.want) || s.want == "" && s.got != "" {
					t.Errorf("%s %q, want %q", s.name, s.got, s.want)
				}
			}
		})
	}
}

// TestOnlyTheNamedCommandIsBuilt checks that cordon builds only the command in use, and all commands if the help or a
// suggestion needs them.
func TestOnlyTheNamedCommandIsBuilt(t *testing.T) {
	for _, tt := range []struct {
		args []string
		n    int
	}{{[]string{"run", "x"}, 1}, {[]string{"version"}, 1}, {nil, len(commands)}, {[]string{"help"}, len(commands)}, {[]string{"--help"}, len(commands)}} {
		u, _, _ := newTestUI()
		if got := len(newRoot(u, tt.args).Commands()); got != tt.n {
			t.Errorf("%q: %d commands, want %d", tt.args, got, tt.n)
		}
	}
}

// TestDocumented checks that docs/cli.md contains every command, and every flag that is not a field of the profile.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if !strings.Contains(string(doc), "cordon "+c.name) {
			t.Errorf("cordon %s is not there", c.name)
		}
	}
	for _, word := range []string{"--profile", "--report", "--summary", "--summary-file", "--verbose", "--dry-run", "`ls", "`show", "`check", "`fmt", "`schema`", "`new", "--effective", "--extends",
		"--detach", "--name", "--rm", "--log-max-size", "--log-files", "--all", "--quiet", "--no-stream", "--interval", "--follow", "--tail", "--since", "--timestamps", "--signal", "--force", "--ended"} {
		if !strings.Contains(string(doc), word) {
			t.Errorf("%s is not there", word)
		}
	}
}

func TestProfileShowIsAProfileAgain(t *testing.T) {
	dir := home(t)
	for _, name := range []string{"default", "strict", "container"} {
		u, out, text := newTestUI()
		if code := u.main([]string{"profile", "show", name, "--effective"}); code != 0 {
			t.Fatalf("%s: %d, %s", name, code, text)
		}
		file := filepath.Join(dir, name+"-shown.yaml")
		if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if code := u.main([]string{"profile", "check", file}); code != 0 {
			t.Errorf("%s: check: %d, %s", name, code, text)
		}
	}
}

func TestProfileShowJSON(t *testing.T) {
	home(t)
	u, out, text := newTestUI()
	if code := u.main([]string{"profile", "show", "default", "--json"}); code != 0 {
		t.Fatalf("%d, %s", code, text)
	}
	var p struct {
		Version int
		Name    string
		Extends []string
		Root    struct{ Host string }
		Mounts  []struct {
			Tmpfs, Mode string
			Optional    bool
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &p); err != nil {
		t.Fatal(err)
	}
	if p.Version != 1 || p.Name != "default" || p.Extends[0] != "base" || p.Root.Host != "ro" || p.Mounts[0].Tmpfs != "/run" || p.Mounts[0].Mode != "0755" || !p.Mounts[1].Optional {
		t.Errorf("%+v", p)
	}
}

func TestProfileFmt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	const untidy = "# why\nname:   x\nversion:     1\n"
	if err := os.WriteFile(file, []byte(untidy), 0o640); err != nil {
		t.Fatal(err)
	}
	run := func(code int, args ...string) string {
		t.Helper()
		u, out, text := newTestUI()
		if got := u.main(append([]string{"profile", "fmt"}, args...)); got != code {
			t.Fatalf("%q: %d, want %d; %s", args, got, code, text)
		}
		return out.String()
	}
	tidy := run(0, file)
	if !strings.Contains(tidy, "# why") || tidy == untidy {
		t.Fatalf("%q", tidy)
	}
	diff := run(1, "-d", file)
	if !strings.Contains(diff, "\n-name:   x\n") || !strings.Contains(diff, "\n+name: x\n") {
		t.Errorf("diff %q", diff)
	}
	if b, _ := os.ReadFile(file); string(b) != untidy {
		t.Errorf("-d changed the file: %q", b)
	}
	run(0, "-w", file)
	if b, _ := os.ReadFile(file); string(b) != tidy {
		t.Errorf("-w wrote %q", b)
	}
	if i, _ := os.Stat(file); i.Mode() != 0o640 {
		t.Errorf("mode %v", i.Mode())
	}
	if got := run(0, "-d", file); got != "" {
		t.Errorf("a second diff: %q", got)
	}
	run(125, file+".none")
	if d, _ := os.ReadDir(filepath.Dir(file)); len(d) != 1 {
		t.Errorf("left behind: %v", d)
	}
}

// TestProfileCheckWarnsOfSockets checks that profile check warns of each socket, with the line that shows it.
func TestProfileCheckWarnsOfSockets(t *testing.T) {
	home(t)
	t.Setenv("XDG_RUNTIME_DIR", "/xdg")
	file := filepath.Join(t.TempDir(), "s.yaml")
	text := "version: 1\nextends: [default]\nmounts:\n  - {bind: /run/podman}\n  - {bind: /xdg/bus}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, out, stderr := newTestUI()
	code := u.main([]string{"profile", "check", file})
	var places []string
	for _, line := range strings.Split(strings.TrimSpace(stderr.String()), "\n") {
		if !strings.HasPrefix(line, "cordon: warning: "+file+": mounts[") || !strings.Contains(line, ", which gives ") {
			t.Errorf("%q", line)
		}
		places = append(places, line[strings.LastIndex(line, " ")+1:])
	}
	if got := strings.Join(places, " "); got != "("+file+":4) ("+file+":5)" || code != 0 || out.String() != "" {
		t.Errorf("code %d, places %s:\n%s", code, got, stderr)
	}
}

// TestProfileCheckWarns checks that profile check warns of lines that the caller wrote, and not of lines in shipped
// profiles.
func TestProfileCheckWarns(t *testing.T) {
	home(t)
	file := filepath.Join(t.TempDir(), "w.yaml")
	text := "version: 1\nextends: [strict]\nsyscalls:\n  allow: [ptrace]\n  deny: [ptrace]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, out, stderr := newTestUI()
	code := u.main([]string{"profile", "check", file})
	want := "cordon: warning: " + file + ": ptrace is allowed and denied: it is denied (" + file + ":4, " + file + ":5)\n"
	if code != 0 || stderr.String() != want || out.Len() > 0 {
		t.Errorf("%d, %q, want %q", code, stderr, want)
	}
}
