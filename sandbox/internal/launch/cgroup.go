package launch

// This file makes the sandbox's control groups, reads their limits back, and removes them.

import (
	"strconv"

	"cordon/policy"
	"cordon/sandbox/internal/cgroup"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/report"
	"golang.org/x/sys/unix"
)

// makeGroups chooses the sandbox's control groups and makes them. If that fails, its result says why. makeGroups is
// called before the compilation, because the plan depends on the outcome: if there is no group, rlimits replace its
// limits, if the profile permits that.
func (p *Process) makeGroups() *compile.Groups {
	g := compile.ChooseGroups(p.Cmd.Profile, p.Cmd.Host)
	if g.Choice == nil {
		return g
	}
	name, err := cgroup.NewName()
	if err == nil {
		p.Cgroup, err = g.Choice.Make(name)
	}
	if made := p.Cgroup; err != nil {
		p.Cgroup = nil
		// There is no group at all, for a reason other than a missing file for some limit. So no limit has a group.
		if made == nil || len(made.Lacking) == 0 {
			g.Fail(p.Cmd.Profile, err)
			return g
		}
		g.Choice, g.Lacking = nil, append(g.Lacking, made.Lacking...)
		return g
	}
	g.Lacking = append(g.Lacking, p.Cgroup.Lacking...)
	return g
}

// openGroup opens the files through which the child enters its control groups. In cgroup v2 that is the group's
// directory, in v1 a file for each controller.
func (p *Process) openGroup() error {
	ch := p.choice()
	if ch == nil {
		return nil
	}
	if ch.V2() {
		open := p.Cgroup.Open
		if p.Cmd.Host.NoClone3 {
			open = p.Cgroup.OpenProcs
		}
		fd, err := open()
		if err != nil {
			return err
		}
		// clone3(2) puts the child into the group of this directory: CLONE_INTO_CGROUP, Linux 5.7.
		if err := p.files.Add(compile.FileCgroup, fd); err != nil {
			return err
		}
	}
	// In v1 there is no such flag, so the child writes itself to the file tasks of each group.
	for _, controller := range ch.V1() {
		fd, err := p.Cgroup.OpenTasks(controller)
		if err != nil {
			return err
		}
		if err := p.files.Add(compile.FileTasks+controller, fd); err != nil {
			return err
		}
	}
	return nil
}

// adoptChild asks systemd to put the child into its cgroup, and then lets the child go on. The child goes on even if
// systemd refuses, because a later phase of the compilation decides whether rlimits can replace the group's limits.
func (p *Process) adoptChild() error {
	if ch := p.choice(); ch == nil || !ch.Unit() {
		return nil
	}
	if err := p.Cgroup.Adopt(p.PID); err != nil {
		p.groups.Fail(p.Cmd.Profile, err)
		// If the group has directories, systemd has made a scope, but without the limits. The scope ends with the
		// child.
		if len(p.Cgroup.Dirs) == 0 {
			p.Cgroup = nil
		}
	} else {
		p.groups.Lacking = append(p.groups.Lacking, p.Cgroup.Lacking...)
	}
	return p.Send(nil)
}

// choice returns where the sandbox's control groups lie, or nil if the sandbox has none.
func (p *Process) choice() *cgroup.Choice {
	if p.groups == nil {
		return nil
	}
	return p.groups.Choice
}

// checkGroups reads every limit back from the control groups, and checks that the task is in them. The error names the
// first limit whose value differs from the profile's.
func (p *Process) checkGroups() error {
	if p.choice() == nil {
		return nil
	}
	text, err := proc.ReadAll("/proc/" + strconv.Itoa(p.Task) + "/cgroup")
	if err != nil {
		return &fail.Error{Op: "read back the cgroups", Err: err}
	}
	found, err := p.Cgroup.Confirm(string(text))
	if err != nil {
		return err
	}
	for _, f := range found {
		p.enforced(policy.LayerCgroup, f.Text, f.File)
	}
	return nil
}

// guardDevices denies the sandbox every device that its /dev does not show, by a device filter on its cgroup. At this
// point the sandbox's /dev is complete, and the child opens no more devices.
func (p *Process) guardDevices() error {
	ch := p.choice()
	if ch == nil || !ch.Guards() {
		return nil
	}
	list, guarded := p.Comp.Devices()
	// A bind of the host's whole /dev shows every device, so there is nothing to deny.
	if !guarded {
		return nil
	}
	// The device filter cannot be made earlier, because it allows exactly the devices of /dev, and only now all its
	// mounts are known.
	f, err := p.Cgroup.Guard(list)
	if err != nil {
		missing, err := p.Comp.Without(policy.LayerCgroup, "devices are not guarded: "+err.Error(), "", "", compile.OrMissing(cgroup.Hint(err)))
		p.missing = append(p.missing, missing...)
		return err
	}
	p.enforced(policy.LayerCgroup, f.Text, f.File)
	return nil
}

// removeGroups kills the remaining processes in the sandbox's control groups, and removes the groups. In the same place
// it also removes groups that killed launchers have left.
func (p *Process) removeGroups() {
	g := p.Cgroup
	if g == nil {
		return
	}
	// The lock is needed because Kill and Thaw use the group on other threads.
	p.Mu.Lock()
	p.Cgroup = nil
	p.Mu.Unlock()
	if p.Comp == nil || !p.Comp.OwnsPID() { // otherwise all processes have ended with init
		_ = g.Kill() // if Kill leaves a process, Remove returns an error
	}
	if err := g.Remove(); err != nil {
		p.Report.Hints = append(p.Report.Hints, report.Hint{Text: "the sandbox's cgroup is left: " + err.Error()})
	}
	_ = g.Sweep() // groups that other launchers have left: the next launcher tries again
	g.Close()
}

// The next part is about devices that a profile binds, if root starts the sandbox: mknod(2), devtmpfs, open_tree(2).
//
// The task has an id of its own on the host, so it cannot open a device that belongs to root alone. For any other file
// cordon would use an idmapped bind, but devtmpfs cannot be idmapped. So the launcher makes nodes with the same numbers
// on a tmpfs of its own. Nodes that belong to the caller on the host belong to the task there.

// openDevices makes a detached mount of a device, or of a directory of devices. It makes a plain bind if the launcher
// may make no nodes, or on a kernel before Linux 6.15, which clones no part of a detached mount. With a plain bind the
// task has the rights of its own id. openDevices returns a descriptor of the mount, which the caller closes.
func (p *Process) openDevices(s *compile.Source) (int, error) {
	path, err := walk.NoLinks(s.Path, walk.OpenAny)
	if err != nil {
		return -1, &fail.Error{Op: s.Path, Err: err, From: s.Where, Hint: linkHint(err)}
	}
	defer unix.Close(path)
	if fd, err := p.ownNodes(path); err == nil {
		attr := unix.MountAttr{Attr_set: s.Attrs, Propagation: unix.MS_PRIVATE}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err == nil {
			return fd, nil
		}
		unix.Close(fd)
	}
	plain := *s
	plain.Plain = true
	return detach(&plain, path, -1)
}

// ownNodes copies a device, or a directory of devices, to a tmpfs, and returns a detached mount of the copy.
func (p *Process) ownNodes(source int) (int, error) {
	top, err := newTmpfs()
	if err != nil {
		return -1, err
	}
	defer unix.Close(top)
	const name = "node"
	budget := maxNodes
	if err := p.copyNode(source, "", top, name, &budget); err != nil {
		return -1, err
	}
	return unix.OpenTree(top, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
}

// maxNodes bounds how many names of a directory of devices are copied.
const maxNodes = 1024

// newTmpfs makes a detached tmpfs on which devices can be opened.
func newTmpfs() (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	// The tmpfs may be small, because nodes need next to no space.
	for _, option := range [...][2]string{{"mode", "755"}, {"size", "1m"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
}

// copyNode copies the device, symbolic link or directory that has a name in a directory; if the name is "", it copies
// the directory itself. A directory is copied with everything of these three kinds that is in it, and nothing else.
// Files that belong to the caller belong to the task in the copy.
func (p *Process) copyNode(from int, name string, to int, as string, budget *int) error {
	if *budget--; *budget < 0 {
		return unix.E2BIG
	}
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		text := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(from, name, text)
		if err != nil {
			return err
		}
		return unix.Symlinkat(string(text[:n]), to, as)
	case unix.S_IFDIR:
		return p.copyNodes(from, name, to, as, &st, budget)
	case unix.S_IFCHR, unix.S_IFBLK:
		if err := unix.Mknodat(to, as, st.Mode&^uint32(unix.S_ISUID|unix.S_ISGID|unix.S_ISVTX), int(st.Rdev)); err != nil {
			return err
		}
		return p.ownLike(to, as, &st)
	}
	return nil
}

// copyNodes copies a directory. It opens source and copy without following links. The copy gets its owner and its mode
// at the end, when it is complete.
func (p *Process) copyNodes(from int, name string, to int, as string, st *unix.Stat_t, budget *int) error {
	if name == "" {
		name = "."
	}
	source, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	if err := unix.Mkdirat(to, as, 0o755); err != nil {
		return err
	}
	copied, err := unix.Openat(to, as, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(copied)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(source, buf)
		if err != nil || n <= 0 {
			if err == nil {
				err = p.ownLike(to, as, st)
			}
			return err
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, entry := range names {
			if err := p.copyNode(source, entry, copied, entry, budget); err != nil {
				return err
			}
		}
	}
}

// ownLike gives a copy the owner and the mode of the original. It sets the mode although the copy was made with it,
// because the umask has taken bits away.
func (p *Process) ownLike(dir int, name string, st *unix.Stat_t) error {
	id, h := &p.Comp.IDs, p.Comp.Host
	uid, gid := int(st.Uid), int(st.Gid)
	// Files of other owners keep their owners. To the task the owner appears as nobody, and the task can open such a
	// node only if its mode lets everybody open it.
	if uid == h.UID {
		uid = id.OutUID
	}
	if gid == h.GID {
		gid = id.OutGID
	}
	if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	return unix.Fchmodat(dir, name, st.Mode&0o777, 0)
}
