package compile

import "time"

// DefaultGrace is the time between SIGTERM and SIGKILL unless Cmd.KillAfter says otherwise.
const DefaultGrace = 2 * time.Second

// CrowdStep is the time between two counts of the sandbox's processes, where RLIMIT_NPROC stands in for the group's limit.
const CrowdStep = 500 * time.Millisecond

// CPUStep is the least time between two looks at the processor time that was used. A run is longer than it was allowed to
// be by no more than this, times the number of processors.
const CPUStep = 10 * time.Millisecond

// LookStep is the time between two looks at a v1 group of pids, which tells of nothing since Linux 6.10.
const LookStep = 250 * time.Millisecond

// OomTries bounds how often the launcher looks whether the kernel has killed somebody after it said that memory ran out.
const OomTries = 50

func Positive(n *uint64) bool { return n != nil && *n > 0 }
