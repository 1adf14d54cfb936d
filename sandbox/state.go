package sandbox

import "cordon/sandbox/internal/state"

// Kernel is what the kernel says of a sandbox.
type Kernel = state.Kernel

// KernelProcess is what it says of one process.
type KernelProcess = state.KernelProcess

// KernelNamespace is a namespace that a process is in.
type KernelNamespace = state.KernelNamespace

// CgroupFile is a file of the sandbox's groups, with what it holds.
type CgroupFile = state.CgroupFile

// LogRecord is one line of the log: what was read at once, as JSON.
type LogRecord = state.LogRecord

// Log is the launcher's side.
type Log = state.Log

// MinLogSize is the smallest file that a log is cut into, in bytes.
const MinLogSize = state.MinLogSize

// LogReader reads a log from its oldest record on, over all of its files, while the launcher writes it.
type LogReader = state.LogReader

// Cgroup is where a sandbox's groups are.
type Cgroup = state.Cgroup

// Counters are what the kernel has counted for the sandbox's groups: see [Sample].
type Counters = state.Counters

// Sample is what a running sandbox uses at a moment.
type Sample = state.Sample

// Process is one process of a sandbox, seen from outside.
type Process = state.Process

// ProcTable is every process of this moment, by number.
type ProcTable = state.ProcTable

// Processes reads the table.
func Processes() (ProcTable, error) {
	return state.Processes()
}

// State is what a sandbox's directory says of it: state.json.
type State = state.State

// ProcessID is a process, and no other one that has the number later.
type ProcessID = state.ProcessID

// Ending is how a sandbox ended.
type Ending = state.Ending

// Status is what a sandbox is doing.
type Status = state.Status

const (
	StatusStarting = state.StatusStarting
	StatusRunning  = state.StatusRunning
	StatusPaused   = state.StatusPaused
	StatusEnded    = state.StatusEnded
	StatusLost     = state.StatusLost // its launcher was killed: the next command removes what is left
)

// Entry is the directory of one sandbox.
type Entry = state.Entry

// StateDir is an open state directory.
type StateDir = state.StateDir

// OpenStateDir opens the state directory, and makes it where it is missing. Nobody else may be able to write there.
func OpenStateDir(path string) (*StateDir, error) {
	return state.OpenStateDir(path)
}

// NotFoundError is a sandbox that is not there, or not the only one of which that could be said.
type NotFoundError = state.NotFoundError
