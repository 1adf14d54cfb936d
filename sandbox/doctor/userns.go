package doctor

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cordon/policy/phrase"
	"cordon/sandbox/host"
	"cordon/sandbox/internal/fail"
)

func probeNamespace(m *Machine, name string) Finding {
	for i := range host.Kinds {
		k := &host.Kinds[i]
		if k.Name != name {
			continue
		}
		flag := uintptr(k.Flag) &^ unix.CLONE_NEWUSER // a user namespace is made for each
		err := m.Namespaces(flag)
		if err == nil && flag == 0 {
			return fine("made one, mapped an id, used a capability in it")
		}
		if err == nil {
			return fine("made one")
		}
		if flag != 0 && m.Namespaces(0) != nil {
			return Finding{State: OutcomeUnknown, Found: "not tried", Cause: "not tried, because no user namespace can be made", Remedy: "see userns"}
		}
		return m.refused(k, err)
	}
	return Finding{State: OutcomeUnknown, Found: "no such kind"}
}

// refused finds the cause of a namespace that could not be made, from the most certain to the least.
func (m *Machine) refused(k *host.Kind, err error) Finding {
	found := "clone: " + errnoText(err)
	e := fail.Errno(err)
	sysctl := "user.max_" + k.Name + "_namespaces"
	limit := "/proc/sys/" + strings.Replace(sysctl, ".", "/", 1)
	switch {
	case m.read(limit) == "0":
		return lacking(found, sysctl+"=0", "sysctl -w "+sysctl+"=15000")
	case e == syscall.ENOSPC:
		return lacking(found, sysctl+"="+orAbsent(m.read(limit))+" is used up, or 32 namespaces are already nested", "sysctl -w "+sysctl+"=63359")
	case e == syscall.EINVAL || e == syscall.ENOSYS && !m.filtered():
		return lacking(found, "the kernel was built without "+k.Config, "run a kernel built with "+k.Config+"=y")
	}
	return m.denied(found)
}

// appArmorFile is the profile that lets one program make user namespaces where AppArmor restricts them (Ubuntu since
// 23.10); it confines nothing else.
func appArmorFile(exe string) string {
	return `printf 'abi <abi/4.0>,\nprofile cordon ` + exe + ` flags=(unconfined) {\n  userns,\n}\n' | ` +
		`sudo tee /etc/apparmor.d/cordon && sudo apparmor_parser -r /etc/apparmor.d/cordon`
}

// denied names who forbids user namespaces, where the kernel has them.
func (m *Machine) denied(found string) Finding {
	switch {
	case m.read("/proc/sys/kernel/unprivileged_userns_clone") == "0" && m.UID != 0:
		return lacking(found, "kernel.unprivileged_userns_clone=0 (Debian's and Arch's switch)", "sysctl -w kernel.unprivileged_userns_clone=1")
	case m.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" && m.UID != 0:
		return lacking(found, "kernel.apparmor_restrict_unprivileged_userns=1 (Ubuntu since 23.10): only programs with an AppArmor profile that permits it may make user namespaces",
			appArmorFile(m.Exe)+"; or, for every program, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
	case m.filtered():
		return lacking(found, "the sysctls allow it, but this process has a seccomp filter (Seccomp: 2 in /proc/self/status); container runtimes and systemd's RestrictNamespaces= install one", remedySeccomp)
	case m.confinement() != "":
		return lacking(found, "the AppArmor profile "+m.confinement()+" is on this process", "start the container with --security-opt apparmor=unconfined, or add the rule userns, to that profile")
	case m.chrooted():
		return lacking(found, "this process is in a chroot(2), where the kernel allows no user namespace", "enter the tree by pivot_root(2): with systemd-nspawn, unshare --mount --root, or a container")
	case m.read("/sys/fs/selinux/enforce") == "1":
		return lacking(found, "SELinux is enforcing and may deny user_namespace { create }", "ausearch -m avc -ts recent | audit2allow")
	}
	return lacking(found, "a security module or an outer sandbox forbids it", "ask whoever started this session; dmesg may name the module")
}

// chrooted says whether the root directory is not the root of a mount: chroot(2) is the only way to get there.
func (m *Machine) chrooted() bool {
	s, err := m.ReadFile("/proc/self/mountinfo")
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

func probeProc(m *Machine) Finding {
	s, err := m.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return lacking("no /proc", "proc is not mounted", "mount -t proc proc /proc")
	}
	var masks []string
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], "/proc/") && f[4] != "/proc/sys/fs/binfmt_misc" && f[4] != "/proc/fs/nfsd" {
			masks = append(masks, f[4])
		}
	}
	if len(masks) == 0 {
		return fine("nothing is mounted on top of /proc")
	}
	return lacking(masks[0]+" and "+phrase.Counted(len(masks)-1, "other mount")+" on top of /proc",
		"a container runtime masks parts of /proc; the kernel then refuses a new proc in a user namespace, because it would show them",
		"docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=ALL, or securityContext.procMount: Unmasked (kubernetes)")
}

func errnoText(err error) string {
	if e := fail.Errno(err); e != 0 {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

// errNotTried is a probe's answer where trying makes no sense.
var errNotTried = errors.New("not tried")
