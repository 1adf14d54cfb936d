package doctor

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
	"cordon/sandbox/internal/cause"
	"cordon/sandbox/internal/fail"
)

func probeMountAPI(m *Machine) Finding {
	f := probeCalls(m, doctorCalls{
		{"open_tree", unix.SYS_OPEN_TREE, "5.2"},
		{"move_mount", unix.SYS_MOVE_MOUNT, "5.2"},
		{"fsopen", unix.SYS_FSOPEN, "5.2"},
		{"fsconfig", unix.SYS_FSCONFIG, "5.2"},
		{"fsmount", unix.SYS_FSMOUNT, "5.2"},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, "5.12"},
	})
	if _, e := m.Call(unix.SYS_OPENAT2, ^uintptr(0), 0, 0, 0, 0); e == syscall.ENOSYS || e == syscall.EPERM {
		f.Found += "; openat2 is refused, so paths are opened name by name"
	} else if f.State == OutcomeOK {
		f.Found = "openat2 " + f.Found
	}
	return f
}

func probeProcessAPI(m *Machine) Finding {
	return probeCalls(m, doctorCalls{
		{"clone3", unix.SYS_CLONE3, "5.3"},
		{"pidfd_open", unix.SYS_PIDFD_OPEN, "5.3"},
		{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, "5.1"},
		{"close_range", unix.SYS_CLOSE_RANGE, "5.9"},
		{"execveat", unix.SYS_EXECVEAT, "3.19"},
	})
}

func probeIDMap(m *Machine) Finding {
	where := m.FileSystem()
	if m.UID != 0 {
		return Finding{State: OutcomeUnknown, Found: "not tried: an ordinary user's task keeps the user's id and needs no idmapped mount"}
	}
	err := m.IDMap()
	switch e := fail.Errno(err); {
	case err == nil:
		return fine("made an idmapped mount of the working directory (" + where + ")")
	case errors.Is(err, errNotTried):
		return Finding{State: OutcomeUnknown, Found: err.Error()}
	case e == syscall.EINVAL:
		return lacking("mount_setattr: EINVAL", "the file system of the working directory, "+where+", cannot be idmapped",
			"cordon run --host-user caller, or work on ext4, xfs, btrfs, or tmpfs since Linux 6.3")
	case e == syscall.EPERM:
		return lacking("mount_setattr: EPERM", "no CAP_SYS_ADMIN over the file system's user namespace, as in a container", "cordon run --host-user caller")
	}
	return lacking(err.Error(), "idmapped mounts exist since Linux 5.12", "cordon run --host-user caller")
}

func probeOverlay(m *Machine) Finding {
	fs, err := m.ReadFile("/proc/filesystems")
	if err == nil && !strings.Contains(fs, "\toverlay\n") {
		return lacking("no overlay in /proc/filesystems", "the module is not loaded, and a user namespace cannot load it", "modprobe overlay")
	}
	err = m.Overlay()
	switch e := fail.Errno(err); {
	case err == nil:
		return fine("mounted one in a user namespace")
	case errors.Is(err, errNotTried):
		return Finding{State: OutcomeUnknown, Found: err.Error()}
	case (e == syscall.EPERM || e == syscall.ENODEV) && !host.KernelAtLeast(m.Release(), 5, 11):
		return lacking(errnoText(err), "overlays in user namespaces exist since Linux 5.11", "run a newer kernel")
	}
	return lacking(err.Error(), "see the error", "leave overlay: out of the profile")
}

func probeSeccomp(m *Machine) Finding {
	actions := m.read("/proc/sys/kernel/seccomp/actions_avail")
	if actions == "" {
		return lacking("no /proc/sys/kernel/seccomp/actions_avail", "the kernel was built without CONFIG_SECCOMP_FILTER, or is older than 4.14", "run a kernel built with CONFIG_SECCOMP_FILTER=y")
	}
	if m.filtered() {
		return fine(actions + "; this process already has a filter, which stays in force")
	}
	return fine(actions)
}

func probeNotify(m *Machine) Finding {
	const getNotifSizes = 3 // SECCOMP_GET_NOTIF_SIZES
	if _, e := m.Call(unix.SYS_SECCOMP, getNotifSizes, 0, 0, 0, 0); e == syscall.EFAULT {
		return fine("user notification")
	}
	return lacking("no user notification", "it exists since Linux 5.0", "run a newer kernel")
}

// landlockLevels says what each Landlock ABI adds, and which kernel has it first. The index is the ABI.
var landlockLevels = [...]string{
	1: "1 files (5.13)",
	2: "2 rename and link across directories (5.19)",
	3: "3 truncate (6.2)",
	4: "4 TCP bind and connect (6.7)",
	5: "5 ioctl on devices (6.10)",
	6: "6 scopes: signal, abstract unix socket (6.12)",
	7: "7 audit log (6.15)",
	8: "8 all threads at once",
}

// landlockUsed is the highest Landlock ABI whose features a profile can request.
const landlockUsed = 6

func probeLandlock(m *Machine) Finding {
	v, e := m.Call(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION, 0, 0)
	abi := int(v)
	switch {
	case e == syscall.EOPNOTSUPP:
		return lacking("EOPNOTSUPP", "built in, but not enabled at boot; enabled: "+orAbsent(m.read("/sys/kernel/security/lsm")),
			"boot with lsm=landlock,"+m.read("/sys/kernel/security/lsm"))
	case e == syscall.ENOSYS && m.filtered():
		return lacking("ENOSYS", "the seccomp filter on this process, or a kernel without CONFIG_SECURITY_LANDLOCK", cause.RemedySeccomp)
	case e != 0:
		return lacking(errnoText(e), "the kernel was built without CONFIG_SECURITY_LANDLOCK, or is older than 5.13", "run a kernel built with CONFIG_SECURITY_LANDLOCK=y; or let the profile say missing: [landlock]")
	case abi < landlockUsed:
		return Finding{State: OutcomePartial, Found: "ABI " + strconv.Itoa(abi) + ": " + landlockAdds(1, abi),
			Cause: "this kernel lacks " + landlockAdds(abi+1, landlockUsed), Remedy: "run a newer kernel if a profile asks for these"}
	}
	return fine("ABI " + strconv.Itoa(abi) + ": " + landlockAdds(1, abi))
}

// landlockInPlace is the first ABI of Landlock that is enough for a program in place: it has a right to truncate files.
const landlockInPlace = 3

// inPlaceLine is the advice that doctor gives if no namespace can be made.
const inPlaceLine = "cordon run --in-place -- CMD"

// probeInPlace checks what a program needs to run in place (without namespaces): Landlock, and the list of a process's
// children.
func probeInPlace(m *Machine) Finding {
	v, e := m.Call(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION, 0, 0)
	if e != 0 || int(v) < landlockInPlace {
		return lacking("no Landlock with ABI 3", "in place nothing but Landlock protects files, and ABI 3 is the first with a right to truncate them",
			"Linux 6.2 or newer, with landlock in the lsm= boot parameter")
	}
	if _, err := m.ReadFile("/proc/thread-self/children"); err != nil {
		return lacking("no /proc/thread-self/children", "the kernel was built without CONFIG_PROC_CHILDREN, or /proc is not mounted",
			"mount -t proc proc /proc, or run a kernel built with CONFIG_PROC_CHILDREN=y")
	}
	return fine("Landlock ABI " + strconv.Itoa(int(v)) + "; " + inPlaceLine)
}

// orInPlace adds to a finding about namespaces the advice to run programs in place, if this machine can do that.
func (m *Machine) orInPlace(f Finding) Finding {
	if probeInPlace(m).State == OutcomeOK {
		f.Remedy += "; or, without namespaces: " + inPlaceLine
	}
	return f
}

// landlockAdds lists what the ABIs from a to b add, as far as landlockLevels knows them.
func landlockAdds(a, b int) string {
	b = min(b, len(landlockLevels)-1)
	return strings.Join(landlockLevels[a:b+1], ", ")
}

func probeRlimits(m *Machine) Finding {
	var s []string
	for _, r := range [...]struct {
		name string
		n    int
	}{{"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC}, {"memlock", unix.RLIMIT_MEMLOCK}, {"locks", unix.RLIMIT_LOCKS},
		{"fsize", unix.RLIMIT_FSIZE}, {"core", unix.RLIMIT_CORE}} {
		_, hard := m.Rlimit(r.n)
		s = append(s, r.name+" "+limitText(hard))
	}
	return fine("hard limits: " + strings.Join(s, ", "))
}

func limitText(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

func probeRanges(m *Machine) Finding {
	for _, tool := range [...]string{"newuidmap", "newgidmap"} {
		if err := m.Helper(tool); err != nil {
			return lacking("no "+tool, err.Error(), "apt install uidmap (Debian, Ubuntu), dnf install shadow-utils (Fedora)")
		}
	}
	uids, gids := m.subordinate("/etc/subuid"), m.subordinate("/etc/subgid")
	if uids == "" || gids == "" {
		who := m.User
		if who == "" {
			who = strconv.Itoa(m.UID)
		}
		return lacking("no range for "+who+" in /etc/subuid and /etc/subgid", "the caller has no subordinate ids",
			"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+who)
	}
	return fine("subuid " + uids + ", subgid " + gids)
}

// subordinate returns the caller's first range in subuid(5) or subgid(5) as FIRST+COUNT, or "" if there is none.
func (m *Machine) subordinate(path string) string {
	s, _ := m.ReadFile(path)
	for line := range strings.Lines(s) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 3 && (f[0] == m.User && m.User != "" || f[0] == strconv.Itoa(m.UID)) {
			return f[1] + "+" + f[2]
		}
	}
	return ""
}
