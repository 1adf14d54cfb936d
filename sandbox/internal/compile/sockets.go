package compile

// This file keeps the task from connecting to the host's sockets that have a path: unix(7), sock_diag(7), proc_net(5)
// (/proc/net/unix). A program needs only write permission on such a socket to connect to it, even on a read-only mount,
// and the server sees the caller's id.
//
// Since ABI 9 (Linux 7.1, LANDLOCK_ACCESS_FS_RESOLVE_UNIX), Landlock refuses every connection that no rule allows. On
// older kernels the launcher mounts an empty file over each socket that it finds at the start. If a bind names the
// socket itself, that is on purpose, and the socket stays reachable.

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/plan"
)

// These constants bound the search for sockets. Sockets that the search does not reach because of them stay reachable.
const (
	maxSocketTable = 4 << 20 // number of bytes that are read of /proc/net/unix
	maxSearched    = 10_000  // number of files that are examined to find sockets that were renamed
	socketLooks    = 2000    // number of entries that are examined in a writable directory of the host
)

// CoveredSocket is the What of a mount that hides a socket.
const CoveredSocket = "a socket of the host that no bind names, and covered"

// CoverSockets hides the host's sockets that the sandbox would show, by mounts over them. It must come after all
// mounts, because it hides the sockets that the mounts show. If the host's sockets cannot be listed, that is a note and
// no error: the walk below still finds the sockets in writable directories.
func (c *Compilation) CoverSockets() error {
	if c.AsItIs() || c.LandlockResolves() || !c.Tree.ShowsHost() {
		return nil
	}
	names, err := c.namedSockets()
	if err != nil { // a proc file system without this file: subset=pid
		c.note("the host's sockets cannot be listed, and are not covered unless they lie in a writable directory: /proc/net/unix: " + fail.Bare(err).Error())
	}
	// The walk may find a socket that is not in the list. Such a socket is hidden if somebody may listen at it.
	for _, name := range c.walkForSockets() {
		if slices.Contains(names, name) || c.listens(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	windows := c.windows()
	for _, name := range slices.Compact(names) {
		if err := c.coverSocket(windows, name); err != nil {
			return &fail.Error{Op: "cover the socket " + name, Err: err}
		}
	}
	return nil
}

// LandlockResolves reports whether Landlock restricts to which named sockets the task may connect. In that case no
// socket needs a mount over it, and a socket that appears later is out of reach too.
func (c *Compilation) LandlockResolves() bool {
	return !c.Profile.Landlock.Off && !c.Profile.Nest && c.Host.LandlockABI >= resolveUnixABI
}

// listens reports whether a program may listen at a socket that /proc/net/unix does not name. If an earlier run has
// left a socket and nobody listens at it, the socket is not hidden: a program that uses the name again could not remove
// the mount over it.
func (c *Compilation) listens(path string) bool {
	l, ok := c.Host.Files.(interface{ Listens(path string) bool })
	return !ok || l.Listens(path)
}

// coverSocket hides a socket of the host at every path at which the sandbox shows it. host is the socket's path on the
// host, without links. It is no error if the socket has disappeared meanwhile, or if the path no longer leads to a
// socket.
func (c *Compilation) coverSocket(windows []window, host string) error {
	views, err := c.places(windows, host)
	if err != nil || len(views) == 0 {
		return err
	}
	info, err := c.Tree.Lstat(host)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil //nolint:nilerr // it is gone, or in a directory that the task cannot search either
	}
	for _, view := range views {
		if p := c.Tree.At(view); p.Target == view {
			continue // a bind names this very socket
		}
		if err := c.coverThing(own("sockets"), view, policy.Pos{}, false); err != nil {
			return err
		}
		c.Tree.At(view).What = CoveredSocket
		c.covered = append(c.covered, view)
	}
	return nil
}

// SocketsBy says how the sockets were found. The report shows it as the source of SocketsText.
func (c *Compilation) SocketsBy() string {
	if c.noDiag {
		return "/proc/net/unix alone; sock_diag is refused, so one that was renamed is not known"
	}
	return "sock_diag, /proc/net/unix"
}

// boundSockets lists the sockets of the launcher's network namespace that have a path. The list does not contain
// sockets of other network namespaces, although a path may lead to them: walkForSockets finds some of these.
func (c *Compilation) boundSockets() ([]host.BoundSocket, error) {
	if diag, ok := c.launcherFiles().(interface {
		Sockets() ([]host.BoundSocket, error)
	}); ok {
		if list, err := diag.Sockets(); err == nil {
			return list, nil
		}
	}
	// Without sock_diag(7) only the paths are known, not the inodes.
	c.noDiag = true
	text, err := c.launcherFiles().Read("/proc/net/unix", maxSocketTable)
	if err != nil {
		return nil, err
	}
	var list []host.BoundSocket
	for line := range bytes.Lines(text) {
		// The columns before the name contain no slash, and an abstract name begins with @ (proc_net(5)).
		if i := bytes.Index(line, []byte(" /")); i >= 0 {
			list = append(list, host.BoundSocket{Name: string(bytes.TrimSuffix(line[i+1:], []byte{'\n'}))})
		}
	}
	return list, nil
}

// namedSockets lists the paths of the sockets that the sandbox may show. The links in the paths to which the sockets
// were bound are resolved as the links are now. If another file has a socket's path now, namedSockets searches for the
// socket's inode.
func (c *Compilation) namedSockets() ([]string, error) {
	list, err := c.boundSockets()
	if err != nil {
		return nil, err
	}
	var names []string
	// A socket's name is the path that its server passed to bind(2), as the server saw the path. The path can be
	// relative, or be of another mount namespace, or no longer lead to the file because somebody has renamed it.
	for _, s := range list {
		if isControl(s) {
			continue
		}
		if strings.HasPrefix(s.Name, "/") {
			w := picture.Walker{Tree: c.hostTree()}
			name, err := w.Walk(s.Name)
			if err == nil && c.Tree.ShowsBelow(name) { // otherwise the task cannot reach the socket either
				names = append(names, name)
			}
			// By now the path may lead to another file. In that case the socket's inode is searched for.
			if err == nil && (s.Ino == 0 || c.hasInode(name, s.Ino)) {
				continue
			}
		}
		if s.Ino != 0 {
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

// hasInode reports whether a path leads to an inode with the number ino. It compares only the low 32 bits, because
// sock_diag(7) reports no more.
func (c *Compilation) hasInode(path string, ino uint32) bool {
	info, err := c.Tree.Lstat(path)
	if err != nil {
		return false
	}
	st, ok := host.StatOf(info)
	return ok && uint32(st.Ino) == ino
}

// shownDevices lists the file systems that the sandbox shows in part: the file systems of the sources of its mounts,
// and those that the host has mounted below these sources. namedSockets ignores renamed sockets on other file systems,
// because the task cannot reach them. The keys have the form of deviceText.
func (c *Compilation) shownDevices() (map[string]bool, error) {
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
			if !shown[m.Device] && paths.Below(m.Point, w.source) && c.Tree.HostPath(paths.Moved(m.Point, w.source, w.target)) == m.Point {
				shown[m.Device] = true
			}
		}
	}
	return shown, nil
}

// deviceText formats a device number as in a mount table. sock_diag(7) returns the number in the kernel's own form, in
// which the low 20 bits are the minor number. stat(2) uses another form, so unix.Major and unix.Minor would give wrong
// numbers.
func deviceText(dev uint32) string {
	return strconv.FormatUint(uint64(dev>>20), 10) + ":" + strconv.FormatUint(uint64(dev&(1<<20-1)), 10)
}

// isControl reports whether a socket belongs to the launcher of a sandbox. Such a socket answers nobody inside a
// sandbox, so the search can leave it out. Its file is in a state directory, often another user's, which the launcher
// cannot search.
func isControl(s host.BoundSocket) bool {
	return strings.HasPrefix(s.Name, "/proc/self/fd/") && strings.HasSuffix(s.Name, "/"+host.ControlFile)
}

// searchSockets looks for sockets that are not at their paths, in the host's directories that the sandbox shows. It
// stops after maxSearched names. The sockets that it has not found stay in c.lost. The result has paths of the host.
func (c *Compilation) searchSockets() (found []string) {
	var dirs []string // paths in the sandbox
	for _, w := range c.windows() {
		dirs = append(dirs, w.target)
	}
	for looks := 0; len(dirs) > 0 && len(c.lost) > 0 && looks < maxSearched; dirs = dirs[1:] {
		// The search goes by paths of the sandbox, so that it enters only what the task can reach.
		dir := c.Tree.HostPath(dirs[0])
		if dir == "" || slices.Contains(picture.QuietDirs[:], dir) {
			continue
		}
		entries, err := c.Host.Files.ReadDir(dir)
		if err != nil {
			continue // the task cannot list it either
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

// isLost reports whether a file is a socket in c.lost, and removes that socket from c.lost. It compares only inode
// numbers, so a file with the same number on another file system is taken for the socket too. That does no harm: it
// only ends the search for one socket too early, and the file that is hidden is a socket as well.
func (c *Compilation) isLost(path string) bool {
	n := len(c.lost)
	c.lost = slices.DeleteFunc(c.lost, func(s host.BoundSocket) bool { return c.hasInode(path, s.Ino) })
	return len(c.lost) < n
}

// walkForSockets looks in the writable binds for sockets that /proc/net/unix does not name, because they belong to
// another network namespace, or were bound by a relative name, or were renamed. It stops after socketLooks entries of
// each bind. For a bind in which the search for the hide rules or for repositories has already seen all sockets, it
// uses what that search has found. The paths are those of the host.
func (c *Compilation) walkForSockets() (found []string) {
	whole := map[string]bool{}
	if c.searched != nil {
		whole, found = c.searched.whole, c.searched.Sockets
	}
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if !p.HostsWrites() || c.Tree.At(p.Target) != p || whole[p.Target] {
			continue
		}
		// The search is breadth first, because a socket is more likely near the top of a directory.
		looks, dirs := 0, []string{p.Source}
		for len(dirs) > 0 && looks < socketLooks {
			dir := dirs[0]
			dirs = dirs[1:]
			entries, err := c.Host.Files.ReadDir(dir)
			if err != nil {
				continue // the task cannot read it either, so it finds no socket in it
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

// SocketsText returns the text of the report about the host's sockets, or "" if cordon has done nothing about them.
func (c *Compilation) SocketsText() string {
	if c.AsItIs() || c.LandlockResolves() || !c.Tree.ShowsHost() {
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
	for i := range c.Tree.Parts {
		if p := &c.Tree.Parts[i]; p.ShowsLater() && c.Tree.At(p.Target) == p {
			later = append(later, p.Target)
		}
	}
	if later != nil {
		text += "; a socket that somebody makes later is not, in " + strings.Join(later, " ")
	}
	return text
}

// undone reports that a bind of the working directory replaces an empty directory of the profile by the host's
// directory. For example, a profile makes /tmp empty, and the working directory is /tmp. If the directory is /run,
// which contains the sockets of the whole session, undone refuses.
func (c *Compilation) undone() error {
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		// If a flag names the directory, that is on purpose.
		if !p.Cwd || p.Rule.Flag != "" {
			continue
		}
		if runtimeDir(p.Source) {
			return &fail.Error{Op: "working directory " + p.Source, Err: errors.New("it contains the sockets of the session, and the profile would show them"),
				From: p.Rule.Short(), Hint: "change to a directory of the project, or use --ro . or --rw ."}
		}
		if list := c.uncovers(i); list != nil {
			c.note("the working directory is " + p.Source + ": the program sees the host's " + strings.Join(list, ", ") + ", which the profile would give it empty")
		}
	}
	return nil
}

// uncovers lists the empty directories of the profile that a later mount replaces by the host's directories. later is
// the index of that mount among the parts of the tree.
func (c *Compilation) uncovers(later int) (list []string) {
	p := &c.Tree.Parts[later]
	for i := range later {
		q := &c.Tree.Parts[i]
		if (q.What == "a tmpfs" || q.What == emptyDir) && paths.Below(q.Target, p.Target) && c.Tree.At(q.Target) == p &&
			!slices.Contains(list, q.Target) {
			list = append(list, q.Target)
		}
	}
	return list
}

// runtimeDir reports whether a directory is /run, or the session directory of a user in /run, or lies between the two.
func runtimeDir(dir string) bool {
	// /var/run is another name of /run. A directory further down, such as /run/user/1000/app, is not refused, because
	// it does not contain the sockets of the whole session. The number of slashes tells /run/user/1000 from a directory
	// below it.
	dir = strings.TrimPrefix(dir, "/var")
	rest, ok := strings.CutPrefix(dir, "/run")
	if !ok || rest != "" && rest[0] != '/' {
		return false
	}
	user, ok := strings.CutPrefix(rest+"/", "/user/")
	return rest == "" || ok && strings.Count(user, "/") <= 1
}

// landSockets lets the task connect to the sockets that a bind names, and to sockets on the sandbox's own file systems.
// A program that joins the sandbox needs these rules, because other processes have made the sockets. A Landlock rule
// also applies to the mounts below its path, so a file system with a directory of the host below it gets no rule. If
// the kernel does not know that right, CoverSockets mounts over the sockets instead.
func (c *Compilation) landSockets(from plan.From) {
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		if c.Tree.At(p.Target) != p || p.Opaque {
			continue
		}
		if c.namedSocket(p) || p.Source == "" && p.Write && !p.File && !c.Tree.HostBelow(p.Target) {
			c.Land.Rules = append(c.Land.Rules, landRule{Path: p.Target, Access: landUnix, file: p.File, from: from})
		}
	}
}

// namedSocket reports whether a mount shows a single socket of the host. Only a bind of the profile can name one.
func (c *Compilation) namedSocket(p *picture.Part) bool {
	if !p.File || p.Source == "" {
		return false
	}
	info, err := c.Tree.Lstat(p.Source)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}
