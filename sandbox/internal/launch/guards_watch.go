package launch

// The launcher watches the names of guards by inotify(7), so that it can mount over a new file under a hidden name. (A
// guard is a mount that hides or protects something.) It watches the directories that contain guards, or in which a
// pattern hides files. It also watches the directories above these, because another directory may take the place of a
// watched one.
//
// The inodes of a read-only overlay do not report a change of the directory below it, so the launcher watches the
// host's directory instead. After an event there, the overlay may still show no file under a name that it has looked up
// before. So from then on the launcher checks the guards at regular intervals.

import (
	"encoding/binary"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/attach"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/walk"
)

// nameWatch is a directory that the launcher watches.
type nameWatch struct {
	guards []int    // indices in guards.list of the guards whose names lie in this directory
	globs  []int    // indices of guards.globs
	next   []string // names of its subdirectories that lead to other watched directories
	still  bool
}

// nameWatcher adds the inotify watches.
type nameWatcher struct {
	p        *Process
	dirs     map[string]*nameWatch // the entry of a directory that cannot be watched is nil
	complete bool
}

// watchNames watches the existing directories of the guards. If no inotify instance is left
// (fs.inotify.max_user_instances), or a directory cannot be watched, the launcher checks the guards at regular
// intervals.
func (p *Process) watchNames() {
	g := &p.guards
	if g.names < 0 {
		p.byClock()
		return
	}
	before := g.at
	g.at = map[int32]*nameWatch{}
	w := nameWatcher{p: p, dirs: map[string]*nameWatch{}, complete: true}
	for i := range g.list {
		dir, _ := paths.Split(g.list[i].part.Target)
		if n := w.dir(dir, true); n != nil {
			n.guards = append(n.guards, i)
		}
	}
	for i := range g.globs {
		if n := w.dir(g.globs[i].Dir, true); n != nil {
			n.globs = append(n.globs, i)
		}
	}
	// The old watches are removed last, so that each directory is watched all the time. If a directory was already
	// watched, inotify(7) has returned the number of the old watch.
	for wd := range before {
		if g.at[wd] == nil {
			_, _ = unix.InotifyRmWatch(g.names, uint32(wd)) // the kernel may have removed the watch with its directory
		}
	}
	if before == nil {
		p.Watch(g.names, unix.POLLIN, func(int16) { p.namesChanged() })
	}
	if !w.complete {
		p.byClock()
	}
}

// dir watches a directory of the sandbox. It also tries to watch the directories above it on the same mount. If needed
// is true and the directory exists but cannot be watched, dir marks the watches as incomplete.
func (w *nameWatcher) dir(dir string, needed bool) *nameWatch {
	if n, ok := w.dirs[dir]; ok && (n != nil || !needed) {
		return n
	}
	part := w.p.Comp.Tree.At(dir)
	if part == nil {
		return nil
	}
	if dir != part.Target {
		above, name := paths.Split(dir)
		if n := w.dir(above, false); n != nil && !slices.Contains(n.next, name) {
			n.next = append(n.next, name)
		}
	}
	at := "/proc/self/fd/" + strconv.Itoa(w.p.guards.fds[attach.FileRoot]) + dir
	still := part.Still && w.p.Comp.Outside == nil
	// The overlay's inodes would not report a change.
	if still {
		at = w.p.Comp.Tree.HostPath(dir)
	}
	wd, err := unix.InotifyAddWatch(w.p.guards.names, at, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	if err != nil {
		// A directory that does not exist yet leaves nothing unwatched: the watch on its parent reports when it
		// appears.
		w.complete = w.complete && (!needed || err == unix.ENOENT || err == unix.ENOTDIR)
		w.dirs[dir] = nil
		return nil
	}
	n := w.p.guards.at[int32(wd)] // the sandbox may show one directory at two paths
	if n == nil {
		n = &nameWatch{still: still}
		w.p.guards.at[int32(wd)] = n
	}
	w.dirs[dir] = n
	return n
}

// namesRest is how long the launcher ignores the watched directories after many events, so that a task that creates
// files in a loop does not keep the launcher busy.
const namesRest = time.Millisecond

// namesChanged checks the guards whose names may now belong to another file.
func (p *Process) namesChanged() {
	g := &p.guards
	var buf [16 << 10]byte
	n, err := unix.Read(g.names, buf[:])
	if err != nil || n <= 0 {
		return
	}
	var suspects []int
	all := false
	for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		wd := int32(binary.NativeEndian.Uint32(rest))
		mask := binary.NativeEndian.Uint32(rest[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(rest[12:]))
		list, again := p.named(wd, unix.ByteSliceToString(rest[unix.SizeofInotifyEvent:size]))
		// After an overflow the kernel has dropped events, so any name may have changed.
		suspects, all = append(suspects, list...), all || again || mask&unix.IN_Q_OVERFLOW != 0
		rest = rest[size:]
	}
	if all {
		p.watchNames()
		p.lookAtAll()
	} else {
		p.look(suspects)
	}
	// After many events the launcher ignores the directories for a moment. No event is lost: it stays in the queue, or
	// the queue overflows, which the launcher notices.
	if (all || n > len(buf)/2) && g.names >= 0 {
		p.Unwatch(g.names)
		p.At(time.Now().Add(namesRest), func() {
			if g.names >= 0 {
				p.Watch(g.names, unix.POLLIN, func(int16) { p.namesChanged() })
			}
		})
	}
}

// named returns the guards of a watched directory that have the given name. again is true if a subdirectory with that
// name leads to other watched directories.
func (p *Process) named(wd int32, name string) (list []int, again bool) {
	g := &p.guards
	n := g.at[wd]
	if n == nil {
		return nil, false
	}
	for _, i := range n.globs {
		p.appeared(i, name)
	}
	for _, i := range n.guards {
		if _, base := paths.Split(g.list[i].part.Target); base == name {
			list = append(list, i)
		}
	}
	again = slices.Contains(n.next, name)
	if n.still && (again || list != nil) {
		p.byClock()
	}
	return list, again
}

// appeared adds a guard for a new file that a pattern hides, unless a guard with that name exists.
func (p *Process) appeared(glob int, name string) {
	g := &p.guards
	x := &g.globs[glob]
	target := paths.Join(x.Dir, name)
	_, known := p.Comp.Tree.Last[target]
	if ok, err := path.Match(x.Pattern, name); !ok || err != nil || known || g.late[target] {
		return
	}
	// Each guard costs memory and a mount, so their number is limited.
	if len(g.late) > compile.MaxHidden {
		part := x.Part
		part.Target = target
		p.unguarded(&part, errTooMany())
		return
	}
	if g.late == nil {
		g.late = map[string]bool{}
	}
	g.late[target] = true
	w := watchedMount{part: x.Part}
	w.part.Target = target
	g.list = append(g.list, w)
	for _, n := range g.at {
		if slices.Contains(n.globs, glob) {
			n.guards = append(n.guards, len(g.list)-1)
		}
	}
}

// maxAppeared bounds how many names of a directory are matched against a glob.
const maxAppeared = 300_000

// listGlobs makes a guard of everything that a glob now matches.
func (p *Process) listGlobs() {
	for i := range p.guards.globs {
		fd, err := walk.InRootNoLinks(p.guards.fds[attach.FileRoot], p.guards.globs[i].Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
		if err != nil {
			continue // the task cannot list the directory either, or it has been removed
		}
		dir := os.NewFile(uintptr(fd), "")
		names, _ := dir.Readdirnames(maxAppeared)
		dir.Close()
		for _, name := range names {
			p.appeared(i, name)
		}
	}
}
