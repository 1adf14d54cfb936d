package lint

import (
	"slices"
	"strconv"
	"strings"

	"cordon/policy"
)

// rules are in the order of their codes; the first is about the comments that ignore others.
var rules = [...]Rule{
	{Code: "CL000", Name: "bad-ignore", Level: LevelWarning,
		About: "a lint:ignore comment that ignores nothing",
		Why:   "It has no reason, or names a code that is none: what it was meant for is reported all the same, or will be unexplained.",
		Fix:   "write # lint:ignore CODE REASON on the line of the finding or above it",
		find:  func(*linter) {}},
	{Code: "CL001", Name: "default-allow", Level: LevelError,
		About: "calls that are not named are allowed",
		Why:   "A filter that lists what is forbidden misses what the next kernel brings, and what nobody thought of.",
		Fix:   "syscalls: {default: errno(EPERM)}, and allow what is needed, such as \"@system-service\"",
		find:  func(l *linter) { l.defaultAllow() }},
	{Code: "CL002", Name: "unknown-allow", Level: LevelError,
		About: "calls that no table knows are allowed",
		Why:   "A number that is newer than the table does something that nobody has judged.",
		Fix:   "syscalls: {unknown: errno(ENOSYS)}, so that libc takes another call",
		find:  func(l *linter) { l.unknownAllow() }},
	{Code: "CL003", Name: "foreign-arch", Level: LevelWarning,
		About: "calls of another architecture are allowed",
		Why:   "i386 and x32 lead to code of the kernel that is used and tested less, and rules on arguments were written for the native calls.",
		Fix:   "leave arches out, unless 32-bit programs are run",
		find:  func(l *linter) { l.arches() }},
	{Code: "CL004", Name: "kernel-surface", Level: LevelError,
		About: "calls that are large and known for holes in the kernel are allowed",
		Why:   "bpf, io_uring, userfaultfd, perf events and the keyring were part of most kernel exploits of the last years; hardly a program needs them.",
		Fix:   "syscalls: {deny: [bpf, io_uring_setup, userfaultfd, perf_event_open, \"@keyring\"]}",
		find: func(l *linter) {
			l.calls("bpf io_uring_setup io_uring_enter io_uring_register userfaultfd perf_event_open keyctl add_key request_key")
		}},
	{Code: "CL005", Name: "other-processes", Level: LevelWarning,
		About: "calls that read or control other processes are allowed",
		Why:   "What one program of the sandbox may do, another then does for it: a filter that differs between them, or a secret that one of them holds, is lost.",
		Fix:   "syscalls: {deny: [ptrace, process_vm_readv, process_vm_writev, pidfd_getfd]}",
		find: func(l *linter) {
			l.calls("ptrace process_vm_readv process_vm_writev pidfd_getfd process_madvise kcmp")
		}},
	{Code: "CL006", Name: "mounts-and-namespaces", Level: LevelError,
		About: "calls that change mounts or join namespaces are allowed",
		Why:   "With a user namespace of its own a program gets the capabilities for them, and with those most of the kernel.",
		Fix:   "syscalls: {deny: [\"@mount\", setns, unshare]}",
		find: func(l *linter) {
			l.calls("mount umount2 pivot_root open_tree move_mount fsopen fsmount fspick mount_setattr setns unshare(CLONE_NEWUSER) open_by_handle_at")
		}},
	{Code: "CL007", Name: "machine", Level: LevelError,
		About: "calls that change the machine are allowed",
		Why:   "They load modules, reboot, swap, set the clock or speak to devices: only a missing capability is left in between.",
		Fix:   "syscalls: {deny: [\"@module\", \"@reboot\", \"@swap\", \"@raw-io\", clock_settime]}",
		find: func(l *linter) {
			l.calls("init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff iopl ioperm settimeofday clock_settime acct quotactl")
		}},
	{Code: "CL008", Name: "socket-families", Level: LevelWarning,
		About: "sockets of every family can be made",
		Why:   "AF_ALG, AF_PACKET, AF_VSOCK and the like lead to rarely tested code of the kernel, and AF_VSOCK to the hypervisor.",
		Fix:   "syscalls: {rules: [{socket: \"in(family, AF_UNIX, AF_INET, AF_INET6)\"}]}",
		find:  func(l *linter) { l.families() }},
	{Code: "CL009", Name: "terminal-injection", Level: LevelError,
		About: "a program can type into the terminal",
		Why:   "TIOCSTI and TIOCLINUX put characters into the terminal's input: the shell outside runs them (CVE-2017-5226, CVE-2019-10063).",
		Fix:   "syscalls: {rules: [{ioctl: \"uint32(cmd) != TIOCSTI && uint32(cmd) != TIOCLINUX\"}]}",
		find: func(l *linter) {
			l.calls("ioctl(_,TIOCSTI) ioctl(_,TIOCLINUX)")
		}},
	{Code: "CL010", Name: "new-user-namespace", Level: LevelError,
		About: "a program can make a user namespace",
		Why:   "There it has every capability, and with them the parts of the kernel that only root reaches else.",
		Fix:   "syscalls: {rules: [{clone: flags & CLONE_NEW_ANY == 0}, {clone3: errno(ENOSYS)}]}: clone3's flags stand behind a pointer",
		find: func(l *linter) {
			l.calls("clone(CLONE_NEWUSER) clone3")
		}},
	{Code: "CL011", Name: "network-with-capabilities", Level: LevelError,
		About: "the host's network together with capabilities over networks",
		Why:   "NET_ADMIN and NET_RAW in the host's network namespace reach the machine's own traffic; a user namespace of its own is what keeps them from it, and nothing else does.",
		Fix:   "network: none, or capabilities: {remove: [NET_ADMIN, NET_RAW]}",
		find:  func(l *linter) { l.networkCapabilities() }},
	{Code: "CL012", Name: "host-network", Level: LevelNote,
		About: "the host's network",
		Why:   "Services that only listen on localhost are reachable, and so is everything else that the machine reaches.",
		Fix:   "network: none, where the program can do without",
		find:  func(l *linter) { l.hostNetwork() }},
	{Code: "CL013", Name: "dangerous-capability", Level: LevelError,
		About: "a capability that is as good as root",
		Why:   "With it a program that gets out of one layer gets out of all; in a user namespace of its own it opens the kernel's code for it.",
		Fix:   "capabilities: {remove: [NAME]}, and what the program does with it done another way",
		find:  func(l *linter) { l.capabilities() }},
	{Code: "CL014", Name: "host-namespace", Level: LevelWarning,
		About: "a namespace of the host",
		Why:   "Processes, message queues, mounts or ids of the host are then in reach.",
		Fix:   "leave the namespace out: every one is new unless said otherwise",
		find:  func(l *linter) { l.hostNamespaces() }},
	{Code: "CL015", Name: "loader-variables", Level: LevelWarning,
		About: "variables that load code are kept or set",
		Why:   "LD_PRELOAD and its kin choose what runs in every program of the sandbox: who sets the caller's environment decides it, or who can write the file that the profile names.",
		Fix:   "env: {keep: [...]} by names, without them, and none of them in env.set",
		find:  func(l *linter) { l.variables(LoaderVariables, "chooses code that is loaded") }},
	{Code: "CL016", Name: "secret-variables", Level: LevelWarning,
		About: "variables that hold secrets are kept or set",
		Why:   "A token in the environment is in the reach of the program and of everything that it starts.",
		Fix:   "leave it out of env.keep, or give the program a file of its own",
		find:  func(l *linter) { l.secretVariables() }},
	{Code: "CL017", Name: "no-limits", Level: LevelWarning,
		About: "nothing limits memory, processes or time",
		Why:   "A program that runs away takes the machine with it.",
		Fix:   "limits: {memory: 2GiB, pids: 512, wall: 30m}",
		find:  func(l *linter) { l.noLimits() }},
	{Code: "CL018", Name: "terminal", Level: LevelNote,
		About: "the terminal is passed through",
		Why:   "A program can read what is typed, set modes, and write escape sequences that the terminal obeys.",
		Fix:   "tty: none, or broker",
		find:  func(l *linter) { l.terminal() }},
	{Code: "CL019", Name: "landlock-off", Level: LevelWarning,
		About: "Landlock is switched off",
		Why:   "The mounts are then the only thing between the program and files; abstract sockets and signals are held back by namespaces alone.",
		Fix:   "leave landlock out: it is derived from the mounts",
		find:  func(l *linter) { l.landlockOff() }},
	{Code: "CL020", Name: "may-be-missing", Level: LevelNote,
		About: "a layer may be missing",
		Why:   "Where the host lacks it, the sandbox starts without, and only the report says so.",
		Fix:   "missing: [], and refuse to run there",
		find:  func(l *linter) { l.missing() }},
	{Code: "CL021", Name: "host-socket", Level: LevelError,
		About: "a socket of the host that does more for a program than the sandbox lets it",
		Why:   "A read-only mount is no fence: connecting writes to nothing.",
		Fix:   "hide it, or mount less",
		find:  func(l *linter) { l.hostSockets() }},
	{Code: "CL022", Name: "writable-programs", Level: LevelError,
		About: "places are writable from which programs are run outside",
		Why:   "What the program writes there, somebody runs who is not in the sandbox: a shell, an editor, a service, the machine when it starts.",
		Fix:   "bind the directory that is needed, and no more",
		find:  func(l *linter) { l.writablePlaces() }},
	{Code: "CL023", Name: "git-hooks", Level: LevelWarning,
		About: "the working directory is writable, and .git/hooks in it",
		Why:   "git runs hooks outside of the sandbox at the next commit; .git/config can name programs too.",
		Fix:   "hide: [\"**/.git/hooks\", \"**/.git/config\"]",
		find:  func(l *linter) { l.gitHooks() }},
	{Code: "CL024", Name: "keys", Level: LevelError,
		About: "keys and credentials can be read",
		Why:   "They open more than the machine.",
		Fix:   "hide them, or mount less: the profile default has a list",
		find:  func(l *linter) { l.paths(keyPaths, false, "can be read") }},
	{Code: "CL025", Name: "idle-hide", Level: LevelNote,
		About: "a hide rule hides nothing",
		Why:   "No mount shows the path: the rule is mistyped, or not needed.",
		Fix:   "correct the path, or leave it as a guard and ignore this with a reason",
		find:  func(l *linter) { l.idleHides() }},
	{Code: "CL026", Name: "no-effect", Level: LevelWarning,
		About: "a rule or a mount that has no effect, or a filter under which nothing starts",
		Why:   "It seems to say something that does not hold, or leaves out what every program needs.",
		Fix:   "take it out, or put it where it counts; a call that is missing belongs in syscalls.allow: [\"@default\", execve]",
		find:  func(l *linter) { l.noEffect() }},
	{Code: "CL027", Name: "caller-user", Level: LevelWarning,
		About: "the task has the caller's id outside",
		Why:   "Started by root it is root outside of its namespaces: what the namespaces let through it may do.",
		Fix:   "leave user.host out",
		find:  func(l *linter) { l.callerUser() }},
	{Code: "CL028", Name: "proc-unmasked", Level: LevelWarning,
		About: "proc without its masks, or of the host's processes",
		Why:   "Unmasked, /proc/sys, /proc/kcore and /proc/keys are there; with the host's pid namespace every process and its environment.",
		Fix:   "leave mask and read-only out; with pid: host give hidepid: invisible",
		find:  func(l *linter) { l.proc() }},
	{Code: "CL029", Name: "shared-temporary", Level: LevelWarning,
		About: "the host's directory for temporary files is writable",
		Why:   "Files of other users and programs are there, to be guessed, raced and replaced.",
		Fix:   "{tmpfs: /tmp}",
		find:  func(l *linter) { l.paths([]string{"/tmp", "/var/tmp", "/dev/shm"}, true, "can be written") }},
	{Code: "CL030", Name: "host-devices", Level: LevelError,
		About: "devices of the host are shown",
		Why:   "A disk, the memory or an input device is the host itself; that mounts are nodev is all that keeps the program from opening it.",
		Fix:   "{dev: /dev} has the devices that every program needs",
		find:  func(l *linter) { l.hostDevices() }},
	{Code: "CL031", Name: "project-programs", Level: LevelNote,
		About: "the working directory is writable, and what editors, shells and tools outside run from it",
		Why:   "An editor that opens the project, or a shell that enters it, does what these files say.",
		Fix:   "{bind: ./.vscode, optional: true} and the like behind the bind, or look at them before",
		find:  func(l *linter) { l.projectPrograms() }},
	{Code: "CL032", Name: "lifted-hide", Level: LevelWarning,
		About: "a hide rule that was inherited is lifted",
		Why:   "What it hid can be read, and with the network of the host be sent away.",
		Fix:   "lift what the program needs and no more: a file below, not the directory",
		find: func(l *linter) {
			for _, h := range l.p.Lifted {
				l.say(h.Pos, "hide: "+h.Pattern+" is shown")
			}
		}},
	{Code: "CL033", Name: "own-profile", Level: LevelNote,
		About: "the profile, or a directory where profiles are looked for, is in what it makes writable",
		Why:   "It is read-only in its own runs. Another sandbox that writes there can change it, and it has to be trusted then before it is used.",
		Fix:   "keep profiles where no sandbox writes, such as ~/.config/cordon/profiles",
		find:  func(l *linter) { l.ownProfile() }},
	{Code: "CL034", Name: "unix-pairs", Level: LevelWarning,
		About: "local sockets are denied, but pairs of datagram sockets are not",
		Why:   "One of a pair of AF_UNIX datagram sockets sends to every other address: to the sockets that the rule on socket was to keep it from.",
		Fix:   "syscalls: {rules: [{socketpair: \"in(type & 0xf, SOCK_STREAM, SOCK_SEQPACKET)\"}]}",
		find:  func(l *linter) { l.datagramPairs() }},
	{Code: "CL035", Name: "core-dumps", Level: LevelWarning,
		About: "programs leave core dumps",
		Why:   "The kernel gives a dump to the host's handler, which runs outside, often as root; what the program held in memory is kept there.",
		Fix:   "limits: {rlimits: {core: 0}}",
		find:  func(l *linter) { l.coreDumps() }},
	{Code: "CL036", Name: "open-umask", Level: LevelWarning,
		About: "what a run makes in the host's directories can be written by everybody",
		Why:   "Another user, or a task of another user, can put into such a file what a program outside reads or runs later.",
		Fix:   "process: {umask: \"0022\"}",
		find:  func(l *linter) { l.openUmask() }},
}

func (l *linter) defaultAllow() {
	if l.spec.Default.Passes() {
		l.say(l.p.Source("syscalls.default"), "syscalls.default: every call that is not denied can be called")
	}
}

func (l *linter) unknownAllow() {
	if l.spec.Unknown.Passes() {
		l.say(l.p.Source("syscalls.unknown"), "syscalls.unknown: calls that no table knows can be called")
	}
}

func (l *linter) arches() {
	for _, a := range l.spec.Foreign {
		if a != l.arch {
			l.say(l.p.Source("syscalls.arches"), "syscalls.arches: calls of "+a.String()+" are possible")
		}
	}
}

func (l *linter) families() {
	var open []string
	var at policy.Pos
	for _, family := range []string{"AF_ALG", "AF_PACKET", "AF_VSOCK", "AF_KEY", "AF_TIPC", "AF_CAN"} {
		if place, yes := l.passes("socket(" + family + ")"); yes {
			open, at = append(open, family), place
		}
	}
	if open != nil {
		l.say(at, "syscalls: socket can be called with "+strings.Join(open, ", "))
	}
}

func (l *linter) networkCapabilities() {
	if l.p.Network.Mode != policy.NetworkHost && l.p.Namespaces.Net.Mode != policy.NSHost {
		return
	}
	for _, c := range l.p.Capabilities.Keep {
		if c.Name == "NET_ADMIN" || c.Name == "NET_RAW" {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept in the host's network")
		}
	}
}

func (l *linter) hostNetwork() {
	if l.p.Network.Mode == policy.NetworkHost {
		l.say(l.p.Source("network"), "network: it is the host's")
	}
}

// asRoot are capabilities that lead to all others, by capabilities(7): mounts and most of the kernel, modules, memory of other
// processes, every file, devices, tracing, the kernel's log and clock.
var asRoot = []string{"SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "PERFMON", "SYS_BOOT", "SYS_TIME", "MKNOD", "MAC_ADMIN", "MAC_OVERRIDE", "CHECKPOINT_RESTORE", "SYSLOG"}

func (l *linter) capabilities() {
	for _, c := range l.p.Capabilities.Keep {
		if slices.Contains(asRoot, c.Name) {
			l.say(c.Pos, "capabilities: "+c.Name+" is kept")
		}
	}
}

func (l *linter) hostNamespaces() {
	n := &l.p.Namespaces
	for _, x := range [...]struct {
		name string
		ns   *policy.Namespace
	}{{"user", &n.User}, {"mount", &n.Mount}, {"pid", &n.PID}, {"ipc", &n.IPC}, {"uts", &n.UTS}, {"cgroup", &n.Cgroup}, {"net", &n.Net}} {
		if x.ns.Mode == policy.NSHost {
			l.say(l.p.Source("namespaces."+x.name), "namespaces."+x.name+": it is the host's")
		}
	}
}

// datagramPairs finds a filter under which no local socket can be made, but a pair of them that reaches all others.
func (l *linter) datagramPairs() {
	if _, yes := l.passes("socket(AF_UNIX)"); yes {
		return
	}
	for _, typ := range []string{"SOCK_DGRAM", "SOCK_RAW", "SOCK_DGRAM|SOCK_CLOEXEC", "SOCK_RAW|SOCK_CLOEXEC"} {
		if at, yes := l.passes("socketpair(AF_UNIX, " + typ + ")"); yes {
			l.say(at, "syscalls: socketpair can be called with AF_UNIX and "+typ+", and socket not with AF_UNIX")
			return
		}
	}
}

func (l *linter) coreDumps() {
	for _, r := range l.p.Limits.Rlimits {
		if r.Name == "core" && r.Value > 1 {
			l.say(r.Pos, "limits.rlimits.core: it is not 0")
		}
	}
}

func (l *linter) openUmask() {
	const others = 0o002 // the bit of a mask that keeps others from writing
	if umask := l.p.Process.Umask; umask.Set && umask.V&others == 0 && len(l.writings()) > 0 {
		l.say(l.p.Source("process.umask"), "process.umask: it leaves new files writable by others")
	}
}

func (l *linter) noLimits() {
	m := &l.p.Limits
	if m.Memory.Set || m.PIDs.Set || m.Wall.Set || m.CPUTime.Set || slices.ContainsFunc(m.Rlimits, func(r policy.Rlimit) bool {
		return slices.Contains([]string{"as", "data", "nproc", "cpu"}, r.Name) && r.Value != policy.Unlimited
	}) {
		return
	}
	l.say(policy.Pos{}, "limits: there is none on memory, processes or time")
}

func (l *linter) terminal() {
	if l.p.TTY == policy.TTYInherit {
		l.say(l.p.Source("tty"), "tty: the caller's terminal is passed through")
	}
}

func (l *linter) landlockOff() {
	if l.p.Landlock.Off {
		l.say(l.p.Source("landlock"), "landlock: it is off")
	}
}

func (l *linter) missing() {
	for _, m := range l.p.Missing {
		l.say(m.Pos, "missing: the layer "+string(m.Layer)+" may be missing")
	}
}

func (l *linter) hostSockets() {
	for _, e := range Exposures(l.p, l.opts.RuntimeDir) {
		l.say(e.Pos, e.String())
	}
}

// keyPaths are where keys and credentials are.
var keyPaths = []string{"~/.ssh", "~/.gnupg", "~/.aws", "~/.azure", "~/.kube", "~/.docker", "~/.netrc", "~/.npmrc", "~/.pypirc", "~/.git-credentials",
	"~/.password-store", "~/.config/gh", "~/.config/gcloud", "~/.local/share/keyrings", "~/.cargo/credentials.toml", "/etc/shadow", "/etc/gshadow"}

func (l *linter) gitHooks() {
	if l.p.Git == policy.GitProtect {
		return
	}
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountBind || !m.Write || m.Source != "." && m.Source != "~" {
			continue
		}
		hidden := func(name string) bool {
			return slices.ContainsFunc(l.p.Hide, func(h policy.Hide) bool {
				return h.Pattern == "**/.git" || h.Pattern == "**/.git/"+name || h.Pattern == "**/"+name
			})
		}
		if !hidden("hooks") {
			l.say(m.Pos, mountAt(i)+": "+m.Source+" can be written, and .git/hooks in it")
		}
	}
}

// idleHides finds hide rules on paths that nothing shows.
func (l *linter) idleHides() {
	if l.p.Root.Kind != policy.RootEmpty {
		return // there may be something
	}
	relative := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
		return (m.Kind == policy.MountBind || m.Kind == policy.MountOverlay) && !strings.HasPrefix(m.Source, "/")
	})
	for i, h := range l.p.Hide {
		hidden := hostNames(h.Pattern, l.opts.RuntimeDir)
		if relative || hidden == nil {
			continue
		}
		shown := slices.ContainsFunc(l.p.Mounts, func(m policy.Mount) bool {
			place := hostNames(m.Place(), l.opts.RuntimeDir)
			empty := m.Kind == policy.MountTmpfs || m.Kind == policy.MountEmpty || m.Kind == policy.MountDir
			return place != nil && !empty && (above(place, hidden) || above(hidden, place))
		})
		if !shown {
			l.say(h.Pos, "hide["+strconv.Itoa(i)+"]: nothing shows "+h.Pattern)
		}
	}
}

func (l *linter) noEffect() {
	for _, w := range l.warnings {
		// What is inherited is not this file's to mend, and narrowing it is the use of inheriting.
		if at := l.placeOf(w.From); at.File == l.opts.File || at.File == "" || at.File == policy.CommandLine {
			l.say(at, "syscalls: "+w.Msg)
		}
	}
	l.coveredMounts()
}

func (l *linter) callerUser() {
	if l.p.User.Host == policy.HostCaller {
		l.say(l.p.Source("user.host"), "user.host: the task has the caller's id outside")
	}
}

func (l *linter) proc() {
	for i := range l.p.Mounts {
		m := &l.p.Mounts[i]
		if m.Kind != policy.MountProc {
			continue
		}
		if m.Mask.Set && len(m.Mask.V) == 0 || m.ReadOnly.Set && len(m.ReadOnly.V) == 0 {
			l.say(m.Pos, mountAt(i)+": proc has no masks")
		}
		if l.p.Namespaces.PID.Mode == policy.NSHost && m.Hidepid != "invisible" && m.Hidepid != "ptraceable" {
			l.say(m.Pos, mountAt(i)+": proc shows the host's processes")
		}
	}
}
