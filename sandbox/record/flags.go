package record

import "golang.org/x/sys/unix"

const (
	oDirectory  = unix.O_DIRECTORY
	oNofollow   = unix.O_NOFOLLOW
	oTmpfileBit = unix.O_TMPFILE &^ unix.O_DIRECTORY
)
