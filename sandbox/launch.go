package sandbox

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/report"
)

// Observer is an interface that watches a task. Filter returns the task's filter, which selects the calls to watch.
// Ready gets the task's pid, and Call gets each selected call. The methods are called on the thread that waits for the
// task, and the task waits until they return.
type Observer = launch.Observer

// PassBreak ends the process by SIGINT if b is set, so that a shell that waits for the process ends its loop or list of
// commands. If b is BreakUnsent, PassBreak first sends SIGINT to the process's group. A process whose Cmd.Exclusive was
// true calls PassBreak last. If b is not set, or if the process ignores SIGINT, PassBreak returns.
func PassBreak(b report.Break) {
	if b != 0 {
		child.DieOf(unix.SIGINT, b == report.BreakUnsent)
	}
}

// Call is a system call that waits: its number, its arguments and its thread. Decode returns the call's name and
// arguments, and Memory reads the memory to which an argument points.
type Call = launch.Call
