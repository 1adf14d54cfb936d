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

// The tree is similar to systemd's. It has a session of root's, and a subtree that belongs to the ordinary user. In the
// subtree only the leaves contain processes.
//
//	/session        root's processes
//	/user           delegated to the user
//	/user/session   the user's processes
const (
	cgroupRoot = "/sys/fs/cgroup"
	userTree   = cgroupRoot + "/user"
)

// controllers lists the controllers that a sandbox's limits can use. None may be missing.
var controllers = []string{"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}

func cgroups() error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := errors.Join(mount("cgroup2", cgroupRoot, "cgroup2", safe, "nsdelegate,memory_recursiveprot"), enable(cgroupRoot), os.Mkdir(userTree, 0o755), enable(userTree), keepQuotas()); err != nil {
		return err
	}
	return delegate(userTree)
}

// keepQuotas makes a cgroup that has a quota of processor time as long as the machine runs. When the first such
// cgroup appears, and when the last one disappears, the kernel patches its running scheduler (the static key of
// cfs_bandwidth_used). An emulation of two processors does not always survive that: "int3" in pick_task_fair.
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

// delegate gives a subtree to the ordinary user, as in cgroups(7), "Cgroups v2 delegation".
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

// newSession makes the cgroup in which a job's processes start.
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

// endSession kills everything that is left of a job. That includes sandboxes, whose cgroups may be beside the
// session's.
func endSession(dir string) {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if d == cgroupRoot {
			continue
		}
		_ = write(d+"/cgroup.kill", "1") // it may be gone already
	}
	for range 100 {
		if removeTree(dir) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeTree removes a cgroup and all cgroups below it.
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
