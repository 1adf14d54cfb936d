package sandbox

import "io/fs"

// Host is what a compilation may know of the machine: the kernel, the caller, and a view of the files. It is an
// argument, never a global, so that a test can state the kernel it means.
type Host struct {
	Kernel      [3]int `json:"kernel"`       // uname(2) release, e.g. 6 18 44
	LandlockABI int    `json:"landlock_abi"` // 0: none
	LastCap     int    `json:"last_cap"`
	UID, GID    int
	Groups      []int
	User        string // caller's login name, "" if unknown
	Home        string // of the caller
	Cwd         string // getcwd(2): without symbolic links
	PID         int    // of the launcher
	Files       Files  `json:"-"`
}

// Files is the host's tree as a compilation sees it. Paths are absolute.
type Files interface {
	Lstat(path string) (fs.FileInfo, error)
	Stat(path string) (fs.FileInfo, error)
	Readlink(path string) (string, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	Access(path string, mode uint32) error // access(2) with the caller's real ids
}

// Probe asks the kernel.
func Probe() (*Host, error) { return nil, nil }
