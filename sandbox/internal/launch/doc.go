// Package launch starts a sandbox by a plan, reads back what the kernel set up, and supervises the sandbox to the end.
//
// # The talk
//
// Launcher and child share a socket pair, and a piece of memory that holds the plan. A message of the child is one
// letter. The launcher answers with one byte. If the child waits for a mount that it has no right to make, the launcher
// sends a descriptor of the mount with the byte.
//
//	letter  from   says                                   the launcher
//	        child  waits until its ids are mapped         maps them, if that takes rights over the parent namespace
//	        task   waits for the next part of the plan    hands it over
//	V       task   its status file                        keeps it; only if it joins a sandbox and /proc hides it
//	E       child  I have entered the sandbox             looks where the child is; only if it joins a sandbox
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
// The launcher learns that the program runs when the last copy of the child's socket is closed. execve in the task
// closes it, or init does so after L. If a step fails, the child does not send a message but writes to the shared
// memory, because even a filter that allows no call cannot prevent that. After execve init waits at an eventfd until
// the launcher has read /proc/PID/status. So the launcher can read the status even if the program has ended already.
//
// If the sandbox joins a user, mount or time namespace, the child enters that namespace and makes the new namespaces
// there. Then the child is born again: it forks, because a pid or time namespace is only for the later children of the
// process that enters it. The second child goes on with the plan, and the first ends. The launcher is the parent of
// both.
//
// # What is read back
//
// The report calls enforced what the kernel has confirmed, never what the launcher has asked for. A mismatch is a
// fail.Error, and then the program has not run, or the launcher kills it.
//
//	mounts        /proc/PID/mountinfo, before the task is let go: every part of the tree is there. No mount that a
//	              path can reach honours set-user-ID bits, and none is writable unless the profile asks for it
//	namespaces    /proc/PID/ns, before the task is let go: a new one is not the launcher's, a joined one is right
//	capabilities, no_new_privs, seccomp    /proc/PID/status, after execve
//	Landlock      the task itself tries what no rule allows; if it succeeds, the next step of the plan fails
//
// # Denied calls
//
// If the profile says on-denial: report, the filter has a listener: a descriptor by which the launcher answers denied
// calls. The launcher must get the listener, although execve is the only call that the task makes under the filter. So
// init shares the task's table of descriptors until the task's old memory is gone. A futex that the task holds tells
// init of that moment (plan.HoldOwner, plan.SleepForOwner, plan.AwaitOwner). By then execve has given the task a table
// of its own, without the listener. init sends the listener, closes everything, and puts the filter of its loop on top.
// The launcher answers one call at a time, in the loop that also passes on signals. It never lets a denied call
// through. A chmod with set-id bits is an exception: the launcher makes that call itself, with the task's ids
// (modecall.go).
//
// # The thread
//
// The kernel ends the child when the thread that cloned it ends (PR_SET_PDEATHSIG). So Start and Wait run on one
// locked thread. Signal, Kill and Thaw may be called on any thread.
//
// # The files
//
//	command.go      what the launcher starts: a command with its files
//	launch.go       the launch: compile, open, clone, hand over; files.go: what the plan names
//	talk.go         the talk with the child; join.go: namespaces and sandboxes that exist
//	verify.go       what is read back
//	supervise.go    the end of a sandbox; signals.go: signals, Ctrl-Z, the loop; limits.go: the limits that end a run
//	guards.go       mounts that come off when the host replaces the file below; guards_watch.go: names that appear
//	notify.go       denied calls and watched calls; modecall.go: chmod in the task's place
//	hostid.go       ids on the host, and directories that must stay private
//	cgroup.go       the sandbox's groups; usage.go: what the sandbox used
//	stdin.go        files and pipes on standard input; output.go: output that the launcher copies or shows
//	state.go        what other commands find; control.go: what the launcher does for them; attach.go: what it keeps
//	hints.go        advice from evidence
package launch
