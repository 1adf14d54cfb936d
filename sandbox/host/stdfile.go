package host

// This file describes the caller's descriptors as data, so that a plan can be compiled without the files themselves. A
// descriptor bypasses every mount. So the launcher passes on a descriptor only if it gives access to no other files.

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/fail"
	"cordon/sandbox/internal/walk"
)

// Stdio describes a file that the caller passes to the task. The zero value means that there is none: /dev/null.
type Stdio struct {
	Given    bool
	Number   int    // its descriptor number in the launcher
	Terminal bool   // a terminal of the host
	TTY      string // for a terminal on standard input: its device; "" if that is unknown
	Pipe     bool   // a pipe without a name; no mount and no rule can keep it from a task
	Refused  string // what kind of file it is, if no task may get it; otherwise ""
	Regular  *RegularFile
	Written  bool   // a regular file or a named pipe, open for writing
	Path     string // if Written: the path by which it was opened; "" if that is unknown
	Foreign  bool   // if Written: Path does not lead to the mount in which the file was opened
}

// RegularFile describes a regular file on standard input that is open only for reading.
type RegularFile struct {
	Owner int    // the user who owns it
	Path  string // the path by which it can be opened again
	Err   error  // the reason why it cannot be opened again, or nil
}

// DescribeFile describes one file.
func DescribeFile(f *os.File) (s Stdio) {
	if f == nil {
		return s
	}
	fd := int(f.Fd())
	s.Given, s.Number = true, fd
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return s // it is closed; a later dup will return the same error
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		s.Refused = KindDirectory
	case flags&unix.O_PATH != 0:
		s.Refused = "a place in the host's tree (O_PATH)"
	case kind == unix.S_IFREG:
		s.Refused = refusedRegular(fd, flags)
		s.describeWritten(flags, &st)
	case kind == unix.S_IFIFO:
		if s.Pipe = isAnonymousPipe(fd); !s.Pipe {
			s.describeWritten(flags, &st)
		}
	case kind == unix.S_IFSOCK:
	case kind == unix.S_IFCHR:
		s.Terminal, s.Refused = describeDevice(fd, st.Rdev)
	case kind == unix.S_IFBLK:
		s.Refused = "a block device"
	default:
		s.Refused = anonymous(fd)
	}
	return s
}

// describeWritten records whether a named file is open for writing, and by which path it was opened.
func (s *Stdio) describeWritten(flags int, st *unix.Stat_t) {
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return
	}
	s.Written = true
	if st.Nlink > 0 {
		s.Path, _ = os.Readlink("/proc/self/fd/" + strconv.Itoa(s.Number)) // if this fails, the path is unknown
		s.Foreign = s.Path != "" && !sameMount(s.Number, s.Path)
	}
}

// sameMount reports whether a path leads to the mount in which a file was opened. It does not if the mount belongs to
// another mount namespace, because the kernel does not copy that namespace's mounts: statx(2), STATX_MNT_ID, Linux 5.8.
func sameMount(fd int, path string) bool {
	var opened, named unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &opened) != nil ||
		unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &named) != nil {
		return false
	}
	return opened.Mask&named.Mask&unix.STATX_MNT_ID != 0 && opened.Mnt_id == named.Mnt_id
}

// DescribeStdin describes standard input. If the task's user owns a regular file, the task can open it again. owner
// is that user, or -1.
func DescribeStdin(f *os.File, owner int) Stdio {
	s := DescribeFile(f)
	if !s.Given || s.Refused != "" {
		return s
	}
	if s.Terminal {
		s.TTY, _ = os.Readlink("/proc/self/fd/" + strconv.Itoa(s.Number)) // if this fails, the device is unknown
		return s
	}
	var st unix.Stat_t
	if unix.Fstat(s.Number, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink == 0 || int(st.Uid) != owner {
		return s
	}
	if flags, err := unix.FcntlInt(uintptr(s.Number), unix.F_GETFL, 0); err != nil || flags&(unix.O_ACCMODE|unix.O_PATH) != unix.O_RDONLY {
		return s // a task that may write to the file may also change its mode and times
	}
	s.Regular = &RegularFile{Owner: owner}
	s.Regular.Path, s.Regular.Err = pathOf(s.Number, &st)
	return s
}

// pathOf returns the path by which a descriptor's file can be opened again.
func pathOf(fd int, st *unix.Stat_t) (string, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", fail.Bare(err)
	}
	if !strings.HasPrefix(path, "/") {
		return path, errors.New("it has no path")
	}
	again, err := walk.NoLinks(path, walk.OpenAny)
	if err != nil {
		return path, err
	}
	defer unix.Close(again)
	return path, SameAs(again, st)
}

// SameAs returns an error if a descriptor refers to another file.
func SameAs(fd int, st *unix.Stat_t) error {
	var got unix.Stat_t
	if err := unix.Fstat(fd, &got); err != nil {
		return err
	}
	if got.Dev != st.Dev || got.Ino != st.Ino {
		return errors.New("the path leads to another file")
	}
	return nil
}

// KindDirectory is the value of Stdio.Refused for a directory.
const KindDirectory = "a directory of the host"

// harmless lists the minor numbers of memory devices that contain no data of anybody: null(4), full(4), random(4).
var harmless = [...]uint32{3, 5, 7, 8, 9}

// memMajor is the major number of the memory devices: mem(4).
const memMajor = 1

// describeDevice reports whether a character device is a terminal. For any other device that a task may not get,
// refused is the device's name.
func describeDevice(fd int, dev uint64) (terminal bool, refused string) {
	for _, minor := range harmless {
		if dev == unix.Mkdev(memMajor, minor) {
			return false, ""
		}
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		return true, ""
	}
	return false, "the device " + strconv.Itoa(int(unix.Major(dev))) + ":" + strconv.Itoa(int(unix.Minor(dev)))
}

// refusedRegular returns the name of a file that a task may not get although it is a regular file: a file of proc or of
// a cgroup. A write to such a file has the rights of the process that opened it.
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

// isMemory reports whether a file of proc is /proc/PID/mem (proc_pid_mem(5)) or /proc/kcore. It also returns true if the
// file's path cannot be read.
func isMemory(fd int) bool {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	path = strings.TrimSuffix(path, " (deleted)") // its thread has ended, but the memory of the process remains
	return err != nil || strings.HasSuffix(path, "/mem") || path == "/proc/kcore"
}

// anonymous returns the kernel's name for a file without a path: pidfd, anon_inode:[io_uring], mnt:[4026531832].
func anonymous(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "a file of a kind that cordon does not pass on"
	}
	return path + ", which is no file"
}

func isAnonymousPipe(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
}
