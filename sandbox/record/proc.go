package record

// This file reads what /proc says about a task: proc(5).

import (
	"bytes"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy/recording"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/walk"
)

// link calls readlink(2) directly, because os.Readlink takes longer.
func link(path string) (string, bool) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(path, buf[:])
	if err != nil || n == len(buf) {
		return "", false
	}
	return string(buf[:n]), true
}

func procPath(tid int, name string) string { return "/proc/" + strconv.Itoa(tid) + "/" + name }

// maxStatus is larger than the status file of a process with as many groups as possible: NGROUPS_MAX, setgroups(2).
const maxStatus = 1 << 20

// namesIn returns names in a directory of /proc, at most the given number. all is true if there are no other names.
func namesIn(dir string, most int) (names []string, all bool) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, true // the process has ended
	}
	defer f.Close()
	names, err = f.Readdirnames(most + 1)
	if len(names) > most {
		return names[:most], false
	}
	return names, err == nil || err == io.EOF
}

// status returns fields of /proc/TID/status. A field is "" if it does not exist or the task has ended.
func status(tid int, keys ...string) []string {
	out := make([]string, len(keys))
	text, _, _ := proc.Head(procPath(tid, "status"), maxStatus)
	for line := range bytes.Lines(text) {
		for i, k := range keys {
			if rest, ok := bytes.CutPrefix(line, []byte(k+":")); ok {
				out[i] = string(bytes.TrimSpace(rest))
			}
		}
	}
	return out
}

// Parent returns the pid of a task's parent, or 0 if the task has ended. Every process of a sandbox descends from the
// task's parent.
func Parent(task int) int {
	pid, _ := strconv.Atoi(status(task, "PPid")[0])
	return pid
}

// join makes a path absolute, and removes "." and empty components. It keeps ".." after a name that may be a link,
// because resolve must follow the link first.
func join(dir, name string) string {
	if !strings.HasPrefix(name, "/") {
		name = dir + "/" + name
	}
	var b strings.Builder
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			b.WriteByte('/')
			b.WriteString(part)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// plain reports whether a path needs no resolving. That is so if it is a name without a slash in a known directory, and
// the call does not follow a link at its end.
func plain(name string, follow bool) bool {
	return !follow && !strings.Contains(name, "/") && name != ".." && name != "."
}

// found is the file to which a path leads.
type found struct {
	path   string
	exists bool
	kind   recording.FileType
}

// event returns an event about the file, with the path for which the program has asked and the access.
func (f *found) event(asked string, want recording.Access) recording.Event {
	e := recording.Event{Path: f.path, Access: want, Type: f.kind}
	if plain := path.Clean(asked); plain != f.path {
		e.Via = plain
	}
	if !f.exists && want&recording.Create == 0 {
		e.Errno = "ENOENT"
	}
	return e
}

// resolve follows the links in an absolute path below the task's root. If the file does not exist, it returns the path
// that the file would have. It does not resolve a path of /proc, because such a path means another file in each
// process.
func resolve(root int, name string, follow bool) found {
	if name == "/proc" || strings.HasPrefix(name, "/proc/") {
		f := found{path: path.Clean(name), exists: true}
		if !follow && linkOfProc(f.path) {
			f.kind = recording.TypeLink
		}
		return f
	}
	flags := unix.O_PATH
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := walk.InRoot(root, "."+name, flags)
	if err == nil {
		defer unix.Close(fd)
		return opened(fd, name)
	}
	cut := strings.LastIndexByte(name, '/')
	if cut < 0 || name == "/" || name[cut+1:] == ".." {
		return found{path: path.Clean(name)}
	}
	dir := resolve(root, name[:cut], true)
	return found{path: path.Clean(dir.path + name[cut:])}
}

// linkOfProc reports whether a path of /proc is a link to a file of a process: see proc_pid_exe(5), for example.
func linkOfProc(name string) bool {
	switch path.Base(name) {
	case "self", "thread-self", "exe", "cwd", "root":
		return true
	}
	switch path.Base(path.Dir(name)) {
	case "fd", "ns", "map_files":
		return true
	}
	return false
}

// maxLinks is how many links a path may lead through: path_resolution(7).
const maxLinks = 40

// links returns the links through which a path leads. Each is given as a path: the link's own name, followed by the
// rest of the path. The first is the path itself, in a directory without links. If ".." follows a link in a path, links
// skips the path.
func links(root int, name string) (through []string) {
	rest := strings.Split(strings.TrimPrefix(path.Clean(name), "/"), "/")
	at := ""
	for len(rest) > 0 && len(through) < maxLinks {
		next := rest[0]
		rest = rest[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			if at = path.Dir(at); at == "/" || at == "." {
				at = ""
			}
			continue
		}
		to, ok := linkAt(root, at+"/"+next)
		if !ok {
			at += "/" + next
			continue
		}
		if !slices.Contains(rest, "..") {
			through = append(through, strings.Join(append([]string{at, next}, rest...), "/"))
		}
		rest = append(strings.Split(to, "/"), rest...)
		if strings.HasPrefix(to, "/") {
			at = ""
		}
	}
	return through
}

// linkAt reads the text of a link below a directory.
func linkAt(root int, name string) (to string, ok bool) {
	fd, err := walk.InRoot(root, "."+name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	return string(buf[:max(n, 0)]), err == nil && n > 0
}

// look does what resolve does, for a path that is already resolved.
func look(root int, name string) found {
	f := found{path: name}
	var st unix.Stat_t
	if unix.Fstatat(root, "."+name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		f.exists, f.kind = true, fileType(st.Mode)
	}
	return f
}

// opened returns the path of an open file. If the kernel knows no path for the file, it returns name.
func opened(fd int, name string) found {
	f := found{path: path.Clean(name), exists: true}
	if to, ok := link("/proc/self/fd/" + strconv.Itoa(fd)); ok && strings.HasPrefix(to, "/") {
		f.path = path.Clean(strings.TrimSuffix(to, " (deleted)"))
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		f.kind = fileType(st.Mode)
	}
	return f
}

// fileType returns the type that a file's mode says: inode(7).
func fileType(mode uint32) recording.FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return recording.TypeFile
	case unix.S_IFDIR:
		return recording.TypeDir
	case unix.S_IFLNK:
		return recording.TypeLink
	case unix.S_IFSOCK:
		return recording.TypeSocket
	case unix.S_IFIFO:
		return recording.TypeFIFO
	case unix.S_IFCHR:
		return recording.TypeChar
	case unix.S_IFBLK:
		return recording.TypeBlock
	}
	return recording.TypeUnknown
}

// openRegular opens a regular file for reading, and no other kind of file, because opening a device can have effects.
func openRegular(root int, name string) (int, error) {
	fd, err := walk.InRoot(root, "."+name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, unix.EINVAL
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// fileID identifies a file and its content: if the file changes, its fileID changes too.
type fileID struct {
	dev, ino uint64
	changed  unix.Timespec
}

// program returns the executable that a process runs. ok is false if the process has ended.
func (g *gather) program(tid int) (x recording.Executable, ok bool) {
	exe := procPath(tid, "exe")
	var st unix.Stat_t
	to, ok := link(exe)
	if !ok || unix.Stat(exe, &st) != nil {
		return x, false
	}
	id := fileID{st.Dev, st.Ino, st.Ctim}
	x, known := g.files[id]
	if !known {
		if fd, err := unix.Open(exe, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
			id, loader, isELF := inspect(fd)
			x.BuildID, x.Static = id, isELF && loader == ""
		}
	}
	x.Path = path.Clean(strings.TrimSuffix(to, " (deleted)"))
	if known || g.room("executables", len(x.Path)+len(x.BuildID)) {
		g.files[id] = x
	}
	return x, true
}

// loads returns the other files that the kernel opens when it executes a file: the interpreters of scripts, and the
// dynamic loader. A script's interpreter may be a script too; execve(2) follows up to four.
func loads(root int, name string) (also []string) {
	for range 5 {
		fd, err := openRegular(root, name)
		if err != nil {
			return also
		}
		var head [256]byte
		n, _ := unix.Pread(fd, head[:], 0)
		if n < 2 || string(head[:2]) != "#!" {
			if _, loader, _ := inspect(fd); strings.HasPrefix(loader, "/") {
				also = append(also, loader)
			}
			return also
		}
		unix.Close(fd)
		line, _, _ := strings.Cut(string(head[2:n]), "\n")
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], "/") {
			return also
		}
		name = f[0]
		also = append(also, name)
	}
	return also
}
