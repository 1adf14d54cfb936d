package statedir

// What the kernel and the launcher report about a running sandbox.

import "cordon/sandbox/internal/state"

// Process is a process of a sandbox, seen from outside.
type Process = state.Process

// ProcTable holds all processes at one moment, by pid.
type ProcTable = state.ProcTable

// Processes reads the process table from /proc. ProcTable.Of then returns the processes of a sandbox.
func Processes() (ProcTable, error) { return state.Processes() }

// Sample is the resource use of a running sandbox at one moment.
type Sample = state.Sample

// Counters holds the kernel's counters for the sandbox's cgroups.
type Counters = state.Counters

// Kernel holds what the kernel reports about a running sandbox.
type Kernel = state.Kernel

// KernelProcess holds what the kernel reports about one process.
type KernelProcess = state.KernelProcess

// MinLogSize is the smallest allowed size limit of a log file, in bytes. At the limit the launcher starts a new file.
const MinLogSize = state.MinLogSize

// LogReader reads a log, from the oldest record on and across all of its files, while the launcher still writes it.
type LogReader = state.LogReader

// LogMark is a place between two records of a log, to which a LogReader can return.
type LogMark = state.LogMark

// LogRecord is a line of the log, in JSON. It contains the output that the launcher has read at once.
type LogRecord = state.LogRecord

// LogState tells how many bytes of output could not be logged, and why.
type LogState = state.LogState
