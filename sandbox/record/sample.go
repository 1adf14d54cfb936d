package record

// What is used at most: memory, processes and threads, descriptors. The kernel keeps none of it for a program that has
// ended, so that it is looked at now and then while it runs. proc_pid_status(5), proc_pid_fd(5), proc_tid_children(5).

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
	"cordon/sandbox"
)

// Looking takes a fiftieth of the time at most.
const (
	sampleEvery = 20 * time.Millisecond
	sampleShare = 50
)

// sampler looks now and then at how much there is of what limits bound.
type sampler struct {
	gather *gather
	tasks  func() []int // the processes to look at, by any of their threads
	done   chan struct{}
	ended  sync.WaitGroup
}

// start begins; tasks is called by another thread.
func (s *sampler) start(g *gather, tasks func() []int) {
	s.gather, s.tasks, s.done = g, tasks, make(chan struct{})
	s.ended.Add(1)
	go s.run()
}

// stop ends it; it need not have begun.
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

// look looks at every process once. The sum of resident sets counts what is shared several times.
func (s *sampler) look() {
	seen := map[string]bool{}
	var memory, threads uint64
	for _, tid := range s.tasks() {
		group := status(tid, "Tgid", "Threads", "VmHWM", "VmRSS")
		if group[0] == "" || seen[group[0]] || launcher(tid) {
			continue
		}
		seen[group[0]] = true
		n, _ := strconv.ParseUint(group[1], 10, 32)
		memory, threads = memory+kibibytes(group[3]), threads+n
		s.note(tid, n, kibibytes(group[2]), descriptors(tid))
	}
	s.gather.mu.Lock()
	defer s.gather.mu.Unlock()
	s.gather.peak(-1, recording.PeakMemory, memory)
	s.gather.peak(-1, recording.PeakPIDs, threads)
}

// note notes what one process has.
func (s *sampler) note(tid int, threads, memory, files uint64) {
	g := s.gather
	g.mu.Lock()
	defer g.mu.Unlock()
	x, ok := g.program(tid)
	if !ok {
		return
	}
	exe := g.exes.Executable(x)
	g.peak(exe, recording.PeakThreads, threads)
	g.peak(exe, recording.PeakMemory, memory)
	g.peak(exe, recording.PeakFiles, files)
}

// kibibytes reads an amount of memory of /proc/PID/status.
func kibibytes(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(s, " kB"), 10, 52)
	return n << 10
}

// descriptors is how many a process has open.
func descriptors(tid int) uint64 {
	var st unix.Stat_t
	if unix.Stat(procPath(tid, "fd"), &st) == nil && st.Size > 0 { // from Linux 6.2 on
		return uint64(st.Size)
	}
	names, _ := os.ReadDir(procPath(tid, "fd"))
	return uint64(len(names))
}

// below are a process and what descends from it.
func below(pid int) (pids []int) {
	pids = []int{pid}
	for i := 0; i < len(pids); i++ {
		threads, _ := os.ReadDir(procPath(pids[i], "task")) // gone
		for _, t := range threads {
			list, _ := os.ReadFile(procPath(pids[i], "task/"+t.Name()+"/children"))
			for word := range strings.FieldsSeq(string(list)) {
				if n, err := strconv.Atoi(word); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return pids
}

// Used takes from the report what the sandbox used at most. What its groups have counted is more than what was looked at.
func (r *Recorder) Used(rep *sandbox.Report) {
	g := r.facts()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.peak(-1, recording.PeakMemory, uint64(max(rep.PeakRSS, 0)))
	g.peak(-1, recording.PeakCPU, uint64(rep.User+rep.System))
	g.counted(rep.PeakMemory, rep.PeakPIDs)
}

// counted takes the peaks that the sandbox's groups have counted, which are exact; nil where they have not.
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
