package host

// This file answers questions about the host's files that need more than their names.

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/ledger"
)

// Listens reports whether a process listens at a socket. It tries to connect a datagram socket. A listener at a stream
// socket does not notice this: the error is EPROTOTYPE, which means that a process listens. Only ECONNREFUSED means
// that no process listens.
func (OSFiles) Listens(path string) bool {
	file, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err != unix.ENOENT
	}
	defer unix.Close(file)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(file)}) != unix.ECONNREFUSED
}

// Follow resolves a path to a path without links. It fails if a task may have made one of the links.
func (OSFiles) Follow(path string, records []ledger.Place, root bool) (string, error) {
	if records == nil { // nil if the caller has made the Host itself
		records = ledger.Places(os.Getenv)
	}
	g := ledger.Guard{Places: func() []ledger.Place { return records }, Root: root}
	defer g.Close()
	return g.Way(path)
}
