package proc

// This file reads from the kernel's log at which system calls filters have killed programs: seccomp(2), "the kernel
// logs", and /dev/kmsg in the kernel's Documentation/ABI. Reading the log needs CAP_SYSLOG if kernel.dmesg_restrict is
// 1. The kernel writes these messages only with CONFIG_AUDIT. It drops messages if there are many, and with auditd it
// sends them to auditd instead.

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Killed is a system call at which a filter has killed a thread.
type Killed struct {
	At   time.Time
	PID  int    // in the machine's pid namespace
	UID  uint32 // in the machine's user namespace
	Arch uint32 // AUDIT_ARCH_*
	Nr   int32
}

// logWait is how long the message about a call may be delayed, because a thread of the kernel writes it.
const logWait = 100 * time.Millisecond

// FindKilled returns the first call in the kernel's log, from a time on, that wanted accepts. It waits a moment for the
// message. ok is false if there is no such call, or if nobody can read the log.
func FindKilled(since time.Time, wanted func(*Killed) bool) (k Killed, ok bool) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return k, false
	}
	defer unix.Close(fd)
	const tick = 20 * time.Millisecond // the log's time is that of the last tick of the kernel's clock
	buf := make([]byte, 8192)
	for deadline := time.Now().Add(logWait); ; {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EPIPE || err == unix.EINTR: // EPIPE: older messages were overwritten meanwhile
		case err == unix.EAGAIN && time.Now().Before(deadline):
			time.Sleep(5 * time.Millisecond)
		case err != nil || n == 0:
			return k, false
		default:
			if k, ok = parseKilled(buf[:n]); ok && !k.At.Before(since.Add(-tick)) && wanted(&k) {
				return k, true
			}
		}
	}
}

// parseKilled parses a record of /dev/kmsg. Only the kernel writes records of facility 0, so no program can forge one.
func parseKilled(record []byte) (k Killed, ok bool) {
	line, _, _ := bytes.Cut(record, []byte("\n"))
	head, text, found := strings.Cut(string(line), ";")
	prio, _, _ := strings.Cut(head, ",")
	level, err := strconv.ParseUint(prio, 10, 32)
	rest, seccomp := strings.CutPrefix(text, "audit: type=1326 audit(")
	stamp, fields, ends := strings.Cut(rest, "): ")
	if !found || err != nil || level > 7 || !seccomp || !ends {
		return k, false
	}
	seconds, more, _ := strings.Cut(stamp, ".")
	millis, _, _ := strings.Cut(more, ":")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	ms, err2 := strconv.ParseInt(millis, 10, 64)
	k.At = time.Unix(s, ms*1e6)
	killed := false
	// comm and exe may contain anything, but they are quoted or in hexadecimal digits. The numbers come before and
	// after.
	for word := range strings.FieldsSeq(fields) {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch name {
		case "pid":
			k.PID = int(n)
		case "uid":
			k.UID = uint32(n)
		case "syscall":
			k.Nr = int32(n)
		case "sig":
			killed = err == nil && n == int64(unix.SIGSYS)
		case "arch":
			arch, _ := strconv.ParseUint(value, 16, 32)
			k.Arch = uint32(arch)
		}
	}
	return k, err1 == nil && err2 == nil && killed && k.Arch != 0
}
