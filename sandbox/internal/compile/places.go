package compile

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/passwd"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// This file finds the paths at which the sandbox shows a file of the host. A file has a path on the host for each mount
// that shows it (proc_pid_mountinfo(5)). Each bind that contains such a path gives the file a path in the sandbox.

// A window is a mount of the sandbox that shows a directory or file of the host.
type window struct {
	target, source string
	write          bool
}

// windows lists the mounts that show directories or files of the host. It leaves out the kernel's own file systems.
func (c *Compilation) windows() []window {
	var list []window
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		switch {
		case p.Source == "" || p.Opaque || p.Guard != 0 || p.What == aDevice:
		case paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || paths.Below(p.Target, "/proc"):
		default:
			list = append(list, window{p.Target, p.Source, p.Write})
		}
	}
	return list
}

// hostTree returns the host's own file tree as a picture.Tree, in which paths of the host can be resolved.
func (c *Compilation) hostTree() *picture.Tree {
	if c.outdoors.Parts == nil {
		if c.Tree.Known == nil {
			c.Tree.Known = make(map[string]picture.Known, 128)
		}
		if c.Tree.Links == nil {
			c.Tree.Links = map[string]string{}
		}
		c.outdoors = picture.Tree{Files: c.Host.Files, Known: c.Tree.Known, Links: c.Tree.Links}
		c.outdoors.Add(picture.Part{Target: "/", Source: "/"})
		c.outdoors.Add(picture.Part{Target: "/proc", Source: "/proc", What: "proc"}) // links in /proc differ inside
	}
	return &c.outdoors
}

// places lists the paths at which the sandbox shows a file or directory of the host, or a part of that directory. host
// must contain no symbolic link.
func (c *Compilation) places(windows []window, host string) ([]string, error) {
	names, err := c.hostNames(host)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, name := range names {
		for i := range windows {
			w := &windows[i]
			if paths.Below(name, w.source) {
				if view := paths.Moved(name, w.source, w.target); c.Tree.HostPath(view) == name {
					list = append(list, view)
				}
			} else if paths.Below(w.source, name) && c.Tree.HostPath(w.target) == w.source {
				list = append(list, w.target)
			}
		}
	}
	return list, nil
}

// hostMounts is the host's mount table with two indexes: by mount point and by file system.
type hostMounts struct {
	*proc.MountTable
	at      map[string]int // the last mount at a mount point
	devices map[string]int // number of mounts that show a file system
}

// hostNames lists the paths of the host that lead to a file or directory, or to a part of it: first host itself, and
// then a path for each further mount of the same file system.
func (c *Compilation) hostNames(host string) ([]string, error) {
	t, err := c.mountsOfHost()
	if err != nil {
		return nil, err
	}
	names := []string{host}
	m := t.find(host)
	if m == nil || t.devices[m.Device] < 2 {
		return names, nil
	}
	inside := paths.Clean(proc.Unescape(m.Root) + "/" + host[len(m.Point):]) // the path within its file system
	for i := range t.List {
		other := &t.List[i]
		if other == m || other.Device != m.Device {
			continue
		}
		root := proc.Unescape(other.Root)
		switch {
		case paths.Below(inside, root):
			if name := paths.Moved(inside, root, other.Point); name != host && c.sameThing(host, name) {
				names = append(names, name)
			}
		case paths.Below(root, inside) && t.find(other.Point) == other:
			names = append(names, other.Point)
		}
	}
	return names, nil
}

// sameThing reports whether two paths of the host lead to the same inode, or one of them cannot be examined.
func (c *Compilation) sameThing(a, b string) bool {
	one, err := c.Tree.Lstat(a)
	other, err2 := c.Tree.Lstat(b)
	if err != nil || err2 != nil {
		return !fail.NotThere(err2)
	}
	x, ok := host.StatOf(one)
	y, ok2 := host.StatOf(other)
	return ok && ok2 && x.Dev == y.Dev && x.Ino == y.Ino
}

// find returns the mount on which a path of the host lies.
func (t *hostMounts) find(path string) *proc.MountEntry {
	for dir := path; ; dir, _ = paths.Split(dir) {
		if i, ok := t.at[dir]; ok && t.Reachable(&t.List[i]) {
			return &t.List[i]
		}
		if dir == "/" {
			return nil
		}
	}
}

// mountsOfHost reads the host's mount table. It reads the table only once.
func (c *Compilation) mountsOfHost() (*hostMounts, error) {
	if c.table != nil {
		return c.table, nil
	}
	table, err := c.hostMounts()
	if err != nil && !fail.NotThere(err) {
		return nil, &fail.Error{Op: "mount table of the host", Err: err}
	}
	if table == nil {
		table = &proc.MountTable{}
	}
	t := &hostMounts{MountTable: table, at: make(map[string]int, len(table.List)), devices: make(map[string]int, 16)}
	for i := range table.List {
		m := &table.List[i]
		t.at[m.Point] = i
		t.devices[m.Device]++
	}
	c.table = t
	return t, nil
}

// homes lists the directories that "~" means in a hide rule: HOME, and the home in the password database, so that a
// false HOME uncovers nothing. A service's home, such as /usr/sbin, is in the list only if it belongs to the caller.
func (c *Compilation) homes() []string {
	if c.homeList != nil {
		return c.homeList
	}
	c.homeList = []string{}
	if c.Host.Home != "" {
		c.homeList = append(c.homeList, c.Host.Home)
	}
	home := c.Host.PasswdHome
	if home == "" || home == c.Host.Home {
		return c.homeList
	}
	if info, err := c.Host.Files.Stat(home); err == nil && ownerOf(info) == c.Host.UID {
		c.homeList = append(c.homeList, home)
	}
	return c.homeList
}

// meanings lists the absolute paths that a path in the profile means; a path with "~" means one for each home.
func (c *Compilation) meanings(path string) []string {
	switch {
	case path == "~" || len(path) > 1 && path[:2] == "~/":
		var list []string
		for _, home := range c.homes() {
			list = append(list, paths.Clean(home+path[1:]))
		}
		return list
	case path[0] == '/':
		return []string{paths.Clean(path)}
	}
	return []string{paths.Clean(paths.Join(c.Host.Cwd, path))}
}

// sourceHome returns the home from which binds start: HOME with its symbolic links resolved. Links in HOME itself are
// resolved because the caller chose them, whereas a task may have made a link below HOME.
func (c *Compilation) sourceHome() string {
	w := picture.Walker{Tree: c.hostTree()}
	if home, err := w.Walk(c.Host.Home); err == nil {
		return home
	}
	return c.Host.Home
}

// No sandbox should work in some directories. What a program writes in a home may run outside later (shell start-up
// files, programs in PATH), and a home contains secrets. For root the directories of the system are unfit too.

// elsewhere reports whether a bind can be left out: its directory is unfit to work in and the bind may be missing, or
// another bind shows the same. It returns an error if the directory is unfit and the bind may not be missing.
func (c *Compilation) elsewhere(i int, m *policy.Mount, src string) (bool, error) {
	if m.Unfit == "" {
		return slices.ContainsFunc(c.Profile.Mounts[:i], func(o policy.Mount) bool {
			return o.Unfit != "" && c.sameBind(m, &o) && o.Write == m.Write && o.NoExec == m.NoExec
		}), nil
	}
	for j := i + 1; j < len(c.Profile.Mounts); j++ {
		if o := &c.Profile.Mounts[j]; o.Unfit == "" && c.sameBind(m, o) {
			return o.Write != m.Write || o.NoExec != m.NoExec, nil // the other bind is not optional
		}
	}
	why, err := c.unfit(src)
	if why == "" || err != nil {
		return false, err
	}
	if m.Unfit == "refuse" {
		flag := "--ro "
		if m.Write {
			flag = "--rw "
		}
		hint := "work in another directory, or use " + flag + m.Source
		if src == "/" || ofKernel(src) {
			hint = "work in another directory"
		}
		return true, &fail.Error{Op: m.Source, Err: errors.New("the working directory " + src + " " + why), Hint: hint}
	}
	if ofKernel(src) {
		if !c.startsIn(src) { // otherwise the sandbox has a directory of its own there
			c.note("the working directory " + src + " is not shown, and the program starts in /: it " + why)
		}
	} else if c.Tree.HostPath(src) != src {
		c.note(src + " is not shown: it " + why + "; --ro " + m.Source + " shows it")
	}
	return true, nil
}

func (c *Compilation) sameBind(a, b *policy.Mount) bool {
	return a.Kind == policy.MountBind && b.Kind == policy.MountBind && slices.Equal(c.meanings(a.Source), c.meanings(b.Source)) && a.Target == b.Target
}

// unfit returns the reason why a directory of the host is unfit to work in, or "" if it is fit.
func (c *Compilation) unfit(dir string) (string, error) {
	dir, err := c.hostTree().Resolve(dir)
	if err != nil {
		return "", err
	}
	if dir == "/" {
		return "is the root of the system", nil
	}
	if ofKernel(dir) {
		return "is of the kernel's own file systems, of which the sandbox has others", nil
	}
	for _, home := range c.homes() {
		if why := c.atHome(dir, home); why != "" {
			return why, nil
		}
	}
	if c.Host.UID != 0 {
		return "", nil
	}
	for _, home := range c.peoplesHomes() {
		if why := c.atHome(dir, home); why != "" {
			return why, nil
		}
	}
	if ofSystem(dir) {
		return "is a directory of the system, and you are root", nil
	}
	return "", nil
}

// atHome returns a text that says that a directory is a home or lies above a home, whatever path leads to the
// directory. Otherwise it returns "".
func (c *Compilation) atHome(dir, home string) string {
	end, err := c.hostTree().Resolve(home)
	if err != nil {
		return "" // a loop of links: no home
	}
	what := "is the home directory"
	if end != home {
		what += " " + home
	}
	one := c.oneName(dir)
	for at := end; at != "/"; at, _ = paths.Split(at) {
		if one && at != dir {
			what = "is above the home directory " + home
			continue
		}
		if info, err := c.Tree.Lstat(at); err == nil && (at == dir || numbered(info) && c.sameThing(dir, at)) {
			return what
		}
		what = "is above the home directory " + home
	}
	return ""
}

// numbered reports whether a file has an inode number, by which the file can be recognized under another name.
func numbered(info fs.FileInfo) bool {
	st, ok := host.StatOf(info)
	return ok && st.Ino != 0
}

// peoplesHomes lists the homes of users who log in, without those of services, because services work in their homes.
func (c *Compilation) peoplesHomes() (list []string) {
	text := c.Host.Passwd
	if _, own := c.Host.Files.(host.OSFiles); text == nil || !own {
		var err error
		if text, err = c.Host.Files.Read(passwd.File, passwd.MaxSize); err != nil {
			return nil
		}
	}
	const firstUser, lastUser = 1000, 60000 // login.defs(5)
	for line := range strings.Lines(string(text)) {
		a, ok := passwd.Parse(line)
		if ok && paths.Home(a.Home) != "" && (a.UID == 0 || a.UID >= firstUser && a.UID <= lastUser) {
			list = append(list, a.Home)
		}
	}
	return list
}

// These are directories of the system, and directories below them in which users and services work.
var (
	dirsOfSystem = []string{"/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/snap", "/sys", "/usr",
		"/var/adm", "/var/backups", "/var/cache", "/var/db", "/var/lib", "/var/lock", "/var/log", "/var/mail", "/var/run", "/var/snap", "/var/spool"}
	dirsOfWork = []string{"/dev/shm", "/usr/src", "/usr/local/src", "/var/lib/buildkite-agent", "/var/lib/gitlab-runner", "/var/lib/go-agent",
		"/var/lib/jenkins", "/var/cache/jenkins"}
	dirsOfOthers = []string{"/opt", "/usr/local", "/var"} // each directory in these belongs to some user or service
)

// ofSystem reports whether a directory belongs to the system.
func ofSystem(dir string) bool {
	holds := func(list []string) bool {
		return slices.ContainsFunc(list, func(d string) bool { return paths.Below(dir, d) })
	}
	return slices.Contains(dirsOfOthers, dir) || holds(dirsOfSystem) && !holds(dirsOfWork)
}

// A bind's source may be a symbolic link, or lead through one. A task may have made the link so that the next sandbox
// shows the link's target (CVE-2024-42472). So a link is an error. An optional bind in the caller's home is an
// exception, because users move such directories and leave a link: cordon follows the link if no task can have made it.

// bindSource returns the path that a bind shows, without symbolic links. It returns "" if the bind is left out.
func (c *Compilation) bindSource(m *policy.Mount) (string, fs.FileInfo, error) {
	src, err := c.hostSource(m.Source)
	if err != nil {
		return "", nil, c.tolerate(m, err)
	}
	info, err := c.Tree.Lstat(src)
	if fail.NotThere(err) && m.Unfit != "" {
		return "", nil, c.cwdGone(m)
	}
	if err != nil {
		return "", nil, c.tolerate(m, &fail.PathError{Path: src, Err: fail.Bare(err)})
	}
	w := picture.Walker{Tree: c.hostTree()}
	end, err := w.Walk(src)
	if m.Optional && !m.Write && m.Target == "" && m.Source[0] == '.' && info.Mode()&fs.ModeSymlink != 0 {
		c.keepLink(m, src)
		return "", nil, nil
	}
	switch linked := info.Mode()&fs.ModeSymlink != 0; {
	case err == nil && end == src, err != nil && !linked:
		return src, info, nil
	case m.Optional && fail.NotThere(err):
		return "", nil, c.tolerate(m, &fail.PathError{Path: src, Err: fail.Bare(err)})
	case m.Optional && !m.Write && m.Source[0] == '~':
		return c.throughLinks(m, src)
	case err != nil:
		return "", nil, &fail.PathError{Path: src, Err: errors.New("is a symbolic link that leads nowhere: " + fail.Bare(err).Error())}
	}
	return "", nil, &fail.Error{Op: src, Err: errors.New("is behind a symbolic link that a task may have made"),
		Hint: "if you want that, bind the link's target: " + end}
}

// cwdGone leaves out a bind of the working directory if that was removed, unless the profile requires the bind.
func (c *Compilation) cwdGone(m *policy.Mount) error {
	dir := strings.TrimSuffix(c.Host.Cwd, host.CwdGone)
	what := "the working directory " + dir + " has been removed"
	switch {
	case c.Profile.Process.Workdir != "":
		c.note(what + ", and is not shown")
	case m.Unfit == "refuse":
		return &fail.Error{Op: m.Source, Err: errors.New(what), Hint: "cd to a directory that exists, or name one with --workdir DIR"}
	default:
		c.note(what + ": the program starts in /")
	}
	return nil
}

// keepLink handles an optional bind that protects a name in the working directory, if the name is a symbolic link,
// perhaps by a task. It binds nothing. The link keeps its place, and its target is read-only if the task could write
// the target.
func (c *Compilation) keepLink(m *policy.Mount, link string) {
	from, why := own("link"), "it is a symbolic link, which keeps its place"
	n, err := c.Tree.Entry(link)
	end, err2 := c.Tree.Resolve(link)
	if p := c.Tree.At(link); err == nil && n.Link != "" && p.Write && p.Source != "" && p.Target != link {
		c.pinLink(from, link, n.Link)
	}
	exists := false
	if err2 == nil {
		_, exists = c.Tree.Stat(end)
	}
	switch {
	case err2 != nil:
	case !exists:
		why += "; a file that appears at its target is visible to everybody who follows it"
	case paths.Below(c.Host.Cwd, end) || !c.Tree.At(end).Write:
	default:
		c.protectThing(from, end, m.Pos, true)
		why += ", and leads to " + end + ", which is read-only"
	}
	c.Left = append(c.Left, report.Added{Path: m.Place(), Why: why})
	c.note(m.Source + " is not bound: " + why)
}

// throughLinks follows the links on the way to an optional bind in the home, or leaves the bind out and reports why.
func (c *Compilation) throughLinks(m *policy.Mount, src string) (string, fs.FileInfo, error) {
	err := errors.New("it lies behind a symbolic link")
	if follower, ok := c.Host.Files.(follower); ok {
		var end string
		if end, err = follower.Follow(src, c.Host.Records, c.Host.UID == 0); err == nil {
			info, err := c.Tree.Lstat(end)
			if c.followed == nil {
				c.followed = make(map[string]string, 4)
			}
			c.followed[src] = end
			return end, info, err
		}
	}
	c.Left = append(c.Left, report.Added{Path: m.Place(), Why: fail.Bare(err).Error()})
	c.note(m.Source + " is left out: " + fail.Bare(err).Error())
	return "", nil, nil
}
