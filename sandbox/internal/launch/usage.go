package launch

// This file measures what a sandbox has used. It reads the counters of the sandbox's cgroups. If there are no cgroups,
// it uses getrusage(2), which only knows the processes for which init and the task have waited.

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// reportUsage adds to the report what the sandbox has used. It uses the counters of the cgroups, and what the kernel
// has counted for init and for all processes that init has reaped.
func (p *Process) reportUsage(use *unix.Rusage, stats *cgroup.Stats) {
	r := &p.Report
	r.User, r.System = time.Duration(use.Utime.Nano()), time.Duration(use.Stime.Nano())
	r.PeakRSS = max(p.Image.Page().Usage.Maxrss, 0) << 10
	r.MinorFaults, r.MajorFaults = report.Count(use.Minflt), report.Count(use.Majflt)
	r.VoluntarySwitches, r.InvoluntarySwitches = report.Count(use.Nvcsw), report.Count(use.Nivcsw)
	r.ReadBytes, r.WriteBytes = report.Count(use.Inblock<<9), report.Count(use.Oublock<<9) // in blocks of 512 bytes
	// EndNow has also counted processes for which nobody has waited.
	if p.used.user+p.used.system > r.User+r.System {
		r.User, r.System = p.used.user, p.used.system
	}
	r.PeakRSS = max(r.PeakRSS, p.used.peakRSS)
	if p.output != nil {
		r.OutputBytes = report.Count(p.output.Passed.Load())
	}
	if stats != nil {
		addGroups(r, stats)
	}
	r.AtLeast = stats == nil || stats.CPU == nil || stats.CPU.User == nil || stats.CPU.System == nil
}

// addGroups adds the counters of the cgroups to the report. They count the whole sandbox.
func addGroups(r *report.Report, s *cgroup.Stats) {
	if m := s.Memory; m != nil {
		r.PeakMemory, r.PeakSwap, r.OOMKills = m.Peak, m.SwapPeak, m.OOMKills
		if m.Pressure != nil {
			r.MemoryStall, r.MemoryStallFull = m.Pressure.Some, m.Pressure.Full
		}
	}
	if c := s.CPU; c != nil {
		// The cgroups also count processes for which nobody has waited.
		if c.User != nil && c.System != nil && *c.User+*c.System > r.User+r.System {
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

// stats returns the present counters of the sandbox's cgroups, or nil if it has none.
func (p *Process) stats() *cgroup.Stats {
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

// endStats returns the counters of a sandbox that has ended. If nobody has asked for all counters, it reads only those
// that show whether a limit was reached.
func (p *Process) endStats() *cgroup.Stats {
	place := p.place()
	if _, cpu := p.Comp.CPURlimit(); place == nil || cpu || !p.Cmd.Brief {
		return p.stats()
	}
	s, err := place.Limits()
	if err != nil {
		return nil
	}
	return s
}

// place returns the paths of the sandbox's cgroups, or nil if it has none.
func (p *Process) place() *cgroup.Place {
	if p.Cgroup == nil {
		return nil
	}
	return &p.Cgroup.Place
}

// cpuUsed returns the processor time of the whole sandbox. It reads the sandbox's cgroup if there is one. Otherwise it
// adds up the times of init, its descendants, and the children for which they have waited. Those times are in ticks of
// 10 ms.
func (p *Process) cpuUsed() time.Duration {
	if s := p.stats(); s != nil && s.CPU != nil && s.CPU.Usage != nil {
		return *s.CPU.Usage
	}
	u := TreeUsage(p.PID, maxTree)
	return u.user + u.system
}

// maxTree bounds how many processes the launcher examines for their processor time.
const maxTree = 1 << 16

// TreeUse holds what a process and its descendants have used: their processor time and that of the children for which
// they have waited, the current number of threads, and the largest peak memory of a single process.
type TreeUse struct {
	user, system time.Duration
	Threads      int64
	peakRSS      int64 // in bytes
}

// TreeUsage adds up what a process and its descendants have used, for at most the given number of processes:
// proc_pid_stat(5), proc_pid_status(5), proc_tid_children(5).
func TreeUsage(root, most int) (sum TreeUse) {
	todo := []string{strconv.Itoa(root)}
	for i := 0; i < len(todo) && i < most; i++ {
		dir := "/proc/" + todo[i]
		stat, err := proc.ReadSome(dir+"/stat", 4096)
		if err != nil {
			continue // it has ended, and the process that waited for it counts it
		}
		st, err := proc.ParseStat(stat)
		if err != nil {
			continue
		}
		sum.user, sum.system = sum.user+st.User+st.WaitedUser, sum.system+st.System+st.WaitedSystem
		sum.Threads += int64(st.Threads)
		if i > 0 { // init's memory is a copy of the launcher's
			sum.peakRSS = max(sum.peakRSS, peakRSS(dir))
		}
		todo = append(todo, proc.ChildrenOf(dir)...)
	}
	return sum
}

// peakRSS returns a process's VmHWM, converted from kibibytes to bytes. It returns 0 for a process that has ended.
func peakRSS(dir string) int64 {
	text, err := proc.ReadAll(dir + "/status")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSuffix(proc.StatusField(text, "VmHWM"), " kB"), 10, 64) // 0 if it is absent
	return n << 10
}

// EndNow kills the sandbox. Before that, it measures what the sandbox has used, because nobody waits for processes that
// die with init, so getrusage(2) does not count what these have used.
func (p *Process) EndNow() {
	if !p.gone { // otherwise another process may have init's number
		p.used = TreeUsage(p.PID, 1024) // a small bound, because a fork bomb must not live on while the launcher counts
	}
	p.Kill()
}

// Processors returns an upper bound for the number of processors. It ignores the launcher's own affinity, because a
// task can change the task's own affinity.
func Processors() int {
	text, err := proc.ReadSome("/sys/devices/system/cpu/possible", 64)
	if n, ok := LastInRange(string(bytes.TrimSpace(text))); err == nil && ok {
		return n + 1
	}
	return 1024 // more than there are, which only makes the launcher read the clock more often
}

// LastInRange returns the last number of a list such as "0-3" or "0,2-3".
func LastInRange(s string) (int, bool) {
	n, err := strconv.Atoi(s[strings.LastIndexAny(s, ",-")+1:])
	return n, err == nil && n >= 0
}

// The next part is about processes that the task leaves behind in a sandbox without a pid namespace. (A pid namespace
// would kill them when it ends.) prctl(2), PR_SET_CHILD_SUBREAPER; proc_pid_task(5), children (Linux 4.2,
// CONFIG_PROC_CHILDREN).
//
// If the parent of a process ends, the process becomes a child of its next ancestor that is a subreaper. That ancestor
// is the launcher, which starts nothing else. So after init's end all children of the launcher were started by the
// task, whatever sessions and groups they have made.

// adoptOrphans makes the launcher the parent of processes that the task leaves behind. In the process of a library's
// user it does nothing, because that process has other children. Whoever uses the library with the host's pid namespace
// must know that.
func (p *Process) adoptOrphans() error {
	if p.Comp.OwnsPID() || !p.Cmd.Exclusive {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return &fail.Error{Op: "prctl PR_SET_CHILD_SUBREAPER", Err: err}
	}
	return nil
}

// killOrphans kills every orphan. Their children then become the launcher's, and are killed in turn.
func (p *Process) killOrphans() {
	if p.Comp == nil || p.Comp.OwnsPID() || !p.Cmd.Exclusive {
		return
	}
	// The loop is limited in time, because a tracer outside may delay the end of an orphan for ever.
	for last := time.Now(); time.Since(last) < child.ReapTime; {
		for _, pid := range childrenOfSelf() {
			_ = unix.Kill(pid, unix.SIGKILL) // nobody has waited for it, so no other process has its pid
		}
		switch pid, err := unix.Wait4(-1, nil, unix.WALL|unix.WNOHANG, nil); {
		case err != nil && err != unix.EINTR:
			return // ECHILD: there is no child
		case pid > 0:
			last = time.Now()
		default: // they are about to end, or a tracer outside delays that
			time.Sleep(time.Millisecond)
		}
	}
}

// childrenOfSelf returns the launcher's child processes. The kernel lists them for each of its threads.
func childrenOfSelf() (pids []int) {
	threads, _ := os.ReadDir("/proc/self/task") // without /proc nothing would have been launched
	for _, thread := range threads {
		text, _ := proc.ReadAll("/proc/self/task/" + thread.Name() + "/children") // empty if the thread has ended
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
