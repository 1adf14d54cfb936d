// Package compile turns a profile, a host and a request into a plan. It decides, and touches nothing: it imports neither
// os nor syscall, it takes only numbers from package unix, and it sees the host through host.Files alone.
//
// # The files
//
//	compile.go      the order; the steps that belong to no layer
//	request.go      the command as data, and what of it is refused; who watches; what is kept for others
//	namespaces.go   which are new, joined or the host's, and how one that exists is entered
//	identity.go     who the task is, inside and outside; its capabilities; who may make files with set-id bits
//	rootfs.go       the root, sources and targets; how a plan opens a path, also where openat2(2) is refused
//	mounts.go       the profile's mounts; proc.go: /proc, /dev and files that the launcher makes
//	overlay.go      overlays; layer.go: the directory that keeps the changes, and overlays over read-only directories
//	cover.go        mounts that hide and protect, and the plan that mounts one of them again
//	places.go       where the sandbox shows a thing of the host; homes, and links in them
//	hide.go hideglob.go hidenames.go hidelinks.go   what a hide rule means
//	git.go gitrepo.go gitcommands.go   repositories in what the task may write
//	own.go          what decides on the next run, which no task can write
//	sockets.go      the host's sockets
//	lookup.go       the program, its environment and its interpreter; showprogram.go: how it is bound where it is hidden
//	seccomp.go landlock.go cgroup.go rlimits.go stdio.go   a layer each
//	exec.go         a program that joins a sandbox
//	hints.go        advice from what the command names
package compile
