package launch

// What the report calls enforced is read back here: the mount table and the namespaces while the task waits before
// exec, so that a mismatch refuses to run; credentials and seccomp from /proc/PID/status behind exec.

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

// checkMounts compares the mounts with what was asked for, while the child goes on: it mounts nothing any more, and
// the task waits for the answer before exec.
func (p *Process) checkMounts() error {
	if err := p.openGuards(); err != nil { // first: the old root goes meanwhile
		return err
	}
	table, err := p.settledTable()
	if err != nil {
		return &fail.Error{Op: "read back the mounts", Err: err}
	}
	visible, bare, err := checkMounts(&p.Comp.Tree, table)
	p.placeGuards(visible)
	// The kernel takes a mount away if the host replaces the file that it covers (Linux 3.18 for other mount namespaces).
	// What hides or protects is mounted again, a few times: a host that goes on replacing it wins, and the launch is refused.
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
	p.missing = append(p.missing, compile.NotStill(bare)...)
	if err := p.checkPrivate(); err != nil {
		return err
	}
	p.enforced(policy.LayerMount, strconv.Itoa(len(visible))+" mounts, read-only but for "+p.Comp.Tree.Writable(), "/proc/PID/mountinfo")
	if found := p.Comp.SocketsText(); found != "" {
		p.enforced(policy.LayerMount, found, "sock_diag, /proc/net/unix")
	}
	return nil
}

// settledTable is the mount table without the old root, which the task is about to give back when it says that it has
// entered the new one. Its going is a change of the table, of which poll(2) tells.
func (p *Process) settledTable() (*proc.MountTable, error) {
	path := "/proc/" + strconv.Itoa(p.Task) + "/mountinfo"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	p.guards.table = fd
	text, err := proc.ReadFD(fd, path, proc.MaxProc)
	if err != nil {
		return nil, err
	}
	table, err := proc.ParseMounts(text)
	for err == nil && table.Covered() {
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

// notMounted is the error for a part that no path reaches. The host may have replaced what it was mounted on meanwhile.
type notMounted struct{ err *fail.Error }

func (e notMounted) Error() string { return e.err.Error() }

func (e notMounted) Unwrap() error { return e.err }

// coverAgain mounts the guards again that the host has taken away since the child mounted them, and returns the mount table
// then; or else the error that it was given. The program does not run yet.
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

// restored is how often guards were mounted again.
func (g *guards) restored() (n int) {
	for i := range g.list {
		n += g.list[i].count
	}
	return n
}

func (p *Process) enforced(layer policy.Layer, found, where string) {
	p.Report.Enforced = append(p.Report.Enforced, report.Enforced{Layer: layer, Found: found, Where: where})
}

// checkNamespaces compares the task's namespaces with the launcher's, or with those that it was to join.
func (p *Process) checkNamespaces() error {
	dir := "/proc/" + strconv.Itoa(p.Task)
	if err := p.compareNamespaces(dir); err != nil {
		return err
	}
	if p.Comp.IDs.NewUser { // otherwise they change later
		if err := p.checkIDs(); err != nil {
			return err
		}
	}
	if p.Comp.OwnNet {
		p.netstat, _ = unix.Open(dir+"/net/snmp", unix.O_RDONLY|unix.O_CLOEXEC, 0) // -1: no hint about the network
	}
	return nil
}

// compareNamespaces looks at each kind in the two directories of proc_pid_ns(5), which are looked up once.
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

// checkNamespace compares one kind: at are the task's directory of namespaces and the launcher's.
func (p *Process) checkNamespace(at [2]int, name string, layer policy.Layer) error {
	its, err := proc.ReadlinkAt(at[0], name)
	if err != nil {
		return &fail.Error{Op: "read back the namespaces", Err: err}
	}
	own, err := proc.ReadlinkAt(at[1], name)
	if err != nil {
		return &fail.Error{Op: "read back the namespaces", Err: err}
	}
	wrong := own == its
	if j := p.Comp.JoinedAs(name); j != nil {
		joined := its == name+":["+strconv.FormatUint(p.found[j.Kind], 10)+"]"
		if name == "mnt" { // a copy of it
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

// checkMounts holds a mount table (proc_pid_mountinfo(5)) against the tree: every part is there, nosuid, and writable
// only where that was asked for; nothing else is writable. It returns the ids of the mounts that a path can reach, by the
// places that they are mounted on.
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
		// A mount that nobody asked for can come by propagation, if the host mounts something meanwhile and a mount is not
		// private.
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
		if part.Still && part.Target == m.Point && m.Source != compile.StillSource {
			bare = append(bare, part.Source)
		}
	}
	for i := range t.Parts {
		p := &t.Parts[i]
		if t.At(p.Target) == p && !p.Absent && visible[p.Target] == "" {
			return visible, nil, notMounted{&fail.Error{Op: "read back the mounts", Err: errors.New(p.Target + " is not mounted"), From: p.Rule.Short()}}
		}
	}
	return visible, bare, nil
}

// confirm reads back what the kernel says of the task now that the program has been exec'd, and lets init reap. Until
// then the task stays readable even if it has ended.
func (p *Process) confirm() error {
	if err := p.checkTask(); err != nil {
		return err
	}
	if p.Comp.Land.On {
		p.enforced(policy.LayerLandlock, "opening what no rule allows: EACCES; ABI "+strconv.Itoa(p.Comp.Host.LandlockABI), "tried before exec")
	}
	p.Report.Version, p.Report.Profile, p.Report.Args = 1, p.Comp.Profile.Name, p.Cmd.Args
	missing := append(slices.Clip(p.Comp.Missing), p.missing...)
	p.Report.Missing = append(missing, clipped(p.Task, p.Comp.Profile.Limits.Rlimits)...)
	p.Report.Ways = append(p.Comp.Ways, p.ways...)
	p.Report.Added, p.Report.Notes = p.Comp.Added, p.Comp.Notes
	p.Report.LeftOut = p.Comp.Left
	if p.exited() {
		return p.ended() // init is gone before it could reap
	}
	if p.terminal != nil {
		p.Image.Page().Linger = 1
	}
	if _, err := unix.Write(p.gate, loop.One[:]); err != nil {
		return &fail.Error{Op: "eventfd", Err: err}
	}
	p.reaping = true
	p.letInitEnd()
	return nil
}

// checkTask reads back what the program runs with, or says that this could not be done: killedWithin.
func (p *Process) checkTask() error {
	if p.Reaped { // the kernel has let go of the task's number
		p.unread()
		return nil
	}
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

// execTakes bounds how long the rest of an execve is waited for.
const execTakes = time.Second

// statusBehindExec is the task's status with the credentials that execve gave it. That it runs the program is known when the
// kernel has let go of its old memory (execve(2) releases robust futexes with it), a moment before it has them.
func (p *Process) statusBehindExec() ([]byte, error) {
	for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		text, err := p.taskStatus()
		if err != nil || !p.Comp.AmidExec(text) || time.Since(began) > execTakes {
			return text, err
		}
	}
}

// taskStatus reads the task's status. The file stays open: a /proc with hidepid may hide the task from its launcher later, as
// where the program's file cannot be read by the caller (proc(5), execve(2)).
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

// seccompDead is the mode of a task that its filter has killed: SECCOMP_MODE_DEAD, Linux 5.17.
const seccompDead = "3"

// checkStatus compares the task's capability sets, no_new_privs and seccomp mode with the profile.
func (p *Process) checkStatus(text []byte) error {
	c := p.Comp
	type field struct {
		key, want string
		layer     policy.Layer
	}
	fields := [...]field{
		{"CapBnd", proc.Hex16(c.Keep), policy.LayerCaps},
		{"CapPrm", proc.Hex16(c.HeldCaps()), policy.LayerCaps},
		{"CapEff", proc.Hex16(c.HeldCaps()), policy.LayerCaps},
		{"CapInh", proc.Hex16(c.Ambient), policy.LayerCaps},
		{"CapAmb", proc.Hex16(c.Ambient), policy.LayerCaps},
		{"NoNewPrivs", "1", policy.LayerNoNewPriv},
		{"Seccomp", "2", policy.LayerSeccomp},
	}
	// CapInh is compared although it gives nothing by itself: a program with inheritable file capabilities would use it.
	for _, f := range fields {
		got := proc.StatusField(text, f.key)
		if f.layer == policy.LayerSeccomp && c.Observed() {
			continue // nothing is enforced by it
		}
		if f.key == "Seccomp" && got == seccompDead {
			got = f.want
		}
		if got != f.want {
			return &fail.Error{Op: "read back the task's status", Err: errors.New(f.key + " is " + got + ", not " + f.want)}
		}
		p.enforced(f.layer, f.key+"="+got, "/proc/PID/status")
	}
	return nil
}
