// Command guard runs a command, such as go test, and leaves nothing of the command behind. When the command has ended,
// or somebody tells the guard to end (Ctrl-C, SIGTERM, the end of make), the guard ends every process that the command
// has started, even processes in other sessions, and removes their temporary files. If root runs the guard, the command
// has its own mount namespace, so that its mounts end with it, and its own state directory. The guard is a separate
// process, because a test's own cleanup does not run when a signal ends the test's program.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/tests/scratch"
)

const (
	grace    = 5 * time.Second  // the time between SIGTERM and SIGKILL, in which a launcher cleans up
	patience = 20 * time.Second // the time for processes that SIGKILL does not end at once
	step     = 50 * time.Millisecond

	inside   = "--inside" // the first argument when the guard starts itself again, in the namespace
	stateDir = "/run/cordon"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == inside {
		fmt.Fprintln(os.Stderr, "guard:", enter(os.Args[2:]))
		os.Exit(127)
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: guard COMMAND [ARGUMENT…]")
		os.Exit(2)
	}
	code, err := watch(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		code = 1
	}
	os.Exit(code)
}

// enter gives the namespace its own state directory, and becomes the command.
func enter(args []string) error {
	if err := unix.Mount("state", stateDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return fmt.Errorf("mount on %s: %w", stateDir, err)
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, args, os.Environ())
}

// watch runs the command, and returns its exit code when nothing of the command is left.
func watch(args []string) (int, error) {
	told := make(chan os.Signal, 4)
	signal.Notify(told, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	// Orphans become the guard's children, so that the guard finds them all. The guard ends when make ends.
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	}
	if err != nil {
		return 1, fmt.Errorf("prctl: %w", err)
	}
	run := strconv.FormatInt(int64(os.Getpid())<<20|time.Now().UnixNano()>>10&0xfffff, 36)
	tmp := filepath.Join(os.TempDir(), scratch.Prefix(run)+"tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return 1, err
	}
	_, err = os.Stat(stateDir)
	defer clean(run, tmp, err != nil)
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil { // tests also run as other users
		return 1, err
	}
	// A guard may run below another guard, which has set both variables. A second value in the list would be ignored by
	// some programs: Go programs use the first value, and shells the last.
	for name, value := range map[string]string{"TMPDIR": tmp, scratch.Var: run} {
		if err := os.Setenv(name, value); err != nil {
			return 1, err
		}
	}
	pid, err := start(args)
	if err != nil {
		return 1, err
	}
	defer end(grace)
	ended := make(chan unix.WaitStatus, 1)
	go reap(pid, ended)
	select {
	case status := <-ended:
		for _, p := range descendants() {
			fmt.Fprintf(os.Stderr, "guard: left behind, and ended: %d %s\n", p, commandOf(p))
		}
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	case sig := <-told:
		fmt.Fprintf(os.Stderr, "guard: %v: ending %d processes\n", sig, len(descendants()))
		return 128 + int(sig.(syscall.Signal)), nil
	}
}

// start starts the command. If the guard is root, and a new mount namespace is allowed, the command runs in one.
func start(args []string) (int, error) {
	attr := &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{}}
	if os.Getuid() == 0 && os.MkdirAll(stateDir, 0o700) == nil {
		attr.Sys.Unshareflags = unix.CLONE_NEWNS // package syscall makes its mounts private
		if p, err := os.StartProcess("/proc/self/exe", append([]string{"guard", inside}, args...), attr); err == nil {
			return p.Pid, nil
		}
		attr.Sys.Unshareflags = 0
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(path, args, attr)
	if err != nil {
		return 0, err
	}
	return p.Pid, nil
}

// reap waits for every child, including orphans. When the command has ended, it sends the command's status.
func reap(command int, ended chan<- unix.WaitStatus) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if pid == command && err == nil {
			ended <- status
		}
		if err == unix.ECHILD {
			time.Sleep(step)
		}
	}
}

// end ends all descendants: first with SIGTERM, and after the grace period with SIGKILL.
func end(grace time.Duration) {
	for begun := time.Now(); time.Since(begun) < grace+patience; time.Sleep(step) {
		list := descendants()
		if len(list) == 0 {
			return
		}
		for _, pid := range list {
			if time.Since(begun) >= grace {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
				continue
			}
			_ = unix.Kill(pid, unix.SIGTERM)
			_ = unix.Kill(pid, unix.SIGCONT) // it may be stopped
		}
	}
	for _, pid := range descendants() {
		fmt.Fprintf(os.Stderr, "guard: cannot end %d %s\n", pid, commandOf(pid))
	}
}

// descendants returns the pids of all running descendants: proc_pid_stat(5). It does not find processes that the
// guard may not see, such as those of another user if /proc is hidden. These end with their parent.
func descendants() (list []int) {
	children := map[int][]int{}
	all, _ := os.ReadDir("/proc")
	for _, e := range all {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		after := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // state, parent, …
		if len(after) > 1 && after[0] != "Z" {
			parent, _ := strconv.Atoi(after[1])
			children[parent] = append(children[parent], pid)
		}
	}
	for todo := []int{os.Getpid()}; len(todo) > 0; todo = todo[1:] {
		list = append(list, children[todo[0]]...)
		todo = append(todo, children[todo[0]]...)
	}
	slices.Sort(list)
	return list
}

func commandOf(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.ReplaceAll(strings.TrimRight(string(text), "\x00"), "\x00", " ")
}

// clean removes what the run has made in the places that tests use.
func clean(run, tmp string, madeState bool) {
	made := []string{tmp}
	for _, place := range scratch.Places() {
		more, _ := filepath.Glob(filepath.Join(place, scratch.Prefix(run)+"*")) // the pattern is valid
		made = append(made, more...)
	}
	for _, path := range made {
		_ = filepath.WalkDir(path, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				_ = os.Chmod(path, 0o700) // a module cache is read-only
			}
			return nil
		})
		if err := os.RemoveAll(path); err != nil {
			fmt.Fprintln(os.Stderr, "guard: left behind:", err)
		}
	}
	if madeState && os.Getuid() == 0 {
		_ = os.Remove(stateDir) // this fails if another program uses it
	}
}
