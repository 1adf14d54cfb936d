package attacks

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// try returns an attack by the probe.
func try(args ...string) func(*box) outcome {
	return func(b *box) outcome { return b.attack(args...) }
}

// under does the same as try, with a launcher that "probe pre" starts in the environment that the modes describe.
func under(modes []string, args ...string) func(*box) outcome {
	return func(b *box) outcome {
		wrap := append([]string{probeBin, "pre"}, modes...)
		return b.wrapped(append(wrap, "--")...).attack(args...)
	}
}

// hostRoot lists the profiles that show the host's tree.
var hostRoot = []string{"default", "build"}

// bounded lists the profiles that the machine must survive, whatever runs in them.
var bounded = []string{"default", "build", "agent", "judge"}

// narrow lists the profiles that allow less than Docker does.
var narrow = []string{"default", "build", "strict"}

func attacks() []attack {
	all := slices.Concat(fileAttacks(), procAttacks(), processAttacks(), callAttacks(), denialAttacks(), launcherAttacks(), bombAttacks(),
		guestAttacks(),
		helperAttacks(),
		recorderAttacks(),
		rightsAttacks(),
		bitsAttacks(),
		stdinAttacks(),
		guardAttacks(),
		trustAttacks(),
		outputAttacks(),
		overlayAttacks(),
		hideAttacks(),
		languageAttacks(),
		socketAttacks(),
		openAttacks(),
	)
	slices.SortStableFunc(all, func(a, b attack) int { return a.row - b.row })
	return all
}

// bombAttacks returns the attacks that take a resource without end. If a profile has no limit for it, a flag sets one.
// The tests check that the limit holds, that the report names it, and that nothing else is hurt.
func bombAttacks() []attack {
	const mib = 1 << 20
	return []attack{
		{31, "fork bomb", "cgroup", bomb("forks", 400, "pids", "--pids", "40"), bounded, shows(bareBomb("forks", 400))},
		{31, "zombie flood", "cgroup", bomb("zombies", 400, "pids", "--pids", "40"), bounded, shows(bareBomb("zombies", 400))},
		{31, "memory bomb", "cgroup", bomb("memory", 256*mib, "oom", "--memory", "48MiB"), bounded, shows(bareBomb("memory", 256*mib))},
		{31, "SysV shared memory", "cgroup", bomb("segments", 256*mib, "oom", "--memory", "48MiB"), bounded, shows(bareBomb("segments", 256*mib))},
		{31, "tmpfs filled, against its size", "mount", bomb("fill", 64*mib, "", "--tmpfs", "/tmp:8MiB"), bounded, shows(bareBomb("fill", 64*mib))},
		{31, "tmpfs filled, against the memory limit", "cgroup", bomb("fill", 256*mib, "oom", "--memory", "48MiB", "--tmpfs", "/tmp:512MiB", "--rlimit", "fsize=1GiB"), bounded, shows(bareBomb("fill", 64*mib))},
		{31, "a sparse file of 100 GB", "rlimits", bomb("sparse", 100<<30, "file-size", "--rlimit", "fsize=16MiB"), bounded, shows(bareBomb("sparse", 100<<30))},
		{31, "output flood", "launcher", bomb("flood", 64*mib, "output", "--output", "1MiB"), bounded, shows(bareBomb("flood", 64*mib))},
		{31, "processor hogs", "cgroup", bomb("spin", 28, "cpu-time", "--cpu-time", "1s"), bounded, shows(bareBomb("spin", 1))},
		{31, "descriptors", "rlimits", bomb("files", 500, "", "--rlimit", "nofile=64"), bounded, shows(bareBomb("files", 500))},
		{31, "inotify instances", "rlimits", bomb("watches", 100, "", "--rlimit", "nofile=64"), bounded, shows(bareBomb("watches", 100))},
		{31, "mlock", "rlimits", bomb("locked", 4*mib, "", "--rlimit", "memlock=64KiB"), bounded, shows(bareBomb("locked", 4*mib))},
		{32, "out of memory: the report of a launcher that lives", "cgroup", reportedOOM, bounded, noControl("the memory bomb shows it")},
		{32, "stopped processes, at the wall-clock limit", "launcher", stoppedTimeout("stop"), bounded, noControl("it is a check, not an attack")},
		{32, "frozen processes, at the wall-clock limit", "launcher", stoppedTimeout("freeze"), bounded, noControl("it is a check, not an attack")},
	}
}

func fileAttacks() []attack {
	return []attack{
		{1, "a mount target through a planted link", "openat2", plantedTarget, nil, shows(followLink)},
		{1, "a bind source that became a link", "openat2", plantedSource, hostRoot, shows(followSource)},
		{1, "a directory on the way became a link", "openat2", plantedParent, hostRoot, shows(followSource)},
		{2, "a bind source swapped for a link during the launch", "openat2", swappedSource, hostRoot, shows(followSource)},
		{3, "create a file below any mount point", "mount", walk, nil, anyone},
		{3, "write the working directory", "mount", try("write", "."), []string{"default", "strict"}, anyone},
		{3, "write the program's own file", "mount", try("write", "./probe"), []string{"default", "strict"}, anyone},
		{3, "write kernel files in /sys and cgroup", "mount", try(append([]string{"write"}, sysFiles...)...), nil, asRoot},
		{3, "remount or unmount anything", "seccomp", try("remount"), nil, asRoot},
		{3, "remount with CAP_SYS_ADMIN in the sandbox", "seccomp", remountWithCap, hostRoot, noControl("the row above shows it")},
		{3, "make a device node", "seccomp", try("mknod", "{work}"), []string{"default", "build", "strict"}, asRoot},
		{3, "a mount table without a weak line", "mount", mountTable, nil, noControl("it is a check, not an attack")},
		{4, "a setuid program in the root file system", "nosuid", setuidProgram, []string{"container"}, shows(setuidBare)},
		{4, "a setuid program in the working directory", "nosuid", setuidProgram, hostRoot, shows(setuidBare)},
		{4, "a program with file capabilities", "nosuid", filecapsProgram, []string{"default", "build", "container"}, shows(filecapsBare)},
		{5, "run, follow, gain through a mount's lost flags", "mount", keptFlags, hostRoot, shows(lostFlags)},
		{5, "a mount propagated in later", "mount", propagated, hostRoot, noControl("it is a check, not an attack")},
		{6, "invalid paths in a profile", "profile", badPaths, []string{"default"}, noControl("there is no launcher without a parser")},
		{11, "list, move, forge the state directory", "mount", seizeState(), nil, shows(seizeBare)},
		{11, "the same where its parent is bound, writable", "mount", seizeState("runtime"), nil, shows(seizeBare)},
		{11, "the same under another name, writable", "mount", seizeState("alias"), nil, shows(seizeBare)},
		{11, "the same by itself under another name", "mount", seizeState("itself"), nil, shows(seizeBare)},
		{11, "move the parent of the state directory", "launcher", moveState, hostRoot, noControl("it is the row above that shows it")},
		{11, "make a state directory, for another XDG_RUNTIME_DIR", "launcher", forgeState, writers, noControl("the forged entry is a real one's text")},
		{12, "kill -9 of the launcher at many moments", "pdeathsig", killedLauncher, []string{"default", "build", "container"}, shows(orphans)},
		{12, "two sandboxes at once leave no mount points", "mount", ghosts, hostRoot, noControl("it is a check, not an attack")},
		{13, "generated files written into the root", "mount", generated, []string{"container"}, noControl("it is a check, not an attack")},
	}
}

var sysFiles = []string{"/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/mm/ksm/run", "/sys/kernel/profiling",
	"/sys/power/state", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent",
	"/sys/fs/cgroup/devices/release_agent", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/module/kernel/parameters/panic"}

var procFiles = []string{"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
	"/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/drop_caches", "/proc/sys/vm/overcommit_memory",
	"/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/ipv4/ip_forward", "/proc/irq/0/smp_affinity", "/proc/bus/pci/00/00.0", "/proc/mtrr",
	"/proc/kcore", "/proc/1/oom_score_adj"}

// maskedFiles lists the files that the example of the OCI runtime specification masks; the directories follow.
var maskedFiles = []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/latency_stats", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/interrupts"}

func procAttacks() []attack {
	return []attack{
		{7, "write sysrq-trigger, core_pattern, sysctls", "mount", try(append([]string{"write"}, procFiles...)...), nil, asRoot},
		{7, "read what the runtime spec masks", "mount", try(append([]string{"read"}, maskedFiles...)...), []string{"container"}, asRoot},
		{7, "read kcore, keys, timer_list, firmware", "mount", try(append([]string{"read"}, maskedFiles[:3]...)...), narrow, asRoot},
		{7, "addresses in kallsyms", "caps", try("kallsyms"), nil, asRoot},
		{7, "processes of the host", "pid", try("procs", "{kram}"), nil, anyone},
		{7, "a root whose /proc, /dev, /etc, /tmp are links or fakes", "openat2", fakeTrees, []string{"container"}, shows(followLink)},
		{7, "a root whose /dev/null and /proc are swapped", "openat2", swappedNodes, []string{"container"}, noControl("a race has no fixed outcome")},
		{8, "write the binary behind an exe link", "dumpable", try("exe", "/proc/1/exe", "/proc/self/exe", "./probe"), []string{"default", "strict"}, anyone},
		{8, "write the launcher through init's exe", "dumpable", try("exe", "/proc/{init}/exe"), nil, asUser},
		{8, "run /proc/self/exe as the program", "lookup", selfAsProgram, nil, shows(selfBare)},
		{8, "a script whose interpreter is /proc/self/exe", "lookup", selfAsInterpreter, hostRoot, shows(selfBare)},
		{8, "a script swapped during the launch", "lookup", swappedScript, hostRoot, noControl("a race has no fixed outcome")},
		{8, "an ELF interpreter that is /proc/self/exe", "lookup", selfAsLoader, hostRoot, shows(loaderBare)},
		{8, "root, cwd, fd, mem, environ of init", "dumpable", try("peek", "{init}"), nil, anyone},
		{8, "the same of a process of the host", "pid", try("peek", "{victim}"), nil, anyone},
		{8, "the launcher's command line through init", "init", commandLineSeen, nil, noControl("it is a check, not an attack")},
		{8, "secrets of the launcher in any environ", "pid", try("grep", "{kram}", "/proc/1/environ", "/proc/{victim}/environ"), nil, anyone},
		{9, "files of the home directory", "mount", try("read", "{home}/notes", "{home}/.ssh", "{home}/.ssh/id_ed25519"), nil, anyone},
		{9, "a hidden file by .. from the working directory", "pivot_root", upwards, nil, anyone},
		{9, "the same with directories open in the launcher", "close_range", upwardsWithOpen, nil, anyone},
		{9, "descriptors that the launcher inherited", "close_range", under([]string{"open=/"}, "fds", "3"), nil, anyone},
		{9, "stdin, stderr that are directories of the host", "stdio", stdioDirectory, nil, shows(under([]string{"stdin=/"}, "up", "etc/hostname"))},
		{9, "stdin that is read-only, opened again for writing", "landlock", stdinReopened, hostRoot, shows(stdinReopened)},
		{9, "workdir: a descriptor outside the root", "openat2", workdirOutside, nil, noControl("the row above shows that the descriptors are there")},
		{9, "a working directory that is gone", "chdir", cwdRemoved, []string{"container"}, noControl("there is no other side")},
	}
}

func processAttacks() []attack {
	return []attack{
		{15, "descriptors of the launcher itself", "close_range", try("fds", "3"), nil, shows(under([]string{"open=/"}, "fds", "3"))},
		{15, "descriptors as seen from outside", "close_range", heldDescriptors, nil, noControl("it is a check, not an attack")},
		{16, "setsid, double fork, every signal ignored", "pid", lingers("exit"), nil, shows(orphans)},
		{16, "the same after a crash", "pid", lingers("crash"), nil, shows(orphans)},
		{16, "the same after kill -9 of the launcher", "pdeathsig", lingersKilled, nil, shows(orphans)},
		{16, "the same at the wall-clock limit", "pid", lingersTimeout, nil, shows(orphans)},
		{16, "kill, stop, crash init", "pid", try("killall", "{init}"), nil, shows(killBare)},
		{16, "signal everything", "pid", try("killall", "-1"), nil, noControl("it would end the test")},
		{16, "signal a process of the host", "pid", signalVictim, nil, shows(killBare)},
		{17, "SIGCHLD ignored", "launcher", under([]string{"sigchld-ignored"}, "children"), []string{"default", "build", "container"}, anyone},
		{17, "every signal blocked", "launcher", under([]string{"signals-blocked"}, "children"), []string{"default", "build", "container"}, anyone},
		{17, "every signal ignored", "launcher", under([]string{"signals-ignored"}, "children"), []string{"default", "build", "container"}, anyone},
		{17, "umask 0777", "launcher", under([]string{"umask=0777"}, "children"), []string{"default", "build", "container"}, noControl("it disturbs the launcher only")},
		{17, "stdin, stdout, stderr closed, every combination", "launcher", closedStdio, []string{"default", "build", "container"}, shows(closedBare)},
		{17, "a huge environment, a huge command line", "launcher", hugeStrings, []string{"default", "build", "container"}, noControl("it disturbs the launcher only")},
		{17, "tight rlimits on the launcher", "launcher", tightLimits, []string{"default", "build", "container"}, noControl("it disturbs the launcher only")},
		{18, "ptrace init", "dumpable", try("ptrace", "{init}"), nil, anyone},
		{18, "ptrace a process of the host", "pid", try("ptrace", "{victim}"), nil, anyone},
		{18, "process_vm_readv, writev on init", "dumpable", try("vm", "{init}", "0x400000"), nil, anyone},
		{18, "process_vm_readv, writev on the host", "pid", try("vm", "{victim}", "0x400000"), nil, anyone},
		{18, "pidfd_getfd, setns(pidfd) on init", "dumpable", try("getfd", "{init}"), nil, anyone},
		{18, "pidfd_getfd, setns(pidfd) on the host", "pid", try("getfd", "{victim}"), nil, anyone},
		{18, "launcher and init, read from outside", "dumpable", outsideReads, nil, noControl("it is a check, not an attack")},
		{21, "variables that were not kept", "env", environment, nil, anyone},
		{21, "LD_PRELOAD for the task, loaded by the launcher", "static", preload, []string{"default", "build"}, shows(preloadBare)},
		{27, "CapBnd CapPrm CapEff CapInh CapAmb, seccomp, namespaces", "caps", kernelState, nil, noControl("it is a check, not an attack")},
		{27, "the same, started with ambient capabilities", "caps", kernelStateAmbient, nil, noControl("it is a check, not an attack")},
		{27, "securebits", "caps", try("securebits"), nil, anyone},
	}
}

// call is a system call that is tried by its number.
type call struct {
	name string
	nr   int      // the number on this architecture
	i386 int      // the number for int 0x80; 0 means that it is not tried
	args []string // the arguments in the probe's syntax
}

// privileged lists calls that every profile refuses, with arguments that do no harm if a call succeeds.
var privileged = []call{
	{"mount", unix.SYS_MOUNT, 21, []string{"0", "0", "0", "0", "0"}},
	{"umount2", unix.SYS_UMOUNT2, 52, []string{"0", "0"}},
	{"pivot_root", unix.SYS_PIVOT_ROOT, 217, []string{"0", "0"}},
	{"unshare", unix.SYS_UNSHARE, 310, []string{"0x10000000"}},
	{"setns", unix.SYS_SETNS, 346, []string{"-1", "0"}},
	{"keyctl", unix.SYS_KEYCTL, 288, []string{"0", "0xfffffffc", "0"}},
	{"bpf", unix.SYS_BPF, 357, []string{"0", "0", "0"}},
	{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, 336, []string{"0", "0", "-1", "-1", "0"}},
	{"userfaultfd", unix.SYS_USERFAULTFD, 374, []string{"1"}},
	{"io_uring_setup", unix.SYS_IO_URING_SETUP, 425, []string{"1", "b:128"}},
	{"kexec_load", unix.SYS_KEXEC_LOAD, 283, []string{"0", "99", "0", "0"}},
	{"init_module", unix.SYS_INIT_MODULE, 128, []string{"0", "0", "0"}},
	{"delete_module", unix.SYS_DELETE_MODULE, 129, []string{"0", "0"}},
	{"reboot", unix.SYS_REBOOT, 88, []string{"0", "0", "0"}},
	{"swapon", unix.SYS_SWAPON, 87, []string{"0", "0"}},
	{"clock_settime", unix.SYS_CLOCK_SETTIME, 264, []string{"0", "0"}},
	{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, 342, []string{"-1", "0", "0"}},
	{"fanotify_init", unix.SYS_FANOTIFY_INIT, 338, []string{"0xffffffff", "0"}},
	{"sethostname", unix.SYS_SETHOSTNAME, 74, []string{"0", "5"}},
}

// newMounts lists the mount API of Linux 5.2 and later.
var newMounts = []call{
	{"open_tree", unix.SYS_OPEN_TREE, 428, []string{"-100", "s:/", "0x8001"}},
	{"move_mount", unix.SYS_MOVE_MOUNT, 429, []string{"-1", "s:", "-1", "s:", "4"}},
	{"fsopen", unix.SYS_FSOPEN, 430, []string{"s:tmpfs", "0"}},
	{"fsconfig", unix.SYS_FSCONFIG, 431, []string{"-1", "6", "0", "0", "0"}},
	{"fsmount", unix.SYS_FSMOUNT, 432, []string{"-1", "0", "0"}},
	{"fspick", unix.SYS_FSPICK, 433, []string{"-100", "s:/", "0"}},
	{"mount_setattr", unix.SYS_MOUNT_SETATTR, 442, []string{"-100", "s:/", "0x8000", "q:1,0,0,0", "32"}},
	{"open_tree_attr", 467, 467, []string{"-100", "s:/", "0x8001", "q:1,0,0,0", "32"}},
}

// keyring lists the calls of keyrings(7). The keys have empty names, which the kernel refuses if the call gets through.
var keyring = []call{
	{"keyctl get_keyring_id", unix.SYS_KEYCTL, 288, []string{"0", "-4", "1"}},
	{"keyctl join_session", unix.SYS_KEYCTL, 288, []string{"1", "0"}},
	{"keyctl search session", unix.SYS_KEYCTL, 288, []string{"10", "-3", "s:user", "s:x", "0"}},
	{"add_key to user keyring", unix.SYS_ADD_KEY, 286, []string{"s:user", "s:cordon-probe", "s:x", "0", "-4"}},
	{"add_key to session keyring", unix.SYS_ADD_KEY, 286, []string{"s:user", "s:cordon-probe", "s:x", "0", "-3"}},
	{"request_key", unix.SYS_REQUEST_KEY, 287, []string{"s:user", "s:cordon-probe", "0", "0"}},
}

// debugging lists calls that reach into other processes.
var debugging = []call{
	{"ptrace", unix.SYS_PTRACE, 26, []string{"0", "0", "0", "0"}},
	{"process_vm_readv", unix.SYS_PROCESS_VM_READV, 347, []string{"1", "0", "0", "0", "0", "7"}},
	{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, 348, []string{"1", "0", "0", "0", "0", "7"}},
	{"pidfd_getfd", unix.SYS_PIDFD_GETFD, 438, []string{"-1", "0", "0"}},
	{"kcmp", unix.SYS_KCMP, 349, []string{"0", "0", "1", "0", "0"}},
}

// sockets lists rarely used address families and protocols.
var sockets = []call{
	{"socket AF_VSOCK", unix.SYS_SOCKET, 359, []string{"40", "1", "0"}},
	{"socket AF_ALG", unix.SYS_SOCKET, 359, []string{"38", "5", "0"}},
	{"socket AF_PACKET", unix.SYS_SOCKET, 359, []string{"17", "3", "0"}},
	{"socket AF_KEY", unix.SYS_SOCKET, 359, []string{"15", "3", "2"}},
	{"socket AF_BLUETOOTH", unix.SYS_SOCKET, 359, []string{"31", "5", "0"}},
	{"socket SOCK_RAW", unix.SYS_SOCKET, 359, []string{"2", "3", "1"}},
	{"socket MPTCP", unix.SYS_SOCKET, 359, []string{"2", "1", "262"}},
	{"personality", unix.SYS_PERSONALITY, 136, []string{"0x400000"}},
}

// namespaceFlags lists the CLONE_NEW* flags.
var namespaceFlags = []int{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS,
	unix.CLONE_NEWCGROUP, unix.CLONE_NEWTIME}

// cloneCalls returns calls that make every kind of namespace, by clone(2) and by unshare(2).
func cloneCalls() []call {
	var all []call
	for _, f := range namespaceFlags {
		flag := "0x" + strconv.FormatInt(int64(f), 16)
		all = append(all, call{"unshare", unix.SYS_UNSHARE, 310, []string{flag}})
		if f != unix.CLONE_NEWTIME { // in clone(2) this bit is a part of the exit signal
			all = append(all, call{"clone", unix.SYS_CLONE, 120, []string{"0x" + strconv.FormatInt(int64(f)|17, 16), "0", "0", "0", "0"}})
		}
	}
	return all
}

// clone3Calls returns calls that make every kind of namespace by clone3(2), whose flags are in memory.
func clone3Calls() []call {
	var all []call
	for _, f := range append(namespaceFlags, 0) {
		all = append(all, call{"clone3", unix.SYS_CLONE3, 435, []string{"q:" + strconv.Itoa(f) + ",0,0,0,17,0,0,0", "64"}})
	}
	return all
}

// holes lists numbers without a call: gaps in the table, numbers after its end, very large numbers, and negative
// numbers.
var holes = []string{"337", "386", "400", "423", "473", "480", "511", "512", "547", "1000", "4096", "65536", "0x3fffffff", "0x7fffffff", "-1", "-2"}

func callAttacks() []attack {
	return []attack{
		{14, "TIOCSTI with high bits, TIOCLINUX", "seccomp", try("tiocsti"), nil, noControl("needs a terminal; ENOTTY says that it was reached")},
		{18, "ptrace, process_vm_*, pidfd_getfd at all", "seccomp", each("call", debugging), narrow, asRoot},
		{19, "keyctl, add_key, request_key", "seccomp", each("call", keyring), nil, anyone},
		{22, "int 0x80: every denied call", "seccomp", each("int80", slices.Concat(privileged, newMounts, keyring, debugging, cloneCalls())), nil, asRoot},
		{22, "int 0x80: socket and socketcall to avoid the rule", "seccomp", each("int80", slices.Concat(sockets, socketcalls)), nil, asRoot},
		{22, "int 0x80: a call that is allowed", "seccomp", each("int80", []call{{"getpid", 0, 20, nil}}), nil, anyone},
		{22, "x32: every denied call", "seccomp", each("x32", slices.Concat(privileged, newMounts, keyring, debugging)), nil, asRoot},
		{22, "x32: a call that is allowed", "seccomp", each("x32", []call{{"getpid", unix.SYS_GETPID, 0, nil}}), nil, anyone},
		{23, "open_tree, move_mount, fsopen, …, mount_setattr", "seccomp", each("call", newMounts), nil, asRoot},
		{23, "the same with CAP_SYS_ADMIN in the sandbox", "seccomp", withCap("SYS_ADMIN", each("call", newMounts)), hostRoot, noControl("the row above shows it")},
		{23, "clone3 with every namespace flag, and none", "seccomp", clone3, nil, asRoot},
		{23, "clone, unshare with every namespace flag", "seccomp", each("call", cloneCalls()), nil, asRoot},
		{24, "call numbers that the kernel does not have", "seccomp", unknownNumbers, nil, noControl("the kernel answers ENOSYS, too")},
		{24, "the filter decides on unknown numbers, not the kernel", "seccomp", unknownByFilter, []string{"default"}, noControl("it is a check, not an attack")},
		{24, "an unknown name in a profile", "profile", unknownName, []string{"default"}, noControl("there is no launcher without a parser")},
		{25, "mount, bpf, io_uring, modules, reboot, …", "seccomp", each("call", privileged), nil, asRoot},
		{25, "the same with every capability in the sandbox", "seccomp", withCap("SYS_ADMIN", each("call", privileged)), hostRoot, noControl("the row above shows it")},
		{25, "unusual sockets, personality", "seccomp", each("call", sockets), narrow, asRoot},
	}
}

// socketcalls lists calls that make, by socketcall(2), the sockets that a rule on socket(2) refuses.
var socketcalls = []call{
	{"socketcall AF_VSOCK", 0, 102, []string{"1", "w:40,1,0"}},
	{"socketcall AF_PACKET", 0, 102, []string{"1", "w:17,3,0"}},
	{"socketcall MPTCP", 0, 102, []string{"1", "w:2,1,262"}},
}

func launcherAttacks() []attack {
	return []attack{
		{28, "an allow after a deny, in every order", "profile", denyWins, []string{"default"}, noControl("the scenario runs its own")},
		{28, "a bind of a hidden path", "profile", hideWins, hostRoot, shows(readSecret)},
		{29, "a static and a dynamic program differ", "seccomp", staticAsDynamic, hostRoot, noControl("it is a check, not an attack")},
		{29, "a launch inside a sandbox", "seccomp", nested, hostRoot, noControl("it is a check, not an attack")},
		{38, "options after --", "launcher", optionsAsCommand, []string{"default"}, noControl("it is a check, not an attack")},
		{38, "names that a shell or a terminal would act on", "launcher", hostileNames, []string{"default"}, noControl("it is a check, not an attack")},
	}
}
