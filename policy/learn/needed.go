package learn

import (
	"slices"
	"strings"

	"cordon/policy/phrase"
	"cordon/policy/recording"
)

// A question is a capability check that the kernel makes before it knows whether the call needs the capability. Other
// records show whether the call would have failed without the capability.
type question struct {
	cap string
	by  string // the kernel function, or the call, that makes the check
	// needed reports whether the call would have failed without the capability.
	needed func(f *Facts, about string) bool
	about  string
	why    string // why the capability is not needed
}

const (
	readSysctl    = "reading there needs none, nor does root's writing"
	listsSockets  = "a list of sockets needs none; it lacks their marks"
	refusedAnyway = "the files that it was asked about were refused all the same"
)

// questions lists these checks. They come from the kernel's sources: net/sysctl_net.c, kernel/pid.c, kernel/ucount.c,
// ipc/ipc_sysctl.c, kernel/sys.c, security/commoncap.c, net/ipv4/inet_diag.c, fs/namei.c.
var questions = [...]question{
	{"NET_ADMIN", "net_ctl_permissions", sysctl, "/proc/sys/net", readSysctl},
	{"SYS_ADMIN", "pid_table_root_permissions", sysctl, "/proc/sys/kernel", readSysctl},
	{"CHECKPOINT_RESTORE", "ipc_permissions", sysctl, "/proc/sys/kernel", readSysctl},
	{"SYS_RESOURCE", "set_permissions", wrote, "/proc/sys/user", "reading /proc/sys/user needs none"},
	{"SETGID", "__sys_setgid", setsID, "gid", "setgid to the group that it had needs none"},
	{"SETGID", "setgid", setsID, "gid", "setgid to the group that it had needs none"},
	{"SETUID", "__sys_setuid", setsID, "uid", "setuid to the user that it had needs none"},
	{"SETUID", "setuid", setsID, "uid", "setuid to the user that it had needs none"},
	{"SETPCAP", "cap_capset", keepsCaps, "", "capset that inherits nothing new needs none"},
	{"SETPCAP", "capset", keepsCaps, "", "capset that inherits nothing new needs none"},
	{"NET_ADMIN", "tcp_diag_dump", never, "", listsSockets},
	{"NET_ADMIN", "udp_diag_dump", never, "", listsSockets},
	{"NET_ADMIN", "raw_diag_dump", never, "", listsSockets},
	{"NET_ADMIN", "inet_diag_dump_icsk", never, "", listsSockets},
	{"DAC_OVERRIDE", "generic_permission", opened, "", refusedAnyway},
	{"DAC_READ_SEARCH", "generic_permission", opened, "", refusedAnyway},
}

// unneeded returns the reason why the program does not need a capability that it requested and had, or "" if it needs
// the capability.
func (f *Facts) unneeded(c *Cap) string {
	for i := range questions {
		if q := &questions[i]; q.cap == c.Cap && q.by == c.By && !q.needed(f, q.about) {
			return q.why
		}
	}
	return ""
}

func never(*Facts, string) bool { return false }

func wrote(f *Facts, dir string) bool { return f.wrote(dir) }

// These are PR_SET_KEEPCAPS and PR_SET_SECUREBITS of prctl(2).
const setKeepCaps, setSecureBits = 8, 28

// keepsCaps reports whether the program changed which capabilities it keeps. A sandbox without capabilities locks this
// setting.
func keepsCaps(f *Facts, _ string) bool {
	return slices.ContainsFunc(f.Calls, func(c Call) bool {
		op, _ := c.arg("op")
		return c.Name == "prctl" && (op == setKeepCaps || op == setSecureBits) && c.Errno == ""
	})
}

// wrote reports whether the program opened a file below a directory for writing, or changed such a file.
func (f *Facts) wrote(dir string) bool {
	return slices.ContainsFunc(f.Paths, func(p Path) bool {
		return p.Access&recording.Writes != 0 && within(dir, p.Path)
	})
}

// sysctl reports whether the program needs the capability for files of a directory. The root user of the namespace owns
// these files. Other users need the capability to write the files, and to read the few that are secret.
func sysctl(f *Facts, dir string) bool {
	return f.user() && (f.wrote(dir) || slices.ContainsFunc(f.Paths, func(p Path) bool {
		secret := strings.HasSuffix(p.Path, "_key") || strings.HasSuffix(p.Path, "_secret") ||
			strings.Contains(p.Path, "/bpf_jit_")
		return p.Access&recording.Read != 0 && within(dir, p.Path) && secret
	}))
}

// setsID reports whether setuid or setgid was called with an id that the program did not have at its start, or whose
// value was not recorded. It also returns true if the call itself was not recorded.
func setsID(f *Facts, arg string) bool {
	asked := false
	for i := range f.Calls {
		c := &f.Calls[i]
		if c.Name != "set"+arg && c.Name != "set"+arg+"32" {
			continue
		}
		asked = true
		id, known := c.arg(arg)
		if !known || slices.ContainsFunc(f.Header.Runs, func(r runOf) bool {
			return arg == "uid" && id != uint64(r.UID) || arg == "gid" && id != uint64(r.GID)
		}) {
			return true
		}
	}
	return !asked
}

// opened reports whether the capability let the program open a file. The kernel checks DAC_READ_SEARCH and then, if
// that did not help, DAC_OVERRIDE. If the namespace has no number for the owner of the file, neither helps and the call
// ends with EACCES. So neither helped if the kernel checked both equally often, and at most as often as an access to a
// path was refused.
func opened(f *Facts, _ string) bool {
	var search, override uint64
	for i := range f.Caps {
		switch c := &f.Caps[i]; {
		case c.By != "generic_permission" || c.Errno != "":
		case c.Cap == "DAC_READ_SEARCH":
			search += c.Count
		case c.Cap == "DAC_OVERRIDE":
			override += c.Count
		}
	}
	return search != override || override > f.refused
}

// mostListed is how many items a comment lists.
const mostListed = 8

// listed returns the lines of a comment: at most mostListed items, and then how many more there are.
func listed(lines []string) []string {
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if more := len(lines) - mostListed; more > 0 {
		lines = append(lines[:mostListed:mostListed], "and "+phrase.Counted(more, "other"))
	}
	for i := range lines {
		lines[i] = "  " + lines[i]
	}
	return lines
}

// leftOut adds comments about what was left out on purpose: capabilities that the program requested and does not need,
// and calls without which the program works. These calls also get quiet rules: see rules.
func (l *learner) leftOut(caps []string) {
	var calls []string
	for _, n := range l.notes {
		if name, ok := strings.CutPrefix(n.What, "the system call "); ok && n.Kind == Left {
			calls = append(calls, name+": "+n.Why)
		}
	}
	if len(caps) > 0 {
		at := "syscalls"
		if len(l.own.Capabilities.Keep) > 0 {
			at = "capabilities"
		}
		l.comments[at] = append(append(l.comments[at], "", "Not kept, since no call failed without:"), listed(caps)...)
	}
	if len(calls) > 0 {
		text := append(l.comments["syscalls"], "", "Left out on purpose; what the program went on without is denied by quiet rules:")
		l.comments["syscalls"] = append(text, listed(calls)...)
	}
}
