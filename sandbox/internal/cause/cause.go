package cause

// This file finds the reason why a host refuses an operation: namespaces(7), user_namespaces(7), seccomp(2),
// capabilities(7), apparmor(7), proc_pid_mountinfo(5).

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/sandbox/host"
)

// Cause says why the host refuses an operation, and which command or setting remedies that.
type Cause struct{ Why, Remedy string }

// Host provides the facts from which causes are derived: files of the kernel, and the caller's identity. A test
// supplies its own facts.
type Host struct {
	UID      int
	Exe      string // path of this program, for remedies that name it
	ReadFile func(path string) (string, error)
	HasCap   func(bit uint) bool // reports whether a capability is in the effective set
}

// This returns the Host for this machine and caller. It does not read any file yet.
func This() *Host {
	h := &Host{UID: os.Getuid(), ReadFile: readFile}
	h.HasCap = func(bit uint) bool {
		set, _ := strconv.ParseUint(h.Status("CapEff"), 16, 64) // 0 if there is no such field
		return set>>bit&1 == 1
	}
	h.Exe, _ = os.Executable()
	return h
}

// maxFile bounds how many bytes of a file are read. Only mount tables come near it.
const maxFile = 16 << 20

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(text), err
}

// Line returns a file's first line, or "" if the file cannot be read.
func (h *Host) Line(path string) string {
	s, err := h.ReadFile(path)
	if err != nil {
		return ""
	}
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimRight(s, " \x00")
}

// Status returns a field of /proc/self/status, or "" if there is none.
func (h *Host) Status(field string) string {
	s, err := h.ReadFile("/proc/self/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(s) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Filtered reports whether this process already has a seccomp filter: from a container runtime, from systemd, or from
// a sandbox around it.
func (h *Host) Filtered() bool { return h.Status("Seccomp") == "2" }

// Confinement returns the name of the AppArmor profile that confines this process, or "" if there is none.
func (h *Host) Confinement() string {
	s := h.Line("/proc/self/attr/apparmor/current")
	if s == "" {
		s = h.Line("/proc/self/attr/current")
	}
	name, _, isAppArmor := strings.Cut(s, " (")
	if !isAppArmor || name == "unconfined" {
		return ""
	}
	return name
}

// RemedySeccomp is the remedy if an unknown program has installed a filter that denies the calls that cordon needs.
const RemedySeccomp = "start the container with --security-opt seccomp=unconfined (docker, podman), " +
	"or securityContext.seccompProfile.type: Unconfined (kubernetes), the unit without RestrictNamespaces= and SystemCallFilter=, " +
	"or start the sandbox that is around this so that others can be nested in it (cordon run --nest); cordon filters the task by itself"

// byFilter returns the cause of a call that a seccomp filter denies. The remedy depends on the program that has
// installed the filter, if that program is known.
func (h *Host) byFilter() Cause {
	const seen = "a seccomp filter is on this process (Seccomp: 2 in /proc/self/status), "
	unit := h.unit()
	switch {
	case h.Nested():
		return Cause{seen + "which the sandbox of cordon around this has installed", Nest}
	case h.there("/run/secrets/kubernetes.io/serviceaccount/namespace"), h.there("/var/run/secrets/kubernetes.io/serviceaccount/namespace"):
		return Cause{seen + "which the container runtime of this pod has installed", "securityContext: {seccompProfile: {type: Unconfined}}; cordon filters the task by itself"}
	case h.there("/.dockerenv"):
		return Cause{seen + "which Docker has installed", "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined; cordon filters the task by itself"}
	case h.there("/run/.containerenv"):
		return Cause{seen + "which podman has installed", "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL; cordon filters the task by itself"}
	case unit != "":
		return Cause{seen + "as systemd installs it for RestrictNamespaces= or SystemCallFilter=", "systemctl edit " + unit + ", with [Service] RestrictNamespaces=no and SystemCallFilter= (empty); cordon filters the task by itself"}
	}
	return Cause{seen + "as container runtimes, systemd's RestrictNamespaces= and sandboxes install it", RemedySeccomp}
}

// Nest is the remedy if this process runs in a sandbox of cordon.
const Nest = "cordon run --nest, or nest: true in the profile, for the sandbox around this"

// Nested reports whether pid 1 is the init of a sandbox of cordon.
func (h *Host) Nested() bool { return h.Line("/proc/1/comm") == "cordon-init" }

// there reports whether a file exists and can be read.
func (h *Host) there(path string) bool {
	_, err := h.ReadFile(path)
	return err == nil
}

// unit returns the systemd service that this process belongs to, or "" if there is none: cgroups(7). A user's session
// does not count.
func (h *Host) unit() string {
	s, err := h.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(s) {
		for part := range strings.SplitSeq(strings.TrimSpace(line), "/") {
			if strings.HasSuffix(part, ".service") && !strings.HasPrefix(part, "user@") {
				return part
			}
		}
	}
	return ""
}

// Proc returns a cause and true if there is no usable /proc at all.
func (h *Host) Proc() (Cause, bool) {
	if h.Status("Pid") != "" {
		return Cause{}, false
	}
	return Cause{"/proc is not mounted, or is not that of this process's pid namespace", "mount -t proc proc /proc"}, true
}

// Masks returns the mount points inside /proc. Because of them the kernel refuses a new proc file system in a user
// namespace (fs/namespace.c, mnt_already_visible).
func (h *Host) Masks() (masks []string, err error) {
	s, err := h.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], "/proc/") && f[4] != "/proc/sys/fs/binfmt_misc" && f[4] != "/proc/fs/nfsd" {
			masks = append(masks, f[4])
		}
	}
	return masks, nil
}

// MaskedProc is the cause if the kernel refuses a new proc file system because something hides parts of the caller's
// /proc.
var MaskedProc = Cause{"a container runtime masks parts of /proc; the kernel then refuses a new proc in a user namespace, because it would show them",
	"docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=ALL, or securityContext.procMount: Unmasked (kubernetes); " +
		"or --ns pid=host, with which the task sees the processes of this container, in its /proc"}

// NewProc returns the cause if a new proc file system could not be mounted in a new user namespace.
func (h *Host) NewProc(e syscall.Errno) Cause {
	if masks, err := h.Masks(); err == nil && len(masks) > 0 {
		return Cause{masks[0] + " is mounted on top of /proc: " + MaskedProc.Why, MaskedProc.Remedy}
	}
	if h.hiddenProc() {
		return Cause{"the /proc here is a part of one, or none is mounted: the kernel then refuses a new proc in a user namespace",
			"mount -t proc proc /proc, in the pid namespace of this process"}
	}
	return h.Denied(e)
}

// hiddenProc reports whether the caller has no complete mount of proc.
func (h *Host) hiddenProc() bool {
	s, err := h.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true
	}
	for line := range strings.Lines(s) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if ok && strings.HasPrefix(after, "proc ") && len(f) > 3 && f[3] == "/" && !strings.Contains(after, "subset=pid") {
			return false
		}
	}
	return true
}

// Namespace returns the reason why a namespace could not be made. It tries the reasons in order, the most certain
// first.
func (h *Host) Namespace(k *host.Kind, e syscall.Errno) Cause {
	sysctl := "user.max_" + k.Name + "_namespaces"
	limit := h.Line("/proc/sys/" + strings.Replace(sysctl, ".", "/", 1))
	switch {
	case limit == "0":
		return Cause{sysctl + "=0", "sysctl -w " + sysctl + "=15000"}
	case e == unix.ENOSPC:
		return Cause{sysctl + "=" + OrAbsent(limit) + " is used up here or in the user namespace around this one, or 32 namespaces are nested already",
			"sysctl -w " + sysctl + "=63359, in the user namespace around this one too"}
	case e == unix.EINVAL || e == unix.ENOSYS && !h.Filtered():
		return Cause{"the kernel was built without " + k.Config, "run a kernel built with " + k.Config + "=y"}
	}
	return h.Denied(e)
}

// ZeroLimit returns the cause if the sysctl limit for one of the wanted kinds of namespaces is 0, and also returns that
// kind. flags are the CLONE_* flags of the wanted namespaces.
func (h *Host) ZeroLimit(flags uint64) (Cause, *host.Kind) {
	for i := range host.Kinds {
		k := &host.Kinds[i]
		if flags&k.Flag != 0 && h.Line("/proc/sys/user/max_"+k.Name+"_namespaces") == "0" {
			return h.Namespace(k, unix.ENOSPC), k
		}
	}
	return Cause{}, nil
}

// Denied returns the cause if the kernel has user namespaces, but a security module or a setting forbids the caller to
// make them or to use capabilities in them.
func (h *Host) Denied(e syscall.Errno) Cause {
	const restrict = "apparmor_restrict_unprivileged_userns"
	switch {
	case h.Unmapped():
		return Cause{"the caller has no id in its own user namespace (/proc/self/uid_map is empty)", "make that namespace with a map: unshare --map-current-user, unshare -Ur"}
	case h.Line("/proc/sys/kernel/unprivileged_userns_clone") == "0" && !h.HasCap(unix.CAP_SYS_ADMIN):
		return Cause{"kernel.unprivileged_userns_clone=0 (Debian's and Arch's switch)", "sysctl -w kernel.unprivileged_userns_clone=1"}
	case h.Line("/proc/sys/kernel/"+restrict) == "1" && h.UID != 0:
		return Cause{"kernel." + restrict + "=1 (Ubuntu since 23.10): user namespaces are for programs with an AppArmor profile that says so",
			h.appArmorFile() + "; or, for every program, sysctl -w kernel." + restrict + "=0"}
	case h.Chrooted():
		return Cause{"this process is in a chroot(2), where the kernel allows no user namespace",
			"enter the tree by pivot_root(2): with systemd-nspawn, unshare --mount --root, or a container"}
	case h.Filtered():
		return h.byFilter()
	case h.Confinement() != "":
		return Cause{"the AppArmor profile " + h.Confinement() + " is on this process",
			"start the container with --security-opt apparmor=unconfined, or add the rule userns, to that profile"}
	case h.Line("/sys/fs/selinux/enforce") == "1":
		return Cause{"SELinux is enforcing and may deny user_namespace { create }", "ausearch -m avc -ts recent | audit2allow"}
	case e == unix.ENOSYS:
		return Cause{"the kernel does not know this call", "run a newer kernel: cordon doctor names the calls"}
	}
	return Cause{"a security module, an outer sandbox or a chroot(2) forbids it", "ask whoever started this session; dmesg may name the module"}
}

// Unmapped reports whether the caller's user namespace maps no id at all.
func (h *Host) Unmapped() bool {
	s, err := h.ReadFile("/proc/self/uid_map")
	return err == nil && strings.TrimSpace(s) == ""
}

// packagedProfile is the path of an AppArmor profile that lets cordon make user namespaces on a system where AppArmor
// restricts them (Ubuntu since 23.10). It does not confine cordon in any other way. packaging/apparmor/cordon is this
// profile, for the usual paths of cordon.
const packagedProfile = "/usr/share/cordon/apparmor/cordon"

// appArmorFile returns a command that loads such a profile for the running program's path.
func (h *Host) appArmorFile() string {
	if _, err := h.ReadFile(packagedProfile); err == nil && (h.Exe == "/usr/bin/cordon" || h.Exe == "/usr/local/bin/cordon") {
		return "sudo install -m 644 " + packagedProfile + " /etc/apparmor.d/cordon && sudo apparmor_parser -r /etc/apparmor.d/cordon"
	}
	return `printf 'abi <abi/4.0>,\nprofile cordon "` + h.Exe + `" flags=(unconfined) {\n  userns,\n}\n' | ` +
		`sudo tee /etc/apparmor.d/cordon && sudo apparmor_parser -r /etc/apparmor.d/cordon`
}

// Chrooted reports whether the root directory is not the root of a mount. Only chroot(2) causes that.
func (h *Host) Chrooted() bool {
	s, err := h.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return false
		}
	}
	return true
}

// RootMap returns the cause if root may not map its own id into a user namespace: user_namespaces(7), Linux 5.12.
func (h *Host) RootMap() (Cause, bool) {
	if h.UID != 0 || h.HasCap(unix.CAP_SETFCAP) {
		return Cause{}, false
	}
	return Cause{"root without CAP_SETFCAP cannot map its own id into a user namespace (Linux 5.12)",
		"docker run --cap-add SETFCAP; or --cap-add SETUID --cap-add SETGID, with which the task gets an id of its own; or another user starts cordon"}, true
}

// Device returns the cause if a device node is missing, or if another device is in its place.
func Device(path string) Cause {
	return Cause{"this root has no " + path + ", or another thing by that name",
		"mount -t devtmpfs dev " + filepath.Dir(path) + "; or bind the host's /dev into this root"}
}

// OrAbsent returns s, or "not there" if s is empty.
func OrAbsent(s string) string {
	if s == "" {
		return "not there"
	}
	return s
}
