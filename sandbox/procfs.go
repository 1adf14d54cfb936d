package sandbox

// What the kernel says in the files of /proc: proc(5).

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/sandbox/internal/proc"
)

// first is the first number of a field of proc; -1 for none.
func first(field string) int {
	for _, f := range strings.Fields(field) {
		return number(f)
	}
	return -1
}

// number is what a field of proc says; 0 for none, as before the field was there.
func number(field string) int {
	n, _ := strconv.Atoi(field)
	return n
}

func readlink(path string) (string, error) { return readlinkAt(unix.AT_FDCWD, path) }

func readlinkAt(dir int, path string) (string, error) {
	var buf [64]byte
	n, err := unix.Readlinkat(dir, path, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]), nil
}

// maxProc is how much of a file of proc the launcher reads. The longest is the mount table: about 300,000 mounts.
const maxProc = 64 << 20

// readAll reads a file of proc, whose size is not known before.
func readAll(path string) ([]byte, error) { return proc.Read(path, maxProc) }

// statusField is the value of a line "Key:\tvalue".
func statusField(text []byte, key string) string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok && len(rest) > 0 && rest[0] == ':' {
			return string(bytes.TrimSpace(rest[1:]))
		}
	}
	return "absent"
}

func hex16(v uint64) string {
	s := strconv.FormatUint(v, 16)
	return "0000000000000000"[len(s):] + s
}

// whoIs is the name of a thread's process and its number in the innermost pid namespace: proc_pid_status(5).
func whoIs(tid int) (comm string, pid int) {
	text, err := readAll("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return "", 0
	}
	if f := strings.Fields(statusField(text, "NStgid")); len(f) > 0 {
		pid, _ = strconv.Atoi(f[len(f)-1]) // of the kernel's making
	}
	name, err := readSome("/proc/"+statusField(text, "Tgid")+"/comm", 64)
	if err != nil {
		return "", pid
	}
	return string(bytes.TrimSuffix(name, []byte{'\n'})), pid
}

// rootOutside reports whether a user is root of the host, in the caller's user namespace or in any around it. The kernel's
// own files belong to the host's root, and stat(2) says which number that is here.
func rootOutside(uid int) bool {
	var st unix.Stat_t
	if err := unix.Stat("/proc/sys/kernel/cap_last_cap", &st); err != nil {
		return uid == 0
	}
	const overflow = 65534 // what an id without a number here is shown as
	if uid != overflow {
		return int(st.Uid) == uid
	}
	text, err := readSome("/proc/self/uid_map", 64)
	f := strings.Fields(string(text))
	return err == nil && len(f) > 1 && f[0] == strconv.Itoa(overflow) && f[1] == "0"
}
