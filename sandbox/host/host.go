package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/passwd"
	"cordon/sandbox/internal/paths"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
	"cordon/sandbox/ledger"
)

// KernelAtLeast reports whether a kernel release is major.minor or later.
func KernelAtLeast(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(rest[:end])
	return x > major || x == major && y >= minor
}

// Host holds everything that a compilation may know about the machine: the kernel, the caller, and the files. It is an
// argument and never a global variable, so that a test can describe any kernel.
type Host struct {
	Kernel      [2]int `json:"kernel"`       // uname(2) release, e.g. 6, 18
	LandlockABI int    `json:"landlock_abi"` // 0 means that there is no Landlock
	LastCap     int    `json:"last_cap"`     // the last capability that the kernel knows
	UID         int    `json:"uid"`
	GID         int    `json:"gid"`
	Privileged  bool   `json:"privileged"`   // root with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID in its effective set
	HostRoot    bool   `json:"host_root"`    // the caller is root on the host, whatever id its namespace shows
	MapsIDs     bool   `json:"maps_ids"`     // HostRoot, with CAP_SETUID and CAP_SETGID in its effective set
	Permitted   uint64 `json:"permitted"`    // the launcher's capabilities
	NofileMax   uint64 `json:"nofile_max"`   // hard RLIMIT_NOFILE
	CoreZero    bool   `json:"core_zero"`    // the hard limit RLIMIT_CORE is 0
	Name        string `json:"name"`         // the caller's name in the password database; "" if there is none
	Home        string `json:"home"`         // HOME as a clean path, or PasswdHome if HOME is not absolute or is "/"
	PasswdHome  string `json:"passwd_home"`  // the caller's home in the password database; "" if there is none
	Cwd         string `json:"cwd"`          // getcwd(2): without symbolic links
	State       string `json:"state"`        // the state directory, which no sandbox may see: see StatePath
	PID         int    `json:"pid"`          // the launcher's pid
	NotifyFlags uint32 `json:"notify_flags"` // flags of seccomp(2) for a filter with a listener; 0 if none is possible
	NotifyWhy   string `json:"notify_why,omitempty"`
	NoOpenat2   bool   `json:"no_openat2,omitempty"`        // openat2(2) is refused: paths are opened component by component
	NoClone3    bool   `json:"no_clone3,omitempty"`         // a filter refuses clone3(2); clone(2) makes the child
	NoTreeAttr  bool   `json:"no_open_tree_attr,omitempty"` // a filter refuses open_tree_attr(2) on Linux 6.15
	Files       Files  `json:"-"`

	Typed  string `json:"-"` // the working directory as PWD names it, perhaps with links; "" if PWD names another one
	Passwd []byte `json:"-"` // the password database, if Probe could read it

	Records []ledger.Place `json:"-"` // where cordon records what sandboxes can write, which no sandbox may see
}

// Since reports whether the kernel has this release or a later one.
func (h *Host) Since(major, minor int) bool {
	return h.Kernel[0] > major || h.Kernel[0] == major && h.Kernel[1] >= minor
}

// GivesIDs reports whether the caller is root and can give a task an id other than its own.
func (h *Host) GivesIDs() bool { return h.Privileged || h.MapsIDs }

// Files is the host's file tree as a compilation sees it. Paths are absolute.
type Files interface {
	Lstat(path string) (fs.FileInfo, error)
	Stat(path string) (fs.FileInfo, error)
	Readlink(path string) (string, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	Read(path string, n int) ([]byte, error) // at most the first n bytes
	Access(path string, mode uint32) error   // access(2) for the caller
	Private(dir string) error                // nil if only the caller can reach the files in dir
	At(root string) Files                    // the tree below root, which ".." and absolute links cannot leave
}

// StatOf returns the result of stat(2) for a file, if the file's tree supplies it.
func StatOf(info fs.FileInfo) (st *syscall.Stat_t, ok bool) {
	st, ok = info.Sys().(*syscall.Stat_t)
	return st, ok
}

// Probe asks the kernel for everything that a compilation needs to know. It takes some microseconds and changes
// nothing.
func Probe() (*Host, error) {
	h := &Host{UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid(), Files: OSFiles{}}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	h.Kernel = Release(unix.ByteSliceToString(uts.Release[:]))
	if abi, err := llsys.LandlockGetABIVersion(); err == nil {
		h.LandlockABI = abi
	}
	var err error
	if h.LastCap, err = lastCap(); err != nil {
		return nil, err
	}
	if h.Cwd, err = getcwd(); err != nil {
		return nil, err
	}
	if h.Typed = paths.Home(os.Getenv("PWD")); h.Typed == h.Cwd {
		h.Typed = ""
	}
	effective, permitted, err := ownCaps()
	if err != nil {
		return nil, err
	}
	const ids = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	const needed = 1<<unix.CAP_SYS_ADMIN | ids
	h.Privileged, h.Permitted = h.UID == 0 && effective&needed == needed, permitted
	h.HostRoot = proc.RootOutside(h.UID)
	h.MapsIDs = h.HostRoot && effective&ids == ids
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return nil, fmt.Errorf("getrlimit: %w", err)
	}
	h.NofileMax = lim.Max
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &lim); err != nil {
		return nil, fmt.Errorf("getrlimit: %w", err)
	}
	h.CoreZero = lim.Max == 0
	h.NotifyFlags, h.NotifyWhy = ProbeListener()
	h.NoOpenat2 = walk.Refused()
	h.NoClone3 = refusesClone3()
	h.NoTreeAttr = h.Since(6, 15) && refusesTreeAttr()
	h.State = StatePath(os.Getenv)
	if text, err := proc.Read(passwd.File, passwd.MaxSize); err == nil {
		h.Passwd = text
		account := passwd.Find(string(text), h.UID)
		h.Name, h.PasswdHome = account.Name, paths.Home(account.Home)
	}
	h.Records = ledger.PlacesOf(h.UID, h.PasswdHome, os.Getenv)
	if h.Home = paths.Home(os.Getenv("HOME")); h.Home == "" {
		h.Home = h.PasswdHome
	}
	return h, nil
}

// refusesTreeAttr reports whether a filter around the launcher refuses open_tree_attr(2). Many filters do, because the
// call is newer than the filters.
func refusesTreeAttr() bool {
	_, _, e := unix.RawSyscall(unix.SYS_OPEN_TREE_ATTR, ^uintptr(0), 0, 0)
	return e == unix.ENOSYS || e == unix.EPERM
}

// refusesClone3 reports whether a filter around the launcher refuses clone3(2). Filters cannot see its flags, so many
// refuse the call as a whole, and expect clone(2) instead. The kernel itself answers EINVAL to a struct of size 0.
func refusesClone3() bool {
	_, _, e := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	return e == unix.ENOSYS || e == unix.EPERM
}

// CwdGone is the text that the kernel appends to the path of a working directory that has been removed:
// proc_pid_cwd(5). No existing directory has such a path, unless somebody makes one on purpose.
const CwdGone = " (deleted)"

// getcwd returns the kernel's answer. os.Getwd would use PWD, which may contain symbolic links.
func getcwd() (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if err == unix.ENOENT {
		if dir, err := os.Readlink("/proc/self/cwd"); err == nil && strings.HasPrefix(dir, "/") && strings.HasSuffix(dir, CwdGone) {
			return dir, nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("getcwd: %w", err)
	}
	dir := string(buf[:n-1])
	if !strings.HasPrefix(dir, "/") { // "(unreachable)" precedes a directory outside of the root
		return "", errors.New("getcwd: the working directory is not below the root")
	}
	return dir, nil
}

// Release returns the first two numbers of a kernel release: 6 and 18 for "6.18.3-amd64".
func Release(s string) (v [2]int) {
	for i := range v {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		v[i], _ = strconv.Atoi(s[:n]) // 0 if there are no digits
		if n == len(s) {
			break
		}
		s = s[n+1:]
	}
	return v
}

// lastCap returns the largest capability that the kernel knows. prctl(2) with PR_CAPBSET_READ fails for an unknown
// capability.
func lastCap() (int, error) {
	has := func(n int) bool {
		_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		return err == nil
	}
	n := unix.CAP_LAST_CAP
	for n < 63 && has(n+1) {
		n++
	}
	for n > 0 && !has(n) {
		n--
	}
	if !has(n) {
		return 0, errors.New("last capability: prctl(2), PR_CAPBSET_READ: the kernel knows none")
	}
	return n, nil
}

// ownCaps returns the launcher's effective and permitted capabilities.
func ownCaps() (effective, permitted uint64, err error) {
	var d [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&hdr, &d[0]); err != nil {
		return 0, 0, fmt.Errorf("capget: %w", err)
	}
	return uint64(d[0].Effective) | uint64(d[1].Effective)<<32, uint64(d[0].Permitted) | uint64(d[1].Permitted)<<32, nil
}

// OSFiles is the launcher's own file tree.
type OSFiles struct{}

// Stat describes the file that a path leads to.
func (OSFiles) Stat(p string) (fs.FileInfo, error) { return os.Stat(p) }

// Readlink returns the text of a symbolic link.
func (OSFiles) Readlink(p string) (string, error) { return os.Readlink(p) }

// Access checks the caller's access to a path, as access(2) does.
func (OSFiles) Access(p string, mode uint32) error { return unix.Access(p, mode) }

// Xattr returns the text of an extended attribute, or "" if there is none: xattr(7).
func (OSFiles) Xattr(p, name string) string {
	var text [16]byte
	n, err := unix.Lgetxattr(p, name, text[:])
	if err != nil {
		return ""
	}
	return string(text[:n])
}

// Read returns at most the first n bytes of a regular file.
func (OSFiles) Read(p string, n int) ([]byte, error) {
	if strings.HasPrefix(p, "/proc/") {
		return proc.ReadSome(p, n) // a file of the kernel, which is always regular
	}
	if text, ok := readPlain(p, n); ok {
		return text, nil
	}
	fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	defer unix.Close(fd)
	return readRegular(fd, p, n)
}
