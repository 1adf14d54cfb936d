// Package proc reads what the sandbox's packages need from /proc.
package proc

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// StartTime returns the start time of a process or thread in clock ticks since boot, from its stat file:
// proc_pid_stat(5), field 22. pid and start time together identify a process. The error wraps fs.ErrNotExist if the
// process does not exist.
func StartTime(stat string) (uint64, error) {
	fd, err := unix.Open(stat, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var text [1024]byte // the file has about 300 bytes
	n, err := unix.Read(fd, text[:])
	for err == unix.EINTR {
		n, err = unix.Read(fd, text[:])
	}
	if err == unix.ESRCH { // the process has ended meanwhile
		return 0, unix.ENOENT
	}
	if err != nil {
		return 0, err
	}
	st, err := ParseStat(text[:n])
	return st.Start, err
}

// Tick is the unit of times in proc_pid_stat(5): USER_HZ is 100 on every supported architecture.
const Tick = time.Second / 100

// Stat holds the fields of proc_pid_stat(5) that the sandbox's packages use.
type Stat struct {
	Comm, State string
	PPID        int
	Terminal    int // the device number of the controlling terminal; 0 if there is none

	User, System time.Duration // of the process itself, in multiples of Tick

	WaitedUser, WaitedSystem time.Duration // of children for which it has waited

	Threads int
	Start   uint64 // in ticks since boot
	RSS     int64  // in pages
}

// ParseStat parses the text of /proc/PID/stat. The name of the process is in parentheses. The process chooses the name,
// which may itself contain parentheses.
func ParseStat(b []byte) (st Stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return st, errors.New("/proc/PID/stat: no name")
	}
	st.Comm = string(b[open+1 : end])
	f := strings.Fields(string(b[end+1:])) // from field 3
	if len(f) < 22 {
		return st, errors.New("/proc/PID/stat: too short")
	}
	number := func(field int) (n uint64) {
		if err == nil {
			n, err = strconv.ParseUint(f[field-3], 10, 64)
		}
		return n
	}
	ticks := func(field int) time.Duration { return time.Duration(number(field)) * Tick }
	st.State, st.PPID = f[0], int(number(4))
	st.Terminal, _ = strconv.Atoi(f[7-3])
	st.User, st.System, st.WaitedUser, st.WaitedSystem = ticks(14), ticks(15), ticks(16), ticks(17)
	st.Threads, st.Start, st.RSS = int(number(20)), number(22), int64(number(24))
	return st, err
}
