package policy

import "strings"

// capNames are the capabilities(7) by number, without CAP_; 40 is the last as of Linux 5.9.
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// CapabilityNumber returns the number of a capability by its name without CAP_, upper case.
func CapabilityNumber(name string) (int, bool) {
	for i, n := range capNames {
		if n == name {
			return i, true
		}
	}
	return 0, false
}

// CapabilityName returns the name of a capability, "" for a number that has none.
func CapabilityName(number int) string {
	if number < 0 || number >= len(capNames) {
		return ""
	}
	return capNames[number]
}

func checkCapability(s string) *fault {
	if _, ok := CapabilityNumber(s); ok {
		return nil
	}
	short := strings.TrimPrefix(strings.ToUpper(s), "CAP_")
	if short == "ALL" {
		return bad(quote(s)+" is not a capability", "each is named: there is no word for all of them")
	}
	return bad(quote(s)+" is not a capability", didYouMean(short, capNames[:]))
}
