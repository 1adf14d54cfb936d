package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// learnt is a program that is recorded, and then runs under the learned profile. Its output, and the files that it
// leaves, must be the same on every day.
type learnt struct {
	name   string
	needs  string // programs that it needs besides sh and those of coreutils, separated by spaces
	script string // for sh -e, in a directory with the files below
	built  string // makes the program beforehand, outside
	long   bool   // left out with -short
	denied string // the only call that is denied and reported; the program works without it
}

// await waits for a server's file, but not longer than the server runs.
const await = "await() { until test -s $1; do kill -0 $!; sleep .05; done; }\n"

var learnts = []learnt{
	{name: "ls", script: "ls -R sub; ls sub | wc -l"},
	{name: "shell", script: "cat data | sort | uniq -c >out; mkdir d; (cd d && pwd -P | wc -l >e; ln -s e f; cat f); mv d/e d/g; rm -r d; cat out"},
	{name: "bash", needs: "bash", script: "exec bash -c 'x=$(tr a-z A-Z <data); echo ${x,,}; for i in 1 2 3; do sleep .01 & done; wait; cat <(echo hi) <<<z'"},
	{name: "busybox", needs: "busybox", script: "exec busybox sh -c 'busybox tar cf - sub | busybox gzip | busybox gunzip | busybox tar tf - | busybox sort; busybox vi --help >/dev/null 2>&1; echo $?'"},
	{name: "find", needs: "find xargs grep", script: "find . -name '*.txt' -print0 | xargs -0 -P2 -n1 grep -c . | sort"},
	{name: "tar", needs: "tar gzip", script: "tar czf a.tgz sub; rm -r sub; tar xzf a.tgz; cat sub/1.txt; tar tzf a.tgz | sort"},
	{name: "sort", script: "seq 200000 | sort -r --parallel=2 -S 1M -T . | sort -n --parallel=2 | md5sum"},
	{name: "awk", needs: "awk sed diff", script: `awk '{ n[$1]++ } END { for (k in n) print k, n[k] | "sort" }' data; sed -i s/b/B/ data; diff data data; cat data`},
	{name: "perl", needs: "perl", script: `exec perl -MFile::Temp=tempfile -MPOSIX -e 'my ($f, $n) = tempfile(DIR => "."); print $f "x\n"; close $f; unlink $n; my $p = fork; if (!$p) { exit 3 } waitpid($p, 0); print WEXITSTATUS($?), "\n"; print lc(qx(echo HI))'`},
	{name: "python-threads", needs: "/usr/bin/python3", script: "exec /usr/bin/python3 -I threads.py"},
	{name: "python-processes", needs: "/usr/bin/python3", script: "exec /usr/bin/python3 -I processes.py"},
	{name: "node", needs: "node", script: "exec node workers.js"},
	{name: "sqlite3", needs: "sqlite3", script: "sqlite3 x.db 'create table t (a); insert into t values (1), (2); pragma journal_mode=wal;'; sqlite3 x.db 'insert into t select a+2 from t; select sum(a) from t'"},
	{name: "git", needs: "git", script: "git init -q -b main repo; cp data repo; cd repo; git add .; git -c user.name=a -c user.email=b@c commit -qm x; git log --format=%s; git checkout -qb y; git gc -q; git status --short; git fsck"},
	{name: "gcc", needs: "gcc", script: "gcc -O1 -o hello hello.c; ./hello"},
	{name: "make", needs: "make gcc", script: "make -s -j2; ./both"},
	{name: "c-static-threads", needs: "gcc", built: "gcc -static -pthread -o threads threads.c", script: "exec ./threads"},
	{name: "go-static", built: `cp "$(command -v ` + serverName + `)" .`, script: "exec ./" + serverName,
		// Go's listeners first try multipath TCP, and use TCP if that fails. The parent profile denies multipath TCP,
		// because Landlock's rules for TCP do not apply to it. The learned profile does not undo that, and learn says
		// so.
		denied: "IPPROTO_MPTCP"},
	{name: "go-build", needs: "go", built: "go build -C module -o /dev/null .; echo '// new' >>module/main.go",
		script: "export GOCACHE=$PWD/go-build CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod GOMODCACHE=$PWD/mod; go build -C module -o tool .; ./module/tool 2>&1", long: true},
	{name: "nginx", needs: "nginx curl", script: await + `nginx -e stderr -p "$PWD" -c nginx.conf & await nginx.pid
curl -sS http://127.0.0.1:8099/data http://127.0.0.1:8099/none | grep -v nginx/; read p <nginx.pid; kill -QUIT $p; wait; grep -c HTTP access.log`},
	{name: "redis", needs: "redis-server redis-cli", script: await + `redis-server --port 7379 --bind 127.0.0.1 --appendonly yes --save '' --pidfile "$PWD/redis.pid" >log & await redis.pid
sleep .2; for i in 1 2; do redis-cli -p 7379 incr x; done; redis-cli -p 7379 save; read p <redis.pid; kill -TERM $p; wait; test -s dump.rdb`},
	{name: "curl", needs: "curl /usr/bin/python3", script: await + `/usr/bin/python3 -I serve.py & await port; read port <port
curl -sS --retry 3 http://localhost:$port/data; curl -sS -o /dev/null -w '%{http_code}\n' http://127.0.0.1:$port/none; kill $!; wait || true`},
}

// learnFiles are the files in the working directory of each of these programs.
var learnFiles = map[string]string{
	"data": "b a\na b\nb c\n", "sub/1.txt": "1\n", "sub/2.txt": "2\n2\n", "sub/deep/3.txt": "3\n",
	"hello.c": "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
	"a.c":     "int a(void) { return 1; }\n",
	"b.c":     "#include <stdio.h>\nint a(void);\nint main(void) { printf(\"%d\\n\", a()); return 0; }\n",
	"threads.c": `#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static int n;
static void *work(void *x) { for (int i = 0; i < 1000; i++) { pthread_mutex_lock(&m); n++; pthread_mutex_unlock(&m); } return x; }
int main(void) {
	pthread_t t[4];
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, work, 0);
	for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
	FILE *f = fopen("out", "w");
	fprintf(f, "%d\n", n);
	fclose(f);
	printf("%d\n", n);
	return 0;
}
`,
	"Makefile":   "both: a.o b.o\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) -c -o $@ $<\n",
	"threads.py": "import threading, queue, tempfile, os\nq = queue.Queue()\ndef f(i):\n    with tempfile.NamedTemporaryFile() as t:\n        t.write(b'x' * i); t.flush(); q.put(os.path.getsize(t.name))\nts = [threading.Thread(target=f, args=(i,)) for i in range(8)]\n[t.start() for t in ts]; [t.join() for t in ts]\nprint(sorted(q.get() for _ in ts))\n",
	"processes.py": "import subprocess, multiprocessing, sys\ndef f(x):\n    return x * x\nif __name__ == '__main__':\n    with multiprocessing.get_context('fork').Pool(2) as p:\n        print(p.map(f, range(4)))\n        p.close()\n        p.join()\n" +
		"    print(subprocess.run(['cat', 'data'], capture_output=True, text=True).stdout, end='')\n    open('out', 'w').write('x')\n",
	"workers.js": "const { Worker } = require('worker_threads');\nconst fs = require('fs'), cp = require('child_process');\n" +
		"const w = new Worker('require(\"worker_threads\").parentPort.postMessage(6 * 7)', { eval: true });\nw.on('message', m => { console.log(m); console.log(cp.execFileSync('cat', ['data']).toString().length); fs.writeFileSync('out', 'x'); });\n",
	"module/go.mod":    "module example.org/tool\n\ngo 1.24\n",
	"module/main.go":   "package main\n\nimport \"example.org/tool/word\"\n\nfunc main() { println(word.Hello) }\n",
	"module/word/w.go": "package word\n\nconst Hello = \"hello\"\n",
	"nginx.conf": "daemon off; worker_processes 2; user root root; pid nginx.pid; error_log /dev/null;\nevents { worker_connections 32; }\n" +
		"http { access_log access.log; client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;\n server { listen 127.0.0.1:8099; root .; } }\n",
	"serve.py": "import http.server, os\nclass H(http.server.SimpleHTTPRequestHandler):\n    def log_message(self, *a): pass\ns = http.server.ThreadingHTTPServer(('', 0), H)\nopen('port', 'w').write('%d\\n' % s.server_port)\ns.serve_forever()\n",
}

// TestLearnThenRun checks that a program works under the profile that was learned from its recording. It must print and
// leave exactly the same bytes, and the run must report no denials.
func TestLearnThenRun(t *testing.T) {
	dir := learnDir(t)
	backends := []string{"notify"}
	if os.Getuid() == 0 {
		backends = []string{"bpf", "notify"}
	}
	for i := range learnts {
		p := &learnts[i]
		t.Run(p.name, func(t *testing.T) {
			if p.long && testing.Short() {
				t.Skip("it compiles Go's runtime")
			}
			for name := range strings.FieldsSeq(p.needs) {
				if lacks, err := condition("lacks:" + name); err != nil {
					t.Fatal(err)
				} else if lacks {
					t.Skip("no " + name)
				}
			}
			b := &learning{learnt: p, dir: dir, start: filepath.Join(dir, p.name+".start"), work: filepath.Join(dir, "work")}
			b.build(t)
			for _, backend := range backends {
				t.Run(backend, func(t *testing.T) { b.check(t, backend) })
			}
		})
	}
}

// learning is a program with its recording and its profile.
type learning struct {
	*learnt
	dir         string
	start, work string // the original working directory, and its copy
}

// learnDir makes the directory of the test, with a home that contains a secret and the go command's cache.
func learnDir(t *testing.T) string {
	t.Helper()
	own := filepath.Join(base, strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(own, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(own, "learn-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(dir) })
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(home+"/.ssh", 0o700), os.WriteFile(home+"/.ssh/id", []byte("SECRET\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (b *learning) command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = []string{"HOME=" + filepath.Join(b.dir, "home"), "PATH=" + toolPath(), "LANG=C.UTF-8", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOPROXY=off", "GOCACHE=" + b.dir + "/go-build"}
	return c
}

// build makes the original working directory.
func (b *learning) build(t *testing.T) {
	t.Helper()
	for name, text := range learnFiles {
		file := filepath.Join(b.start, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if b.built == "" {
		return
	}
	script := b.built
	if b.name == "go-build" {
		script += "; cp -a " + b.dir + "/go-build ."
	}
	if out, err := b.command(t, b.start, "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", b.built, err, out)
	}
}

// check records the program, learns a profile, and runs the program under it.
func (b *learning) check(t *testing.T, backend string) {
	files := map[string]string{}
	for _, name := range []string{"rec", "yaml", "json"} {
		files[name] = filepath.Join(b.dir, b.name+"-"+backend+"."+name)
	}
	want := b.run(t, "record", "-o", files["rec"], "--backend", backend, "-p", "build")
	learn := b.command(t, b.dir, filepath.Join(base, "bin/cordon"), "learn", files["rec"], "-o", files["yaml"])
	said, err := learn.CombinedOutput()
	if err != nil {
		t.Fatalf("learn: %v\n%s", err, said)
	}
	got := b.run(t, "run", "-p", files["yaml"], "--report", files["json"])
	if got != want {
		t.Errorf("recorded:\n%s\nunder the profile:\n%s\n%s", want, got, said)
	}
	b.report(t, files["json"])
}

// run runs the program, and returns what it printed and how it ended.
func (b *learning) run(t *testing.T, args ...string) string {
	t.Helper()
	removeAll(b.work)
	if out, err := b.command(t, b.dir, "cp", "-a", b.start, b.work).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := b.command(t, b.work, filepath.Join(base, "bin/cordon"), append(args, "--timeout", strconv.Itoa(120*int(slow))+"s", "--", "sh", "-ec", b.script)...)
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	if e := c.Run(); e != nil {
		t.Fatalf("%s: %v\n%s%s", args[0], e, out.Bytes(), err.Bytes())
	}
	if out.Len() == 0 {
		t.Fatalf("%s: it prints nothing: %s", args[0], err.Bytes())
	}
	return out.String()
}

// report checks that a report has no denials, and that a filter was enforced.
func (b *learning) report(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	var r struct {
		Enforced []struct{ Layer string }
		Denials  *struct {
			Dropped uint64
			List    []struct{ Text string }
		}
	}
	if err := errors.Join(err, json.Unmarshal(text, &r)); err != nil {
		t.Fatal(err)
	}
	enforced := ""
	for _, e := range r.Enforced {
		enforced += " " + e.Layer
	}
	if !strings.Contains(enforced, "seccomp") {
		t.Errorf("no filter:%s", enforced)
	}
	if r.Denials == nil || r.Denials.Dropped > 0 {
		t.Fatalf("denials are not reported: %s", text)
	}
	for _, d := range r.Denials.List {
		if b.denied == "" || !strings.Contains(d.Text, b.denied) {
			t.Errorf("denied: %s", d.Text)
		}
	}
}

// serverName is the name under which the test binary acts as a static Go program whose threads talk to each other over
// the network.
const serverName = "learn-server"

func isServer() bool { return filepath.Base(os.Args[0]) == serverName }

func server() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.WriteString(c, "hello"); c.Close() }()
		}
	}()
	errs := make(chan error)
	for range 8 {
		go func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				errs <- err
				return
			}
			_, err = io.ReadAll(c)
			errs <- err
		}()
	}
	for range 8 {
		err = errors.Join(err, <-errs)
	}
	if err = errors.Join(err, os.WriteFile("out", nil, 0o644)); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ok")
	return 0
}
