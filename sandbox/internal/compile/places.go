package compile

import (
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
)

// Where the sandbox shows a thing of the host. A thing has one place on its file system and as many paths on the host
// as mounts show that place (proc_pid_mountinfo(5)); each of them is shown at as many paths inside as binds contain it.

// A window is a part of the picture that shows the host's tree.
type window struct {
	target, source string
	write          bool
}

// windows lists the parts that show the host's tree, the kernel's own file systems aside.
func (c *Compilation) windows() []window {
	var list []window
	for i := range c.Tree.Parts {
		p := &c.Tree.Parts[i]
		switch {
		case p.Source == "" || p.Opaque || p.Guard != 0 || p.What == "a device":
		case paths.Below(p.Source, "/proc") || paths.Below(p.Source, "/sys") || paths.Below(p.Target, "/proc"):
		default:
			list = append(list, window{p.Target, p.Source, p.Write})
		}
	}
	return list
}

// hostTree is the host's own tree as a picture, for what a path means there.
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
		c.outdoors.Add(picture.Part{Target: "/proc", Source: "/proc", What: "proc"}) // whose links mean another process inside
	}
	return &c.outdoors
}

// places lists the paths at which the sandbox shows a thing of the host, or a part of it. The host's path of the thing
// contains no symbolic link.
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

// hostMounts is the host's mount table, by what the mounts show.
type hostMounts struct {
	*proc.MountTable
	at      map[string]int // the last mount at a point
	devices map[string]int // how many mounts show a file system
}

// hostNames lists the paths of the host that lead to a thing, or to a part of it: the path itself first, then one for
// each further mount of the same file system.
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
	inside := paths.Clean(proc.Unescape(m.Root) + "/" + host[len(m.Point):]) // on the file system
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

// sameThing reports whether two paths of the host lead to one inode. A path that cannot be looked at might.
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

// find returns the mount that a path of the host lies on.
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

// mountsOfHost reads the mount table of the tree that is shown, once.
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
