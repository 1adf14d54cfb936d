package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cordon/tests/scratch"
)

// ordinary is the ordinary user as whom root also runs the tests. It needs no entry in /etc/passwd.
const ordinary = 65533

// baseVar is the variable that passes base to the second run. base is a directory that ordinary users can reach, with
// bin/cordon in it.
const baseVar = "CORDON_E2E_BASE"

var (
	base = os.Getenv(baseVar)
	ci   = os.Getenv("CORDON_CI") == "1"
	slow = time.Duration(slowness())
)

// slowness says how many times slower than usual the machine is: CORDON_SLOW.
func slowness() int {
	if n, err := strconv.Atoi(os.Getenv("CORDON_SLOW")); err == nil && n > 1 {
		return n
	}
	return 1
}

func TestMain(m *testing.M) {
	if isMany() {
		os.Exit(many())
	}
	if isServer() {
		os.Exit(server())
	}
	if isInject() {
		os.Exit(inject())
	}
	err := ownState()
	code := 1
	if err == nil {
		code, err = setUp(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// ownState gives this run its own state directory. Root's sandboxes are in /run/cordon, whatever the environment says.
// So ownState starts this program anew in a mount namespace with its own /run/cordon. An ordinary user's sandboxes are
// in XDG_RUNTIME_DIR.
func ownState() error {
	const done = "CORDON_E2E_OWN_STATE"
	if os.Getuid() != 0 || os.Getenv(done) != "" {
		return nil
	}
	runtime.LockOSThread() // only this thread has the namespace until execve(2) ends the others
	err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		os.MkdirAll("/run/cordon", 0o700), unix.Mount("state", "/run/cordon", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"))
	if err != nil {
		return fmt.Errorf("a state directory of its own: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), done+"=1"))
}

func setUp(m *testing.M) (int, error) {
	if base != "" { // this is the second run
		return m.Run(), nil
	}
	var err error
	// The directory is not in /tmp, because profiles mount their own /tmp.
	if base, err = scratch.Dir("/var/tmp", "e2e"); err != nil {
		return 1, err
	}
	defer removeAll(base)
	if err := errors.Join(os.Chmod(base, 0o755), os.Mkdir(base+"/bin", 0o755), binary(base+"/bin/cordon"), copySelf(base+"/bin/"+manyName), copySelf(base+"/bin/"+injectName), copySelf(base+"/bin/"+serverName)); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func binary(to string) error {
	c := exec.Command("go", "build", "-ldflags", "-E cordon/sandbox/internal/child.entry", "-o", to, "../../cmd/cordon")
	c.Env = append(os.Environ(), "CGO_ENABLED=0") // static, like the shipped binary
	if from := os.Getenv("CORDON_BIN"); from != "" {
		c = exec.Command("install", "-m", "755", from, to)
	}
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", c.Args, err, out)
	}
	return helper(filepath.Dir(to))
}

// referenceName is the name of the helper that links libseccomp. Not every machine can build it.
const referenceName = "cordon-reference"

// helper puts the helper beside the command, if the helper was built.
func helper(dir string) error {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv("CORDON_BIN")), referenceName))
	if err != nil {
		return nil // [lacks-reference] reports it
	}
	return os.WriteFile(filepath.Join(dir, referenceName), data, 0o755)
}

// removeAll also removes read-only directories, such as those of a module cache.
func removeAll(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

func TestScripts(t *testing.T) {
	root := filepath.Join(base, strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		WorkdirRoot:         root,
		Setup:               func(env *testscript.Env) error { return scriptEnv(t, env) },
		Condition:           condition,
		Cmds:                commands(),
		Deadline:            time.Now().Add(15 * time.Minute * slow),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestScriptsAsUser runs the same scripts in a second process, as an ordinary user.
func TestScriptsAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("TestScripts ran as one")
	}
	if os.Getenv("CORDON_USER_FOLLOWS") != "" {
		t.Skip("an ordinary user runs the tests next")
	}
	dir := filepath.Join(base, strconv.Itoa(ordinary))
	err := errors.Join(copySelf(base+"/bin/e2e.test"), os.Mkdir(dir, 0o755), os.Chown(dir, ordinary, ordinary),
		copyTree("testdata", base+"/testdata"), copyTree("../../docs", base+"/documents/docs"), copyFile("../../README.md", base+"/documents/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run", "^(TestScripts$|TestTerminal|TestWhy|TestLearn|TestAudit|TestPasted)"}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	c := exec.Command(base+"/bin/e2e.test", args...)
	c.Dir = base
	c.Env = append(os.Environ(), baseVar+"="+base, "HOME="+dir, "TMPDIR="+os.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

func copyTree(from, to string) error { return os.CopyFS(to, os.DirFS(from)) }

// toolPath returns the PATH of the scripts: the system's directories and Go's, but no directory of a home.
func toolPath() string {
	path := base + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if goBin := "/usr/local/go/bin"; isDir(goBin) {
		path += ":" + goBin
	}
	return path
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// scriptEnv gives every script a home with secrets. At the end it looks for what the script has left behind.
func scriptEnv(t *testing.T, env *testscript.Env) error {
	home := env.WorkDir + ".home" // not below the working directory, because every profile shows that
	env.Setenv("PATH", toolPath())
	env.Setenv("HOME", home)
	env.Setenv("XDG_RUNTIME_DIR", home+"/.run") // separates an ordinary user's sandboxes from those of other runs
	env.Setenv("LANG", "C.UTF-8")
	env.Setenv("UID", strconv.Itoa(os.Getuid()))
	env.Setenv("BASE", base)
	env.Setenv("SLOW", strconv.Itoa(int(slow)))
	os.Setenv("PATH", toolPath()) // for [exec:…]
	env.Defer(func() {
		if left := leftBehind(env.WorkDir); left != nil {
			t.Errorf("%s: left behind: %q", filepath.Base(env.WorkDir), left)
		}
		removeAll(env.WorkDir)
		removeAll(home)
	})
	return errors.Join(os.MkdirAll(home+"/.run", 0o700), os.MkdirAll(home+"/.ssh", 0o700), os.WriteFile(home+"/.ssh/id_ed25519", []byte("SECRET\n"), 0o600))
}

// leftBehind returns the processes and mounts that a finished script has left behind.
func leftBehind(dir string) []string {
	var left []string
	for range 100 {
		left = nil
		cwds, _ := filepath.Glob("/proc/[0-9]*/cwd")
		for _, link := range cwds {
			pid := filepath.Base(filepath.Dir(link))
			if to, _ := os.Readlink(link); inOrBelow(to, dir) && pid != strconv.Itoa(os.Getpid()) {
				line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				left = append(left, pid+" "+string(line))
			}
		}
		if left == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if bytes.Contains(mounts, []byte(dir)) {
		left = append(left, string(mounts))
	}
	return left
}

// inOrBelow reports whether a path is in a script's directory or in its home. It distinguishes them from those of
// another script whose name only begins with the same letters.
func inOrBelow(path, dir string) bool {
	rest, found := strings.CutPrefix(path, dir)
	return found && (rest == "" || rest[0] == '/' || rest[0] == '.')
}

func condition(cond string) (bool, error) {
	switch cond {
	case "root":
		return os.Getuid() == 0, nil
	case "user":
		return os.Getuid() != 0, nil
	case "cgroup":
		return grouped(), nil
	case "hidden":
		return hidden(), nil
	case "record-bpf": // doctor says why it is missing
		return exec.Command(filepath.Join(base, "bin", "cordon"), "record", "-o", "/dev/null", "--backend", "bpf", "--", "true").Run() == nil, nil
	}
	if cond == "lacks-reference" {
		_, err := os.Stat(filepath.Join(base, "bin", referenceName))
		if err != nil && ci {
			return false, err
		}
		return err != nil, nil
	}
	if n, ok := strings.CutPrefix(cond, "landlock:"); ok {
		want, err := strconv.Atoi(n)
		return landlock() >= want, err
	}
	// [lacks:TOOL] skip: in CI every tool must exist.
	if tool, ok := strings.CutPrefix(cond, "lacks:"); ok {
		_, err := exec.LookPath(tool)
		if err != nil && ci {
			return false, err
		}
		return err != nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// hidden reports whether the host's /proc hides the processes of other users, and therefore those of a sandbox:
// hidepid, proc(5).
func hidden() bool {
	_, err := os.ReadFile("/proc/1/status")
	return err != nil
}

// grouped reports whether this user can run a sandbox in a cgroup. With v1 only root can, and with v2 everybody who has
// a delegated cgroup.
var grouped = sync.OnceValue(func() bool {
	return exec.Command(base+"/bin/cordon", "run", "--remove", "missing=cgroup", "--pids", "20", "true").Run() == nil
})

// landlock returns the Landlock ABI of the kernel: landlock_create_ruleset(2).
func landlock() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

type command = func(ts *testscript.TestScript, neg bool, args []string)

func commands() map[string]command {
	b := &jobs{running: map[string]*job{}}
	return map[string]command{"code": code, "shell": shell, "background": b.start, "signal": b.signal, "ended": b.ended, "quiet": quiet}
}

func positive(ts *testscript.TestScript, neg bool, enough bool, usage string) {
	if neg || !enough {
		ts.Fatalf("usage: %s", usage)
	}
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, len(args) >= 2, "code N PROGRAM ARG...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	switch {
	case errors.As(err, &exit):
		got = exitCode(exit.ProcessState)
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func exitCode(p *os.ProcessState) int {
	ws := p.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

func shell(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, false, len(args) == 1, "shell SCRIPT")
	if err := ts.Exec("sh", "-c", args[0]); (err == nil) == neg {
		ts.Fatalf("%q: %v", args[0], err)
	}
}

// quiet checks that stderr is empty, except for lines about what the kernel's Landlock lacks, which cordon always
// prints.
func quiet(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, len(args) == 0, "quiet")
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if landlock() >= 6 || !strings.HasPrefix(line, "cordon: missing: landlock: ") {
			ts.Fatalf("stderr is not empty: %s", line)
		}
	}
}

// jobs holds the background programs, by the script's directory and the program's name.
type jobs struct {
	mu      sync.Mutex
	running map[string]*job
}

type job struct {
	cmd      *exec.Cmd
	out, err output
}

// output is a buffer that closes first as soon as it contains something.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	first chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() == 0 && len(p) > 0 {
		close(o.first)
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (b *jobs) start(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, len(args) >= 2, "background NAME PROGRAM ARG...")
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	j := &job{cmd: exec.Command(path, args[2:]...), out: output{first: make(chan struct{})}, err: output{first: make(chan struct{})}}
	j.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR"} {
		j.cmd.Env = append(j.cmd.Env, name+"="+ts.Getenv(name))
	}
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.err
	ts.Check(j.cmd.Start())
	b.put(ts.Getenv("WORK")+args[0], j)
	ts.Defer(func() {
		if j.cmd.ProcessState == nil {
			j.cmd.Process.Kill()
			j.cmd.Wait()
		}
	})
	select {
	case <-j.out.first:
	case <-time.After(20 * time.Second * slow):
		j.cmd.Process.Kill()
		ts.Fatalf("%q said nothing; stderr: %s", args, j.err.String())
	}
}

func (b *jobs) put(key string, j *job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[key] = j
}

func (b *jobs) get(ts *testscript.TestScript, name string) *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.running[ts.Getenv("WORK")+name]
	if j == nil {
		ts.Fatalf("no job %s", name)
	}
	return j
}

func (b *jobs) signal(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, len(args) == 2, "signal NAME SIGNAL")
	sig := unix.SignalNum(args[1])
	if sig == 0 {
		ts.Fatalf("no signal %s", args[1])
	}
	ts.Check(b.get(ts, args[0]).cmd.Process.Signal(sig))
}

func (b *jobs) ended(ts *testscript.TestScript, neg bool, args []string) {
	positive(ts, neg, len(args) == 2, "ended NAME N")
	j := b.get(ts, args[0])
	timer := time.AfterFunc(20*time.Second*slow, func() { j.cmd.Process.Kill() })
	j.cmd.Wait()
	if !timer.Stop() {
		ts.Fatalf("%s has not ended: %s%s", args[0], j.out.String(), j.err.String())
	}
	dir := ts.Getenv("WORK")
	ts.Check(errors.Join(os.WriteFile(dir+"/"+args[0]+".out", []byte(j.out.String()), 0o644), os.WriteFile(dir+"/"+args[0]+".err", []byte(j.err.String()), 0o644)))
	if got := exitCode(j.cmd.ProcessState); strconv.Itoa(got) != args[1] {
		ts.Fatalf("exit code %d, not %s: %s%s", got, args[1], j.out.String(), j.err.String())
	}
}
