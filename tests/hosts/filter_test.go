package hosts

// This file has seccomp filters like those that container runtimes and service managers install.

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaceFlags has the flags of clone(2) that make namespaces, as Docker's filter lists them.
const namespaceFlags = 0x7E020000

// filters maps the name of a filter to what it denies: calls by number, each with the errno.
var filters = map[string][]denied{
	// This is the filter of Docker and podman for a container without CAP_SYS_ADMIN. It denies clone with flags for
	// namespaces, and every call that mounts.
	"docker": {
		{name: "clone3", nr: unix.SYS_CLONE3, errno: unix.ENOSYS},
		{name: "clone", nr: unix.SYS_CLONE, flags: namespaceFlags, errno: unix.EPERM},
		{name: "unshare", nr: unix.SYS_UNSHARE, errno: unix.EPERM}, {name: "setns", nr: unix.SYS_SETNS, errno: unix.EPERM},
		{name: "mount", nr: unix.SYS_MOUNT, errno: unix.EPERM}, {name: "umount2", nr: unix.SYS_UMOUNT2, errno: unix.EPERM}, {name: "pivot_root", nr: unix.SYS_PIVOT_ROOT, errno: unix.EPERM},
		{name: "fsopen", nr: unix.SYS_FSOPEN, errno: unix.EPERM}, {name: "fsmount", nr: unix.SYS_FSMOUNT, errno: unix.EPERM}, {name: "move_mount", nr: unix.SYS_MOVE_MOUNT, errno: unix.EPERM},
		{name: "open_tree", nr: unix.SYS_OPEN_TREE, errno: unix.EPERM}, {name: "mount_setattr", nr: unix.SYS_MOUNT_SETATTR, errno: unix.EPERM},
		{name: "keyctl", nr: unix.SYS_KEYCTL, errno: unix.EPERM}, {name: "bpf", nr: unix.SYS_BPF, errno: unix.EPERM},
	},
	"clone3":   {{name: "clone3", nr: unix.SYS_CLONE3, errno: unix.EPERM}},
	"noclone3": {{name: "clone3", nr: unix.SYS_CLONE3, errno: unix.ENOSYS}},
	"unshare":  {{name: "unshare", nr: unix.SYS_UNSHARE, errno: unix.EPERM}},
	"mount": {
		{name: "mount", nr: unix.SYS_MOUNT, errno: unix.EPERM}, {name: "fsopen", nr: unix.SYS_FSOPEN, errno: unix.EPERM}, {name: "fsmount", nr: unix.SYS_FSMOUNT, errno: unix.EPERM},
		{name: "move_mount", nr: unix.SYS_MOVE_MOUNT, errno: unix.EPERM}, {name: "open_tree", nr: unix.SYS_OPEN_TREE, errno: unix.EPERM},
	},
	"fsopen":   {{name: "fsopen", nr: unix.SYS_FSOPEN, errno: unix.ENOSYS}},
	"openat2":  {{name: "openat2", nr: unix.SYS_OPENAT2, errno: unix.ENOSYS}},
	"landlock": {{name: "landlock_create_ruleset", nr: unix.SYS_LANDLOCK_CREATE_RULESET, errno: unix.ENOSYS}},
	"seccomp":  {{name: "seccomp", nr: unix.SYS_SECCOMP, errno: unix.EPERM}},
	"pidfd":    {{name: "pidfd_open", nr: unix.SYS_PIDFD_OPEN, errno: unix.ENOSYS}},
	"ptrace":   {{name: "ptrace", nr: unix.SYS_PTRACE, errno: unix.EPERM}},
	"keyctl":   {{name: "keyctl", nr: unix.SYS_KEYCTL, errno: unix.EPERM}},
}

type denied struct {
	name  string
	nr    uint32
	flags uint32 // if not 0, only calls whose first argument has one of these flags
	errno unix.Errno
}

// deny installs a filter. This needs no_new_privs or CAP_SYS_ADMIN.
func deny(name string) error {
	list, ok := filters[name]
	if !ok {
		return errors.New("no filter " + name)
	}
	const ld, jeq, jset, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	var p []unix.SockFilter
	for _, r := range list {
		p = append(p, unix.SockFilter{Code: ld, K: 0})
		if r.flags != 0 {
			p = append(p, unix.SockFilter{Code: jeq, Jf: 3, K: r.nr}, unix.SockFilter{Code: ld, K: 16}, unix.SockFilter{Code: jset, Jf: 1, K: r.flags})
		} else {
			p = append(p, unix.SockFilter{Code: jeq, Jf: 1, K: r.nr})
		}
		p = append(p, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(r.errno)})
	}
	p = append(p, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
