package record

// What /proc tells of a task: proc(5).

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
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

// status is a field of /proc/TID/status.
func status(tid int, keys ...string) []string {
	out := make([]string, len(keys))
	text, err := os.ReadFile(procPath(tid, "status"))
	if err != nil {
		return out
	}
	for line := range bytes.Lines(text) {
		for i, k := range keys {
			if rest, ok := bytes.CutPrefix(line, []byte(k+":")); ok {
				out[i] = string(bytes.TrimSpace(rest))
			}
		}
	}
	return out
}

// base is the directory that a relative path starts from: the working directory, or an open one.
func base(tid, dirfd int) (string, bool) {
	if dirfd == atFDCWD {
		return link(procPath(tid, "cwd"))
	}
	return link(procPath(tid, "fd/"+strconv.Itoa(dirfd)))
}

// join makes a path absolute, without "." and empty parts. ".." stays where a link may stand before it: resolve decides.
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

// clean takes ".." away as well, where no link is in the way any more.
func clean(path string) string {
	if !strings.Contains(path, "/..") {
		return path
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, part)
		}
	}
	return "/" + strings.Join(parts, "/")
}

// resolve follows the links of an absolute path in the task's own root, and says whether there is anything. What is not
// there yet is named below the directory in which it would be. Paths of /proc stay as they are: they mean another thing
// to each process.
func resolve(root int, path string, follow bool) (resolved string, exists bool) {
	if path == "/proc" || strings.HasPrefix(path, "/proc/") {
		return clean(path), true
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	name := strings.TrimPrefix(path, "/")
	if name == "" {
		name = "."
	}
	fd, err := unix.Openat2(root, name, &how)
	if err == nil {
		defer unix.Close(fd)
		if to, ok := link("/proc/self/fd/" + strconv.Itoa(fd)); ok && strings.HasPrefix(to, "/") {
			return strings.TrimSuffix(to, " (deleted)"), true
		}
		return clean(path), true
	}
	cut := strings.LastIndexByte(path, '/')
	dir, last := path[:cut], path[cut+1:]
	if cut <= 0 || last == ".." {
		return clean(path), false
	}
	dir, _ = resolve(root, dir, true)
	if dir == "/" {
		dir = ""
	}
	return dir + "/" + last, false
}

// buildID is the NT_GNU_BUILD_ID note of an executable, as lower-case hex; "" where there is none.
func buildID(path string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	f, err := elf.NewFile(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<16 {
			continue
		}
		notes := make([]byte, p.Filesz)
		if _, err := p.ReadAt(notes, 0); err != nil {
			continue
		}
		if id := gnuBuildID(notes, f.ByteOrder.Uint32, int(p.Align)); id != "" {
			return id
		}
	}
	return ""
}

// gnuBuildID finds the note in a segment of notes: elf(5), Nhdr.
func gnuBuildID(notes []byte, word func([]byte) uint32, align int) string {
	if align != 8 {
		align = 4
	}
	round := func(n int) int { return (n + align - 1) &^ (align - 1) }
	const header, gnuBuildIDType = 12, 3
	for len(notes) >= header {
		name, desc, kind := int(word(notes)), int(word(notes[4:])), word(notes[8:])
		notes = notes[header:]
		if name < 0 || desc < 0 || name > len(notes) || round(name) > len(notes) || desc > len(notes)-round(name) {
			return ""
		}
		value := notes[round(name) : round(name)+desc]
		if kind == gnuBuildIDType && string(notes[:name]) == "GNU\x00" {
			return hex.EncodeToString(value)
		}
		notes = notes[min(len(notes), round(name)+round(desc)):]
	}
	return ""
}
