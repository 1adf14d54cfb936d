// Package launch starts a sandbox by a plan, reads back what the kernel set up, and supervises the sandbox to the end.
//
// # The talk
//
// Launcher and child share a socket pair and a piece of memory, in which the plan lies. A message of the child is one
// letter. The launcher answers with one byte, and with a descriptor if the child waits for a mount that it may not make.
//
//	letter  from   says                                   the launcher
//	        child  waits until its ids are mapped         maps them, if that takes rights over the parent's user namespace
//	        task   waits for the next part of the plan    hands it over
//	V       task   its status file                        keeps it; only if a sandbox is joined and /proc hides the task
//	E       child  I have entered the sandbox             looks where the child is; only if a sandbox is joined
//	N       child  I was born again                       takes the second child for the child
//	B       task   I have begun                           opens a pidfd of the task, reads the namespaces back
//	R       task   the root is entered, the old one goes  reads the mount table back, once the old root is out of it
//	I       init   I am confined                          waits for T
//	Y       child  here is the master of the terminal     takes it; only if the task has a terminal of its own
//	K       task   here is Landlock's ruleset             keeps it; only if the sandbox can be joined
//	S       task   here is my standard input              sets its offset; only for a file that the task reopens
//	T       task   I wait                                 answers after I and T
//	L       init   here is the filter's listener          takes it; only if denied calls are reported
//
// The launcher learns that the program runs when the last copy of the child's socket is closed: by execve in the task, or
// by init after L. A step that fails is written to the shared memory and not sent, because even a filter that allows no
// call cannot silence that. After execve init waits at an eventfd until the launcher has read /proc/PID/status, so that a
// program that has ended already can still be read.
//
// If a user, mount or time namespace is joined, the child enters it, makes the new namespaces there, and is born again: a
// pid or time namespace counts only for the children of the process that enters it. The second child, whose parent is the
// launcher too, goes on with the plan, and the first ends.
//
// # What is read back
//
// The report calls enforced what the kernel said, never what was asked of it. A mismatch is a fail.Error; the program has
// not run then, or is killed.
//
//	mounts        /proc/PID/mountinfo, before the task is let go: every part of the tree is there, and nothing that a path
//	              can reach is writable or honours set-user-ID bits unless the profile asks for it
//	namespaces    /proc/PID/ns, before the task is let go: none is the launcher's, or it is the one that is joined
//	capabilities, no_new_privs, seccomp    /proc/PID/status, after execve
//	Landlock      the task itself tries what no rule allows; if it succeeds, the next step of the plan fails
//
// # Denied calls
//
// With on-denial: report the filter has a listener. The launcher must get it, although the task makes no call under the
// filter but execve. So init shares the task's table of descriptors until the task's old memory is gone, which the kernel
// tells init by a futex that the task holds (plan.HoldOwner, plan.SleepForOwner, plan.AwaitOwner). By then execve has given
// the task a table of its own, without the listener. init sends the listener, closes everything, and puts the filter of its
// loop on top. The launcher answers one call at a time, in the loop that also passes on signals, and never by letting the
// call through. A chmod with set-id bits the launcher makes itself, with the task's ids: modecall.go.
//
// # The thread
//
// The kernel ends the child with the thread that made it (PR_SET_PDEATHSIG), so Start and Wait run on one locked thread.
// Signal, Kill and Thaw may be called on any.
//
// # The files
//
//	command.go      what is started, with its files
//	launch.go       the launch: it compiles, opens, clones and hands over; files.go: what the plan names
//	talk.go         the talk with the child; join.go: namespaces and sandboxes that exist
//	verify.go       what is read back
//	supervise.go    the end of a sandbox; signals.go: signals, Ctrl-Z and the loop; limits.go: the limits that end a run
//	guards.go       mounts that fall off when the host replaces what is under them; guards_watch.go: names that appear
//	notify.go       denied calls and calls that are watched; modecall.go: chmod in the task's place
//	hostid.go       ids on the host, and what root alone may reach
//	cgroup.go       the sandbox's groups; usage.go: what it used
//	stdin.go        files and pipes on standard input; output.go: the task's output, where it is copied or shown
//	state.go        what other commands find; control.go: what the launcher does for them; attach.go: what it keeps
//	hints.go        advice from evidence
package launch
