package audit

// This file compares the program's peak use with the limits: getrlimit(2), cgroups(7). In an audit no limit is in
// force. While the program runs, the audit counts descriptors and tasks, each time when a call that will add one waits.

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/policy"
	"cordon/policy/recording"
	"cordon/sandbox"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/record"
	"cordon/sandbox/report"
)

// fdCalls lists the calls that open descriptors. forkCalls lists the calls that make processes or threads.
var (
	fdCalls = []string{"open", "openat", "openat2", "creat", "socket", "socketpair", "accept", "accept4", "pipe", "pipe2", "dup", "dup2", "dup3",
		"eventfd", "eventfd2", "epoll_create", "epoll_create1", "memfd_create", "timerfd_create", "signalfd", "signalfd4", "inotify_init", "inotify_init1"}
	forkCalls = []string{"clone", "clone3", "fork", "vfork"}
)

// watchedRlimits lists the rlimits that an audit checks.
var watchedRlimits = []string{"nofile", "fsize"}

// bounds holds the limits of a profile, and how far the program has exceeded them.
type bounds struct {
	files, size, tasks int64                // limits.rlimits.nofile and fsize, limits.pids; 0 if there is no limit
	until              int                  // number of forks after which the tasks are counted again
	written            map[string]time.Time // files that were opened for writing, and when
	exceeded           map[string]*excess   // by the name of the limit
}

// excess tells how far a limit was exceeded.
type excess struct {
	most   int64
	denial *Denial
}

func boundsOf(l *policy.Limits, callsOnly bool) bounds {
	b := bounds{written: map[string]time.Time{}, exceeded: map[string]*excess{}, tasks: l.PIDs.V, until: int(min(l.PIDs.V, 1<<20))}
	for _, r := range l.Rlimits {
		switch {
		case callsOnly || r.Value == 0 || r.Value >= 1<<62:
		case r.Name == "nofile":
			b.files = int64(r.Value)
		case r.Name == "fsize":
			b.size = int64(r.Value)
		}
	}
	return b
}

// calls returns the calls for which the filter must notify because of the limits.
func (b *bounds) calls() (names []string) {
	if b.files > 0 {
		names = append(names, fdCalls...)
	}
	if b.tasks > 0 {
		names = append(names, forkCalls...)
	}
	return names
}

// Unseen returns the limits of the profile that this audit does not check.
func (a *Auditor) Unseen() (names []string) {
	l := &a.profile.Limits
	for _, x := range []struct {
		name string
		set  bool
	}{{"swap", l.Swap.Set}, {"output", l.Output.Set}, {"io", len(l.IO) > 0}, {"hugetlb", len(l.Hugetlb) > 0}} {
		if x.set {
			names = append(names, "limits."+x.name)
		}
	}
	for _, r := range l.Rlimits {
		if a.callsOnly || !slices.Contains(watchedRlimits, r.Name) {
			names = append(names, "limits.rlimits."+r.Name)
		}
	}
	return names
}

// makesFD compares the number of the process's descriptors with the limit. The call is about to add one.
func (a *Auditor) makesFD() {
	n := int64(record.Descriptors(a.call.TID)) // 0 if the process has been killed meanwhile
	if n+1 > a.bounds.files {
		a.exceeds("nofile", n+1)
	}
}

// forks counts the tasks, if so many forks have happened since the last count that there may be too many.
func (a *Auditor) forks() {
	b := &a.bounds
	if b.until--; b.until > 0 {
		return
	}
	n := tasksBelow(os.Getpid()) // includes init, but not yet the task that the call makes
	b.until = int(max(b.tasks-n, n/8, 1))
	if n > b.tasks {
		a.exceeds("pids", n)
	}
}

// maxTasks is the number at which tasksBelow stops counting.
const maxTasks = 1 << 16

// maxChildren is how many bytes tasksBelow reads of a thread's list of children, enough for more than maxTasks pids.
const maxChildren = 1 << 20

// tasksBelow returns how many threads the descendants of a process have together.
func tasksBelow(pid int) (n int64) {
	next := []int{pid}
	for len(next) > 0 && n < maxTasks {
		p := next[len(next)-1]
		next = next[:len(next)-1]
		threads, _ := os.ReadDir("/proc/" + strconv.Itoa(p) + "/task") // on an error the process has ended meanwhile
		if p != pid {
			n += int64(len(threads))
		}
		for _, t := range threads {
			text, _, _ := proc.Head("/proc/"+strconv.Itoa(p)+"/task/"+t.Name()+"/children", maxChildren)
			for _, word := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(word); err == nil {
					next = append(next, child)
				}
			}
		}
	}
	return n
}

// writes remembers a file that was opened for writing. If such a file is about to be deleted, renamed or linked, it
// checks the file's size.
func (a *Auditor) writes(e *recording.Event) {
	b := &a.bounds
	if b.size == 0 {
		return
	}
	if e.Access&(recording.Write|recording.Create) != 0 && (e.Type == recording.TypeFile || e.Type == recording.TypeUnknown) && len(b.written) < maxKinds {
		if _, ok := b.written[e.Path]; !ok {
			b.written[e.Path] = time.Now()
		}
	}
	if e.Access&names != 0 {
		a.grown(e.Path)
	}
}

// grown compares the size of a file that the program has written with the limit.
func (a *Auditor) grown(path string) {
	since, ok := a.bounds.written[path]
	if !ok {
		return
	}
	info, err := a.files.Lstat(path)
	if err == nil && info.Mode().IsRegular() && info.Size() > a.bounds.size && info.ModTime().After(since.Add(-time.Second)) {
		a.exceeds("fsize", info.Size())
		a.bounds.exceeded["fsize"].denial.Object = path
	}
}

// exceeds records that a limit would have been exceeded.
func (a *Auditor) exceeds(limit string, value int64) {
	x := a.bounds.exceeded[limit]
	if x == nil {
		x = &excess{denial: &Denial{Reason: &sandbox.Reason{}, Basis: Measured}}
		a.bounds.exceeded[limit] = x
		a.add(x.denial)
	}
	x.denial.Count++
	x.most = max(x.most, value)
}

// Used compares what the run used with the limits. rep is the report of the run.
func (a *Auditor) Used(rep *report.Report) {
	a.Recorder.Used(rep)
	a.call = nil
	l := &a.profile.Limits
	for path := range a.bounds.written {
		a.grown(path)
	}
	for _, x := range []struct {
		name       string
		used, most int64
	}{
		{"memory", rep.PeakRSS, l.Memory.V},
		{"cpu-time", int64(rep.User + rep.System), int64(l.CPUTime.V)},
		{"timeout", int64(rep.Wall), int64(l.Wall.V)},
	} {
		if x.most > 0 && x.used > x.most {
			a.exceeds(x.name, x.used)
		}
	}
	for name, x := range a.bounds.exceeded {
		a.completeLimit(name, x)
	}
}

// completeLimit adds what would have happened at the limit, and suggests twice the used amount as the new limit.
func (a *Auditor) completeLimit(name string, x *excess) {
	var asked policy.Limits
	d, errno := x.denial, ""
	flag, value := "rlimit", name+"="+strconv.FormatInt(2*x.most, 10)
	used := strconv.FormatInt(x.most, 10)
	mib := func(n int64) string { return strconv.FormatInt((n+1<<20-1)>>20, 10) + "MiB" }
	long := func(n int64) string { return (time.Duration(n) + time.Second - 1).Truncate(time.Second).String() }
	switch name {
	case "nofile":
		asked.Rlimits, errno = []policy.Rlimit{{Name: name, Value: uint64(x.most)}}, "EMFILE"
		used += " descriptors of one process"
	case "fsize":
		asked.Rlimits, errno = []policy.Rlimit{{Name: name, Value: uint64(x.most)}}, "SIGXFSZ"
		used = "a file of " + used + " bytes"
	case "pids":
		asked.PIDs, errno = policy.Opt[int64]{V: x.most, Set: true}, "EAGAIN"
		flag, value = name, strconv.FormatInt(2*x.most, 10)
		used += " tasks"
	case "memory":
		asked.Memory, errno = policy.Opt[int64]{V: x.most, Set: true}, report.LimitOOM
		flag, value, used = name, mib(2*x.most), mib(x.most)+" of one process"
	case "cpu-time":
		asked.CPUTime, errno = policy.Opt[time.Duration]{V: time.Duration(x.most), Set: true}, report.LimitCPUTime
		flag, value, used = name, long(2*x.most), time.Duration(x.most).Round(time.Millisecond).String()+" of processor time"
	case "timeout":
		asked.Wall, errno = policy.Opt[time.Duration]{V: time.Duration(x.most), Set: true}, report.LimitTimeout
		flag, value, used = name, long(2*x.most), time.Duration(x.most).Round(time.Millisecond).String()
	}
	d.Reason = a.query.Limit(&asked)
	d.Reason.Errno, d.Reason.Try = errno, []sandbox.Change{{Flag: flag, Value: value}}
	d.Reason.Why += ": the program used " + used
}
