package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// erring lists programs with two command lines each. The test records the command line that succeeds, and then runs the
// one that fails, for a reason of its own, under the learned profile. The program must print the same text and end in the
// same way as when it fails without a sandbox.
var erring = []struct {
	name, needs string
	built       string // makes the program beforehand, outside, from the files below
	well, badly []string
}{
	{name: "grep", needs: "grep", well: []string{"grep", "a", "data"}, badly: []string{"grep", "a", "none"}},
	{name: "cat", well: []string{"cat", "data"}, badly: []string{"cat", "none"}},
	{name: "c-assert", needs: "gcc", built: "gcc -o assert assert.c", well: []string{"./assert"}, badly: []string{"./assert", "assert"}},
	{name: "c-perror", needs: "gcc", built: "gcc -o assert assert.c", well: []string{"./assert"}, badly: []string{"./assert", "perror"}},
	{name: "c-free", needs: "gcc", built: "gcc -w -o assert assert.c", well: []string{"./assert"}, badly: []string{"./assert", "free"}},
	{name: "c-static", needs: "gcc", built: "gcc -static -o assert assert.c", well: []string{"./assert"}, badly: []string{"./assert", "assert"}},
	{name: "python-assert", needs: "/usr/bin/python3", well: []string{"/usr/bin/python3", "-I", "fail.py"}, badly: []string{"/usr/bin/python3", "-I", "fail.py", "x"}},
	{name: "go-panic", needs: "go", built: "go build -trimpath -o panic panic.go", well: []string{"./panic"}, badly: []string{"./panic", "x"}},
	{name: "node-throw", needs: "node", well: []string{"node", "fail.js"}, badly: []string{"node", "fail.js", "x"}},
	{name: "bash-unset", needs: "bash", well: []string{"bash", "-u", "fail.sh"}, badly: []string{"bash", "-u", "fail.sh", "x"}},
	{name: "perl-die", needs: "perl", well: []string{"perl", "-e", `die "no\n" if @ARGV`}, badly: []string{"perl", "-e", `die "no\n" if @ARGV`, "x"}},
}

// erringFiles lists the files that these programs read.
var erringFiles = map[string]string{
	"data": "a\n",
	"assert.c": `#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int n, char **v) {
	assert(n < 2 || strcmp(v[1], "assert"));
	if (n > 1 && !strcmp(v[1], "perror")) { if (!fopen("/none", "r")) perror("open"); return 3; }
	if (n > 1) { char *p = malloc(10); free(p); free(p); }
	return 0;
}
`,
	"fail.py":  "import sys\nassert len(sys.argv) < 2, 'boom'\n",
	"panic.go": "package main\n\nimport \"os\"\n\nfunc main() {\n\tif len(os.Args) > 1 {\n\t\tpanic(\"boom\")\n\t}\n}\n",
	"fail.js":  "if (process.argv.length > 2) throw new Error('boom')\n",
	"fail.sh":  "if test $# -gt 0; then echo $none; fi\n",
}

func TestLearnErrorPaths(t *testing.T) {
	dir := learnDir(t)
	backends := []string{"notify"}
	if os.Getuid() == 0 {
		backends = []string{"bpf", "notify"}
	}
	for _, p := range erring {
		t.Run(p.name, func(t *testing.T) {
			for name := range strings.FieldsSeq(p.needs) {
				if lacks, err := condition("lacks:" + name); err != nil || lacks {
					t.Skip("no ", name, err)
				}
			}
			b := &learning{learnt: &learnt{name: p.name}, dir: dir, work: filepath.Join(dir, p.name)}
			for name, text := range erringFiles {
				file := filepath.Join(b.work, name)
				if err := errors.Join(os.MkdirAll(b.work, 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := b.command(t, b.work, "sh", "-ec", p.built).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", p.built, err, out)
			}
			want, code := b.fails(t, p.badly[0], p.badly[1:]...)
			for _, backend := range backends {
				rec, profile := filepath.Join(dir, p.name+backend+".rec"), filepath.Join(dir, p.name+backend+".yaml")
				cordon := filepath.Join(base, "bin/cordon")
				b.succeeds(t, cordon, append([]string{"record", "-o", rec, "--backend", backend, "-p", "build", "--"}, p.well...)...)
				b.succeeds(t, cordon, "learn", rec, "-o", profile)
				got, ended := b.fails(t, cordon, append([]string{"run", "-p", profile, "--"}, p.badly...)...)
				if got != want || ended != code {
					t.Errorf("%s: outside it ends with %d:\n%s\nunder the profile with %d:\n%s", backend, code, want, ended, got)
				}
			}
		})
	}
}

// fails runs a program that must fail. It returns what the program printed, without the launcher's lines about the
// host, and the exit code as a shell would show it.
func (b *learning) fails(t *testing.T, name string, args ...string) (said string, code int) {
	t.Helper()
	out, err := b.command(t, b.work, name, args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "cordon: missing:") && !strings.HasPrefix(line, "cordon: added:") {
			said += line
		}
	}
	if code = exit.ExitCode(); code < 0 {
		code = 128 + signalOf(exit)
	}
	return said, code
}

func (b *learning) succeeds(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := b.command(t, b.work, name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strconv.Quote(strings.Join(args, " ")), err, out)
	}
}

// signalOf returns the number of the signal that ended a program.
func signalOf(e *exec.ExitError) int {
	status, _ := e.Sys().(syscall.WaitStatus)
	return int(status.Signal())
}
