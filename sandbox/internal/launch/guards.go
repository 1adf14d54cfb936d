package launch

// This file keeps the sandbox's guards in place. A guard is a mount that hides or protects a file or directory of the
// host. Two things on the host can undo a guard.
//
// First, somebody may rename another file over the mount point, or remove the mount point, in any other mount
// namespace. Then the kernel detaches the mount in every namespace (Linux 3.18 and newer). An editor that saves a file
// does this, and so do git, passwd(1) and a second sandbox. The kernel reports the change at /proc/PID/mountinfo
// (poll(2), POLLPRI). Second, somebody may rename the mount point itself. Then the mount moves along, and no guard is
// on a new file under the old name. The kernel does not report this, so the launcher watches the directories by
// inotify(7).
//
// After an event the launcher checks each guard that the event is about. If another file has the guard's name, a helper
// process enters the sandbox's user and mount namespaces and mounts the guard again. If that is impossible, the run
// ends. Between the change and the new mount the task can open the file. That takes about a millisecond. If the task
// has a cgroup, the launcher freezes the task for most of this time.

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/child"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/loop"
	"cordon/sandbox/internal/picture"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/plan"
	"cordon/sandbox/report"
)

// watchedMount is a guard, or a hidden name at which no file exists yet.
type watchedMount struct {
	part  picture.Part
	mount string // the mount's id, as in mountinfo; "" while no file has the name
	isDir bool   // a directory has the name now
	count int    // how often the launcher has mounted it again
}

// guards holds what the launcher needs to notice that a guard has vanished, and to mount it again.
type guards struct {
	list  []watchedMount
	table int            // a descriptor of the task's mountinfo; -1 for none
	fds   map[string]int // the sandbox's root and namespaces, by the names of plan files
	names int            // the inotify instance; -1 for none

	globs []picture.AwaitedGlob
	late  map[string]bool      // paths that have matched one of the globs since the start
	at    map[int32]*nameWatch // the watched directories, by watch descriptor
	clock bool                 // the launcher also checks all guards at regular intervals
}

// openGuards opens the descriptors for watching the hiding and protecting mounts. The task has not run its program yet,
// so /proc shows the sandbox's namespaces and root.
func (p *Process) openGuards() error {
	g := &p.guards
	// In three cases there is nothing to watch. A joined sandbox's own launcher watches that sandbox's mounts. An
	// audited program has no such mounts. And a task with CAP_SYS_ADMIN can itself unmount them.
	if p.Comp.Into != nil || p.Comp.AsItIs() || p.Comp.Keep&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return nil
	}
	exposed := p.Comp.Tree.Exposed()
	g.list = make([]watchedMount, 0, len(exposed))
	for _, part := range exposed {
		g.list = append(g.list, watchedMount{part: *part})
	}
	if g.globs = p.Comp.Tree.Globs; len(g.list) == 0 && len(g.globs) == 0 {
		return nil
	}
	g.fds = map[string]int{}
	dir := "/proc/" + strconv.Itoa(p.Task)
	for _, f := range [...]struct {
		name, path string
		flags      int
	}{{attach.FileRoot, "/root", walk.OpenDir}, {compile.FileMountNS, "/ns/mnt", unix.O_RDONLY | unix.O_CLOEXEC}, {compile.FileUserNS, "/ns/user", unix.O_RDONLY | unix.O_CLOEXEC}} {
		fd, err := unix.Open(dir+f.path, f.flags, 0)
		if err != nil {
			return &fail.Error{Op: "guard the mounts: " + dir + f.path, Err: err}
		}
		g.fds[f.name] = fd
	}
	return nil
}

// placeGuards records the mount id of each hiding and protecting mount. visible maps mount points to mount ids.
func (p *Process) placeGuards(visible map[string]string) {
	for i := range p.guards.list {
		g := &p.guards.list[i]
		g.mount = visible[g.part.Target]
	}
}

// namesDelay is how long the launcher waits before it begins to watch the directories of hidden and protected files. So
// the watches do not make the run of a short program longer.
const namesDelay = 2 * time.Millisecond

// guardMounts begins to watch the hiding and protecting mounts. A first check finds changes that happened before the
// directories were watched.
func (p *Process) guardMounts() {
	if p.guards.ended() {
		return
	}
	p.Watch(p.guards.table, unix.POLLPRI, func(int16) { p.mountsChanged() })
	// A caller of the library may rely on every descriptor being open when Start returns, so the watches cannot be
	// opened later.
	if !p.Cmd.Exclusive {
		p.beginNames()
		return
	}
	p.At(time.Now().Add(namesDelay), func() { p.firstLook(loop.Readable(p.Taskfd)) })
}

// firstLook begins to watch the names of hidden and protected files. If the task has ended already, firstLook first
// waits a moment, because if init ends too, the watches are not needed.
func (p *Process) firstLook(ending bool) {
	switch {
	case p.gone || p.guards.ended() || p.exited():
	case ending:
		p.At(time.Now().Add(namesDelay), func() { p.firstLook(false) })
	default:
		p.beginNames()
	}
}

// beginNames watches the names of hidden and protected files, and checks each of them once.
func (p *Process) beginNames() {
	p.guards.names, _ = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK) // -1 if the user has no instance left
	// The watches come before the check: a file that appears between a check and a later watch would stay unseen.
	p.watchNames()
	p.lookAtAll()
}

// guardStep is the interval between checks of the hiding and protecting mounts if the kernel does not report all
// changes.
const guardStep = 100 * time.Millisecond

// byClock begins to check all hiding and protecting mounts at regular intervals.
func (p *Process) byClock() {
	if !p.guards.clock {
		p.guards.clock = true
		p.lookByClock()
	}
}

// lookByClock checks all hiding and protecting mounts now, and again every guardStep while the sandbox lives.
func (p *Process) lookByClock() {
	if p.gone || p.guards.ended() || p.guardErr != nil {
		return
	}
	p.lookAtAll()
	p.At(time.Now().Add(guardStep), p.lookByClock)
}

// lookAtAll checks every hiding and protecting mount, and every name that a pattern hides.
func (p *Process) lookAtAll() {
	p.listGlobs()
	all := make([]int, len(p.guards.list))
	for i := range all {
		all[i] = i
	}
	p.look(all)
}

// mountsChanged checks the guards whose mounts are no longer in the task's mount table.
func (p *Process) mountsChanged() {
	table, err := p.readTable()
	if err != nil { // the task has ended
		p.Unwatch(p.guards.table)
		return
	}
	var lost []int
	for i := range p.guards.list {
		g := &p.guards.list[i]
		at, there := table.ByID[g.mount] // the kernel gives the id of a removed mount to a new one
		if g.mount != "" && (!there || table.List[at].Point != g.part.Target) {
			lost = append(lost, i)
		}
	}
	if lost != nil && p.guards.names >= 0 {
		p.watchNames() // another directory may have the name of a watched one now
		p.lookAtAll()
		return
	}
	p.look(lost)
}

// readTable reads the task's mount table again, through the descriptor that is kept open.
func (p *Process) readTable() (*proc.MountTable, error) {
	if _, err := unix.Seek(p.guards.table, 0, 0); err != nil {
		return nil, err
	}
	text, err := proc.ReadFD(p.guards.table, "mountinfo", proc.MaxProc)
	if err != nil {
		return nil, err
	}
	return proc.ParseMounts(text)
}

// look mounts again those of the guards that are not in place, and checks them once more. If they are still not in
// place after several tries, it ends the run.
func (p *Process) look(suspects []int) {
	for try := 0; len(suspects) > 0 && p.guardErr == nil && !p.gone && !p.guards.ended(); try++ {
		var lost []int
		for _, i := range suspects {
			if !p.holds(&p.guards.list[i]) {
				lost = append(lost, i)
			}
		}
		if len(lost) == 0 {
			return
		}
		// If sandboxes may be nested in this one, they have copies of the mounts, in which nothing can be mounted
		// again.
		if p.Comp.Profile.Nest {
			p.unguarded(&p.guards.list[lost[0]].part, errors.New("a sandbox inside may show what has its name now (nest)"))
			return
		}
		// If a tracer outside stops the helper process, the run ends at once, because the tracer could stop the next
		// helper too.
		if err := p.restore(lost); err != nil && (try == maxRestores || err == child.ErrHeld) || try > maxRestores {
			p.unguarded(&p.guards.list[lost[0]].part, err)
		}
		suspects = lost
	}
}

// maxRestores bounds how often in a row the launcher mounts a guard again, because the host may replace the file each
// time.
const maxRestores = 8

// errTooMany returns the error of a run in which more files to hide have appeared than the launcher can hide.
func errTooMany() error {
	return errors.New("more than " + strconv.Itoa(compile.MaxHidden) + " names that match a hide pattern have appeared during the run")
}

// unguarded ends the run because a file that the profile hides or protects has become reachable.
func (p *Process) unguarded(lost *picture.Part, err error) {
	what := lost.Target + ": somebody replaced it on the host during the run"
	if err == nil {
		err = errors.New("somebody replaces it faster than cordon can cover it")
	}
	p.guardErr = &fail.Error{Op: what, Err: err, From: lost.Rule.Short(),
		Hint: "while the sandbox runs, do not replace a path that it hides or protects by a symbolic link"}
	p.EndNow()
}

// holds reports whether a guard is mounted on the file that has the guard's name now, or no file has the name. It
// records whether there is such a file. If the path cannot be looked up, it returns false.
func (p *Process) holds(g *watchedMount) bool {

	fd, err := walk.InRootNoLinks(p.guards.fds[attach.FileRoot], g.part.Target, unix.O_PATH|unix.O_NOFOLLOW)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		// A link in the path leaves nothing open, because the link's target has a guard under its own name.
		g.mount = ""
		return true
	default:
		return false
	}
	defer unix.Close(fd)
	var st unix.Statx_t // STATX_MNT_ID: the mount's id as in mountinfo, Linux 5.8
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID|unix.STATX_TYPE, &st); err != nil {
		return false
	}
	g.isDir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	return strconv.Itoa(int(st.Mnt_id)) == g.mount
}

// reportGuards adds the guards that were mounted again to the report.
func (p *Process) reportGuards() {
	for i := range p.guards.list {
		if g := &p.guards.list[i]; g.count > 0 {
			p.Report.Restored = append(p.Report.Restored, report.Restored{Path: g.part.Target, Count: g.count, What: g.part.Guards(), Rule: g.part.Rule})
		}
	}
}

// endGuards closes the descriptors of the sandbox's mounts after the task's end, if no process is left in the sandbox.
// Whoever closes the last reference to the mounts waits until the kernel has freed them. If endGuards has closed the
// launcher's references, init has the last one, and a kernel thread waits instead of the launcher.
//
// Every process of the sandbox descends from init, because the pid namespace is the sandbox's own and nobody can join
// it. When the kernel reports the task's end, the task's children are init's already. So no process is left if init has
// no other child.
func (p *Process) endGuards() {
	// With Keep other programs may join, and without a pid namespace processes may no longer descend from init.
	if p.guards.ended() || p.Cmd.Keep || !p.Comp.OwnsPID() {
		return
	}
	pid := strconv.Itoa(p.PID)
	text, err := proc.ReadAll("/proc/" + pid + "/task/" + pid + "/children") // CONFIG_PROC_CHILDREN, proc_pid_task(5)
	if err != nil {
		return
	}
	if left := strings.TrimSpace(string(text)); left == "" || left == strconv.Itoa(p.Task) {
		p.closeGuards()
	}
}

// ended reports whether the launcher is not watching the guards, because it has not begun to or has stopped.
func (g *guards) ended() bool { return len(g.fds) == 0 }

// closeGuards stops watching the guards and closes the descriptors that the watching needs.
func (p *Process) closeGuards() {
	g := &p.guards
	for _, fd := range [...]*int{&g.table, &g.names} {
		if *fd >= 0 {
			p.Unwatch(*fd)
			unix.Close(*fd)
		}
		*fd = -1
	}
	for name, fd := range g.fds {
		unix.Close(fd)
		delete(g.fds, name)
	}
}

// The next part mounts a guard again, by a helper process with a plan of its own: setns(2), open_tree(2),
// move_mount(2). The helper is never in the sandbox's pid namespace, so no task can see, signal or trace it.

// restore mounts lost guards again. If the task has a cgroup, the task is frozen meanwhile.
func (p *Process) restore(lost []int) error {
	thaw := p.freeze()
	defer thaw()
	var again []compile.Lost
	for _, i := range lost {
		again = append(again, compile.Lost{Part: &p.guards.list[i].part, IsDir: p.guards.list[i].isDir})
	}
	repair, err := p.Comp.Repair(again)
	if err == nil {
		err = runRepair(repair, p.guards.fds)
	}
	if err != nil {
		return err
	}
	for _, i := range lost {
		if err := p.checkRestored(&p.guards.list[i]); err != nil {
			return err
		}
	}
	return nil
}

// freeze freezes the sandbox's cgroup, unless somebody else has paused the sandbox. It returns a function that thaws
// the cgroup.
func (p *Process) freeze() (thaw func()) {
	place := p.place()
	if place == nil {
		return func() {}
	}
	// If somebody has paused the sandbox, the launcher must not continue it.
	if frozen, err := place.Frozen(); err != nil || frozen {
		return func() {}
	}
	_ = place.Freeze() // without a freezer the task runs on, and the guard is mounted a moment later all the same
	return func() { _ = place.Thaw() }
}

// runRepair runs a plan in a separate process and waits for its end.
func runRepair(p *plan.Plan, files map[string]int) error {
	im, err := child.Link(p, files)
	if err != nil {
		return err
	}
	defer im.Release()
	pid, pidfd, err := im.Start()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	status, err := child.AwaitHelper(pid, pidfd)
	if err != nil {
		return err
	}
	if f := im.Page().Init; f.Errno != 0 {
		s := &p.Steps[f.Step-1]
		return &fail.StepError{Index: int(f.Step) - 1, Step: s.String(), From: s.From.String(), Errno: unix.Errno(f.Errno)}
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return errors.New("the helper process was killed")
	}
	return nil
}

// checkRestored reads back that a guard is mounted again, with the same restrictions as before.
func (p *Process) checkRestored(g *watchedMount) error {
	table, err := p.readTable()
	if err != nil {
		return err
	}
	for i := range table.List {
		m := &table.List[i]
		// A mount below another mount protects nothing, so the mount that a path reaches must be the guard.
		if m.Point != g.part.Target || !table.Reachable(m) {
			continue
		}
		if proc.HasOption(m.Options, "rw") && !g.part.Write || !proc.HasOption(m.Options, "nosuid") {
			return errors.New("the mount table shows " + m.Options)
		}
		g.mount = m.ID
		g.count++
		return nil
	}
	return errors.New("the mount table does not show it")
}
