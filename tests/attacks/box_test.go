package attacks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// account is a user who runs the launcher.
type account struct {
	name     string
	uid, gid int
}

// ordinary is the user id of the ordinary user. It has no entry in /etc/passwd and needs none.
var ordinary = account{"user", 65533, 65533}

// accounts returns root and an ordinary user if root runs the test, and otherwise only the user who runs it.
func accounts() []account {
	if os.Getuid() == 0 {
		return []account{{"root", 0, 0}, ordinary}
	}
	return []account{{"user", os.Getuid(), os.Getgid()}}
}

// accountsOnce returns the accounts. It leaves out the ordinary user if that user runs all tests separately.
func accountsOnce() []account {
	all := accounts()
	if os.Getenv("CORDON_USER_FOLLOWS") != "" {
		return all[:1]
	}
	return all
}

// site is the part of the host that belongs to one account: a working directory with the probe in it, a home with
// secrets, and a root file system.
type site struct {
	dir    string // contains everything else
	work   string
	home   string
	rootfs string
	mark   string // a text that only this site's secrets and its victim contain
	victim int    // a process of the account, outside every sandbox
	err    error
}

var sites sync.Map // "user" -> func() *site

func siteOf(t testing.TB, who account) *site {
	get, _ := sites.LoadOrStore(who.name, sync.OnceValue(func() *site { return newSite(who) }))
	s := get.(func() *site)()
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s
}

func newSite(who account) *site {
	dir := filepath.Join(base, who.name)
	s := &site{dir: dir, work: dir + "/work", home: dir + "/home", rootfs: dir + "/rootfs", mark: "MARK" + strconv.Itoa(os.Getpid()) + who.name}
	s.err = errors.Join(
		os.MkdirAll(s.work, 0o755),
		os.MkdirAll(s.home+"/.ssh", 0o755),
		os.WriteFile(s.home+"/.ssh/id_ed25519", []byte(s.mark+"\n"), 0o600),
		os.WriteFile(s.home+"/notes", []byte(s.mark+"\n"), 0o600),
		copyFile(probeBin, s.work+"/probe"),
		copyFile(dynamicBin, s.work+"/probe-dynamic"),
		copyFile(bombBin, s.work+"/bomb"),
		makeRootfs(s.rootfs),
		give(dir, who),
	)
	if s.err == nil {
		s.victim, s.err = startVictim(s, who)
	}
	return s
}

// makeRootfs builds a small root file system from busybox.
func makeRootfs(dir string) error {
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root", "run", "usr", "var", "home"} {
		if err := os.MkdirAll(dir+"/"+d, 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox: %w (apt-get install busybox-static)", err)
	}
	err = errors.Join(copyFile(busybox, dir+"/bin/busybox"), copyFile(probeBin, dir+"/probe"),
		os.WriteFile(dir+"/etc/passwd", []byte("root:x:0:0::/root:/bin/sh\n"), 0o644))
	for _, name := range []string{"group", "hosts", "hostname", "nsswitch.conf", "resolv.conf"} { // what can be generated has to be there
		err = errors.Join(err, os.WriteFile(dir+"/etc/"+name, nil, 0o644))
	}
	for _, name := range []string{"sh", "ls", "cat", "sleep", "true", "env", "id", "mkdir", "ln", "mv", "rm", "touch"} {
		err = errors.Join(err, os.Symlink("busybox", dir+"/bin/"+name))
	}
	return err
}

func startVictim(s *site, who account) (int, error) {
	c := exec.Command(s.work+"/probe", "wait", s.mark)
	c.Dir, c.Env = s.work, []string{"SECRET=" + s.mark}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(who)}
	if _, err := c.StdinPipe(); err != nil { // it ends with this program
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	victims = append(victims, c)
	return c.Process.Pid, nil
}

// victims holds the processes of the accounts outside of every sandbox. They are killed at the end of the tests.
var victims []*exec.Cmd

func endVictims() {
	for _, c := range victims {
		c.Process.Kill()
		c.Wait()
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// give makes the account who the owner of everything in dir.
func give(dir string, who account) error {
	if os.Getuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, who.uid, who.gid))
	})
}

func credential(who account) *syscall.Credential {
	if os.Getuid() != 0 || who.uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid)}
}

// box is one way to run a program: without a sandbox, in a sandbox of cordon from a profile, or in a sandbox of the
// peer, bubblewrap.
type box struct {
	t       testing.TB
	profile string // "" means without a sandbox, "bwrap" means the peer
	who     account
	site    *site
	file    string   // a profile file that extends profile and replaces it
	root    string   // replaces the site's root file system
	flags   []string // for the launcher, after the flags of the profile
	wrap    []string // a program that runs the launcher
	env     []string // further variables for the launcher
	place   bool     // run in place, without namespaces
	dir     string   // the launcher's working directory; "" means the site's
}

func newBox(t testing.TB, profile string, who account) *box {
	return &box{t: t, profile: profile, who: who, site: siteOf(t, who)}
}

func (b *box) with(flags ...string) *box {
	c := *b
	c.flags = append(append([]string(nil), b.flags...), flags...)
	if b.who.uid == 0 && slices.Contains(flags, "--rw") && !since(6, 3) { // no tmpfs can be idmapped before Linux 6.3
		c.flags = append(c.flags, "--host-user", "caller")
	}
	return &c
}

// since reports whether the kernel has the given version or a later one.
func since(major, minor int) bool {
	var uts syscall.Utsname
	var release []byte
	if syscall.Uname(&uts) == nil {
		for _, c := range uts.Release {
			release = append(release, byte(c))
		}
	}
	var have [2]int
	_, _ = fmt.Sscanf(string(release), "%d.%d", &have[0], &have[1])
	return have[0] > major || have[0] == major && have[1] >= minor
}

func (b *box) wrapped(wrap ...string) *box {
	c := *b
	c.wrap = append(append([]string(nil), b.wrap...), wrap...)
	return &c
}

// using returns a box whose profile is the shipped profile with the additions in yaml.
func (b *box) using(yaml string) *box {
	b.t.Helper()
	c := *b
	f, err := os.CreateTemp(b.site.dir, "profile-*.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "version: 1\nname: test\nextends: [%s]\n%s", b.profile, yaml)
	if err := f.Chmod(0o644); err != nil {
		b.t.Fatal(err)
	}
	c.file = f.Name()
	return &c
}

// scratch makes a new directory of the account, outside of its working directory and its home.
func (b *box) scratch(name string) string {
	b.t.Helper()
	dir, err := os.MkdirTemp(b.site.dir, name+"-")
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), give(dir, b.who))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return dir
}

func (b *box) bare() bool { return b.profile == "" }

func (b *box) onRootfs() bool { return b.profile == "container" }

// program returns the probe's path inside the box.
func (b *box) program() string {
	if b.onRootfs() {
		return "/probe"
	}
	return "./probe"
}

// argv returns the command line that runs args in the box.
func (b *box) argv(args []string) []string {
	switch {
	case b.bare():
	case b.profile == "bwrap":
		args = append(append(bwrapArgs(b.site), "--"), args...)
	default:
		run := []string{cordonBin, "run", "-p", cmp.Or(b.file, b.profile)}
		if b.onRootfs() {
			run = append(run, "--root", cmp.Or(b.root, b.site.rootfs))
		}
		if b.profile == "strict" && !since(6, 12) { // there Landlock lacks scopes, which the profile needs
			run = append(run, "--missing", "landlock")
		}
		if b.place {
			run = append(run, "--in-place")
		}
		if b.place && b.who.uid == 0 && slices.Contains(b.flags, "--rw") { // only root's id can write root's files
			run = append(run, "--host-user", "caller")
		}
		args = append(append(append(run, b.flags...), "--"), args...)
	}
	return append(append([]string(nil), b.wrap...), args...)
}

func bwrapArgs(s *site) []string {
	return []string{"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/tmp", "--tmpfs", s.home, "--chdir", s.work}
}

// environ returns a small, fixed environment. It contains a secret, which must not leak into the sandbox.
func (b *box) environ() []string {
	return append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + b.site.home, "LANG=C.UTF-8",
		"SECRET=" + b.site.mark}, b.env...)
}

func (b *box) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := b.argv(args)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir, c.Env = cmp.Or(b.dir, b.site.work), b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	if b.bare() && os.Getuid() == 0 {
		c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // changes to the mount table must not last
	}
	c.WaitDelay = time.Second
	return c
}

// result says how a program in a box ended.
type result struct {
	out, err string
	code     int // as a shell shows it: 128+n for a signal
}

const patience = 30 * time.Second

func (b *box) run(args ...string) result { return b.runInput("", args...) }

func (b *box) runInput(stdin string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := b.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	err := c.Run()
	r := result{out: out.String(), err: errs.String(), code: exitCode(c)}
	if ctx.Err() != nil {
		r.code, r.err = 124, r.err+"the test's patience ended"
	} else if c.ProcessState == nil {
		r.code, r.err = 125, err.Error()
	}
	return r
}

func exitCode(c *exec.Cmd) int {
	if c.ProcessState == nil {
		return -1
	}
	ws := c.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// running is a program in a box that has printed "ready".
type running struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *lines
	errs  *bytes.Buffer
	ended chan struct{}
	stop  context.CancelFunc
}

func (b *box) start(args ...string) *running {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &running{cmd: b.command(ctx, args...), out: newLines("ready"), errs: new(bytes.Buffer), ended: make(chan struct{}), stop: cancel}
	var err error
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		panic(broken("%v", err))
	}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.errs
	if err := r.cmd.Start(); err != nil {
		panic(broken("%v", err))
	}
	go func() {
		r.cmd.Wait()
		close(r.ended)
	}()
	select {
	case <-r.out.found:
	case <-r.ended:
		panic(broken("it did not get ready: exit %d: %s%s", exitCode(r.cmd), r.out.String(), r.errs))
	}
	return r
}

// attempt runs an attack. An attack that cannot continue panics with its outcome, and attempt returns the outcome.
func attempt(run func(*box) outcome, b *box) (o outcome) {
	defer func() {
		if r := recover(); r != nil {
			ended, ok := r.(outcome)
			if !ok {
				panic(r)
			}
			o = ended
		}
	}()
	return run(b)
}

// end lets the program continue, and waits for the launcher.
func (r *running) end() {
	r.stdin.Close()
	<-r.ended
	r.stop()
}

// lines collects output, and closes found as soon as a line contains the expected text.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	want  string
	found chan struct{}
	once  sync.Once
}

func newLines(want string) *lines { return &lines{want: want, found: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if bytes.Contains(l.buf.Bytes(), []byte(l.want)) {
		l.once.Do(func() { close(l.found) })
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// outcome says how an attack ended.
type outcome struct {
	state  string // blocked, escaped, broken (it could not be tried) or absent (this host has no such feature)
	detail string
}

func blocked(format string, args ...any) outcome {
	return outcome{"blocked", fmt.Sprintf(format, args...)}
}
func escaped(format string, args ...any) outcome {
	return outcome{"escaped", fmt.Sprintf(format, args...)}
}
func broken(format string, args ...any) outcome {
	return outcome{"broken", fmt.Sprintf(format, args...)}
}
func absent(format string, args ...any) outcome {
	return outcome{"absent", fmt.Sprintf(format, args...)}
}

// outcomeOf reads the probe's answer. If the probe prints "trying" and then nothing, that counts as an answer if the
// filter has killed it.
func outcomeOf(r result) outcome {
	for _, line := range strings.Split(r.out, "\n") {
		state, detail, _ := strings.Cut(line, " ")
		switch state {
		case "blocked", "escaped", "broken":
			return outcome{state, strings.TrimSpace(detail)}
		}
	}
	if strings.Contains(r.out, "trying") && r.code == 128+int(syscall.SIGSYS) {
		return blocked("SIGSYS")
	}
	return broken("exit %d: %s %s", r.code, r.out, firstLines(r.err, 3))
}

func firstLines(s string, n int) string {
	l := strings.SplitN(strings.TrimSpace(s), "\n", n+1)
	return strings.Join(l[:min(n, len(l))], " | ")
}

// expand replaces the parts of an attack's arguments that are known only at run time.
func (b *box) expand(args []string) []string {
	init := "1"
	if b.bare() {
		init = strconv.Itoa(b.site.victim)
	}
	rep := strings.NewReplacer("{init}", init, "{victim}", strconv.Itoa(b.site.victim), "{home}", b.site.home, "{work}", b.site.work,
		"{kram}", kram(b.site.mark), "{devs}", hostDevices(), "{uid}", strconv.Itoa(b.who.uid))
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = rep.Replace(a)
	}
	return out
}

// kram returns the site's mark written backwards. The probe looks for the mark, and its own command line must not
// contain it.
func kram(mark string) string {
	b := []byte(mark)
	slices.Reverse(b)
	return string(b)
}

// attack runs the probe with these arguments in the box, and returns the outcome.
func (b *box) attack(args ...string) outcome {
	return outcomeOf(b.run(append([]string{b.program()}, b.expand(args)...)...))
}
