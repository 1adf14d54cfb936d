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
//   - Report.Enforced lists what the kernel has confirmed, read back before the program runs or as it begins.
//   - Start and Wait leave nothing behind: no process, mount, file or descriptor, whatever the error. If the calling
//     process is killed, the kernel kills the sandbox with its pid namespace, which every profile has unless it asks for
//     the host's.
//   - Nothing of the host's is changed but by the program itself, where the profile lets it write. The launcher makes
//     directories of its own only: for its state and its records, and those where profiles are looked for, so that no task
//     can make them.
//   - A Go program needs no call in main: the sandbox is not started by running the program again. Each sandbox keeps a
//     goroutine and its thread until it has ended. Several sandboxes may be started and waited for at once; one Cmd
//     belongs to one goroutine at a time, apart from Process, whose methods may be called from any.
//
// # Errors
//
// Start returns an error if the program did not run:
//
//	*policy.Error, policy.Errors  the profile is wrong; each has a position
//	*UnsupportedError             this machine cannot provide a layer; it names the remedy
//	*LookupError                  the program cannot be run; errors.Is knows exec.ErrNotFound, fs.ErrNotExist, fs.ErrPermission
//	*StepError                    the kernel refused a system call of the plan; it names the line of the profile
//	*SignalError                  a signal ended the launch; only where the process is a launcher, see Cmd.Exclusive
//	*Error                        anything else, with a hint
//
// Wait returns an [ExitError] if the program ran and ended badly: with a status other than 0, by a signal, or by a limit.
// Cmd.Report has the whole story, also of a program that ended well.
//
// # What is different from os/exec
//
//   - The program is looked up inside the sandbox, by Start. Command never fails.
//   - Env is not the program's environment, but what the profile picks from. Environ returns the result.
//   - Start returns when the program has been exec'd, and not before.
//   - Wait returns when all processes of the sandbox are gone, not only the first.
//   - A file that would lead out of the sandbox, such as a directory, is refused as a standard or extra file.
//   - Report takes the place of ProcessState, and Process has no Wait.
//
// # More programs in a sandbox
//
// A command with Attachable keeps its sandbox open for others: Attach returns a value for Cmd.Into. A command with
// State has an entry in the state directory, where other processes find it through package statedir. `cordon ps`,
// `exec` and `kill` use that directory.
//
// # The life of a sandbox
//
// [Compile] makes a [plan.Plan] of the profile, the machine and the command. A plan is a list of system calls as
// plain values, each with the line of the profile that asks for it. Compile takes every decision. Compile runs
// nothing, so a plan can be printed, compared and tested without root and on another kernel.
//
// Start clones a child, which makes the plan's calls one after the other. There is no Go runtime in the child. While
// the child makes its namespaces, Start compiles the rest of the plan. Then Start reads back what the kernel has set
// up, and lets the program run. Wait supervises the sandbox and completes the [report.Report].
//
//	launcher  the calling process, outside: it compiles, clones, maps ids, reads back, supervises and reports
//	child     the clone, until it forks: it sets ids, network, parent-death signal and bounding set
//	init      the child after the fork, pid 1 inside: it gives up everything, reaps, and takes the sandbox with it
//	task      the fork: it mounts, enters the root, confines itself, and becomes the program by execve
//
// # The rooms
//
// Each package imports only packages that stand before it.
//
//	policy/             the profile language, without system calls; profiles/ finds and holds profiles
//	plan/               steps, printed in the syntax of strace(1)
//	report/             what a run came to, and the JSON Schema of that
//	ledger/             what a task could write, on record
//	host/               the machine as a value: kernel, caller, files
//	internal/child/     the loop in the child: the only unsafe code
//	internal/cause/     why the machine refuses what a sandbox needs
//	internal/attach/    what is kept of a sandbox so that a program may join it
//	internal/picture/   what the sandbox will see
//	internal/compile/   profile, host and command become a plan: its documentation has the order and the reasons
//	internal/why/       which layer denies an access, and what would allow it
//	internal/state/     the state directory; statedir/ names what of it is public
//	internal/launch/    clone, talk, read back, supervise: its documentation has the talk with the child
//	sandbox             Cmd
//	doctor/             what this machine can do; record/ and audit/ watch programs
//
// docs/architecture.md has a picture, and says where new code belongs.
package sandbox
