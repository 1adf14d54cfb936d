package cgroup

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"golang.org/x/sys/unix"
)

// Group describes the cgroups of a sandbox and holds their open descriptors while the launcher uses them.
type Group struct {
	Place
	Lacking []Lack // limits for which this kernel turned out to have no file
	choice  *Choice
	held    []target // the groups that were made, with the settings that were written
	fds     []int    // descriptors of the directories of Dirs, in the same order
}

// Error is the error for an operation on a group. Most often the group could not be made, or a limit could not be set.
type Error struct {
	Op   string // the operation, and the file
	Err  error
	Hint string
	// Limit is the key of a limit whose value the kernel has refused and would refuse in any group. Otherwise it is "".
	Limit string
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice that an error contains, or "" if it contains none.
func Hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// WrongValue returns the key of the limit whose value the kernel has refused, or "" if err is another error.
func WrongValue(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Limit
	}
	return ""
}

// Make makes the groups under a name that Name or NewName has returned, and writes their limits. If a group cannot be
// made, Make leaves it out, and adds its limits to Lacking. If a value is wrong, or no group could be made, Make
// removes what it has made and returns an error. If systemd is to make the group, Make only prepares that: Adopt makes
// the group.
func (c *Choice) Make(name string) (*Group, error) {
	g := &Group{choice: c, Place: Place{Name: name, Unit: c.unit}}
	if c.unit != nil {
		g.Unit.Name = name + ".scope"
		return g, nil
	}
	made, failed := c.dirs[:0:0], error(nil)
	for i := range c.dirs {
		n := len(g.Dirs)
		err := g.add(c.dirs[i], name)
		if err == nil {
			made = append(made, c.dirs[i])
			continue
		}
		if WrongValue(err) != "" {
			made, failed = nil, err
			break
		}
		failed = errors.Join(failed, err)
		g.leaveOut(n, &c.dirs[i], err)
	}
	if c.dirs = made; len(made) == 0 {
		_ = g.Remove() // Make returns the first error, which is the cause
		g.Close()
		if WrongValue(failed) != "" {
			return nil, failed
		}
		return g, failed // with the cause for each limit
	}
	return g, nil
}

// leaveOut removes what add had made before it failed. The limits of the target are lacking then. n is the number of
// groups without that of the target.
func (g *Group) leaveOut(n int, t *target, err error) {
	rest := &Place{Dirs: g.Dirs[n:], Leaf: g.Leaf}
	if t.version == 2 {
		g.Leaf = ""
	} else {
		rest.Leaf = ""
	}
	_ = rest.Remove() // err is the cause
	for _, fd := range g.fds[min(n, len(g.fds)):] {
		unix.Close(fd)
	}
	g.Dirs, g.fds = g.Dirs[:n], g.fds[:min(n, len(g.fds))]
	for _, s := range t.settings {
		if !slices.ContainsFunc(g.Lacking, func(l Lack) bool { return l.Limit == s.limit }) {
			g.Lacking = append(g.Lacking, Lack{s.limit, err.Error(), Hint(err)})
		}
	}
}

func (g *Group) add(t target, name string) error {
	d := Dir{Version: t.version, Controllers: t.controllers, Path: t.parent + "/" + name}
	if err := unix.Mkdir(d.Path, 0o755); err != nil {
		return &Error{Op: "mkdir " + d.Path, Err: err, Hint: mkdirHint(err)}
	}
	g.Dirs = append(g.Dirs, d)
	if err := g.hold(d.Path); err != nil {
		return err
	}
	if err := g.enable(&g.Dirs[len(g.Dirs)-1], &t, name); err != nil {
		return err
	}
	if t.version == 1 && slices.Contains(t.controllers, "cpuset") { // a new group of cpuset has no processors yet
		if err := (&fs.CpusetGroup{}).Apply(d.Path, &cgroups.Resources{}, -1); err != nil {
			return &Error{Op: "cpuset of " + d.Path, Err: bare(err)}
		}
	}
	if err := g.write(&t, len(g.Dirs)-1); err != nil {
		return err
	}
	g.held = append(g.held, t)
	return nil
}

// hold opens the directory of the last element of Dirs, and adds its descriptor to g.fds.
func (g *Group) hold(path string) error {
	fd, err := openDir(path)
	if err != nil {
		return &Error{Op: "open " + path, Err: err}
	}
	g.fds = append(g.fds, fd)
	return nil
}

// fd returns the descriptor of d, which must be one of g.Dirs.
func (g *Group) fd(d *Dir) int {
	return g.fds[slices.IndexFunc(g.Dirs, func(x Dir) bool { return x.Path == d.Path })]
}

// Close closes the descriptors. The groups stay.
func (g *Group) Close() {
	for _, fd := range g.fds {
		unix.Close(fd)
	}
	g.fds = nil
}

// mkdirHint returns advice for an error of mkdir(2), for example if the tree has reached its own limit: cgroup-v2.rst,
// cgroup.max.descendants.
func mkdirHint(err error) string {
	switch err {
	case unix.EEXIST:
		return "another sandbox has that name"
	case unix.EAGAIN:
		return "cgroup.max.descendants or cgroup.max.depth of a group above is reached"
	case unix.ENOSPC:
		return "no more groups of this controller can be made"
	}
	return ""
}

// enable enables controllers in the parent. If the launcher must leave the parent first, enable moves it into a group
// of its own.
func (g *Group) enable(d *Dir, t *target, name string) error {
	if len(t.enable) == 0 {
		return nil
	}
	if t.leaf {
		g.Leaf = t.parent + "/" + name + ".launcher"
		if err := unix.Mkdir(g.Leaf, 0o755); err != nil {
			return &Error{Op: "mkdir " + g.Leaf, Err: err, Hint: mkdirHint(err)}
		}
		if err := writeFile(g.Leaf, "cgroup.procs", "0"); err != nil {
			return &Error{Op: "move the launcher to " + g.Leaf, Err: err}
		}
	}
	d.Enabled = t.enable
	if err := writeFile(t.parent, "cgroup.subtree_control", "+"+strings.Join(t.enable, " +")); err != nil {
		hint := ""
		if errors.Is(err, unix.EBUSY) {
			hint = "a process has come into it"
		}
		return &Error{Op: "switch on " + strings.Join(t.enable, " ") + " in " + t.parent, Err: err, Hint: hint}
	}
	return nil
}

// write writes the settings into the group Dirs[i]. If the kernel has no file for a setting, write adds it to Lacking,
// unless it is optional.
func (g *Group) write(t *target, i int) error {
	dir, fd := g.Dirs[i].Path, g.fds[i]
	held := t.settings[:0:0]
	for _, s := range t.settings {
		if s.file == "" { // the group only counts; there is nothing to write
			continue
		}
		err := writeAt(fd, s.file, s.value)
		if s.file == "io.weight" {
			bfq := s.bfq(err == nil)
			switch e := writeAt(fd, bfq.file, bfq.value); {
			case e == nil && err == nil:
				held = append(held, bfq)
			case !errors.Is(e, unix.ENOENT): // only bfq's file exists, or bfq has refused the value
				s, err = bfq, e
			}
		}
		switch {
		case err == nil:
			if err := s.effective(fd); err != nil {
				return err
			}
			held = append(held, s)
		case errors.Is(err, unix.ENOENT) && s.optional:
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP):
			g.Lacking = append(g.Lacking, Lack{s.limit, "this kernel has no " + s.file, lackRemedy(s.limit)})
		default:
			e := &Error{Op: "write " + quote(s.value) + " to " + dir + "/" + s.file, Err: err, Hint: writeHint(&s, err)}
			if refused(err) {
				e.Limit = s.limit
			}
			return e
		}
	}
	t.settings = held
	return nil
}

// bfq returns the setting for the I/O scheduler bfq that corresponds to io.weight. The file io.weight belongs to the
// controller iocost. Each of the two affects the disks that it governs. bfq allows weights up to 1000. If both files
// exist (both is true), a higher weight becomes 1000 for bfq; otherwise bfq refuses it.
func (s *setting) bfq(both bool) setting {
	const most = 1000
	b := *s
	b.file = "io.bfq.weight"
	if n, err := strconv.Atoi(s.value); both && err == nil && n > most {
		b.value, b.back = itoa(most), "default "+itoa(most)
	}
	return b
}

func lackRemedy(limit string) string {
	switch word, _, _ := strings.Cut(limit, " "); word {
	case "io-weight":
		return "a kernel with CONFIG_BLK_CGROUP_IOCOST or the scheduler bfq; or leave it out"
	case "swap":
		return "a kernel with CONFIG_SWAP, booted without swapaccount=0; or leave it out"
	case "hugetlb":
		return "a size of /sys/kernel/mm/hugepages"
	}
	return "leave it out, or a newer kernel"
}

// refused reports whether an error of write(2) to a file of a group says that the value is wrong. A value is wrong if
// it is out of range, no disk, or more than a group above has. If the group above lacks some processors of a list,
// cpuset of v1 returns EACCES.
func refused(err error) bool {
	return slices.ContainsFunc([]error{unix.EINVAL, unix.ERANGE, unix.ENODEV, unix.EACCES, unix.EBUSY}, func(e error) bool { return errors.Is(err, e) })
}

// effective checks that a list of processors is in force. v2 accepts any list, but does not use the processors that the
// group above lacks. If none is left, v2 uses all processors of the group above: cgroup-v2.rst,
// "cpuset.cpus.effective".
func (s *setting) effective(fd int) error {
	if s.limit != "cpuset" {
		return nil
	}
	text, err := readAt(fd, "cpuset.cpus.effective")
	if found := strings.TrimSpace(text); err == nil && found != "" && found != canonicalCPUs(s.value) {
		return &Error{Op: "read back", Err: errors.New("the processors are " + found + ", not " + s.value), Hint: writeHint(s, nil), Limit: s.limit}
	}
	return nil // cgroup v1 before Linux 3.17 does not have the file, and refuses what the group above lacks
}

func writeHint(s *setting, err error) string {
	switch {
	case s.controller == "io" && errors.Is(err, unix.ENODEV):
		return "name a disk on which there are requests to limit; a device such as a loop device without a file has none"
	case s.limit == "cpuset":
		return "the processors must be among those of the group above: cpuset.cpus.effective"
	case s.limit == "io-weight" && errors.Is(err, unix.ERANGE):
		return "the scheduler bfq knows 1 to 1000"
	case s.controller == "cpu" && errors.Is(err, unix.EINVAL):
		return "a group above gives less"
	}
	return ""
}

func quote(s string) string { return `"` + s + `"` }

// bare returns the errno in err, because the caller's error already names the path. If err contains no errno, bare
// returns err.
func bare(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Open opens the group in the v2 tree for clone3(2).
func (g *Group) Open() (fd int, err error) {
	d := g.v2()
	fd, err = unix.Openat(g.fd(d), ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &Error{Op: "open " + d.Path, Err: err}
	}
	return fd, nil
}

// OpenProcs opens the file by which a process joins the group in the v2 tree: the process writes "0" to it.
func (g *Group) OpenProcs() (fd int, err error) {
	d := g.v2()
	fd, err = unix.Openat(g.fd(d), "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &Error{Op: "open " + d.Path + "/cgroup.procs", Err: err}
	}
	return fd, nil
}

// OpenTasks opens the file by which a thread joins the v1 group of a controller: the thread writes "0" to it. A process
// could join as a whole, by cgroup.procs, but that takes a lock for which the kernel waits for every processor.
func (g *Group) OpenTasks(controller string) (fd int, err error) {
	d := g.dir(controller)
	fd, err = unix.Openat(g.fd(d), "tasks", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &Error{Op: "open " + d.Path + "/tasks", Err: err}
	}
	return fd, nil
}

// Found is a limit that was read back from the kernel.
type Found struct {
	Limit string // the limit's key in the profile
	Text  string // file and value, as in "memory.max=1048576"
	File  string
}

// Confirm reads every limit back and compares it with the requested one. It also checks that the task is in every
// group: procCgroup is the text of the task's /proc/PID/cgroup.
func (g *Group) Confirm(procCgroup string) ([]Found, error) {
	var found []Found
	for i := range g.Dirs {
		d := &g.Dirs[i]
		if !g.member(d, procCgroup) {
			return nil, &Error{Op: "read back the cgroups", Err: errors.New("the task is not in " + d.Path)}
		}
		for _, s := range g.held[i].settings {
			text, err := readAt(g.fds[i], s.file)
			if err != nil {
				return nil, &Error{Op: "read back limits." + s.limit, Err: err}
			}
			if !s.holds(text) {
				return nil, &Error{Op: "read back limits." + s.limit, Err: errors.New(s.file + " is " + quote(strings.TrimSpace(text)) + ", not " + quote(s.value))}
			}
			found = append(found, Found{s.limit, s.file + "=" + s.shown(), d.Path + "/" + s.file})
		}
	}
	return found, nil
}

func (s *setting) shown() string {
	if s.back != "" {
		return s.back
	}
	return s.value
}

// member reports whether text, in the format of /proc/PID/cgroup, names the group. It compares only the last component
// of the path, because no other group has the same one.
func (g *Group) member(d *Dir, text string) bool {
	name := d.Path[strings.LastIndexByte(d.Path, '/'):]
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		tree := d.Version == 2 && f[1] == "" || d.Version == 1 && f[1] == strings.Join(d.Controllers, ",")
		if tree && strings.HasSuffix(f[2], name) {
			return true
		}
	}
	return false
}

// Sweep removes the groups next to this launcher's that dead launchers have left, and kills the processes in them.
func (g *Group) Sweep() error {
	var errs []error
	for i := range g.Dirs {
		errs = append(errs, sweep(g.Dirs[i].Path[:strings.LastIndexByte(g.Dirs[i].Path, '/')], g.Dirs[i].Version))
	}
	return errors.Join(errs...)
}
