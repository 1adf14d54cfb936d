package compile

// This file plans the control groups of a sandbox: cgroups(7), cgroup_namespaces(7). Package internal/cgroup decides
// where the groups lie, and makes them. This file adds the steps that put the child into the groups, and reports the
// limits that the groups cannot enforce. With cgroup v2 the child starts in its group: clone3(2), CLONE_INTO_CGROUP,
// Linux 5.7. With v1 the child joins its groups before it does anything else. In both cases the groups do not count the
// memory and the time that the launcher has used.

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

// Names of the files of control groups that a plan uses.
const (
	FileCgroup = "cgroup" // the group in the v2 tree: its directory or, without clone3(2), its file cgroup.procs
	FileTasks  = "tasks-" // the prefix for the file "tasks" of a group in a v1 tree; the controller's name follows
)

// groups says which control groups the sandbox uses, and which of its limits they cannot enforce.
type groups struct {
	choice *cgroup.Choice
	lacks  map[string]bool // keys of limits that the groups do not enforce
}

// on reports whether the sandbox has groups.
func (g *groups) on() bool { return g.choice != nil }

// Groups says in which control groups the sandbox runs. The launcher makes the groups before it compiles the plan. So
// the compilation knows which limits the groups cannot enforce, and can use rlimits in their place.
type Groups struct {
	Choice  *cgroup.Choice // nil if no group is wanted, or none can be had
	Lacking []cgroup.Lack  // limits that the groups cannot enforce
	why     string         // why the sandbox has no groups; "" if it has some or wants none
	remedy  string
	err     error
}

// Fail records why the groups cannot be made. If Fail is called before the plan is compiled, the phase cgroup reports
// the limits as missing; if Fail is called later, settleGroups reports them. If the kernel has refused the value of a
// limit, the launch fails, whatever the profile allows to be missing.
func (g *Groups) Fail(p *policy.Profile, err error) {
	if limit := cgroup.WrongValue(err); limit != "" {
		g.err = wrongValue(p, limit, err.Error(), cgroup.Hint(err))
	}
	g.why, g.remedy, g.Choice = err.Error(), cgroup.Hint(err), nil
}

// wrongValue returns the error for a value of a limit that is wrong on every host like this one.
func wrongValue(p *policy.Profile, limit, why, hint string) error {
	key, _, _ := strings.Cut(limit, " ")
	return &fail.Error{Op: "limits." + limit, Err: errors.New(why), From: p.Source("limits." + key).Short(), Hint: hint}
}

// without returns the Groups of a sandbox that gets no control groups, with the reason and the remedy.
func without(why, remedy string) *Groups { return &Groups{why: why, remedy: remedy} }

// ChooseGroups decides where the groups for a profile's limits go. It makes nothing. If something is wrong or missing,
// the result says so, because only the compilation knows whether the profile permits that.
func ChooseGroups(p *policy.Profile, h *host.Host) *Groups {
	c := &Compilation{Profile: p, Host: h}
	want, err := c.wantedLimits()
	if err != nil || want == nil {
		return &Groups{err: err}
	}
	layout, err := cgroup.Read(h.Files)
	if err != nil {
		return without("cordon cannot read the cgroups: "+err.Error(), "mount -t proc proc /proc")
	}
	if layout.Kind() == "" {
		return without("no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
	}
	ch := cgroup.Choose(h.Files, layout, want, p.Limits.Cgroup, cgroup.Caller{UID: h.UID, PID: h.PID})
	if w := ch.Wrong; w != nil {
		return &Groups{err: wrongValue(p, w.Limit, w.Why, w.Remedy)}
	}
	// Before Linux 5.7 a child would have to move itself into its group. It would then have started outside the
	// group, and the memory that it had taken by then would not count in the group.
	if ch.V2() && !h.Since(5, 7) {
		return without("starting a process in a cgroup needs Linux 5.7", "upgrade the kernel")
	}
	// If no controller is available, there is no group to join. Lacking then names every limit.
	g := &Groups{Lacking: ch.Lacking}
	if !ch.Empty() {
		g.Choice = ch
	}
	return g
}

// cgroup uses the groups that the launcher has made. If the plan is only printed, the launcher has made none, and
// cgroup uses the groups that it would make.
func (c *Compilation) cgroup() error {
	g := c.Req.Groups
	if g == nil {
		g = ChooseGroups(c.Profile, c.Host)
	}
	if g.err != nil {
		return g.err
	}
	if g.why != "" {
		return c.lackAll(g.why, g.remedy)
	}
	// The report lists the missing limits in the order of limitKeys.
	lacking := slices.Clone(g.Lacking)
	slices.SortStableFunc(lacking, func(a, b cgroup.Lack) int { return limitIndex(a.Limit) - limitIndex(b.Limit) })
	for _, l := range lacking {
		if err := c.lacksLimit(l.Limit, l.Why, l.Remedy); err != nil {
			return err
		}
	}
	if g.Choice != nil {
		c.join(g.Choice)
		c.noteWrites(g.Choice.Kind)
	}
	return nil
}

// settleGroups reports the limits that turned out missing after the child was made, for example because systemd failed
// to put the child into its group. In the order of phases, settleGroups comes after publish, because publish makes the
// child, and before rlimits, because an rlimit can still take the place of such a limit. If no limit turned out
// missing, settleGroups does nothing.
func (c *Compilation) settleGroups() error {
	g := c.Req.Groups
	switch {
	case g == nil || !c.groups.on():
		return nil
	case g.err != nil:
		return g.err
	case g.why != "":
		c.groups.choice = nil
		return c.lackAll(g.why, g.remedy)
	}
	for _, l := range g.Lacking {
		if err := c.lacksLimit(l.Limit, l.Why, l.Remedy); err != nil {
			return err
		}
	}
	return nil
}

// join adds the steps that put the child into the groups, and names the files that the launcher must open for these
// steps.
func (c *Compilation) join(ch *cgroup.Choice) {
	c.groups.choice = ch
	from := own("limits")
	if ch.V2() {
		c.Plan.Files = append(c.Plan.Files, FileCgroup)
	}
	// Without clone3(2) the child joins the v2 group by a step, as it joins groups of v1. The group then does not count
	// the first pages of the child's memory.
	if ch.V2() && c.Host.NoClone3 {
		c.do(from, plan.WriteStep(plan.F(FileCgroup), "0"))
	}
	// CLONE_INTO_CGROUP works only with cgroup v2. So the first steps of the child join the v1 groups. A process that
	// writes "0" to a group's file moves itself into the group.
	for _, controller := range ch.V1() {
		c.Plan.Files = append(c.Plan.Files, FileTasks+controller)
		c.do(from, plan.WriteStep(plan.F(FileTasks+controller), "0"))
	}
	// If systemd puts the child into its group, the child waits until the launcher says that this has happened.
	if ch.Unit() {
		c.do(from, plan.RecvByte(plan.F(FileSync)))
	}
}

// cgroupNamespace makes the cgroup namespace. The root of a cgroup namespace is the group of the process that makes it.
// clone3(2) would make the namespace before the child is in its own group, so the root would be the launcher's group.
func (c *Compilation) cgroupNamespace() error {
	if !c.groups.on() {
		return nil
	}
	if c.groups.choice.V2() && !c.Host.NoClone3 {
		c.Plan.Clone |= unix.CLONE_INTO_CGROUP
	}
	// So the flag is removed from those of clone3. A later step makes the namespace, once the child is in its group.
	if c.Plan.Clone&unix.CLONE_NEWCGROUP != 0 {
		c.Plan.Clone &^= unix.CLONE_NEWCGROUP
		c.do(c.scalar("namespaces.cgroup"), plan.UnshareStep(unix.CLONE_NEWCGROUP))
	}
	return nil
}

// limitKeys lists the limits that a group enforces, and for each limit the rlimit that takes its place if there is no
// group.
var limitKeys = [...]struct {
	key     string
	set     func(*policy.Limits) bool
	instead string
}{
	{"memory", func(l *policy.Limits) bool { return l.Memory.Set }, "RLIMIT_DATA, for each process"},
	{"memory-high", func(l *policy.Limits) bool { return l.MemoryHigh.Set }, ""},
	{"swap", func(l *policy.Limits) bool { return l.Swap.Set }, ""},
	{"oom-group", func(l *policy.Limits) bool { return l.OOMGroup }, ""},
	{"cpus", func(l *policy.Limits) bool { return l.CPUs.Set }, ""},
	{"cpu-weight", func(l *policy.Limits) bool { return l.CPUWeight.Set }, ""},
	{"cpuset", func(l *policy.Limits) bool { return l.CPUSet != "" }, ""},
	{"cpu-time", func(l *policy.Limits) bool { return l.CPUTime.Set }, "RLIMIT_CPU, for each process, and a sum over /proc, which misses children that end while their parent ignores SIGCHLD; so the real time may be longer than the reported one"},
	{"pids", func(l *policy.Limits) bool { return l.PIDs.Set }, "RLIMIT_NPROC, for the task's user id in the sandbox"},
	{"io", func(l *policy.Limits) bool { return len(l.IO) > 0 }, ""},
	{"io-weight", func(l *policy.Limits) bool { return l.IOWeight.Set }, ""},
	{"hugetlb", func(l *policy.Limits) bool { return len(l.Hugetlb) > 0 }, ""},
	{"cgroup", func(l *policy.Limits) bool { return l.Cgroup != "" }, ""},
}

// limitIndex returns the index of a limit in limitKeys. The text limit is a key, which a device or a page size may
// follow.
func limitIndex(limit string) int {
	key, _, _ := strings.Cut(limit, " ")
	for i := range limitKeys {
		if limitKeys[i].key == key {
			return i
		}
	}
	return len(limitKeys)
}

// lackAll reports that every limit is missing, all for the same reason.
func (c *Compilation) lackAll(why, remedy string) error {
	for i := range limitKeys {
		if limitKeys[i].set(&c.Profile.Limits) {
			if err := c.lacksLimit(limitKeys[i].key, why, remedy); err != nil {
				return err
			}
		}
	}
	return nil
}

// lacksLimit calls lacking for a limit, but only once for each limit. The text limit begins with the limit's key.
func (c *Compilation) lacksLimit(limit, why, remedy string) error {
	// settleGroups may report a limit that cgroup has reported already.
	if c.groups.lacks[limit] {
		return nil
	}
	if c.groups.lacks == nil {
		c.groups.lacks = map[string]bool{}
	}
	key, _, _ := strings.Cut(limit, " ")
	instead := ""
	if i := limitIndex(limit); i < len(limitKeys) {
		instead = limitKeys[i].instead
	}
	// standIns asks by the limit's key, without a device or page size.
	c.groups.lacks[limit], c.groups.lacks[key] = true, true
	return c.lacking(policy.LayerCgroup, "limits."+limit+": "+why, instead, c.Where("limits."+key), OrMissing(remedy))
}

// OrMissing extends a remedy by the remedy that always works: to permit in the profile that the layer is missing.
func OrMissing(remedy string) string {
	const last = "list cgroup under missing (--missing cgroup)"
	if remedy == "" {
		return last
	}
	return remedy + "; or " + last
}

// wantedLimits returns the limits of the groups, or nil if no group is needed.
func (c *Compilation) wantedLimits() (*cgroup.Limits, error) {
	l := &c.Profile.Limits
	asked := false
	for i := range limitKeys {
		asked = asked || limitKeys[i].set(l)
	}
	if !asked {
		return nil, nil
	}
	if err := c.checkProcessors(l.CPUSet); err != nil {
		return nil, err
	}
	want := &cgroup.Limits{
		Memory: value(l.Memory), MemoryHigh: value(l.MemoryHigh), Swap: value(l.Swap), OOMGroup: l.OOMGroup, CPUs: l.CPUs.V,
		CPUWeight: l.CPUWeight.V, CPUSet: l.CPUSet, IOWeight: l.IOWeight.V, Devices: c.Host.Privileged && c.Host.HostRoot,
		CPUTime: l.CPUTime.Set,
	}
	if l.PIDs.Set {
		want.PIDs = l.PIDs.V + 1 // init counts as a process too
	}
	for _, h := range l.Hugetlb {
		want.Hugetlb = append(want.Hugetlb, cgroup.Hugetlb{PageSize: h.PageSize, Max: h.Max})
	}
	for i := range l.IO {
		m, err := c.ioMax(&l.IO[i])
		if err != nil {
			return nil, &fail.Error{Op: "limits.io " + l.IO[i].Path, Err: fail.Bare(err), From: l.IO[i].Pos.Short(), Hint: "name a disk, or a file on one"}
		}
		for j := range want.IO {
			if o := &want.IO[j]; o.Major == m.Major && o.Minor == m.Minor {
				return nil, &fail.Error{Op: "limits.io " + l.IO[i].Path, Err: errors.New("it is on the same disk as " + o.Name), From: l.IO[i].Pos.Short(),
					Hint: "the kernel limits a whole disk: give all its limits under one name, such as " + o.Name}
			}
		}
		want.IO = append(want.IO, m)
	}
	return want, nil
}

// noteWrites adds a note about the writes that a limit of writes does not reach: cgroup-v2.rst, "Writeback".
func (c *Compilation) noteWrites(layout string) {
	writes := func(m policy.IOMax) bool { return m.WriteBytes != 0 || m.Writes != 0 }
	switch {
	case c.groups.lacks["io"] || !slices.ContainsFunc(c.Profile.Limits.IO, writes):
	case layout == "v2":
		c.note("limits.io: wbps and wiops do not limit writes to pages of the page cache that a program outside has written")
	default:
		c.note("limits.io: on cgroup v1, wbps and wiops do not limit writes through the page cache")
	}
}

// value returns a pointer to the number, or nil if the profile does not set it.
func value(o policy.Opt[int64]) *int64 {
	if !o.Set {
		return nil
	}
	return &o.V
}

// ioMax returns the limit of a device: the device at the path of m if there is a block device, otherwise the device
// that the file at that path lies on. A file that lies on no device, such as a file on tmpfs or overlayfs, has major
// number 0 (Documentation/admin-guide/devices.txt).
func (c *Compilation) ioMax(m *policy.IOMax) (cgroup.IOMax, error) {
	path, err := c.expand(m.Path)
	if err != nil {
		return cgroup.IOMax{}, err
	}
	info, err := c.Host.Files.Stat(path)
	if err != nil {
		return cgroup.IOMax{}, err
	}
	st, ok := host.StatOf(info)
	if !ok {
		return cgroup.IOMax{}, errors.New("its device is not known")
	}
	dev := uint64(st.Dev) //nolint:unconvert // 32 bits on some architectures
	switch mode := info.Mode(); {
	case mode&fs.ModeCharDevice != 0:
		return cgroup.IOMax{}, errors.New("a character device, not a disk")
	case mode&fs.ModeDevice != 0:
		dev = deviceOf(info)
	}
	if unix.Major(dev) == 0 {
		return cgroup.IOMax{}, errors.New("it is on no disk")
	}
	dev = c.wholeDisk(dev)
	return cgroup.IOMax{Name: m.Path, Major: unix.Major(dev), Minor: unix.Minor(dev),
		Values: [4]int64{m.ReadBytes, m.WriteBytes, m.Reads, m.Writes}}, nil
}

// Devices lists the devices in the sandbox's /dev: its nodes, its terminals, and the devices that the profile binds,
// either each by its path or together with their directory. guarded is false if /dev is the host's.
func (c *Compilation) Devices() (list []cgroup.Device, guarded bool) {
	// The device filter of the cgroup must allow every device that the sandbox shows. Otherwise it would refuse an open
	// that the profile allows. If the sandbox shows the host's /dev, new devices may appear at any time, so there is no
	// filter.
	if p := c.Tree.At("/dev"); p != nil && p.Source != "" && p.What != ownDev {
		return nil, false
	}
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		// This is the sandbox's own /dev. The model of the tree (c.Tree) lists each of its nodes as a mount, so only
		// the terminals of its devpts are added here.
		if p.What == ownDev {
			// These are the device of /dev/ptmx, and the devices of the terminals in /dev/pts.
			list = add(add(list, cgroup.Device{Major: 5, Minor: 2}), cgroup.Device{Major: 136, AnyMinor: true})
			continue
		}
		if p.Source == "" {
			continue
		}
		switch info, err := c.Tree.Lstat(p.Source); {
		case err != nil:
		case p.File:
			list = addNode(list, info)
		case paths.Below(p.Source, "/dev"):
			list = c.addNodes(list, p.Source)
		}
	}
	return list, true
}

// addNodes adds the devices in a directory of the host.
func (c *Compilation) addNodes(list []cgroup.Device, dir string) []cgroup.Device {
	entries, err := c.launcherFiles().ReadDir(dir)
	if err != nil {
		return list // if the launcher cannot read the directory, the task cannot read it either
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			list = addNode(list, info)
		}
	}
	return list
}

// addNode adds a device to the list if info describes a device.
func addNode(list []cgroup.Device, info fs.FileInfo) []cgroup.Device {
	if info.Mode()&fs.ModeDevice == 0 {
		return list
	}
	dev := deviceOf(info)
	return add(list, cgroup.Device{Block: info.Mode()&fs.ModeCharDevice == 0, Major: unix.Major(dev), Minor: unix.Minor(dev)})
}

// add appends a device to the list, unless the list has an entry for the device already.
func add(list []cgroup.Device, d cgroup.Device) []cgroup.Device {
	// Device 136:* covers every terminal of devpts, so none is listed after it.
	for _, x := range list {
		if x == d || x.AnyMinor && x.Block == d.Block && x.Major == d.Major {
			return list
		}
	}
	return append(list, d)
}

// checkProcessors refuses a list with a processor that the machine does not have. It is an error even if the profile
// permits cgroups to be missing, because every cgroup would refuse the list.
func (c *Compilation) checkProcessors(set string) error {
	if set == "" {
		return nil
	}
	// Without /sys the list is not checked here. The kernel refuses a wrong one later.
	b, err := c.Host.Files.Read("/sys/devices/system/cpu/online", 4096)
	online := strings.TrimSpace(string(b))
	if err != nil || online == "" {
		return nil
	}
	for part := range strings.SplitSeq(set, ",") {
		first, last, _ := strings.Cut(part, "-")
		for _, n := range []string{first, cmp.Or(last, first)} {
			if !inProcessors(n, online) {
				return &fail.Error{Op: "limits.cpuset", Err: errors.New("this machine has no processor " + n + ": it has " + online), From: c.Where("limits.cpuset")}
			}
		}
	}
	return nil
}
