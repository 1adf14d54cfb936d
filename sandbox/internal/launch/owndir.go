package launch

// Directories that the launcher makes.

import (
	"strings"

	"golang.org/x/sys/unix"
)

// makeOwnDir makes a directory and those above it that are missing, each for the caller alone and none through a link. In
// /etc everybody may look into it: where profiles are searched, a directory that cannot be read is an error for all users.
func makeOwnDir(path string) error {
	mode := uint32(0o700)
	if strings.HasPrefix(path, "/etc/") {
		mode = 0o755
	}
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for _, name := range strings.Split(path[1:], "/") {
		if err != nil {
			return err
		}
		var next int
		if next, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == unix.ENOENT {
			if err = unix.Mkdirat(dir, name, mode); err == nil && mode == 0o755 {
				err = unix.Fchmodat(dir, name, mode, 0) // whatever the umask
			}
			if err == nil || err == unix.EEXIST {
				next, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			}
		}
		unix.Close(dir)
		dir = next
	}
	if err == nil {
		unix.Close(dir)
	}
	return err
}
