package launch

// This file reads back everything that the report calls enforced. The launcher reads the mount table and the namespaces
// while the task waits before execve, so that it can still refuse. It reads credentials and seccomp from
// /proc/PID/status after execve.

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/report"
)

// checkMounts compares the sandbox's mounts with the plan's. The child goes on meanwhile, because it mounts nothing
// more. Before execve the task waits for the launcher's answer.
func (p *Process) checkMounts() error {
	if err := p.openGuards(); err != nil { // this comes first, because the old root is being unmounted meanwhile
		return err
	}
	table, err := p.settledTable()
	if err != nil {
		return &fail.Error{Op: "read back the mounts", Err: err}
	}
	visible, bare, err := checkMounts(&p.Comp.Tree, table)
	p.placeGuards(visible)
	// The kernel removes a mount if the host replaces the file under it (Linux 3.18 for other mount namespaces). The
	// launcher mounts lost hiding and protecting mounts again, a few times. If the host goes on replacing the file, the
	// launch fails.
	for try := 0; errors.As(err, new(notMounted)) && try < maxRestores; try++ {
		if table, err = p.coverAgain(err); err != nil {
			break
		}
		visible, bare, err = checkMounts(&p.Comp.Tree, table)
	}
	if lost := (notMounted{}); errors.As(err, &lost) {
		err = lost.err
	}
	if err != nil {
		return err
	}
	// Without its overlay a directory is less protected, but it shows nothing that the profile forbids. So this is no
	// error, and the report mentions it.
	p.missing = append(p.missing, compile.NotStill(bare)...)
	if err := p.checkPrivate(); err != nil {
		return err
	}
	p.enforced(policy.LayerMount, strconv.Itoa(len(visible))+" mounts, read-only but for "+p.Comp.Tree.Writable(), "/proc/PID/mountinfo")
	if found := p.Comp.SocketsText(); found != "" {
		p.enforced(policy.LayerMount, found, p.Comp.SocketsBy())
	}
	return nil
}

// settledTable returns the mount table once the old root is gone from it. When the task says that it has entered the
// new root, it is still unmounting the old one. poll(2) reports the change of the table.
func (p *Process) settledTable() (*proc.MountTable, error) {
	path := "/proc/" + strconv.Itoa(p.Task) + "/mountinfo"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// The descriptor stays open, because mountsChanged reads the table again whenever poll(2) reports a change.
	p.guards.table = fd
	text, err := proc.ReadFD(fd, path, proc.MaxProc)
	if err != nil {
		return nil, err
	}
	table, err := proc.ParseMounts(text)
	for err == nil && table.Covered() {
		// If the task ends, the table may never change. So the launcher watches the pidfd too.
		if err := p.awaitEvent(unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI}, p.Taskfd); err != nil {
			return nil, err
		}
		if loop.Readable(p.Taskfd) {
			return nil, errors.New("the task has ended")
		}
		table, err = p.readTable()
	}
	return table, err
}

// notMounted is the error if no path reaches a mount of the plan. The host may have replaced the file under the mount.
type notMounted struct{ err *fail.Error }

func (e notMounted) Error() string { return e.err.Error() }

func (e notMounted) Unwrap() error { return e.err }

// coverAgain mounts again those hiding and protecting mounts that the host has removed after the child mounted them,
// and before the program runs. It returns the new mount table. If it has mounted nothing, it returns the error lost.
func (p *Process) coverAgain(lost error) (*proc.MountTable, error) {
	before := p.guards.restored()
	if p.guards.fds != nil {
		p.lookAtAll()
	}
	if p.guardErr != nil {
		return nil, p.guardErr
	}
	if p.guards.restored() == before {
		return nil, lost
	}
	table, err := p.readTable()
	if err != nil {
		return nil, &fail.Error{Op: "read back the mounts", Err: err}
	}
	return table, nil
}

// restored returns how many times the launcher has mounted hiding and protecting mounts again.
func (g *guards) restored() (n int) {
	for i := range g.list {
		n += g.list[i].count
	}
	return n
}

// enforced adds to the report what the kernel says about a layer, and the file in which it says so. Only what was read
// back may be added.
func (p *Process) enforced(layer policy.Layer, found, where string) {
	p.Report.Enforced = append(p.Report.Enforced, report.Enforced{Layer: layer, Found: found, Where: where})
}

// checkNamespaces compares the task's namespaces with the launcher's, or with the namespaces that the task was to join.
// A namespace that the plan makes must differ from the launcher's. Otherwise the report would call a layer enforced
// although the namespace is the host's.
func (p *Process) checkNamespaces() error {
	dir := "/proc/" + strconv.Itoa(p.Task)
	if err := p.compareNamespaces(dir); err != nil {
		return err
	}
	if p.Comp.IDs.NewUser { // otherwise the ids change later
		if err := p.checkIDs(); err != nil {
			return err
		}
	}
	if p.Comp.OwnNet {
		p.netstat, _ = unix.Open(dir+"/net/snmp", unix.O_RDONLY|unix.O_CLOEXEC, 0) // -1: no hint about the network
	}
	return nil
}

// compareNamespaces compares the namespaces of every kind in two directories of proc_pid_ns(5). It opens each directory
// once. It does not compare a kind of namespace that the profile shares with the host.
func (p *Process) compareNamespaces(dir string) error {
	var at [2]int
	for i, path := range [...]string{dir + "/ns", "/proc/self/ns"} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &fail.Error{Op: "read back the namespaces", Err: &os.PathError{Op: "open", Path: path, Err: err}}
		}
		defer unix.Close(fd)
		at[i] = fd
	}
	for i := range host.CloneKinds() {
		k := &host.Kinds[i]
		ns := p.Comp.NsMode(k)
		if ns.Mode == policy.NSHost {
			continue
		}
		if err := p.checkNamespace(at, k.Name, k.Layer); err != nil {
			return err
		}
	}
	if p.Comp.NewTime || p.Comp.JoinedAs("time") != nil {
		return p.checkNamespace(at, "time", policy.LayerTime)
	}
	return nil
}

// checkNamespace compares one kind of namespace. at holds descriptors of the task's and the launcher's /proc/PID/ns.
func (p *Process) checkNamespace(at [2]int, name string, layer policy.Layer) error {
	its, err := proc.ReadlinkAt(at[0], name)
	if err != nil {
		return &fail.Error{Op: "read back the namespaces", Err: err}
	}
	// The links have the form "net:[4026531840]". Two links with the same text mean the same namespace: namespaces(7).
	own, err := proc.ReadlinkAt(at[1], name)
	if err != nil {
		return &fail.Error{Op: "read back the namespaces", Err: err}
	}
	wrong := own == its
	if j := p.Comp.JoinedAs(name); j != nil {
		joined := its == name+":["+strconv.FormatUint(p.found[j.Kind], 10)+"]"
		if name == "mnt" { // the task has a copy of the joined mount namespace
			wrong = wrong || joined
		} else {
			wrong = !joined
		}
	}
	if wrong {
		return &fail.Error{Op: "read back the namespaces", Err: errors.New(name + " is " + its + ", which the profile does not ask for")}
	}
	p.enforced(layer, its, "/proc/PID/ns/"+name)
	return nil
}

// checkMounts compares a mount table (proc_pid_mountinfo(5)) with the mounts of the plan. Each of these mounts must
// exist and be nosuid, and none may be writable unless the profile asks for it. checkMounts returns the ids of the
// mounts that a path can reach, by mount point. bare lists the sources that should be shown through a read-only overlay
// and are not.
func checkMounts(t *picture.Tree, table *proc.MountTable) (visible map[string]string, bare []string, err error) {
	visible = make(map[string]string, len(table.List))
	for i := range table.List {
		m := &table.List[i]
		if !table.Reachable(m) {
			continue
		}
		part := t.At(m.Point)
		var wrong string
		switch {
		// An unexpected mount can come from the host: if a mount of the sandbox is not private, what the host mounts
		// meanwhile propagates to it.
		case part == nil:
			wrong = " was not asked for"
		case proc.HasOption(m.Options, "rw") && !part.Write:
			wrong = " is writable, although the profile says read-only"
		case !proc.HasOption(m.Options, "nosuid"):
			wrong = " honours set-user-ID"
		}
		if wrong != "" {
			e := &fail.Error{Op: "read back the mounts", Err: errors.New(m.Point + wrong)}
			if part != nil {
				e.From = part.Rule.Short()
			}
			return nil, nil, e
		}
		visible[m.Point] = m.ID
		// The overlay is missing, so a task can connect to the sockets in this directory.
		if part.Still && part.Target == m.Point && m.Source != compile.StillSource {
			bare = append(bare, part.Source)
		}
	}
	// So far the check has found no unexpected mount. Now it makes sure that no mount is missing, because a missing
	// hiding mount would show a secret.
	for i := range t.Parts {
		p := &t.Parts[i]
		if t.At(p.Target) == p && !p.Absent && !p.Fleeting && visible[p.Target] == "" {
			return visible, nil, notMounted{&fail.Error{Op: "read back the mounts", Err: errors.New(p.Target + " is not mounted"), From: p.Rule.Short()}}
		}
	}
	return visible, bare, nil
}

// confirm reads back what the kernel says about the task after execve, and then lets init reap. Until then the task's
// status can be read even if the task has ended.
func (p *Process) confirm() error {
	if err := p.checkTask(); err != nil {
		return err
	}
	if p.Comp.Land.On {
		found, by := p.Comp.LandlockTried()
		p.enforced(policy.LayerLandlock, found+"; ABI "+strconv.Itoa(p.Comp.Host.LandlockABI), by)
	}
	p.Report.Version, p.Report.Profile, p.Report.Args = 1, p.Comp.Profile.Name, p.Cmd.Args
	p.Report.InPlace = p.Comp.InPlace()
	missing := append(slices.Clip(p.Comp.Missing), p.missing...)
	p.Report.Missing = append(missing, clipped(p.Task, p.Comp.Profile.Limits.Rlimits)...)
	p.Report.Ways = append(p.Comp.Ways, p.ways...)
	p.Report.Added, p.Report.Notes = p.Comp.Added, p.Comp.Notes
	p.Report.LeftOut = p.Comp.Left
	if p.exited() {
		return p.ended() // init has ended and could not reap
	}
	if p.terminal != nil {
		// Linger must be set before init may reap, because init reads it then.
		p.Image.Page().Linger = 1
	}
	if _, err := unix.Write(p.gate, loop.One[:]); err != nil {
		return &fail.Error{Op: "eventfd", Err: err}
	}
	p.reaping = true
	p.letInitEnd()
	return nil
}

// checkTask reads back what confines the running program. If somebody has killed the program before, it reports that:
// see killedWithin. Every layer that is as the profile wants it is added to the report. The first layer that is not so
// is the error.
func (p *Process) checkTask() error {
	if p.Reaped { // the task has been reaped, so its pid may be another process's
		p.unread()
		return nil
	}
	// A task may end, or be killed, at any time. The launch fails only if the task lives and its status cannot be read.
	text, err := p.statusBehindExec()
	switch {
	case err == nil:
	case p.killedWithin():
		p.unread()
		return nil
	case p.dying():
		return ErrEnded
	default:
		return &fail.Error{Op: "read back the task's status", Err: err}
	}
	if err := p.checkStatus(text); err != nil {
		return err
	}
	return p.checkFilters(text)
}

// execTakes bounds how long the launcher waits for an execve to finish.
const execTakes = time.Second

// statusBehindExec returns the task's status after execve has given the task its new credentials. The launcher learns
// that the program runs when the kernel releases the task's old memory, because execve(2) then releases robust futexes.
// The task gets its new credentials a moment later.
func (p *Process) statusBehindExec() ([]byte, error) {
	for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		text, err := p.taskStatus()
		if err != nil || !p.Comp.AmidExec(text) || time.Since(began) > execTakes {
			return text, err
		}
	}
}

// taskStatus reads the task's /proc/PID/status. The file stays open, because a /proc with hidepid may hide the task
// from its launcher later: for example if the caller cannot read the program's file (proc(5), execve(2)). The format is
// that of proc_pid_status(5).
func (p *Process) taskStatus() ([]byte, error) {
	path := "/proc/" + strconv.Itoa(p.Task) + "/status"
	if p.statusFD >= 0 {
		if _, err := unix.Seek(p.statusFD, 0, 0); err != nil {
			return nil, &os.PathError{Op: "seek", Path: path, Err: err}
		}
		return proc.ReadFD(p.statusFD, path, proc.MaxProc)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	p.statusFD = fd
	return proc.ReadFD(fd, path, proc.MaxProc)
}

// seccompDead is the seccomp mode of a task that its filter has killed: SECCOMP_MODE_DEAD, Linux 5.17.
const seccompDead = "3"

// checkStatus compares the task's capability sets, no_new_privs and seccomp mode with the profile.
func (p *Process) checkStatus(text []byte) error {
	c := p.Comp
	type field struct {
		key, want string
		layer     policy.Layer
	}
	// These are the keys of proc_pid_status(5), in the order of the report. Seccomp is 2 for SECCOMP_MODE_FILTER.
	fields := [...]field{
		{"CapBnd", proc.Hex16(c.Keep), policy.LayerCaps},
		{"CapPrm", proc.Hex16(c.HeldCaps()), policy.LayerCaps},
		{"CapEff", proc.Hex16(c.HeldCaps()), policy.LayerCaps},
		{"CapInh", proc.Hex16(c.Ambient), policy.LayerCaps},
		{"CapAmb", proc.Hex16(c.Ambient), policy.LayerCaps},
		{"NoNewPrivs", "1", policy.LayerNoNewPriv},
		{"Seccomp", "2", policy.LayerSeccomp},
	}
	// CapInh alone gives no right. It is compared because a program with inheritable file capabilities would use it.
	for _, f := range fields {
		got := proc.StatusField(text, f.key)
		if f.layer == policy.LayerSeccomp && c.Observed() {
			continue // a filter that allows every call enforces nothing
		}
		if f.layer == policy.LayerCaps && c.Profile.Nest {
			continue // the program may be in a user namespace of its own by now: see checkSets
		}
		// If the task's filter has killed the task, the filter was in force.
		if f.key == "Seccomp" && got == seccompDead {
			got = f.want
		}
		if f.key == "CapBnd" && c.Unbound() {
			continue // reported as missing
		}
		if got != f.want {
			return &fail.Error{Op: "read back the task's status", Err: errors.New(f.key + " is " + got + ", not " + f.want)}
		}
		p.enforced(f.layer, f.key+"="+got, "/proc/PID/status")
	}
	return nil
}
