package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"cordon/sandbox/ledger"
)

// openInput opens a file that is to be read as a whole. It accepts a regular file, or a FIFO that the caller has opened
// and names by its descriptor. Any other FIFO or device could block the reader, or never end. openInput opens the file
// through the descriptor that it has checked, so that it cannot be replaced in between.
func openInput(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	_, own := given(path)
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && (kind != unix.S_IFIFO || !own) {
		return nil, &os.PathError{Op: "open", Path: path, Err: ledger.ErrNotRegular}
	}
	return os.Open("/proc/self/fd/" + strconv.Itoa(fd))
}
