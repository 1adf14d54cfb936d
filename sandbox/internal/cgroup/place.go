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

// Place tells where a sandbox's groups are. It is plain data that can be stored in a file.
type Place struct {
	Name string `json:"name"`           // the name of each group: see Name
	Dirs []Dir  `json:"dirs"`           // one group for each tree; at least one
	Leaf string `json:"leaf,omitempty"` // the group into which the launcher has moved to make room; "" if it has not
	Unit *Unit  `json:"unit,omitempty"` // the unit, if systemd has made the group
}

// Dir is a group in one cgroup tree.
type Dir struct {
	Version     int      `json:"version"` // the tree's version: 1 or 2
	Controllers []string `json:"controllers,omitempty"`
	Path        string   `json:"path"`              // absolute, as the launcher sees it
	Enabled     []string `json:"enabled,omitempty"` // v2: controllers that the launcher has enabled in the parent
}

// Unit is a transient scope of systemd.
type Unit struct {
	Name string `json:"name"`
	User bool   `json:"user,omitempty"` // the unit belongs to the user's systemd manager, not to the system's
}

// dir returns the group that has a controller, or nil if there is none. If controller is "", it returns the first
// group, because every process of the sandbox is in each group.
func (p *Place) dir(controller string) *Dir {
	for i := range p.Dirs {
		if controller == "" || slices.Contains(p.Dirs[i].Controllers, controller) {
			return &p.Dirs[i]
		}
	}
	return nil
}

// v2 returns the group in the v2 tree, or nil if there is none.
func (p *Place) v2() *Dir {
	for i := range p.Dirs {
		if p.Dirs[i].Version == 2 {
			return &p.Dirs[i]
		}
	}
	return nil
}

// Exists reports whether any of the groups still exists.
func (p *Place) Exists() bool {
	return slices.ContainsFunc(p.Dirs, func(d Dir) bool { return exists(d.Path) })
}

// Procs lists the processes in the groups and in the groups below them, by their pids in the caller's pid namespace. A
// process without a pid in that namespace is listed as 0. If the group no longer exists, the list is empty.
func (p *Place) Procs() ([]int, error) {
	d := p.v2()
	if d == nil {
		d = p.dir("")
	}
	if d == nil { // systemd has not made the group yet
		return nil, nil
	}
	pids, err := cgroups.GetAllPids(d.Path)
	if gone(err) {
		return nil, nil
	}
	return pids, err
}

// gone reports whether an error means that a group no longer exists.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) }

// ErrNoFreezer says that the groups cannot be frozen. Freezing needs the freezer controller on v1, and Linux 5.2 on
// v2.
var ErrNoFreezer = errors.New("freeze: the sandbox's groups have no freezer")

// Freeze stops every process of the sandbox, and returns when all have stopped. Only Thaw continues them; SIGKILL still
// kills them.
func (p *Place) Freeze() error { return p.freezer(cgroups.Frozen) }

// Thaw continues the processes that Freeze has stopped.
func (p *Place) Thaw() error { return p.freezer(cgroups.Thawed) }

func (p *Place) freezer(state cgroups.FreezerState) error {
	m, err := p.freezing()
	if err != nil {
		return err
	}
	// On v1 the library gives up within 200 ms. That is too short if a process waits for a processor.
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := m.Freeze(state); err == nil || state != cgroups.Frozen || p.v2() != nil || gone(err) || time.Since(began) > freezeTime {
			return err
		}
	}
}

// freezeTime is how long freezer tries to freeze a v1 group.
const freezeTime = 5 * time.Second

// Frozen reports whether the processes of the sandbox are frozen.
func (p *Place) Frozen() (bool, error) {
	m, err := p.freezing()
	if err != nil {
		return false, err
	}
	state, err := m.GetFreezerState()
	return state == cgroups.Frozen, err
}

// freezing returns the library's manager for the group that can be frozen.
func (p *Place) freezing() (cgroups.Manager, error) {
	if d := p.v2(); d != nil && exists(d.Path+"/cgroup.freeze") {
		return fs2.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, d.Path)
	}
	if d := p.dir("freezer"); d != nil && d.Version == 1 {
		return fs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, map[string]string{"freezer": d.Path})
	}
	return nil, ErrNoFreezer
}

// killTries is how often Kill goes through the list of processes. Going through it only once is not enough if processes
// fork meanwhile.
const killTries = 100

// Kill kills every process in the groups. It uses cgroup.kill (v2, Linux 5.14), which no fork escapes, or otherwise
// kills the processes one by one until none is left.
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
			if pid > 0 { // kill(0) would mean the caller's own process group
				_ = unix.Kill(pid, unix.SIGKILL) // the next call of Procs shows whether it worked
			}
		}
		_ = p.Thaw() // a v1 freezer delays even SIGKILL
		time.Sleep(time.Millisecond)
	}
	return errors.New("kill: " + strconv.Itoa(len(left)) + " processes are left in " + p.Dirs[0].Path)
}

// Remove removes the groups and the groups below them, and undoes changes in the groups above. Every process must have
// ended, or be about to end. It is no error if a group no longer exists.
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

// removeLeaf removes the group into which the launcher had moved. If the caller is in it, removeLeaf first moves the
// caller back to the parent. The parent must then have no controller enabled (cgroup-v2.rst, "No Internal Process
// Constraint"). So the caller stays as long as another sandbox in the parent needs controllers.
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

// disable disables the controllers that were enabled in the parent for this sandbox.
func (p *Place) disable(parent string) error {
	if d := p.v2(); d != nil && len(d.Enabled) > 0 {
		return writeFile(parent, "cgroup.subtree_control", "-"+strings.Join(d.Enabled, " -"))
	}
	return nil
}
