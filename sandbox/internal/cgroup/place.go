package cgroup

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"
)

// Place says where a sandbox's groups are. It is plain data that can be kept in a file, and its methods need nothing
// else.
type Place struct {
	Name string `json:"name"`           // of each group: see Name
	Dirs []Dir  `json:"dirs"`           // one for each tree; at least one
	Leaf string `json:"leaf,omitempty"` // where the launcher has moved itself, to make room: Choice.Leaf
	Unit *Unit  `json:"unit,omitempty"` // of systemd, where that made the group
}

// Dir is a group in one tree.
type Dir struct {
	Version     int      `json:"version"` // 1 or 2
	Controllers []string `json:"controllers,omitempty"`
	Path        string   `json:"path"`              // absolute, as the launcher sees it
	Enabled     []string `json:"enabled,omitempty"` // v2: controllers that the launcher has switched on in the parent
}

// Unit is a transient scope of systemd.
type Unit struct {
	Name string `json:"name"`
	User bool   `json:"user,omitempty"` // of the user's manager
}

// dir is the group that has a controller; nil for none. Without a name it is one that any process of the sandbox is in.
func (p *Place) dir(controller string) *Dir {
	for i := range p.Dirs {
		if controller == "" || slices.Contains(p.Dirs[i].Controllers, controller) {
			return &p.Dirs[i]
		}
	}
	return nil
}

// v2 is the group in the v2 tree; nil for none.
func (p *Place) v2() *Dir {
	for i := range p.Dirs {
		if p.Dirs[i].Version == 2 {
			return &p.Dirs[i]
		}
	}
	return nil
}

// Exists reports whether any of the groups is still there.
func (p *Place) Exists() bool {
	return slices.ContainsFunc(p.Dirs, func(d Dir) bool { return exists(d.Path) })
}

// Procs lists the processes in the groups and in those below them, by their numbers in the caller's pid namespace; 0 is
// one of another namespace. A group that is gone has none.
func (p *Place) Procs() ([]int, error) {
	d := p.v2()
	if d == nil {
		d = p.dir("")
	}
	if d == nil { // systemd has not made it
		return nil, nil
	}
	pids, err := cgroups.GetAllPids(d.Path)
	if gone(err) {
		return nil, nil
	}
	return pids, err
}

// gone reports whether an error says that a group does not exist any more.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) }

// ErrNoFreezer says that the groups cannot be frozen: on v1 that takes the freezer controller, on v2 Linux 5.2.
var ErrNoFreezer = errors.New("freeze: the sandbox's groups have no freezer")

// Freeze stops every process, and returns when all are; no signal can start them again, and SIGKILL still ends them.
func (p *Place) Freeze() error { return p.freezer(cgroups.Frozen) }

// Thaw lets them go on.
func (p *Place) Thaw() error { return p.freezer(cgroups.Thawed) }

func (p *Place) freezer(state cgroups.FreezerState) error {
	m, err := p.freezing()
	if err != nil {
		return err
	}
	// On v1 the library gives up within 200 ms, which is not enough where a process has to wait for a processor.
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := m.Freeze(state); err == nil || state != cgroups.Frozen || p.v2() != nil || gone(err) || time.Since(began) > freezeTime {
			return err
		}
	}
}

// freezeTime is how long it is tried.
const freezeTime = 5 * time.Second

// Frozen reports whether they are stopped.
func (p *Place) Frozen() (bool, error) {
	m, err := p.freezing()
	if err != nil {
		return false, err
	}
	state, err := m.GetFreezerState()
	return state == cgroups.Frozen, err
}

// freezing is the library's manager of what can be frozen.
func (p *Place) freezing() (cgroups.Manager, error) {
	if d := p.v2(); d != nil && exists(d.Path+"/cgroup.freeze") {
		return fs2.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, d.Path)
	}
	if d := p.dir("freezer"); d != nil && d.Version == 1 {
		return fs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, map[string]string{"freezer": d.Path})
	}
	return nil, ErrNoFreezer
}

// killTries bounds how often processes are killed one by one, for those that fork meanwhile.
const killTries = 100

// Kill ends every process in the groups: with cgroup.kill (v2, Linux 5.14), which no fork escapes, or otherwise one by
// one until none is left.
func (p *Place) Kill() error {
	if d := p.v2(); d != nil {
		err := writeFile(d.Path, "cgroup.kill", "1")
		if err == nil || gone(err) && !exists(d.Path) {
			return nil
		}
	}
	var left []int
	for range killTries {
		pids, err := p.Procs()
		if err != nil {
			return err
		}
		if left = pids; len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if pid > 0 { // 0 would be the caller's own process group
				_ = unix.Kill(pid, unix.SIGKILL) // gone already is as good
			}
		}
		_ = p.Thaw() // a v1 freezer holds back even SIGKILL
		time.Sleep(time.Millisecond)
	}
	return errors.New("kill: " + strconv.Itoa(len(left)) + " processes are left in " + p.Dirs[0].Path)
}

// Remove removes the groups and those below them, and undoes what was done to make them. Every process must have ended,
// or be about to end. A group that no longer exists is no error.
func (p *Place) Remove() error {
	var errs []error
	for i := range p.Dirs {
		errs = append(errs, cgroups.RemovePath(p.Dirs[i].Path))
	}
	errs = append(errs, p.removeLeaf())
	if p.Unit != nil {
		errs = append(errs, p.Unit.stop())
	}
	return errors.Join(errs...)
}

// removeLeaf removes the group that the launcher had gone to, and moves it back first if it is the caller. No controller
// may be on where it goes (cgroup-v2.rst, "No Internal Process Constraint"), so it stays where another sandbox needs them.
func (p *Place) removeLeaf() error {
	if p.Leaf == "" || !exists(p.Leaf) {
		return nil
	}
	pids, err := cgroups.GetPids(p.Leaf)
	if err != nil {
		return err
	}
	inside := slices.Contains(pids, os.Getpid())
	parent := p.Leaf[:strings.LastIndexByte(p.Leaf, '/')]
	if alone(parent, p.Leaf) {
		if err := p.disable(parent); err != nil {
			return err
		}
		if inside {
			if err := writeFile(parent, "cgroup.procs", "0"); err != nil {
				return err
			}
		}
	} else if inside {
		return nil
	}
	return cgroups.RemovePath(p.Leaf)
}

// disable switches off what was switched on for this sandbox.
func (p *Place) disable(parent string) error {
	if d := p.v2(); d != nil && len(d.Enabled) > 0 {
		return writeFile(parent, "cgroup.subtree_control", "-"+strings.Join(d.Enabled, " -"))
	}
	return nil
}
