package proc

import (
	"bytes"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Read returns a whole file of /proc, whose size is not known beforehand. Some of these files are as long as a process
// wants (prctl(2), PR_SET_MM_MAP: arguments of gigabytes). So Read has a limit, and fails with EFBIG if the file is
// longer.
func Read(path string, most int) ([]byte, error) {
	b, whole, err := Head(path, most)
	return all(b, whole, err, path)
}

// ReadFD does the same as Read, for the rest of an open file.
func ReadFD(fd int, path string, most int) ([]byte, error) {
	b, whole, err := HeadFD(fd, path, most)
	return all(b, whole, err, path)
}

func all(b []byte, whole bool, err error, path string) ([]byte, error) {
	if err == nil && !whole {
		err = &fs.PathError{Op: "read", Path: path, Err: unix.EFBIG}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Head returns at most the first most bytes of a file, and reports whether that is the whole file.
func Head(path string, most int) (b []byte, whole bool, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0) // a fifo must not block
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return HeadFD(fd, path, most)
}

// HeadFD does the same as Head, for an open file.
func HeadFD(fd int, path string, most int) ([]byte, bool, error) {
	var first [firstRead]byte // on the stack, because most files are short; only their content is copied
	room := min(most+1, firstRead)
	n, end, err := fill(fd, path, first[:room], room > most)
	if err != nil {
		return nil, false, err
	}
	if end || n > most {
		return bytes.Clone(first[:min(n, most)]), n <= most, nil
	}
	for b := first[:n]; ; {
		room = min(most+1, 4*room)
		larger := make([]byte, len(b), room)
		copy(larger, b)
		n, end, err := fill(fd, path, larger[len(b):room], room > most)
		if err != nil {
			return nil, false, err
		}
		if n += len(b); end || n > most {
			return larger[:min(n, most)], n <= most, nil
		}
		b = larger[:n]
	}
}

// fill reads into room until the file ends or room is full. If last is false, it stops earlier, when the next line may
// no longer fit.
func fill(fd int, path string, room []byte, last bool) (n int, end bool, err error) {
	for n < len(room) && (last || len(room)-n >= aLine) {
		got, err := unix.Read(fd, room[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, false, &fs.PathError{Op: "read", Path: path, Err: err}
		case got == 0:
			return n, true, nil
		default:
			n += got
		}
	}
	return n, false, nil
}

const (
	firstRead = 4 << 10 // size of the first read, before it is known whether the file is longer
	aLine     = 512     // for most files a read returns only whole lines, so this much must be free
)
