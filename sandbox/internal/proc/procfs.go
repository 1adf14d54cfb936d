package proc

// What the kernel says in the files of /proc: proc(5).

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ReadSome reads the first n bytes of a file at most, without what os.File brings along.
func ReadSome(path string, n int) ([]byte, error) {
	b, _, err := Head(path, n)
	return b, err
}

// First is the first number of a field of proc; -1 for none.
func First(field string) int {
	for _, f := range strings.Fields(field) {
		return Number(f)
	}
	return -1
}

// Number returns the value of a field of proc. It returns 0 if there is none, as on a kernel that lacks the field.
func Number(field string) int {
	n, _ := strconv.Atoi(field)
	return n
}

// Readlink returns the text of a short link, such as those in /proc/PID/ns.
func Readlink(path string) (string, error) { return ReadlinkAt(unix.AT_FDCWD, path) }

// ReadlinkAt is Readlink for a path below an open directory.
func ReadlinkAt(dir int, path string) (string, error) {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, path, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]), nil
}

// MaxProc is how much of a file of proc the launcher reads. The longest is the mount table: about 300,000 mounts.
const MaxProc = 64 << 20

// ReadAll reads a file of proc, whose size is not known before.
func ReadAll(path string) ([]byte, error) { return Read(path, MaxProc) }

// StatusField is the value of a line "Key:\tvalue".
func StatusField(text []byte, key string) string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok && len(rest) > 0 && rest[0] == ':' {
			return string(bytes.TrimSpace(rest[1:]))
		}
	}
	return "absent"
}

// Hex16 writes a set of capabilities as /proc/PID/status does.
func Hex16(v uint64) string {
	s := strconv.FormatUint(v, 16)
	return "0000000000000000"[len(s):] + s
}

// WhoIs is the name of a thread's process and its number in the innermost pid namespace: proc_pid_status(5).
func WhoIs(tid int) (comm string, pid int) {
	text, err := ReadAll("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return "", 0
	}
	if f := strings.Fields(StatusField(text, "NStgid")); len(f) > 0 {
		pid, _ = strconv.Atoi(f[len(f)-1]) // of the kernel's making
	}
	name, err := ReadSome("/proc/"+StatusField(text, "Tgid")+"/comm", 64)
	if err != nil {
		return "", pid
	}
	return string(bytes.TrimSuffix(name, []byte{'\n'})), pid
}

// RootOutside reports whether a user is root of the host, in the caller's user namespace or in any around it. The kernel's
// own files belong to the host's root, and stat(2) says which number that is here.
func RootOutside(uid int) bool {
	var st unix.Stat_t
	if err := unix.Stat("/proc/sys/kernel/cap_last_cap", &st); err != nil {
		return uid == 0
	}
	const overflow = 65534 // what an id without a number here is shown as
	if uid != overflow {
		return int(st.Uid) == uid
	}
	text, err := ReadSome("/proc/self/uid_map", 64)
	f := strings.Fields(string(text))
	return err == nil && len(f) > 1 && f[0] == strconv.Itoa(overflow) && f[1] == "0"
}

// ChildrenOf are the numbers of a process's children, which belong to its threads.
func ChildrenOf(dir string) (list []string) {
	tasks, _ := os.ReadDir(dir + "/task") // gone meanwhile: none
	for _, t := range tasks {
		text, err := ReadAll(dir + "/task/" + t.Name() + "/children")
		if err == nil {
			list = append(list, strings.Fields(string(text))...)
		}
	}
	return list
}
