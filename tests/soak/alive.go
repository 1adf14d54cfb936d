package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mark is an argument that identifies the programs that soak runs: they sleep for so many seconds.
const mark = "98765.4321"

// sandbox is a living sandbox.
type sandbox struct {
	cmd  *exec.Cmd
	said *strings.Builder
	out  io.ReadCloser
}

// start launches a sandbox with limits, and waits until its program runs.
func (s *soak) start() (*sandbox, error) {
	cmd := s.cordon("run", "-p", s.profile, "--memory", "64MiB", "--pids", "32", "--missing", "cgroup", "--", "sh", "-c", "echo up; exec sleep "+mark)
	b := &sandbox{cmd: cmd, said: &strings.Builder{}}
	cmd.Stderr = b.said
	var err error
	if b.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(b.out).ReadString('\n'); err != nil || line != "up\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("a sandbox did not start: %s", strings.TrimSpace(b.said.String()))
	}
	return b, nil
}

func (b *sandbox) stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := b.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		return fmt.Errorf("exit %d after SIGTERM: %s", code, strings.TrimSpace(b.said.String()))
	}
	return nil
}

// manyAlive measures the cost of a living sandbox, and the cost of a launch beside many of them.
func (s *soak) manyAlive() error {
	var all []*sandbox
	defer func() {
		for _, b := range all {
			if err := b.stop(); err != nil {
				s.fault("alive: %v", err)
			}
		}
	}()
	for _, n := range [...]int{1, s.alive} {
		for len(all) < n {
			b, err := s.start()
			if err != nil {
				s.fault("%d alive: %v", len(all), err)
				return nil
			}
			all = append(all, b)
		}
		if err := s.measure(all); err != nil {
			return err
		}
	}
	return nil
}

// measure prints the private memory of each sandbox, in bytes, and the time of a launch.
func (s *soak) measure(all []*sandbox) error {
	var launchers, inits int64
	for _, b := range all {
		init, err := child(b.cmd.Process.Pid)
		if err != nil {
			return err
		}
		a, err := private(b.cmd.Process.Pid)
		if err != nil {
			return err
		}
		c, err := private(init)
		if err != nil {
			return err
		}
		launchers, inits = launchers+a, inits+c
	}
	times := make([]time.Duration, 0, 20)
	for range 20 {
		took, _, err := s.launch()
		if err != nil {
			s.fault("beside %d alive: %v", len(all), err)
			return nil
		}
		times = append(times, took)
	}
	slices.Sort(times)
	n := int64(len(all))
	memory := fmt.Sprintf("launcher %d kB, pid 1 %d kB private in the mean", launchers/n>>10, inits/n>>10)
	if launchers == 0 {
		memory = "their memory cannot be read by this user"
	}
	fmt.Printf("%-16s %s; a launch beside them p50 %.1f ms\n", fmt.Sprintf("%d alive:", n), memory, ms(times[len(times)/2]))
	return nil
}

// killed kills launchers with SIGKILL at random moments.
func (s *soak) killed() {
	took, _, err := s.launch()
	if err != nil {
		s.fault("%v", err)
		return
	}
	for range s.kills {
		cmd := s.cordon("run", "-p", s.profile, "--", "sleep", mark)
		if err := cmd.Start(); err != nil {
			s.fault("%v", err)
			return
		}
		time.Sleep(rand.N(2 * took)) //nolint:gosec // moments, not secrets
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	fmt.Printf("%-16s %d launchers, from 0 to %.1f ms after their start\n", "killed:", s.kills, 2*ms(took))
	if _, _, err := s.launch(); err != nil { // the next launch cleans up after the killed launchers
		s.fault("after the kills: %v", err)
	}
}

// child returns the first child of a process. For a launcher this is pid 1 of its sandbox.
func child(pid int) (int, error) {
	p := strconv.Itoa(pid)
	tasks, err := os.ReadDir("/proc/" + p + "/task")
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		b, _ := os.ReadFile("/proc/" + p + "/task/" + t.Name() + "/children")
		if f := strings.Fields(string(b)); len(f) > 0 {
			return strconv.Atoi(f[0])
		}
	}
	return 0, fmt.Errorf("process %d has no child", pid)
}

// private returns the memory that only this process has, in bytes: /proc/PID/smaps_rollup. It returns 0 for an
// ordinary user if the process is not dumpable, because this user may not read the file.
func private(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if os.IsPermission(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var kb int64
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "Private_Clean:" || f[0] == "Private_Dirty:") {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, err
			}
			kb += n
		}
	}
	return kb << 10, nil
}
