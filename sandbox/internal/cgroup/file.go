package cgroup

// A launch reads and writes some twenty files of its group: three calls for each, below a directory that is held open. The
// library's functions look a path up from the root of all trees, ask what file system it is on and read to the end twice:
// here the group was made, or found in a mount table, as what it is.

import "golang.org/x/sys/unix"

// openDir opens a group's directory.
func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// fileSize is more than any file of a group has that is read here; io.stat has a line of at most some 150 for each disk.
const fileSize = 64 << 10

// readAt reads a file of a group. The kernel makes the text of such a file at once, so a read that leaves room has all of it;
// what has a record for each line, as cgroup.procs does, is not read with this.
func readAt(dir int, file string) (string, error) {
	fd, err := unix.Openat(dir, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var few [1024]byte
	n, err := again(fd, few[:], unix.Read)
	if err != nil || n < len(few) {
		return string(few[:max(n, 0)]), err
	}
	rest := make([]byte, fileSize)
	m, err := again(fd, rest, unix.Read)
	return string(few[:n]) + string(rest[:max(m, 0)]), err
}

// writeAt writes to a file of a group, in one piece, as the kernel wants it.
func writeAt(dir int, file, text string) error {
	fd, err := unix.Openat(dir, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = again(fd, []byte(text), unix.Write)
	return err
}

// again makes a call once more for as long as signals interrupt it.
func again(fd int, text []byte, call func(int, []byte) (int, error)) (int, error) {
	for {
		if n, err := call(fd, text); err != unix.EINTR {
			return n, err
		}
	}
}

// writeFile is writeAt for a group that nobody holds open.
func writeFile(dir, file, text string) error { return writeAt(unix.AT_FDCWD, dir+"/"+file, text) }

// exists reports whether there is a file.
func exists(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0) == nil
}
