package host

// This file finds out who can reach a directory.

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/walk"
)

// Private returns nil if only the caller can reach the files in a directory, even if the directory's own mode changes.
// This is so if a directory above it belongs to the caller, has no access control list, and lets nobody else search it.
func (OSFiles) Private(dir string) error {
	fd, err := walk.NoLinks(dir, walk.OpenDir)
	if err == unix.ENOTDIR {
		return errors.New("only of a directory is it known that nobody else can reach it, and this is a file")
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return PrivateAbove(fd)
}

// PrivateAbove returns nil if some directory above an open directory lets only the caller pass. Otherwise the error
// gives the reason.
func PrivateAbove(fd int) error {
	at, err := unix.Dup(fd)
	if err != nil {
		return err
	}
	defer func() { unix.Close(at) }()
	var below, st unix.Stat_t
	if err := unix.Fstat(at, &below); err != nil {
		return err
	}
	for {
		up, err := unix.Openat(at, "..", walk.OpenDir, 0)
		if err != nil {
			return err
		}
		unix.Close(at)
		at = up
		if err := unix.Fstat(at, &st); err != nil {
			return err
		}
		if st.Dev == below.Dev && st.Ino == below.Ino {
			return errors.New("others can search every directory above it")
		}
		if int(st.Uid) == unix.Geteuid() && st.Mode&0o011 == 0 && !hasACL(at) {
			return nil
		}
		below = st
	}
}

// hasACL reports whether a directory has a POSIX access control list (acl(5)). It returns true if the kernel does not
// say.
func hasACL(fd int) bool {
	_, err := unix.Getxattr("/proc/self/fd/"+strconv.Itoa(fd), "system.posix_acl_access", nil)
	return err != unix.ENODATA && err != unix.EOPNOTSUPP
}
