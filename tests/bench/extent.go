package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A bindTime is the time of one launch with many binds.
type bindTime struct {
	Name  string
	Count int
	Took  time.Duration // the shortest time of several launches
}

// makeBinds makes the directories to bind, and a profile that binds each directory to its own path.
func makeBinds(dir string, count int) error {
	text := "version: 1\nname: binds\nextends: [default]\nmounts:\n"
	for _, path := range bindSources(dir, count) {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		text += "  - {bind: " + path + "}\n"
	}
	return os.WriteFile(filepath.Join(dir, "binds.yaml"), []byte(text), 0o644)
}

func bindSources(dir string, count int) []string {
	var sources []string
	for i := range count {
		sources = append(sources, filepath.Join(dir, "binds", fmt.Sprintf("%04d", i)))
	}
	return sources
}

// binds measures a launch with many binds.
func (f *figures) binds(dir string, e effort) error {
	err := f.bind("cordon", e.Binds, 5, dir+"/cordon", "run", "-p", dir+"/binds.yaml", "--", "/bin/true")
	if err != nil || !e.BubbleBinds {
		return err
	}
	bubble := (&row{command: bubblewrap(covers())}).words(dir, 0)
	for _, path := range bindSources(dir, e.Binds) {
		bubble = append(bubble, "--ro-bind", path, path)
	}
	return f.bind("bubblewrap", e.Binds, 1, bubble[0], append(bubble[1:], "--", "/bin/true")...)
}

func (f *figures) bind(name string, count, times int, program string, args ...string) error {
	best := time.Duration(0)
	for range times {
		start := time.Now()
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s with %d binds: %w: %s", name, count, err, out)
		}
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	f.Binds = append(f.Binds, bindTime{name, count, best})
	return nil
}

// processMemory is the memory that one process of a running sandbox does not share.
type processMemory struct {
	Name    string
	Private int // bytes: Private_Clean + Private_Dirty of smaps_rollup
	Threads int
}

// memory measures the launcher and pid 1, of cordon and of bubblewrap, while a task sleeps.
func (f *figures) memory(dir string) error {
	bubble := append((&row{command: bubblewrap(covers())}).words(dir, 0), "--")
	for _, c := range []struct {
		name string
		argv []string
	}{
		{"cordon", []string{dir + "/cordon", "run", "--"}},
		{"bubblewrap", bubble},
	} {
		if err := f.memoryOf(c.name, append(c.argv, "/bin/sleep", "20")); err != nil {
			return fmt.Errorf("memory of %s: %w", c.name, err)
		}
	}
	return nil
}

func (f *figures) memoryOf(name string, argv []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid1, err := sleepersParent(cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		pid  int
	}{{name + ", launcher", cmd.Process.Pid}, {name + ", pid 1", pid1}} {
		m, err := memoryOfProcess(p.pid)
		if err != nil {
			return err
		}
		m.Name = p.name
		f.Memory = append(f.Memory, m)
	}
	return nil
}

// sleepersParent waits until a child of the launcher has a child that has become sleep, and returns the pid of the
// launcher's child.
func sleepersParent(launcher int) (int, error) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for _, pid1 := range children(launcher) {
			for _, task := range children(pid1) {
				if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", task)); string(name) == "sleep\n" {
					time.Sleep(200 * time.Millisecond) // until the launcher is idle
					return pid1, nil
				}
			}
		}
	}
	return 0, fmt.Errorf("pid %d: no task after 5 s", launcher)
}

func children(pid int) []int {
	var list []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			n, _ := strconv.Atoi(word)
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

func memoryOfProcess(pid int) (processMemory, error) {
	rollup, err := fields(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return processMemory{}, err
	}
	status, err := fields(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return processMemory{}, err
	}
	return processMemory{Private: (rollup["Private_Clean"] + rollup["Private_Dirty"]) << 10, Threads: status["Threads"]}, nil
}

// fields parses the lines "Name: number" of a file.
func fields(path string) (map[string]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]int{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if words := strings.Fields(rest); len(words) > 0 {
			values[name], _ = strconv.Atoi(words[0])
		}
	}
	return values, nil
}
