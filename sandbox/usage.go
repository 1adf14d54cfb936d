package sandbox

// What a sandbox has used: its groups' counters where it has any, else getrusage(2), which knows of what init and the task
// have waited for.

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/proc"
)

// Usage is what the sandbox has used, besides the times and the peak in Report. What the kernel does not tell is nil.
type Usage struct {
	PeakMemory  *uint64 `json:"peak_memory_bytes,omitempty"` // of the whole sandbox, files that it cached included; v2: Linux 5.19
	PeakSwap    *uint64 `json:"peak_swap_bytes,omitempty"`   // v2: Linux 6.5
	PeakPIDs    *uint64 `json:"peak_pids,omitempty"`         // processes and threads; Linux 6.1
	ReadBytes   *uint64 `json:"read_bytes,omitempty"`        // from block devices
	WriteBytes  *uint64 `json:"write_bytes,omitempty"`       // to block devices
	OutputBytes *uint64 `json:"output_bytes,omitempty"`      // stdout and stderr; only with limits.output

	MinorFaults         *uint64 `json:"minor_faults,omitempty"`         // page faults that needed no device
	MajorFaults         *uint64 `json:"major_faults,omitempty"`         // and that did
	VoluntarySwitches   *uint64 `json:"voluntary_switches,omitempty"`   // context switches: it waited
	InvoluntarySwitches *uint64 `json:"involuntary_switches,omitempty"` // and: another was let run

	Throttled        *time.Duration `json:"throttled_ns,omitempty"`      // held back by limits.cpus
	ThrottledPeriods *uint64        `json:"throttled_periods,omitempty"` // of 100 ms, in which it was

	// Stalls: how long some, or all, of the tasks waited for a resource; v2, and only where the kernel counts (PSI).
	CPUStall        *time.Duration `json:"cpu_stall_ns,omitempty"`
	MemoryStall     *time.Duration `json:"memory_stall_ns,omitempty"`
	MemoryStallFull *time.Duration `json:"memory_stall_full_ns,omitempty"`
	IOStall         *time.Duration `json:"io_stall_ns,omitempty"`
	IOStallFull     *time.Duration `json:"io_stall_full_ns,omitempty"`

	OOMKills *uint64 `json:"oom_kills,omitempty"` // processes that the kernel killed for memory
}

// reportUsage completes the report with what was used: by init and all that it has reaped, and by the groups.
func (p *process) reportUsage(use *unix.Rusage, stats *cgroup.Stats) {
	r := &p.report
	r.User, r.System = time.Duration(use.Utime.Nano()), time.Duration(use.Stime.Nano())
	r.PeakRSS = max(p.image.Page().Usage.Maxrss, 0) << 10
	r.MinorFaults, r.MajorFaults = count(use.Minflt), count(use.Majflt)
	r.VoluntarySwitches, r.InvoluntarySwitches = count(use.Nvcsw), count(use.Nivcsw)
	r.ReadBytes, r.WriteBytes = count(use.Inblock<<9), count(use.Oublock<<9) // in blocks of 512 bytes
	if p.used.user+p.used.system > r.User+r.System {
		r.User, r.System = p.used.user, p.used.system
	}
	r.PeakRSS = max(r.PeakRSS, p.used.peakRSS)
	if p.output != nil {
		r.OutputBytes = count(p.output.passed.Load())
	}
	if stats != nil {
		addGroups(r, stats)
	}
	r.AtLeast = stats == nil || stats.CPU == nil || stats.CPU.User == nil || stats.CPU.System == nil
}

// addGroups takes what the groups have counted, which is all of the sandbox.
func addGroups(r *Report, s *cgroup.Stats) {
	if m := s.Memory; m != nil {
		r.PeakMemory, r.PeakSwap, r.OOMKills = m.Peak, m.SwapPeak, m.OOMKills
		if m.Pressure != nil {
			r.MemoryStall, r.MemoryStallFull = m.Pressure.Some, m.Pressure.Full
		}
	}
	if c := s.CPU; c != nil {
		if c.User != nil && c.System != nil && *c.User+*c.System > r.User+r.System { // with those that nobody has waited for
			r.User, r.System = *c.User, *c.System
		}
		r.Throttled, r.ThrottledPeriods = c.Throttled, c.ThrottledPeriods
		if c.Pressure != nil {
			r.CPUStall = c.Pressure.Some
		}
	}
	if s.PIDs != nil {
		r.PeakPIDs = s.PIDs.Peak
	}
	if io := s.IO; io != nil {
		r.ReadBytes, r.WriteBytes = io.ReadBytes, io.WriteBytes
		if io.Pressure != nil {
			r.IOStall, r.IOStallFull = io.Pressure.Some, io.Pressure.Full
		}
	}
}

func count(n int64) *uint64 {
	u := uint64(max(n, 0))
	return &u
}

// stats are what the sandbox's groups have counted so far; nil for none.
func (p *process) stats() *cgroup.Stats {
	place := p.place()
	if place == nil {
		return nil
	}
	s, err := place.Totals()
	if err != nil {
		return nil
	}
	return s
}

// place is where the sandbox's groups are; nil for none.
func (p *process) place() *cgroup.Place {
	if p.cgroup == nil {
		return nil
	}
	return &p.cgroup.Place
}

// cpuUsed is the processor time of the whole sandbox: of its group, or else of init and everything below it, as far as they
// have waited for those that ended. The latter is counted in ticks of 10 ms.
func (p *process) cpuUsed() time.Duration {
	if s := p.stats(); s != nil && s.CPU != nil && s.CPU.Usage != nil {
		return *s.CPU.Usage
	}
	u := treeUsage(p.pid, maxTree)
	return u.user + u.system
}

// maxTree bounds how many processes are looked at, once in a while, for their processor time.
const maxTree = 1 << 16

// treeUse is what processes have used: time with that of those they have waited for, the number of threads now, and the peak
// of the largest.
type treeUse struct {
	user, system time.Duration
	threads      int64
	peakRSS      int64 // bytes
}

// treeUsage looks at a process and its descendants, so many at most: proc_pid_stat(5), proc_pid_status(5), proc_tid_children(5).
func treeUsage(root, most int) (sum treeUse) {
	todo := []string{strconv.Itoa(root)}
	for i := 0; i < len(todo) && i < most; i++ {
		dir := "/proc/" + todo[i]
		stat, err := readSome(dir+"/stat", 4096)
		if err != nil {
			continue // gone, and counted by who has waited for it
		}
		st, err := proc.ParseStat(stat)
		if err != nil {
			continue
		}
		sum.user, sum.system = sum.user+st.User+st.WaitedUser, sum.system+st.System+st.WaitedSystem
		sum.threads += int64(st.Threads)
		if i > 0 { // not init, which has the launcher's
			sum.peakRSS = max(sum.peakRSS, peakRSS(dir))
		}
		todo = append(todo, childrenOf(dir)...)
	}
	return sum
}

// peakRSS is VmHWM of a process, which is in kibibytes; 0 for one that is gone.
func peakRSS(dir string) int64 {
	text, err := readAll(dir + "/status")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSuffix(statusField(text, "VmHWM"), " kB"), 10, 64) // absent: 0
	return n << 10
}

// endNow kills the sandbox. What it has used is looked at before: of processes that die with init nobody waits for, and
// getrusage(2) does not know of them.
func (p *process) endNow() {
	if !p.gone { // else its number may be another process's
		p.used = treeUsage(p.pid, 1024) // a bomb of forks is not to live on for that
	}
	p.kill()
}

// childrenOf are the numbers of a process's children, which belong to its threads.
func childrenOf(dir string) (list []string) {
	tasks, _ := os.ReadDir(dir + "/task") // gone meanwhile: none
	for _, t := range tasks {
		text, err := readAll(dir + "/task/" + t.Name() + "/children")
		if err == nil {
			list = append(list, strings.Fields(string(text))...)
		}
	}
	return list
}

// processors is how many there may be, whatever the launcher's own affinity: a task can widen its.
func processors() int {
	text, err := readSome("/sys/devices/system/cpu/possible", 64)
	if n, ok := lastInRange(string(bytes.TrimSpace(text))); err == nil && ok {
		return n + 1
	}
	return 1024 // more than there are: the clock is only looked at more often
}

// lastInRange is the last number of a list such as "0-3" or "0,2-3".
func lastInRange(s string) (int, bool) {
	n, err := strconv.Atoi(s[strings.LastIndexAny(s, ",-")+1:])
	return n, err == nil && n >= 0
}
