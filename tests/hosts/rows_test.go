package hosts

import "strings"

// host is a row of the table. The expected result of a start is a word, and a text that cordon must print:
//
//	full            it starts, and nothing is missing
//	way TEXT        it starts, nothing is missing, and a way on is named
//	missing TEXT    it starts, as the profile allows, and says what is missing
//	refused TEXT    exit 125, with the layer and the cause, and a hint
//	unable TEXT     exit 126, for the program alone, and a hint with the text
type host struct {
	name       string
	apply      string   // restrictions, one on each line
	own        bool     // in a separate user namespace that maps every id of this one
	before     []string // a program that starts cordon, in which BASE and ROOT are replaced
	container  *bundle
	args       []string // replaces "run -v -p default -- true"
	need       string   // a program that the row needs
	root, user string   // the expected results; "" means that it is not tried as this user
}

const (
	filtered = "refused a seccomp filter is on this process"
	noIDs    = "refused without the capabilities SETUID and SETGID"
	masked   = "refused masks parts of /proc"
	blind    = "way no CAP_SYS_PTRACE"
	byClone  = "way the child is made by clone"
	unmapped = "refused the id is not mapped"
)

func hosts() []host {
	docker := strings.Fields(dockerCaps)
	named := strings.Fields("run -v --rm --name hosts -- true")
	place := strings.Fields("run -v --in-place -- true")
	kept := []string{"sh", "-ec", `run() { "$cordon" "$@"; }; cordon=$0; name=hosts-$$
		trap 'run rm -f $name >/dev/null 2>&1 || :' EXIT
		run run -d --name $name -- sleep 60; run exec $name -- true; run ps | grep $name; run rm -f $name`}
	hostProc := strings.Fields("run -v --ns pid=host -- true")
	placed := []host{
		{name: "user.max_user_namespaces=0, --in-place", own: true, apply: "sysctl /proc/sys/user/max_user_namespaces 0"},
		{name: "a filter on clone3: ENOSYS, --in-place", apply: "deny noclone3"},
		{name: "a filter on unshare, --in-place", apply: "deny unshare"},
		{name: "a filter on mounts, --in-place", apply: "deny mount"},
		{name: "a filter on openat2: ENOSYS, --in-place", apply: "deny openat2"},
		{name: "a filter like Docker's, --in-place", apply: "deny docker"},
		{name: "the capabilities of Docker's root, --in-place", apply: "keep " + dockerCaps},
		{name: "a container: Docker's filter, --in-place", container: &bundle{filter: "docker", caps: docker}, need: "runc"},
		{name: "unshare -Ur, --in-place", before: strings.Fields("unshare -Ur"), need: "unshare"},
		{name: "a sandbox of cordon, --in-place", before: strings.Fields("BASE/bin/cordon run -q -p default --ro BASE/bin --")},
		{name: "a sandbox in place, --in-place", before: strings.Fields("BASE/bin/cordon run -q --in-place -p default --ro BASE/bin --")},
	}
	for i := range placed {
		placed[i].args, placed[i].root, placed[i].user = place, "missing mount", "missing mount"
		if strings.HasPrefix(placed[i].name, "unshare") {
			placed[i].root = unmapped
		}
		if placed[i].container != nil { // a user cannot write the bundle's /tmp
			placed[i].user = ""
		}
	}
	return append(placed, []host{
		{name: "an unrestricted host", root: "full", user: "full"},
		{name: "/proc with hidepid=invisible", apply: "proc hidepid=2", root: "full", user: "full"},
		{name: "/proc with hidepid=ptraceable", apply: "proc hidepid=4", root: "full", user: "full"},
		{name: "hidepid=invisible, with --name", apply: "proc hidepid=2", args: named, root: "full", user: "full"},
		{name: "/proc masked in part", apply: "mask /proc/timer_list", root: masked, user: masked},
		{name: "/proc masked in part, --ns pid=host", apply: "mask /proc/timer_list", args: hostProc,
			root: "way the caller's /proc is bound", user: "way the caller's /proc is bound"},
		{name: "no /proc", apply: "gone /proc", root: "refused /proc is not mounted", user: "refused /proc is not mounted"},
		{name: "an empty /dev", apply: "empty /dev", root: "refused this root has no /dev/zero", user: "refused this root has no /dev/zero"},
		{name: "no /run", apply: "without BASE/without run", root: "full", user: "full"},
		{name: "no /dev", apply: "without BASE/without dev", root: "refused this root has no /dev/zero", user: "refused this root has no /dev/zero"},
		{name: "the program is on a noexec mount", apply: "noexec BASE/noexec", args: strings.Fields("run -v --ro BASE/noexec -- BASE/noexec/true"),
			root: "unable noexec mount", user: "unable noexec mount"},
		{name: "a filter on ptrace, as kernel.yama.ptrace_scope=3", apply: "deny ptrace", root: "full", user: "full"},
		{name: "run -d, exec, ps, rm with hidepid=invisible", apply: "proc hidepid=2", before: kept, root: "full", user: "full"},
		{name: "run -d, exec, ps, rm with a filter on clone3", apply: "deny noclone3", before: kept, root: "full", user: "full"},
		{name: "an empty /run", apply: "empty /run", root: "full", user: "full"},
		{name: "a chroot", apply: "chroot ROOT\nproc ", root: "refused /dev/zero", user: "refused /dev/zero"},
		{name: "user.max_user_namespaces=0", own: true, apply: "sysctl /proc/sys/user/max_user_namespaces 0",
			root: "refused user.max_user_namespaces=0", user: "refused user.max_user_namespaces=0"},
		{name: "user.max_mnt_namespaces=0", own: true, apply: "sysctl /proc/sys/user/max_mnt_namespaces 0",
			root: "refused user.max_mnt_namespaces=0", user: "refused user.max_mnt_namespaces=0"},
		{name: "user.max_pid_namespaces=0", own: true, apply: "sysctl /proc/sys/user/max_pid_namespaces 0",
			root: "refused user.max_pid_namespaces=0", user: "refused user.max_pid_namespaces=0"},
		{name: "user.max_net_namespaces=0", own: true, apply: "sysctl /proc/sys/user/max_net_namespaces 0",
			root: "refused user.max_net_namespaces=0", user: "refused user.max_net_namespaces=0"},
		{name: "a filter on clone3: EPERM", apply: "deny clone3", root: byClone, user: byClone},
		{name: "a filter on clone3: ENOSYS", apply: "deny noclone3", root: byClone, user: byClone},
		{name: "a filter on unshare", apply: "deny unshare", root: filtered, user: filtered},
		{name: "a filter on mounts", apply: "deny mount", root: filtered, user: filtered},
		{name: "a filter on fsopen: ENOSYS", apply: "deny fsopen", root: filtered, user: filtered},
		{name: "a filter on seccomp", apply: "deny seccomp", root: filtered, user: filtered},
		{name: "a filter on pidfd_open", apply: "deny pidfd", root: filtered, user: filtered},
		{name: "a filter on openat2: ENOSYS", apply: "deny openat2", root: "full", user: "full"},
		{name: "a filter on Landlock: ENOSYS", apply: "deny landlock", root: "missing landlock", user: "missing landlock"},
		{name: "a filter like Docker's", apply: "deny docker", root: filtered, user: filtered},
		{name: "no_new_privs", apply: "nnp", root: "full", user: "full"},
		{name: "no CAP_SETFCAP", apply: "drop SETFCAP", root: "full"},
		{name: "CAP_SYS_ADMIN without CAP_SYS_PTRACE", apply: "drop SYS_PTRACE", root: blind},
		{name: "the same, with --name", apply: "drop SYS_PTRACE", args: named, root: blind},
		{name: "the same, with hidepid=invisible", apply: "proc hidepid=2\ndrop SYS_PTRACE", args: named, root: blind},
		{name: "the capabilities of Docker's root", apply: "keep " + dockerCaps, root: "way no CAP_SYS_PTRACE"},
		{name: "no capability", apply: "keep ", root: noIDs},
		{name: "no CAP_SETUID", apply: "drop SETUID", root: noIDs},
		{name: "read-only cgroups, --memory", apply: "readonly /sys/fs/cgroup", args: strings.Fields("run -v --memory 64MiB -- true"),
			root: "missing cgroup", user: "missing cgroup"},
		{name: "no newuidmap, --ranges", apply: "mask /usr/bin/newuidmap\nmask /etc/subuid", args: strings.Fields("run -v --ranges -- true"),
			root: "refused /etc/subuid", user: "refused /etc/subuid"},
		{name: "a container: Docker's filter", container: &bundle{filter: "docker", caps: docker}, need: "runc", root: filtered, user: filtered},
		{name: "… seccomp=unconfined", container: &bundle{caps: docker}, need: "runc", root: masked, user: masked},
		{name: "… and --ns pid=host", container: &bundle{caps: docker}, args: hostProc, need: "runc",
			root: "way the caller's /proc is bound", user: "way the caller's /proc is bound"},
		{name: "… and systempaths=unconfined", container: &bundle{caps: docker, unmasked: true}, need: "runc", root: "way no CAP_SYS_PTRACE", user: "full"},
		{name: "… and --cap-drop ALL", container: &bundle{unmasked: true}, need: "runc", root: noIDs, user: "full"},
		{name: "… and --cap-add SYS_ADMIN", container: &bundle{caps: append(docker[:len(docker):len(docker)], "SYS_ADMIN"), unmasked: true}, need: "runc",
			root: blind, user: "full"},
		{name: "… and a user namespace", container: &bundle{caps: docker, unmasked: true, nested: true}, need: "runc", root: "missing userns", user: "full"},
		{name: "podman, rootless", before: strings.Fields("podman --runtime runc run --rm --ulimit host --cgroup-manager cgroupfs --network none --rootfs ROOT"), need: "podman", user: masked},
		{name: "bubblewrap, with --proc", before: strings.Fields("bwrap --bind / / --dev /dev --proc /proc"), need: "bwrap", root: masked, user: "full"},
		{name: "unshare -Ur", before: strings.Fields("unshare -Ur"), need: "unshare", root: unmapped, user: "full"},
		{name: "a sandbox of cordon, -p default", before: strings.Fields("BASE/bin/cordon run -q -p default --ro BASE/bin --"), root: filtered, user: filtered},
		{name: "a sandbox of cordon, --nest", before: strings.Fields("BASE/bin/cordon run -q -p default --nest --on-denial silent --ro BASE/bin --"), root: "full", user: "full"},
		{name: "a sandbox of cordon, -p build --nest", before: strings.Fields("BASE/bin/cordon run -q -p build --nest --on-denial silent --ro BASE/bin --"), root: "full", user: "full"},
		{name: "a sandbox of cordon, --nest, that reports", before: strings.Fields("BASE/bin/cordon run -q -p default --nest --ro BASE/bin --"), root: "missing on-denial", user: "missing on-denial"},
		{name: "bubblewrap in a sandbox of cordon, --nest", before: strings.Fields("BASE/bin/cordon run -q -p default --nest --on-denial silent --ro BASE/bin -- bwrap --bind / / --dev /dev --proc /proc"), need: "bwrap", root: "full", user: "full"},
		{name: "a sandbox of cordon, -p build", before: strings.Fields("BASE/bin/cordon run -q -p build --ro BASE/bin --"), root: filtered, user: filtered},
	}...)
}
