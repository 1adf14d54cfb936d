package sandbox

// Sockets of the host that have a name in the file system: unix(7), sock_diag(7), proc_net(5) (/proc/net/unix). To connect
// to one takes no more than the permission to write to it, on a read-only mount too, and whoever listens sees the caller's id.
//
// Landlock refuses to connect to what no rule allows since ABI 9 (Linux 7.1, LANDLOCK_ACCESS_FS_RESOLVE_UNIX). Before, the
// launcher covers those that it finds when it starts. A bind that names the socket itself is meant, and stays.

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

const (
	maxSocketTable = 4 << 20 // bytes of /proc/net/unix that are read
	maxSearched    = 10_000  // names that are looked at for a socket without its name
	socketLooks    = 2000    // entries of a writable directory of the host that are looked at
)

// coveredSocket is what a part is that covers a socket.
const coveredSocket = "a socket of the host that no bind names, and covered"

// coverSockets covers the host's sockets that the sandbox would show.
func (c *compilation) coverSockets() error {
	if c.asItIs() || c.landlockResolves() || !c.tree.showsHost() {
		return nil
	}
	names, err := c.namedSockets()
	if err != nil { // a proc file system without it: subset=pid
		c.note("the host's sockets cannot be listed, and are not covered unless they lie in a writable directory: /proc/net/unix: " + fail.Bare(err).Error())
	}
	for _, name := range c.walkForSockets() {
		if slices.Contains(names, name) || c.listens(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	windows := c.windows()
	for _, name := range slices.Compact(names) {
		if err := c.coverSocket(windows, name); err != nil {
			return &Error{Op: "cover the socket " + name, Err: err}
		}
	}
	return nil
}

// landlockResolves reports whether Landlock decides which sockets the task may connect to.
func (c *compilation) landlockResolves() bool {
	return !c.profile.Landlock.Off && c.host.LandlockABI >= resolveUnixABI
}

// listens reports whether somebody may listen at a socket that /proc/net/unix does not name. One that an earlier run left
// is not covered: a program that uses the name again could not remove it.
func (c *compilation) listens(path string) bool {
	l, ok := c.host.Files.(interface{ Listens(path string) bool })
	return !ok || l.Listens(path)
}

// coverSocket covers a socket of the host at every place where the sandbox shows it.
func (c *compilation) coverSocket(windows []window, host string) error {
	views, err := c.places(windows, host)
	if err != nil || len(views) == 0 {
		return err
	}
	info, err := c.tree.lstat(host)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil //nolint:nilerr // it is gone, or in a directory that the task cannot search either
	}
	for _, view := range views {
		if p := c.tree.at(view); p.target == view {
			continue // bound by its own name
		}
		if err := c.coverThing(own("sockets"), view, policy.Pos{}, false); err != nil {
			return err
		}
		c.tree.at(view).what = coveredSocket
		c.covered = append(c.covered, view)
	}
	return nil
}

// boundSockets lists the sockets of the launcher's network namespace that have a file.
func (c *compilation) boundSockets() ([]host.BoundSocket, error) {
	if diag, ok := c.launcherFiles().(interface {
		Sockets() ([]host.BoundSocket, error)
	}); ok {
		if list, err := diag.Sockets(); err == nil {
			return list, nil
		}
	}
	text, err := c.launcherFiles().Read("/proc/net/unix", maxSocketTable)
	if err != nil {
		return nil, err
	}
	var list []host.BoundSocket
	for line := range bytes.Lines(text) {
		if i := bytes.Index(line, []byte(" /")); i >= 0 {
			list = append(list, host.BoundSocket{Name: string(bytes.TrimSuffix(line[i+1:], []byte{'\n'}))})
		}
	}
	return list, nil
}

// namedSockets lists the paths of the bound sockets that the sandbox may show. The links in the names that they were bound
// by are followed as they are now. A socket that does not have its name is looked for by its inode.
func (c *compilation) namedSockets() ([]string, error) {
	list, err := c.boundSockets()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range list {
		if strings.HasPrefix(s.Name, "/") {
			w := walker{tree: c.hostTree()}
			name, err := w.walk(s.Name)
			if err == nil && c.tree.showsBelow(name) { // otherwise the task cannot go there either
				names = append(names, name)
			}
			if err == nil && (s.Ino == 0 || c.hasInode(name, s.Ino)) {
				continue
			}
		}
		if s.Ino != 0 && !c.ownControl(s) {
			c.lost = append(c.lost, s)
		}
	}
	if c.lost != nil {
		shown, err := c.shownDevices()
		if err != nil {
			return nil, err
		}
		c.lost = slices.DeleteFunc(c.lost, func(s host.BoundSocket) bool { return !shown[deviceText(s.Dev)] })
		names = append(names, c.searchSockets()...)
	}
	return names, nil
}

// hasInode compares the low half of an inode's number.
func (c *compilation) hasInode(host string, ino uint32) bool {
	info, err := c.tree.lstat(host)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint32(st.Ino) == ino
}

// shownDevices lists the file systems of which the sandbox shows a part.
func (c *compilation) shownDevices() (map[string]bool, error) {
	table, err := c.mountsOfHost()
	if err != nil {
		return nil, err
	}
	shown := map[string]bool{}
	for _, w := range c.windows() {
		if m := table.find(w.source); m != nil {
			shown[m.Device] = true
		}
		for i := range table.List {
			m := &table.List[i]
			if !shown[m.Device] && paths.Below(m.Point, w.source) && c.tree.hostPath(paths.Moved(m.Point, w.source, w.target)) == m.Point {
				shown[m.Device] = true
			}
		}
	}
	return shown, nil
}

// deviceText is a device in the form of a mount table.
func deviceText(dev uint32) string {
	return strconv.FormatUint(uint64(dev>>20), 10) + ":" + strconv.FormatUint(uint64(dev&(1<<20-1)), 10)
}

// ownControl reports whether a socket is that of another sandbox's launcher, in the state directory, which is covered.
func (c *compilation) ownControl(s host.BoundSocket) bool {
	if !strings.HasPrefix(s.Name, "/proc/self/fd/") || !strings.HasSuffix(s.Name, "/"+controlFile) {
		return false
	}
	return slices.ContainsFunc(append(c.host.StateDirs(), "/run/cordon"), func(dir string) bool {
		info, err := c.tree.lstat(dir)
		if err != nil {
			return false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		return ok && kernelDev(uint64(st.Dev)) == s.Dev //nolint:unconvert // its width differs by architecture
	})
}

// kernelDev is the kernel's own form of a device number.
func kernelDev(dev uint64) uint32 { return unix.Major(dev)<<20 | unix.Minor(dev) }

// searchSockets looks for the files of sockets in what the sandbox shows of the host. It ends after maxSearched names, and
// what it has not found stays in c.lost.
func (c *compilation) searchSockets() (found []string) {
	var dirs []string // inside
	for _, w := range c.windows() {
		dirs = append(dirs, w.target)
	}
	for looks := 0; len(dirs) > 0 && len(c.lost) > 0 && looks < maxSearched; dirs = dirs[1:] {
		dir := c.tree.hostPath(dirs[0])
		if dir == "" || slices.Contains(quietDirs[:], dir) {
			continue
		}
		entries, err := c.host.Files.ReadDir(dir)
		if err != nil {
			continue // nor can the task list it
		}
		looks += len(entries)
		for _, e := range entries {
			switch path := paths.Join(dir, e.Name()); {
			case e.IsDir():
				dirs = append(dirs, paths.Join(dirs[0], e.Name()))
			case e.Type()&fs.ModeSocket != 0 && c.isLost(path):
				found = append(found, path)
			}
		}
	}
	return found
}

// isLost reports whether a file is that of a socket in c.lost, and takes the socket out of it.
func (c *compilation) isLost(path string) bool {
	n := len(c.lost)
	c.lost = slices.DeleteFunc(c.lost, func(s host.BoundSocket) bool { return c.hasInode(path, s.Ino) })
	return len(c.lost) < n
}

// showsBelow reports quickly whether the sandbox may show a path of the host: some part has it, or what it is in.
func (t *tree) showsBelow(host string) bool {
	for i := range t.parts {
		if p := &t.parts[i]; p.source != "" && !p.file && paths.Below(host, p.source) {
			return true
		}
	}
	return false
}

// walkForSockets looks for sockets in the writable binds: those that /proc/net/unix does not name, since they belong to
// another network namespace, or were bound by a relative name, or renamed. It ends after socketLooks entries of each.
func (c *compilation) walkForSockets() (found []string) {
	for i := range c.tree.parts {
		p := &c.tree.parts[i]
		if !p.hostsWrites() || c.tree.at(p.target) != p {
			continue
		}
		looks, dirs := 0, []string{p.source}
		for len(dirs) > 0 && looks < socketLooks {
			dir := dirs[0]
			dirs = dirs[1:]
			entries, err := c.host.Files.ReadDir(dir)
			if err != nil {
				continue // the task cannot read it either, and finds no socket in it
			}
			looks += len(entries)
			for _, e := range entries {
				switch {
				case e.Type()&fs.ModeSocket != 0:
					found = append(found, paths.Join(dir, e.Name()))
				case e.IsDir():
					dirs = append(dirs, paths.Join(dir, e.Name()))
				}
			}
		}
	}
	return found
}

// socketsText says for the report what was done about the host's sockets, "" where nothing had to be.
func (c *compilation) socketsText() string {
	if c.asItIs() || c.landlockResolves() || !c.tree.showsHost() {
		return ""
	}
	text := strconv.Itoa(len(c.covered)) + " sockets of the host covered"
	if len(c.covered) > 0 {
		text += " (" + strings.Join(c.covered[:min(len(c.covered), 5)], " ") + ")"
	}
	for i, s := range c.lost[:min(len(c.lost), 5)] {
		if i == 0 {
			text += "; " + strconv.Itoa(len(c.lost)) + " not found, bound as"
		}
		text += " " + strconv.Quote(s.Name)
	}
	var later []string
	for i := range c.tree.parts {
		if p := &c.tree.parts[i]; p.showsLater() && c.tree.at(p.target) == p {
			later = append(later, p.target)
		}
	}
	if later != nil {
		text += "; one that is made later is not, in " + strings.Join(later, " ")
	}
	return text
}

// showsLater reports whether the task could connect to a socket that somebody makes later in a directory of the host.
func (p *part) showsLater() bool {
	return p.source != "" && !p.file && !p.opaque && !p.layer && !p.still && p.guard == 0 &&
		!slices.ContainsFunc(quietDirs[:], func(dir string) bool { return paths.Below(p.source, dir) })
}

// hostsWrites reports whether a part is a directory of the host that the task may write to.
func (p *part) hostsWrites() bool {
	return p.write && p.source != "" && !p.file && !p.opaque && !p.layer && p.guard == 0 && !paths.Below(p.source, "/proc")
}

// undone says that the working directory puts the host's tree back over an empty directory of the profile, and refuses
// where that is /run, which holds the sockets of the whole session.
func (c *compilation) undone() error {
	for i := range c.tree.parts {
		p := &c.tree.parts[i]
		if !p.cwd || p.rule.Flag != "" {
			continue
		}
		if runtimeDir(p.source) {
			return &Error{Op: "working directory " + p.source, Err: errors.New("it holds the sockets of the session, and the profile would show it"),
				From: p.rule.Short(), Hint: "change to a directory of the project; --ro . or --rw . insists"}
		}
		if list := c.uncovers(i); list != nil {
			c.note("the working directory is " + p.source + ": the program sees the host's " + strings.Join(list, ", ") + ", which the profile would give it empty")
		}
	}
	return nil
}

// uncovers lists the empty directories of the profile in whose place a part, mounted later, shows the host's.
func (c *compilation) uncovers(later int) (list []string) {
	p := &c.tree.parts[later]
	for i := range later {
		q := &c.tree.parts[i]
		if (q.what == "a tmpfs" || q.what == emptyDir) && paths.Below(q.target, p.target) && c.tree.at(q.target) == p &&
			!slices.Contains(list, q.target) {
			list = append(list, q.target)
		}
	}
	return list
}

// runtimeDir reports whether a directory is /run, or one of a user's session in it, or is above one.
func runtimeDir(dir string) bool {
	dir = strings.TrimPrefix(dir, "/var")
	rest, ok := strings.CutPrefix(dir, "/run")
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	user, ok := strings.CutPrefix(rest, "/user")
	return rest == "" || ok && strings.Count(user, "/") <= 1
}

// landSockets allows connecting to the sockets that are bound by name, and to those on the sandbox's own file systems,
// which a program that joins the sandbox has not made itself. A rule holds for all that is mounted below, so that a file
// system with a directory of the host below it has none.
func (c *compilation) landSockets(from plan.From) {
	for i := range c.tree.parts {
		p := &c.tree.parts[i]
		if c.tree.at(p.target) != p || p.opaque {
			continue
		}
		if c.namedSocket(p) || p.source == "" && p.write && !p.file && !c.tree.hostBelow(p.target) {
			c.land.rules = append(c.land.rules, landRule{path: p.target, access: landUnix, file: p.file, from: from})
		}
	}
}

// namedSocket reports whether a part is a socket of the host.
func (c *compilation) namedSocket(p *part) bool {
	if !p.file || p.source == "" {
		return false
	}
	info, err := c.tree.lstat(p.source)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// hostBelow reports whether something of the host is mounted below a path.
func (t *tree) hostBelow(path string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.source != "" && p.target != path && paths.Below(p.target, path) })
}
