package sandbox

import (
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/launch"
	"cordon/sandbox/report"
)

// Observer watches a task: an interface of Filter, which asks for calls, Ready, which is told the task's number, and Call,
// which is told of each call. The methods run on the thread that waits for the task, and the task waits for them.
type Observer = launch.Observer

// PassBreak ends the process by SIGINT where SIGINT ended the task, so that a shell that waits for the process ends its loop or
// list of commands. Where nobody outside has got the signal, the process's group gets it first. It is the last thing that a
// process does whose Cmd.Exclusive was true; it returns where there is nothing to pass on, or SIGINT is ignored.
func PassBreak(b report.Break) {
	if b != 0 {
		child.DieOf(unix.SIGINT, b == report.BreakUnsent)
	}
}

// Call is a system call that waits: its number, arguments and thread. Decode names them, Memory reads what they point to.
type Call = launch.Call
