package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/policy"
)

// TestPasted pastes every example of README.md and docs into a shell, line by line, as a reader would. Each document
// has a directory with the programs and files that its examples name. A later example finds what an earlier one has
// written.
//
// A fenced block names its language. sh and console contain commands, in console those after "$ ". yaml contains
// profiles or parts of profiles. text and json are output. go belongs to the library's own examples.
func TestPasted(t *testing.T) {
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			r := &reader{file: filepath.Base(file)}
			for _, b := range fenced(string(text)) {
				switch b.lang {
				case "sh", "console":
					r.paste(t, b)
				case "yaml":
					if _, err := policy.Parse(r.file, []byte(b.text())); err != nil {
						t.Errorf("line %d: %v", b.line, err)
					}
				case "text", "json", "go":
				default:
					t.Errorf("line %d: a block of code needs a language; %q is none of sh, console, yaml, text, json and go", b.line, b.lang)
				}
			}
		})
	}
	for i := range notPasted {
		if !notPasted[i].used {
			t.Errorf("no document has an example that begins with %q", notPasted[i].prefix)
		}
	}
}

// omitted is a command that the test does not run.
type omitted struct {
	prefix, why string
	used        bool // a document contains the command
}

// notPasted lists the commands, by their beginning, that cannot run here, each with the reason.
var notPasted = []omitted{
	{prefix: "git clone", why: "it would fetch cordon"},
	{prefix: "make ", why: "it builds or tests cordon, in its own checkout"},
	{prefix: ".ci/run", why: "it runs this test"},
	{prefix: "bin/vm", why: "it starts a virtual machine"},
	{prefix: "CGO_ENABLED=0 go test", why: "it builds a test of cordon, in its own checkout"},
	{prefix: "strace -f", why: "the test of the plan does the same, and compares"},
	{prefix: "strace -c", why: "strace is not everywhere"},
	{prefix: "perf trace", why: "it needs root and perf"},
	{prefix: "cordon run --net host --timeout 10s -- curl", why: "it needs the network"},
	{prefix: "cordon run --net-allow example.org:443 -- curl", why: "it needs the network; network-list.txtar has one"},
	{prefix: "cordon run -p ./docker.yaml --root /srv/rootfs", why: "it needs a root file system; shipped-container.txtar has one"},
	{prefix: "cordon record -o nginx.rec", why: "it needs nginx; the tests of learn record it where it is installed"},
	{prefix: "cordon learn nginx.rec", why: "it needs the recording of nginx"},
	{prefix: "cordon profile lint ./nginx.yaml", why: "it needs the profile of nginx"},
	{prefix: "cordon run -p ./nginx.yaml", why: "it needs nginx"},
	{prefix: "sudo ", why: "it asks for a password; record-running.txtar does the same as root"},
	{prefix: "docker ", why: "it needs Docker"},
	{prefix: "bwrap ", why: "it needs bubblewrap; filter-dump.txtar has it"},
	{prefix: "cordon logs -f", why: "it goes on until the sandbox ends; detach.txtar follows one"},
}

// ends lists the exit codes, by the beginning of the command, of examples that do not end with 0.
var ends = []struct {
	prefix string
	codes  []int
}{
	{"cordon run -v -- sh -c 'id; ls ~; touch here'", []int{1}},                 // touch is denied
	{"cordon run --hide '**/.env'", []int{0}},                                   //
	{"cordon why", []int{0, 1}},                                                 // 1: denied
	{"cordon doctor", []int{0, 1}},                                              // 1: this machine lacks something
	{"cordon audit", []int{0, 3}},                                               // 3: something would be denied
	{"cordon learn", []int{0, 1}},                                               // 1: something would be denied
	{"cordon profile lint", []int{0, 1}},                                        // 1: there are findings
	{"cordon profile diff --fail-on widen ./old.yaml ./tool.yaml", []int{0, 1}}, // 1: it widens
	{"cordon profile check ./ci.yaml", []int{1}},                                // the example is an error
	{"cordon kill web", []int{143}},                                             // SIGTERM
}

// block is a fenced block of a document.
type block struct {
	lang  string
	line  int // the number of its first line
	lines []string
}

func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// commands returns the lines that a reader would paste.
func (b block) commands() []string {
	var out []string
	for _, l := range b.lines {
		command, typed := strings.CutPrefix(l, "$ ")
		if text := strings.TrimSpace(command); (b.lang == "sh" || typed) && text != "" && text[0] != '#' {
			out = append(out, command)
		}
	}
	return out
}

// documents returns README.md and the pages of docs, from the checkout or from the ordinary user's copy.
func documents(t *testing.T) []string {
	t.Helper()
	root := "../.."
	if _, err := os.Stat(root + "/README.md"); err != nil {
		root = base + "/documents"
	}
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal("no documents", err)
	}
	return append([]string{root + "/README.md"}, pages...)
}

// fenced finds the blocks of a document.
func fenced(text string) []block {
	var out []block
	open := false
	for i, l := range strings.Split(text, "\n") {
		lang, fence := strings.CutPrefix(l, "```")
		switch {
		case fence && !open:
			open = true
			out = append(out, block{lang: lang, line: i + 2})
		case fence:
			open = false
		case open:
			b := &out[len(out)-1]
			b.lines = append(b.lines, l)
		}
	}
	return out
}

// reader is a person who tries the examples of a document.
type reader struct {
	file string
	dir  string // made before the first example
}

func (r *reader) paste(t *testing.T, b block) {
	for _, command := range b.commands() {
		left := slices.IndexFunc(notPasted, func(n omitted) bool { return strings.HasPrefix(command, n.prefix) })
		if left >= 0 {
			notPasted[left].used = true
			continue
		}
		if r.dir == "" {
			r.settle(t)
		}
		want := []int{0}
		for _, e := range ends {
			if strings.HasPrefix(command, e.prefix) {
				want = e.codes
			}
		}
		if got, said := r.run(command); !slices.Contains(want, got) {
			t.Errorf("line %d: %s\nexit code %d, want %v\n%s", b.line, command, got, want, said)
		}
	}
}

// settle makes the reader's directory and home.
func (r *reader) settle(t *testing.T) {
	parent := filepath.Join(base, strconv.Itoa(os.Getuid()))
	err := os.MkdirAll(parent, 0o755)
	if err == nil {
		r.dir, err = os.MkdirTemp(parent, "pasted-")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		removeAll(r.dir)
		// The file system reuses the numbers of removed directories for new directories. Within the slack of the
		// clocks, a launcher cannot distinguish such a new directory from one that a sandbox could write.
		time.Sleep(200 * time.Millisecond)
	})
	for _, d := range []string{"home/data", "home/out", "home/pictures", "home/.cache", "home/.run", "work/out", "work/bin"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(r.dir, d), 0o700))
	}
	err = errors.Join(err, os.Chmod(r.dir, 0o755), os.Symlink(base+"/bin/cordon", r.dir+"/work/bin/cordon"))
	for name, text := range belongings {
		if of, apart := strings.CutSuffix(name, " "+r.file); apart {
			name = of
		} else if strings.Contains(name, " ") {
			continue
		}
		err = errors.Join(err, os.WriteFile(filepath.Join(r.dir, "work", name), []byte(text), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// belongings lists the files that examples name. A key "NAME DOCUMENT" applies only to the examples of that document.
var belongings = map[string]string{
	"tool":               "#!/bin/sh\ncat Makefile >/dev/null\n",
	"parser":             "#!/bin/sh\nread x && echo \"$x\"\n",
	"server":             "#!/bin/sh\nexec sleep 3\n",
	"input":              "text\n",
	"Makefile":           "check test all:\n\t@true\n",
	".env":               "SECRET=1\n",
	"ci.yaml profile.md": "version: 1\nname: ci\nmounts:\n  - {bind: ., mdoe: rw}\n",
	"ci.yaml lint.md":    "version: 1\nname: ci\nextends: [build]\n",
	"tool.yaml audit.md": "version: 1\nname: tool\nextends: [default]\n",
	"old.yaml":           "version: 1\nname: old\nextends: [default]\n",
	"default.json": `{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
"syscalls": [{"names": ["read", "write", "execve", "exit_group"], "action": "SCMP_ACT_ALLOW"}]}`,
}

// run returns the exit code of a command and what it wrote.
func (r *reader) run(command string) (int, string) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute*slow)
	defer stop()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	home := r.dir + "/home"
	c.Dir = r.dir + "/work"
	c.Env = []string{"PATH=" + toolPath(), "HOME=" + home, "XDG_RUNTIME_DIR=" + home + "/.run", "LANG=C.UTF-8",
		"GITHUB_STEP_SUMMARY=" + home + "/summary.md", "PWD=" + c.Dir}
	var said bytes.Buffer
	c.Stdout, c.Stderr, c.WaitDelay = &said, &said, time.Second
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitCode(exit.ProcessState), said.String()
	case err != nil:
		return -1, err.Error()
	}
	return 0, said.String()
}
