package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The tree is what systemd makes: a session of root's, and a subtree that is the ordinary user's, where processes are in
// leaves alone.
//
//	/session        root's processes
//	/user           delegated: the user's
//	/user/session   the user's processes
const (
	cgroupRoot = "/sys/fs/cgroup"
	userTree   = cgroupRoot + "/user"
)

// controllers are those that a sandbox can have limits in: none may be missing.
var controllers = []string{"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}

func cgroups() error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := errors.Join(mount("cgroup2", cgroupRoot, "cgroup2", safe, "nsdelegate,memory_recursiveprot"), enable(cgroupRoot), os.Mkdir(userTree, 0o755), enable(userTree), keepQuotas()); err != nil {
		return err
	}
	return delegate(userTree)
}

// keepQuotas has one group with a quota of processor time from beginning to end. With the first such group, and with the
// last that goes, the kernel patches its scheduler as it runs (the static key of cfs_bandwidth_used), which the emulation of
// two processors does not always survive: "int3" in pick_task_fair.
func keepQuotas() error {
	const dir = cgroupRoot + "/quota"
	return errors.Join(os.Mkdir(dir, 0o755), write(dir+"/cpu.max", "100000 100000"))
}

func enable(dir string) error {
	for _, c := range controllers {
		if err := write(dir+"/cgroup.subtree_control", "+"+c); err != nil {
			return fmt.Errorf("%s: controller %s: %w", dir, c, err)
		}
	}
	return nil
}

// delegate hands a subtree over, as cgroups(7), "Cgroups v2 delegation", says.
func delegate(dir string) error {
	files, err := os.ReadFile("/sys/kernel/cgroup/delegate")
	if err != nil {
		return err
	}
	err = os.Chown(dir, userID, userID)
	for name := range strings.FieldsSeq(string(files)) {
		if e := os.Chown(filepath.Join(dir, name), userID, userID); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// newSession makes the cgroup that a job's processes are born in.
func newSession(user bool) (*os.File, error) {
	dir := cgroupRoot + "/session"
	if user {
		dir = userTree + "/session"
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if user {
		if err := delegate(dir); err != nil {
			return nil, err
		}
	}
	return os.Open(dir)
}

// endSession ends all that is left of a job, sandboxes too: they may lie beside the session.
func endSession(dir string) {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if d == cgroupRoot {
			continue
		}
		_ = write(d+"/cgroup.kill", "1") // gone already?
	}
	for range 100 {
		if removeTree(dir) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeTree removes a cgroup and those below it.
func removeTree(dir string) error {
	below, _ := filepath.Glob(dir + "/*/")
	for _, d := range below {
		if err := removeTree(d); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
