package host

// What the launcher asks the host beyond its file names.

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/ledger"
)

// Listens tries to connect as a socket for datagrams, which nobody who listens notices: if there is somebody it is
// EPROTOTYPE. Only ECONNREFUSED says that nobody is there.
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

// Follow returns where a path leads, without links, if no task can have made one of the links on the way.
func (OSFiles) Follow(path string, records []ledger.Place, root bool) (string, error) {
	if records == nil { // a Host that the caller made
		records = ledger.Places(os.Getenv)
	}
	g := ledger.Guard{Places: func() []ledger.Place { return records }, Root: root}
	defer g.Close()
	return g.Way(path)
}
