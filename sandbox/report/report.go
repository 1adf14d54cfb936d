package report

import (
	"time"

	"cordon/policy"
)

// Report says what happened: how the task ended, what it used, and which layers the kernel confirmed.
type Report struct {
	Version  int      `json:"version"` // the version of this format: 1
	Profile  string   `json:"profile"`
	Args     []string `json:"args"`
	Exit     int      `json:"exit"`             // the task's exit status; -1 if a signal ended it
	Error    string   `json:"error,omitempty"`  // why the launcher did not start the task, or could not finish the run; exit is then the launcher's
	Signal   string   `json:"signal,omitempty"` // the signal that ended the task: "SIGKILL"
	CoreDump bool     `json:"core_dump,omitempty"`
	Timeout  bool     `json:"timeout,omitempty"`       // the wall-clock limit ended the task
	Ended    bool     `json:"sandbox_ended,omitempty"` // with Cmd.Into: the task ended because the sandbox ended
	Break    Break    `json:"-"`                       // whether Ctrl-C ended the task

	Limit  string     `json:"limit,omitempty"`  // the limit that ended the task: LimitOOM or another
	Limits []LimitMet `json:"limits,omitempty"` // every limit that was reached, including the limit above

	Wall    time.Duration `json:"wall_ns"`
	Search  time.Duration `json:"search_ns,omitempty"`    // the part of it in which the launcher looked for what hide rules and git: protect mean
	Names   int           `json:"search_names,omitempty"` // how many names it looked at, before the program ran
	User    time.Duration `json:"user_ns"`
	System  time.Duration `json:"system_ns"`
	AtLeast bool          `json:"times_at_least,omitempty"` // user_ns and system_ns may be too low: no cgroup counts them, and without one a child whose parent ignores SIGCHLD is not counted
	PeakRSS int64         `json:"peak_rss_bytes,omitempty"` // of the largest process: getrusage(2), ru_maxrss; 0, and absent, if unknown
	Usage

	InPlace  bool       `json:"in_place,omitempty"` // the task ran in the caller's namespaces: namespaces: none
	Enforced []Enforced `json:"enforced"`
	Missing  []Missing  `json:"missing,omitempty"`
	Ways     []Way      `json:"ways_on,omitempty"` // what this host refuses, and what the launcher did instead without weakening the sandbox
	Added    []Added    `json:"added,omitempty"`
	LeftOut  []Added    `json:"left_out,omitempty"` // things that the profile names and the sandbox lacks: optional mounts, parts of a file, variables
	Caches   *Caches    `json:"caches,omitempty"`   // nil if the profile asks for none, or there are none
	Restored []Restored `json:"restored,omitempty"` // hidden and protected paths that appeared or were replaced during the run
	Notes    []string   `json:"notes,omitempty"`    // what may surprise the caller in this sandbox: see Cmd.Note
	Appeared []string   `json:"appeared,omitempty"` // with git: protect, repositories that the run made and left behind
	Hints    []Hint     `json:"hints,omitempty"`
	Denials  *Denials   `json:"denials,omitempty"` // nil if denied calls are not reported
	Network  *Network   `json:"network,omitempty"` // nil unless the profile has an allow-list
}

// Break says whether Ctrl-C, or another SIGINT to the launcher, ended the task or came after its end, and which other
// processes got the signal. A shell that runs a loop or a list of commands stops only if it got the signal itself and
// its child died of the signal.
type Break uint8

// The values of Break. Zero means that there was no such SIGINT; a SIGINT from inside the sandbox does not count.
const (
	_           Break = iota
	BreakSent         // the launcher got the signal, and so did the processes to which the sender sent it
	BreakUnsent       // the key was typed at the task's own terminal, and no process outside got a signal
)

// Enforced is a layer as the kernel showed it after the launcher had set it up.
type Enforced struct {
	Layer policy.Layer `json:"layer"`
	Found string       `json:"found"` // what the launcher read back: "CapBnd=0000000000000000"
	Where string       `json:"where"` // where the launcher read it: "/proc/PID/status"
}

// Missing is a layer that the profile asks for and this host lacks; the profile permits that.
type Missing struct {
	Layer   policy.Layer `json:"layer"`
	Why     string       `json:"why"`
	Instead string       `json:"instead,omitempty"` // what replaces the layer: "RLIMIT_DATA, for each process"
	Usual   bool         `json:"-"`                 // Instead restricts all that Layer would: the command shows this entry once a day, or with -v
}

// Way is an operation that the host refuses to the launcher, with what the launcher did instead to the same effect.
type Way struct {
	Layer policy.Layer `json:"layer"`
	Why   string       `json:"why"` // what is refused, and for what it was needed
	How   string       `json:"how"` // what the launcher did instead
}

// Added is a file that the launcher put into the sandbox although the profile does not name it, such as the program's
// own. In LeftOut it is something that the profile names and the sandbox lacks.
type Added struct {
	Path  string `json:"path"`
	Why   string `json:"why"`
	Usual bool   `json:"-"` // the command prints it only with -v, or if the run failed
}

// Caches says which caches of compilers and package managers the task had.
type Caches struct {
	Mode  policy.CacheMode `json:"mode"`
	Dir   string           `json:"dir"`             // what the task writes, on the host; an overlay with a size has none
	Tools []string         `json:"tools"`           // go, npm, …
	Reads []string         `json:"reads,omitempty"` // the caller's own caches that the task reads, on the host
}

// Hint is advice after a run that failed because of the profile.
type Hint struct {
	Text string     `json:"text"`
	Rule policy.Pos `json:"rule"`           // the line that decides
	Flag string     `json:"flag,omitempty"` // what to add to the command line
}

// Denials holds the calls that the filter denied with an errno, by kind.
type Denials struct {
	Total   uint64   `json:"total"`
	Quiet   uint64   `json:"quiet,omitempty"` // how many of these calls the profile expects to be denied: Denial.Quiet
	Dropped uint64   `json:"dropped"`         // how many of these calls are of kinds that came after the first 256
	List    []Denial `json:"list"`
}

// Denial is one kind of denied call: all calls with the same number, the same constants among the arguments, and the
// same errno. The other fields describe the first of these calls.
type Denial struct {
	Call   string   `json:"call"`
	Args   []uint64 `json:"args"`           // the six argument registers of the call
	Text   string   `json:"text"`           // the call with its arguments: "keyctl(KEYCTL_GET_KEYRING_ID, …)"
	Arch   string   `json:"arch,omitempty"` // the call's architecture, if it is not the launcher's
	Errno  string   `json:"errno"`          // the errno of the call: "EPERM"; "" if the launcher did a part of the call
	Count  uint64   `json:"count"`
	Comm   string   `json:"comm,omitempty"` // the name of the process, which can set it to anything
	PID    int      `json:"pid,omitempty"`  // the pid inside the sandbox
	Rule   string   `json:"rule"`           // the rule of the profile that decides: `syscalls.deny "@keyring" (base.yaml:18)`
	Remedy string   `json:"remedy"`         // how to allow it: "--allow-syscall keyctl"

	Quiet   bool   `json:"quiet,omitempty"`   // a rule with quiet: true denies the call, because it is expected; a run does not print it
	Instead string `json:"instead,omitempty"` // what the launcher did instead of the call
}

// LimitMet is a limit that was reached.
type LimitMet struct {
	Limit string `json:"limit"`
	Count uint64 `json:"count,omitempty"` // how often it was reached: processes killed (oom), forks refused (pids); 0 if not counted
	Rule  string `json:"rule,omitempty"`  // the key of the profile that sets it: "limits.memory 64MiB (mine.yaml:5)"
	Flag  string `json:"flag,omitempty"`  // the flag that sets it: "--memory"
}

// The values of Report.Limit and LimitMet.Limit.
const (
	LimitOOM      = "oom"       // the kernel killed a process of the sandbox because memory ran out
	LimitTimeout  = "timeout"   // limits.wall
	LimitCPUTime  = "cpu-time"  // limits.cpu-time, or RLIMIT_CPU
	LimitOutput   = "output"    // limits.output
	LimitPIDs     = "pids"      // limits.pids: a fork was refused
	LimitFileSize = "file-size" // RLIMIT_FSIZE: SIGXFSZ
)

// Restored is a mount that hides or protects a path and that the launcher made again during the run, because a file
// with a hidden name had appeared, or somebody had replaced a protected file.
type Restored struct {
	Path  string     `json:"path"`          // the path inside the sandbox
	Count int        `json:"count"`         // how often it was mounted again
	What  string     `json:"what"`          // what the mount does: "hidden", or "read-only"
	Rule  policy.Pos `json:"rule,omitzero"` // the line of the profile that asks for it
}
