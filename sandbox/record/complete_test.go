package record_test

// What is recorded, held against strace(1): the same calls, and the same opened files.

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/record"
)

// workloads are programs that are deterministic enough to be run twice.
var workloads = []struct {
	name string
	prep []string // run once before, outside
	args []string

	chance []string // calls that it makes or not as the scheduler has it
}{
	{"ls", nil, []string{"ls", "-l", "/usr"}, nil},
	{"gcc", nil, []string{"gcc", "hello.c", "-o", "hello"}, nil},
	{"python3", nil, []string{"/usr/bin/python3", "-I", "-c", "import json, os, socket; os.listdir('/etc'); open('/etc/hostname').read()"}, nil},
	{"static-go", []string{"go", "build", "-o", "hello-go", "hello.go"}, []string{"./hello-go"},
		[]string{"sched_yield", "nanosleep", "tgkill", "getpid", "rt_sigreturn", "futex", "epoll_pwait", "madvise"}},
	{"git", []string{"sh", "-c", "git init -q repo && cp hello.c repo && git -C repo add . && git -C repo -c user.name=a -c user.email=b@c commit -qm x"},
		[]string{"git", "--no-optional-locks", "-C", "repo", "status"}, nil},
	{"shell", nil, []string{"sh", "-c", "mkdir d; echo x > d/a; ln -s a d/b; cat d/b; mv d/a d/c; rm -r d; (exit 3); true"}, nil},
}

func TestCompleteAgainstStrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace")
	}
	for _, backend := range []string{record.BPF, record.Notify} {
		if backend == record.BPF && os.Getuid() != 0 {
			continue // the ordinary user's is notify
		}
		for _, w := range workloads {
			t.Run(backend+"/"+w.name, func(t *testing.T) {
				if _, err := exec.LookPath(w.args[0]); err != nil && !strings.HasPrefix(w.args[0], "./") {
					t.Skip(err)
				}
				dir := workdir(t)
				if w.prep != nil {
					run(t, dir, w.prep)
				}
				args := slices.Clone(w.args)
				if file, ok := strings.CutPrefix(args[0], "./"); ok {
					args[0] = filepath.Join(dir, file)
				}
				rec := recordRun(t, dir, backend, args)
				for _, name := range []string{"d", "hello"} {
					os.RemoveAll(filepath.Join(dir, name))
				}
				calls, files := traced(t, dir, args)
				gotCalls, gotFiles := recorded(rec)
				for _, name := range w.chance {
					delete(gotCalls, name)
					delete(calls, name)
				}
				same(t, "calls", gotCalls, calls, true)
				// How a call ends only bpf sees: notify has a readlink of what is no link among what was read.
				same(t, "opened files", gotFiles, files, backend == record.BPF)
			})
		}
	}
}

// workdir is a directory that the ordinary user that root becomes inside may write.
func workdir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "cordon-record-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range map[string]string{
		"hello.c":  "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
		"hello.go": "package main\n\nimport \"os\"\n\nfunc main() { _, _ = os.ReadDir(\"/etc\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// environment is the same inside and outside.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "GOCACHE=" + goCache(), "GO111MODULE=off", "CGO_ENABLED=0"}
}

func goCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, _ := os.UserCacheDir() // "": go says so
	return filepath.Join(dir, "go-build")
}

func run(t *testing.T, dir string, args []string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = dir, environment(dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// recordRun records a program in the host's tree, with the working directory writable.
func recordRun(t *testing.T, dir, backend string, args []string) *recording.Recording {
	t.Helper()
	p, err := profiles.Search{}.Load([]string{"build"}, &policy.Profile{Mounts: []policy.Mount{{Kind: policy.MountBind, Source: dir, Write: true}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Env = policy.Env{Keep: []policy.EnvKeep{{Pattern: "*"}}}
	p.Hide, p.Process.Workdir = nil, dir
	r, err := record.New(record.Options{Backend: backend, AllCalls: true})
	if err != nil {
		t.Skip(err)
	}
	c := &sandbox.Cmd{Profile: record.Permissive(p), Args: args, Env: environment(dir), Observer: r}
	rep, err := c.Run()
	r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != 0 {
		t.Fatalf("exit %d %s", rep.Exit, rep.Signal)
	}
	for _, e := range rep.Enforced {
		if e.Layer == policy.LayerSeccomp || e.Layer == policy.LayerLandlock {
			t.Errorf("%s is said to be enforced", e.Layer)
		}
	}
	rec := r.Recording(recording.Run{Command: args})
	if run := rec.Header.Runs[0]; !run.Complete {
		t.Errorf("not complete: %q", run.Why)
	}
	if err := rec.Write(io.Discard); err != nil {
		t.Error(err)
	}
	return rec
}

// own are names that differ from run to run.
var own = regexp.MustCompile(`^/tmp/cc\w+|^/proc/(self|\d+)/`)

func normal(path string) string { return own.ReplaceAllString(path, "/*/") }

// recorded are the calls, and the files that were opened.
func recorded(rec *recording.Recording) (calls, files map[string]bool) {
	calls, files = map[string]bool{}, map[string]bool{}
	for _, e := range rec.Events {
		switch {
		case e.Kind == recording.KindCall:
			calls[e.Call] = true
		case e.Kind == recording.KindPath && e.Errno == "" && (e.Access&(recording.Write|recording.List) != 0 || e.Access&recording.Read != 0 && e.Type != recording.TypeLink && e.Type != recording.TypeDir):
			files[normal(e.Path)] = true
		}
	}
	return calls, files
}

var (
	tracedCall = regexp.MustCompile(`^\d+ +(\w+)\(`)
	tracedOpen = regexp.MustCompile(`\b(?:open|openat|openat2|creat)\b.* = \d+<([^>]*)>`)
	tracedLink = regexp.MustCompile(`\b(?:readlink|readlinkat)\(`)
)

// traced is the same by strace, without the execve that runs the program.
func traced(t *testing.T, dir string, args []string) (calls, files map[string]bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "trace")
	run(t, dir, append([]string{"strace", "-f", "-y", "-s", "4096", "-o", out}, args...))
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	calls, files = map[string]bool{}, map[string]bool{}
	_, rest, _ := strings.Cut(string(text), "\n")
	for line := range strings.Lines(rest) {
		if m := tracedCall.FindStringSubmatch(line); m != nil {
			calls[m[1]] = true
		}
		if m := tracedOpen.FindStringSubmatch(line); m != nil && !tracedLink.MatchString(line) {
			files[normal(strings.TrimSuffix(m[1], "(deleted)"))] = true
		}
	}
	return calls, files
}

// same compares two sets: everything that is wanted is there and, where both is asked, nothing else.
func same(t *testing.T, what string, got, want map[string]bool, both bool) {
	t.Helper()
	for _, x := range sortedKeys(want) {
		if !got[x] {
			t.Errorf("%s: %s is not recorded", what, x)
		}
	}
	for _, x := range sortedKeys(got) {
		if both && !want[x] {
			t.Errorf("%s: %s is recorded, and strace does not have it", what, x)
		}
	}
}

func sortedKeys(m map[string]bool) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
