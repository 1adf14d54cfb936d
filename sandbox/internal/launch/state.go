package launch

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/phrase"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/state"
	"cordon/sandbox/ledger"
)

// identifyInit records who init is. It comes right after the clone, because later init is not dumpable, and then an
// ordinary user does not see it in a /proc with hidepid=2 (proc(5)).
func (p *Process) identifyInit() error {
	return p.identify(p.PID, "pid 1", func(s *state.State) **state.ProcessID { return &s.Init })
}

// identifyTask records who the task is before the program runs, because the task may end before anybody asks.
func (p *Process) identifyTask() error {
	return p.identify(p.Task, "the task", func(s *state.State) **state.ProcessID { return &s.Task })
}

// identify records a process in the entry's state, in the field that where returns.
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

// keepGroup records where the sandbox's groups are, before anything is in them. A launcher that is killed leaves its
// groups.
func (p *Process) keepGroup() error {
	e := p.Cmd.State
	if e == nil || p.Cgroup == nil {
		return nil
	}
	place := p.Cgroup.Place
	e.State.Cgroup = &place
	if err := state.Save(e); err != nil {
		return &fail.Error{Op: "keep the state", Err: phrase.Cause(err)}
	}
	return nil
}

// keepState records what the program was started with, and begins to listen to other commands.
func (p *Process) keepState() error {
	e := p.Cmd.State
	if e == nil {
		return nil
	}
	if m := p.Comp.Profile.Limits.Memory; m.Set {
		e.State.Memory = m.V
	}
	if p.Cgroup != nil { // the place of systemd's group is known only now
		place := p.Cgroup.Place
		e.State.Cgroup = &place
	}
	if err := state.Keep(e, policy.Show(p.Comp.Profile), &p.Comp.Plan); err != nil {
		return &fail.Error{Op: "keep the state", Err: err}
	}
	// A launcher may live for long, so it frees memory: half of what it holds is the plan, which has been carried
	// out.
	p.Comp.Forget()
	return p.ServeControl(state.Root(e))
}

// The launcher puts on record what the task can write of the host's files: package ledger says why.

// recordWrites puts on record what the task can write. A sandbox that writes nothing of the host leaves no record. A
// program that joins a sandbox needs none, because the sandbox has one.
func (p *Process) recordWrites() (err error) {
	if p.Comp.Into != nil {
		return nil
	}
	paths := p.Comp.Writes()
	if len(paths) == 0 {
		return nil
	}
	places := p.Comp.Host.Records
	if places == nil { // the caller made the Host itself
		places = ledger.Places(os.Getenv)
	}
	var hidden []string
	if dirs := p.Comp.Host.StateDirs(); len(dirs) > 1 { // no run can reach the usual directory
		hidden = dirs[:1]
	}
	p.writes, err = ledger.Begin(places, paths, p.Cmd.Profiles, hidden...)
	var known *ledger.Error
	if errors.As(err, &known) {
		return &fail.Error{Op: known.Op, Err: known.Err, Hint: known.Hint}
	}
	return err
}

// Directories that the launcher makes.

// makeOwnDir makes a directory, and the directories above it that are missing. Each is for the caller alone, and no
// link is followed. In /etc everybody may look into them: a directory in which profiles are searched and that cannot
// be read is an error for all users.
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
		// Each directory is opened by its parent's descriptor, so that nobody can put a link in place of a directory
		// on the way.
		var next int
		if next, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == unix.ENOENT {
			if err = unix.Mkdirat(dir, name, mode); err == nil && mode == 0o755 {
				err = unix.Fchmodat(dir, name, mode, 0) // whatever the umask is
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
	begun := time.Now()
	found, complete := s.Appeared()
	p.search.took += time.Since(begun)
	if !complete {
		found = append(found, "there may be new repositories: a directory cannot be searched")
	}
	p.Report.Appeared = found
}
