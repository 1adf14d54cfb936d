package sandbox

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/sandboxtest"
	"cordon/sandbox/report"
)

// described returns the description of a command as data.
func described(c *Cmd) *compile.Request {
	r, err := c.request(c.profile(), sandboxtest.FakeUser())
	if err != nil {
		panic(err)
	}
	return r
}

// processOf returns the launcher's process of a command, before anything is started.
func processOf(t testing.TB, c *Cmd) *launch.Process {
	t.Helper()
	h, err := host.Probe()
	if err != nil {
		t.Fatal(err)
	}
	p := launch.New()
	files, err := c.streams.open(c)
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd = c.command(c.profile(), h, files)
	return p
}

// run runs a command, and wait waits for a command. The report says how the program ended; that is no error.
func run(c *Cmd) (*report.Report, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	return wait(c)
}

func wait(c *Cmd) (*report.Report, error) {
	var exit *ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return c.Report, nil
}

// shell returns a command of the shell in the default profile. It has a different working directory, because an
// ordinary user's test may not have this one.
func shell(t testing.TB, script string) *Cmd {
	t.Helper()
	return &Cmd{Profile: sandboxtest.Shipped(t, "default"), Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// output runs a command and returns what it wrote to stdout and stderr together.
func output(t testing.TB, c *Cmd) (string, *report.Report) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	err = c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	report, err := wait(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), report
}

func TestRunReports(t *testing.T) {
	tests := []struct {
		script, signal string
		exit           int
	}{
		{"exit 0", "", 0},
		{"exit 255", "", 255},
		{"kill -9 $$", "SIGKILL", -1},
		{"kill -TERM $$", "SIGTERM", -1},
	}
	for _, tt := range tests {
		_, report := output(t, shell(t, tt.script))
		if report.Exit != tt.exit || report.Signal != tt.signal || report.Timeout {
			t.Errorf("%s: exit %d signal %q timeout %v", tt.script, report.Exit, report.Signal, report.Timeout)
		}
		if report.Version != 1 || report.Profile != "default" || len(report.Args) != 3 || report.Wall <= 0 || report.PeakRSS < 1<<16 {
			t.Errorf("%s: %+v", tt.script, report)
		}
	}
	asUserToo(t)
}

// TestMisuse checks the errors for a Cmd that is used in an order other than Start, Wait.
func TestMisuse(t *testing.T) {
	c := shell(t, "exit 4")
	if _, err := wait(c); err == nil || err.Error() != "wait: not started" {
		t.Errorf("Wait before Start: %v", err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err == nil || err.Error() != "signal: not started" {
		t.Errorf("Signal before Start: %v", err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err == nil || err.Error() != "start: already started" {
		t.Errorf("Start twice: %v", err)
	}
	if report, err := wait(c); err != nil || report.Exit != 4 {
		t.Errorf("Wait: %+v, %v", report, err)
	}
	if report, err := wait(c); report != nil || err == nil || err.Error() != "wait: already waited for" {
		t.Errorf("Wait twice: %+v, %v", report, err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal after the end: %v", err)
	}
}

// TestWaitAfterFailure checks that Wait does not wait for a program that never ran.
func TestWaitAfterFailure(t *testing.T) {
	c := shell(t, "true")
	c.failStep = 1
	if _, err := run(c); err == nil {
		t.Fatal("no error")
	}
	done := make(chan error, 1)
	go func() {
		_, err := wait(c)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Wait after a Start that failed: no error")
		}
	case <-time.After(5 * time.Second):
		t.Error("Wait after a Start that failed never returns")
	}
	if err := c.Process.Signal(syscall.SIGKILL); err == nil {
		t.Error("Signal after a Start that failed: no error")
	}
}

// TestConcurrent launches many sandboxes from as many goroutines.
func TestConcurrent(t *testing.T) {
	const n = 50
	output(t, shell(t, "true"))
	before := look(t)
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			text, report := output(t, shell(t, "echo "+strconv.Itoa(i)+"; exit "+strconv.Itoa(i)))
			if text != strconv.Itoa(i)+"\n" || report.Exit != i {
				t.Errorf("%d: wrote %q, exit %d", i, text, report.Exit)
			}
		}()
	}
	all.Wait()
	unchanged(t, before)
	asUserToo(t)
}

// TestOtherGoroutines starts, signals and waits in different goroutines, whose threads end. A child dies when the
// thread that has made it ends, and the library must not let that happen.
func TestOtherGoroutines(t *testing.T) {
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := shell(t, "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done")
	c.Stdout = w
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		started <- c.Start()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	w.Close()
	if line := make([]byte, 6); must(io.ReadFull(out, line)) != 6 || string(line) != "ready\n" {
		t.Fatalf("wrote %q", line)
	}
	time.Sleep(50 * time.Millisecond)
	signalled := make(chan error)
	go func() { signalled <- c.Process.Signal(syscall.SIGUSR1) }()
	if err := <-signalled; err != nil {
		t.Error(err)
	}
	type result struct {
		report *report.Report
		err    error
	}
	ended := make(chan result)
	go func() {
		r, err := wait(c)
		ended <- result{r, err}
	}()
	if r := <-ended; r.err != nil || r.report.Exit != 7 || r.report.Signal != "" {
		t.Errorf("%+v, %v", r.report, r.err)
	}
}

// endAtEveryMoment launches sandboxes and ends each a step later than the one before, until it has ended some during
// the launch and some after it. end returns whether it has ended the launch, and not the program.
func endAtEveryMoment(t *testing.T, step time.Duration, end func(p *launch.Process, after time.Duration) (launch bool)) {
	t.Helper()
	before := look(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var launches, programs int
	for i := 0; i < 400 && (launches < 5 || programs < 5); i++ {
		if i > 0 && i%50 == 0 && programs == 0 { // a launch takes longer here
			step *= 2
		}
		p := processOf(t, shell(t, "exec sleep 100"))
		if end(p, time.Duration(i%50)*step) {
			launches++
		} else {
			programs++
		}
	}
	if launches == 0 || programs == 0 {
		t.Errorf("%d launches and %d programs were ended: the moments are not those of a launch", launches, programs)
	}
	unchanged(t, before)
}

// TestSignalDuringLaunch sends a signal at every moment of a launch. The signal must end either the launch, with an
// error, or the program.
func TestSignalDuringLaunch(t *testing.T) {
	endAtEveryMoment(t, 200*time.Microsecond, func(p *launch.Process, after time.Duration) (launch bool) {
		go func() {
			time.Sleep(after)
			for p.Signal(syscall.SIGTERM) == syscall.ESRCH { // until there is a child
				time.Sleep(time.Microsecond)
			}
		}()
		err := p.LaunchAll()
		var ended *SignalError
		switch {
		case errors.As(err, &ended) && ended.Signal == syscall.SIGTERM:
			return true
		case err != nil:
			t.Errorf("after %v: %v", after, err)
		default:
			r, err := p.Wait()
			if err != nil || r.Signal != "SIGTERM" {
				t.Errorf("after %v: %+v, %v", after, r, err)
			}
		}
		return false
	})
}

// TestKilledDuringLaunch kills init at every moment after the task's first message. The error must say that init was
// killed, and not name a consequence of that.
func TestKilledDuringLaunch(t *testing.T) {
	endAtEveryMoment(t, 100*time.Microsecond, func(p *launch.Process, after time.Duration) (launchValue bool) {
		go func() {
			for begun := false; !begun; time.Sleep(time.Microsecond) {
				p.Mu.Lock()
				begun = p.Taskfd >= 0
				p.Mu.Unlock()
			}
			time.Sleep(after)
			p.Kill()
		}()
		switch err := p.LaunchAll(); {
		case err == launch.ErrEnded:
			return true
		case err != nil:
			t.Errorf("after %v: %v", after, err)
		default:
			r, err := p.Wait()
			if err != nil || r.Signal != "SIGKILL" {
				t.Errorf("after %v: %+v, %v", after, r, err)
			}
		}
		return false
	})
}

func must(n int, err error) int {
	if err != nil {
		panic(err)
	}
	return n
}

// TestDiesWithWait checks that Wait kills the processes that the program has left behind.
func TestDiesWithWait(t *testing.T) {
	before := look(t)
	began := time.Now()
	c := shell(t, "trap '' TERM HUP; (setsid sleep 1000 &) ; sleep 1000 & exit 5")
	if report, err := run(c); err != nil || report.Exit != 5 {
		t.Errorf("%+v, %v", report, err)
	}
	if took := time.Since(began); took > sandboxtest.Slow(10*time.Second) {
		t.Errorf("took %v", took)
	}
	unchanged(t, before)
}

// TestWallLimit ends a program that ignores SIGTERM.
func TestWallLimit(t *testing.T) {
	wall := sandboxtest.Slow(100 * time.Millisecond) // in which the trap is set
	c := shell(t, "trap '' TERM; sleep 1000; while :; do :; done")
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: wall}
	c.KillAfter = 100 * time.Millisecond
	report, err := run(c)
	if err != nil || !report.Timeout || report.Signal != "SIGKILL" || report.Exit != -1 || report.Wall < wall || report.Wall > sandboxtest.Slow(20*time.Second) {
		t.Errorf("%+v, %v", report, err)
	}
	c = shell(t, "trap 'exit 9' TERM; while :; do sleep 0.01; done")
	c.Profile.Limits.Wall = policy.Opt[time.Duration]{Set: true, V: wall}
	report, err = run(c)
	if err != nil || !report.Timeout || report.Exit != 9 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestExtraFiles passes descriptors to the task by their position, whatever their numbers are in this process, and
// passes no others.
func TestExtraFiles(t *testing.T) {
	dir := publicDir(t)
	var files []*os.File
	for i := range 5 {
		f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	secret, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(secret)
	c := shell(t, "echo a >&3; echo b >&4; echo c >&5; echo d >&6; ls /proc/self/fd | tr '\\n' ' '")
	// The files are passed in another order than they were opened, and one of them twice.
	c.ExtraFiles = []*os.File{files[4], files[1], files[3], files[1]}
	text, _ := output(t, c)
	if text != "0 1 2 3 4 5 6 7 " { // 7 is the directory that ls reads
		t.Errorf("descriptors %s", text)
	}
	for i, want := range []string{"", "b\nd\n", "", "c\n", "a\n"} {
		got, err := os.ReadFile(files[i].Name())
		if err != nil || string(got) != want {
			t.Errorf("file %d: %q, %v", i, got, err)
		}
	}
}

// TestStdio covers standard files that are not given, that are the same file, and that have each other's numbers.
func TestStdio(t *testing.T) {
	null := shell(t, "x=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2); echo \"$x\" >&3")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null.ExtraFiles = []*os.File{w}
	if report, err := run(null); err != nil || report.Exit != 0 {
		t.Errorf("no stdio at all: %+v, %v", report, err)
	}
	w.Close()
	if text, _ := io.ReadAll(r); string(text) != "/dev/null\n/dev/null\n/dev/null\n" {
		t.Errorf("no stdio at all: %q", text)
	}
	r.Close()

	// These are the launcher's own 0, 1 and 2, in another order.
	dir := publicDir(t)
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := shell(t, "echo out; echo err >&2; cat")
	in, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.Stdin, c.Stdout, c.Stderr = in, out, out
	if report, err := run(c); err != nil || report.Exit != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	got, _ := os.ReadFile(out.Name())
	want, _ := os.ReadFile("/etc/passwd")
	if string(got) != "out\nerr\n"+string(want) {
		t.Errorf("wrote %q", got)
	}

	closed, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	c = shell(t, "true")
	c.Stdin = closed
	before := look(t)
	if err := c.Start(); err == nil {
		t.Error("a closed file as stdin: no error")
		_, _ = wait(c)
	}
	unchanged(t, before)
}

// TestEnvironment passes the variables that the profile keeps, and a very large environment.
func TestEnvironment(t *testing.T) {
	c := shell(t, "env | sort")
	c.Env = []string{"PATH=/usr/bin:/bin", "HOME=/h", "LC_ALL=C", "LD_PRELOAD=/tmp/x.so", "BASH_ENV=/tmp/x", "GODEBUG=x", "SECRET=1", "LC_=", "no-equals"}
	text, _ := output(t, c)
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		name, _, _ := strings.Cut(line, "=")
		if name != "PWD" && name != "OLDPWD" && name != "_" && name != "SHLVL" { // the shell's own
			names = append(names, name)
		}
	}
	if got := strings.Join(names, " "); got != "HOME LC_ LC_ALL PATH" {
		t.Errorf("the program has %s", got)
	}

	big := shell(t, "printf %s \"$LC_BIG\" | wc -c; env | grep -c ^LC_")
	big.Env = []string{"PATH=/usr/bin:/bin", "LC_BIG=" + strings.Repeat("x", 100_000)} // MAX_ARG_STRLEN is 128 KiB
	for i := range 1000 {
		big.Env = append(big.Env, "LC_"+strconv.Itoa(i)+"="+strings.Repeat("y", 1000))
	}
	if text, _ := output(t, big); text != "100000\n1001\n" {
		t.Errorf("of a large environment arrived %q", text)
	}

	long := shell(t, "true")
	long.Env = []string{"PATH=/usr/bin:/bin", "LC_BIG=" + strings.Repeat("x", 200_000)}
	before := look(t)
	_, err := run(long)
	var lookup *LookupError
	if !errors.As(err, &lookup) || lookup.Code != 126 || lookup.Why != unix.E2BIG.Error() {
		t.Errorf("a variable that is too long: %v", err)
	}
	unchanged(t, before)
}

// TestManyMounts binds 2,000 files and directories in a fraction of a second.
func TestManyMounts(t *testing.T) {
	dir := publicDir(t)
	c := shell(t, "wc -l </proc/self/mountinfo; cat "+dir+"/1999/f; (echo x >"+dir+"/7/f) 2>/dev/null || echo ro")
	for i := range 2000 {
		d := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "f"), []byte(strconv.Itoa(i)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.Profile.Mounts = append(c.Profile.Mounts, policy.Mount{Kind: policy.MountBind, Source: d})
	}
	began := time.Now()
	text, report := output(t, c)
	took := time.Since(began)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if n, err := strconv.Atoi(lines[0]); err != nil || n < 2000 || len(lines) != 3 || lines[1] != "1999" || lines[2] != "ro" || report.Exit != 0 {
		t.Errorf("wrote %q, exit %d", text, report.Exit)
	}
	t.Logf("took %v", took)
	if limit := sandboxtest.Slow(5 * time.Second); took > limit {
		t.Errorf("took %v; 0.2 s is the aim on an idle machine", took)
	}
}

// TestManyDescriptors launches from a program that has more files open than the profile allows the task.
func TestManyDescriptors(t *testing.T) {
	c := shell(t, "ulimit -n; ls /proc/self/fd | wc -l")
	c.Profile.Limits.Rlimits = []policy.Rlimit{{Name: "nofile", Value: 32}}
	var files []*os.File
	for range 100 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	text, _ := output(t, c)
	for _, f := range files {
		f.Close()
	}
	if text != "32\n4\n" {
		t.Errorf("limit and descriptors: %q", text)
	}
}

// TestSignalMask checks that the task has no blocked signals, whatever the launcher has blocked. A signal that the
// launcher ignored at its start stays ignored in the task, as under nohup(1).
func TestSignalMask(t *testing.T) {
	text, _ := output(t, shell(t, "sed -nE 's/^Sig(Blk|Ign):.//p' /proc/self/status"))
	blocked, ignored, _ := strings.Cut(strings.TrimSpace(text), "\n")
	mask, err := strconv.ParseUint(ignored, 16, 64)
	own, readErr := os.ReadFile("/proc/self/status")
	inherited, parseErr := strconv.ParseUint(proc.StatusField(own, "SigIgn"), 16, 64)
	const libc = 1<<(32-1) | 1<<(33-1) // libc's own: Go leaves them as they were inherited
	if err := errors.Join(err, readErr, parseErr); blocked != "0000000000000000" || err != nil || mask&^libc != inherited&^libc {
		t.Errorf("blocked %s, ignored %s, inherited %x, %v", blocked, ignored, inherited, err)
	}
}
