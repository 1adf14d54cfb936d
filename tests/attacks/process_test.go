package attacks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The functions below are row 15 of the threat model: descriptors.

// heldDescriptors looks at /proc/PID/fd of the task and of init. The task must have only the standard files that it was
// given, and init no other file of the host.
func heldDescriptors(b *box) outcome {
	run := b.wrapped(probeBin, "pre", "open=/", "--").start(b.program(), "wait", b.site.mark)
	defer run.end()
	init, task := initAndTask(run.cmd.Process.Pid)
	if init == 0 || task == 0 {
		return broken("init %d, task %d", init, task)
	}
	for fd, to := range descriptors(task) {
		if fd > 2 || strings.HasPrefix(to, "/") && to != "/dev/null" {
			return escaped("the task holds %d -> %s", fd, to)
		}
	}
	for fd, to := range descriptors(init) {
		if strings.HasPrefix(to, "/") && to != "/dev/null" {
			return escaped("init holds %d -> %s", fd, to)
		}
	}
	return blocked("%d, %d", len(descriptors(task)), len(descriptors(init)))
}

func descriptors(pid int) map[int]string {
	held := map[int]string{}
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		held[n], _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, n))
	}
	return held
}

// The functions below are row 16 of the threat model: all processes end together.

func (b *box) newMark(what string) string {
	return fmt.Sprintf("%s%d%s%s%d", what, os.Getpid(), b.profile, b.who.name, time.Now().UnixNano())
}

// lingers leaves a process behind, and ends in the way that how says.
func lingers(how string) func(*box) outcome {
	return func(b *box) outcome {
		mark := b.newMark("LINGER")
		r := b.run(b.program(), "linger", mark, how)
		if left := gone(mark); left != nil {
			return escaped("%q", left)
		}
		return b.lingered(r)
	}
}

// lingered checks that nothing is left. If the profile forbids fork, the first fork ends the attack.
func (b *box) lingered(r result) outcome {
	if !strings.Contains(r.out, "ready") {
		if b.profile == "strict" && strings.Contains(r.out, "trying") {
			return blocked("no fork")
		}
		return broken("exit %d: %s%s", r.code, r.out, r.err)
	}
	return blocked("all gone")
}

func lingersKilled(b *box) outcome {
	if b.profile == "strict" {
		return lingers("exit")(b)
	}
	mark := b.newMark("LINGER")
	run := b.start(b.program(), "linger", mark, "stay")
	run.cmd.Process.Kill()
	if left := gone(mark); left != nil {
		return escaped("%q", left)
	}
	return blocked("all gone")
}

func lingersTimeout(b *box) outcome {
	mark := b.newMark("LINGER")
	start := time.Now()
	r := b.with("--timeout", "1s").run(b.program(), "linger", mark, "stay")
	if left := gone(mark); left != nil {
		return escaped("%q", left)
	}
	if took := time.Since(start); took > 10*time.Second {
		return escaped("it took %v", took)
	}
	if b.profile != "strict" && r.code != 124 {
		return escaped("exit %d, not 124: %s", r.code, r.err)
	}
	return b.lingered(r)
}

// orphans shows that the process stays alive without a sandbox.
func orphans(b *box) outcome {
	mark := b.newMark("ORPHAN")
	r := b.run("./probe", "linger", mark, "exit")
	left := traces(mark)
	for _, l := range left {
		pid, _ := strconv.Atoi(strings.Fields(l)[0])
		if strings.Contains(commandLine(pid), mark) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if left == nil {
		return broken("nothing was left: %s%s", r.out, r.err)
	}
	return escaped("%d left", len(left))
}

// victimBare starts a process of the account that may be killed.
func (b *box) victimBare() (*exec.Cmd, error) {
	c := exec.Command("sleep", "60")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	return c, c.Start()
}

func killBare(b *box) outcome {
	c, err := b.victimBare()
	if err != nil {
		return broken("%v", err)
	}
	go c.Wait()
	return b.attack("killall", strconv.Itoa(c.Process.Pid))
}

func signalVictim(b *box) outcome {
	c, err := b.victimBare()
	if err != nil {
		return broken("%v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	defer c.Process.Kill()
	r := b.run(b.program(), "killall", strconv.Itoa(c.Process.Pid))
	select {
	case err := <-ended:
		return escaped("the process ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if st, err := status(c.Process.Pid); err != nil || strings.HasPrefix(st["State"], "T") {
		return escaped("the process was stopped: %v %v", st["State"], err)
	}
	if !strings.Contains(r.out, "trying") {
		return broken("exit %d: %s%s", r.code, r.out, r.err)
	}
	return blocked("it still runs")
}

// The functions below are row 17 of the threat model: unusual ways to start the launcher.

// closedStdio starts the launcher with each combination of the descriptors 0, 1 and 2 closed. The task must get
// descriptors that are open and harmless, and never a descriptor that the launcher has opened for itself. Otherwise the
// launcher must refuse with a clear error.
func closedStdio(b *box) outcome {
	for set := 1; set < 8; set++ {
		wrap := []string{probeBin, "pre"}
		for fd := range 3 {
			if set&(1<<fd) != 0 {
				wrap = append(wrap, "close="+strconv.Itoa(fd))
			}
		}
		box := b.wrapped(append(wrap, "--")...)
		if r := box.run(b.program(), "children"); r.code != 0 {
			return escaped("closed %03b: exit %d %s%s", set, r.code, r.out, r.err)
		}
		if o := box.closedFromOutside(set); o.state != "blocked" {
			return o
		}
	}
	return blocked("exit 0, /dev/null in their place")
}

func (b *box) closedFromOutside(set int) outcome {
	mark := b.newMark("CLOSED")
	argv := b.argv([]string{b.program(), "linger", mark, "stay"})
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Env = b.site.work, b.environ()
	c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
	if err := c.Start(); err != nil {
		return broken("%v", err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	for range 200 {
		for _, pid := range below(c.Process.Pid) {
			// The process that has left its parent, in its own session, starts last.
			if strings.Contains(commandLine(pid), mark) && len(descriptors(pid)) >= 3 && !strings.Contains(commandLine(pid), "cordon") {
				return onlyStdio(pid, set)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return broken("closed %03b: the task did not come up", set)
}

func onlyStdio(pid, set int) outcome {
	held := descriptors(pid)
	for fd := range 3 {
		if to := held[fd]; to != "/dev/null" && !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "/dev/null") {
			return escaped("closed %03b: %d is %q", set, fd, to)
		}
	}
	return blocked("")
}

func closedBare(b *box) outcome {
	r := b.wrapped(probeBin, "pre", "close=2", "--").attack("children")
	return r
}

func hugeStrings(b *box) outcome {
	var env []string
	for i := range 1200 {
		env = append(env, fmt.Sprintf("X%d=%s", i, strings.Repeat("x", 1000)))
	}
	box := *b
	box.env = append(env, "LONG="+strings.Repeat("x", 120_000))
	if o := box.attack("children"); o.state != "blocked" {
		return outcome{o.state, "environment: " + o.detail}
	}
	many := slices.Repeat([]string{strings.Repeat("y", 1000)}, 1200)
	if o := b.attack(append([]string{"children"}, many...)...); o.state != "blocked" {
		return outcome{o.state, "arguments: " + o.detail}
	}
	if o := b.attack("children", strings.Repeat("y", 120_000)); o.state != "blocked" {
		return outcome{o.state, "one argument: " + o.detail}
	}
	if o := b.attack("children", "", "", ""); o.state != "blocked" {
		return outcome{o.state, "empty arguments: " + o.detail}
	}
	return blocked("exit 0")
}

// tightLimits starts the launcher with low limits. The launcher must work, or name the cause and leave nothing behind.
func tightLimits(b *box) outcome {
	for _, mode := range []string{"nofile=3", "nofile=4", "nofile=8", "nofile=16", "nofile=64", "fsize=0", "core=0"} {
		mark := b.newMark("TIGHT")
		r := b.wrapped(probeBin, "pre", mode, "--").run(b.program(), "nr", "1000", mark)
		if left := gone(mark); left != nil {
			return escaped("%s: %q is left", mode, left)
		}
		fine := strings.Contains(r.out, "blocked ENOSYS") && r.code == 0
		refused := r.code == 125 && strings.Contains(r.err, "cordon: error: ")
		// With three descriptors, no Go program can start.
		hopeless := strings.HasPrefix(mode, "nofile=") && len(mode) == len("nofile=3") && r.code != 0
		if !fine && !refused && !hopeless {
			return escaped("%s: exit %d: %s%s", mode, r.code, r.out, r.err)
		}
	}
	return blocked("works, or says why not")
}

// The function below is a part of row 18 of the threat model: a process outside reads the launcher and init.

// outsideReads checks that another process of the same user cannot read the launcher and init. Both are not dumpable,
// so the kernel gives their files in /proc to root.
func outsideReads(b *box) outcome {
	run := b.start(b.program(), "wait", b.site.mark)
	defer run.end()
	init, _ := initAndTask(run.cmd.Process.Pid)
	if init == 0 {
		return broken("no init")
	}
	for name, pid := range map[string]int{"launcher": run.cmd.Process.Pid, "init": init} {
		st, err := os.Stat(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			return broken("%v", err)
		}
		if owner := st.Sys().(*syscall.Stat_t).Uid; owner != 0 {
			return escaped("the %s is dumpable: its mem belongs to %d", name, owner)
		}
	}
	return blocked("owned by root")
}

// The functions below are row 21 of the threat model: the environment.

var poison = []string{"LD_PRELOAD=/none/MARK.so", "LD_LIBRARY_PATH=/none/MARK", "BASH_ENV=/none/MARK", "ENV=/none/MARK", "PYTHONPATH=/none/MARK",
	"PERL5OPT=-MMARK", "NODE_OPTIONS=--MARK", "GIT_SSH_COMMAND=MARK", "AWS_SECRET_ACCESS_KEY=MARK", "SSH_AUTH_SOCK=/none/MARK",
	"DBUS_SESSION_BUS_ADDRESS=unix:path=/none/MARK", "GODEBUG=MARK=1", "=MARK=1"}

// environment checks that the task sees none of the launcher's variables, except for those that the profile keeps by
// name.
func environment(b *box) outcome {
	box := *b
	for _, v := range poison {
		box.env = append(box.env, strings.ReplaceAll(v, "MARK", b.site.mark))
	}
	r := box.run(b.program(), "environ", kram(b.site.mark))
	if !b.bare() && strings.Contains(r.err, b.site.mark) {
		return escaped("the launcher acted on a variable: %s", r.err)
	}
	return outcomeOf(r)
}

// preloadLib is a library that leaves a file when it is loaded.
func (b *box) preloadLib(hit string) (string, error) {
	dir := b.site.work // the sandbox shows this directory
	source := fmt.Sprintf("#include <fcntl.h>\n__attribute__((constructor)) static void f(void) { open(%q, O_CREAT | O_WRONLY, 0600); }\n", hit)
	if err := os.WriteFile(dir+"/hit.c", []byte(source), 0o644); err != nil {
		return "", err
	}
	return dir + "/hit.so", build("gcc", "-shared", "-fPIC", "-o", dir+"/hit.so", dir+"/hit.c")
}

func preload(b *box) outcome {
	hit := b.scratch("hit") + "/hit"
	lib, err := b.preloadLib(hit)
	if err != nil {
		return broken("%v", err)
	}
	r := b.with("--env", "LD_PRELOAD="+lib, "--env", "GODEBUG=nonsense=1").run("./probe-dynamic", "nr", "1000")
	if exists(hit) {
		return escaped("the library was loaded outside")
	}
	if strings.Contains(r.err, "nonsense") {
		return escaped("GODEBUG reached the launcher")
	}
	return outcomeOf(r)
}

func preloadBare(b *box) outcome {
	hit := b.scratch("hit") + "/hit"
	lib, err := b.preloadLib(hit)
	if err != nil {
		return broken("%v", err)
	}
	box := *b
	box.env = []string{"LD_PRELOAD=" + lib}
	box.run("./probe-dynamic", "nr", "1000")
	if exists(hit) {
		return escaped("the library was loaded")
	}
	return broken("the library was not loaded")
}

// The functions below are row 27 of the threat model: the kernel's view of the task.

// granted maps profiles to the capabilities that they keep. A profile that is not in it keeps none. Docker's are CHOWN,
// DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD,
// AUDIT_WRITE and SETFCAP.
var granted = map[string]string{"container": "00000000a80425fb"}

const none = "0000000000000000"

// kernelState compares /proc/PID/status and the namespaces of task and init with the profile.
func kernelState(b *box) outcome {
	run := b.start(b.program(), "wait", b.site.mark)
	defer run.end()
	return b.judgeState(run)
}

func kernelStateAmbient(b *box) outcome {
	if os.Getuid() != 0 {
		return absent("only root can hand them on")
	}
	box := b.wrapped(probeBin, "pre", fmt.Sprintf("ambient-user=%d", b.who.uid), "--")
	box.who = account{b.who.name, 0, 0} // the wrapper drops root's rights
	run := box.start(b.program(), "wait", b.site.mark)
	defer run.end()
	return b.judgeState(run)
}

func (b *box) judgeState(run *running) outcome {
	init, task := initAndTask(run.cmd.Process.Pid)
	if init == 0 || task == 0 {
		return broken("init %d, task %d", init, task)
	}
	caps := none
	if g := granted[b.profile]; g != "" {
		caps = g
	}
	err := errors.Join(hasState("task", task, caps, caps), hasState("init", init, caps, none), b.hasIDs(task), hasNamespaces(task))
	if err != nil {
		return escaped("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return blocked("as the profile says")
}

func hasState(name string, pid int, bounding, permitted string) error {
	st, err := status(pid)
	if err != nil {
		return err
	}
	want := map[string]string{"CapBnd": bounding, "CapPrm": permitted, "CapEff": permitted, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2"}
	var errs []error
	for _, key := range []string{"CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp"} {
		if st[key] != want[key] {
			errs = append(errs, fmt.Errorf("%s: %s is %s, not %s", name, key, st[key], want[key]))
		}
	}
	return errors.Join(errs...)
}

// hasIDs checks that the task is not the host's root, and that an ordinary user's task has that user's id.
func (b *box) hasIDs(task int) error {
	st, err := status(task)
	if err != nil {
		return err
	}
	for _, key := range []string{"Uid", "Gid"} {
		for _, id := range strings.Fields(st[key]) {
			if id == "0" {
				return fmt.Errorf("%s on the host is %s", key, st[key])
			}
		}
	}
	if b.who.uid != 0 && !strings.HasPrefix(st["Uid"], strconv.Itoa(b.who.uid)) {
		return fmt.Errorf("Uid on the host is %s", st["Uid"])
	}
	if strings.Contains(st["Groups"], "0") && slices.Contains(strings.Fields(st["Groups"]), "0") {
		return fmt.Errorf("the groups hold 0: %s", st["Groups"])
	}
	return nil
}

func hasNamespaces(task int) error {
	var errs []error
	for _, kind := range []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"} {
		if ours, its := namespace(os.Getpid(), kind), namespace(task, kind); ours == its || its == "" {
			errs = append(errs, fmt.Errorf("%s is the host's: %s", kind, its))
		}
	}
	return errors.Join(errs...)
}
