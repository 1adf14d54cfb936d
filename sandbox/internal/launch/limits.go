package launch

// This file is about the limits that end a run: how the launcher notices that a limit was reached, and what it reports.
// It enforces the time limits. cgroup.go, output.go, and rlimits.go of internal/compile enforce the other limits. The
// launcher polls a cgroup's file of events: cgroup-v2.rst, "memory.events", "pids.events". A v1 group reports lack of
// memory by an eventfd: memory.rst, "OOM Control".

import (
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// exceeded ends the sandbox because a limit was reached. The report names only the first limit for which exceeded is
// called, because a limit that is reached later may be a consequence of the first. If the sandbox has already ended,
// exceeded does not kill it again.
func (p *Process) exceeded(limit string) {
	if p.limit == "" {
		p.limit = limit
	}
	if !p.gone {
		p.EndNow()
	}
}

// grace returns the time between SIGTERM and SIGKILL.
func (p *Process) grace() time.Duration {
	if p.Cmd.KillAfter != 0 {
		return p.Cmd.KillAfter
	}
	return compile.DefaultGrace
}

// keepLimits begins to watch the limits that a running program can reach.
func (p *Process) keepLimits() {
	now, wall := time.Now(), p.Comp.Profile.Limits.Wall
	if wall.Set {
		// The time of the search, before the program ran, is part of the time that the limit allows.
		p.wallEnds = now.Add(wall.V - p.search.took)
		p.At(p.wallEnds, p.wallOver)
	}
	if p.Comp.Profile.Limits.CPUTime.Set {
		p.checkCPU()
	}
	p.watchOutput()
	p.watchGroups()
	if p.Comp.Profile.Limits.PIDs.Set && !p.counted("pids") {
		p.checkCrowd()
	}
}

// counted reports whether the sandbox has a cgroup with a controller.
func (p *Process) counted(controller string) bool {
	place := p.place()
	return place != nil && slices.ContainsFunc(place.Dirs, func(d cgroup.Dir) bool { return slices.Contains(d.Controllers, controller) })
}

// checkCrowd checks whether the number of processes and threads has reached its limit. It cannot tell whether the
// kernel has refused a further fork, so it only reports that the limit was reached, and ends nothing. After that it
// stops checking, because one observation is enough for the report.
func (p *Process) checkCrowd() {
	if p.gone { // another process may have init's number by now
		return
	}
	// If there is no cgroup, RLIMIT_NPROC replaces it. The kernel tells nobody when RLIMIT_NPROC refuses a fork.
	if TreeUsage(p.PID, maxTree).Threads >= p.Comp.Profile.Limits.PIDs.V {
		p.crowded = true
		return
	}
	p.At(time.Now().Add(compile.CrowdStep), p.checkCrowd)
}

// wallOver ends the sandbox when the wall-clock limit is reached: SIGTERM, and after a grace period SIGKILL.
func (p *Process) wallOver() {
	if p.limit == "" {
		p.limit = report.LimitTimeout
	}
	// If the sandbox has already ended, the launcher stops waiting for the rest of the output, because the time is
	// over.
	p.told, p.hurry = true, p.gone
	_ = p.Signal(unix.SIGTERM) // if the task has ended, it has ended in time
	p.At(time.Now().Add(p.grace()), p.EndNow)
}

// checkCPU ends the sandbox if its processor time is used up. Otherwise it sets the next check for the earliest time at
// which the limit could be reached, which is the time if every processor were busy for the sandbox.
func (p *Process) checkCPU() {
	// Nothing uses processor time any more, and another process may have init's number.
	if p.gone {
		return
	}
	left := p.Comp.Profile.Limits.CPUTime.V - p.cpuUsed()
	if left <= 0 {
		p.exceeded(report.LimitCPUTime)
		return
	}
	p.At(time.Now().Add(max(compile.CPUStep, left/time.Duration(Processors()))), p.checkCPU)
}

// watchGroups watches the sandbox's cgroups for lack of memory and refused forks.
func (p *Process) watchGroups() {
	place := p.place()
	if place == nil {
		return
	}
	old, polled := false, false
	for i := range place.Dirs {
		d := &place.Dirs[i]
		for _, c := range d.Controllers {
			switch {
			case c == "pids" && d.Version == 2:
				p.watchEvents(d.Path+"/pids.events", cgroup.KeyRefused, report.LimitPIDs)
			case c == "pids":
				old, polled = true, true
			case c == "memory" && d.Version == 2:
				p.watchEvents(d.Path+"/"+d.MemoryEvents(), cgroup.KeyKills, report.LimitOOM)
			case c == "memory":
				old = true
				p.watchOOM(d.Path)
			}
		}
	}
	// The counters are read once now, because no event reports what was counted before the watch.
	switch {
	case polled:
		p.lookAgain()
	case old:
		p.checkEvents()
	}
}

// watchEvents reads a file of counters now, and again whenever the kernel reports that the file has changed. If the
// counter key is above 0, watchEvents ends the sandbox because of limit. If the file cannot be opened, the counter is
// read only at the end of the run.
func (p *Process) watchEvents(path, key, limit string) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	p.watched = append(p.watched, fd)
	look := func(int16) {
		var buf [512]byte
		n, err := unix.Pread(fd, buf[:], 0)
		switch {
		case n <= 0 || err != nil: // the group has been removed
			p.Unwatch(fd)
		case p.limit == "" && compile.Positive(cgroup.Count(string(buf[:n]), key)) && (limit != report.LimitPIDs || !p.Outside(limit, p.stats())):
			p.exceeded(limit)
		}
	}
	p.Watch(fd, unix.POLLPRI, look)
	look(0) // no event reports what was counted before
}

// lookAgain reads the counters at regular intervals until a limit is reached, because the kernel does not report events
// of a v1 pids group.
func (p *Process) lookAgain() {
	p.checkEvents()
	if p.limit == "" {
		p.At(time.Now().Add(compile.LookStep), p.lookAgain)
	}
}

// watchOOM asks the kernel to report when a v1 group's memory runs out.
func (p *Process) watchOOM(dir string) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	p.watched = append(p.watched, event)
	// The kernel takes the two numbers as text and keeps the eventfd, so the control file may be closed afterwards:
	// memory.rst of cgroup v1.
	control, err := unix.Open(dir+"/memory.oom_control", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(control)
	if writeText(dir+"/cgroup.event_control", strconv.Itoa(event)+" "+strconv.Itoa(control)) != nil {
		return
	}
	p.Watch(event, unix.POLLIN, func(int16) {
		_, _ = unix.Read(event, make([]byte, 8))
		p.awaitKill(compile.OomTries)
	})
}

// awaitKill checks several times whether the kernel has killed a process, because the kernel counts the kill a moment
// after the event.
func (p *Process) awaitKill(tries int) {
	p.checkEvents()
	if p.limit == "" && tries > 0 {
		p.At(time.Now().Add(20*time.Millisecond), func() { p.awaitKill(tries - 1) })
	}
}

// checkEvents ends the sandbox if its groups have counted a refused fork, or a process killed for lack of memory.
func (p *Process) checkEvents() {
	if p.limit != "" {
		return
	}
	place := p.place()
	if place == nil {
		return
	}
	kills, refused := place.Events()
	switch {
	case compile.Positive(kills):
		p.exceeded(report.LimitOOM)
	case compile.Positive(refused) && !p.Outside(report.LimitPIDs, p.stats()):
		p.exceeded(report.LimitPIDs)
	}
}

// Outside reports whether the memory or the number of tasks ran out in a cgroup around the sandbox or on the whole
// machine, and not at the sandbox's own limit. The kernel counts a killed process in the process's own group, whichever
// group's limit was reached. Until Linux 6.10 the kernel counts a refused fork in the same way: cgroup-v2.rst,
// "memory.events", "pids.events".
func (p *Process) Outside(limit string, s *cgroup.Stats) bool {
	switch {
	case s == nil:
	case limit == report.LimitOOM && s.Memory != nil && compile.Positive(s.Memory.OOMKills):
		if s.Memory.OOMs != nil { // how often the sandbox's own limit was reached and nothing could be reclaimed
			return *s.Memory.OOMs == 0
		}
		// v1 has no such counter (memory.failcnt stays 0 on Linux 6.18). So Outside compares the peak use with the
		// limit.
		most := p.Comp.Profile.Limits.Memory
		return s.Memory.Peak != nil && (!most.Set || *s.Memory.Peak < uint64(most.V)/8*7)
	case limit == report.LimitPIDs && s.PIDs != nil && compile.Positive(s.PIDs.MaxEvents):
		most := p.Comp.Profile.Limits.PIDs
		return s.PIDs.Peak != nil && (!most.Set || *s.PIDs.Peak < uint64(most.V))
	}
	return false
}

// stopWatching ends what keepLimits has begun to watch. It may be called at any time, also if nothing is watched.
func (p *Process) stopWatching() {
	for _, fd := range p.watched {
		p.Unwatch(fd)
		unix.Close(fd)
	}
	p.watched = nil
}

// reportLimits adds the limits that were reached to the report. The signal that ended the task, and the counters of its
// groups, may show a limit that no event has reported.
func (p *Process) reportLimits(stats *cgroup.Stats) {
	r := &p.Report
	counts := map[string]uint64{}
	if stats != nil && stats.Memory != nil && compile.Positive(stats.Memory.OOMKills) {
		counts[report.LimitOOM] = *stats.Memory.OOMKills
	}
	if p.Outside(report.LimitPIDs, stats) {
		r.Hints = append(r.Hints, report.Hint{Text: "a cgroup around the sandbox's has reached its pids.max, and refused a new process"})
	} else if stats != nil && stats.PIDs != nil && compile.Positive(stats.PIDs.MaxEvents) {
		counts[report.LimitPIDs] = *stats.PIDs.MaxEvents
	}
	found := map[string]bool{
		report.LimitOOM: counts[report.LimitOOM] > 0, report.LimitPIDs: counts[report.LimitPIDs] > 0 || p.crowded,
		report.LimitCPUTime: p.outOfCPU(), report.LimitFileSize: p.fileTooLarge(), p.limit: true,
	}
	for _, k := range compile.Endings {
		if !found[k.Limit] {
			continue
		}
		if p.limit == "" && !(k.Limit == report.LimitPIDs && p.crowded) {
			p.limit = k.Limit
		}
		rule, flag := p.Comp.LimitRule(k.Limit)
		if p.Outside(k.Limit, stats) {
			rule, flag = "", ""
			r.Hints = append(r.Hints, report.Hint{Text: "a cgroup around the sandbox's, or the machine, ran out of memory; the sandbox's own limit was not reached"})
		}
		r.Limits = append(r.Limits, report.LimitMet{Limit: k.Limit, Count: counts[k.Limit], Rule: rule, Flag: flag})
	}
	r.Limit = p.limit
	r.Timeout = r.Limit == report.LimitTimeout
}

// fileTooLarge reports whether the task ended because a file reached its size limit. If a shell's child ended for this
// reason, the shell exits with 128 and the signal's number: sh(1).
func (p *Process) fileTooLarge() bool {
	return p.Report.Signal == "SIGXFSZ" || p.Report.Exit == 128+int(unix.SIGXFSZ) && p.Comp.Rlimit("fsize") != nil
}

// outOfCPU reports whether RLIMIT_CPU ended the task, by SIGXCPU or SIGKILL. If the signal was SIGKILL, outOfCPU
// compares the used time with the limit. If the launcher itself has ended the run, SIGKILL proves nothing.
func (p *Process) outOfCPU() bool {
	if p.Report.Signal == "SIGXCPU" {
		return true
	}
	// For this limit the kernel counts in ticks. On a busy machine the count of ticks differs by up to a quarter from
	// the time that the kernel reports. RLIMIT_CPU is in whole seconds.
	limit, ok := p.Comp.CPURlimit()
	return ok && p.Report.Signal == "SIGKILL" && p.limit == "" && p.Report.User+p.Report.System >= limit-limit/4
}

// clipped returns, for the report, the profile's rlimits that exceed the launcher's own hard limits. Only a process
// with CAP_SYS_RESOURCE in the first user namespace can raise a hard limit; any other task has the launcher's limit.
func clipped(task int, limits []policy.Rlimit) (missing []report.Missing) {
	for _, r := range limits {
		n, _ := compile.RlimitNumber(r.Name)
		var own, its unix.Rlimit
		if unix.Getrlimit(int(n), &own) != nil || r.Value <= own.Max {
			continue
		}
		if err := unix.Prlimit(task, int(n), nil, &its); err != nil {
			its = own
		}
		if its.Max < r.Value {
			holds := policy.Rlimit{Name: r.Name, Value: its.Cur}
			missing = append(missing, report.Missing{Layer: policy.LayerRlimits, Why: "limits.rlimits." + r.Name + " " + r.Text() +
				" is above the launcher's own hard limit", Instead: holds.Text()})
		}
	}
	return missing
}

// The search of what is bound (package search) can take seconds in a large tree. Before the program runs, the
// launcher's loop does not run either, so the search itself looks at signals and limits.

const (
	searchLook   = 50 * time.Millisecond  // between two looks at signals
	searchQuiet  = time.Second            // a search that takes longer reports its progress
	progressStep = 200 * time.Millisecond // between two reports
)

// searching holds what the launcher knows of the searches of this launch.
type searching struct {
	last  time.Time     // the time of the last call of Process.searched
	took  time.Duration // the time of all searches together
	names int           // the number of names in the longest search
	look  time.Duration // the value of took at which signals are looked at again
	tell  time.Duration // the value of took at which progress is reported again
	told  bool

	memory *walk.Memory // what the search knows of directories; or nil
	key    string       // the key under which memory is stored
}

// recall returns what earlier searches of the same directories by the same rules have found.
func (p *Process) recall(key string, keep func(name []byte, kind uint8) bool) *walk.Memory {
	s := &p.search
	s.key = key
	s.memory = &walk.Memory{Keep: keep, Load: func() []byte { return ledger.Memory(p.records(), key, walk.MaxMemory) }}
	return s.memory
}

// keepSearch stores what this run's searches have found. If it cannot, the next search only takes longer.
func (p *Process) keepSearch() {
	if b := p.search.memory.Stored(); b != nil {
		_ = ledger.KeepMemory(p.records(), p.search.key, b)
	}
}

// searched is called during a search with the number of names so far, which is 0 at its start. It returns an error if a
// signal or the wall-clock limit ends the launch.
func (p *Process) searched(names int) error {
	s := &p.search
	now := time.Now()
	if names > 0 {
		s.took += now.Sub(s.last)
	}
	s.last, s.names = now, max(s.names, names)
	wall := p.Cmd.Profile.Limits.Wall
	if wall.Set && s.took >= wall.V {
		return &fail.TimeoutError{Limit: wall.V, Names: names}
	}
	if s.took < s.look {
		return nil
	}
	s.look = s.took + searchLook
	if p.Signals >= 0 {
		p.Forward()
	}
	if err := p.interrupted(); err != nil {
		return err
	}
	if p.Cmd.Progress != nil && s.took >= max(s.tell, searchQuiet) {
		s.tell, s.told = s.took+progressStep, true
		p.Cmd.Progress(names)
	}
	return nil
}

// endSearch tells the caller, by the number -1, that the last search is over. If the caller has been told of no search,
// endSearch tells it nothing.
func (p *Process) endSearch() {
	if p.search.told {
		p.search.told = false
		p.Cmd.Progress(-1)
	}
}
