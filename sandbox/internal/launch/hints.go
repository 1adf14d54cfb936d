package launch

// This file adds advice to the report at the end of a failed run.

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cordon/policy"
	"cordon/policy/filter"
	"cordon/sandbox/internal/proc"
	"cordon/sandbox/internal/why"
	"cordon/sandbox/report"
)

// hints adds advice to the report of a failed run.
func (p *Process) hints() {
	// A program that succeeded needs no advice, and a limit has a line of its own.
	r := &p.Report
	if r.Exit == 0 || r.Limit != "" {
		return
	}
	// SIGSYS comes from the filter. Any other signal has nothing to do with the profile.
	if r.Signal != "" && r.Signal != "SIGSYS" {
		return
	}
	if r.Signal == "SIGSYS" || r.Exit == 128+int(unix.SIGSYS) { // this code of a shell means that SIGSYS killed its child
		if text := p.Comp.ExecHint(); text != "" {
			r.Hints = append(r.Hints, report.Hint{Text: text})
			return
		}
		if h, known := p.killedAt(); known {
			r.Hints = append(r.Hints, h)
			return
		}
		r.Hints = append(r.Hints, p.Comp.KillHints()...)
		if p.Comp.Profile.Syscalls.Exec == policy.ExecOnce {
			r.Hints = append(r.Hints, report.Hint{Text: "executing another program would end it, too", Rule: p.Comp.Profile.Source("syscalls.exec"), Flag: "--exec any"})
		}
		return
	}
	// A network with an allow-list has its own report of the connections that it has refused.
	if p.Comp.Egress == nil && p.unrouted() > 0 {
		r.Hints = append(r.Hints, report.Hint{Text: "the program tried to reach a network, and the profile gives it none", Rule: p.Comp.Profile.Source("network"), Flag: "--net host"})
	}
	// Flags of cordon exec change no mounts, so there is no advice about paths.
	if p.Comp.Into != nil {
		return
	}
	if h, ok := p.Comp.HintAbove(p.Cmd.Args); ok {
		r.Hints = append(r.Hints, h)
	}
	// The arguments come first, because a path that the user typed is the most likely cause. Then come the program's
	// own messages, which name other paths.
	for i := range p.Cmd.Args[1:] {
		if h, ok := p.Comp.HintFor(p.Cmd.Args, i+1); ok {
			r.Hints = append(r.Hints, h)
		}
	}
	if ids := &p.Comp.IDs; ids.NewUser && !ids.Ranges && wantsIDs(string(p.shown)) {
		r.Hints = append(r.Hints, report.Hint{Text: "the sandbox has one user id and one group id, and the program wanted another", Flag: "--ranges"})
	}
	for _, s := range complaints(string(p.shown)) {
		if h, ok := p.Comp.HintPath(s.path, s.write, false); ok && !slices.Contains(r.Hints, h) {
			r.Hints = append(r.Hints, h)
		}
	}
}

// killedAt returns a hint that names the call at which the filter killed the program. The launcher must be allowed to
// read the kernel's log, and must find the call there. The log has the task's pid, and the id on the host, which for
// root's task no other process has.
func (p *Process) killedAt() (report.Hint, bool) {
	const firstSpace = "pid:[4026531836]" // the machine's pid namespace: PROC_PID_INIT_INO of the kernel
	own, _ := proc.Readlink("/proc/self/ns/pid")
	ids := &p.Comp.IDs
	k, ok := proc.FindKilled(p.began, func(k *proc.Killed) bool {
		return own == firstSpace && k.PID == p.Task || ids.Own && int64(k.UID) == int64(ids.OutUID)
	})
	call := filter.Data{Nr: k.Nr, Arch: k.Arch}
	d := filter.Decode(&call, nil)
	if !ok || d.Call == "" {
		return report.Hint{}, false
	}
	h := report.Hint{Text: "the filter killed it at " + d.Call + ", as the kernel's log says"}
	if d.Arch != p.Comp.Arch {
		h.Text += "; this is a call of " + d.Arch.String()
		h.Rule, h.Flag = p.Comp.Profile.Source("syscalls.arches"), "--arch "+d.Arch.String()
		return h, true
	}
	calls, rule := p.Comp.Killers()
	if slices.Contains(calls, d.Call) { // for some arguments, which the log does not have
		h.Rule = rule
		return h, true
	}
	denied, remedy := why.Blame(p.Comp, d.Call, &call)
	if denied != "" {
		h.Text += ": " + denied
	}
	if strings.HasPrefix(remedy, "--") {
		h.Flag = remedy
	} else if remedy != "" {
		h.Text += "; " + remedy
	}
	return h, true
}

// complaint is a path that the program could not open or create, according to the program's own message.
type complaint struct {
	path string
	// write says that the program wanted to write, because the message is EROFS.
	write bool
}

// maxComplaints bounds how many paths from a program's messages the launcher examines.
const maxComplaints = 8

// missed lists the messages of libc, shells and languages for ENOENT, EACCES and EROFS. A message for EROFS is about a
// file that the program wanted to write.
var missed = [...]string{"No such file or directory", "no such file or directory", "Permission denied", "permission denied", "ENOENT", "EACCES", "EROFS",
	"not found", "Cannot open", "cannot open", "Can't open", "can't open", "Read-only file system", "read-only file system"}

// complaints finds paths in the messages of a program. It searches the lines that contain one of missed, and splits
// these lines at quotes, colons, blanks and the like. A program may write anything, so the launcher only looks these
// paths up in its model of the sandbox's tree.
func complaints(text string) (list []complaint) {
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(missed[:], func(m string) bool { return strings.Contains(line, m) }) {
			continue
		}
		write := strings.Contains(strings.ToLower(line), "read-only file system") || strings.Contains(line, "EROFS")
		before := len(list)
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n'\"`‘’“”()[]{},;:=<>", r) }) {
			if len(list) == maxComplaints {
				return list
			}
			// A word is taken for a path only if it has a slash or a dot. If such a word is no path, the lookup in the
			// tree rejects it.
			c := complaint{strings.TrimRight(word, "."), write}
			if strings.ContainsAny(c.path, "/.") {
				list = append(list, c)
			}
		}
		if write && len(list) == before { // a plain name without a slash: a file in the working directory
			list = append(list, complaint{"./a-new-file", true})
		}
	}
	return list
}

// wantsIDs reports whether a program complains that a user or a group does not exist for the kernel: chown(2),
// setgroups(2) and setuid(2) fail with EINVAL for an id that the user namespace does not map.
func wantsIDs(text string) bool {
	for line := range strings.Lines(text) {
		small := strings.ToLower(line)
		if !strings.Contains(small, "invalid argument") {
			continue
		}
		for _, call := range [...]string{"chown", "ownership", "setgroups", "set groups", "initgroups", "setuid", "setgid", "set user id", "set group id"} {
			if strings.Contains(small, call) {
				return true
			}
		}
	}
	return false
}

// unrouted counts the packets and connections for which there was no route in the sandbox's network namespace:
// ipIfStatsOutNoRoutes of RFC 4293, in /proc/net/snmp. It also counts datagrams to a closed port, because that is how a
// name lookup ends if there is no resolver.
func (p *Process) unrouted() int {
	if p.netstat < 0 {
		return 0
	}
	buf := make([]byte, 8192)
	n, err := unix.Pread(p.netstat, buf, 0)
	if err != nil {
		return 0
	}
	return snmp(buf[:n], "Ip:", "OutNoRoutes") + snmp(buf[:n], "Udp:", "NoPorts")
}

// snmp returns a counter of /proc/net/snmp, which has a line of names and a line of values for each protocol. It
// returns 0 if the counter is missing.
func snmp(text []byte, proto, name string) int {
	var names [][]byte
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || string(fields[0]) != proto {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := range min(len(names), len(fields)) {
			if string(names[i]) == name {
				v, _ := strconv.Atoi(string(fields[i])) // 0 if it is not a number
				return v
			}
		}
	}
	return 0
}

// stepHint returns advice for a step that failed, or "" if there is none. call is the name of the system call. ELOOP,
// ENOSYS and EPERM mean much the same for many calls; any other errno is explained only for a call for which its cause
// is known.
func stepHint(call string, errno unix.Errno) string {
	switch {
	case errno == unix.ELOOP:
		return "there is a symbolic link on the way; name its target instead"
	case call == "setns" && errno == unix.EPERM:
		return "joining needs CAP_SYS_ADMIN over the namespace: also join the user namespace that owns it, or run as root"
	case call == "setns" && errno == unix.EINVAL:
		return "the path is not a namespace of that kind, or it is the launcher's own user namespace: use host for that"
	case call == "pivot_root" && errno == unix.EINVAL:
		return "the machine's root is an initramfs, where pivot_root(2) fails; use --enter chroot"
	case call == "execve" && errno == unix.ENOENT:
		return "its interpreter or dynamic loader is not visible in the sandbox; show it with --ro"
	case call == "execve" && errno == unix.EACCES:
		return "the task's user may not execute it, or it is on a noexec mount"
	case call == "landlock_restrict_self" || call == "read" && errno == unix.EISDIR:
		return "Landlock is not in force although the profile asks for it; --no-landlock runs without it"
	case call == "setpriority" && errno == unix.EACCES:
		return "a lower value than your own needs CAP_SYS_NICE outside, or RLIMIT_NICE"
	case call == "write" && errno == unix.EACCES:
		return "a lower oom-score-adj than your own needs CAP_SYS_RESOURCE outside"
	case call == "keyctl" && errno == unix.EDQUOT:
		return "the user already has as many keys as kernel.keys.maxkeys allows; the keys of ended sandboxes disappear within seconds"
	case errno == unix.ENOSYS:
		return "the kernel lacks this call, or a container runtime's filter hides it; cordon doctor says more"
	case errno == unix.EPERM && strings.HasPrefix(call, "mount"), errno == unix.EPERM && strings.HasPrefix(call, "move_mount"), errno == unix.EPERM && call == "open_tree":
		return "a mount of the host, or a container runtime, does not allow it; cordon doctor says more"
	}
	return ""
}
