// Package statedir gives access to the state directory, which contains what other processes can know about the
// sandboxes of a user.
//
// A launcher makes an [Entry] in a [Dir] and names it in Cmd.State. Another process opens the same directory, finds the
// entry by name or ID, and can then signal, pause, join or remove the sandbox, and ask the kernel about it. `cordon
// ps`, `inspect`, `exec`, `kill`, `wait` and `rm` do that. See go doc cordon/sandbox/internal/state for the methods.
package statedir

import "cordon/sandbox/internal/state"

// Dir is an open state directory. Create makes an entry, Find and Entries open existing entries, and Sweep removes what
// killed launchers have left.
type Dir = state.StateDir

// Open opens the state directory, and makes it if it does not exist. It returns an error if another user can write to
// it. host.StatePath returns the directory that the command uses.
func Open(path string) (*Dir, error) { return state.OpenStateDir(path) }

// NotFoundError reports that a reference matches no sandbox, or more than one.
type NotFoundError = state.NotFoundError

// DamagedError names entries that cannot be read. The others can be used.
type DamagedError = state.DamagedError

// Entry is the directory of one sandbox. Its launcher calls End or Discard when the sandbox has ended. Other processes
// call Attach, Signal, Pause, Resume, Wait, Remove, and read Status, Ending, Profile, Plan, Report, Kernel, Sample and
// ReadLog. Close must be called after use.
type Entry = state.Entry

// State is the content of state.json in a sandbox's directory. A launcher fills in Name, Profile, Args, Cwd, Home,
// Detached and AutoRemove; Dir.Create fills in the rest.
type State = state.State

// ProcessID identifies a process for ever: a later process with the same pid has another start time.
type ProcessID = state.ProcessID

// Ending tells how a sandbox ended.
type Ending = state.Ending

// Status tells what a sandbox is doing.
type Status = state.Status

// The values of Status.
const (
	StatusStarting = state.StatusStarting
	StatusRunning  = state.StatusRunning
	StatusPaused   = state.StatusPaused
	StatusEnded    = state.StatusEnded
	StatusLost     = state.StatusLost // its launcher was killed; the next command removes what is left
)
