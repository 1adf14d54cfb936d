package attacks

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The functions below are rows 12 and 13 of the threat model: nothing is left on the host.

// remains is the state of the host that a launch could change: mounts, names in shared directories, the home, cgroups.
func (b *box) remains() (lines []string) {
	m, _ := os.ReadFile("/proc/self/mountinfo")
	lines = strings.Split(string(m), "\n")
	for _, dir := range []string{b.site.dir, "/tmp", "/run", "/dev/shm", "/var/tmp"} {
		names, _ := filepath.Glob(dir + "/*")
		if dir == "/var/tmp" || dir == "/tmp" { // many programs make other names there
			names = slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, "cordon") || strings.Contains(n, "cordon-") })
		}
		lines = append(lines, names...)
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), "cordon") {
			lines = append(lines, path)
		}
		return nil
	})
	home := slices.DeleteFunc(strings.Split(listing(b.site.home), "\n"), func(line string) bool {
		return strings.HasPrefix(line, b.site.home+"/.local/state/cordon") // records may stay
	})
	return append(lines, home...)
}

// leftOf returns what exists now and did not exist before, after the kernel has had time to clean up. Other programs of
// the machine also make files, mounts and cgroups. So own contains only the lines that are certainly ours: they name
// the launchers, or belong to the test.
func (b *box) leftOf(before []string, pids []int) (own, all []string) {
	for end := time.Now().Add(3 * time.Second * time.Duration(slow)); ; time.Sleep(50 * time.Millisecond) {
		own, all = nil, nil
		for _, line := range b.remains() {
			if slices.Contains(before, line) {
				continue
			}
			all = append(all, line)
			byPID := slices.ContainsFunc(pids, func(pid int) bool { return strings.Contains(line, "-"+strconv.Itoa(pid)+"-") })
			if byPID || strings.Contains(line, b.site.dir) || strings.Contains(line, b.site.home) {
				own = append(own, line)
			}
		}
		if len(all) == 0 || time.Now().After(end) {
			return own, all
		}
	}
}

// killedLauncher kills the launcher at moments that are spread over the first 20 ms of its life on an ordinary machine.
// If something appeared that is not certainly a launcher's, another program may have made it. The test fails only if it
// appears again.
func killedLauncher(b *box) outcome {
	mark := fmt.Sprintf("KILLED%d%s%s", os.Getpid(), b.profile, b.who.name)
	b.run(b.program(), "fds", "3") // the first launch makes the record of what sandboxes could write
	for again := false; ; again = true {
		before := b.remains()
		started, pids, o := b.killAtMoments(mark)
		if o != nil {
			return *o
		}
		own, all := b.leftOf(before, pids)
		if len(own) > 0 || again && len(all) > 0 {
			return escaped("the host has changed: %s", strings.Join(all, "\n"))
		}
		if len(all) == 0 {
			return blocked("nothing left; %d of %d had started", started, moments)
		}
	}
}

// killAtMoments kills several launchers, each a little later than the one before. It returns how many programs had
// started.
func (b *box) killAtMoments(mark string) (started int, pids []int, o *outcome) {
	fail := func(o outcome) (int, []int, *outcome) { return 0, nil, &o }
	step := 20 * time.Millisecond * time.Duration(slow) / time.Duration(moments)
	for i := range moments {
		c := exec.Command(b.argv(nil)[0], b.argv([]string{b.program(), "wait", mark})[1:]...)
		c.Dir, c.Env = b.site.work, b.environ()
		c.SysProcAttr = &syscall.SysProcAttr{Credential: credential(b.who)}
		hold, err := c.StdinPipe()
		if err != nil {
			return fail(broken("%v", err))
		}
		out := newLines("ready")
		c.Stdout = out
		if err := c.Start(); err != nil {
			return fail(broken("%v", err))
		}
		pids = append(pids, c.Process.Pid)
		time.Sleep(time.Duration(i) * step)
		c.Process.Kill()
		left := gone(mark)
		hold.Close()
		c.Wait()
		if strings.Contains(out.String(), "ready") {
			started++
		}
		if left != nil {
			return fail(escaped("killed after %v: %q is left", time.Duration(i)*step, left))
		}
	}
	return started, pids, nil
}
