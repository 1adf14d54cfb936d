package policy

import (
	"errors"
	"strconv"
	"strings"

	"cordon/policy/endpoint"
)

// The functions in this file check values of the profile language by their types.

func checkText(s string) *fault {
	if strings.ContainsRune(s, 0) {
		return bad("a NUL in a text", "")
	}
	return nil
}

func checkContent(s string) *fault {
	if len(s) > 64<<10 {
		return bad("a file of more than 64 KiB", "bind one instead")
	}
	return checkText(s)
}

// checkName accepts only names that a file in a profile directory can have.
func checkName(s string) *fault {
	ok := s != "" && len(s) <= 64 && s[0] != '.' && s[0] != '-'
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return bad(Quote(s)+" is not a profile's name", "lower-case letters, digits, '.', '_' and '-', at most 64")
	}
	return nil
}

func checkExtends(s string) *fault {
	if strings.Contains(s, "/") {
		return checkPath(s)
	}
	return checkName(s)
}

// checkLink accepts the text of a symbolic link. The text may contain "..", because the kernel follows the link
// inside the sandbox.
func checkLink(s string) *fault {
	if s == "" || len(s) > maxPath {
		return bad("a symbolic link needs a text of at most 4095 bytes", "")
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return bad(Quote(s)+": a control character in a path", "")
		}
	}
	return nil
}

// checkHostname accepts a host name of at most HOST_NAME_MAX (64) bytes. cordon also writes the name into /etc/hosts.
func checkHostname(s string) *fault {
	ok := s != "" && s[0] != '-' && s[0] != '.'
	for i := 0; ok && i < len(s); i++ {
		c := lower(s[i])
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if !ok {
		return bad(Quote(s)+" is not a host name", "letters, digits, '.', '_' and '-'")
	}
	if len(s) > 64 {
		return bad("a host name of "+strconv.Itoa(len(s))+" bytes", "at most 64")
	}
	return nil
}

func checkEnvName(s string) *fault {
	ok := s != "" && len(s) <= 256
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] > ' ' && s[i] < 0x7f && s[i] != '=' && s[i] != '*'
	}
	if !ok {
		return bad(Quote(s)+" is not a variable's name", "")
	}
	return nil
}

func checkEnvPattern(s string) *fault {
	prefix, star := strings.CutSuffix(s, "*")
	if star && prefix == "" {
		return nil
	}
	if checkEnvName(prefix) != nil || strings.ContainsAny(prefix, "?[]{}|,;$\\'\"`") {
		return bad(Quote(s)+" is not a variable's name", "use a name, or a prefix and *; no other character is a wildcard")
	}
	return nil
}

// checkEndpoint reports why a text is no rule of network.allow or network.deny.
func checkEndpoint(s string, deny bool) *fault {
	read := endpoint.ParseAllow
	if deny {
		read = endpoint.ParseDeny
	}
	_, err := read(s)
	return endpointFault(err)
}

// checkPublish reports why a text is no item of network.publish.
func checkPublish(s string) *fault {
	_, err := endpoint.ParsePublish(s)
	return endpointFault(err)
}

func endpointFault(err error) *fault {
	var wrong *endpoint.ParseError
	if errors.As(err, &wrong) {
		return bad(wrong.Msg, wrong.Hint)
	}
	return nil
}

// capNames lists the capabilities of capabilities(7) by number, without CAP_. Number 40, the last one, exists since
// Linux 5.9.
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// CapabilityNumber returns the number of a capability. The name is in upper case and without CAP_.
func CapabilityNumber(name string) (int, bool) {
	for i, n := range capNames {
		if n == name {
			return i, true
		}
	}
	return 0, false
}

// CapabilityName returns the name of a capability, or "" if no capability has the number.
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
		return bad(Quote(s)+" is not a capability", "name each of them: there is no word for all")
	}
	return bad(Quote(s)+" is not a capability", didYouMean(short, capNames[:]))
}
