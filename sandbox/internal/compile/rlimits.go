package compile

// This file plans resource limits: getrlimit(2). If the launcher's hard limit is already lower than the profile's, the
// lower limit stays, and the report says so.

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// rlimitNumbers maps the names of resource limits in a profile to their numbers.
var rlimitNumbers = [...]struct {
	name string
	n    uint64
}{
	{"as", unix.RLIMIT_AS}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU}, {"data", unix.RLIMIT_DATA}, {"fsize", unix.RLIMIT_FSIZE},
	{"locks", unix.RLIMIT_LOCKS}, {"memlock", unix.RLIMIT_MEMLOCK}, {"msgqueue", unix.RLIMIT_MSGQUEUE}, {"nice", unix.RLIMIT_NICE},
	{"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}, {"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO},
	{"rttime", unix.RLIMIT_RTTIME}, {"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK},
}

// defaultNofile is the soft limit of open descriptors that the task gets unless the profile sets one. It is the
// kernel's own initial limit (INR_OPEN_CUR). Otherwise the task would inherit the launcher's limit, which the Go
// runtime has raised. defaultNofile equals FD_SETSIZE: select(2) cannot wait for a descriptor with a higher number.
const defaultNofile = 1024

// rlimits sets three groups of limits: those that replace missing cgroup limits, those of the profile, and the limit of
// descriptors.
func (c *Compilation) rlimits() error {
	// If an rlimit that replaces a cgroup limit and an rlimit of the profile are about the same resource, the lower one
	// holds, because a hard limit cannot be raised without CAP_SYS_RESOURCE.
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
		// If the profile says 0, the limit is noCore, because 0 does not prevent every dump.
		if r.Name == "core" && value == 0 {
			value = noCore
			c.checkCore()
		}
		c.setRlimit(at("limits.rlimits."+r.Name, -1, r.Pos), n, value)
	}
	if !nofile {
		// The hard limit stays as the launcher inherited it, so that a program can raise its soft limit.
		c.do(own("rlimits"), plan.SetRlimit(unix.RLIMIT_NOFILE, min(defaultNofile, c.Host.NofileMax), c.Host.NofileMax))
	}
	return nil
}

// noCore is the limit that prevents every core dump. A limit of 0 prevents only dumps into files: if core_pattern names
// a program, the kernel starts that program on the host, as root, unless the limit is 1 (core(5); fs/coredump.c). A
// limit of 1 byte also prevents files, because no dump is that small.
const noCore = 1

// checkCore reports the limit core as missing if the caller's hard limit is 0, because raising a limit of 0 to 1 needs
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

// setRlimit sets both the soft and the hard limit to a value. The unit is that of getrlimit(2): bytes, seconds, or a
// number.
func (c *Compilation) setRlimit(from plan.From, resource, value uint64) {
	// EPERM means that the hard limit is already lower: raising it needs CAP_SYS_RESOURCE on the host. The lower limit
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

// lacking records a missing layer if the profile permits that it is missing. Otherwise it returns an error. why says
// what this host lacks. instead says what restricts the program all the same, and is "" if nothing does. where is the
// line of the profile that asks for the layer. remedy says what the user can do.
func (c *Compilation) lacking(layer policy.Layer, why, instead, where, remedy string) error {
	missing, err := c.Without(layer, why, instead, where, remedy)
	c.Missing = append(c.Missing, missing...)
	return err
}

// Without returns what the report says about a missing layer if the profile permits that it is missing. Otherwise it
// returns an error.
func (c *Compilation) Without(layer policy.Layer, why, instead, where, remedy string) ([]report.Missing, error) {
	for _, m := range c.Profile.Missing {
		if m.Layer == layer {
			return []report.Missing{{Layer: layer, Why: why, Instead: instead}}, nil
		}
	}
	return nil, &fail.UnsupportedError{Layer: layer, Why: why, From: where, Remedy: remedy}
}

// standIns sets the rlimits that replace cgroup limits. Each rlimit is weaker than the cgroup limit that it replaces:
// RLIMIT_DATA and RLIMIT_CPU apply to each process separately. RLIMIT_NPROC counts all processes of the task's real
// user id, and does not apply to a process with CAP_SYS_ADMIN or CAP_SYS_RESOURCE (getrlimit(2)).
func (c *Compilation) standIns() {
	l := &c.Profile.Limits
	if l.Memory.Set && c.groups.lacks["memory"] {
		// Since Linux 4.7 this limit also counts private writable mappings, so a program cannot evade it with mmap(2).
		c.setRlimit(c.scalar("limits.memory"), unix.RLIMIT_DATA, uint64(l.Memory.V))
	}
	if l.PIDs.Set && c.groups.lacks["pids"] {
		c.setRlimit(c.scalar("limits.pids"), unix.RLIMIT_NPROC, uint64(l.PIDs.V))
	}
	if l.CPUTime.Set && c.groups.lacks["cpu-time"] {
		// RLIMIT_CPU is in whole seconds, so the value is rounded up.
		seconds := uint64((l.CPUTime.V + time.Second - 1) / time.Second)
		// At the soft limit the kernel sends SIGXCPU. By this signal the launcher recognizes that this limit ended the
		// run. A second later the kernel sends SIGKILL.
		c.do(c.scalar("limits.cpu-time"), plan.SetRlimit(unix.RLIMIT_CPU, seconds, seconds+1).OrElse(plan.EPERM))
	}
}

// The next part is about limits per user, which the task shares with its caller: namespaces(7) (/proc/sys/user, Linux
// 4.9), inotify(7).
//
// The kernel counts what a task uses for the user who made its user namespace, whatever id the task has. So all of
// root's sandboxes together use root's limits. A user has 128 inotify instances by default. A task that uses all of
// them leaves none to the caller's desktop or to root's services. So the sandbox's own user namespace gets a lower
// limit.

// shareOfUser is the divisor of the caller's limit: a sandbox gets a quarter of that limit.
const shareOfUser = 4

// sharedLimits lists the files of /proc/sys/user whose limits are lowered. A task needs no capability to use up these
// resources, and the filters of the shipped profiles allow the calls.
var sharedLimits = [...]string{"max_inotify_instances", "max_inotify_watches"}

// userLimits lowers these limits while the child has all capabilities in its user namespace. In a container /proc/sys
// may be read-only; then only the caller's own limit holds. A task cannot evade the lower limit by a user namespace of
// its own, because the kernel also counts each use in every user namespace above (namespaces(7)).
func (c *Compilation) userLimits() error {
	if c.made&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	for _, name := range sharedLimits {
		text, err := c.launcherFiles().Read("/proc/sys/user/"+name, 24)
		if err != nil {
			continue // this kernel has no such limit
		}
		limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
		// A quarter of a limit below shareOfUser would be 0, and the task could not use inotify at all.
		if err != nil || limit < shareOfUser {
			continue
		}
		// If the open fails, there is no descriptor. Then the next two steps fail with EBADF, which the plan tolerates.
		dir, path := c.ownProc("sys/user/" + name)
		c.do(own("user limits"),
			plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File).OrElse(plan.EROFS),
			plan.WriteStep(plan.R(plan.File), strconv.Itoa(limit/shareOfUser)).OrElse(plan.EBADF),
			plan.CloseStep(plan.R(plan.File)).OrElse(plan.EBADF))
	}
	return nil
}

// Endings lists, for each limit that can end a run, the profile's key and the flag that set it.
var Endings = [...]struct{ Limit, key, flag string }{
	{report.LimitOOM, "limits.memory", "--memory"},
	{report.LimitTimeout, "limits.wall", "--timeout"},
	{report.LimitCPUTime, "limits.cpu-time", "--cpu-time"},
	{report.LimitOutput, "limits.output", "--output"},
	{report.LimitPIDs, "limits.pids", "--pids"},
	{report.LimitFileSize, "limits.rlimits.fsize", "--rlimit fsize=SIZE"},
}

// CPURlimit returns the lower of the profile's two limits of processor time for a process: the rlimit cpu, and
// limits.cpu-time. ok is false if the profile sets neither.
func (c *Compilation) CPURlimit() (limit time.Duration, ok bool) {
	// A time.Duration cannot hold every rlimit. An rlimit that is too long for it is treated as no limit.
	if r := c.Rlimit("cpu"); r != nil && r.Value < uint64(time.Duration(1<<62)/time.Second) {
		limit, ok = time.Duration(r.Value)*time.Second, true
	}
	if t := c.Profile.Limits.CPUTime; t.Set && (!ok || t.V < limit) {
		limit, ok = t.V, true
	}
	return limit, ok
}

// Rlimit returns the profile's rlimit for a resource, or nil if the profile sets none.
func (c *Compilation) Rlimit(name string) *policy.Rlimit {
	for i := range c.Profile.Limits.Rlimits {
		if r := &c.Profile.Limits.Rlimits[i]; r.Name == name && r.Value != policy.Unlimited {
			return r
		}
	}
	return nil
}

// LimitRule returns the line of the profile that sets a limit, and the flag for the limit. It returns "" if the profile
// does not set the limit. In that case the limit comes from the launcher, or from the cgroups around the launcher.
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

// limitValue returns a limit in the form that a profile has, or "" if the profile does not set it. limit is a name of
// package report, such as report.LimitOOM.
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

// DefaultGrace is the time between SIGTERM and SIGKILL, unless Cmd.KillAfter sets another.
const DefaultGrace = 2 * time.Second

// CrowdStep is the interval at which the launcher counts the sandbox's processes, if RLIMIT_NPROC replaces the cgroup's
// limit.
const CrowdStep = 500 * time.Millisecond

// CPUStep is the shortest interval at which the launcher reads the used processor time. So a run exceeds its limit by
// at most CPUStep times the number of processors.
const CPUStep = 10 * time.Millisecond

// LookStep is the interval at which the launcher reads the pids events of a v1 group. The launcher must read them
// repeatedly, because since Linux 6.10 such a group notifies nobody.
const LookStep = 250 * time.Millisecond

// OomTries bounds how often the launcher checks whether the kernel has killed a process. It makes these checks after
// the kernel has reported that memory ran out.
const OomTries = 50

// Positive reports whether a counter is known and above 0.
func Positive(n *uint64) bool { return n != nil && *n > 0 }

// adjust sets the nice value and the OOM score. The child writes the score to one of its own files in the host's /proc.
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

// writeFile writes a short text to one of the child's own files in the host's /proc. The launch fails if the kernel
// refuses the text.
func (c *Compilation) writeFile(from plan.From, name, text string) {
	dir, path := c.ownProc(name)
	c.do(from,
		plan.OpenStep(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0).Into(plan.File),
		plan.WriteStep(plan.R(plan.File), text),
		plan.CloseStep(plan.R(plan.File)))
}

// lackLandlock reports what this kernel's Landlock lacks, if the profile allows that. Otherwise it returns an error. If
// the kernel does not know scopes, lackLandlock removes them from the ruleset. With nest only the scopes can be
// missing, because the ruleset has no rights over files.
func (c *Compilation) lackLandlock() error {
	if c.Host.LandlockABI < scopeABI {
		defer func() { c.Land.Scoped = 0 }()
	}
	m, since := report.Missing{Layer: policy.LayerLandlock}, "5.13 with landlock in the lsm= boot parameter"
	var what, by, open, remedies []string
	lost := c.lostScopes()
	switch {
	case !c.Land.On:
		by, open = []string{"the mounts, which are read-only as the profile says"}, c.lostLists()
	case !c.Profile.Nest: // otherwise the ruleset has no rights over files, which landlockForNest says
		lost = c.lostRights()
	case c.Host.LandlockABI >= scopeABI:
		lost = nil
	}
	for _, r := range lost {
		what = append(what, r.what)
		if c.Land.On {
			since = r.since
		}
		if r.by != "" && !slices.Contains(by, r.by) {
			by = append(by, r.by)
		}
		if r.open != "" {
			open, remedies = append(open, r.open), append(remedies, r.shut)
		}
	}
	switch {
	case !c.Land.On:
		m.Why = "this kernel has no Landlock, or it is not enabled"
	case lost == nil:
		return nil
	default:
		m.Why = "ABI " + strconv.Itoa(c.Host.LandlockABI) + " cannot restrict " + series(what)
	}
	for _, x := range open {
		m.Why += "; nothing restricts " + x
	}
	m.Instead = series(by)
	// If other means restrict the same, the loss is a fact about the host, and not about this run.
	m.Usual = c.Land.On && open == nil
	if c.mayLack(policy.LayerLandlock) || m.Usual && c.mayLack(policy.MissingLandlockRights) {
		c.Missing = append(c.Missing, m)
		return nil
	}
	remedy := "Linux " + since + phrase.Prefixed(", or ", strings.Join(remedies, ", and "))
	if m.Usual {
		remedy += "; or list landlock-rights under missing (--missing landlock-rights): " + m.Instead + " restrict the same"
	} else {
		remedy += "; or list landlock under missing (--missing landlock)"
	}
	return &fail.UnsupportedError{Layer: policy.LayerLandlock, Why: m.Why, From: c.Where("landlock"), Remedy: remedy}
}

// lostLists names the lists of the profile that allow less than the mounts do. Without Landlock nothing else enforces
// these lists.
func (c *Compilation) lostLists() (open []string) {
	l := &c.Profile.Landlock
	for _, x := range [...]struct {
		name string
		set  bool
	}{{"landlock.read", l.Read.Set}, {"landlock.write", l.Write.Set}, {"landlock.execute", l.Execute.Set}} {
		if x.set {
			open = append(open, "what "+x.name+" forbids and the mounts allow")
		}
	}
	return open
}

// mayLack reports whether the profile lists a layer under missing.
func (c *Compilation) mayLack(layer policy.Layer) bool {
	return slices.ContainsFunc(c.Profile.Missing, func(m policy.MissingLayer) bool { return m.Layer == layer })
}

// series joins words to a series: "a, b and c".
func series(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// leaveRoot gives up root's ids in a sandbox without a user namespace. The mounts needed these ids.
func (c *Compilation) leaveRoot() bool {
	id := &c.IDs
	if c.Into != nil || id.NewUser || id.InUID == c.Host.UID && id.InGID == c.Host.GID {
		return false
	}
	c.do(c.scalar("user.uid"), plan.PrctlStep(unix.PR_SET_KEEPCAPS, 1), plan.NoGroups(), plan.SetGID(uint64(id.InGID)), plan.SetUID(uint64(id.InUID)),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)))
	return true
}
