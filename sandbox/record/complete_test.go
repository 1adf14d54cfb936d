package record_test

// This file compares recordings with strace(1): both must show the same calls, and the same opened files.

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/profiles"
	"cordon/sandbox"
	"cordon/sandbox/record"
	"cordon/sandbox/report"
	"cordon/tests/scratch"
)

// A workload is a program that is deterministic enough to be run twice: recorded, and under strace.
type workload struct {
	name   string
	args   []string
	needs  []string // programs besides
	prep   []string // run before each time, outside
	makes  []string // what it leaves behind, which is removed before each time
	long   bool     // left out with -short
	chance []chance
}

// A chance is a call that a program makes or does not make, depending on how its threads happen to run. So two traces
// of strace differ in it, and the comparison leaves it out. `go test ./sandbox/record -run Chance -chance 20 -v` counts
// such calls.
type chance struct{ why, calls string }

// Without a tracer node yields in 3 of 10 runs (perf stat -e syscalls:sys_enter_sched_yield), and under strace
// --seccomp-bpf in 2 of 12.
var v8Threads = chance{"a thread of V8's yields where it meets another", "sched_yield"}

var goScheduler = chance{"a thread of Go's finds work or waits for it, and is preempted by signals", "sched_yield nanosleep tgkill getpid rt_sigreturn futex epoll_pwait madvise"}

var chances = flag.Int("chance", 0, "run each workload so often under strace, and count what the runs differ in")

var workloads = []workload{
	{name: "ls", args: []string{"ls", "-l", "/usr"}},
	{name: "gcc", args: []string{"gcc", "hello.c", "-o", "hello"}, makes: []string{"hello"}},
	{name: "python3", args: []string{"/usr/bin/python3", "-I", "-c", "import json, os, socket; os.listdir('/etc'); open('/etc/hostname').read()"}},
	{name: "node", args: []string{"/usr/bin/node", "node.js"}, makes: []string{"out"}, chance: []chance{v8Threads}},
	{name: "static-go", args: []string{"./hello-go"}, needs: []string{"go"}, prep: []string{"go", "build", "-o", "hello-go", "hello.go"}, long: true, chance: []chance{goScheduler}},
	{name: "go-build", args: []string{"go", "build", "-C", "module", "-o", "tool", "."}, makes: []string{"module/tool"}, long: true, chance: []chance{goScheduler},
		// Everything except the main package is in the cache.
		prep: []string{"sh", "-ec", "now() { date '+package main // %N' >module/now.go; }; now; go build -C module -o /dev/null .; now"}},
	{name: "git", args: []string{"git", "--no-optional-locks", "-C", "repo", "status"}, makes: []string{"repo"},
		prep: []string{"sh", "-ec", "git init -q repo; cp hello.c repo; touch -d @0 repo/hello.c; git -C repo add .; git -C repo -c user.name=a -c user.email=b@c commit -qm x"}},
	{name: "shell", args: []string{"sh", "-c", "mkdir d; echo x > d/a; ln -s a d/b; cat d/b; mv d/a d/c; rm -r d; (exit 3); true"}, makes: []string{"d"}},
	{name: "nginx", args: []string{"sh", "-e", "nginx.sh"}, needs: []string{"nginx", "curl"}, makes: []string{"nginx.pid", "access.log", "out"}, long: true},
	{name: "redis", args: []string{"sh", "-e", "redis.sh"}, needs: []string{"redis-server", "redis-cli"}, makes: []string{"redis.pid", "dump.rdb", "out"}, long: true},
}

// input holds the files of the working directory.
var input = map[string]string{
	"hello.c":  "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
	"hello.go": "package main\n\nimport \"os\"\n\nfunc main() { _, _ = os.ReadDir(\"/etc\") }\n",
	"node.js":  "const fs = require('fs');\nfs.readFile('hello.c', (e, d) => { if (e) throw e; fs.writeFileSync('out', d); });\n",

	"module/go.mod":    "module example.org/tool\n\ngo 1.24\n",
	"module/main.go":   "package main\n\nimport (\n\t\"os\"\n\n\t\"example.org/tool/word\"\n)\n\nfunc main() { os.Stdout.WriteString(word.Hello) }\n",
	"module/word/w.go": "package word\n\nconst Hello = \"hello\\n\"\n",

	// These are servers in the foreground, on the loopback device of the sandbox's own network. The script sleeps at
	// least once, so that the set of calls does not depend on how long a server takes to start.
	"nginx.conf": `daemon off; worker_processes 2; user root root; pid nginx.pid; error_log stderr;
events { worker_connections 32; }
http {
	access_log access.log;
	client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
	server { listen 127.0.0.1:8099; root .; }
}
`,
	"nginx.sh": `nginx -e stderr -p "$PWD" -c nginx.conf &
sleep .2; until test -s nginx.pid; do kill -0 $!; sleep .1; done
curl -sS http://127.0.0.1:8099/hello.c http://127.0.0.1:8099/none >out
read pid <nginx.pid; kill -QUIT "$pid"; wait
`,
	"redis.sh": `redis-server --port 7379 --bind 127.0.0.1 --appendonly no --save '' --pidfile "$PWD/redis.pid" --dir "$PWD" >out &
sleep .2; until test -s redis.pid; do kill -0 $!; sleep .1; done
redis-cli -p 7379 set a b; redis-cli -p 7379 get a; redis-cli -p 7379 save
read pid <redis.pid; kill -TERM "$pid"; wait
`,
}

func TestCompleteAgainstStrace(t *testing.T) {
	need(t, "strace")
	cache := workdir(t)
	for i := range workloads {
		w := &workloads[i]
		t.Run(w.name, func(t *testing.T) {
			if w.long && testing.Short() {
				t.Skip("long")
			}
			b := newBench(t, w, cache)
			for _, backend := range []string{record.BPF, record.Notify} {
				if backend == record.BPF && os.Getuid() != 0 {
					continue // the ordinary user's is notify
				}
				t.Run(backend, func(t *testing.T) { b.compare(t, backend) })
			}
		})
	}
}

// TestChance gives the evidence for what the comparison leaves out.
func TestChance(t *testing.T) {
	if *chances == 0 {
		t.Skip("it takes -chance N")
	}
	need(t, "strace")
	cache := workdir(t)
	for i := range workloads {
		w := &workloads[i]
		t.Run(w.name, func(t *testing.T) {
			b := newBench(t, w, cache)
			n := map[string]int{}
			for range *chances {
				count(n, b.trace(t))
			}
			for _, x := range slices.Sorted(maps.Keys(n)) {
				if n[x] < *chances {
					t.Logf("%s: in %d of %d", x, n[x], *chances)
				}
			}
		})
	}
}

// need skips a test if a program is missing. In CI no program may be missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("CORDON_CI") == "1" {
			t.Fatal(err)
		} else if err != nil {
			t.Skip(err)
		}
	}
}

// bench holds the directories of one workload, which runs in work. If root runs the test, the workload runs as an ordinary
// user, who may write to work. The trace goes to dir, the parent of work.
type bench struct {
	*workload
	dir, work string
	cache     string // the go command's, for all workloads
}

// workdir returns a directory in which a sandbox can work; the sandbox has a /tmp of its own.
func workdir(t *testing.T) string {
	t.Helper()
	dir, err := scratch.Dir("/var/tmp", "record")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newBench(t *testing.T, w *workload, cache string) *bench {
	t.Helper()
	need(t, w.needs...)
	if !strings.HasPrefix(w.args[0], "./") {
		need(t, w.args[0])
	}
	dir := workdir(t)
	b := &bench{workload: w, dir: dir, work: filepath.Join(dir, "work"), cache: cache}
	for name, text := range input {
		file := filepath.Join(b.work, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// prepare restores the working directory to its state before the first run.
func (b *bench) prepare(t *testing.T) {
	t.Helper()
	for _, name := range b.makes {
		if err := os.RemoveAll(filepath.Join(b.work, name)); err != nil {
			t.Fatal(err)
		}
	}
	if b.prep == nil {
		return
	}
	run(t, b.work, b.prep, b.environment()...)
}

// run runs a program outside of the sandbox. If no environment is given, the program gets the test's own.
func run(t *testing.T, dir string, args []string, env ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = dir, env
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// environment returns the environment, which is the same inside and outside. The go command fetches nothing and has a
// cache of its own.
func (b *bench) environment() []string {
	return append(environment(b.work), "GOCACHE="+b.cache+"/go-build", "GOMODCACHE="+b.work+"/mod", "GOTOOLCHAIN=local", "GOPROXY=off")
}

func environment(home string) []string {
	const when = "2026-01-01T00:00:00Z"
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C", "CGO_ENABLED=0", "GIT_AUTHOR_DATE=" + when, "GIT_COMMITTER_DATE=" + when}
}

// run runs a program in the host's tree, with a writable working directory and a network of its own, and denies
// nothing. Both the program that is recorded and strace are run in this way.
func (b *bench) run(t *testing.T, args []string, r sandbox.Observer) *report.Report {
	t.Helper()
	b.prepare(t)
	p, err := profiles.Search{}.Load([]string{"build"}, &policy.Profile{Mounts: []policy.Mount{
		{Kind: policy.MountBind, Source: b.dir, Write: true}, {Kind: policy.MountBind, Source: b.cache, Write: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.Env = policy.Env{Keep: []policy.EnvKeep{{Pattern: "*"}}}
	p.Hide, p.Process.Workdir = nil, b.work
	p.Cache = policy.Cache{} // inside and outside the go command has the same cache, which is warm
	if p = record.Permissive(p); r == nil {
		p.Syscalls.Default = "allow" // in place of the recorder's filter
	}
	p.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: 30 * time.Second}
	out, err := os.Create(filepath.Join(b.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := &sandbox.Cmd{Profile: p, Args: args, Env: b.environment(), Observer: r, Stdout: out, Stderr: out}
	rep, err := runToEnd(c)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Exit != 0 || rep.Signal != "" {
		said, _ := os.ReadFile(out.Name())
		t.Fatalf("%q: exit %d %s\n%s", args, rep.Exit, rep.Signal, said)
	}
	return rep
}

// rounds is how many times at most a workload is recorded and traced.
const rounds = 4

// compare records and traces until both agree. It leaves out the differences between one trace and another, which
// depend on how threads happen to run.
func (b *bench) compare(t *testing.T, backend string) {
	s := seen{recs: map[string]int{}, traces: map[string]int{}, runs: map[string]int{}}
	for round := 1; ; round++ {
		count(s.recs, recorded(b.record(t, backend)))
		count(s.traces, b.trace(t))
		wrong, calls := s.differ(round, b.ignored(), backend == record.BPF)
		if len(wrong) == 0 {
			return
		}
		if round == rounds {
			t.Fatalf("after %d rounds:\n%s", round, strings.Join(wrong, "\n"))
		}
		t.Logf("round %d:\n%s", round, strings.Join(wrong, "\n"))
		if len(calls) == 0 {
			continue
		}
		// If all calls are traced, no two threads run at the same time. Here only threads that make these calls stop.
		count(s.traces, b.trace(t, "--seccomp-bpf", "-e", "trace="+strings.Join(calls, ",")))
		for _, call := range calls {
			s.runs["call "+call]++
		}
	}
}

// seen counts how many recordings and how many traces have a thing.
type seen struct {
	recs, traces map[string]int
	runs         map[string]int // how many traces there are of a call besides those of all
}

// differ compares recordings with traces: all recordings must have what all traces have, and no recording may have what
// no trace has. calls are the calls that differ.
func (s *seen) differ(rounds int, ignored map[string]bool, bpf bool) (wrong, calls []string) {
	all := maps.Clone(s.recs)
	maps.Copy(all, s.traces)
	for _, x := range slices.Sorted(maps.Keys(all)) {
		call, isCall := strings.CutPrefix(x, "call ")
		why := ""
		switch {
		case ignored[x]:
		case s.traces[x] == rounds+s.runs[x] && s.recs[x] < rounds:
			why = "is not recorded"
		// Only bpf sees how a call ends. So the notify back end counts a readlink of a file that is no link as reading.
		// A program looks at more files than it opens in order to look at them.
		case s.traces[x] == 0 && (isCall || bpf && strings.HasPrefix(x, "file ")):
			why = "is recorded, and strace does not have it"
		}
		if why != "" {
			wrong = append(wrong, x+" "+why)
			if isCall {
				calls = append(calls, call)
			}
		}
	}
	return wrong, calls
}

// ignored lists the calls that are left out.
func (w *workload) ignored() map[string]bool {
	out := map[string]bool{}
	for _, c := range w.chance {
		for name := range strings.FieldsSeq(c.calls) {
			out["call "+name] = true
		}
	}
	return out
}

func count(n map[string]int, list map[string]bool) {
	for x := range list {
		n[x]++
	}
}

// own lists patterns for names that differ from run to run.
var own = []struct {
	name *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`^/tmp/cc\w+`), "/tmp/cc*"},                 // gcc
	{regexp.MustCompile(`^/proc/(self|\d+)/`), "/proc/*/"},          // by number
	{regexp.MustCompile(`^/tmp/go-build\d+`), "/tmp/go-build*"},     // go build
	{regexp.MustCompile(`/temp-\d+\.rdb$`), "/temp-*.rdb"},          // redis: by its number
	{regexp.MustCompile(`/go-build/[0-9a-f]{2}/.*`), "/go-build/*"}, // its cache: by content
}

func normal(path string) string {
	for _, o := range own {
		path = o.name.ReplaceAllString(path, o.as)
	}
	return path
}

// record returns a recording of the workload, which must be complete.
func (b *bench) record(t *testing.T, backend string) *recording.Recording {
	t.Helper()
	r, err := record.New(record.Options{Backend: backend, AllCalls: true})
	if err != nil {
		t.Skip(err)
	}
	rep := b.run(t, b.command(), r)
	r.Stop()
	for _, e := range rep.Enforced {
		if e.Layer == policy.LayerSeccomp || e.Layer == policy.LayerLandlock {
			t.Errorf("%s is said to be enforced", e.Layer)
		}
	}
	rec := r.Recording(recording.Run{Command: b.args})
	if run := rec.Header.Runs[0]; !run.Complete {
		t.Errorf("not complete: %q", run.Why)
	}
	if err := rec.Write(io.Discard); err != nil {
		t.Error(err)
	}
	return rec
}

// recorded returns the calls, and the files that were opened or looked at, also those opened with O_PATH.
func recorded(rec *recording.Recording) map[string]bool {
	out := map[string]bool{}
	for _, e := range rec.Events {
		if e.Kind == recording.KindPath && e.Errno == "" && e.Access&recording.Stat != 0 {
			out["look "+normal(e.Path)] = true
		}
		switch {
		case e.Kind == recording.KindCall:
			out["call "+e.Call] = true
		case e.Kind == recording.KindPath && e.Errno == "" && (e.Access&(recording.Write|recording.List) != 0 || e.Access&recording.Read != 0 && e.Type != recording.TypeLink):
			out["file "+normal(e.Path)] = true
		}
	}
	return out
}

// command returns the workload's command, with an absolute path.
func (b *bench) command() []string {
	args := slices.Clone(b.args)
	if file, ok := strings.CutPrefix(args[0], "./"); ok {
		args[0] = filepath.Join(b.work, file)
	}
	return args
}

var (
	tracedCall = regexp.MustCompile(`^\d+ +(\w+)\(`)
	tracedOpen = regexp.MustCompile(`\b(?:open|openat|openat2|creat)\b.* = \d+<([^>]*)>`)
	tracedLink = regexp.MustCompile(`\b(?:readlink|readlinkat)\(`)
)

// trace returns the same from strace, without the execve that starts the program.
func (b *bench) trace(t *testing.T, flags ...string) map[string]bool {
	t.Helper()
	file := filepath.Join(b.dir, "trace")
	strace := append([]string{"strace", "-f", "-y", "-s", "4096", "-o", file}, flags...)
	b.run(t, append(strace, b.command()...), nil)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	if len(flags) == 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	for line := range strings.Lines(string(text)) {
		if m := tracedCall.FindStringSubmatch(line); m != nil {
			out["call "+m[1]] = true
		}
		if m := tracedOpen.FindStringSubmatch(line); m != nil && !tracedLink.MatchString(line) {
			kind := "file "
			if strings.Contains(line, "O_PATH") {
				kind = "look "
			}
			out[kind+normal(strings.TrimSuffix(m[1], "(deleted)"))] = true
		}
	}
	return out
}
