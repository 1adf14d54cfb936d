package report

import (
	"time"

	"cordon/policy"
)

// Report says what happened: how the task ended, what it used, and which layers the kernel confirmed.
type Report struct {
	Version  int      `json:"version"` // of this format: 1
	Profile  string   `json:"profile"`
	Args     []string `json:"args"`
	Exit     int      `json:"exit"`             // the task's exit status; -1 if a signal ended it
	Error    string   `json:"error,omitempty"`  // why the launcher did not start the task, or could not finish; exit is the launcher's then
	Signal   string   `json:"signal,omitempty"` // "SIGKILL"
	CoreDump bool     `json:"core_dump,omitempty"`
	Timeout  bool     `json:"timeout,omitempty"`       // the wall-clock limit ended it
	Ended    bool     `json:"sandbox_ended,omitempty"` // with Cmd.Into: the sandbox's end ended it
	Break    Break    `json:"-"`                       // Ctrl-C ended it

	Limit  string     `json:"limit,omitempty"`  // the limit that ended it: LimitOOM and the others
	Limits []LimitMet `json:"limits,omitempty"` // every limit that was reached, that one among them

	Wall    time.Duration `json:"wall_ns"`
	User    time.Duration `json:"user_ns"`
	System  time.Duration `json:"system_ns"`
	AtLeast bool          `json:"times_at_least,omitempty"` // user_ns and system_ns may be too low: no cgroup counts, and nobody counts a child whose parent ignores SIGCHLD
	PeakRSS int64         `json:"peak_rss_bytes,omitempty"` // of the largest process: getrusage(2), ru_maxrss; 0, and absent, where it is not known
	Usage

	Enforced []Enforced `json:"enforced"`
	Missing  []Missing  `json:"missing,omitempty"`
	Ways     []Way      `json:"ways_on,omitempty"` // what this host refuses, and what was done in its place: no weaker
	Added    []Added    `json:"added,omitempty"`
	LeftOut  []Added    `json:"left_out,omitempty"` // optional mounts that were not made, and what a file is shown without
	Restored []Restored `json:"restored,omitempty"` // hidden and protected paths that the host replaced during the run
	Notes    []string   `json:"notes,omitempty"`    // what the caller should know of this sandbox before anything surprises: see Cmd.Note
	Appeared []string   `json:"appeared,omitempty"` // with git: protect, repositories that the run has left where there were none
	Hints    []Hint     `json:"hints,omitempty"`
	Denials  *Denials   `json:"denials,omitempty"` // nil where denied calls are not reported
}

// Break says whether Ctrl-C, or another SIGINT to the launcher, ended the task, and who else has got the signal. A shell
// that runs a loop or a list of commands goes on unless it got the signal and its child died of it.
type Break uint8

// The kinds of Break. The zero value is a task that SIGINT did not end, or that nobody outside sent one.
const (
	_           Break = iota
	BreakSent         // the launcher got the signal, and so did whoever the sender meant
	BreakUnsent       // the key was typed at the task's own terminal, and nobody outside got a signal
)

// Enforced is a layer as the kernel showed it after it was set up.
type Enforced struct {
	Layer policy.Layer `json:"layer"`
	Found string       `json:"found"` // what was read back: "CapBnd=0000000000000000"
	Where string       `json:"where"` // from: "/proc/PID/status"
}

// Missing is a layer that was wanted, that the profile allows to be missing, and that this host does not have.
type Missing struct {
	Layer   policy.Layer `json:"layer"`
	Why     string       `json:"why"`
	Instead string       `json:"instead,omitempty"` // what stands in: "RLIMIT_DATA, for each process"
}

// Way is something that the host refuses to the launcher, and another way to the same end.
type Way struct {
	Layer policy.Layer `json:"layer"`
	Why   string       `json:"why"` // what is refused, and for what
	How   string       `json:"how"` // what was done in its place
}

// Added is something the launcher put into the tree although the profile does not name it: the program's own file. As an
// item of LeftOut it is something that the profile names and that is not there.
type Added struct {
	Path  string `json:"path"`
	Why   string `json:"why"`
	Usual bool   `json:"-"` // the command shows it only where it is asked for more, or the run failed
}

// Hint is advice after a run that failed for a reason of the profile.
type Hint struct {
	Text string     `json:"text"`
	Rule policy.Pos `json:"rule"`           // the line that decides
	Flag string     `json:"flag,omitempty"` // what to add to the command line
}

// Denials are the calls that the filter denied with an errno, by kind.
type Denials struct {
	Total   uint64   `json:"total"`
	Quiet   uint64   `json:"quiet,omitempty"` // of these, calls that the profile expects to be denied: Denial.Quiet
	Dropped uint64   `json:"dropped"`         // of these, calls of kinds that came after the first 256
	List    []Denial `json:"list"`
}

// Denial is one kind of denied call: all calls with the same number, constants among the arguments, and errno. The
// other fields describe the first of these calls.
type Denial struct {
	Call   string   `json:"call"`
	Args   []uint64 `json:"args"`           // its six registers
	Text   string   `json:"text"`           // with its arguments: "keyctl(KEYCTL_GET_KEYRING_ID, …)"
	Arch   string   `json:"arch,omitempty"` // of the call, where it is not the launcher's
	Errno  string   `json:"errno"`          // what it failed with: "EPERM"; "" if it was done in part
	Count  uint64   `json:"count"`
	Comm   string   `json:"comm,omitempty"` // of the process; it may have chosen any
	PID    int      `json:"pid,omitempty"`  // inside the sandbox
	Rule   string   `json:"rule"`           // what of the profile decides: `syscalls.deny "@keyring" (base.yaml:18)`
	Remedy string   `json:"remedy"`         // how to allow it: "--allow-syscall keyctl"

	Quiet   bool   `json:"quiet,omitempty"`   // a rule with quiet: true denies it, which is expected: a run does not print it
	Instead string `json:"instead,omitempty"` // what was done in its place
}

// LimitMet is a limit that was reached.
type LimitMet struct {
	Limit string `json:"limit"`
	Count uint64 `json:"count,omitempty"` // how often: processes killed (oom), forks refused (pids); 0 where nobody counts
	Rule  string `json:"rule,omitempty"`  // what of the profile decides: "limits.memory 64MiB (mine.yaml:5)"
	Flag  string `json:"flag,omitempty"`  // what sets it on the command line: "--memory"
}

// What Report.Limit and LimitMet.Limit say.
const (
	LimitOOM      = "oom"       // the kernel killed a process of the sandbox for memory
	LimitTimeout  = "timeout"   // limits.wall
	LimitCPUTime  = "cpu-time"  // limits.cpu-time, or RLIMIT_CPU
	LimitOutput   = "output"    // limits.output
	LimitPIDs     = "pids"      // limits.pids: a fork was refused
	LimitFileSize = "file-size" // RLIMIT_FSIZE: SIGXFSZ
)

// Restored is a guard that the launcher mounted again during the run, because somebody on the host had replaced the
// file below it.
type Restored struct {
	Path  string     `json:"path"`          // inside
	Count int        `json:"count"`         // how often
	What  string     `json:"what"`          // "hidden", or "read-only"
	Rule  policy.Pos `json:"rule,omitzero"` // the line that asks for it
}
