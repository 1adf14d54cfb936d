package statedir

// What the kernel and the launcher say about a running sandbox.

import "cordon/sandbox/internal/state"

// Process is a process of a sandbox, seen from outside.
type Process = state.Process

// ProcTable holds every process of one moment, by number.
type ProcTable = state.ProcTable

// Processes reads /proc. ProcTable.Of then returns the processes of a sandbox.
func Processes() (ProcTable, error) { return state.Processes() }

// Sample holds what a running sandbox uses at one moment.
type Sample = state.Sample

// Counters holds what the kernel has counted for the sandbox's groups.
type Counters = state.Counters

// Kernel holds what the kernel says about a sandbox.
type Kernel = state.Kernel

// KernelProcess holds what the kernel says about a process.
type KernelProcess = state.KernelProcess

// MinLogSize is the smallest limit, in bytes, that the size of a log's files can have. At the limit the launcher
// begins the next file.
const MinLogSize = state.MinLogSize

// LogReader reads a log while the launcher writes it. It reads all files of the log, from the oldest record on.
type LogReader = state.LogReader

// LogRecord is a line of the log, as JSON. It holds the output that the launcher read at once.
type LogRecord = state.LogRecord

// LogState says how many bytes could not be logged, and why.
type LogState = state.LogState
