package record

// This file measures the peak use of memory, processes, threads and descriptors. The kernel does not keep these numbers
// for a program that has ended. So the recorder reads them again and again while the program runs: proc_pid_status(5),
// proc_pid_fd(5), proc_tid_children(5).

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// The sampler waits sampleEvery between two samples, and at least sampleShare times as long as the last sample took. So
// measuring takes at most a fiftieth of the time.
const (
	sampleEvery = 20 * time.Millisecond
	sampleShare = 50
)

// sampler regularly measures the resources that limits can bound.
type sampler struct {
	gather *gather
	mu     sync.Mutex
	alive  map[int]uint64 // the processes that are measured, with their start times
	done   chan struct{}
	ended  sync.WaitGroup
}

// start starts to measure processes and their descendants.
func (s *sampler) start(g *gather, pids ...int) {
	s.gather, s.alive, s.done = g, map[int]uint64{}, make(chan struct{})
	s.add(pids...)
	s.ended.Add(1)
	go s.run()
}

// add adds processes that are to be measured.
func (s *sampler) add(pids ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range pids {
		if at := startOf(procPath(pid, "stat")); at != 0 && s.alive[pid] == 0 {
			s.alive[pid] = at
		}
	}
}

// processes returns the living processes. Before that it removes the processes that have ended, and adds the
// descendants of all others.
func (s *sampler) processes() (pids []int) {
	s.mu.Lock()
	for pid, at := range s.alive {
		if startOf(procPath(pid, "stat")) == at {
			pids = append(pids, pid)
		} else {
			delete(s.alive, pid)
		}
	}
	s.mu.Unlock()
	pids = below(pids)
	s.add(pids...)
	return pids
}

// stop ends the measurements. If they have not been started, it does nothing.
func (s *sampler) stop() {
	if s.done != nil {
		close(s.done)
		s.ended.Wait()
		s.done = nil
	}
}

func (s *sampler) run() {
	defer s.ended.Done()
	for {
		began := time.Now()
		s.look()
		select {
		case <-s.done:
			return
		case <-time.After(max(sampleEvery, sampleShare*time.Since(began))):
		}
	}
}

// look measures every process once. In the sum of resident sets, shared memory is counted several times.
func (s *sampler) look() {
	var memory, threads uint64
	for _, pid := range s.processes() {
		has := status(pid, "Threads", "VmHWM", "VmRSS")
		if has[0] == "" || launcher(pid) {
			continue
		}
		n, _ := strconv.ParseUint(has[0], 10, 32)
		memory, threads = memory+kibibytes(has[2]), threads+n
		s.note(pid, n, kibibytes(has[1]), Descriptors(pid))
	}
	s.gather.mu.Lock()
	defer s.gather.mu.Unlock()
	s.gather.peak(-1, recording.PeakMemory, memory)
	s.gather.peak(-1, recording.PeakPIDs, threads)
}

// note updates the peaks with what one process uses.
func (s *sampler) note(pid int, threads, memory, files uint64) {
	g := s.gather
	g.mu.Lock()
	defer g.mu.Unlock()
	x, ok := g.program(pid)
	if !ok {
		return
	}
	exe := g.executable(x)
	if exe < 0 { // -1 stands for all programs together
		return
	}
	g.peak(exe, recording.PeakThreads, threads)
	g.peak(exe, recording.PeakMemory, memory)
	g.peak(exe, recording.PeakFiles, files)
}

// kibibytes parses an amount of memory in /proc/PID/status, and returns it in bytes.
func kibibytes(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 52)
	return n << 10
}

// Descriptors returns how many descriptors a process has open, or 0 if the process has ended.
func Descriptors(pid int) uint64 {
	var st unix.Stat_t
	if unix.Stat(procPath(pid, "fd"), &st) == nil && st.Size > 0 { // Linux 6.2: the size is the number
		return uint64(st.Size)
	}
	names, _ := namesIn(procPath(pid, "fd"), maxFacts)
	return uint64(len(names))
}

// below returns the given processes and their descendants.
func below(pids []int) []int {
	seen := map[int]bool{}
	for _, pid := range pids {
		seen[pid] = true
	}
	for i := 0; i < len(pids); i++ {
		threads, _ := namesIn(procPath(pids[i], "task"), maxTasks)
		for _, t := range threads {
			list, _, _ := proc.Head(procPath(pids[i], "task/"+t+"/children"), maxStatus)
			for word := range strings.FieldsSeq(string(list)) {
				if pid, err := strconv.Atoi(word); err == nil && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

// Used takes the sandbox's peak use from the report. The counters of the sandbox's cgroups are more complete than
// samples.
func (r *Recorder) Used(rep *report.Report) {
	g := r.facts()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.peak(-1, recording.PeakMemory, uint64(max(rep.PeakRSS, 0)))
	g.peak(-1, recording.PeakCPU, uint64(rep.User+rep.System))
	g.counted(rep.PeakMemory, rep.PeakPIDs)
}

// counted replaces the measured peaks of all programs by the numbers that the sandbox's cgroups have counted, because
// these are exact. If a number of the cgroups is nil or 0, counted keeps the measured peak.
func (g *gather) counted(memory, pids *uint64) {
	for _, p := range [...]struct {
		what recording.Peak
		most *uint64
	}{{recording.PeakMemory, memory}, {recording.PeakPIDs, pids}} {
		if p.most != nil && *p.most > 0 {
			delete(g.events, fact{exe: -1, kind: recording.KindPeak, text: string(p.what)})
			g.peak(-1, p.what, *p.most)
		}
	}
}
