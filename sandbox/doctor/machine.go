package doctor

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/sandbox"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/compile"
	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/helper"
	"cordon/sandbox/internal/passwd"
	"cordon/sandbox/report"
)

// ThisMachine returns the machine on which the caller runs. Its probes leave nothing behind.
func ThisMachine() *Machine {
	m := &Machine{
		UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid(),
		ReadFile: func(path string) (string, error) {
			b, err := os.ReadFile(path)
			return string(b), err
		},
		Stat: func(path string) (fs.FileMode, error) {
			i, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return i.Mode(), nil
		},
		Writable:   func(path string) bool { return unix.Access(path, unix.W_OK) == nil },
		Release:    unameText,
		Namespaces: tryNamespaces,
		Call: func(nr, a, b, c, d, e uintptr) (uintptr, syscall.Errno) {
			r, _, errno := syscall.Syscall6(nr, a, b, c, d, e, 0)
			return r, errno
		},
		IDMap:      tryIDMap,
		Overlay:    tryOverlay,
		Rlimit:     doctorRlimit,
		FileSystem: doctorFileSystem,
		Helper:     helper.Find,
	}
	m.HasCap = func(bit uint) bool {
		eff, _ := strconv.ParseUint(m.status("CapEff"), 16, 64)
		return eff>>bit&1 == 1
	}
	m.Exe, _ = os.Executable()
	database, _ := m.ReadFile(passwd.File)
	m.User = passwd.Find(database, m.UID).Name
	return m
}

func unameText() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}

func doctorRlimit(resource int) (soft, hard uint64) {
	var r unix.Rlimit
	if unix.Getrlimit(resource, &r) != nil {
		return 0, 0
	}
	return r.Cur, r.Max
}

// doctorNowhere is the path of a program that does not exist. If a child's execve fails with ENOENT, every earlier step
// has succeeded.
const doctorNowhere = "/proc/self/doctorNowhere"

// tryNamespaces makes a user namespace and the namespaces in flags, and maps the caller's id. Inside, it uses a
// capability: it calls chroot("/") and, in a mount namespace, changes the propagation of mounts. Then the child tries
// to execute a program that does not exist, so nothing is ever run.
//
// If root may not map its own id, tryNamespaces tries the id that a task of root gets.
func tryNamespaces(flags uintptr) error {
	err := tryNamespacesAs(flags, os.Getuid(), os.Getgid())
	if fail.Errno(err) == syscall.EPERM && os.Getuid() == 0 {
		if own := tryNamespacesAs(flags, compile.FirstTaskID, compile.FirstTaskID); own == nil {
			return nil
		}
	}
	return err
}

func tryNamespacesAs(flags uintptr, uid, gid int) error {
	attr := userNamespaceAttr()
	attr.Sys.UidMappings[0].HostID, attr.Sys.GidMappings[0].HostID = uid, gid
	attr.Sys.Cloneflags |= flags &^ (unix.CLONE_NEWNS | unix.CLONE_NEWTIME)
	attr.Sys.Unshareflags = flags & (unix.CLONE_NEWNS | unix.CLONE_NEWTIME)
	attr.Sys.Chroot = "/"
	attr.Dir = "/"
	pid, err := syscall.ForkExec(doctorNowhere, []string{doctorNowhere}, attr)
	if err == nil {
		doctorWait(pid)
	}
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// doctorWait waits until a child stops or ends.
func doctorWait(pid int) {
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

func userNamespaceAttr() *syscall.ProcAttr {
	return &syscall.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
	}}
}

// tryIDMap makes an idmapped mount of the working directory, and closes it without attaching it anywhere.
func tryIDMap() error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, ".", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	defer unix.Close(tree)
	ns, err := userNamespaceFD()
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	a := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns)}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &a))
}

// userNamespaceFD returns a descriptor of a user namespace that has no processes. It makes the namespace with a child
// that ptrace(2) stops in execve(2), before the first instruction of the program, and then kills the child.
func userNamespaceFD() (int, error) {
	runtime.LockOSThread() // ptrace(2) binds the child to this thread
	defer runtime.UnlockOSThread()
	attr := userNamespaceAttr()
	attr.Sys.Ptrace = true
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"cordon"}, attr)
	if err != nil {
		return -1, errNotTried
	}
	doctorWait(pid)
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	_ = syscall.Kill(pid, syscall.SIGKILL)
	doctorWait(pid)
	return fd, err
}

// tryOverlay starts a sandbox whose root is an overlay.
func tryOverlay() error {
	return Try(&policy.Profile{
		Version:  1,
		Name:     "doctor",
		Root:     policy.Root{Kind: policy.RootHost, Overlay: "tmp"},
		Syscalls: policy.Syscalls{Default: "allow"},
		Landlock: policy.Landlock{Off: true},
	}, "/bin/true")
}

// Before it starts anything, the launcher walks through the directories that a profile shows, which takes long on a
// slow disk. So a start may take startTime, and the run after it tryTime.
const (
	startTime = time.Minute
	tryTime   = 5 * time.Second
)

// Try runs a program in a sandbox with /dev/null as stdin, stdout and stderr, and waits for it. nil means that the
// profile can start on this machine. Try ignores how the program ends, because a strict profile may kill it. If the
// start takes longer than a minute, Try returns an error. A run that has not ended then dies with this process.
func Try(p *policy.Profile, args ...string) error {
	_, err := TryReport(p, args...)
	return err
}

// TryReport does the same as Try, and returns the report of a sandbox that started: which layers it lacks, and what the
// launcher did instead of operations that the host refuses. The report is nil if the run has not ended five seconds
// after its start.
func TryReport(p *policy.Profile, args ...string) (*report.Report, error) {
	h, err := host.Probe()
	if err != nil {
		return nil, err
	}
	if h.Cwd == "/" {
		h.Cwd = "/usr" // so that a bind of the working directory is not a bind of the root
	}
	c := &sandbox.Cmd{Profile: p, Args: args, Host: h}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		err := c.Start()
		started <- err
		if err == nil {
			ended <- c.Wait()
		}
	}()
	select {
	case err := <-started:
		if err != nil {
			return nil, err
		}
	case <-time.After(startTime):
		return nil, errors.New("start: it takes longer than " + startTime.String() + ": a directory that the profile shows may be on a file system that does not answer")
	}
	select {
	case err = <-ended:
	case <-time.After(tryTime):
		return nil, nil // the profile can start
	}
	var exit *sandbox.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	return c.Report, nil
}

// fsNames maps the magic numbers of statfs(2) to names, for file systems that a working directory is likely to have.
var fsNames = [...]struct {
	magic int64
	name  string
}{
	{unix.EXT4_SUPER_MAGIC, "ext4"},
	{unix.XFS_SUPER_MAGIC, "xfs"},
	{unix.BTRFS_SUPER_MAGIC, "btrfs"},
	{unix.TMPFS_MAGIC, "tmpfs"},
	{unix.OVERLAYFS_SUPER_MAGIC, "overlayfs"},
	{unix.NFS_SUPER_MAGIC, "nfs"},
	{unix.FUSE_SUPER_MAGIC, "fuse"},
	{unix.V9FS_MAGIC, "9p"},
	{unix.F2FS_SUPER_MAGIC, "f2fs"},
	{unix.SQUASHFS_MAGIC, "squashfs"},
}

func doctorFileSystem() string {
	var s unix.Statfs_t
	if err := unix.Statfs(".", &s); err != nil {
		return strings.ToLower(errnoText(err))
	}
	for _, f := range fsNames {
		if f.magic == s.Type {
			return f.name
		}
	}
	return "type 0x" + strconv.FormatInt(s.Type, 16)
}
