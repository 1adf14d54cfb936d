// Package sandbox runs a program in a sandbox that a profile describes. This is the life of a sandbox.
//
// # From profile to report
//
// A [policy.Profile] says what is wanted, a [Host] what this machine can do, a [Cmd] what is to be run. [Compile] makes
// of the three a [plan.Plan]: a flat list of system calls as plain values, each with the line of the profile that asks
// for it. Everything that needs an "if" is decided here; Compile runs nothing, opens nothing and changes nothing, so
// that a plan is printed, compared and tested without root and without the kernel that it is for.
//
// Cmd.Start opens what the plan names (Plan.Files: a socket pair, the standard files), links the plan to the numbers of
// those descriptors and calls clone3. The child makes the plan's calls one after the other; the first that fails ends
// it. There is no Go runtime in the child and no code but a loop over system calls, in internal/child. The plan lies in
// memory that both share, and Start does not wait for the end of it: it clones when the first steps are compiled, and
// compiles the rest while the child makes its namespaces. A profile that turns out wrong then ends the child.
//
// Cmd.Wait waits for the end and completes the [report.Report]: how the program ended, what it used, which layers the kernel
// confirmed and which are missing.
//
// # Who runs what
//
//	launcher  the calling process, outside. It compiles, opens, clones, maps ids where that takes rights over the
//	          parent's user namespace, reads back what the kernel says, lets the task go, waits, and reports.
//	child     the clone, until it forks: ids, the network, the parent-death signal, capabilities that nobody inside may have.
//	init      the child behind the fork, pid 1 inside: gives up everything, and reaps until the task is gone. With it dies whatever the task has left behind.
//	task      the fork: mounts, enters the root, confines itself, and becomes the program by execve.
//
// Where a user, mount or time namespace is joined, the child enters it, makes the new ones there, and is born again:
// the second child, the launcher's like the first, goes on with the plan, and the first ends.
//
// With a terminal of its own the task is in a process group of its own in a session that init leads; else it leads one.
//
// init has one thread, no capability, one descriptor, a filter for the few calls of its loop, and is not dumpable. The
// child never has the launcher's heap and variables: of the arenas around its stack it is given a window (child.Start). The
// task can neither look into init nor kill it.
//
// # The talk
//
// Launcher and child share a socket pair and memory. A message is one letter; the launcher's is a byte, with a descriptor
// where the child waits for a mount that it may not make itself.
//
//	   child      waits where its ids are mapped from outside  launcher: maps them, says so
//	   task       waits where the plan is handed over in parts launcher: hands over, says so
//	E  child      I have entered the sandbox               launcher: reads back where it is, says so; only where one is joined
//	N  child      I was born again                             launcher: takes it for the child
//	B  task       I have begun                                 launcher: holds on to it, reads the namespaces back
//	R  task       the root is entered, and the old one goes    launcher: reads the mount table back, once that is out of it
//	I  init       I am confined
//	Y  child      the master of the task's terminal           launcher: takes it; only where the task has its own
//	K  task       Landlock's ruleset                       launcher: keeps it; only where the sandbox can be joined
//	S  task       its standard input                        launcher: sets where it begins; only for a file that the task reopens
//	T  task       I wait                                       launcher: answers behind I and T
//	L  init       the program runs: the listener               launcher: takes it; only where denied calls are reported
//
// execve closes the task's end, the last, or init closes it behind "L", which is how the launcher learns that the program
// runs. A step that fails is written to the shared memory, not sent: even a filter that allows nothing cannot silence it.
// Behind execve init waits at an eventfd until the launcher has read /proc/PID/status, so that a program that has ended
// already can still be read.
//
// # The order
//
// It stands in one table, order in internal/compile/compile.go, and each constraint is said there. In short:
//
//   - What takes the child's own files of the host's /proc before the ids: a change of credentials gives them to root.
//   - Ids before the mounts: what is made on the sandbox's own file systems belongs to them.
//   - The parent-death signal behind the ids, because a change of credentials clears it. A launcher that died before it was
//     set has closed its end: whoever waits for its byte gets none, which is an error (plan.RecvByte).
//   - The bounding set while CAP_SETPCAP is there and before the fork, no_new_privs before Landlock and seccomp, which
//     an unprivileged process may not use without.
//   - The network namespace, a quarter of a launch, before the fork: the launcher compiles the mounts meanwhile.
//   - The mounts in the profile's order, hide rules behind every one of them, the program's own file behind both, then
//     what is the launcher's own becomes read-only.
//   - Nothing is mounted once the root is entered: from "R" on the launcher reads the mount table back, and the task
//     makes Landlock's rules meanwhile.
//   - Landlock is enforced behind the last mount, since it forbids mounting.
//   - rlimits behind the last descriptor that is opened: the launcher may hold more than the task is allowed.
//   - The barrier (T) behind all that, and before the filter: the launcher has read the mounts back by then, or refuses.
//   - seccomp last. execve is the only call under the filter, so that a profile describes the program and not us.
//
// # Denied calls
//
// With on-denial: report the filter has a listener, and the launcher must get it although no call is made under the filter
// but execve. init therefore keeps the table of descriptors that it shares with the task until the task's memory is gone,
// which the kernel tells it by a futex that the task holds (plan.HoldOwner, plan.SleepForOwner, plan.AwaitOwner); by then
// execve has given the task a table of its own, without the listener. init sends what is at the number that was kept for
// it, closes everything, and puts the filter of its loop on top of the one that allowed that. The launcher answers in the loop that also passes
// on signals: one call at a time, and never by letting it through. A chmod with set-id bits the launcher makes
// itself, with the task's ids (internal/launch/modecall.go).
//
// # Joining
//
// A sandbox that other commands can find is kept ready to be joined (internal/attach): while the task waits, the launcher opens
// what another program needs, and Landlock's ruleset comes with "K". A launcher that joins (internal/compile/exec.go) has another plan, from
// execOrder, with the same phases where nothing is different: its child enters everything from outside, says "E" and waits
// until the launcher has looked where it is, conceals itself, and is born again inside, where it makes the task and reaps it
// as init does in a sandbox of its own.
//
// # Paths
//
// The new root is stacked on "/" of the child's mount namespace. Until it is entered, a path still means the host and a
// descriptor of the new root means the sandbox. A target is resolved once, by the kernel, below the root's descriptor
// (openat2, RESOLVE_IN_ROOT; name by name on a host that refuses it), and is a descriptor from then on; a source is opened
// without following any link.
// What Compile resolves itself (internal/picture) only decides and explains. Nothing is ever made on the host's tree: a target
// exists there or is an error, and files of the launcher's own lie on a tmpfs of its own, the scratch file system.
//
// # What is read back
//
// The report calls enforced what the kernel said, never what was asked of it.
//
//	mounts                              /proc/PID/mountinfo, before the task is let go: every part of the tree is there, and
//	                                    nothing that a path can reach is writable or set-user-ID without being asked for
//	namespaces                          /proc/PID/ns, before the task is let go: none is the launcher's, or it is the one joined
//	capabilities, no_new_privs, seccomp /proc/PID/status, behind execve
//	Landlock                            what no rule allows is tried by the task itself; where it succeeds, the next step
//	                                    of the plan fails
//
// A mismatch is an [Error], and the program has not run or is killed.
//
// # Other commands
//
// With Cmd.State the sandbox has an entry in the state directory: a directory with a lock that the launcher holds, who its
// processes are, by start time and boot, and a socket at which the launcher answers a table of operations, in the loop that
// also passes on signals. Other processes read that and ask the kernel for the rest. Whether a launcher lives is told by its
// lock, so that one that was killed is cleaned up behind by whoever looks next ([StateDir.Sweep]).
//
// # When something fails
//
// A layer that is asked for and cannot be had is an [UnsupportedError], at compile time where the Host tells; it may be
// missing only if Profile.Missing names it. A call that fails is a [StepError] with the step's number in the printed
// plan, its text and its place in the profile; at execve it is a [LookupError], as is a program that is not there.
// Whatever the error: the child is killed and waited for, and no process, mount, file or descriptor is left. The same
// holds for a launcher that is killed: the kernel ends the child with the thread that made it, which is why Start keeps
// one goroutine on that thread for as long as the sandbox lives.
//
// # The rooms
//
// Each package below imports only those above it.
//
//	plan/               steps and how they are printed, in the syntax of strace(1)
//	report/             what a run came to, and the JSON Schema of that
//	host/               Host, Probe, and Files: the machine as an argument
//	ledger/             what a task could write, recorded
//	internal/child/     links a plan to descriptors, clones, and is the loop in the child: the only unsafe code
//	internal/cgroup/    the groups; internal/git/: git's files; internal/proc/: /proc; internal/walk/: paths that others may change
//	internal/fail/      the errors; internal/paths/: clean paths as text; internal/helper/: programs of the host; internal/passwd/: accounts
//	internal/loop/      the launcher's event loop; internal/output/: what the task writes, counted and copied
//	internal/terminal/  a terminal of the task's own, and the caller's
//	internal/attach/    what is kept of a sandbox so that a program may join it, and its form between two launchers
//	internal/picture/   what the sandbox will see, as the compiler pictures it
//	internal/compile/   profile, host and request become a plan: compile.go is the order, then a file for each facility
//	internal/why/       questions about a compiled profile: which layer decides, and what would allow it
//	internal/state/     what other commands know of a sandbox: its directory, log and control socket
//	internal/launch/    clone, talk, read back, supervise: launch.go begins it, supervise.go ends it
//	sandbox             Cmd, and names for what callers use of the rest
//	doctor/             what this machine can do; record/ and audit/ watch programs
//
// To add a layer: a file of internal/compile with a method that appends steps with their From, one line in order with the reason for its
// place, and, where the kernel can be asked, one line in internal/launch/verify.go. The loop in the child stays as it is.
package sandbox
