package walk

import (
	"sync"

	"golang.org/x/sys/unix"
)

// refused caches the result of Refused.
var refused struct {
	asked sync.Once
	yes   bool
}

// Refused reports whether this host refuses openat2(2). It asks the kernel only once.
func Refused() bool {
	refused.asked.Do(func() {
		fd, err := unix.Openat2(-1, ".", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC})
		if err == nil { // impossible: -1 is not a descriptor
			unix.Close(fd)
		}
		refused.yes = err == unix.ENOSYS || err == unix.EPERM
	})
	return refused.yes
}

// InRoot opens a path below the directory root as if that directory were "/": absolute links and ".." cannot leave
// it. It follows no magic link of /proc.
func InRoot(root int, path string, flags int) (int, error) {
	if !Refused() {
		fd, err := openat2(root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		if err != unix.EAGAIN { // the kernel returns EAGAIN for ".." if any directory on the machine is being renamed
			return fd, err
		}
	}
	return From(root, root, path, flags)
}

// InRootNoLinks does the same as InRoot, but fails with ELOOP if the path contains a symbolic link. With O_NOFOLLOW in
// flags the last component may be a link, and InRootNoLinks opens the link itself.
func InRootNoLinks(root int, path string, flags int) (int, error) {
	if !Refused() {
		return openat2(root, path, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	}
	w := walker{root: root, start: root, flags: flags, noLinks: true}
	return w.walk(path)
}

// NoLinks opens an absolute path. It fails with ELOOP if the path contains a symbolic link.
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
