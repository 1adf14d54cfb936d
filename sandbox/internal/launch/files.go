package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/helper"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// FileSet holds descriptors that the launcher has opened for the child, each with a name. Their numbers are larger than
// the numbers of the task's files. So the child overwrites none of them when it gives the task's files their numbers.
type FileSet struct {
	Base     int
	Fds      map[string]int
	borrowed string // the name of the descriptor that is not closed with the set
	closed   bool
}

// borrow puts the first descriptor into the set. CloseAll does not close this descriptor.
func (s *FileSet) borrow(name string, fd int) {
	s.Fds = map[string]int{name: fd}
	s.borrowed = name
}

// Add puts a descriptor into the set. The set owns the descriptor, even if Add fails.
func (s *FileSet) Add(name string, fd int) error {
	if fd < s.Base {
		defer unix.Close(fd)
		return s.Dup(name, fd)
	}
	s.Fds[name] = fd
	return nil
}

// Dup puts a duplicate of a descriptor into the set.
func (s *FileSet) Dup(name string, fd int) error {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, max(s.Base, 3))
	if err != nil {
		return &fail.Error{Op: "duplicate " + name, Err: err}
	}
	s.Fds[name] = high
	return nil
}

// CloseAll closes the launcher's copies once the child has copies of its own. The set still knows the numbers, because
// later steps of the plan use them.
func (s *FileSet) CloseAll() {
	for name, fd := range s.Fds {
		if name != s.borrowed && !s.closed {
			unix.Close(fd)
		}
	}
	s.closed = true
}

// openResources opens the joined namespaces, the terminal, the control groups and the standard files. It runs before
// the clone, so that the child inherits the descriptors.
func (p *Process) openResources() error {
	if err := p.openJoins(); err != nil {
		return err
	}
	if err := p.openTerminal(); err != nil {
		return err
	}
	if err := p.openGroup(); err != nil {
		return err
	}
	if err := p.openAttached(); err != nil {
		return err
	}
	if err := p.keepOutputLimit(); err != nil {
		return err
	}
	for i, f := range p.Cmd.Stdio {
		// In place of this file the task gets a terminal of its own.
		if p.Comp.Brokered(i) {
			continue
		}
		// The child has the file already, or the task opens the file itself.
		if p.Comp.Passes(i) || p.Comp.Reopened(i) {
			continue
		}
		if err := p.openStdio(i, f); err != nil {
			return err
		}
	}
	// The duplicates have larger numbers than the task's files. Otherwise dup3 in the child would overwrite a
	// descriptor that it still needs.
	for i, f := range p.Cmd.ExtraFiles {
		if err := p.files.Dup(compile.ExtraName(i), int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// openStdio adds a standard file for the task: the caller's file, or /dev/null if f is nil. If the profile withholds a
// terminal, the task gets /dev/null to read, or a pipe from which the launcher copies. If the output has a limit, it
// goes through a pipe too. i is 0, 1 or 2.
func (p *Process) openStdio(i int, f *os.File) error {
	name := compile.StdioNames[i]
	switch {
	case p.Comp.Lent(i):
		return p.lendStdin(f)
	case f == nil || i == 0 && p.Comp.Withheld(i):
		fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fail.Error{Op: os.DevNull, Err: err}
		}
		return p.files.Add(name, fd)
	case p.Comp.Withheld(i), p.Comp.Copied(i):
		return p.relayStdio(i, f)
	}
	return p.files.Dup(name, int(f.Fd()))
}

// sendSources makes the detached mounts for which the child waits, and sends them. In an idmapped mount, files of the
// caller appear as the task's own: mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12.
func (p *Process) sendSources() error {
	if p.sent == len(p.Comp.Sources) {
		return nil
	}
	userns, release, err := p.mapping()
	if err != nil {
		return err
	}
	// All sources of a phase share one mapping of ids, because making it may need a fork.
	defer release()
	for ; p.sent < len(p.Comp.Sources); p.sent++ {
		s := &p.Comp.Sources[p.sent]
		var fd int
		if s.Output != 0 {
			fd, err = detachOutput(s, int(p.Cmd.Stdio[s.Output].Fd()), userns)
		} else {
			fd, err = p.openDetached(s, userns)
		}
		if err != nil {
			return err
		}
		// The message keeps the mount alive until the child has received it: unix(7), SCM_RIGHTS.
		err = p.Send(unix.UnixRights(fd))
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// openDetached makes a detached mount of a source. If the mount is idmapped, it uses the ids of the namespace userns.
// If s.Whole is set, it uses all ids of the sandbox's user namespace.
func (p *Process) openDetached(s *compile.Source, userns int) (int, error) {
	if s.Devices {
		return p.openDevices(s)
	}
	if !s.Whole {
		return openDetached(s, userns)
	}
	userns, release, err := p.openOwnUserNS()
	if err != nil {
		return -1, err
	}
	defer release()
	return openDetached(s, userns)
}

// detachOutput makes a mount of an output file, from the caller's descriptor. If the file's file system does not
// support idmapped mounts, it makes a plain mount. Then the task can use its descriptor but cannot open the file by
// name.
func detachOutput(s *compile.Source, file, userns int) (int, error) {
	fd, err := detach(s, file, userns)
	if err != nil {
		plain := *s
		plain.Plain = true
		fd, err = detach(&plain, file, userns)
	}
	return fd, err
}

// openDetached makes a detached mount of a source, without following a symbolic link in its path.
func openDetached(s *compile.Source, userns int) (int, error) {
	path, err := walk.NoLinks(s.Path, walk.OpenAny)
	if err != nil {
		return -1, &fail.Error{Op: s.Path, Err: err, From: s.Where, Hint: linkHint(err)}
	}
	defer unix.Close(path)
	return detach(s, path, userns)
}

// detach makes a detached mount of the file or directory that the descriptor path refers to. A detached mount is
// visible nowhere until the child attaches it with move_mount(2): open_tree(2), Linux 5.2.
func detach(s *compile.Source, path, userns int) (int, error) {
	fd, err := unix.OpenTree(path, "", compile.CloneTree|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, &fail.Error{Op: "open_tree " + s.Path, Err: err, From: s.Where}
	}
	// The copy is private, so that later mounts of the host do not propagate into it.
	attr := unix.MountAttr{Attr_set: s.Attrs, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", compile.WholeMount, &attr); err != nil {
		unix.Close(fd)
		return -1, &fail.Error{Op: "mount_setattr " + s.Path, Err: err, From: s.Where}
	}
	if s.Plain {
		return fd, nil
	}
	attr = unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)}
	if err := unix.MountSetattr(fd, "", compile.WholeMount, &attr); err != nil {
		unix.Close(fd)
		return -1, &fail.Error{Op: "idmapped mount of " + s.Path, Err: err, From: s.Where,
			Hint: "this file system, or one mounted below it, cannot be idmapped; --host-user caller runs the task with the caller's own id"}
	}
	return fd, nil
}

// linkHint returns the advice for an error that a symbolic link in a path has caused, and "" for any other error.
func linkHint(err error) string {
	if err == unix.ELOOP {
		return "there is a symbolic link on the way; name its target instead"
	}
	return ""
}

// mapping returns a user namespace that maps the caller's ids on disk to the task's ids on the host. Usually that is
// the sandbox's own user namespace. There are two exceptions: the task has another id inside, or the sandbox's
// namespace also maps subordinate ids, which would show other users' files as the task's own.
func (p *Process) mapping() (fd int, release func(), err error) {
	id := &p.Comp.IDs
	if id.InUID == p.Comp.Host.UID && id.InGID == p.Comp.Host.GID && !id.Ranges {
		return p.openOwnUserNS()
	}
	return p.holderMapping()
}

// openOwnUserNS opens the child's user namespace. If holdUserNS has opened it already, it returns that descriptor.
func (p *Process) openOwnUserNS() (fd int, release func(), err error) {
	if p.userNS >= 0 {
		return p.userNS, func() {}, nil
	}
	return openUserNS("/proc/" + strconv.Itoa(p.PID))
}

// holdUserNS opens the child's user namespace while the child waits for its id maps. Once the child has another id, a
// root launcher without CAP_SYS_PTRACE may not open it.
func (p *Process) holdUserNS() (err error) {
	if p.Comp.Blind() {
		p.userNS, _, err = openUserNS("/proc/" + strconv.Itoa(p.PID))
	}
	return err
}

// openUserNS opens the user namespace of the process whose directory in /proc is dir. release closes it.
func openUserNS(dir string) (fd int, release func(), err error) {
	fd, err = unix.Open(dir+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &fail.Error{Op: dir + "/ns/user", Err: err}
	}
	return fd, func() { unix.Close(fd) }, nil
}

// holderMapping makes a user namespace that is used only for its id map. A child waits in this namespace until the
// launcher has written the map.
func (p *Process) holderMapping() (fd int, release func(), err error) {
	id := &p.Comp.IDs
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &fail.Error{Op: "socketpair", Err: err}
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	// The child closes its copy of the launcher's end of the socket. Otherwise it could wait for ever for a byte from a
	// launcher that has died.
	image, err := child.Link(&plan.Plan{Clone: unix.CLONE_NEWUSER, Steps: []plan.Step{
		plan.CloseStep(plan.F(compile.FileLauncher)),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)),
		plan.RecvByte(plan.F(compile.FileSync)),
	}}, map[string]int{compile.FileLauncher: pair[0], compile.FileSync: pair[1]})
	if err != nil {
		return -1, nil, &fail.Error{Op: "link the plan", Err: err}
	}
	defer image.Release()
	pid, pidfd, err := image.Start()
	if err != nil {
		return -1, nil, p.CloneError(err)
	}
	defer func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) // it may have ended by itself
		_ = child.Reap(pid, pidfd, nil)
		unix.Close(pidfd)
	}()
	dir := "/proc/" + strconv.Itoa(pid)
	// In the id map of an idmapped mount, the id inside is the id on disk: mount_setattr(2).
	if err := p.writeMap(dir+"/uid_map", compile.IDMap(p.Comp.Host.UID, id.OutUID, 1)); err != nil {
		return -1, nil, err
	}
	if err := p.writeMap(dir+"/gid_map", compile.IDMap(p.Comp.Host.GID, id.OutGID, 1)); err != nil {
		return -1, nil, err
	}
	// The descriptor keeps the namespace alive after the child has ended.
	return openUserNS(dir)
}

// writeMaps maps the child's ids from outside. If the caller may not write the map itself, writeMaps uses newuidmap(1).
// The child waits meanwhile, because without a map it has no id.
func (p *Process) writeMaps() error {
	id := &p.Comp.IDs
	dir := "/proc/" + strconv.Itoa(p.PID)
	uids, gids := []string{compile.IDMap(id.InUID, id.OutUID, 1)}, []string{compile.IDMap(id.InGID, id.OutGID, 1)}
	if id.Ranges {
		var err error
		if uids, err = p.withRanges(uids, "/etc/subuid", id.InUID); err != nil {
			return err
		}
		if gids, err = p.withRanges(gids, "/etc/subgid", id.InGID); err != nil {
			return err
		}
		if !p.Comp.Host.GivesIDs() {
			if err := helperMaps("newuidmap", p.PID, uids); err != nil {
				return err
			}
			return helperMaps("newgidmap", p.PID, gids)
		}
	}
	// All lines are written at once, because the kernel accepts only one write to a map: user_namespaces(7).
	if err := p.writeMap(dir+"/uid_map", strings.Join(uids, "\n")); err != nil {
		return err
	}
	return p.writeMap(dir+"/gid_map", strings.Join(gids, "\n"))
}

// helperMaps runs newuidmap(1) or newgidmap(1), which are setuid programs. An ordinary user may map only the user's own
// id. These programs check which ranges of ids the user has, and write the map with their privilege.
func helperMaps(name string, pid int, maps []string) error {
	out, err := helper.Run(name, append([]string{strconv.Itoa(pid)}, strings.Fields(strings.Join(maps, " "))...)...)
	if err != nil {
		return &fail.UnsupportedError{Layer: "userns", Why: strings.TrimSpace(fmt.Sprintf("%s: %v %s", name, err, out)),
			Remedy: "install uidmap and give the user ranges in /etc/subuid and /etc/subgid, or leave out user.ranges"}
	}
	return nil
}

// writeMap writes an id map. If the kernel refuses the map, the error has the cause.
func (p *Process) writeMap(path, text string) error {
	err := writeText(path, text)
	if fail.Errno(err) == unix.EPERM {
		return p.notMapped(err)
	}
	return err
}

// writeText writes a text to a file of the kernel, in a single call. The kernel parses what each call writes, so a text
// in two calls would be two commands.
func writeText(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fail.Error{Op: path, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &fail.Error{Op: "write " + path, Err: err}
	}
	return nil
}
