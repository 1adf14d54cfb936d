// Package sandbox runs programs in sandboxes on Linux. It has the shape of os/exec.
//
//	profile, err := profiles.Load("default")
//	if err != nil {
//		return err
//	}
//	out, err := sandbox.Command(profile, "sort", "-u", "names.txt").Output()
//
// A [policy.Profile] says what the program may do: which files it sees and writes, which network it has, which system
// calls it makes, how much memory and time it uses. profiles.Load reads a profile by name or from a file;
// profiles.Parse reads one from a text. docs/profile.md describes the language, and `cordon plan` shows the system
// calls of a profile.
//
// # What is promised
//
//   - Anything that the profile does not allow is denied. The zero profile allows next to nothing.
//   - A sandbox is never weaker than its profile. If this machine cannot provide a layer, Start fails with an
//     [UnsupportedError], unless the profile lists the layer under missing; then Report.Missing says so.
//   - Report.Enforced lists what the kernel has confirmed. Start reads it back before the program runs, or as it begins.
//   - Start and Wait leave nothing behind: no process, mount, file or descriptor, whatever the error. If the calling
//     process is killed, the kernel kills the sandbox with its pid namespace. Every profile has one, unless it asks for
//     the host's.
//   - Only the program itself changes anything on the host, and only where the profile lets it write. The launcher makes
//     only its own directories: those for its state and its records, and those in which profiles are looked up, so that
//     no task can make them.
//   - A Go program needs no call in main, because Start does not run that program again. Each sandbox keeps a goroutine
//     and its thread until it has ended. Several sandboxes may run at once. Only one goroutine at a time may use a Cmd,
//     but any goroutine may call the methods of Process.
//
// # Errors
//
// Start returns an error if the program did not run:
//
//	*policy.Error, policy.Errors  the profile is wrong; each has a position
//	*UnsupportedError             this machine cannot provide a layer; it names the remedy
//	*LookupError                  the program cannot be run; errors.Is knows exec.ErrNotFound, fs.ErrNotExist, fs.ErrPermission
//	*StepError                    the kernel refused a system call of the plan; it names the line of the profile
//	*TimeoutError                 limits.wall was reached before the program ran
//	*SignalError                  a signal ended the launch; only with Cmd.Exclusive
//	*Error                        anything else, with a hint
//
// Wait returns an [ExitError] if the program ran and ended badly: with a status other than 0, or by a signal or a limit.
// Cmd.Report says more about the run, also if the program ended well.
//
// # What is different from os/exec
//
//   - Start looks the program up, inside the sandbox. Command never fails.
//   - Env is not the program's environment: the profile selects from it. Environ returns the result.
//   - Start returns when the program has been exec'd, and not before.
//   - Wait returns when all processes of the sandbox are gone, not only the first.
//   - Start refuses a standard or extra file that would lead out of the sandbox, such as a directory.
//   - Cmd has a Report in place of ProcessState, and Process has no method Wait.
//
// # More programs in a sandbox
//
// A command with Attachable keeps its sandbox open for others: Attach returns a value for Cmd.Into. A command with
// State has an entry in the state directory, where other processes find it through package statedir. `cordon ps`,
// `exec` and `kill` use that directory.
//
// # The life of a sandbox
//
// [Compile] makes a [plan.Plan] of the profile, the machine and the command. A plan is a list of system calls as plain
// values, each with the line of the profile that asks for it. Compile takes every decision, and runs nothing. So a plan
// can be printed, compared and tested without root and on another kernel.
//
// Start clones a child, which makes the plan's calls one after the other. There is no Go runtime in the child. While
// the child makes its namespaces, Start compiles the rest of the plan. Then Start reads back what the kernel has set
// up, and lets the program run. Wait supervises the sandbox and completes the [report.Report].
//
//	launcher  the calling process, outside: it compiles, clones, maps ids, reads back, supervises and reports
//	child     the clone, until it forks: it sets ids, network, parent-death signal and bounding set
//	init      the child after it has forked, pid 1 inside: it gives up everything, and reaps; the sandbox ends with it
//	task      the process that init forked: it mounts, enters the root, confines itself, and becomes the program by execve
//
// # The rooms
//
// Each package imports only packages that stand before it.
//
//	policy/             the profile language, without system calls; profiles/ finds and holds profiles
//	plan/               steps, printed in the syntax of strace(1)
//	report/             the report of a run, and its JSON Schema
//	ledger/             records of what tasks could write
//	host/               the machine as a value: kernel, caller, files
//	internal/child/     the loop in the child: the only unsafe code
//	internal/cause/     why the machine refuses what a sandbox needs
//	internal/attach/    what a program needs to join a sandbox
//	internal/picture/   which files the sandbox will show
//	internal/compile/   makes a plan of profile, host and command; its documentation has the order and the reasons
//	internal/why/       which layer denies an access, and what would allow it
//	internal/state/     the state directory; statedir/ is its public part
//	internal/launch/    clones, reads back, supervises; its documentation has the protocol with the child
//	sandbox             Cmd
//	doctor/             what this machine can do; record/ and audit/ watch programs
//
// docs/architecture.md has a picture, and says where new code belongs.
package sandbox
