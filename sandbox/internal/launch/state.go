package launch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/caches"
	"cordon/sandbox/internal/cache"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/state"
	"cordon/sandbox/ledger"
	"cordon/sandbox/report"
)

// identifyInit records init's pid and start time in the state directory. It is called right after the clone, because
// later init is not dumpable, and then a /proc with hidepid=2 hides init from an ordinary user (proc(5)).
func (p *Process) identifyInit() error {
	return p.identify(p.PID, "pid 1", func(s *state.State) **state.ProcessID { return &s.Init })
}

// identifyTask records the task's pid and start time. It does so before the program runs, because the task may have
// ended by the time another command asks.
func (p *Process) identifyTask() error {
	return p.identify(p.Task, "the task", func(s *state.State) **state.ProcessID { return &s.Task })
}

// identify records a process in the sandbox's state, in the field that where returns.
func (p *Process) identify(pid int, who string, where func(*state.State) **state.ProcessID) error {
	e := p.Cmd.State
	if e == nil {
		return nil
	}
	id, err := state.IdentifyProcess(pid)
	if err != nil {
		return &fail.Error{Op: "identify " + who, Err: phrase.Cause(err)}
	}
	*where(&e.State) = &id
	return nil
}

// keepGroup records the paths of the sandbox's cgroups before a process is in them, because a launcher that is killed
// leaves its groups behind.
func (p *Process) keepGroup() error {
	e := p.Cmd.State
	if e == nil || p.Cgroup == nil {
		return nil
	}
	place := p.Cgroup.Place
	e.State.Cgroup = &place
	// The state is written before the child enters the groups. A command that later finds the lock free reads the paths
	// here, and removes the groups.
	if err := state.Save(e); err != nil {
		return &fail.Error{Op: "keep the state", Err: phrase.Cause(err)}
	}
	return nil
}

// keepState records how the program was started, and begins to serve other commands.
func (p *Process) keepState() error {
	e := p.Cmd.State
	if e == nil {
		return nil
	}
	if m := p.Comp.Profile.Limits.Memory; m.Set {
		e.State.Memory = m.V
	}
	if p.Cgroup != nil { // the path of systemd's cgroup is known only now
		place := p.Cgroup.Place
		e.State.Cgroup = &place
	}
	if err := state.Keep(e, policy.Show(p.Comp.Profile), &p.Comp.Plan); err != nil {
		return &fail.Error{Op: "keep the state", Err: err}
	}
	// A launcher may run for a long time, so it frees memory. Half of its memory is the plan, which is no longer
	// needed.
	p.Comp.Forget()
	return p.ServeControl(state.Root(e))
}

// recordWrites records which files of the host the task can write; package ledger says what the record is for. If the
// sandbox can write nothing of the host, there is no record. A program that joins a sandbox makes no record, because
// the sandbox has one.
func (p *Process) recordWrites() (err error) {
	if p.Comp.Into != nil {
		return nil
	}
	writes := p.Comp.Writes()
	if len(writes) == 0 {
		return nil
	}
	// hidden lists directories that this sandbox can neither see nor replace although it can write around them. The
	// record names them, so that other commands do not refuse them.
	places := p.records()
	var hidden []string
	if h := p.Comp.Host; len(h.StateDirs()) > 1 || h.StateInRecords() { // no sandbox can write the default directory
		hidden = []string{h.State}
		if real, err := filepath.EvalSymlinks(h.State); err == nil && real != h.State { // a home may be a link
			hidden = append(hidden, real)
		}
	}
	if dir := p.Comp.Caches.Shielded; dir != "" {
		hidden = append(hidden[:len(hidden):len(hidden)], dir)
	}
	for _, place := range places { // hidden by compile's guardOwn
		within := func(path string) bool { return paths.Below(place.MemoryPath(), path) }
		if !p.Comp.AsItIs() && slices.ContainsFunc(writes, within) {
			hidden = append(hidden[:len(hidden):len(hidden)], place.MemoryPath())
		}
	}
	p.writes, err = ledger.Begin(places, writes, p.Cmd.Profiles, hidden...)
	var known *ledger.Error
	if errors.As(err, &known) {
		return &fail.Error{Op: known.Op, Err: known.Err, Hint: known.Hint}
	}
	return err
}

// records returns the directories that hold the records of what sandboxes could write.
func (p *Process) records() []ledger.Place {
	if places := p.Cmd.Host.Records; places != nil {
		return places
	}
	return ledger.Places(os.Getenv) // the caller made the Host itself
}

// makeCaches makes the directories of caches.
func (p *Process) makeCaches(s *cache.Set) ([]string, error) { return caches.Make(s, p.records()) }

// reportCaches lists the caches in the report.
func (p *Process) reportCaches() {
	s := p.Comp.Caches.Set
	// A profile without caches, or without a known tool, has no entry.
	if s == nil || len(s.Tools) == 0 {
		return
	}
	list := &report.Caches{Mode: s.Mode, Reads: s.Seeded, Tools: make([]string, len(s.Tools))}
	for i := range s.Tools {
		list.Tools[i] = s.Tools[i].Name
		if len(s.Tools[i].Dirs) > 0 {
			list.Dir = s.Dir
		}
	}
	p.Report.Caches = list
}

// The next part makes directories for the launcher.

// makeOwnDir makes a directory, and the missing directories above it. It follows no link. Only the caller may read
// these directories. In /etc everybody may read them, because a directory of profiles that cannot be read is an error
// for every user.
func makeOwnDir(path string) error {
	mode := uint32(0o700)
	if strings.HasPrefix(path, "/etc/") {
		mode = 0o755
	}
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for _, name := range strings.Split(path[1:], "/") {
		if err != nil {
			return err
		}
		// Each directory is opened relative to its parent's descriptor, so that nobody can put a link in its place.
		var next int
		if next, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == unix.ENOENT {
			if err = unix.Mkdirat(dir, name, mode); err == nil {
				err = unix.Fchmodat(dir, name, mode, 0) // independent of the umask
			}
			// EEXIST: another launcher has made the directory meanwhile.
			if err == nil || err == unix.EEXIST {
				next, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			}
		}
		unix.Close(dir)
		dir = next
	}
	if err == nil {
		unix.Close(dir)
	}
	return err
}

// lookForRepositories reports the git repositories that have appeared during the run.
func (p *Process) lookForRepositories() {
	s := p.Comp.GitSeen
	if s == nil {
		return
	}
	// This is the second search of the run. Its time is reported together with the time of the first search, because
	// the user waits for both.
	begun := time.Now()
	found, complete := s.Appeared()
	p.search.took += time.Since(begun)
	if !complete {
		found = append(found, "there may be new repositories: a directory cannot be searched")
	}
	p.Report.Appeared = found
}
