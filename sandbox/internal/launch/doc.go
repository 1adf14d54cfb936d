// Package launch starts a sandbox by a plan, reads back what the kernel set up, and supervises the sandbox to the end.
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
