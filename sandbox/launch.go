package sandbox

import "cordon/sandbox/internal/launch"

// Observer watches a task. Its methods are called on the thread that waits for the task, and hold it up.
type Observer = launch.Observer

// Call is a system call that waits.
type Call = launch.Call
