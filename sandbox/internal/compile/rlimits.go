package compile

// This file plans resource limits: getrlimit(2). A hard limit that is already lower stays: it is stricter than what
// the profile asks for, and the report says so.

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// rlimitNumbers are the numbers of the limits by their names in a profile.
var rlimitNumbers = [...]struct {
	name string
	n    uint64
}{
	{"as", unix.RLIMIT_AS}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU}, {"data", unix.RLIMIT_DATA}, {"fsize", unix.RLIMIT_FSIZE},
	{"locks", unix.RLIMIT_LOCKS}, {"memlock", unix.RLIMIT_MEMLOCK}, {"msgqueue", unix.RLIMIT_MSGQUEUE}, {"nice", unix.RLIMIT_NICE},
	{"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}, {"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO},
	{"rttime", unix.RLIMIT_RTTIME}, {"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK},
}

// defaultNofile is the soft limit of descriptors that the task gets unless the profile says otherwise: the kernel's
// own initial one (INR_OPEN_CUR). The task would otherwise inherit the launcher's limit, which the Go runtime has
// raised. It is also FD_SETSIZE: select(2) cannot wait for a descriptor with a higher number.
const defaultNofile = 1024

// rlimits sets the limits that stand in for groups, those of the profile, and the limit of descriptors.
func (c *Compilation) rlimits() error {
	// Of a stand-in and a limit of the profile for the same resource the lower one holds, because a hard limit cannot
	// be raised without CAP_SYS_RESOURCE.
	c.standIns()
	nofile := false
	for i := range c.Profile.Limits.Rlimits {
		r := &c.Profile.Limits.Rlimits[i]
		n, ok := RlimitNumber(r.Name)
		if !ok {
			return &fail.Error{Op: "limits.rlimits", Err: errors.New("unknown resource " + r.Name), From: r.Pos.Short()}
		}
		nofile = nofile || r.Name == "nofile"
		value := r.Value
		// The profile says 0. noCore is what prevents a dump in any case.
		if r.Name == "core" && value == 0 {
			value = noCore
			c.checkCore()
		}
		c.setRlimit(at("limits.rlimits."+r.Name, -1, r.Pos), n, value)
	}
	if !nofile {
		// The hard limit stays what the launcher was started with, so that a program can raise its soft limit.
		c.do(own("rlimits"), plan.SetRlimit(unix.RLIMIT_NOFILE, min(defaultNofile, c.Host.NofileMax), c.Host.NofileMax))
	}
	return nil
}

// noCore is the limit that prevents every core dump. A limit of 0 prevents only files: if core_pattern names a
// program, the kernel starts it on the host, as root, unless the limit is 1 (core(5); fs/coredump.c). No file is as
// small as 1 byte either.
const noCore = 1

// checkCore reports core as missing if the caller's own hard limit is 0, because raising it to 1 needs
// CAP_SYS_RESOURCE.
func (c *Compilation) checkCore() {
	if !c.Host.CoreZero {
		return
	}
	// A pattern that begins with | names a program: core(5).
	if text, err := c.Host.Files.Read("/proc/sys/kernel/core_pattern", 1); err == nil && string(text) == "|" {
		c.Missing = append(c.Missing, report.Missing{Layer: policy.LayerRlimits, Why: "core: 0: the program in core_pattern ignores a limit of 0 but not of 1, and your hard limit of 0 cannot be raised to 1"})
	}
}

// setRlimit sets the soft and the hard limit to one value.
func (c *Compilation) setRlimit(from plan.From, resource, value uint64) {
	// EPERM means that the hard limit is lower already: to raise it needs CAP_SYS_RESOURCE outside. The lower limit
	// stays.
	c.do(from, plan.SetRlimit(resource, value, value).OrElse(plan.EPERM))
}

// RlimitNumber returns the number of a limit by its name in a profile: setrlimit(2).
func RlimitNumber(name string) (uint64, bool) {
	for _, r := range rlimitNumbers {
		if r.name == name {
			return r.n, true
		}
	}
	return 0, false
}

// CheckSupport refuses what no layer can do yet.
func (c *Compilation) CheckSupport() error {
	p := c.Profile
	for _, x := range [...]struct {
		path, why, remedy string
		layer             policy.Layer
		set               bool
	}{
		{"network", "an allow-list is not supported yet", "use network: none or host", policy.LayerNet, p.Network.Mode == policy.NetworkAllow},
	} {
		if x.set {
			return &fail.UnsupportedError{Layer: x.layer, Why: x.path + ": " + x.why, From: c.Where(x.path), Remedy: x.remedy}
		}
	}
	return nil
}

// lacking records a missing layer if the profile permits that. Otherwise it returns an error.
func (c *Compilation) lacking(layer policy.Layer, why, instead, where, remedy string) error {
	missing, err := c.Without(layer, why, instead, where, remedy)
	c.Missing = append(c.Missing, missing...)
	return err
}

// Without returns what the report says about a missing layer, if the profile permits that. Otherwise it returns an
// error.
func (c *Compilation) Without(layer policy.Layer, why, instead, where, remedy string) ([]report.Missing, error) {
	for _, m := range c.Profile.Missing {
		if m.Layer == layer {
			return []report.Missing{{Layer: layer, Why: why, Instead: instead}}, nil
		}
	}
	return nil, &fail.UnsupportedError{Layer: layer, Why: why, From: where, Remedy: remedy}
}

// standIns sets the rlimits that replace cgroup limits. Each is weaker than the limit of a group: RLIMIT_DATA and
// RLIMIT_CPU hold for each process on its own. RLIMIT_NPROC counts all processes of the task's real user id, and does
// not hold for a process with CAP_SYS_ADMIN or CAP_SYS_RESOURCE (getrlimit(2)).
func (c *Compilation) standIns() {
	l := &c.Profile.Limits
	if l.Memory.Set && c.groups.lacks["memory"] {
		// Since Linux 4.7 this limit also counts private writable mappings, so a program cannot pass it by with
		// mmap(2).
		c.setRlimit(c.scalar("limits.memory"), unix.RLIMIT_DATA, uint64(l.Memory.V))
	}
	if l.PIDs.Set && c.groups.lacks["pids"] {
		c.setRlimit(c.scalar("limits.pids"), unix.RLIMIT_NPROC, uint64(l.PIDs.V))
	}
	if l.CPUTime.Set && c.groups.lacks["cpu-time"] {
		// RLIMIT_CPU counts whole seconds, so the limit is rounded up.
		seconds := uint64((l.CPUTime.V + time.Second - 1) / time.Second)
		// The kernel sends SIGXCPU at the soft limit, by which the launcher recognizes this limit, and SIGKILL a
		// second later.
		c.do(c.scalar("limits.cpu-time"), plan.SetRlimit(unix.RLIMIT_CPU, seconds, seconds+1).OrElse(plan.EPERM))
	}
}

// Limits of a user that the task shares with its caller: namespaces(7) (/proc/sys/user, Linux 4.9), inotify(7).
//
// The kernel also counts what a task has for the user who made its user namespace, whatever id the task has: root's
// sandboxes all count for root. A user has 128 inotify instances. A task that takes them all leaves none to the
// caller's desktop or to root's services. So the sandbox's own user namespace gets a lower limit.

// shareOfUser is the divisor of the caller's limit: a sandbox gets a quarter of it.
const shareOfUser = 4

// sharedLimits are the files of /proc/sys/user whose limits are lowered. What they count needs no capability, and the
// filters of the shipped profiles allow it.
var sharedLimits = [...]string{"max_inotify_instances", "max_inotify_watches"}

// userLimits lowers the limits while the child has all capabilities in its user namespace. In a container /proc/sys
// may be read-only; then only the caller's own limit holds. A task cannot escape the lower limit by a user namespace
// of its own, because the kernel counts for every user namespace above as well (namespaces(7)).
func (c *Compilation) userLimits() error {
	if c.made&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	for _, name := range sharedLimits {
		text, err := c.launcherFiles().Read("/proc/sys/user/"+name, 24)
		if err != nil {
			continue // a kernel without it has no such limit
		}
		limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
		// A quarter of so low a limit would be 0, and the task could not use inotify at all.
		if err != nil || limit < shareOfUser {
			continue
		}
		// If the open fails, the register holds no descriptor, and the next two steps fail with EBADF.
		dir, path := c.ownProc("sys/user/" + name)
		c.do(own("user limits"),
			plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File).OrElse(plan.EROFS),
			plan.WriteStep(plan.R(plan.File), strconv.Itoa(limit/shareOfUser)).OrElse(plan.EBADF),
			plan.CloseStep(plan.R(plan.File)).OrElse(plan.EBADF))
	}
	return nil
}

// The limits that end a run: their place in the profile.

// Endings lists, for each limit that can end a run, the profile's key and the flag that set it.
var Endings = [...]struct{ Limit, key, flag string }{
	{report.LimitOOM, "limits.memory", "--memory"},
	{report.LimitTimeout, "limits.wall", "--timeout"},
	{report.LimitCPUTime, "limits.cpu-time", "--cpu-time"},
	{report.LimitOutput, "limits.output", "--output"},
	{report.LimitPIDs, "limits.pids", "--pids"},
	{report.LimitFileSize, "limits.rlimits.fsize", "--rlimit fsize=SIZE"},
}

// CPURlimit returns the lower of the profile's two limits of processor time: the rlimit cpu and cpu-time.
func (c *Compilation) CPURlimit() (limit time.Duration, ok bool) {
	// A time.Duration holds less than an rlimit can. A longer time counts as no limit.
	if r := c.Rlimit("cpu"); r != nil && r.Value < uint64(time.Duration(1<<62)/time.Second) {
		limit, ok = time.Duration(r.Value)*time.Second, true
	}
	if t := c.Profile.Limits.CPUTime; t.Set && (!ok || t.V < limit) {
		limit, ok = t.V, true
	}
	return limit, ok
}

// Rlimit returns the profile's limit for a resource, or nil if it has none.
func (c *Compilation) Rlimit(name string) *policy.Rlimit {
	for i := range c.Profile.Limits.Rlimits {
		if r := &c.Profile.Limits.Rlimits[i]; r.Name == name && r.Value != policy.Unlimited {
			return r
		}
	}
	return nil
}

// LimitRule returns the part of the profile that sets a limit, and the flag for it. It returns "" if the profile does
// not set the limit: then it comes from the launcher, or from groups around its own.
func (c *Compilation) LimitRule(limit string) (rule, flag string) {
	l := &c.Profile.Limits
	for _, k := range Endings {
		if k.Limit != limit {
			continue
		}
		if value := limitValue(l, limit); value != "" {
			return fail.Said(k.key+" "+value, c.Where(k.key)), k.flag
		}
		flag = k.flag
	}
	switch limit {
	case report.LimitFileSize:
		if r := c.Rlimit("fsize"); r != nil {
			rule = fail.Said("limits.rlimits.fsize "+policy.FormatSize(int64(r.Value)), r.Pos.Short())
		}
	case report.LimitCPUTime:
		if r := c.Rlimit("cpu"); r != nil {
			rule, flag = fail.Said("limits.rlimits.cpu "+strconv.Itoa(int(r.Value))+"s", r.Pos.Short()), "--rlimit cpu=SECONDS"
		}
	}
	return rule, flag
}

// limitValue returns a limit as the profile may write it, or "" if the profile does not set it.
func limitValue(l *policy.Limits, limit string) string {
	switch {
	case limit == report.LimitOOM && l.Memory.Set:
		return policy.FormatSize(l.Memory.V)
	case limit == report.LimitTimeout && l.Wall.Set:
		return policy.FormatDuration(l.Wall.V)
	case limit == report.LimitCPUTime && l.CPUTime.Set:
		return policy.FormatDuration(l.CPUTime.V)
	case limit == report.LimitOutput && l.Output.Set:
		return policy.FormatSize(l.Output.V)
	case limit == report.LimitPIDs && l.PIDs.Set:
		return strconv.Itoa(int(l.PIDs.V))
	}
	return ""
}

// DefaultGrace is the time between SIGTERM and SIGKILL unless Cmd.KillAfter says otherwise.
const DefaultGrace = 2 * time.Second

// CrowdStep is the time between two counts of the sandbox's processes, if RLIMIT_NPROC stands in for the group's limit.
const CrowdStep = 500 * time.Millisecond

// CPUStep is the least time between two looks at the processor time that was used. So a run uses more time than it is
// allowed by at most CPUStep times the number of processors.
const CPUStep = 10 * time.Millisecond

// LookStep is the time between two looks at a v1 group of pids. Since Linux 6.10 such a group notifies nobody.
const LookStep = 250 * time.Millisecond

// OomTries bounds how often the launcher looks whether the kernel has killed a process, after the kernel has reported
// that memory ran out.
const OomTries = 50

// Positive reports whether a counter is known and above 0.
func Positive(n *uint64) bool { return n != nil && *n > 0 }

// adjust sets the nice value and the OOM score. The score is written through one of the child's own files in the
// host's /proc.
func (c *Compilation) adjust() error {
	p := &c.Profile.Process
	if p.Nice.Set {
		c.do(c.scalar("process.nice"), plan.Nice(p.Nice.V))
	}
	if p.OOMScoreAdj.Set {
		c.writeFile(c.scalar("process.oom-score-adj"), "self/oom_score_adj", strconv.Itoa(p.OOMScoreAdj.V))
	}
	return nil
}

// writeFile writes a short text to one of the child's own files in the host's /proc.
func (c *Compilation) writeFile(from plan.From, name, text string) {
	dir, path := c.ownProc(name)
	c.do(from,
		plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File),
		plan.WriteStep(plan.R(plan.File), text),
		plan.CloseStep(plan.R(plan.File)))
}
