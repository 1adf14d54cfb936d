package proc

// This file reads the files of /proc: proc(5).

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadSome reads at most the first n bytes of a file, without the cost of an os.File.
func ReadSome(path string, n int) ([]byte, error) {
	b, _, err := Head(path, n)
	return b, err
}

// First returns the first number of a field of /proc, or -1 if the field is empty.
func First(field string) int {
	for _, f := range strings.Fields(field) {
		return Number(f)
	}
	return -1
}

// Number returns the value of a field of /proc. It returns 0 if the value is not a number, for example because the
// kernel lacks the field.
func Number(field string) int {
	n, _ := strconv.Atoi(field)
	return n
}

// Readlink returns the target of a short link, such as those in /proc/PID/ns.
func Readlink(path string) (string, error) { return ReadlinkAt(unix.AT_FDCWD, path) }

// ReadlinkAt does the same as Readlink, for a path relative to an open directory.
func ReadlinkAt(dir int, path string) (string, error) {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, path, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]), nil
}

// MaxProc bounds how many bytes of a file of /proc are read. The longest file is the mount table: 64 MiB hold about
// 300,000 mounts.
const MaxProc = 64 << 20

// ReadAll reads a whole file of /proc, up to MaxProc bytes.
func ReadAll(path string) ([]byte, error) { return Read(path, MaxProc) }

// StatusField returns the value of the line "Key:\tvalue", or "absent" if there is no such line.
func StatusField(text []byte, key string) string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok && len(rest) > 0 && rest[0] == ':' {
			return string(bytes.TrimSpace(rest[1:]))
		}
	}
	return "absent"
}

// Hex16 formats a set of capabilities with 16 hexadecimal digits, as /proc/PID/status does.
func Hex16(v uint64) string {
	s := strconv.FormatUint(v, 16)
	return "0000000000000000"[len(s):] + s
}

// WhoIs returns the name of a thread's process, and its pid in the innermost pid namespace: proc_pid_status(5).
func WhoIs(tid int) (comm string, pid int) {
	text, err := ReadAll("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return "", 0
	}
	if f := strings.Fields(StatusField(text, "NStgid")); len(f) > 0 {
		pid, _ = strconv.Atoi(f[len(f)-1]) // the kernel has written a number
	}
	name, err := ReadSome("/proc/"+StatusField(text, "Tgid")+"/comm", 64)
	if err != nil {
		return "", pid
	}
	return string(bytes.TrimSuffix(name, []byte{'\n'})), pid
}

// RootOutside reports whether a user id is that of the host's root, in the caller's user namespace or in one around it.
// It compares the id with the owner of the kernel's own files, because the host's root owns these.
func RootOutside(uid int) bool {
	var st unix.Stat_t
	if err := unix.Stat("/proc/sys/kernel/cap_last_cap", &st); err != nil {
		return uid == 0
	}
	const overflow = 65534 // stat(2) shows this id for an owner that the namespace does not map
	if uid != overflow {
		return int(st.Uid) == uid
	}
	text, err := ReadSome("/proc/self/uid_map", 64)
	f := strings.Fields(string(text))
	return err == nil && len(f) > 1 && f[0] == strconv.Itoa(overflow) && f[1] == "0"
}

// ChildrenOf returns the pids of a process's children. dir is the process's directory in /proc. The kernel lists the
// children for each thread of the process.
func ChildrenOf(dir string) (list []string) {
	tasks, _ := os.ReadDir(dir + "/task") // empty if the process has ended meanwhile
	for _, t := range tasks {
		text, err := ReadAll(dir + "/task/" + t.Name() + "/children")
		if err == nil {
			list = append(list, strings.Fields(string(text))...)
		}
	}
	return list
}
