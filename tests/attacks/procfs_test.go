package attacks

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// status returns the lines of /proc/PID/status, by key.
func status(pid int) (map[string]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		k, v, _ := strings.Cut(line, ":")
		m[k] = strings.Join(strings.Fields(v), " ")
	}
	return m, nil
}

// namespace returns the identity of a namespace, such as "mnt:[4026531841]".
func namespace(pid int, kind string) string {
	s, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	return s
}

// processes returns all processes that are alive.
func processes() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

func parentOf(pid int) int {
	st, err := status(pid)
	if err != nil {
		return 0
	}
	p, _ := strconv.Atoi(st["PPid"])
	return p
}

// below returns the descendants of a process, parents first.
func below(pid int) []int {
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		for _, p := range processes() {
			if parentOf(p) == tree[i] && !slices.Contains(tree, p) {
				tree = append(tree, p)
			}
		}
	}
	return tree[1:]
}

// initAndTask finds the processes of a running sandbox: init has pid 1 inside, and the task runs the probe.
func initAndTask(launcher int) (init, task int) {
	for _, p := range below(launcher) {
		st, err := status(p)
		if err != nil {
			continue
		}
		inside := strings.Fields(st["NSpid"])
		if len(inside) > 1 && inside[len(inside)-1] == "1" && init == 0 {
			init = p
		}
		if strings.HasPrefix(st["Name"], "probe") {
			task = p
		}
	}
	return init, task
}

// traces returns the processes whose command line contains mark: the task and the processes that it started. It also
// finds the launcher and init, because the command of the task is part of their command line.
func traces(mark string) []string {
	var found []string
	for _, p := range processes() {
		if line := commandLine(p); strings.Contains(line, mark) {
			found = append(found, fmt.Sprintf("%d %s", p, line))
		}
	}
	return found
}

// gone waits until no process with mark is left, and returns what remains. The kernel needs a moment to end a pid
// namespace.
func gone(mark string) []string {
	var left []string
	for i := 0; i < 100; i++ {
		if left = traces(mark); len(left) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return left
}

// mountinfo is one line of proc_pid_mountinfo(5).
type mountinfo struct {
	dev, root, target, options, fstype string
}

func mounts(pid string) ([]mountinfo, error) {
	b, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mountinfo
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) >= 6 && len(g) >= 1 {
			all = append(all, mountinfo{dev: f[2], root: f[3], target: f[4], options: f[5], fstype: g[0]})
		}
	}
	return all, nil
}

func (m mountinfo) has(option string) bool {
	return slices.Contains(strings.Split(m.options, ","), option)
}

// hostDevices returns the devices of the host's file systems, as ",MAJOR:MINOR,…,".
func hostDevices() string {
	all, _ := mounts("self")
	var b strings.Builder
	b.WriteByte(',')
	for _, m := range all {
		b.WriteString(m.dev + ",")
	}
	return b.String()
}
