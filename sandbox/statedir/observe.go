package statedir

// What the kernel and the launcher say of a sandbox that runs.

import "cordon/sandbox/internal/state"

// Process is a process of a sandbox, seen from outside.
type Process = state.Process

// ProcTable holds every process of this moment, by number.
type ProcTable = state.ProcTable

// Processes reads /proc. ProcTable.Of then returns the processes of a sandbox.
func Processes() (ProcTable, error) { return state.Processes() }

// Sample holds what a running sandbox uses at one moment.
type Sample = state.Sample

// Counters holds what the kernel has counted for the sandbox's groups.
type Counters = state.Counters

// Kernel holds what the kernel says of a sandbox.
type Kernel = state.Kernel

// KernelProcess holds what the kernel says of a process.
type KernelProcess = state.KernelProcess

// MinLogSize is the smallest size at which a new file of a log is begun, in bytes.
const MinLogSize = state.MinLogSize

// LogReader reads a log from its oldest record on, over all of its files, while the launcher writes it.
type LogReader = state.LogReader

// LogRecord is a line of the log: the output that was read at once, as JSON.
type LogRecord = state.LogRecord

// LogState says how many bytes could not be logged, and why.
type LogState = state.LogState
