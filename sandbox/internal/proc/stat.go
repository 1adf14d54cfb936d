// Package proc reads what the sandbox's packages all ask /proc for.
package proc

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// StartTime is when a process or thread began, in clock ticks since boot, given its stat file: proc_pid_stat(5), field 22.
// With a process's number it says which process that is. The error wraps fs.ErrNotExist where there is none.
func StartTime(stat string) (uint64, error) {
	fd, err := unix.Open(stat, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var text [1024]byte // it has some 300
	n, err := unix.Read(fd, text[:])
	for err == unix.EINTR {
		n, err = unix.Read(fd, text[:])
	}
	if err == unix.ESRCH { // it has ended since
		return 0, unix.ENOENT
	}
	if err != nil {
		return 0, err
	}
	return startTime(string(text[:n]))
}

// startTime takes it from the text. The name before it may hold anything, closing parentheses as well.
func startTime(text string) (uint64, error) {
	const field, behind = 22, 3 // the first behind the name is the third
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) <= field-behind {
		return 0, errors.New("/proc/PID/stat is too short")
	}
	return strconv.ParseUint(fields[field-behind], 10, 64)
}
