package cgroup

// A launch reads and writes about twenty files of its cgroup. The functions in this file make three system calls for
// each file, relative to an open directory. The library's functions make more calls: they look a path up from the root
// of all trees, ask which file system it is on, and read twice to the end. These calls are not needed here, because
// this package has made the group or found it in the mount table.

import "golang.org/x/sys/unix"

// openDir opens a group's directory.
func openDir(path string) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// fileSize is larger than every file that readAt reads. The largest is io.stat, with a line of at most about 150 bytes
// for each disk.
const fileSize = 64 << 10

// readAt reads a file of a group with one read(2). The kernel generates such a file as a whole, so a read that does not
// fill the buffer returns the complete text. In a file with a record on each line, such as cgroup.procs, that is not
// so, and callers must not use readAt for such a file.
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

// writeAt writes the whole text to a file of a group in one write(2), because the kernel requires a single write.
func writeAt(dir int, file, text string) error {
	fd, err := unix.Openat(dir, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = again(fd, []byte(text), unix.Write)
	return err
}

// again repeats a call if a signal has interrupted it.
func again(fd int, text []byte, call func(int, []byte) (int, error)) (int, error) {
	for {
		if n, err := call(fd, text); err != unix.EINTR {
			return n, err
		}
	}
}

// writeFile does what writeAt does, for a group whose directory the caller has not opened.
func writeFile(dir, file, text string) error { return writeAt(unix.AT_FDCWD, dir+"/"+file, text) }

// exists reports whether the path exists.
func exists(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0) == nil
}
