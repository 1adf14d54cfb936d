package record

// What /proc tells of a task: proc(5).

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

// link is readlink(2) without what os.Readlink brings along.
func link(path string) (string, bool) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(path, buf[:])
	if err != nil || n == len(buf) {
		return "", false
	}
	return string(buf[:n]), true
}

func procPath(tid int, name string) string { return "/proc/" + strconv.Itoa(tid) + "/" + name }

// maxStatus is a status with the most groups that a process can have: NGROUPS_MAX, setgroups(2).
const maxStatus = 1 << 20

// namesIn returns the names in a directory of proc, so many at most, and whether these are all.
func namesIn(dir string, most int) (names []string, all bool) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, true // gone
	}
	defer f.Close()
	names, err = f.Readdirnames(most + 1)
	if len(names) > most {
		return names[:most], false
	}
	return names, err == nil || err == io.EOF
}

// status is a field of /proc/TID/status.
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

// Parent is the parent of a task, from which in a sandbox everything descends; 0 if it has gone.
func Parent(task int) int {
	pid, _ := strconv.Atoi(status(task, "PPid")[0])
	return pid
}

// join makes a path absolute, without "." and empty parts. It keeps ".." after a name that may be a link; resolve
// handles it.
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

// plain reports whether a relative path has nothing to follow: the kernel has said which directory it starts in.
func plain(name string, follow bool) bool {
	return !follow && !strings.Contains(name, "/") && name != ".." && name != "."
}

// found is the file that a path led to.
type found struct {
	path   string
	exists bool
	kind   recording.FileType
}

// event returns a record of the file, with the requested path and access.
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

// resolve follows the links of an absolute path in the task's own root. What is not there yet is named below the
// directory in which it would be. Paths of /proc stay as they are: they mean another thing to each process.
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

// linkOfProc reports whether a path of /proc is a link to something that a process has: proc_pid_exe(5) and the like.
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

// links returns the links through which the name of a file leads, each by its own name followed by the rest. The first
// is the name itself, in a directory without links. links skips a name with ".." after a link.
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

// linkAt reads a link below a directory.
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

// look is resolve for a path that is resolved already.
func look(root int, name string) found {
	f := found{path: name}
	var st unix.Stat_t
	if unix.Fstatat(root, "."+name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		f.exists, f.kind = true, fileType(st.Mode)
	}
	return f
}

// opened returns the name of an open file, or name if the kernel has none for it.
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

// fileType names the type in a file's mode: inode(7).
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

// openRegular opens a regular file to read it. Another kind is not opened at all: opening a device does something.
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

// fileID is a file as long as it is the same one.
type fileID struct {
	dev, ino uint64
	changed  unix.Timespec
}

// program is the executable of a process.
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
// dynamic loader. execve(2) follows four scripts.
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
