// Package compile turns a profile, a host and a request into a plan. It decides, and touches nothing: it imports
// neither os nor syscall, it takes only numbers from package unix, and it sees the host through host.Files alone.
//
// # The order
//
// The table order in compile.go holds it, with the reason for each place. In short:
//
//   - Steps that open the child's own files in the host's /proc come before the ids, because a change of credentials
//     gives these files to root.
//   - Ids come before the mounts, so that the task's ids own what is made on the sandbox's own file systems.
//   - The parent-death signal comes after the ids, because a change of credentials clears it. If the launcher died
//     before the child set the signal, the launcher's end of the socket is closed. So the child, which waits for a
//     byte, gets none, and that is an error (plan.RecvByte).
//   - The child drops the bounding set while it has CAP_SETPCAP, and before the fork. no_new_privs comes before
//     Landlock and seccomp, because an unprivileged process may not use these two without it.
//   - The network namespace takes a quarter of a launch. The child makes it before the fork, while the launcher
//     compiles the mounts.
//   - The mounts come in the profile's order, hide rules after all of them, the program's own file after both. Then
//     the launcher's own mounts become read-only.
//   - The child mounts nothing after it has entered the root. From then on the launcher reads the mount table back,
//     and meanwhile the task makes Landlock's rules.
//   - Landlock is enforced after the last mount, because it forbids mounting.
//   - rlimits come after the last descriptor is opened, because the launcher may hold more descriptors than the task
//     is allowed.
//   - The barrier ("T") comes after all that and before the filter. By then the launcher has read the mounts back, or
//     it refuses to go on.
//   - seccomp is last. execve is the only call under the filter, so that a profile describes the program and not the
//     launcher.
//
// A program that joins a sandbox (exec.go) has execOrder. It has the same phases if they need not differ. Its child
// enters everything from outside, waits until the launcher has checked where the child is, conceals itself, and is
// born again inside.
//
// # Paths
//
// The new root is stacked on "/" of the child's mount namespace. Until the child enters it, a path means the host and
// a descriptor of the new root means the sandbox. The kernel resolves a target once, below the root's descriptor
// (openat2, RESOLVE_IN_ROOT; name by name on a host that refuses openat2). From then on the target is a descriptor. A
// source is opened without following any link. What this package resolves itself, by internal/picture, only decides
// and explains. Nothing is made on the host's tree: a target exists there or is an error, and the launcher's own
// files lie on a tmpfs of its own, the scratch file system.
//
// # The files
//
//	compile.go      the order; the steps that belong to no layer
//	request.go      the command as data, and what is refused in it; who watches; what is kept for others
//	namespaces.go   which namespaces are new, joined or the host's, and how the child enters one that exists
//	identity.go     who the task is, inside and outside; its capabilities; who may make files with set-id bits
//	rootfs.go       the root, sources and targets; how a plan opens a path, also if the host refuses openat2(2)
//	mounts.go       the profile's mounts; proc.go: /proc, /dev and files that the launcher makes
//	overlay.go      overlays; layer.go: the directory that keeps the changes, and overlays over read-only directories
//	cover.go        mounts that hide and protect, and the plan that mounts one of them again
//	places.go       where the sandbox shows a thing of the host; homes, and links in them
//	hide.go hideglob.go hidenames.go hidelinks.go   what a hide rule means
//	git.go gitrepo.go gitcommands.go   repositories in what the task may write
//	own.go          what decides on the next run, which no task can write
//	sockets.go      the host's sockets
//	lookup.go       the program, its environment and its interpreter; showprogram.go: how a hidden program is bound
//	seccomp.go landlock.go cgroup.go rlimits.go stdio.go   a layer each
//	exec.go         a program that joins a sandbox
//	hints.go        advice from what the command names
package compile
