package sandbox

// Sockets of the host that have a name in the file system: unix(7), proc_net(5) (/proc/net/unix). To connect to one takes
// no more than the permission to write to it, on a read-only mount too, and whoever listens sees the caller's id.
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

	"cordon/policy"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/plan"
)

const (
	maxSocketTable = 4 << 20 // bytes of /proc/net/unix that are read
	socketLooks    = 2000    // entries of a writable directory of the host that are looked at
)

// coveredSocket is what a part is that covers a socket.
const coveredSocket = "a socket of the host that no bind names, and covered"

// sockets covers the host's sockets that the sandbox would show.
func (c *compilation) sockets() error {
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

// namedSockets are the absolute paths of /proc/net/unix. It knows the sockets of the launcher's network namespace by the
// names that they were bound by, whose links are followed as they are now.
func (c *compilation) namedSockets() ([]string, error) {
	text, err := c.launcherFiles().Read("/proc/net/unix", maxSocketTable)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range bytes.Lines(text) {
		i := bytes.Index(line, []byte(" /"))
		if i < 0 {
			continue
		}
		w := walker{tree: c.hostTree()}
		name, err := w.walk(string(bytes.TrimSuffix(line[i+1:], []byte{'\n'})))
		if err == nil && c.tree.showsBelow(name) { // otherwise it is gone, or where the task cannot go either
			names = append(names, name)
		}
	}
	return names, nil
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
