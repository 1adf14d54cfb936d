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
//   - Report.Enforced lists what the kernel has confirmed. Start reads that back before the program runs, or as the
//     program begins.
//   - Start and Wait leave nothing behind: no process, mount, file or descriptor, whatever the error. If the calling
//     process is killed, the kernel kills the sandbox with its pid namespace. Every sandbox has a pid namespace, unless
//     its profile asks for the host's.
//   - Only the program itself changes anything on the host, and only where the profile lets it write. The launcher
//     makes only its own directories: those for its state and its records, and those in which profiles are looked up,
//     so that no task can make them.
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
// Wait returns an [ExitError] if the program ran and ended badly: with a status other than 0, or by a signal or a
// limit. Cmd.Report says more about the run, even if the program ended well.
package sandbox
