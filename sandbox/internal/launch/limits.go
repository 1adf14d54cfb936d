package launch

// The limits that end a run: how the launcher learns that one was reached, and what the report says of it. This file
// enforces the limits of time. cgroup.go, output.go, and rlimits.go of internal/compile enforce the others. The
// launcher polls a group's file of events: cgroup-v2.rst, "memory.events", "pids.events". A v1 group tells of memory
// by an eventfd: memory.rst, "OOM Control".

import (
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/report"
)

// exceeded ends the sandbox because of a limit. The report names the first limit.
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

// keepLimits begins to watch the limits that a running program can exceed.
func (p *Process) keepLimits() {
	now, wall := time.Now(), p.Comp.Profile.Limits.Wall
	if wall.Set {
		p.wallEnds = now.Add(wall.V)
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

// counted reports whether a group of the sandbox has a controller.
func (p *Process) counted(controller string) bool {
	place := p.place()
	return place != nil && slices.ContainsFunc(place.Dirs, func(d cgroup.Dir) bool { return slices.Contains(d.Controllers, controller) })
}

// checkCrowd checks whether the number of processes and threads has reached its limit. It cannot know whether another
// one was refused, so it ends nothing.
func (p *Process) checkCrowd() {
	if p.gone { // the number may be another process's by now
		return
	}
	// If there is no cgroup, RLIMIT_NPROC stands in. The kernel tells nobody when RLIMIT_NPROC refuses a fork.
	if TreeUsage(p.PID, maxTree).Threads >= p.Comp.Profile.Limits.PIDs.V {
		p.crowded = true
		return
	}
	p.At(time.Now().Add(compile.CrowdStep), p.checkCrowd)
}

// wallOver ends the sandbox at the wall-clock limit: SIGTERM, and after a grace period SIGKILL.
func (p *Process) wallOver() {
	if p.limit == "" {
		p.limit = report.LimitTimeout
	}
	// Once the sandbox is gone, the launcher does not wait any longer for the rest of the output, because the time is
	// over.
	p.told, p.hurry = true, p.gone
	_ = p.Signal(unix.SIGTERM) // a task that is gone has ended in time
	p.At(time.Now().Add(p.grace()), p.EndNow)
}

// checkCPU ends the sandbox if its processor time is used up. Otherwise it checks again at the earliest time at which
// that is possible: after every processor has been busy for the sandbox.
func (p *Process) checkCPU() {
	// Nothing uses time any more, and init's number may be another process's by now.
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

// watchGroups watches for memory that ran out and for forks that were refused.
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
	// The counters are read now, because no event tells what was counted before the watch.
	switch {
	case polled:
		p.lookAgain()
	case old:
		p.checkEvents()
	}
}

// watchEvents reads a file of counters now, and again whenever the kernel says that the file has changed. If the
// counter of key is positive, the sandbox ends. If the file cannot be opened, the launcher reads the counter only at
// the end.
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
		case n <= 0 || err != nil: // the group is gone
			p.Unwatch(fd)
		case p.limit == "" && compile.Positive(cgroup.Count(string(buf[:n]), key)) && (limit != report.LimitPIDs || !p.Outside(limit, p.stats())):
			p.exceeded(limit)
		}
	}
	p.Watch(fd, unix.POLLPRI, look)
	look(0) // no event tells what was counted before
}

// lookAgain reads the counters at regular times until a limit is reached, because nothing watches a v1 pids group.
func (p *Process) lookAgain() {
	p.checkEvents()
	if p.limit == "" {
		p.At(time.Now().Add(compile.LookStep), p.lookAgain)
	}
}

// watchOOM asks a v1 group to report when its memory runs out.
func (p *Process) watchOOM(dir string) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	p.watched = append(p.watched, event)
	// memory.rst of cgroup v1: the kernel takes the two numbers as text, and keeps the eventfd. The control file may
	// be closed.
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

// awaitKill looks for a process that was killed. It looks several times, because the kernel counts the kill a moment
// after the event.
func (p *Process) awaitKill(tries int) {
	p.checkEvents()
	if p.limit == "" && tries > 0 {
		p.At(time.Now().Add(20*time.Millisecond), func() { p.awaitKill(tries - 1) })
	}
}

// checkEvents ends the sandbox if its groups have counted a kill for memory or a refused fork.
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

// Outside reports whether the memory or the number of tasks ran out in a group around the sandbox's, or on the whole
// machine, and not at the sandbox's own limit. The kernel counts a killed process in its own group and, until Linux
// 6.10, a refused fork in the group of the forking process, whichever group's limit it was: cgroup-v2.rst,
// "memory.events", "pids.events".
func (p *Process) Outside(limit string, s *cgroup.Stats) bool {
	switch {
	case s == nil:
	case limit == report.LimitOOM && s.Memory != nil && compile.Positive(s.Memory.OOMKills):
		if s.Memory.OOMs != nil { // how often nothing could be reclaimed at the sandbox's own limit
			return *s.Memory.OOMs == 0
		}
		// v1 does not count that (memory.failcnt stays 0 on Linux 6.18). So the question is whether nearly as much
		// was ever in use.
		most := p.Comp.Profile.Limits.Memory
		return s.Memory.Peak != nil && (!most.Set || *s.Memory.Peak < uint64(most.V)/8*7)
	case limit == report.LimitPIDs && s.PIDs != nil && compile.Positive(s.PIDs.MaxEvents):
		most := p.Comp.Profile.Limits.PIDs
		return s.PIDs.Peak != nil && (!most.Set || *s.PIDs.Peak < uint64(most.V))
	}
	return false
}

// stopWatching ends the watches that keepLimits has begun.
func (p *Process) stopWatching() {
	for _, fd := range p.watched {
		p.Unwatch(fd)
		unix.Close(fd)
	}
	p.watched = nil
}

// reportLimits adds the limits that were reached to the report. The way in which the task ended, and the counters of
// its groups, may show a limit of which no event has told.
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

// fileTooLarge reports whether the task ended because a file grew too large. A shell that has a child with such an end
// exits with 128 and the signal's number: sh(1).
func (p *Process) fileTooLarge() bool {
	return p.Report.Signal == "SIGXFSZ" || p.Report.Exit == 128+int(unix.SIGXFSZ) && p.Comp.Rlimit("fsize") != nil
}

// outOfCPU reports whether RLIMIT_CPU ended the task: with SIGXCPU, or with SIGKILL. Only the time that was used
// tells that SIGKILL from another.
func (p *Process) outOfCPU() bool {
	if p.Report.Signal == "SIGXCPU" {
		return true
	}
	// The kernel counts in ticks for this limit. On a busy machine its count differs by up to a quarter from the time
	// that it reports.
	limit, ok := p.Comp.CPURlimit()
	return ok && p.Report.Signal == "SIGKILL" && p.limit == "" && p.Report.User+p.Report.System >= limit-limit/4
}

// clipped returns, for the report, the rlimits of the profile that are above the launcher's own hard limits. Only
// CAP_SYS_RESOURCE in the first user namespace raises a hard limit; otherwise the lower limit holds in the task.
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
