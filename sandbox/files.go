package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/helper"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
)

// fileSet is what the launcher opened for the child, by name. Every number is above those that the task gets, so that
// putting those in place overwrites nothing.
type fileSet struct {
	base     int
	fds      map[string]int
	borrowed string // the name of what stays the launcher's
	closed   bool
}

// borrow names a descriptor that the launcher keeps.
func (s *fileSet) borrow(name string, fd int) {
	s.fds = map[string]int{name: fd}
	s.borrowed = name
}

// add takes a descriptor over, whatever becomes of it.
func (s *fileSet) add(name string, fd int) error {
	if fd < s.base {
		defer unix.Close(fd)
		return s.dup(name, fd)
	}
	s.fds[name] = fd
	return nil
}

func (s *fileSet) dup(name string, fd int) error {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, max(s.base, 3))
	if err != nil {
		return &Error{Op: "duplicate " + name, Err: err}
	}
	s.fds[name] = high
	return nil
}

// closeAll closes what the child has by now. The numbers are kept: the plan's further steps name them.
func (s *fileSet) closeAll() {
	for name, fd := range s.fds {
		if name != s.borrowed && !s.closed {
			unix.Close(fd)
		}
	}
	s.closed = true
}

// openResources opens the namespaces that are joined, the groups and the standard files.
func (p *process) openResources() error {
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
	for i, f := range p.cmd.Stdio {
		if p.comp.brokered(i) {
			continue
		}
		if p.comp.passes(i) || p.comp.reopened(i) {
			continue
		}
		if err := p.openStdio(i, f); err != nil {
			return err
		}
	}
	for i, f := range p.cmd.ExtraFiles {
		if err := p.files.dup(extraName(i), int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}

// openStdio is the file itself, /dev/null for none, and for a terminal that is withheld /dev/null to read from or a
// pipe that the launcher copies. What is counted is a pipe, too.
func (p *process) openStdio(i int, f *os.File) error {
	name := stdioNames[i]
	switch {
	case p.comp.lent(i):
		return p.lendStdin(f)
	case f == nil || i == 0 && p.comp.withheld(i):
		fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return &Error{Op: os.DevNull, Err: err}
		}
		return p.files.add(name, fd)
	case p.comp.withheld(i), p.comp.copied(i):
		return p.relayStdio(i, f)
	}
	return p.files.dup(name, int(f.Fd()))
}

// sendSources makes the detached mounts that the child waits for, and sends them. An idmapped one shows on disk the
// caller's ids where the task sees its own: mount_setattr(2), MOUNT_ATTR_IDMAP, Linux 5.12.
func (p *process) sendSources() error {
	if p.sent == len(p.comp.sources) {
		return nil
	}
	userns, release, err := p.mapping()
	if err != nil {
		return err
	}
	defer release()
	for ; p.sent < len(p.comp.sources); p.sent++ {
		fd, err := p.openDetached(&p.comp.sources[p.sent], userns)
		if err != nil {
			return err
		}
		err = p.send(unix.UnixRights(fd))
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// openDetached is openDetached with the user namespace that the source asks for.
func (p *process) openDetached(s *source, userns int) (int, error) {
	if !s.whole {
		return openDetached(s, userns)
	}
	userns, release, err := openUserNS("/proc/" + strconv.Itoa(p.pid))
	if err != nil {
		return -1, err
	}
	defer release()
	return openDetached(s, userns)
}

func openDetached(s *source, userns int) (int, error) {
	path, err := walk.NoLinks(s.path, walk.OpenAny)
	if err != nil {
		return -1, &Error{Op: s.path, Err: err, From: s.where, Hint: linkHint(err)}
	}
	defer unix.Close(path)
	fd, err := unix.OpenTree(path, "", cloneTree|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, &Error{Op: "open_tree " + s.path, Err: err, From: s.where}
	}
	attr := unix.MountAttr{Attr_set: s.attrs, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", wholeMount, &attr); err != nil {
		unix.Close(fd)
		return -1, &Error{Op: "mount_setattr " + s.path, Err: err, From: s.where}
	}
	if s.plain {
		return fd, nil
	}
	attr = unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)}
	if err := unix.MountSetattr(fd, "", wholeMount, &attr); err != nil {
		unix.Close(fd)
		return -1, &Error{Op: "idmapped mount of " + s.path, Err: err, From: s.where,
			Hint: "this file system, or one mounted below it, cannot be idmapped; --host-user caller runs the task with the caller's own id"}
	}
	return fd, nil
}

func linkHint(err error) string {
	if err == unix.ELOOP {
		return "a symbolic link is on the way; name the place itself"
	}
	return ""
}

// mapping is a user namespace that maps the caller's ids on disk to the task's outside. The sandbox's own does, unless
// the task has another number inside, or ranges, which would show other users' files as its own.
func (p *process) mapping() (fd int, release func(), err error) {
	id := &p.comp.ids
	if id.inUID == p.comp.host.UID && id.inGID == p.comp.host.GID && !id.ranges {
		return openUserNS("/proc/" + strconv.Itoa(p.pid))
	}
	return p.holderMapping()
}

func openUserNS(dir string) (fd int, release func(), err error) {
	fd, err = unix.Open(dir+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &Error{Op: dir + "/ns/user", Err: err}
	}
	return fd, func() { unix.Close(fd) }, nil
}

// holderMapping is a user namespace whose only use is its id map. A child waits in it until the map is written.
func (p *process) holderMapping() (fd int, release func(), err error) {
	id := &p.comp.ids
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &Error{Op: "socketpair", Err: err}
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	image, err := child.Link(&plan.Plan{Clone: unix.CLONE_NEWUSER, Steps: []plan.Step{
		plan.CloseStep(plan.F(fileLauncher)),
		plan.PrctlStep(unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)),
		plan.RecvByte(plan.F(fileSync)),
	}}, map[string]int{fileLauncher: pair[0], fileSync: pair[1]})
	if err != nil {
		return -1, nil, &Error{Op: "link the plan", Err: err}
	}
	defer image.Release()
	pid, pidfd, err := image.Start()
	if err != nil {
		return -1, nil, p.cloneError(err)
	}
	defer func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) // it may have ended by itself
		_ = child.Reap(pid, pidfd, nil)
		unix.Close(pidfd)
	}()
	dir := "/proc/" + strconv.Itoa(pid)
	if err := p.writeMap(dir+"/uid_map", idMap(p.comp.host.UID, id.outUID, 1)); err != nil {
		return -1, nil, err
	}
	if err := p.writeMap(dir+"/gid_map", idMap(p.comp.host.GID, id.outGID, 1)); err != nil {
		return -1, nil, err
	}
	return openUserNS(dir)
}

// writeMaps maps the child's ids from outside, by newuidmap(1) where the caller has no right of its own.
func (p *process) writeMaps() error {
	id := &p.comp.ids
	dir := "/proc/" + strconv.Itoa(p.pid)
	uids, gids := []string{idMap(id.inUID, id.outUID, 1)}, []string{idMap(id.inGID, id.outGID, 1)}
	if id.ranges {
		var err error
		if uids, err = p.withRanges(uids, "/etc/subuid", id.inUID); err != nil {
			return err
		}
		if gids, err = p.withRanges(gids, "/etc/subgid", id.inGID); err != nil {
			return err
		}
		if !p.comp.host.GivesIDs() {
			if err := helperMaps("newuidmap", p.pid, uids); err != nil {
				return err
			}
			return helperMaps("newgidmap", p.pid, gids)
		}
	}
	if err := p.writeMap(dir+"/uid_map", strings.Join(uids, "\n")); err != nil {
		return err
	}
	return p.writeMap(dir+"/gid_map", strings.Join(gids, "\n"))
}

// helperMaps runs newuidmap(1) or newgidmap(1), which are setuid.
func helperMaps(name string, pid int, maps []string) error {
	out, err := helper.Run(name, append([]string{strconv.Itoa(pid)}, strings.Fields(strings.Join(maps, " "))...)...)
	if err != nil {
		return &UnsupportedError{Layer: "userns", Why: strings.TrimSpace(fmt.Sprintf("%s: %v %s", name, err, out)),
			Remedy: "install uidmap and give the user ranges in /etc/subuid and /etc/subgid, or leave out user.ranges"}
	}
	return nil
}

func (p *process) writeMap(path, text string) error {
	err := writeText(path, text)
	if e, ok := err.(*Error); ok {
		e.Hint = p.comp.mapHint(e.Err)
	}
	return err
}

func writeText(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &Error{Op: path, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &Error{Op: "write " + path, Err: err}
	}
	return nil
}
