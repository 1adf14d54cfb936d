package report

import "time"

// Usage says what the sandbox has used, besides the times and the peak in Report. A number that the kernel does not
// provide is nil.
type Usage struct {
	PeakMemory  *uint64 `json:"peak_memory_bytes,omitempty"` // of the whole sandbox, with its cached files; v2: Linux 5.19
	PeakSwap    *uint64 `json:"peak_swap_bytes,omitempty"`   // v2: Linux 6.5
	PeakPIDs    *uint64 `json:"peak_pids,omitempty"`         // processes and threads; Linux 6.1
	ReadBytes   *uint64 `json:"read_bytes,omitempty"`        // from block devices
	WriteBytes  *uint64 `json:"write_bytes,omitempty"`       // to block devices
	OutputBytes *uint64 `json:"output_bytes,omitempty"`      // stdout and stderr; only with limits.output

	MinorFaults         *uint64 `json:"minor_faults,omitempty"`         // page faults that needed no device
	MajorFaults         *uint64 `json:"major_faults,omitempty"`         // page faults that needed a device
	VoluntarySwitches   *uint64 `json:"voluntary_switches,omitempty"`   // context switches because a task had to wait
	InvoluntarySwitches *uint64 `json:"involuntary_switches,omitempty"` // context switches to let another task run

	Throttled        *time.Duration `json:"throttled_ns,omitempty"`      // how long limits.cpus throttled the sandbox
	ThrottledPeriods *uint64        `json:"throttled_periods,omitempty"` // how many periods of 100 ms were cut short

	// The stalls say how long some tasks, or all, waited for a resource. Only cgroup v2 has them, if the kernel counts
	// them (PSI).
	CPUStall        *time.Duration `json:"cpu_stall_ns,omitempty"`
	MemoryStall     *time.Duration `json:"memory_stall_ns,omitempty"`
	MemoryStallFull *time.Duration `json:"memory_stall_full_ns,omitempty"`
	IOStall         *time.Duration `json:"io_stall_ns,omitempty"`
	IOStallFull     *time.Duration `json:"io_stall_full_ns,omitempty"`

	OOMKills *uint64 `json:"oom_kills,omitempty"` // processes that the kernel killed because memory ran out
}

// Count returns a number that the kernel has counted. A number below 0 becomes 0.
func Count(n int64) *uint64 {
	u := uint64(max(n, 0))
	return &u
}
