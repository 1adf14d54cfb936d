package launch

// What the task has left behind where it had no pid namespace of its own, whose end would end it: prctl(2),
// PR_SET_CHILD_SUBREAPER; proc_pid_task(5), children (Linux 4.2 wherever it is configured, CONFIG_PROC_CHILDREN).
//
// A process whose parent ends becomes a child of the next subreaper among its forebears. That is the launcher, which starts
// nothing else: what are its children behind the end of init were the task's, whatever sessions and groups they made.

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
)

// adoptOrphans makes the launcher the parent of what the task leaves behind. A library's process has children of its own,
// and who uses it in the pid namespace of the host must know.
func (p *Process) adoptOrphans() error {
	if p.Comp.OwnsPID() || !p.Cmd.Exclusive {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return &fail.Error{Op: "prctl PR_SET_CHILD_SUBREAPER", Err: err}
	}
	return nil
}

// killOrphans ends them, and theirs, which come as orphans next.
func (p *Process) killOrphans() {
	if p.Comp == nil || p.Comp.OwnsPID() || !p.Cmd.Exclusive {
		return
	}
	for last := time.Now(); time.Since(last) < child.ReapTime; {
		for _, pid := range childrenOfSelf() {
			_ = unix.Kill(pid, unix.SIGKILL) // a child that was not waited for: its number is nobody else's
		}
		switch pid, err := unix.Wait4(-1, nil, unix.WALL|unix.WNOHANG, nil); {
		case err != nil && err != unix.EINTR:
			return // ECHILD: there is none
		case pid > 0:
			last = time.Now()
		default: // they are about to end, or a tracer outside keeps their ends to itself
			time.Sleep(time.Millisecond)
		}
	}
}

func childrenOfSelf() (pids []int) {
	threads, _ := os.ReadDir("/proc/self/task") // without /proc nothing was launched
	for _, thread := range threads {
		text, _ := proc.ReadAll("/proc/self/task/" + thread.Name() + "/children") // a thread that has ended
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
