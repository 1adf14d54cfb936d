package walk

import (
	"sync"

	"golang.org/x/sys/unix"
)

// refused is the kernel's answer to the question of Refused.
var refused struct {
	asked sync.Once
	yes   bool
}

// Refused reports whether this host refuses openat2(2). The kernel is asked once.
func Refused() bool {
	refused.asked.Do(func() {
		fd, err := unix.Openat2(-1, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
		if err == nil { // not possible: -1 is no descriptor
			unix.Close(fd)
		}
		refused.yes = err == unix.ENOSYS || err == unix.EPERM
	})
	return refused.yes
}

// InRoot opens a path below the directory root as if that were "/": absolute links and ".." end there. It follows no
// link of /proc to something that a process has.
func InRoot(root int, path string, flags int) (int, error) {
	if !Refused() {
		fd, err := openat2(root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		if err != unix.EAGAIN { // for "..", while something is renamed anywhere on the machine
			return fd, err
		}
	}
	return From(root, root, path, flags)
}

// InRootNoLinks is InRoot for a path on which a symbolic link is an error: ELOOP. With O_NOFOLLOW in flags the last name
// may be one, and is opened itself.
func InRootNoLinks(root int, path string, flags int) (int, error) {
	if !Refused() {
		return openat2(root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	}
	w := walker{root: root, start: root, flags: flags, noLinks: true}
	return w.walk(path)
}

// NoLinks opens an absolute path. A symbolic link anywhere on the way is ELOOP.
func NoLinks(path string, flags int) (int, error) {
	if !Refused() {
		return openat2(unix.AT_FDCWD, path, flags, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	}
	root, err := unix.Open("/", OpenDir, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	w := walker{root: root, start: root, flags: flags, noLinks: true}
	return w.walk(path)
}

func openat2(dir int, path string, flags int, resolve uint64) (int, error) {
	return unix.Openat2(dir, path, &unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve})
}
