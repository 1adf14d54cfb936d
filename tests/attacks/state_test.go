package attacks

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The functions below are row 11 of the threat model: the state directory. It tells other commands which processes to
// signal, and which launchers to talk to.

// kept is a sandbox that other commands can find, with the directory that holds its state.
type kept struct {
	runtime string // the value of XDG_RUNTIME_DIR, or a substitute
	dir     string // the state directory
	entry   string // the sandbox's entry, in dir
	before  os.FileInfo
}

// keptBefore makes the names of sandboxes unique.
var keptBefore atomic.Uint64

// keep starts a detached sandbox of the account. Root's state is always in /run/cordon.
func (b *box) keep() (kept, *box) {
	b.t.Helper()
	k := kept{runtime: "/run"}
	in := *b
	if b.who.uid != 0 {
		k.runtime = b.scratch("runtime")
		if err := os.Chmod(k.runtime, 0o700); err != nil {
			b.t.Fatal(err)
		}
		in.env = append(in.env, "XDG_RUNTIME_DIR="+k.runtime)
	}
	k.dir = k.runtime + "/cordon"
	name := "attacks-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(keptBefore.Add(1), 10)
	id := strings.TrimSpace(in.cordon("run", "-d", "--name", name, "--", "sleep", "60"))
	k.entry = id + "@" + name
	b.t.Cleanup(func() { in.end(id, k.dir+"/"+k.entry+"/state.json") })
	var err error
	if k.before, err = os.Lstat(k.dir); err != nil {
		b.t.Fatal(err)
	}
	return k, &in
}

// end ends a detached sandbox and removes it. If the launcher no longer trusts the state directory, it kills the
// sandbox's init.
func (b *box) end(id, state string) {
	b.t.Helper()
	var s struct{ Init struct{ Pid int } }
	text, err := os.ReadFile(state)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.Init.Pid <= 1 {
		b.t.Errorf("%s: %v, init %d", state, err, s.Init.Pid)
		return
	}
	c := exec.Command(cordonBin, "rm", "-f", id)
	c.Dir, c.Env = b.site.work, b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	out, err := c.CombinedOutput()
	switch {
	case err == nil:
	case strings.Contains(string(out), "a sandbox could write"):
		_ = syscall.Kill(s.Init.Pid, syscall.SIGKILL)
	default:
		b.t.Errorf("rm -f %s: %v %s", id, err, out)
	}
}

// cordon runs a command of cordon as the account.
func (b *box) cordon(args ...string) string {
	c := exec.Command(cordonBin, args...)
	c.Dir, c.Env = b.site.work, b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		errors.As(err, &exit)
		panic(broken("cordon %q: %v %s", args, err, exit.Stderr))
	}
	return string(out)
}

// harmed says what has happened to the state directory, or returns "" if it is unchanged.
func (k *kept) harmed() string {
	now, err := os.Lstat(k.dir)
	switch {
	case err != nil:
		return err.Error()
	case !os.SameFile(now, k.before):
		return "another directory is in its place"
	case exists(k.dir + "/0123456789ab@forged"):
		os.Remove(k.dir + "/0123456789ab@forged")
		return "an entry was forged"
	case !exists(k.dir + "/" + k.entry + "/cordonctl"):
		return "the sandbox's entry is gone"
	}
	return ""
}

// seizeState tries to use the state directory from inside, with a profile that shows it in one way or another.
func seizeState(shown ...string) func(*box) outcome {
	return func(b *box) outcome {
		k, in := b.keep()
		alias := "/home"
		if !b.onRootfs() && b.profile != "strict" {
			alias = b.scratch("alias")
		}
		dirs := []string{k.dir, alias, alias + "/cordon", "/proc/self/root" + k.dir}
		switch strings.Join(shown, "") {
		case "runtime":
			if b.onRootfs() { // its root does not have this directory
				in = in.with("--rw", k.runtime+":/run")
				dirs = append(dirs, "/run/cordon")
			} else {
				in = in.with("--rw", k.runtime)
			}
		case "alias":
			in = in.with("--rw", k.runtime+":"+alias)
			dirs = append(dirs[:1], alias+"/cordon")
		case "itself":
			in = in.with("--rw", k.dir+":"+alias)
		}
		if b.who.uid == 0 && len(shown) > 0 && shown[0] != "itself" {
			dirs = append(dirs, alias+"/cordon")
		}
		o := in.attack(append([]string{"seize", k.entry}, dirs...)...)
		if harm := k.harmed(); harm != "" {
			return escaped("%s", harm)
		}
		return o
	}
}

func seizeBare(b *box) outcome {
	k, in := b.keep()
	return in.attack("seize", k.entry, k.dir)
}

// moveState lets the sandbox write a directory two levels above the state directory. cordon must refuse this, because
// the task could move away the directory between the two.
func moveState(b *box) outcome {
	if b.who.uid == 0 {
		return blocked("root's is in /run")
	}
	outer := b.scratch("outer")
	runtime := filepath.Join(outer, "run")
	if err := errors.Join(os.Mkdir(runtime, 0o700), give(outer, b.who)); err != nil {
		b.t.Fatal(err)
	}
	c := *b
	c.env = append(c.env, "XDG_RUNTIME_DIR="+runtime)
	r := c.with("--rw", outer).run(b.program(), "nr", "1000")
	if r.code == 125 && strings.Contains(r.err, "state directory") {
		return blocked("refused")
	}
	return escaped("it ran: exit %d %s%s", r.code, r.out, r.err)
}

// forgery is a script that makes an entry in a false state directory of the project. The entry's launcher is gone, and
// its pid 1 is the caller's process VICTIM.
const forgery = `mkdir -p -m 700 rt rt/cordon "rt/cordon/0123456789ab" && cd rt/cordon/0123456789ab || exit 9
(umask 077; : >lock; cat >state.json <<X
{"version":1,"id":"0123456789ab","profile":"x","args":["x"],"cwd":"/","detached":false,"created":"2026-01-01T00:00:00Z",
"boot_id":"BOOT","pid_namespace":"SPACE","launcher":{"pid":1,"start":1},"init":{"pid":VICTIM,"start":START}}
X
)`

// forgeState lets a task make a state directory where a later command, with other variables, looks for its own. cordon
// kills the remaining processes of a sandbox whose launcher is gone. So the forged entry would make it kill another
// process.
func forgeState(b *box) outcome {
	if b.who.uid == 0 {
		return blocked("root's is /run/cordon")
	}
	dir := b.scratch("project")
	victim := exec.Command("sleep", "60")
	victim.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	if err := victim.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = victim.Wait(); close(ended) }()
	defer func() { _ = victim.Process.Kill(); <-ended }()
	pid := strconv.Itoa(victim.Process.Pid)
	stat, err1 := os.ReadFile("/proc/" + pid + "/stat")
	boot, err2 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, err3 := os.Readlink("/proc/self/ns/pid")
	if err := errors.Join(err1, err2, err3); err != nil {
		b.t.Fatal(err)
	}
	start := strings.Fields(string(stat))[21] // proc_pid_stat(5), field 22
	text := strings.NewReplacer("BOOT", strings.TrimSpace(string(boot)), "SPACE", space, "VICTIM", pid, "START", start).Replace(forgery)
	in := *b
	in.dir = dir
	if r := in.run("sh", "-c", text); r.code != 0 {
		b.t.Fatalf("exit %d %s", r.code, r.err)
	}
	ps := exec.Command(cordonBin, "ps", "-a")
	ps.Dir, ps.Env = dir, append(b.environ(), "XDG_RUNTIME_DIR="+dir+"/rt")
	ps.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	out, err := ps.CombinedOutput()
	select {
	case <-ended:
		return escaped("the caller's process is dead: %s", out)
	case <-time.After(100 * time.Millisecond):
	}
	if err == nil {
		return escaped("the directory is used: %s", out)
	}
	return blocked("refused")
}
