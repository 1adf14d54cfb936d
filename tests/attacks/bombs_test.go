package attacks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// This file has rows 31 and 32 of the threat model: programs that take a resource without end.

// codes has the launcher's exit code for each limit.
var codes = map[string]int{"oom": 137, "pids": 137, "output": 137, "cpu-time": 124, "timeout": 124, "file-size": 153}

// ungrouped reports whether a run went on without the requested cgroup. refused says that the run did not start for
// this reason.
func ungrouped(r result) bool { return strings.Contains(r.err, "cordon: missing: cgroup") }
func refused(r result) bool {
	return r.code == 125 && strings.Contains(r.err, "cordon: error: cgroup: ")
}

// bomb runs a program that takes a resource without end. If limit is set, the limit with that name must end the
// sandbox. If it is "", the kernel must refuse the resource to the program. For an ordinary user without a cgroup,
// rlimits refuse some resources, and nothing bounds the others.
func bomb(kind string, amount int64, limit string, flags ...string) func(*box) outcome {
	return func(b *box) outcome {
		began := time.Now()
		r := b.with(flags...).run("./bomb", kind, fmt.Sprint(amount))
		took := time.Since(began)
		if refused(r) {
			if b.profile == "judge" && b.who.uid != 0 {
				return absent("no cgroup for this user, and the profile refuses to start")
			}
			return broken("%s", firstLines(r.err, 2))
		}
		state, detail := said(r.err)
		named := strings.Contains(r.err, "cordon: "+limit+": the ") || strings.Contains(r.err, "cordon: "+limit+": what ") || strings.Contains(r.err, "cordon: "+limit+": a ")
		switch {
		case took > 27*time.Second: // on a busy machine, a second of processor time takes many seconds
			return escaped("it took %v", took)
		case limit != "output" && !strings.Contains(r.err, "trying "+kind): // it may not be in the output
			return broken("exit %d: %s", r.code, firstLines(r.err, 3))
		case limit != "" && named && r.code == codes[limit]:
			return blocked("%s", strings.ToUpper(limit))
		case state == "blocked" && (limit == "" || ungrouped(r) || b.profile == "judge"):
			return blocked("%s", detail)
		case state == "escaped" && ungrouped(r):
			return absent("no cgroup for this user, and no rlimit bounds it")
		}
		return escaped("exit %d: %s", r.code, firstLines(r.err, 4))
	}
}

// said returns what the bomb itself has printed.
func said(text string) (state, detail string) {
	for line := range strings.Lines(text) {
		state, detail, _ := strings.Cut(strings.TrimSpace(line), " ")
		if state == "blocked" || state == "escaped" {
			return state, detail
		}
	}
	return "", ""
}

// bareBomb shows that nothing stops the bomb without a sandbox. Only the bomb's own argument, and the limits of a
// shell, bound what it takes.
func bareBomb(kind string, amount int64) func(*box) outcome {
	return func(b *box) outcome {
		r := b.wrapped("timeout", "-s", "KILL", "25", "sh", "-c", `ulimit -v 2000000; ulimit -l 65536 2>/dev/null; exec "$@"`, "sh").run("./bomb", kind, fmt.Sprint(amount))
		state, detail := said(r.err)
		if state == "" {
			return broken("exit %d: %s", r.code, firstLines(r.err, 3))
		}
		return outcome{state, detail}
	}
}

// reportedOOM checks that lack of memory ends the whole sandbox, and that the launcher survives and reports it.
func reportedOOM(b *box) outcome {
	file := filepath.Join(b.scratch("report"), "r.json")
	r := b.with("--memory", "48MiB", "--report", file).run("./bomb", "memory", "268435456")
	if refused(r) || ungrouped(r) {
		return absent("no cgroup for this user")
	}
	var report struct {
		Limit    string
		OOMKills uint64 `json:"oom_kills"`
		Signal   string
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || r.code != 137 {
		return broken("exit %d, %v: %s", r.code, err, r.err)
	}
	if report.Limit != "oom" || report.OOMKills == 0 || report.Signal != "SIGKILL" {
		return escaped("%+v", report)
	}
	return blocked("reported")
}

// stoppedTimeout stops the sandbox's processes from outside, by a signal or by their cgroup, and checks that SIGKILL
// ends them all the same.
func stoppedTimeout(how string) func(*box) outcome {
	return func(b *box) outcome {
		began := time.Now()
		if r := b.run("./bomb", "files", "1"); refused(r) {
			return absent("no cgroup for this user, and the profile refuses to start")
		}
		run := b.with("--timeout", "2s", "--memory", "64MiB").start(b.program(), "wait", b.site.mark)
		defer run.end()
		init, task := initAndTask(run.cmd.Process.Pid)
		if init == 0 || task == 0 {
			return broken("init %d, task %d", init, task)
		}
		if how == "freeze" {
			switch found, err := freeze(task); {
			case err != nil:
				return broken("%v", err)
			case !found:
				return absent("its processes are in no cgroup that can be frozen")
			}
		} else {
			for _, pid := range []int{init, task} {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					return broken("%v", err)
				}
			}
		}
		select {
		case <-run.ended:
		case <-time.After(15 * time.Second):
			return escaped("it is there after %v", time.Since(began))
		}
		if code := exitCode(run.cmd); code != 124 {
			return escaped("exit %d: %s", code, run.errs)
		}
		return blocked("ended")
	}
}

// freeze freezes the cgroup of a process, if the sandbox has a cgroup.
func freeze(pid int) (bool, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || !strings.Contains(f[2], "/cordon-") {
			continue
		}
		for _, file := range []struct{ path, text string }{
			{"/sys/fs/cgroup/" + f[1] + f[2] + "/freezer.state", "FROZEN"},
			{"/sys/fs/cgroup" + f[2] + "/cgroup.freeze", "1"},
		} {
			if _, err := os.Stat(file.path); err == nil {
				return true, os.WriteFile(file.path, []byte(file.text), 0)
			}
		}
	}
	return false, nil
}
