package sandbox

// What the caller hands to a sandbox: arguments, variables and descriptors. A NUL ends a string for the kernel: behind
// one, a variable that the profile keeps would be followed by another that it does not. A descriptor is a way past every
// mount, so that only what cannot lead further is handed over.

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
)

// check refuses what does not mean what it seems to.
func (c *Cmd) check() error {
	for i, arg := range c.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			return &Error{Op: "argument " + strconv.Itoa(i), Err: errNUL}
		}
	}
	if strings.IndexByte(c.Dir, 0) >= 0 {
		return &Error{Op: "working directory", Err: errNUL}
	}
	if err := checkEnv(c.Env); err != nil {
		return err
	}
	if p := c.profile(); p != nil {
		if at := nulIn(p); at != "" {
			return &Error{Op: at, Err: errNUL}
		}
	}
	return c.checkFiles()
}

// nulIn returns the key of a text with a NUL in a profile that no file can have said; "" if there is none.
func nulIn(p *policy.Profile) (key string) {
	has := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.IndexByte(s, 0) >= 0 })
	}
	look := func(name string, texts ...string) {
		if has(texts...) {
			key = name
		}
	}
	look("root", p.Root.Dir, p.Root.Overlay)
	for i := range p.Mounts {
		m := &p.Mounts[i]
		if has(m.Source, m.Target, m.Upper) || has(m.Mask.V...) || has(m.ReadOnly.V...) {
			key = "mounts[" + strconv.Itoa(i) + "]"
		}
	}
	for i := range p.Hide {
		if has(p.Hide[i].Pattern) {
			key = "hide[" + strconv.Itoa(i) + "]"
		}
	}
	for i := range p.Env.Set {
		look("env.set", p.Env.Set[i].Name, p.Env.Set[i].Value)
	}
	for _, list := range [...][]policy.PathItem{p.Landlock.Read.V, p.Landlock.Write.V, p.Landlock.Execute.V} {
		for i := range list {
			look("landlock", list[i].Path)
		}
	}
	n := &p.Namespaces
	look("namespaces", n.User.Path, n.Mount.Path, n.PID.Path, n.IPC.Path, n.UTS.Path, n.Cgroup.Path, n.Net.Path, n.Time.Path)
	look("process.workdir", p.Process.Workdir)
	look("hostname", p.Hostname)
	return key
}

var errNUL = errors.New("a NUL in a text")

func quoted(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	return name
}

// checkEnv refuses a NUL. An entry that is no variable is only left out: a caller inherits what somebody else made.
func checkEnv(env []string) error {
	for _, v := range env {
		if strings.IndexByte(v, 0) >= 0 {
			name, _, _ := strings.Cut(v, "=")
			return &Error{Op: "environment " + quoted(name), Err: errNUL}
		}
	}
	return nil
}

// checkFiles refuses descriptors that lead to more than what is behind them.
func (c *Cmd) checkFiles() error {
	for i, f := range c.stdio() {
		if f == nil {
			continue
		}
		if kind := refusedFile(int(f.Fd())); kind != "" {
			return fileError(stdioNames[i], kind)
		}
	}
	for i, f := range c.ExtraFiles {
		if f == nil {
			continue
		}
		fd := int(f.Fd())
		kind := refusedFile(fd)
		if kind == "" && isTerminal(f) && c.hidesTerminal() {
			kind = "a terminal of the host, which tty: inherit alone gives to the task"
		}
		if kind != "" {
			return fileError("extra file "+strconv.Itoa(i), kind)
		}
	}
	return nil
}

func (c *Cmd) hidesTerminal() bool {
	p := c.profile()
	return p == nil || p.TTY != policy.TTYInherit
}

func fileError(name, kind string) error {
	e := &Error{Op: name, Err: errors.New("is " + kind)}
	if kind == kindDirectory {
		e.Hint = "bind the directory with --ro DIR instead"
	} else {
		e.Hint = "regular files, pipes, sockets, terminals and /dev/null and its like can be handed over"
	}
	return e
}

const kindDirectory = "a directory of the host"

// The devices that hold nothing of anybody's: null(4), full(4), random(4).
var harmless = [...]uint64{unix.Mkdev(1, 3), unix.Mkdev(1, 5), unix.Mkdev(1, 7), unix.Mkdev(1, 8), unix.Mkdev(1, 9)}

// refusedFile names what a descriptor is, if a task may not have it; "" if it may.
func refusedFile(fd int) string {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return "" // closed: duplicating it fails with the same error
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return kindDirectory
	case flags&unix.O_PATH != 0:
		return "a place in the host's tree (O_PATH)"
	case kind == unix.S_IFREG:
		return refusedRegular(fd, flags)
	case kind == unix.S_IFIFO, kind == unix.S_IFSOCK:
		return ""
	case kind == unix.S_IFCHR:
		return refusedDevice(fd, st.Rdev)
	case kind == unix.S_IFBLK:
		return "a block device"
	}
	return anonymous(fd)
}

func refusedDevice(fd int, dev uint64) string {
	for _, d := range harmless {
		if d == dev {
			return ""
		}
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		return ""
	}
	return "the device " + strconv.Itoa(int(unix.Major(dev))) + ":" + strconv.Itoa(int(unix.Minor(dev)))
}

// refusedRegular is for what is a regular file by its type alone. Who writes to a file of proc or of a cgroup acts with the
// rights of who opened it.
func refusedRegular(fd, flags int) string {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return ""
	}
	switch fs.Type {
	case unix.NSFS_MAGIC, unix.PID_FS_MAGIC, unix.ANON_INODE_FS_MAGIC:
		return anonymous(fd)
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
		unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.EFIVARFS_MAGIC, unix.SELINUX_MAGIC, unix.BINFMTFS_MAGIC:
		if flags&unix.O_ACCMODE != unix.O_RDONLY {
			return "a file of the kernel's, open for writing"
		}
		if isMemory(fd) {
			return "the memory of a process"
		}
	}
	return ""
}

// isMemory reports whether a file of proc is /proc/PID/mem: proc_pid_mem(5).
func isMemory(fd int) bool {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err != nil || strings.HasSuffix(path, "/mem") || path == "/proc/kcore"
}

// anonymous names what has no path, as the kernel calls it: pidfd, anon_inode:[io_uring], mnt:[4026531832].
func anonymous(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "of no kind that can be handed over"
	}
	return path + ", which is no file"
}
